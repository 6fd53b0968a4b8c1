/* statistics.h - the median of a few rounds, and how sure it is.
 *
 * No state, no allocation. Threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { STATISTICS_VALUES_MAX = 1000 };

/* A median with its 95 % interval by bootstrap (percentiles of resampled medians; Efron, 1979). */
struct interval {
    double median;
    double low;
    double high;
};

/* All zero when there are no values. The same values give the same answer: the resampling has a
 * seed of its own. */
struct interval interval_of(const double *values, size_t count);

END_C_DECLS
