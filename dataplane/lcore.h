/* lcore.h - what a worker's thread does around worker_turn: read the clock, turn, rest when idle.
 *
 * busy      turns for ever: lowest latency, one core at 100 %.
 * adaptive  after some empty turns sleeps, twice as long each time, up to 1 ms; up to 100 us while
 *           something waits to become durable, so that latency suffers little. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/status.h"
#include "dataplane/worker.h"
#include "storage/uring_disk.h"

BEGIN_C_DECLS

struct lcore {
    struct worker *worker;
    struct uring_disk *disk;
    struct stats_page *stats;
    enum config_polling polling;
    enum status outcome; /* after it returned */
};

/* The thread's body; `argument` is a struct lcore. Answers 0. */
int lcore_main(void *argument);

END_C_DECLS
