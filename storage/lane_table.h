/* lane_table.h - the lanes of one partition: what the log knows of each, and is about to know.
 *
 * Purpose  Finds a lane by its key, holds its state, its running hash, and the fates that its
 *          producer has not confirmed yet. The bytes in commits are lane_journal.h's affair.
 * Owns     A fixed table of lanes_max lanes and a fixed pool of fate runs; no allocation after
 *          create, which touches every page.
 * Threads  The worker's. Restoring is done before it starts.
 * Handles  A lane is named by its index, 0..lanes_max-1, stable until it is removed: the session
 *          table of the worker is indexed by it too.
 * Errors   Full is daily life: LANE_NONE, false. */
#pragma once

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/lane_format.h"

BEGIN_C_DECLS

#define LANE_NONE UINT32_MAX

enum {
    LANE_FATE_RUNS_MAX = 1024, /* not confirmed, of one lane */
    LANE_LINE_BYTES = 64,
};

struct lane_fates { /* sequences in a row with the same fate */
    uint32_t count;
    uint8_t fate; /* enum native_fate */
};

/* Two cache lines. The first is what a record moves; the second holds the ends of the chain of
 * fates, so that a run which goes on touches nothing but the lane. */
struct lane {
    alignas(LANE_LINE_BYTES) struct lane_state state; /* as appended, durable or not */

    alignas(LANE_LINE_BYTES) uint64_t durable_sequence; /* fates up to here are on stable storage */
    uint32_t open_item; /* in the journal's open commit; LANE_NONE: none */
    uint32_t in_flight; /* commits in flight that hold an item of it: the journal's */
    /* Fates of (state.confirmed, state.last_sequence]: the oldest run, those between in the pool,
     * the youngest. One run: the youngest alone. */
    uint32_t run_count;
    struct lane_fates oldest;
    struct lane_fates youngest;
    uint32_t pool_head; /* the runs between, oldest first; LANE_NONE: none */
    uint32_t pool_tail;
    bool used;
    bool imported; /* restored from a partition without a worker: to be noted in our log */
};
static_assert(sizeof(struct lane_state) == LANE_LINE_BYTES, "one line");
static_assert(sizeof(struct lane) == 2 * LANE_LINE_BYTES, "two lines");

struct lane_table; /* opaque */

struct lane_table_options {
    uint32_t lanes_max;
    uint32_t lane_runs_max; /* of one lane, 2..LANE_FATE_RUNS_MAX */
    uint32_t pool_runs_max; /* of all lanes together, beyond two of each */
    uint64_t seed;          /* random: producers choose the keys, none shall choose their places */
};

/* STATUS_NO_MEMORY. */
MUST_CHECK enum status lane_table_create(const struct lane_table_options *options,
                                         struct lane_table **out);
/* NULL is fine. */
void lane_table_destroy(struct lane_table *table);

uint32_t lane_table_capacity(const struct lane_table *table);
uint32_t lane_table_count(const struct lane_table *table);
uint32_t lane_table_lane_runs_max(const struct lane_table *table);
/* Runs of the pool, and those that it still has. */
uint32_t lane_table_pool_runs(const struct lane_table *table);
uint32_t lane_table_pool_free(const struct lane_table *table);
/* Lanes from this index on were never used. */
uint32_t lane_table_end(const struct lane_table *table);

/* LANE_NONE: not known here. */
uint32_t lane_table_find(const struct lane_table *table, const struct lane_key *key);

/* A new lane with this state and no fates: confirmed, and durable_sequence, are its last_sequence.
 * LANE_NONE: full. The key must not be there: asserted in hot-assert builds. */
uint32_t lane_table_add(struct lane_table *table, const struct lane_state *state);

/* Forgets it. It must not have an open item, nor one in flight: asserted. */
void lane_table_remove(struct lane_table *table, uint32_t lane);

/* Into an empty table: all lanes of a set, as durable. A lane whose fates find no room counts as
 * confirmed: what they were stands in the log alone. STATUS_FULL: the lanes do not fit. */
struct lane_resume_set;
MUST_CHECK enum status lane_table_restore(struct lane_table *table,
                                          const struct lane_resume_set *set);

/* The array itself, lane_table_capacity() long: hot. */
struct lane *lane_table_lanes(struct lane_table *table);

/* ------------------------------------------------------------------------------------- fates */

/* `count` more sequences with this fate behind state.last_sequence, which moves. False: the lane's
 * or the pool's runs are used up, nothing changed. */
MUST_CHECK bool lane_fates_append(struct lane_table *table, uint32_t lane, uint8_t fate,
                                  uint32_t count);

/* The producer knows the fates up to `confirmed` (at most durable_sequence is believed; going back
 * is ignored): gives their runs back. */
void lane_fates_confirm(struct lane_table *table, uint32_t lane, uint64_t confirmed);

/* Runs, oldest first, beginning at state.confirmed + 1. Start with {0}; false at the end. */
struct lane_fate_walk {
    uint64_t next_sequence; /* of the run that comes next; 0: at the start */
    uint32_t run;           /* it is number `run` of the lane */
    uint32_t pool_run;      /* in the pool: the next one between */
};
/* Up to durable_sequence: what a producer may be told. */
bool lane_fates_next(const struct lane_table *table, uint32_t lane, struct lane_fate_walk *walk,
                     struct lane_fates *out);
/* Up to last_sequence: what goes into the log. */
bool lane_fates_next_appended(const struct lane_table *table, uint32_t lane,
                              struct lane_fate_walk *walk, struct lane_fates *out);

END_C_DECLS
