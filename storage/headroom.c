#include "storage/headroom.h"

#include "base/clock.h"

static const double least_bytes_per_s = 1; /* less is rounding */
static const double most_seconds = 1e9;    /* a generation */

void headroom_rate_tick(struct headroom_rate *rate, uint64_t total_bytes, uint64_t now_ns)
{
    if (rate->ticked && now_ns > rate->ticked_ns) {
        const double seconds = (double)(now_ns - rate->ticked_ns) / NS_PER_S;
        const uint64_t grown =
            total_bytes > rate->total_bytes ? total_bytes - rate->total_bytes : 0;
        const double share = seconds / (seconds + HEADROOM_SMOOTH_S);
        rate->weighted += ((double)grown / seconds - rate->weighted) * share;
        rate->weight += (1 - rate->weight) * share;
        rate->before = rate->latest;
        rate->latest = (double)grown / seconds;
    }
    rate->ticked = true;
    rate->total_bytes = total_bytes;
    rate->ticked_ns = now_ns;
}

double headroom_rate_value(const struct headroom_rate *rate)
{
    return rate->weight > 0 ? rate->weighted / rate->weight : 0;
}

double headroom_rate_latest(const struct headroom_rate *rate)
{
    return rate->latest > rate->before ? rate->latest : rate->before;
}

uint64_t headroom_seconds(uint64_t room_bytes, double bytes_per_s)
{
    if (bytes_per_s < least_bytes_per_s) { return HEADROOM_NEVER; }
    const double seconds = (double)room_bytes / bytes_per_s;
    return seconds < most_seconds ? (uint64_t)seconds : HEADROOM_NEVER;
}
