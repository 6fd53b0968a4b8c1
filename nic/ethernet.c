#include "nic/ethernet.h"

#include "base/cursor.h"

enum ethernet_result ethernet_parse(struct bytes frame, struct ethernet_header *out)
{
    struct cursor in = cursor_over(frame);
    out->target = cursor_mac(&in);
    out->source = cursor_mac(&in);
    out->ethertype = cursor_be16(&in);
    out->payload = cursor_rest(&in);

    return in.overran ? ETHERNET_TRUNCATED : ETHERNET_OK;
}

enum ethernet_result ethernet_parse_tag(struct bytes header_payload, struct ethernet_tag *out)
{
    struct cursor in = cursor_over(header_payload);
    out->vlan_id = ethernet_tci_vlan_id(cursor_be16(&in));
    out->ethertype = cursor_be16(&in);
    out->payload = cursor_rest(&in);

    return in.overran ? ETHERNET_TRUNCATED : ETHERNET_OK;
}

void ethernet_write(struct sink *sink, const struct mac *target, const struct mac *source,
                    struct ethernet_vlan vlan, uint16_t ethertype)
{
    sink_bytes(sink, bytes_of(target->bytes, MAC_BYTES));
    sink_bytes(sink, bytes_of(source->bytes, MAC_BYTES));
    if (vlan.tagged) {
        sink_be16(sink, ETHERTYPE_VLAN);
        sink_be16(sink, vlan.vlan_id);
    }
    sink_be16(sink, ethertype);
}

void ethernet_write_padding(struct sink *sink, size_t frame_bytes)
{
    const size_t used_bytes = sink_used_bytes(sink);
    if (used_bytes < frame_bytes) { sink_zeros(sink, frame_bytes - used_bytes); }
}
