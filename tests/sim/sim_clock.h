/* sim_clock.h - the two clocks of a simulated machine, moved by whoever has the loop.
 *
 * mono_ns only rises, and jumps from event to event. wall_ms goes along with it, unless it is
 * stepped (NTP, an operator, a dead battery) or stands still. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"

BEGIN_C_DECLS

struct sim_clock {
    uint64_t mono_ns;
    int64_t wall_offset_ns; /* wall time less mono, while the wall clock goes */
    bool wall_stopped;
    int64_t wall_stopped_ms; /* what it shows then */
};

/* Not at 0: a machine has been up for some time. */
void sim_clock_init(struct sim_clock *clock, uint64_t mono_ns, int64_t wall_ms);
struct instant sim_clock_now(const struct sim_clock *clock);

/* To an event that is due at `mono_ns`; one that was due earlier moves nothing. A leap over many
 * events is a machine that stalled. */
void sim_clock_advance(struct sim_clock *clock, uint64_t mono_ns);

/* The wall clock shows `wall_ms` from now on: 0 is 1970. */
void sim_clock_set_wall(struct sim_clock *clock, int64_t wall_ms);
/* By so much forward or, negative, back. */
void sim_clock_step_wall(struct sim_clock *clock, int64_t by_ms);
/* It shows what it shows until it goes again, and goes on from there. */
void sim_clock_stop_wall(struct sim_clock *clock, bool stopped);

END_C_DECLS
