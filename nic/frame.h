/* frame.h - from an Ethernet frame to a UDP datagram for us, or to the one reason why not.
 *
 * Purpose  Composes ethernet, ip and udp into the one outcome that the ledger counts: every frame
 *          ends in exactly one enum frame_result.
 * Owns     Nothing; what it hands out points into the frame.
 * Threads  Any; no state besides the read-only interface. No I/O, clock or allocation.
 * Order    Whose frame it is comes before what is wrong with it, as far as that can be told: a
 * frame for somebody else is never "malformed". A frame ends at the first of 1 the Ethernet header
 * is there; 2 the MAC is ours or a group's; 3 the VLAN is ours; 4 the ethertype is ARP or IPv4; 5
 * it lies in one buffer; then for IPv4 6 it did not come to a group MAC (RFC 1122 3.3.6); 7
 * lengths; 8 header checksum: before it no address can be believed; 9 our address; 10 a possible
 * source; 11 no fragment: its ports may not be there; 12 protocol; 13 the ICMP or UDP header; 14
 * its checksum. Source   IEEE 802.3 and 802.1Q, RFC 791, 768, 792, 826, 1122. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "nic/ethernet.h"
#include "nic/packets.h"

BEGIN_C_DECLS

enum frame_result {
    /* passed on */
    FRAME_UDP, /* a datagram to our address; whether a listener has the port is the caller's */
    FRAME_ARP, /* for neighbour.h */
    FRAME_ICMP_ECHO, /* an echo request to our address, checksum good: for neighbour.h */

    /* malformed */
    FRAME_ETHERNET_TRUNCATED, /* shorter than its header (or a VLAN tag that is cut) */
    FRAME_ARP_MALFORMED,      /* cut, not Ethernet and IPv4, or from no possible host */
    FRAME_IPV4_TRUNCATED,     /* fewer bytes than the header, or than total length claims */
    FRAME_IPV4_BAD_VERSION,
    FRAME_IPV4_BAD_HEADER_LENGTH,
    FRAME_IPV4_BAD_TOTAL_LENGTH, /* claims less than its own header */
    FRAME_IPV4_BAD_CHECKSUM,
    FRAME_IPV4_BAD_SOURCE, /* multicast, broadcast, loopback, 0/8 or our own address as source */
    FRAME_ICMP_MALFORMED,  /* cut, a wrong checksum, or an echo request with a code */
    FRAME_UDP_TRUNCATED,
    FRAME_UDP_BAD_LENGTH,
    FRAME_UDP_BAD_CHECKSUM,
    FRAME_CHAINED, /* longer than one receive buffer: above the configured mtu */

    /* not ours */
    FRAME_OTHER_MAC,       /* another host's; or ARP to a group that is not everybody */
    FRAME_OTHER_VLAN,      /* tagged otherwise than configured, or not tagged, or QinQ. VLAN 0 is a
                              priority and no VLAN: the frame counts as untagged (802.1Q 6.9) */
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
 * 768) whatever the NIC says: some call such datagrams bad (DPDK's ixgbe
 * driver works around it as rx_udp_csum_zero_err). */
enum frame_result frame_parse(const struct interface *interface, const struct packet *packet,
                              struct datagram *out);

/* "udp_bad_checksum": the ledger's and the metrics' word. */
const char *frame_result_name(enum frame_result result);

END_C_DECLS
