/* arp.h - an ARP packet for Ethernet and IPv4: read and written.
 *
 * Owns nothing. Any thread; no state. What to do about one is neighbour.h's affair.
 * Source: RFC 826, RFC 5227. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"
#include "nic/ethernet.h"

BEGIN_C_DECLS

enum { ARP_PACKET_BYTES = 28 };

enum arp_operation {
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
};

enum arp_result {
    ARP_OK,
    ARP_TRUNCATED,
    ARP_OTHER_HARDWARE, /* not Ethernet with 6-byte addresses */
    ARP_OTHER_PROTOCOL, /* not IPv4 with 4-byte addresses */
    ARP_BAD_OPERATION,  /* neither request nor reply */
    ARP_BAD_SENDER,     /* no host has this: a group MAC or zero, or a special IPv4 address */
    ARP_RESULT_COUNT,
};

struct arp_packet {
    enum arp_operation operation;
    struct mac sender_mac;
    uint32_t sender_address; /* host order; 0 in a probe (RFC 5227 1.1) */
    struct mac target_mac;   /* zero in a request */
    uint32_t target_address;
};

/* `out` holds only on ARP_OK; Ethernet padding behind the packet is no error. */
enum arp_result arp_parse(struct bytes ethernet_payload, struct arp_packet *out);

void arp_write(struct sink *sink, const struct arp_packet *packet);

END_C_DECLS
