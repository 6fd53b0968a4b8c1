/* sim_frames.h - the cable between datagrams of sim_network and frames of the packets port.
 *
 * Purpose  A simulated node's worker sees Ethernet; clients and the network know datagrams. Wraps
 *          one into a frame for an interface, unwraps what the interface sent, plays the hosts that
 *          answer its ARP questions, and spreads flows over queues as a NIC does.
 * Owns     Nothing. Threads: any; no state. Source: RFC 768, 791, 826; IEEE 802.3. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "nic/frame.h"
#include "tests/sim/sim_network.h"

BEGIN_C_DECLS

enum {
    /* Headers with a VLAN tag around the longest datagram. */
    SIM_FRAME_BYTES_MAX = ETHERNET_HEADER_BYTES + ETHERNET_TAG_BYTES + SIM_UDP_OVERHEAD_BYTES +
                          SIM_DATAGRAM_BYTES_MAX,
};

/* Every simulated host has the MAC that its address says. */
struct mac sim_frame_mac(uint32_t host);

/* The frame that brings a datagram to the interface; its length. Its checksums are right, but for
 * the UDP checksum of a datagram with checksum_is_bad. `out` has SIM_FRAME_BYTES_MAX. */
size_t sim_frame_wrap(const struct interface *interface, const struct sim_datagram *datagram,
                      uint8_t *out);

enum sim_frame_kind {
    SIM_FRAME_DATAGRAM,    /* UDP over IPv4, right in every field that a receiver looks at */
    SIM_FRAME_ARP_REQUEST, /* sim_frame_answer has the reply */
    SIM_FRAME_OTHER,       /* ICMP, ARP that asks nobody */
    SIM_FRAME_WRONG,       /* what no host may send: bad lengths, checksums, addresses, padding */
};

/* What the interface sent. `out` holds only for SIM_FRAME_DATAGRAM and points into the frame. */
enum sim_frame_kind sim_frame_unwrap(const struct interface *interface, struct bytes frame,
                                     struct sim_datagram *out);

/* The ARP reply to a SIM_FRAME_ARP_REQUEST, from the host that was asked for; its length. */
size_t sim_frame_answer(const struct interface *interface, struct bytes request, uint8_t *out);

/* Which of `queues` the NIC gives a flow to. Seeded, so that a flow's home is not where its client
 * hopes. */
size_t sim_frame_queue(uint64_t seed, struct sim_address source, struct sim_address target,
                       size_t queues);

END_C_DECLS
