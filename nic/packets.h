/* packets.h - the packets port: frames in and out, whatever stands behind it.
 *
 * Purpose  The worker's only way to a NIC queue. dpdk_packets.c is the real one, tests/sim/
 *          sim_packets.c the simulated.
 * Owns     A received frame belongs to the receiver until it is given back by release or transmit.
 * Threads  One worker owns a queue pair and alone calls it; nothing waits, locks or allocates.
 * Cost     One indirect call a burst, never one a received packet. Reserve is one a frame: 4.7 ns,
 *          where a bulk of 64 took 2.1 each and writing an ack's headers 26. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/invariant.h"

BEGIN_C_DECLS

enum { PACKETS_BURST_MAX = 64 };

/* What the NIC says of the checksums; UNKNOWN means that software must look. */
enum packet_checksum {
    PACKET_CHECKSUM_UNKNOWN,
    PACKET_CHECKSUM_GOOD,
    PACKET_CHECKSUM_BAD,
};

struct packet {
    struct bytes frame;  /* from the Ethernet header on, contiguous, without FCS */
    void *handle;        /* the port's own; give it back */
    uint8_t ip_checksum; /* enum packet_checksum */
    uint8_t l4_checksum;
    bool chained;       /* more than one buffer: `frame` shows the first only; count and release */
    bool vlan_stripped; /* the NIC took the tag off; it is in vlan_tci */
    uint16_t vlan_tci;
};

/* A frame to be sent: room that the port lends, filled by the caller. */
struct packet_room {
    uint8_t *at;
    size_t capacity_bytes;
    void *handle;
};

struct packets_ops {
    size_t (*receive)(void *self, struct packet *out, size_t capacity);
    void (*release)(void *self, void *const *handles, size_t count);
    bool (*reserve)(void *self, struct packet_room *out);
    size_t (*transmit)(void *self, void *const *handles, const size_t *lens_bytes, size_t count);
    size_t (*buffers_free)(void *self);
};

struct packets {
    const struct packets_ops *ops;
    void *self;
};

/* Up to `capacity` (at most PACKETS_BURST_MAX) frames; 0 when there are none. */
static inline size_t packets_receive(struct packets packets, struct packet *out, size_t capacity)
{
    assert_hot(capacity <= PACKETS_BURST_MAX);
    return packets.ops->receive(packets.self, out, capacity);
}

/* Gives received frames back; their bytes must not be looked at again. */
static inline void packets_release(struct packets packets, void *const *handles, size_t count)
{
    packets.ops->release(packets.self, handles, count);
}

/* A buffer to build a frame in; false when there is none just now. */
static inline bool packets_reserve(struct packets packets, struct packet_room *out)
{
    return packets.ops->reserve(packets.self, out);
}

/* Sends reserved buffers, each with its length, in as few device calls as bursts: one call for many
 * frames, not many calls (a call is a system call under AF_XDP). Answers how many the queue took,
 * the first ones; the others are dropped, and counted by the port (send_dropped_frames). All
 * handles are the port's again. */
static inline size_t packets_transmit(struct packets packets, void *const *handles,
                                      const size_t *lens_bytes, size_t count)
{
    return packets.ops->transmit(packets.self, handles, lens_bytes, count);
}

/* How many buffers are left for frames to come. A frame that is held is one less until it is
 * released, whatever the device: what it had in a ring is replaced from here (net_af_xdp: as it is
 * received, and none is received while there are fewer than it would hand out; a NIC's driver: some
 * dozens later) or was copied from here (af_packet, pcap). Sent frames come back as the device gets
 * round to it. So this may not fall to nothing while the worker waits for a frame: what it may hold
 * is dpdk_port_frames_held_max. */
static inline size_t packets_buffers_free(struct packets packets)
{
    return packets.ops->buffers_free(packets.self);
}

END_C_DECLS
