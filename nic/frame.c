#include "nic/frame.h"

#include "base/invariant.h"
#include "nic/arp.h"
#include "nic/icmp.h"
#include "nic/ip.h"
#include "nic/udp.h"

static bool is_our_vlan(const struct interface *interface, bool tagged, uint16_t vlan_id)
{
    if (!interface->vlan_tagged) { return !tagged || vlan_id == 0; }
    return tagged && vlan_id == interface->vlan_id;
}

static bool is_vlan_ethertype(uint16_t ethertype)
{
    return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN;
}

/* Takes the tag off, in the frame or in vlan_tci, and judges it. FRAME_UDP stands for "go on". */
static enum frame_result frame_untag(const struct interface *interface, const struct packet *packet,
                                     struct ethernet_header *header)
{
    struct ethernet_tag tag = {0};
    bool tagged = packet->vlan_stripped;
    if (tagged) {
        tag.vlan_id = ethernet_tci_vlan_id(packet->vlan_tci);
    } else if (header->ethertype == ETHERTYPE_VLAN) {
        tagged = true;
        if (ethernet_parse_tag(header->payload, &tag) != ETHERNET_OK) {
            return FRAME_ETHERNET_TRUNCATED;
        }
        header->ethertype = tag.ethertype;
        header->payload = tag.payload;
    }
    if (!is_our_vlan(interface, tagged, tag.vlan_id)) { return FRAME_OTHER_VLAN; }
    return is_vlan_ethertype(header->ethertype) ? FRAME_OTHER_VLAN : FRAME_UDP;
}

static enum frame_result frame_of_ipv4(enum ipv4_result result)
{
    assert(result != IPV4_OK);
    assert(result < IPV4_RESULT_COUNT);
    switch (result) {
    case IPV4_BAD_VERSION: return FRAME_IPV4_BAD_VERSION;
    case IPV4_BAD_HEADER_LENGTH: return FRAME_IPV4_BAD_HEADER_LENGTH;
    case IPV4_BAD_TOTAL_LENGTH: return FRAME_IPV4_BAD_TOTAL_LENGTH;
    default: return FRAME_IPV4_TRUNCATED;
    }
}

static bool is_possible_source(const struct interface *interface, uint32_t address)
{
    if (address == interface->address || ipv4_address_is_special(address)) { return false; }
    /* The directed broadcast of our own link; a /31 or /32 has none (RFC 3021). */
    const uint32_t host_bits = ~interface->netmask;
    return host_bits <= 1 || address != (interface->address | host_bits);
}

static bool ip_checksum_passes(const struct packet *packet, const struct ipv4_packet *ip)
{
    if (packet->ip_checksum != PACKET_CHECKSUM_UNKNOWN) {
        return packet->ip_checksum == PACKET_CHECKSUM_GOOD;
    }
    return ipv4_checksum_is_good(ip);
}

static bool udp_checksum_passes(const struct packet *packet, const struct ipv4_packet *ip,
                                const struct udp_datagram *udp)
{
    if (!udp->has_checksum) { return true; }
    if (packet->l4_checksum != PACKET_CHECKSUM_UNKNOWN) {
        return packet->l4_checksum == PACKET_CHECKSUM_GOOD;
    }
    return udp_checksum_is_good(udp, ip->source_address, ip->target_address);
}

static enum frame_result frame_parse_icmp(struct bytes ip_payload)
{
    struct icmp_echo echo;
    switch (icmp_parse(ip_payload, &echo)) {
    case ICMP_ECHO_REQUEST: return FRAME_ICMP_ECHO;
    case ICMP_OTHER: return FRAME_ICMP_OTHER;
    case ICMP_TRUNCATED:
    case ICMP_BAD_CHECKSUM:
    case ICMP_BAD_CODE:
    case ICMP_RESULT_COUNT: break;
    }
    return FRAME_ICMP_MALFORMED;
}

static enum frame_result frame_parse_udp(const struct packet *packet, const struct ipv4_packet *ip,
                                         struct datagram *out)
{
    struct udp_datagram udp;
    const enum udp_result result = udp_parse(ip->payload, &udp);
    if (result == UDP_TRUNCATED) { return FRAME_UDP_TRUNCATED; }
    if (result == UDP_BAD_LENGTH) { return FRAME_UDP_BAD_LENGTH; }
    if (!udp_checksum_passes(packet, ip, &udp)) { return FRAME_UDP_BAD_CHECKSUM; }

    out->source_address = ip->source_address;
    out->target_address = ip->target_address;
    out->source_port = udp.source_port;
    out->target_port = udp.target_port;
    out->payload = udp.payload;
    return FRAME_UDP;
}

