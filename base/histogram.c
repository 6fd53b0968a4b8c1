#include "base/histogram.h"

void histogram_add(struct histogram *histogram, uint64_t value_ns, uint64_t times)
{
    histogram->buckets[histogram_bucket_of(value_ns)] += times;
    histogram->count += times;
    histogram->sum_ns += value_ns * times;
    if (value_ns > histogram->max_ns && times > 0) { histogram->max_ns = value_ns; }
}

uint64_t histogram_bucket_end_ns(uint32_t bucket)
{
    const uint32_t sub_count = 1U << HISTOGRAM_SUB_BITS;
    if (bucket < sub_count) { return bucket + 1; }
    const uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return (uint64_t)(sub_count + bucket % sub_count + 1) << shift;
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double quantile)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) { total += histogram->buckets[i]; }
    if (total == 0) { return 0; }

    uint64_t rank = (uint64_t)(quantile * (double)total);
    if (rank >= total) { rank = total - 1; }

    uint64_t seen = 0;
    uint32_t bucket = 0;
    for (; bucket < HISTOGRAM_BUCKET_COUNT - 1; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen > rank) { break; }
    }
    const uint64_t end_ns = histogram_bucket_end_ns(bucket);
    return end_ns < histogram->max_ns ? end_ns : histogram->max_ns;
}

void histogram_merge(struct histogram *target, const struct histogram *source)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        target->buckets[i] += source->buckets[i];
    }
    target->count += source->count;
    target->sum_ns += source->sum_ns;
    if (source->max_ns > target->max_ns) { target->max_ns = source->max_ns; }
}
