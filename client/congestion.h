/* congestion.h - how many bytes may be in flight: NewReno (RFC 9002, section 7 and appendix B).
 *
 * Purpose  The window. What is in flight is loss.h's count and comes in as an argument, so that
 *          there is one count; when to send within the window is pacing.h's.
 * Owns     Its fields, in memory of the caller. No clock, no allocation.
 * Threads  One owner calls it.
 * Order    For one ack: congestion_lost, then congestion_collapse if it says so, then
 *          congestion_acked for each packet that was not lost before (A.7). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    CONGESTION_INITIAL_DATAGRAMS = 10,
    CONGESTION_INITIAL_BYTES_MAX = 14720, /* or two datagrams, if that is more: section 7.2 */
    CONGESTION_MINIMUM_DATAGRAMS = 2,     /* kMinimumWindow */
};

struct congestion_options {
    uint32_t datagram_bytes_max;
    uint64_t window_bytes_max; /* 0: no cap. Two datagrams are always allowed. */
};

struct congestion {
    uint64_t window_bytes;
    uint64_t window_bytes_max; /* UINT64_MAX: no cap */
    uint64_t threshold_bytes;  /* slow start below it; UINT64_MAX before the first loss */
    uint64_t credit_bytes;     /* acked in congestion avoidance, not yet turned into growth */
    uint64_t recovery_ns;      /* when the last recovery period began; holds if `recovered` */
    uint32_t datagram_bytes_max;
    bool recovered; /* there was a recovery period, and no collapse behind it */
};

void congestion_init(struct congestion *congestion, const struct congestion_options *options);

/* A larger or smaller datagram was found to pass (7.2): the floor moves with it. */
void congestion_set_datagram(struct congestion *congestion, uint32_t datagram_bytes_max);

/* Bytes that may be sent now; 0 if the flight fills the window, or more than that. Probes of
 * loss_on_timer do not ask. */
uint64_t congestion_room_bytes(const struct congestion *congestion, uint64_t in_flight_bytes);

/* A packet left the flight acked (B.5).
 *
 * in_flight_before_bytes  Flight when the ack came in. The window grows only if the flight had
 *                         filled it: no room for another datagram, or in slow start, where pacing
 *                         spreads a window that doubles, at least half of it (7.8). */
void congestion_acked(struct congestion *congestion, uint32_t size_bytes, uint64_t sent_ns,
                      uint64_t in_flight_before_bytes);

/* In-flight packets were lost, the newest of them sent at `newest_sent_ns` (B.6). Halves the
 * window, once a round trip: losses sent before the recovery period began change nothing. */
void congestion_lost(struct congestion *congestion, uint64_t newest_sent_ns, uint64_t now_ns);

/* Persistent congestion (B.8): the minimum window, and slow start again up to the threshold. */
void congestion_collapse(struct congestion *congestion);

END_C_DECLS
