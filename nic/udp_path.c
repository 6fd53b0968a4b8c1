#include "nic/udp_path.h"

#include "base/invariant.h"
#include "base/sink.h"
#include "nic/ip.h"

static size_t tag_bytes(const struct udp_path *path)
{
    return path->vlan.tagged ? ETHERNET_TAG_BYTES : 0;
}

static bool is_another_host(const struct interface *interface, const struct mac *mac)
{
    return !mac_is_group(mac) && !mac_is_zero(mac) && !mac_equal(mac, &interface->mac);
}

bool udp_path_of(const struct interface *interface, const struct packet *packet,
                 const struct datagram *datagram, struct udp_path *out)
{
    struct ethernet_header ethernet;
    const enum ethernet_result parsed = ethernet_parse(packet->frame, &ethernet);
    assert_hot(parsed == ETHERNET_OK); /* frame_parse has found a datagram in it */
    if (parsed != ETHERNET_OK || !is_another_host(interface, &ethernet.source)) { return false; }
    if (datagram->source_port == 0) { return false; } /* RFC 768: no reply is expected */

    *out = (struct udp_path){
        .peer_mac = ethernet.source,
        .our_mac = interface->mac,
        .vlan = {interface->vlan_tagged, interface->vlan_id},
        .peer_address = datagram->source_address,
        .our_address = datagram->target_address,
        .peer_port = datagram->source_port,
        .our_port = datagram->target_port,
    };
    return true;
}

bool udp_path_equal(const struct udp_path *left, const struct udp_path *right)
{
    return left->peer_address == right->peer_address && left->our_address == right->our_address &&
           left->peer_port == right->peer_port && left->our_port == right->our_port;
}

struct udp_flow udp_path_inbound(const struct udp_path *path)
{
    const struct udp_flow out = {
        .source_address = path->peer_address,
        .target_address = path->our_address,
        .source_port = path->peer_port,
        .target_port = path->our_port,
    };
    return out;
}

static struct udp_flow outbound(const struct udp_path *path)
{
    const struct udp_flow out = {
        .source_address = path->our_address,
        .target_address = path->peer_address,
        .source_port = path->our_port,
        .target_port = path->peer_port,
    };
    return out;
}

size_t udp_path_headers_bytes(const struct udp_path *path)
{
    return ETHERNET_HEADER_BYTES + tag_bytes(path) + IPV4_HEADER_BYTES + UDP_HEADER_BYTES;
}

size_t udp_path_finish(const struct udp_path *path, uint8_t *room, size_t payload_bytes)
{
    assert_hot(payload_bytes <= UDP_PAYLOAD_BYTES_MAX);
    const size_t headers_bytes = udp_path_headers_bytes(path);
    const struct udp_flow flow = outbound(path);
    /* A switch that takes the tag off must not leave a runt: the minimum is without it. */
    const size_t frame_bytes_min = ETHERNET_FRAME_BYTES_MIN + tag_bytes(path);
    size_t frame_bytes = headers_bytes + payload_bytes;
    if (frame_bytes < frame_bytes_min) { frame_bytes = frame_bytes_min; }

    struct sink out = sink_into(room, frame_bytes);
    ethernet_write(&out, &path->peer_mac, &path->our_mac, path->vlan, ETHERTYPE_IPV4);
    ipv4_write(&out, flow.source_address, flow.target_address, IPV4_PROTOCOL_UDP,
               (uint16_t)(UDP_HEADER_BYTES + payload_bytes));
    udp_write_header(&out, &flow, bytes_of(room + headers_bytes, payload_bytes));
    (void)sink_take(&out, payload_bytes); /* lies there already */
    ethernet_write_padding(&out, frame_bytes);
    assert_hot(!out.overflowed);
    return frame_bytes;
}
