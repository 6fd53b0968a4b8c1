/* age_clock.h - how old a commit is, whatever the wall clock does meanwhile.
 *
 * A commit's wall time is monotone in its log. Steps of the wall clock that happen between two
 * ticks are seen against the monotonic clock and taken out of every age: a step deletes nothing,
 * then or later. Threads: one. Zeroed memory is a clock that has not ticked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum { AGE_CLOCK_STEPS_MAX = 16 };

struct age_clock_step {
    int64_t before_wall_ms; /* what was written up to here looks older by forward_ms */
    int64_t forward_ms;
};

struct age_clock {
    bool ticked;
    struct instant now; /* of the last tick */
    int64_t last_step_ms;
    struct age_clock_step steps[AGE_CLOCK_STEPS_MAX];
    size_t step_count;
};

void age_clock_tick(struct age_clock *clock, struct instant now);

/* Of what was written at `wall_ms`, as of the last tick. */
int64_t age_clock_age_ms(const struct age_clock *clock, int64_t wall_ms);

/* How far the wall clock stepped between the last two ticks; 0: it did not (a second is no step).
 */
static inline int64_t age_clock_step_ms(const struct age_clock *clock)
{
    return clock->last_step_ms;
}

END_C_DECLS
