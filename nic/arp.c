#include "nic/arp.h"

#include "base/cursor.h"
#include "nic/ip.h"

enum {
    HARDWARE_ETHERNET = 1,
    IPV4_ADDRESS_BYTES = 4,
};

static bool sender_is_a_host(const struct arp_packet *packet)
{
    if (mac_is_group(&packet->sender_mac) || mac_is_zero(&packet->sender_mac)) { return false; }
    return packet->sender_address == 0 || !ipv4_address_is_special(packet->sender_address);
}

enum arp_result arp_parse(struct bytes ethernet_payload, struct arp_packet *out)
{
    struct cursor in = cursor_over(ethernet_payload);
    const uint16_t hardware = cursor_be16(&in);
    const uint16_t protocol = cursor_be16(&in);
    const uint8_t hardware_address_bytes = cursor_u8(&in);
    const uint8_t protocol_address_bytes = cursor_u8(&in);
    const uint16_t operation = cursor_be16(&in);
    out->sender_mac = cursor_mac(&in);
    out->sender_address = cursor_be32(&in);
    out->target_mac = cursor_mac(&in);
    out->target_address = cursor_be32(&in);

    if (in.overran) { return ARP_TRUNCATED; }
    if (hardware != HARDWARE_ETHERNET || hardware_address_bytes != MAC_BYTES) {
        return ARP_OTHER_HARDWARE;
    }
    if (protocol != ETHERTYPE_IPV4 || protocol_address_bytes != IPV4_ADDRESS_BYTES) {
        return ARP_OTHER_PROTOCOL;
    }
    if (operation != ARP_REQUEST && operation != ARP_REPLY) { return ARP_BAD_OPERATION; }
    if (!sender_is_a_host(out)) { return ARP_BAD_SENDER; }

    out->operation = (enum arp_operation)operation;
    return ARP_OK;
}

void arp_write(struct sink *sink, const struct arp_packet *packet)
{
    sink_be16(sink, HARDWARE_ETHERNET);
    sink_be16(sink, ETHERTYPE_IPV4);
    sink_u8(sink, MAC_BYTES);
    sink_u8(sink, IPV4_ADDRESS_BYTES);
    sink_be16(sink, (uint16_t)packet->operation);
    sink_bytes(sink, bytes_of(packet->sender_mac.bytes, MAC_BYTES));
    sink_be32(sink, packet->sender_address);
    sink_bytes(sink, bytes_of(packet->target_mac.bytes, MAC_BYTES));
    sink_be32(sink, packet->target_address);
}
