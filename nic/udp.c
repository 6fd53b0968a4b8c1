#include "nic/udp.h"

#include "base/cursor.h"
#include "base/invariant.h"
#include "nic/checksum.h"
#include "nic/ip.h"

enum udp_result udp_parse(struct bytes ip_payload, struct udp_datagram *out)
{
    struct cursor in = cursor_over(ip_payload);
    out->source_port = cursor_be16(&in);
    out->target_port = cursor_be16(&in);
    const size_t len_bytes = cursor_be16(&in);
    out->has_checksum = cursor_be16(&in) != 0;

    if (in.overran) { return UDP_TRUNCATED; }
    if (len_bytes < UDP_HEADER_BYTES) { return UDP_BAD_LENGTH; }
    if (len_bytes > ip_payload.len_bytes) { return UDP_TRUNCATED; }

    out->whole = bytes_slice(ip_payload, 0, len_bytes);
    out->payload = bytes_slice(ip_payload, UDP_HEADER_BYTES, len_bytes);
    return UDP_OK;
}

bool udp_checksum_is_good(const struct udp_datagram *datagram, uint32_t source_address,
                          uint32_t target_address)
{
    if (!datagram->has_checksum) { return true; }
    const uint64_t pseudo_header = checksum_pseudo_header(
        source_address, target_address, IPV4_PROTOCOL_UDP, (uint16_t)datagram->whole.len_bytes);
    return checksum_finish(checksum_add(pseudo_header, datagram->whole)) == 0;
}

void udp_write_header(struct sink *sink, const struct udp_flow *flow, struct bytes payload)
{
    assert_hot(payload.len_bytes <= UDP_PAYLOAD_BYTES_MAX);
    const uint16_t len_bytes = (uint16_t)(UDP_HEADER_BYTES + payload.len_bytes);
    uint8_t *const header = sink_take(sink, UDP_HEADER_BYTES);
    if (header == NULL) { return; }

    struct sink out = sink_into(header, UDP_HEADER_BYTES);
    sink_be16(&out, flow->source_port);
    sink_be16(&out, flow->target_port);
    sink_be16(&out, len_bytes);
    uint8_t *const checksum = sink_take(&out, 2);
    store_le16(checksum, 0);

    const uint64_t sum = checksum_pseudo_header(flow->source_address, flow->target_address,
                                                IPV4_PROTOCOL_UDP, len_bytes) +
                         checksum_field_be16(flow->source_port) +
                         checksum_field_be16(flow->target_port) + checksum_field_be16(len_bytes);
    const uint16_t finished = checksum_finish(checksum_add(sum, payload));
    store_le16(checksum, finished != 0 ? finished : UINT16_MAX);
}
