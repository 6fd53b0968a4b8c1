/* rules_replay.h - stored records before two rule sets: what the one would do otherwise than the
 * other.
 *
 * Purpose  Counts verdicts and contents that differ, hits of each rule that are new or lost with a
 *          few examples, and what judging costs by either.
 * Bounds   Memory for both sets, a burst of records, REPLAY_CHANGES_MAX kinds of change and
 *          REPLAY_EXAMPLES_MAX examples a rule and direction.
 * Not on disk  Sender and listener. A rule that looks at either is left out of both sets. A record
 *          is judged as it was stored: with the key, the headers and the bytes that rules then gave
 *          it. Records that were dropped are not there, and what has no rule goes where the pseudo
 *          topic of the world says.
 * Threads  One. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "tools/candidate.h"
#include "tools/log_export.h"
#include "tools/trial.h"
#include "tools/trial_batch.h"

BEGIN_C_DECLS

enum { REPLAY_CHANGES_MAX = 256, REPLAY_EXAMPLES_MAX = 3 };

/* One rule set. */
struct replay_side {
    struct candidate candidate;
    struct rule_set *rules; /* without the rules that cannot be judged */
    size_t *original;       /* by index in `rules`: index in the candidate's source */
    size_t *names;          /* by index in `rules`: index in the replay's rules */
    size_t rule_count;
    size_t *left_out; /* indexes in the source */
    size_t left_out_count;
    struct trial *trial;
    struct trial_batch *batch;
    uint64_t judge_ns;
};

/* A name that either set has. */
struct replay_rule {
    const char *name;
    uint64_t hits[2];                       /* by side */
    uint64_t lost;                          /* records that only the first side's rule holds for */
    uint64_t gained;                        /* and the second's */
    char *examples[2][REPLAY_EXAMPLES_MAX]; /* lost, gained: "events/0/42: GET /" */
    uint64_t seen[2]; /* number of the record that it held for last, by side */
};

struct replay_change {
    struct verdict before;
    struct verdict after;
    uint64_t count;
};

enum { REPLAY_IN_FORCE, REPLAY_CANDIDATE };

struct rules_replay {
    const struct candidate_world *world;
    struct replay_side sides[2];
    struct replay_rule *rules; /* by name */
    size_t rule_count;
    struct replay_change changes[REPLAY_CHANGES_MAX];
    size_t change_count;
    uint64_t records;
    uint64_t changed;          /* verdicts */
    uint64_t changed_beyond;   /* of those, of kinds that `changes` had no room for */
    uint64_t contents_changed; /* stored by both, with other key, value or headers */
    int64_t first_timestamp_ms;
    int64_t last_timestamp_ms;
    struct trial_clock clock;
    struct record_copy waiting[TRIAL_BATCH_RECORDS]; /* for the cost */
    size_t waiting_count;
};

/* Both sides' candidates are loaded. False: what is left does not compile; said. */
MUST_CHECK bool rules_replay_begin(struct rules_replay *replay, struct diagnostics *diagnostics);

/* For log_export; the context is the replay. */
bool rules_replay_record(void *context, const struct log_export_record *record);

/* What is still waiting is judged. */
void rules_replay_end(struct rules_replay *replay);

/* Candidates too; {0} is empty. */
void rules_replay_deinit(struct rules_replay *replay);

END_C_DECLS
