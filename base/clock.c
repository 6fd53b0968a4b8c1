#include "base/clock.h"

#include <time.h>

uint64_t clock_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

struct instant clock_now(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    const struct instant now = {
        .mono_ns = clock_mono_ns(),
        .wall_ms = (int64_t)wall.tv_sec * MS_PER_S + wall.tv_nsec / NS_PER_MS,
    };
    return now;
}