static enum frame_result frame_parse_ipv4(const struct interface *interface,
                                          const struct packet *packet,
                                          struct bytes ethernet_payload, struct datagram *out)
{
    struct ipv4_packet ip;
    const enum ipv4_result result = ipv4_parse(ethernet_payload, &ip);
    if (result != IPV4_OK) { return frame_of_ipv4(result); }
    if (!ip_checksum_passes(packet, &ip)) { return FRAME_IPV4_BAD_CHECKSUM; }
    if (ip.target_address != interface->address) { return FRAME_OTHER_IPV4; }
    if (!is_possible_source(interface, ip.source_address)) { return FRAME_IPV4_BAD_SOURCE; }
    if (ip.fragment) { return FRAME_IPV4_FRAGMENT; }

    if (ip.protocol == IPV4_PROTOCOL_UDP) { return frame_parse_udp(packet, &ip, out); }
    if (ip.protocol == IPV4_PROTOCOL_ICMP) { return frame_parse_icmp(ip.payload); }
    return FRAME_OTHER_PROTOCOL;
}

static enum frame_result frame_parse_arp(const struct ethernet_header *ethernet)
{
    struct arp_packet arp;
    if (mac_is_group(&ethernet->target) && !mac_is_broadcast(&ethernet->target)) {
        return FRAME_OTHER_MAC;
    }
    return arp_parse(ethernet->payload, &arp) == ARP_OK ? FRAME_ARP : FRAME_ARP_MALFORMED;
}

enum frame_result frame_parse(const struct interface *interface, const struct packet *packet,
                              struct datagram *out)
{
    struct ethernet_header ethernet;
    if (ethernet_parse(packet->frame, &ethernet) != ETHERNET_OK) {
        return FRAME_ETHERNET_TRUNCATED;
    }
    const bool to_group = mac_is_group(&ethernet.target);
    if (!to_group && !mac_equal(&ethernet.target, &interface->mac)) { return FRAME_OTHER_MAC; }

    const enum frame_result untagged = frame_untag(interface, packet, &ethernet);
    if (untagged != FRAME_UDP) { return untagged; }

    switch (ethernet.ethertype) {
    case ETHERTYPE_IPV4:
        if (to_group) { return FRAME_OTHER_IPV4; }
        if (packet->chained) { return FRAME_CHAINED; }
        return frame_parse_ipv4(interface, packet, ethernet.payload, out);
    case ETHERTYPE_ARP:
        if (packet->chained) { return FRAME_CHAINED; }
        return frame_parse_arp(&ethernet);
    case ETHERTYPE_IPV6: return FRAME_IPV6;
    default: return FRAME_OTHER_ETHERTYPE;
    }
}

const char *frame_result_name(enum frame_result result)
{
    static const char *const names[] = {
        [FRAME_UDP] = "udp",
        [FRAME_ARP] = "arp",
        [FRAME_ICMP_ECHO] = "icmp_echo",
        [FRAME_ETHERNET_TRUNCATED] = "ethernet_truncated",
        [FRAME_ARP_MALFORMED] = "arp_malformed",
        [FRAME_IPV4_TRUNCATED] = "ipv4_truncated",
        [FRAME_IPV4_BAD_VERSION] = "ipv4_bad_version",
        [FRAME_IPV4_BAD_HEADER_LENGTH] = "ipv4_bad_header_length",
        [FRAME_IPV4_BAD_TOTAL_LENGTH] = "ipv4_bad_total_length",
        [FRAME_IPV4_BAD_CHECKSUM] = "ipv4_bad_checksum",
        [FRAME_IPV4_BAD_SOURCE] = "ipv4_bad_source",
        [FRAME_ICMP_MALFORMED] = "icmp_malformed",
        [FRAME_UDP_TRUNCATED] = "udp_truncated",
        [FRAME_UDP_BAD_LENGTH] = "udp_bad_length",
        [FRAME_UDP_BAD_CHECKSUM] = "udp_bad_checksum",
        [FRAME_CHAINED] = "chained",
        [FRAME_OTHER_MAC] = "other_mac",
        [FRAME_OTHER_VLAN] = "other_vlan",
        [FRAME_OTHER_ETHERTYPE] = "other_ethertype",
        [FRAME_IPV6] = "ipv6",
        [FRAME_OTHER_IPV4] = "other_ipv4",
        [FRAME_IPV4_FRAGMENT] = "ipv4_fragment",
        [FRAME_OTHER_PROTOCOL] = "other_protocol",
        [FRAME_ICMP_OTHER] = "icmp_other",
    };
    static_assert(ARRAY_COUNT(names) == FRAME_RESULT_COUNT, "a name for each result");
    assert(result < FRAME_RESULT_COUNT);
    return names[result];
}
