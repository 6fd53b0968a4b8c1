#include "dataplane/steward.h"

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

struct steward {
    pthread_t supply_thread;
    pthread_t retention_thread;
    bool supply_runs;
    bool retention_runs;
    struct segment_supply *supply;
    struct retention *retention;
    atomic_bool stop;
};

static void pause_ns(uint64_t ns)
{
    const struct timespec pause = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    nanosleep(&pause, NULL);
}

static void *supply_main(void *argument)
{
    struct steward *const steward = argument;
    while (!atomic_load(&steward->stop)) {
        if (segment_supply_work(steward->supply, clock_mono_ns())) { continue; }
        pause_ns(SUPPLY_PERIOD_NS);
    }
    return NULL;
}

/* Wakes as often as the other, so that a stop never waits for a whole period. */
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
        pause_ns(SUPPLY_PERIOD_NS);
    }
    return NULL;
}

enum status steward_start(struct segment_supply *supply, struct retention *retention,
                          struct steward **out)
{
    struct steward *const steward = calloc(1, sizeof *steward);
    if (steward == NULL) { return STATUS_NO_MEMORY; }
    steward->supply = supply;
    steward->retention = retention;
    int refused = pthread_create(&steward->supply_thread, NULL, supply_main, steward);
    steward->supply_runs = refused == 0;
    if (refused == 0) {
        refused = pthread_create(&steward->retention_thread, NULL, retention_main, steward);
        steward->retention_runs = refused == 0;
    }
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
    if (steward->supply_runs) { pthread_join(steward->supply_thread, NULL); }
    if (steward->retention_runs) { pthread_join(steward->retention_thread, NULL); }
    free(steward);
}
