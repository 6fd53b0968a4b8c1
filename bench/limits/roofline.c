/* The roofline: feed, receive, parse, scan, copy, release, one burst behind the other. */
#include <time.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "bench/limits/limits.h"

enum { BURSTS_A_LOOK = 16 }; /* between two looks at the clock */

struct stopwatch {
    uint64_t began;
    uint64_t *cycles;
};

static void lap(struct stopwatch *watch, enum limit_stage stage)
{
    const uint64_t now = cycles_now();
    watch->cycles[stage] += now - watch->began;
    watch->began = now;
}

static void one_burst(struct limit_run *run, struct stopwatch *watch)
{
    struct rte_mbuf *mbufs[FRAMES_BURST];
    struct limit_record records[LIMIT_RECORDS_MAX];
    (void)frames_feed(run->frames, run->port_id, FRAMES_BURST);
    const size_t count = frames_receive(run->port_id, mbufs);
    lap(watch, LIMIT_RECEIVE);

    const size_t found = limit_parse(run->kind, run->interface, mbufs, count, records);
    lap(watch, LIMIT_PARSE);

    const size_t kept = limit_scan_records(&run->scan, records, found);
    lap(watch, LIMIT_SCAN);

    limit_copy_records(&run->copy, records, kept);
    lap(watch, LIMIT_COPY);

    frames_release(mbufs, count);
    lap(watch, LIMIT_RECEIVE);
    run->frame_count += count;
    run->record_count += found;
    run->kept_count += kept;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
}

int limit_roofline(void *argument)
{
    struct limit_run *const run = argument;
    run->frame_count = run->record_count = run->kept_count = 0;
    for (int i = 0; i < LIMIT_STAGE_COUNT; i++) { run->cycles[i] = 0; }

    struct counters counters;
    counters_begin(&counters);
    const uint64_t cpu_began_ns = thread_cpu_ns();
    const uint64_t began_ns = clock_mono_ns();
    uint64_t now_ns = began_ns;
    while (now_ns - began_ns < run->duration_ns) {
        struct stopwatch watch = {cycles_now(), run->cycles};
        for (int i = 0; i < BURSTS_A_LOOK; i++) { one_burst(run, &watch); }
        now_ns = clock_mono_ns();
    }
    run->elapsed_ns = now_ns - began_ns;
    run->cpu_ns = thread_cpu_ns() - cpu_began_ns;
    run->counted = counters_end(&counters);
    return 0;
}
