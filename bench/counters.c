#include "bench/counters.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_counter(uint64_t what)
{
    struct perf_event_attr event = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof event,
        .config = what,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    return (int)syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t close_counter(int file)
{
    uint64_t value = 0;
    if (file < 0) { return 0; }
    if (read(file, &value, sizeof value) != (ssize_t)sizeof value) { value = 0; }
    close(file);
    return value;
}

void counters_begin(struct counters *counters)
{
    counters->instructions_file = open_counter(PERF_COUNT_HW_INSTRUCTIONS);
    counters->cycles_file = open_counter(PERF_COUNT_HW_CPU_CYCLES);
}

struct counted counters_end(struct counters *counters)
{
    struct counted out;
    out.instructions = close_counter(counters->instructions_file);
    out.cycles = close_counter(counters->cycles_file);
    return out;
}
