/* headroom.h - how long until something is full, at the present rate.
 *
 * A rate smoothed over a minute, exact from its first minute on (early samples are not diluted by
 * the time before them). Threads: the caller's. Zeroed memory is a rate that has seen nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { HEADROOM_SMOOTH_S = 60 };

#define HEADROOM_NEVER UINT64_MAX

struct headroom_rate {
    bool ticked;
    uint64_t total_bytes; /* at the last tick */
    uint64_t ticked_ns;
    double weighted; /* bytes a second, times weight */
    double weight;   /* 0..1: how much of a minute was seen */
    double latest;   /* bytes a second between the last two ticks */
    double before;   /* … and between the two before */
};

/* `total_bytes` only grows; where it fell, another count has begun. */
void headroom_rate_tick(struct headroom_rate *rate, uint64_t total_bytes, uint64_t now_ns);

/* Bytes a second. */
double headroom_rate_value(const struct headroom_rate *rate);
/* What is to be expected until the next tick: the larger of the last two samples, so that a rate
 * that comes in bursts does not look like none, and one that ended does. */
double headroom_rate_latest(const struct headroom_rate *rate);

/* Seconds until `room_bytes` are used up; HEADROOM_NEVER where nothing fills them. */
uint64_t headroom_seconds(uint64_t room_bytes, double bytes_per_s);

END_C_DECLS
