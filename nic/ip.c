#include "nic/ip.h"

#include "base/cursor.h"
#include "nic/checksum.h"

enum {
    VERSION_AND_LENGTH = 0x45, /* version 4, five words of header */
    DO_NOT_FRAGMENT = 0x4000,
    MORE_FRAGMENTS = 0x2000,
    FRAGMENT_OFFSET_MASK = 0x1fff,
    TIME_TO_LIVE = 64, /* RFC 1700 */
};

enum ipv4_result ipv4_parse(struct bytes ethernet_payload, struct ipv4_packet *out)
{
    struct cursor in = cursor_over(ethernet_payload);
    const uint8_t version_and_length = cursor_u8(&in);
    cursor_skip(&in, 1); /* type of service */
    const size_t total_bytes = cursor_be16(&in);
    cursor_skip(&in, 2); /* identification */
    const uint16_t flags_and_offset = cursor_be16(&in);
    cursor_skip(&in, 1); /* time to live: judged by routers, not by the host it reached */
    out->protocol = cursor_u8(&in);
    cursor_skip(&in, 2); /* checksum */
    out->source_address = cursor_be32(&in);
    out->target_address = cursor_be32(&in);
    const size_t header_bytes = 4U * (version_and_length & 0x0f);

    if (in.overran) { return IPV4_TRUNCATED; }
    if (version_and_length >> 4 != 4) { return IPV4_BAD_VERSION; }
    if (header_bytes < IPV4_HEADER_BYTES) { return IPV4_BAD_HEADER_LENGTH; }
    if (total_bytes < header_bytes) { return IPV4_BAD_TOTAL_LENGTH; }
    if (total_bytes > ethernet_payload.len_bytes) { return IPV4_TRUNCATED; }

    out->fragment = (flags_and_offset & (MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK)) != 0;
    out->header = bytes_slice(ethernet_payload, 0, header_bytes);
    out->payload = bytes_slice(ethernet_payload, header_bytes, total_bytes);
    return IPV4_OK;
}

bool ipv4_checksum_is_good(const struct ipv4_packet *packet)
{
    return checksum_finish(checksum_add(0, packet->header)) == 0;
}

void ipv4_write(struct sink *sink, uint32_t source_address, uint32_t target_address,
                uint8_t protocol, uint16_t payload_bytes)
{
    uint8_t *const header = sink_take(sink, IPV4_HEADER_BYTES);
    if (header == NULL) { return; }

    const uint16_t version_and_service = VERSION_AND_LENGTH << 8;
    const uint16_t total_bytes = (uint16_t)(IPV4_HEADER_BYTES + payload_bytes);
    const uint16_t life_and_protocol = (uint16_t)(TIME_TO_LIVE << 8 | protocol);
    const uint64_t sum = checksum_field_be16(version_and_service) +
                         checksum_field_be16(total_bytes) + checksum_field_be16(DO_NOT_FRAGMENT) +
                         checksum_field_be16(life_and_protocol) +
                         checksum_field_be32(source_address) + checksum_field_be32(target_address);

    struct sink out = sink_into(header, IPV4_HEADER_BYTES);
    sink_be16(&out, version_and_service);
    sink_be16(&out, total_bytes);
    sink_be16(&out, 0); /* identification: any value will do for an atomic datagram (RFC 6864) */
    sink_be16(&out, DO_NOT_FRAGMENT);
    sink_be16(&out, life_and_protocol);
    store_le16(sink_take(&out, 2), checksum_finish(sum));
    sink_be32(&out, source_address);
    sink_be32(&out, target_address);
}
