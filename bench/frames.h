/* frames.h - the packets made beforehand: a data set larger than the caches, in mbufs.
 *
 * Purpose  Fills a pool of mbufs with whole Ethernet frames and feeds them, burst by burst, into a
 *          net_ring device, which hands them to its own receive queue. The set keeps a reference on
 *          every frame, so that whoever receives one may release it as any other.
 * Owns     Pool and mbufs. Not one byte of them changes after frames_create, but what producers.c
 *          numbers anew in the native ones that are not under way.
 * Threads  create and destroy on the main lcore, feed on the worker's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "nic/frame.h"
#include "nic/udp_path.h"

BEGIN_C_DECLS

struct rte_mbuf;
struct rte_mempool;

enum frames_kind {
    FRAMES_LINES_PACKED, /* lines packed to the MTU */
    FRAMES_LINES_SINGLE, /* one line a datagram */
    FRAMES_SYSLOG_SINGLE,
    FRAMES_LINES_FIVE,  /* five lines of FRAMES_RECORD_BYTES */
    FRAMES_NATIVE_FIVE, /* the same records in a DATA; session and numbers are producers.c's */
    FRAMES_HOSTILE,     /* to the native listener: noise, damage, strangers' sessions, HELLOs */
};

enum {
    FRAMES_BURST = 64,
    FRAMES_LINES_PORT = 5140,
    FRAMES_SYSLOG_PORT = 514,
    FRAMES_NATIVE_PORT = 4650,
    FRAMES_RECORD_BYTES = 256,
    FRAMES_RECORDS_FIVE = 5,
};

struct frames {
    struct rte_mempool *pool;
    struct rte_mbuf **mbufs;
    size_t count;
    uint64_t record_count;
    uint64_t record_bytes; /* values, as a consumer sees them; syslog: the whole datagram */
    uint64_t frame_bytes;
    size_t next; /* to be fed */
};

struct frames_options {
    enum frames_kind kind;
    const struct interface *interface; /* they are for it */
    uint64_t bytes_min;
    uint64_t seed;
    /* Source addresses. Of FRAMES_NATIVE_FIVE, frame i comes from host i % hosts and their number
     * is a multiple of it; of the others, from one drawn. */
    uint32_t hosts;
};
MUST_CHECK enum status frames_create(struct frames *frames, const struct frames_options *options);
void frames_destroy(struct frames *frames);

/* The way from a host of the data set to a port of ours: `our_*` is the host's end. */
struct udp_path frames_path(const struct interface *interface, uint32_t host, uint16_t port);

/* Up to `most` (at most FRAMES_BURST) into the device's ring; answers how many it took. */
size_t frames_feed(struct frames *frames, uint16_t port_id, size_t most);

/* A frame's bytes. */
uint8_t *frames_at(const struct frames *frames, size_t index, size_t *out_len_bytes);
/* Nobody else has it: its bytes may change. */
bool frames_is_idle(const struct frames *frames, size_t index);
/* Of a frame that another pool's buffer holds: a worker's answer. */
struct bytes frames_bytes_of(void *handle, size_t len_bytes);

/* The other end: up to FRAMES_BURST frames from the device's queue, and back to where they came
 * from. (DPDK's headers stay in frames.c and limits/parse.c: they redefine base/clock.h's names.)
 */
size_t frames_receive(uint16_t port_id, struct rte_mbuf **mbufs);
void frames_release(struct rte_mbuf **mbufs, size_t count);

/* DPDK's number of a device that dpdk_port_create made. */
MUST_CHECK enum status frames_find_port(const char *device, uint16_t *out_port_id);

/* Memory that the largest data set takes: what EAL must have beside the port's own. */
uint64_t frames_memory_bytes(uint64_t bytes_min);

END_C_DECLS
