#include "bench/statistics.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"

enum { RESAMPLES = 2000 };

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_of_sorted(const double *values, size_t count)
{
    const size_t middle = count / 2;
    return count % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

static uint64_t next_random(uint64_t *state) /* xorshift64 (Marsaglia, 2003) */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct interval interval_of(const double *values, size_t count)
{
    assert(count <= STATISTICS_VALUES_MAX);
    struct interval out = {0};
    if (count == 0) { return out; }

    double sample[STATISTICS_VALUES_MAX];
    double medians[RESAMPLES];
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < RESAMPLES; i++) {
        for (size_t j = 0; j < count; j++) { sample[j] = values[next_random(&state) % count]; }
        qsort(sample, count, sizeof *sample, compare);
        medians[i] = median_of_sorted(sample, count);
    }
    qsort(medians, RESAMPLES, sizeof *medians, compare);
    memcpy(sample, values, count * sizeof *values);
    qsort(sample, count, sizeof *sample, compare);
    out.median = median_of_sorted(sample, count);
    out.low = medians[RESAMPLES / 40];
    out.high = medians[RESAMPLES - 1 - RESAMPLES / 40];
    return out;
}
