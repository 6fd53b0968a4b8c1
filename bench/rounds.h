/* rounds.h - one workload's rounds: worker, roofline and bare disk in turns, on one core.
 *
 * Purpose  Runs them A-B-C, C-B-A, ... so that what drifts (frequency, neighbours, the disk's mood)
 *          hits all of them alike, and keeps what each round gave, raw.
 * Threads  The main lcore; the work is done on worker 0's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "bench/appliance.h"
#include "bench/limits/disk.h"
#include "bench/limits/limits.h"
#include "bench/statistics.h"

BEGIN_C_DECLS

struct round {
    bool kept;         /* false: something else had the core */
    double away_share; /* of the time that the core was stolen, or another thread's */
    /* the worker */
    double records_per_s;
    double frame_bits_per_s;
    double disk_bytes_per_s;
    double feed_cycles; /* these six: a record */
    double stage_cycles[LIMIT_STAGE_COUNT];
    double log_cycles;   /* commits reaped, segments rolled */
    double timer_cycles; /* timers, transmit */
    double idle_cycles;  /* turns that waited for the disk */
    double turn_cycles;  /* what is left: the loop itself, the clock */
    double instructions; /* a record, in user mode; 0: the machine has no counters */
    double user_cycles;  /* a record, of this thread alone, waiting for the disk included */
    double dropped_share;
    double commit_bytes; /* mean */
    double held_share;   /* of the turns */
    uint64_t starved;    /* times that the next segment was not ready */
    /* what it is held against, in the same round */
    double limit_records_per_s;
    double limit_cycles[LIMIT_STAGE_COUNT];
    double limit_instructions;
    double limit_user_cycles;
    double disk_limit_bytes_per_s;
};

struct rounds {
    size_t count;
    size_t kept;
    struct round items[STATISTICS_VALUES_MAX];
};

struct rounds_options {
    struct appliance *appliance;
    struct frames *frames;
    enum frames_kind kind;
    const struct interface *interface;
    const struct rule_set *rules;
    uint16_t port_id;
    uint32_t core;
    uint32_t depth; /* commits in flight */
    size_t count;
    uint64_t duration_ns; /* of the worker's part, and of the roofline's */
};

/* With a warm-up in front. Says itself what is wrong. */
MUST_CHECK enum status rounds_run(const struct rounds_options *options, struct rounds *out);

/* One field of every kept round (of every round when none was kept). */
struct interval rounds_interval(const struct rounds *rounds, double (*field)(const struct round *));

END_C_DECLS
