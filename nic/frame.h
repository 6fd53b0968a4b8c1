/* frame.h - from an Ethernet frame to a UDP datagram for us, or to the one reason why not.
 *
 * Purpose  Composes ethernet, ip and udp into the one outcome that the ledger counts: every frame
 *          ends in exactly one enum frame_result.
 * Owns     Nothing; what it hands out points into the frame.
 * Threads  Any; no state besides the read-only interface. No I/O, clock or allocation.
 * Source   IEEE 802.3 and 802.1Q, RFC 791, 768, 792, 826, 1122. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "nic/packets.h"

BEGIN_C_DECLS

enum { MAC_BYTES = 6 };

struct mac {
    uint8_t bytes[MAC_BYTES];
};

enum frame_result {
    /* passed on */
    FRAME_UDP, /* a datagram to our address; whether a listener has the port is the caller's */
    FRAME_ARP, /* for neighbour.h */
    FRAME_ICMP_ECHO, /* an echo request to our address, checksum good: for neighbour.h */

    /* malformed */
    FRAME_ETHERNET_TRUNCATED, /* shorter than its header (or a VLAN tag that is cut) */
    FRAME_ARP_MALFORMED,
    FRAME_IPV4_TRUNCATED, /* fewer bytes than the header, or than total length claims */
    FRAME_IPV4_BAD_VERSION,
    FRAME_IPV4_BAD_HEADER_LENGTH,
    FRAME_IPV4_BAD_TOTAL_LENGTH, /* claims less than its own header */
    FRAME_IPV4_BAD_CHECKSUM,
    FRAME_IPV4_BAD_SOURCE, /* multicast, broadcast, loopback or our own address as source */
    FRAME_ICMP_MALFORMED,
    FRAME_UDP_TRUNCATED,
    FRAME_UDP_BAD_LENGTH,
    FRAME_UDP_BAD_CHECKSUM,
    FRAME_CHAINED, /* longer than one receive buffer: above the configured mtu */

    /* not ours */
    FRAME_OTHER_MAC,
    FRAME_OTHER_VLAN,      /* tagged otherwise than configured, or not tagged, or QinQ */
    FRAME_OTHER_ETHERTYPE, /* LLDP, STP ... */
    FRAME_IPV6,            /* not spoken yet */
    FRAME_OTHER_IPV4,      /* another host's address, a multicast group, a broadcast */
    FRAME_IPV4_FRAGMENT,   /* not reassembled yet */
    FRAME_OTHER_PROTOCOL,  /* neither UDP nor ICMP */
    FRAME_ICMP_OTHER,      /* not an echo request */

    FRAME_RESULT_COUNT,
};

/* Who we are on one port; read-only after start. Addresses in host order. */
struct interface {
    struct mac mac;
    uint32_t address;
    uint32_t netmask;
    uint32_t gateway; /* 0: none */
    bool vlan_tagged; /* frames carry vlan_id, ours too */
    uint16_t vlan_id;
    uint16_t mtu_bytes; /* of the IP packet */
};

struct datagram {
    uint32_t source_address; /* host order */
    uint32_t target_address;
    uint16_t source_port;
    uint16_t target_port;
    struct bytes payload; /* may be empty */
};

/* `out` holds only on FRAME_UDP. A checksum that the NIC called good is believed; one that it
 * called bad ends the frame; otherwise it is computed here. A UDP checksum of 0 means "none" (RFC
 * 768). */
enum frame_result frame_parse(const struct interface *interface, const struct packet *packet,
                              struct datagram *out);

/* "udp_bad_checksum": the ledger's and the metrics' word. */
const char *frame_result_name(enum frame_result result);

END_C_DECLS
