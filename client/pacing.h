/* pacing.h - when the next datagram may leave: a bucket that fills at 1.25 windows a round trip.
 *
 * Purpose  Spreads a congestion window over the round trip instead of sending it in one burst
 *          (RFC 9002, section 7.7). After a pause at most PACING_BURST_DATAGRAMS leave at once.
 * Owns     Its fields, in memory of the caller. No clock, no allocation.
 * Threads  One owner calls it. Time never goes back: asserted.
 * Units    The bucket counts bytes, not time: when the first sample replaces the initial round
 *          trip, what was sent so far is paid off at the new rate. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { PACING_BURST_DATAGRAMS = 10 };

/* The window and the round trip as they are now. Bytes may go out at window / round trip * 5/4:
 * faster than one window a round trip, so that pacing never keeps the window from filling. */
struct pacing_rate {
    uint64_t window_bytes;    /* not 0: asserted */
    uint64_t smoothed_rtt_ns; /* 0 counts as 1 */
};

struct pacing {
    int64_t bucket_bytes; /* below 0: sent without asking (probes); a burst below 0 at most */
    int64_t burst_bytes;
    uint64_t filled_ns; /* bucket_bytes is as of then */
};

/* Starts with a full bucket. */
void pacing_init(struct pacing *pacing, uint32_t datagram_bytes_max, uint64_t now_ns);

/* The datagram size changed, and the burst with it. */
void pacing_set_datagram(struct pacing *pacing, uint32_t datagram_bytes_max);

/* The earliest time for a datagram of `size_bytes`; `now_ns` if that is at once. More than a burst
 * needs a full bucket only. UINT64_MAX: beyond the end of time. */
uint64_t pacing_next_ns(const struct pacing *pacing, struct pacing_rate rate, uint32_t size_bytes,
                        uint64_t now_ns);

/* `size_bytes` left now. Whoever did not ask pacing_next_ns (a probe) still pays. */
void pacing_sent(struct pacing *pacing, struct pacing_rate rate, uint32_t size_bytes,
                 uint64_t now_ns);

END_C_DECLS
