/* dpdk_port.h - ports with one queue pair a worker, from the configuration.
 *
 * Purpose  Composes devices (dpdk_device.h) into ports: mbuf pools on the port's NUMA node, RSS on
 *          the UDP 4-tuple where there is any, checksum offloads, statistics. DPDK itself is
 * brought up by dpdk_eal.h. Owns     The ports, their devices and pools. Threads  Everything here
 * runs on the main core; it may block. dpdk_packets.h has the hot half. Errors   enum status, and a
 * text for the operator that says which device, what and what to do. Sources  DPDK 22.11
 * programmer's guide: EAL, poll mode drivers, mbuf library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "nic/dpdk_device.h"
#include "nic/dpdk_eal.h"
#include "nic/frame.h"
#include "nic/packets.h"
#include "nic/steering.h"

BEGIN_C_DECLS

struct dpdk_port_options {
    const char *const *devices; /* one device with a queue pair a worker, or one a worker */
    size_t device_count;
    size_t worker_count;
    struct interface interface; /* mac is filled in from the device */
    size_t buffers_per_worker;  /* mbufs; see dpdk_port_buffers_default */
    /* Received frames that a worker must be able to keep: a pool that is too small for them and the
     * rings is refused. 0: as many as dpdk_port_frames_held_max then says. */
    size_t frames_held_max;
};

struct dpdk_port; /* opaque */

/* mbufs a worker's pool should have for the memory at hand and this mtu. */
size_t dpdk_port_buffers_default(const struct dpdk_memory *memory, size_t worker_count,
                                 size_t port_count, uint16_t mtu_bytes);

/* Configures and starts. STATUS_NOT_FOUND: no such device; STATUS_UNSUPPORTED: fewer queues than
 * workers, or too large an mtu; STATUS_BUSY: another port has the device; STATUS_NO_MEMORY: also
 * too few buffers for what is to be held; STATUS_IO. */
MUST_CHECK enum status dpdk_port_create(const struct dpdk_port_options *options,
                                        struct dpdk_port **out, struct dpdk_error *error);
/* NULL is fine. Workers have stopped and hold no frame. A port over AF_XDP cannot be made again in
 * the same process: net_af_xdp 22.11 leaves the socket open until the process ends. */
void dpdk_port_destroy(struct dpdk_port *port);

/* The queue pair of a worker, as a packets port; lives as long as the port. */
struct packets dpdk_port_packets(struct dpdk_port *port, size_t worker_index);
const struct interface *dpdk_port_interface(const struct dpdk_port *port);

/* How many received frames each worker may keep from this port (an open commit, frames that wait
 * for one before them) so that it still receives and answers: its pool without what the rings, the
 * lcore's cache and two bursts on their way may take. 0 for a pool that is just these. */
size_t dpdk_port_frames_held_max(const struct dpdk_port *port);

/* Which worker a flow comes to: queue numbers are worker indexes. Lives as long as the port. NULL:
 * nothing is known of that (one worker, a device a worker, no RSS over UDP's ports, or a driver
 * that does not tell how it hashes). */
const struct steering *dpdk_port_steering(const struct dpdk_port *port);

struct dpdk_port_facts {
    char driver[DPDK_DRIVER_NAME_BYTES];
    int numa_node;   /* -1: none */
    bool loss_known; /* false: the driver cannot tell what it missed (af_packet, pcap) */
    bool checksum_offload;
    bool rss;
    bool link_up;
    uint32_t link_mbps;
};

void dpdk_port_facts(const struct dpdk_port *port, struct dpdk_port_facts *out);

/* Lifetime of the port, summed over its devices. */
struct dpdk_port_counts {
    uint64_t received_frames;
    uint64_t received_bytes;
    uint64_t missed_frames;    /* the device had no room: lost before us */
    uint64_t no_buffer_frames; /* no mbuf: lost before us */
    uint64_t error_frames;     /* the device refused them */
    uint64_t sent_frames;
    uint64_t send_dropped_frames;
};

/* May cost a system call (AF_XDP): the main core, a few times a second. */
void dpdk_port_counts(const struct dpdk_port *port, struct dpdk_port_counts *out);

END_C_DECLS
