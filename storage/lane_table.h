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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/lane_format.h"

BEGIN_C_DECLS

#define LANE_NONE UINT32_MAX

enum { LANE_FATE_RUNS_MAX = 1024 }; /* not confirmed, of one lane */

struct lane_fates; /* a run beyond the first, in the pool */

struct lane {
    struct lane_state state;   /* last_sequence, hash: as appended, durable or not */
    uint64_t durable_sequence; /* every fate up to here is on stable storage */
    /* fates of (state.confirmed, state.last_sequence]: the oldest run here, younger ones chained */
    uint64_t first_run_count;
    uint32_t runs_head; /* index in the pool; LANE_NONE: none */
    uint32_t runs_tail;
    uint32_t run_count; /* all of them */
    uint8_t first_run_fate;
    bool used;
    uint32_t open_item; /* in the journal's open commit; LANE_NONE: none */
};

struct lane_table; /* opaque */

struct lane_table_options {
    uint32_t lanes_max;
    uint32_t fate_runs_max; /* of the pool, beyond one a lane */
};

MUST_CHECK enum status lane_table_create(const struct lane_table_options *options,
                                         struct lane_table **out);
void lane_table_destroy(struct lane_table *table);

uint32_t lane_table_capacity(const struct lane_table *table);
uint32_t lane_table_count(const struct lane_table *table);

/* LANE_NONE: not known here. */
uint32_t lane_table_find(const struct lane_table *table, const struct lane_key *key);

/* A new lane with this state and no fates; durable_sequence = last_sequence. LANE_NONE: full. The
 * key must not be there: asserted. */
uint32_t lane_table_add(struct lane_table *table, const struct lane_state *state);

/* Forgets it. It must not have an open item: asserted. */
void lane_table_remove(struct lane_table *table, uint32_t lane);

/* The array itself, lane_table_capacity() long: hot. */
struct lane *lane_table_lanes(struct lane_table *table);

/* ------------------------------------------------------------------------------------- fates */

/* `count` more sequences with this fate behind state.last_sequence, which moves. False: the lane's
 * or the pool's runs are used up, nothing changed. */
bool lane_fates_append(struct lane_table *table, uint32_t lane, uint8_t fate, uint64_t count);

/* The producer knows the fates up to `confirmed` (at most durable_sequence is believed; going back
 * is ignored): gives their runs back. */
void lane_fates_confirm(struct lane_table *table, uint32_t lane, uint64_t confirmed);

/* Runs, oldest first, beginning at state.confirmed + 1, clipped to durable_sequence. Start with
 * {0}; false at the end. */
struct lane_fate_walk {
    uint64_t next_sequence; /* of the run that comes next; 0: at the start */
    uint32_t run;
};
bool lane_fates_next(const struct lane_table *table, uint32_t lane, struct lane_fate_walk *walk,
                     uint8_t *out_fate, uint64_t *out_count);

END_C_DECLS
