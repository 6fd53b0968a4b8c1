#include "dataplane/lcore.h"

#include <sys/prctl.h>
#include <time.h>

enum {
    EMPTY_TURNS_BEFORE_SLEEP = 256,
    SLEEP_NS_MIN = 5 * NS_PER_US,
    SLEEP_NS_MAX = 1 * NS_PER_MS,
    SLEEP_NS_MAX_WAITING = 100 * NS_PER_US,
};

struct rest {
    uint32_t empty_turns;
    uint64_t sleep_ns;
};

static void rest_after_turn(struct rest *rest, const struct lcore *lcore, bool worked)
{
    struct stats_page *const stats = lcore->stats;
    if (worked) {
        *rest = (struct rest){0, SLEEP_NS_MIN};
        return;
    }
    if (rest->empty_turns < EMPTY_TURNS_BEFORE_SLEEP) {
        rest->empty_turns++;
        return;
    }

    const uint64_t max_ns = stats->records_in_flight > 0 ? SLEEP_NS_MAX_WAITING : SLEEP_NS_MAX;
    if (rest->sleep_ns > max_ns) { rest->sleep_ns = max_ns; }
    const struct timespec pause = {.tv_nsec = (long)rest->sleep_ns};
    worker_sleeps(lcore->worker);
    nanosleep(&pause, NULL);
    worker_wakes(lcore->worker);
    stats_add(stats, STATS_worker_sleeps, 1);
    rest->sleep_ns *= 2;
}

/* What io_uring_enter cost since the last turn, from the disk port to the stats page. */
static void book_disk_costs(struct disk disk, struct disk_costs *booked, struct stats_page *stats)
{
    struct disk_costs costs;
    disk_costs(disk, &costs);
    const uint64_t calls = costs.enter_calls - booked->enter_calls;
    if (calls == 0) { return; }

    const uint64_t cycles = costs.enter_cycles - booked->enter_cycles;
    stats_add(stats, STATS_disk_enter_calls, calls);
    stats_add(stats, STATS_disk_enter_cycles, cycles);
    /* A turn enters once or twice: their mean stands for each. */
    histogram_add(&stats->disk_enter, cycles / calls * NS_PER_S / stats->cycles_per_second, calls);
    *booked = costs;
}

int lcore_main(void *argument)
{
    struct lcore *const lcore = argument;
    const struct disk disk = uring_disk_port(lcore->disk);
    struct disk_costs booked = {0};
    lcore->outcome = uring_disk_adopt(lcore->disk);
    if (lcore->outcome != STATUS_OK) {
        worker_sleeps(lcore->worker); /* for good: no swap waits for it */
        return 0;
    }
    /* The kernel rounds sleeps up by the thread's slack, 50 us unless told otherwise. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);

    struct rest rest = {0, SLEEP_NS_MIN};
    while (!worker_is_done(lcore->worker)) {
        const bool worked = worker_turn(lcore->worker, clock_now());
        book_disk_costs(disk, &booked, lcore->stats);
        if (lcore->polling == CONFIG_POLLING_ADAPTIVE) { rest_after_turn(&rest, lcore, worked); }
    }
    worker_sleeps(lcore->worker);
    return 0;
}
