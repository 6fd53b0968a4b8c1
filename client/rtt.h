/* rtt.h - the round-trip time of one path, estimated (RFC 9002, section 5).
 *
 * Purpose  Samples in, and out of them the three durations that loss detection waits for.
 * Owns     Its fields, in memory of the caller. Nothing else: no clock, no allocation.
 * Threads  One owner calls it.
 * Bounds   A sample above RTT_NS_MAX counts as RTT_NS_MAX: what took longer is a host that slept,
 *          and no sum of estimates wraps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { RTT_GRANULARITY_NS = 1000 * 1000 };           /* kGranularity, section 6.1.2 */
enum { RTT_INITIAL_NS_DEFAULT = 100 * 1000 * 1000 }; /* racks are near; the RFC says 333 ms */
#define RTT_NS_MAX UINT64_C(600000000000)            /* ten minutes */

struct rtt {
    uint64_t latest_ns;
    uint64_t min_ns;      /* UINT64_MAX before the first sample; no ack delay is taken off */
    uint64_t smoothed_ns; /* the initial estimate before the first sample */
    uint64_t variation_ns;
    uint64_t ack_delay_ns_max; /* the peer's promise: how long it may hold back an ack */
    uint64_t first_sample_ns;  /* when; holds only if `sampled` */
    bool sampled;
};

/* Both durations are RTT_NS_MAX at most, the initial one is not 0: asserted. */
void rtt_init(struct rtt *rtt, uint64_t initial_ns, uint64_t ack_delay_ns_max);

/* One sample (5.3). `ack_delay_ns` is the peer's word, any value: it counts up to its promise, and
 * never takes an estimate below the minimum seen. */
void rtt_sample(struct rtt *rtt, uint64_t latest_ns, uint64_t ack_delay_ns, uint64_t now_ns);

/* How long after it left a packet counts as lost if a later one was acked: so many eighths of a
 * round trip (6.1.2 says nine), RTT_GRANULARITY_NS at least. */
uint64_t rtt_loss_delay_ns(const struct rtt *rtt, uint32_t eighths);

/* The probe timeout without backoff (6.2.1). */
uint64_t rtt_probe_timeout_ns(const struct rtt *rtt);

/* The span of lost packets that makes congestion persistent (7.6.1). */
uint64_t rtt_persistent_ns(const struct rtt *rtt);

END_C_DECLS
