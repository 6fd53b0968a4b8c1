#include "tests/sim/sim_frames.h"

#include <assert.h>

#include "base/endian.h"
#include "base/sink.h"
#include "nic/arp.h"
#include "nic/checksum.h"
#include "nic/ip.h"
#include "nic/udp.h"
#include "tests/sim/sim_random.h"

enum { UDP_CHECKSUM_POSITION = 6 };

struct mac sim_frame_mac(uint32_t host)
{
    struct mac mac = {{2, 0xfe}}; /* locally administered */
    store_be32(mac.bytes + 2, host);
    return mac;
}

static struct ethernet_vlan vlan_of(const struct interface *interface)
{
    return (struct ethernet_vlan){interface->vlan_tagged, interface->vlan_id};
}

static void write_udp(struct sink *sink, const struct sim_datagram *datagram)
{
    const size_t begin = sink_used_bytes(sink);
    const uint16_t len_bytes = (uint16_t)(UDP_HEADER_BYTES + datagram->payload.len_bytes);
    sink_be16(sink, datagram->source.port);
    sink_be16(sink, datagram->target.port);
    sink_be16(sink, len_bytes);
    sink_be16(sink, 0);
    sink_bytes(sink, datagram->payload);
    assert(!sink->overflowed);

    uint8_t *const at = sink->begin + begin;
    const uint64_t sum = checksum_pseudo_header(datagram->source.host, datagram->target.host,
                                                IPV4_PROTOCOL_UDP, len_bytes);
    uint16_t checksum = checksum_finish(checksum_add(sum, bytes_of(at, len_bytes)));
    if (checksum == 0) { checksum = 0xffff; } /* 0 would mean: none */
    if (datagram->checksum_is_bad) {
        /* Neither right nor 0; and not 0xffff, which is right where 0 was. */
        checksum = checksum == 0x5555 ? 0x3333 : 0x5555;
    }
    store_le16(at + UDP_CHECKSUM_POSITION, checksum);
}

size_t sim_frame_wrap(const struct interface *interface, const struct sim_datagram *datagram,
                      uint8_t *out)
{
    struct sink sink = sink_into(out, SIM_FRAME_BYTES_MAX);
    const struct mac source = sim_frame_mac(datagram->source.host);
    ethernet_write(&sink, &interface->mac, &source, vlan_of(interface), ETHERTYPE_IPV4);
    ipv4_write(&sink, datagram->source.host, datagram->target.host, IPV4_PROTOCOL_UDP,
               (uint16_t)(UDP_HEADER_BYTES + datagram->payload.len_bytes));
    write_udp(&sink, datagram);
    ethernet_write_padding(&sink, ETHERNET_FRAME_BYTES_MIN);
    assert(!sink.overflowed);
    return sink_used_bytes(&sink);
}

/* ---------------------------------------------------------------------------------- unwrapping */

/* What is behind Ethernet, tag included; false when the frame is not the interface's to send. */
static bool open_ethernet(const struct interface *interface, struct bytes frame,
                          struct mac *out_target, uint16_t *out_ethertype,
                          struct bytes *out_payload)
{
    struct ethernet_header header;
    if (frame.len_bytes < ETHERNET_FRAME_BYTES_MIN) { return false; }
    if (ethernet_parse(frame, &header) != ETHERNET_OK) { return false; }
    if (!mac_equal(&header.source, &interface->mac)) { return false; }
    *out_target = header.target;
    *out_ethertype = header.ethertype;
    *out_payload = header.payload;
    if (!interface->vlan_tagged) { return true; }

    struct ethernet_tag tag;
    if (header.ethertype != ETHERTYPE_VLAN) { return false; }
    if (ethernet_parse_tag(header.payload, &tag) != ETHERNET_OK) { return false; }
    *out_ethertype = tag.ethertype;
    *out_payload = tag.payload;
    return tag.vlan_id == interface->vlan_id;
}

