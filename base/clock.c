#include "base/clock.h"

#include <stdio.h>
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

const char *clock_wall_text(int64_t wall_ms, char out[CLOCK_WALL_TEXT_BYTES])
{
    struct tm parts;
    int64_t ms = wall_ms % MS_PER_S;
    int64_t seconds = wall_ms / MS_PER_S;
    if (ms < 0) {
        ms += MS_PER_S;
        seconds--;
    }
    const time_t time = (time_t)seconds;
    if (gmtime_r(&time, &parts) == NULL || parts.tm_year > 9999 - 1900 || parts.tm_year < -1900) {
        snprintf(out, CLOCK_WALL_TEXT_BYTES, "-");
        return out;
    }
    const size_t used = strftime(out, CLOCK_WALL_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + used, CLOCK_WALL_TEXT_BYTES - used, ".%03dZ", (int)ms);
    return out;
}
