#include "tools/human.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

/* Three digits of `value` in the largest of `units` that leaves at least one before the point. */
static const char *scaled(uint64_t value, unsigned step, const char *const *units,
                          size_t unit_count, char *out)
{
    double rest = (double)value;
    size_t unit = 0;
    while (rest >= step && unit + 1 < unit_count) {
        rest /= step;
        unit++;
    }
    const int decimals = unit == 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2;
    const char *const space = units[unit][0] != '\0' ? " " : "";
    snprintf(out, HUMAN_TEXT_BYTES, "%.*f%s%s", decimals, rest, space, units[unit]);
    return out;
}

const char *human_bytes(uint64_t bytes, char out[HUMAN_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    return scaled(bytes, 1024, units, sizeof units / sizeof units[0], out);
}

const char *human_count(uint64_t count, char out[HUMAN_TEXT_BYTES])
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    return scaled(count, 1000, units, sizeof units / sizeof units[0], out);
}

const char *human_duration(uint64_t ns, char out[HUMAN_TEXT_BYTES])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    const uint64_t seconds = ns / NS_PER_S;
    if (seconds < 60) { return scaled(ns, 1000, units, sizeof units / sizeof units[0], out); }
    if (seconds < 3600) {
        snprintf(out, HUMAN_TEXT_BYTES, "%" PRIu64 "m %02" PRIu64 "s", seconds / 60, seconds % 60);
    } else if (seconds < 86400) {
        snprintf(out, HUMAN_TEXT_BYTES, "%" PRIu64 "h %02" PRIu64 "m", seconds / 3600,
                 seconds / 60 % 60);
    } else {
        snprintf(out, HUMAN_TEXT_BYTES, "%" PRIu64 "d %" PRIu64 "h", seconds / 86400,
                 seconds / 3600 % 24);
    }
    return out;
}