static enum sim_frame_kind unwrap_arp(const struct interface *interface, struct bytes payload)
{
    struct arp_packet arp;
    if (arp_parse(payload, &arp) != ARP_OK) { return SIM_FRAME_WRONG; }
    if (!mac_equal(&arp.sender_mac, &interface->mac)) { return SIM_FRAME_WRONG; }
    const bool asks = arp.operation == ARP_REQUEST && arp.target_address != interface->address;
    return asks ? SIM_FRAME_ARP_REQUEST : SIM_FRAME_OTHER;
}

static enum sim_frame_kind unwrap_ipv4(const struct interface *interface, const struct mac *target,
                                       struct bytes payload, struct sim_datagram *out)
{
    struct ipv4_packet packet;
    struct udp_datagram udp;
    if (ipv4_parse(payload, &packet) != IPV4_OK) { return SIM_FRAME_WRONG; }
    if (!ipv4_checksum_is_good(&packet)) { return SIM_FRAME_WRONG; }
    if (packet.source_address != interface->address) { return SIM_FRAME_WRONG; }
    if (packet.header.len_bytes + packet.payload.len_bytes > interface->mtu_bytes) {
        return SIM_FRAME_WRONG;
    }
    if (packet.protocol != IPV4_PROTOCOL_UDP) { return SIM_FRAME_OTHER; }
    if (udp_parse(packet.payload, &udp) != UDP_OK) { return SIM_FRAME_WRONG; }
    if (!udp_checksum_is_good(&udp, packet.source_address, packet.target_address)) {
        return SIM_FRAME_WRONG;
    }
    const struct mac on_link = sim_frame_mac(packet.target_address);
    const struct mac gateway = sim_frame_mac(interface->gateway);
    if (!mac_equal(target, &on_link) && !mac_equal(target, &gateway)) { return SIM_FRAME_WRONG; }
    *out = (struct sim_datagram){
        .source = {packet.source_address, udp.source_port},
        .target = {packet.target_address, udp.target_port},
        .payload = udp.payload,
    };
    return SIM_FRAME_DATAGRAM;
}

enum sim_frame_kind sim_frame_unwrap(const struct interface *interface, struct bytes frame,
                                     struct sim_datagram *out)
{
    struct mac target;
    uint16_t ethertype;
    struct bytes payload;
    if (!open_ethernet(interface, frame, &target, &ethertype, &payload)) { return SIM_FRAME_WRONG; }
    if (ethertype == ETHERTYPE_ARP) { return unwrap_arp(interface, payload); }
    if (ethertype == ETHERTYPE_IPV4) { return unwrap_ipv4(interface, &target, payload, out); }
    return SIM_FRAME_WRONG;
}

size_t sim_frame_answer(const struct interface *interface, struct bytes request, uint8_t *out)
{
    struct mac target;
    uint16_t ethertype;
    struct bytes payload;
    struct arp_packet asked;
    const bool opened = open_ethernet(interface, request, &target, &ethertype, &payload);
    assert(opened && ethertype == ETHERTYPE_ARP);
    const enum arp_result parsed = arp_parse(payload, &asked);
    assert(parsed == ARP_OK);

    const struct arp_packet reply = {
        .operation = ARP_REPLY,
        .sender_mac = sim_frame_mac(asked.target_address),
        .sender_address = asked.target_address,
        .target_mac = asked.sender_mac,
        .target_address = asked.sender_address,
    };
    struct sink sink = sink_into(out, SIM_FRAME_BYTES_MAX);
    ethernet_write(&sink, &interface->mac, &reply.sender_mac, vlan_of(interface), ETHERTYPE_ARP);
    arp_write(&sink, &reply);
    ethernet_write_padding(&sink, ETHERNET_FRAME_BYTES_MIN);
    return sink_used_bytes(&sink);
}

size_t sim_frame_queue(uint64_t seed, struct sim_address source, struct sim_address target,
                       size_t queues)
{
    assert(queues > 0);
    struct random hash = {seed};
    hash.state ^= (uint64_t)source.host << 32 | target.host;
    hash.state = random_u64(&hash);
    hash.state ^= (uint64_t)source.port << 16 | target.port;
    return sim_random_below(&hash, queues);
}
