/* serve_stats.h - what penstock-serve counted: one struct, written by the event loop alone.
 *
 * SERVE_COUNTERS drives /metrics (penstock_serve_<name>_total), so a new counter is one line here.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

/* X(name, help) */
#define SERVE_COUNTERS(X)                                                                          \
    X(connections_accepted, "Kafka connections accepted")                                          \
    X(connections_refused,                                                                         \
      "Kafka connections closed at once because serve.connections is reached")                     \
    X(connections_closed_by_peer, "connections that the client closed or reset")                   \
    X(connections_closed_idle, "connections closed after ten idle minutes")                        \
    X(connections_closed_slow, "connections closed because a request or answer made no progress")  \
    X(connections_closed_protocol,                                                                 \
      "connections closed because of bytes that are no valid request")                             \
    X(frames_oversized, "request frames with a negative, zero or too large length")                \
    X(received_bytes, "bytes received from Kafka clients")                                         \
    X(sent_bytes, "bytes sent to Kafka clients")                                                   \
    X(batches_from_ring, "RecordBatches copied out of a commit ring")                              \
    X(batches_from_cache, "RecordBatches copied out of the cold cache")                            \
    X(batches_from_disk, "RecordBatches read from disk")                                           \
    X(batches_from_ring_bytes, "bytes of RecordBatches copied out of a commit ring")               \
    X(batches_from_cache_bytes, "bytes of RecordBatches copied out of the cold cache")             \
    X(batches_from_disk_bytes, "bytes of RecordBatches read from disk")                            \
    X(ring_reads_stale, "batches that left the ring before they were copied, then read cold")      \
    X(reads_corrupt, "reads of batches, from a ring or twice from disk, with a wrong checksum")    \
    X(fenced_batches, "batches passed over because of rot: their offsets are a gap for consumers") \
    X(reads_failed, "batches not served because the disk refused them")                            \
    X(fetches_parked, "fetches that had to wait for data")                                         \
    X(fetches_out_of_range, "fetched partitions whose offset is outside the log")                  \
    X(fetches_held_for_memory, "fetches that waited because all response memory was in use")       \
    X(produce_refused, "produce requests answered with TOPIC_AUTHORIZATION_FAILED")                \
    X(doorbells, "wake-ups by the ingest process")                                                 \
    X(http_requests, "requests to the admin port")

enum serve_counter {
#define X(name, help) SERVE_##name,
    SERVE_COUNTERS(X)
#undef X
        SERVE_COUNTER_COUNT,
};

enum { SERVE_APIS_MAX = 16 };

struct serve_stats {
    uint64_t counters[SERVE_COUNTER_COUNT];
    uint64_t requests[SERVE_APIS_MAX]; /* [index in the table of APIs] */
    /* Gauges */
    uint64_t connections_open;
    uint64_t fetches_waiting;
    uint64_t answer_bytes_held; /* memory of answers being built or sent */
    uint64_t cache_bytes;
};

static inline void serve_stats_add(struct serve_stats *stats, enum serve_counter counter,
                                   uint64_t by)
{
    stats->counters[counter] += by;
}

END_C_DECLS
