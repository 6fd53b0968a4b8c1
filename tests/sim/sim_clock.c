#include "tests/sim/sim_clock.h"

void sim_clock_init(struct sim_clock *clock, uint64_t mono_ns, int64_t wall_ms)
{
    *clock = (struct sim_clock){.mono_ns = mono_ns};
    sim_clock_set_wall(clock, wall_ms);
}

struct instant sim_clock_now(const struct sim_clock *clock)
{
    const int64_t wall_ns = (int64_t)clock->mono_ns + clock->wall_offset_ns;
    return (struct instant){
        .mono_ns = clock->mono_ns,
        .wall_ms = clock->wall_stopped ? clock->wall_stopped_ms : wall_ns / NS_PER_MS,
    };
}

void sim_clock_advance(struct sim_clock *clock, uint64_t mono_ns)
{
    if (mono_ns > clock->mono_ns) { clock->mono_ns = mono_ns; }
}

void sim_clock_set_wall(struct sim_clock *clock, int64_t wall_ms)
{
    clock->wall_offset_ns = wall_ms * NS_PER_MS - (int64_t)clock->mono_ns;
    clock->wall_stopped_ms = wall_ms;
}

void sim_clock_step_wall(struct sim_clock *clock, int64_t by_ms)
{
    sim_clock_set_wall(clock, sim_clock_now(clock).wall_ms + by_ms);
}

void sim_clock_stop_wall(struct sim_clock *clock, bool stopped)
{
    const int64_t wall_ms = sim_clock_now(clock).wall_ms;
    clock->wall_stopped = stopped;
    sim_clock_set_wall(clock, wall_ms);
}
