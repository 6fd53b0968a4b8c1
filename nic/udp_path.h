/* udp_path.h - where answers to a received datagram go, and the headers that take them there.
 *
 * Purpose  What a session keeps of its peer: udp_path_of reads it from a frame, udp_path_finish
 *          puts Ethernet, IPv4 and UDP in front of a payload.
 * Owns     Nothing: a path is a value and outlives the frame.
 * Threads  Any; no state.
 * MAC      An answer goes to the MAC that the frame came from: the peer on our link, or the
 *          router that forwarded it and so knows the way to the peer. No neighbour table is
 *          asked, which a worker whose queue never sees ARP could not fill.
 * Limits   Where routing is asymmetric, the router that we answer through must forward for the
 *          peer too. After a router failed over, the old MAC is right no longer: take the path
 *          anew from every datagram that proves to be the peer's; one that has been silent for
 *          long may be out of reach until it speaks again. A forger on the link chooses where
 *          answers to what it forged go, as it could by ARP: before a peer is proven, never
 *          answer with more bytes than came.
 * IPv6     Only this module knows how long an address is: callers copy and compare paths and
 *          ask for the headers' length. A family and 16 bytes replace the two addresses, and
 *          udp_path_of, _headers_bytes and _finish choose by it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "nic/ethernet.h"
#include "nic/frame.h"
#include "nic/udp.h"

BEGIN_C_DECLS

enum {
    /* Room that any answer needs, however short: a padded frame with a tag. */
    UDP_PATH_FRAME_BYTES_MIN = ETHERNET_FRAME_BYTES_MIN + ETHERNET_TAG_BYTES,
};

struct udp_path {
    struct mac peer_mac;
    struct mac our_mac;
    struct ethernet_vlan vlan;
    uint32_t peer_address; /* host order, as all here */
    uint32_t our_address;
    uint16_t peer_port;
    uint16_t our_port;
};

/* Of a frame that frame_parse called FRAME_UDP, and its datagram. False, and `out` does not hold:
 * nobody can be answered there (no port, or an Ethernet source that is no other host's: a group,
 * zero or ourselves); a broadcast by us is what a forger would want. */
MUST_CHECK bool udp_path_of(const struct interface *interface, const struct packet *packet,
                            const struct datagram *datagram, struct udp_path *out);

/* The same two ends: addresses and ports. Which router is between them may change. */
bool udp_path_equal(const struct udp_path *left, const struct udp_path *right);

/* The flow of what the peer sends: what steering.h computes with. */
struct udp_flow udp_path_inbound(const struct udp_path *path);

/* How far into its room an answer's payload starts. */
size_t udp_path_headers_bytes(const struct udp_path *path);

/* Makes a frame of a payload that lies at room + udp_path_headers_bytes: headers before it, with
 * both checksums, never to be fragmented; zeros behind it up to Ethernet's minimum.
 *
 * room     As long as headers and payload, and UDP_PATH_FRAME_BYTES_MIN at least.
 * Returns  the frame's length. That it fits the mtu is the caller's affair. */
size_t udp_path_finish(const struct udp_path *path, uint8_t *room, size_t payload_bytes);

END_C_DECLS
