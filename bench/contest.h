/* contest.h - two or three ways to do the same, in turns on one core, and what one costs over
 * another.
 *
 * Purpose  Runs the sides A-B-C, C-B-A, ... so that what drifts hits all of them alike; takes the
 *          difference or ratio of two sides inside each round, and gives their median.
 * Sides    Each has its own appliance on its own log, its own frames and producers; one is at work
 *          at a time. The worker's time is what its busy turns took: neither the producers' part of
 *          the core nor turns that waited for the disk.
 * Threads  The main lcore; the work is done on worker 0's. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "bench/frames.h"
#include "bench/statistics.h"
#include "nic/dpdk_port.h"

BEGIN_C_DECLS

enum {
    CONTEST_COUNT = 2,
    CONTEST_SIDES_MAX = 3,
    CONTEST_PROMISES_MAX = 2,
    CONTEST_STAGES = 9,
};

struct contest_side {
    const char *name;
    const char *help;
    enum frames_kind kind;
    uint32_t lane_count; /* 0: lines */
    bool flooded;
};

/* What `side` is held to, against `base`. */
struct contest_promise {
    const char *text;
    size_t side;
    size_t base;
    double (*figure)(double side, double base); /* of the worker's ns, or of goodput */
    double limit;
    bool at_least; /* else at most */
};

struct contest {
    const char *name;
    const char *help;
    bool is_flood; /* one appliance, half loaded; goodput counts, not the worker's time */
    struct contest_side sides[CONTEST_SIDES_MAX];
    size_t side_count;
    struct contest_promise promises[CONTEST_PROMISES_MAX];
    size_t promise_count;
};

extern const struct contest contests[CONTEST_COUNT];

/* One side's part of one round; all but the rates: a record. */
struct contest_part {
    bool kept;
    double worker_ns;
    double stage_ns[CONTEST_STAGES];
    double waiting_ns;
    double sender_ns;
    double instructions; /* of busy turns in user mode; 0: the machine has no counters */
    double user_cycles;  /* likewise: what others took of the core is not in it */
    double acks;
    double records_per_s; /* of the worker's time and what it waited */
    double flood_per_s;
};

struct contest_result {
    const struct contest *contest;
    size_t count;
    struct contest_part parts[STATISTICS_VALUES_MAX][CONTEST_SIDES_MAX];
    double honest_capacity_per_s; /* is_flood: frames a second, alone */
    double flood_capacity_per_s;
};

struct contest_options {
    const struct contest *contest;
    struct dpdk_port *port;
    const char *directory; /* on the disk to be measured */
    const char *runtime;   /* on a tmpfs */
    uint16_t port_id;
    uint32_t core;
    size_t rounds;
    uint64_t duration_ns; /* of each side's part */
    uint64_t data_bytes;
    uint64_t seed;
};

/* With a warm-up in front. Says itself what is wrong. */
MUST_CHECK enum status contest_run(const struct contest_options *options,
                                   struct contest_result *out);
void contest_print(const struct contest_result *result);
/* One element of "results". The caller's to release. */
json_t *contest_json(const struct contest_result *result);

END_C_DECLS
