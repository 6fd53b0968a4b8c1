#include "storage/age_clock.h"

#include <string.h>

enum { STEP_TOLERANCE_MS = 1000 }; /* less is a clock being slewed, or two reads apart */

static int64_t step_between(struct instant before, struct instant now)
{
    const int64_t wall_ms = now.wall_ms - before.wall_ms;
    const int64_t mono_ms = (int64_t)((now.mono_ns - before.mono_ns) / NS_PER_MS);
    const int64_t step_ms = wall_ms - mono_ms;
    return step_ms > STEP_TOLERANCE_MS || step_ms < -STEP_TOLERANCE_MS ? step_ms : 0;
}

void age_clock_tick(struct age_clock *clock, struct instant now)
{
    clock->last_step_ms = clock->ticked ? step_between(clock->now, now) : 0;
    if (clock->last_step_ms > 0) {
        if (clock->step_count == AGE_CLOCK_STEPS_MAX) { /* the two oldest become one */
            struct age_clock_step *const steps = clock->steps;
            steps[1].forward_ms += steps[0].forward_ms;
            memmove(&steps[0], &steps[1], (AGE_CLOCK_STEPS_MAX - 1) * sizeof *steps);
            clock->step_count--;
        }
        clock->steps[clock->step_count++] =
            (struct age_clock_step){clock->now.wall_ms, clock->last_step_ms};
    }
    clock->ticked = true;
    clock->now = now;
}

int64_t age_clock_age_ms(const struct age_clock *clock, int64_t wall_ms)
{
    int64_t age_ms = clock->now.wall_ms - wall_ms;
    for (size_t i = 0; i < clock->step_count; i++) {
        /* Commits of the tick before the step may be a tolerance younger than that tick. */
        if (wall_ms <= clock->steps[i].before_wall_ms + STEP_TOLERANCE_MS) {
            age_ms -= clock->steps[i].forward_ms;
        }
    }
    return age_ms;
}
