/* histogram.h - a log-linear histogram of nanoseconds in a fixed array.
 *
 * 16 buckets an octave (6 % wide) from 0 to 2^44 ns (4.8 hours); what is longer counts in the last.
 * One writer, plain 64-bit stores that a reader in another process may see a few counts late. The
 * array lives in a stats page, so its layout is part of wire/stats_page.h. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    HISTOGRAM_SUB_BITS = 4,
    HISTOGRAM_OCTAVES = 41, /* exponents 4..44; values below 16 ns have a bucket each */
    HISTOGRAM_BUCKET_COUNT = (HISTOGRAM_OCTAVES + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
};

static inline uint32_t histogram_bucket_of(uint64_t value_ns)
{
    if (value_ns < (1U << HISTOGRAM_SUB_BITS)) { return (uint32_t)value_ns; }
    const uint32_t exponent = 63U - (uint32_t)__builtin_clzll(value_ns);
    const uint32_t sub =
        (uint32_t)(value_ns >> (exponent - HISTOGRAM_SUB_BITS)) & ((1U << HISTOGRAM_SUB_BITS) - 1);
    const uint32_t bucket = ((exponent - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS) + sub;
    return bucket < HISTOGRAM_BUCKET_COUNT ? bucket : HISTOGRAM_BUCKET_COUNT - 1;
}

/* `times` values of `value_ns`. The writer's thread only. */
void histogram_add(struct histogram *histogram, uint64_t value_ns, uint64_t times);

/* The upper edge of the bucket that holds the `quantile` (0..1) of all values; 0 when empty; never
 * above max_ns. Any process. */
uint64_t histogram_quantile_ns(const struct histogram *histogram, double quantile);

/* The first value (ns) that no longer belongs to `bucket`. */
uint64_t histogram_bucket_end_ns(uint32_t bucket);

/* target += source. */
void histogram_merge(struct histogram *target, const struct histogram *source);

END_C_DECLS
