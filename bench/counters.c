#include "bench/counters.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

/* `group`: the counter that it is read together with; -1: itself. */
static int open_counter(uint64_t what, int group)
{
    struct perf_event_attr event = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof event,
        .config = what,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .read_format = PERF_FORMAT_GROUP,
    };
    return (int)syscall(SYS_perf_event_open, &event, 0, -1, group, PERF_FLAG_FD_CLOEXEC);
}

void counters_begin(struct counters *counters)
{
    counters->instructions_file = open_counter(PERF_COUNT_HW_INSTRUCTIONS, -1);
    counters->cycles_file =
        counters->instructions_file < 0
            ? -1
            : open_counter(PERF_COUNT_HW_CPU_CYCLES, counters->instructions_file);
}

struct counted counters_now(const struct counters *counters)
{
    struct { /* perf_event_open(2), "Reading results" */
        uint64_t count;
        uint64_t instructions;
        uint64_t cycles;
    } group;
    struct counted out = {0, 0};
    if (counters->cycles_file < 0) { return out; }
    if (read(counters->instructions_file, &group, sizeof group) != (ssize_t)sizeof group) {
        return out;
    }
    out.instructions = group.instructions;
    out.cycles = group.cycles;
    return out;
}

struct counted counters_end(struct counters *counters)
{
    const struct counted out = counters_now(counters);
    if (counters->cycles_file >= 0) { close(counters->cycles_file); }
    if (counters->instructions_file >= 0) { close(counters->instructions_file); }
    return out;
}
