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
    pthread_t thread;
    struct segment_supply *supply;
    struct retention *retention;
    atomic_bool stop;
};

static void *steward_main(void *argument)
{
    struct steward *const steward = argument;
    uint64_t retention_ns = 0;
    while (!atomic_load(&steward->stop)) {
        const struct instant now = clock_now();
        if (now.mono_ns - retention_ns >= RETENTION_PERIOD_NS) {
            retention_ns = now.mono_ns;
            (void)retention_run(steward->retention, now); /* it counts and reports itself */
        }
        if (segment_supply_work(steward->supply, now.mono_ns)) { continue; }
        const struct timespec pause = {.tv_nsec = SUPPLY_PERIOD_NS};
        nanosleep(&pause, NULL);
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
    const int refused = pthread_create(&steward->thread, NULL, steward_main, steward);
    if (refused != 0) {
        free(steward);
        return status_from_errno(refused);
    }
    *out = steward;
    return STATUS_OK;
}

void steward_stop(struct steward *steward)
{
    if (steward == NULL) { return; }
    atomic_store(&steward->stop, true);
    pthread_join(steward->thread, NULL);
    free(steward);
}
