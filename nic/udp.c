#include "nic/udp.h"

#include "base/cursor.h"
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
