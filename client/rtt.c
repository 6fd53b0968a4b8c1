#include "client/rtt.h"

#include "base/invariant.h"

enum { PERSISTENT_PROBE_TIMEOUTS = 3 }; /* kPersistentCongestionThreshold */

static uint64_t least(uint64_t left, uint64_t right) { return left < right ? left : right; }
static uint64_t most(uint64_t left, uint64_t right) { return left > right ? left : right; }

static uint64_t distance(uint64_t left, uint64_t right)
{
    return left > right ? left - right : right - left;
}

void rtt_init(struct rtt *rtt, uint64_t initial_ns, uint64_t ack_delay_ns_max)
{
    assert(initial_ns > 0);
    assert(initial_ns <= RTT_NS_MAX);
    assert(ack_delay_ns_max <= RTT_NS_MAX);
    *rtt = (struct rtt){
        .min_ns = UINT64_MAX,
        .smoothed_ns = initial_ns,
        .variation_ns = initial_ns / 2,
        .ack_delay_ns_max = ack_delay_ns_max,
    };
}

static void rtt_first_sample(struct rtt *rtt, uint64_t now_ns)
{
    rtt->sampled = true;
    rtt->first_sample_ns = now_ns;
    rtt->min_ns = rtt->latest_ns;
    rtt->smoothed_ns = rtt->latest_ns;
    rtt->variation_ns = rtt->latest_ns / 2;
}

void rtt_sample(struct rtt *rtt, uint64_t latest_ns, uint64_t ack_delay_ns, uint64_t now_ns)
{
    rtt->latest_ns = least(latest_ns, RTT_NS_MAX);
    if (!rtt->sampled) {
        rtt_first_sample(rtt, now_ns);
        return;
    }

    rtt->min_ns = least(rtt->min_ns, rtt->latest_ns);
    const uint64_t delay_ns = least(ack_delay_ns, rtt->ack_delay_ns_max);
    const bool delay_is_plausible = rtt->latest_ns - rtt->min_ns >= delay_ns;
    const uint64_t adjusted_ns = delay_is_plausible ? rtt->latest_ns - delay_ns : rtt->latest_ns;

    rtt->variation_ns = (3 * rtt->variation_ns + distance(rtt->smoothed_ns, adjusted_ns)) / 4;
    rtt->smoothed_ns = (7 * rtt->smoothed_ns + adjusted_ns) / 8;
}

uint64_t rtt_loss_delay_ns(const struct rtt *rtt, uint32_t eighths)
{
    const uint64_t slowest_ns = most(rtt->latest_ns, rtt->smoothed_ns);
    return most(slowest_ns * eighths / 8, RTT_GRANULARITY_NS);
}

uint64_t rtt_probe_timeout_ns(const struct rtt *rtt)
{
    const uint64_t margin_ns = most(4 * rtt->variation_ns, RTT_GRANULARITY_NS);
    return rtt->smoothed_ns + margin_ns + rtt->ack_delay_ns_max;
}

uint64_t rtt_persistent_ns(const struct rtt *rtt)
{
    return PERSISTENT_PROBE_TIMEOUTS * rtt_probe_timeout_ns(rtt);
}
