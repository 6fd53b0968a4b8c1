#include "dataplane/steward.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

enum {
    SUPPLY_PERIOD_NS = 10 * NS_PER_MS, /* a worker that rolls waits at most this long for a start */
    RETENTION_PERIOD_NS = 1 * NS_PER_S,
};

struct steward;

struct log_steward {
    struct steward *steward;
    size_t index;
    pthread_t thread;
};

struct steward {
    struct segment_supply *supply;
    struct retention *retention;
    atomic_bool stop;
    pthread_t retention_thread;
    bool retains;
    pthread_t removal_thread;
    bool removes;
    struct log_steward *logs;
    size_t log_count; /* whose threads run */
};

static void pause_for(uint64_t pause_ns)
{
    const struct timespec pause = {(time_t)(pause_ns / NS_PER_S), (long)(pause_ns % NS_PER_S)};
    nanosleep(&pause, NULL);
}

static void *log_main(void *argument)
{
    const struct log_steward *const log = argument;
    struct steward *const steward = log->steward;
    while (!atomic_load(&steward->stop)) {
        if (segment_supply_work_log(steward->supply, log->index, clock_mono_ns())) { continue; }
        pause_for(SUPPLY_PERIOD_NS);
    }
    return NULL;
}

static void *retention_main(void *argument)
{
    struct steward *const steward = argument;
    uint64_t ran_ns = 0;
    while (!atomic_load(&steward->stop)) {
        const struct instant now = clock_now();
        if (now.mono_ns - ran_ns >= RETENTION_PERIOD_NS) {
            ran_ns = now.mono_ns;
            (void)retention_run(steward->retention, now); /* it counts and reports itself */
        }
        pause_for(SUPPLY_PERIOD_NS);
    }
    return NULL;
}

static void *removal_main(void *argument)
{
    struct steward *const steward = argument;
    while (!atomic_load(&steward->stop)) {
        if (!segment_supply_remove(steward->supply)) { pause_for(SUPPLY_PERIOD_NS); }
    }
    return NULL;
}

static int start_threads(struct steward *steward, size_t log_count)
{
    int refused = pthread_create(&steward->retention_thread, NULL, retention_main, steward);
    steward->retains = refused == 0;
    if (refused == 0) {
        refused = pthread_create(&steward->removal_thread, NULL, removal_main, steward);
        steward->removes = refused == 0;
    }
    for (size_t i = 0; refused == 0 && i < log_count; i++) {
        struct log_steward *const log = &steward->logs[i];
        *log = (struct log_steward){.steward = steward, .index = i};
        refused = pthread_create(&log->thread, NULL, log_main, log);
        steward->log_count += refused == 0;
    }
    return refused;
}

enum status steward_start(struct segment_supply *supply, size_t log_count,
                          struct retention *retention, struct steward **out)
{
    struct steward *const steward = calloc(1, sizeof *steward);
    if (steward == NULL) { return STATUS_NO_MEMORY; }
    steward->supply = supply;
    steward->retention = retention;
    steward->logs = calloc(log_count, sizeof *steward->logs);
    const int refused = steward->logs == NULL ? ENOMEM : start_threads(steward, log_count);
    if (refused != 0) {
        steward_stop(steward);
        return status_from_errno(refused);
    }
    *out = steward;
    return STATUS_OK;
}

void steward_stop(struct steward *steward)
{
    if (steward == NULL) { return; }
    atomic_store(&steward->stop, true);
    for (size_t i = 0; i < steward->log_count; i++) { pthread_join(steward->logs[i].thread, NULL); }
    if (steward->removes) { pthread_join(steward->removal_thread, NULL); }
    if (steward->retains) { pthread_join(steward->retention_thread, NULL); }
    free(steward->logs);
    free(steward);
}
