/* lane_journal.h - what the open commit did to which lanes, and how that gets into the log.
 *
 * Purpose  Collects, record by record, the fates of the open commit; writes them as one ENTRY_LANES
 *          of that commit, together with a slice of the running checkpoint; and says, when commits
 *          become durable, which lanes moved.
 * Checkpoint  Begins with the first commit that goes to another segment than the last one began in,
 *          once that one is complete, and goes over all lanes of the table, a slice of bounded size
 *          a commit. The commit that completes it, and all later ones, name in their header
 *          (lane_checkpoint) the number of the commit in which it began: recovery needs the lanes'
 *          entries from that commit on, and nothing before it. A log's first one is named at once,
 *          as there are no lanes before it.
 * Owns     Its arrays; no allocation after create, which touches every page. Log and table are
 *          borrowed.
 * Cost     A record that goes on where the lane's last one ended touches the lane (two lines) and
 *          its open item (one). A lane costs 120 bytes a commit and 24 for each further run.
 * Threads  The worker's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/core_log.h"
#include "storage/lane_table.h"

BEGIN_C_DECLS

struct lane_journal; /* opaque */

struct lane_journal_options {
    struct core_log *log; /* made with lanes_bytes_max of at least entry_bytes_max */
    struct lane_table *table;
    size_t entry_bytes_max; /* of one commit's ENTRY_LANES, checkpoint slice included */
    /* Of the checkpoint, a commit; a single lane with more runs than that gets the room it needs,
     * up to lane_item_bytes(lane_runs_max). */
    size_t slice_bytes_max;
};

/* STATUS_NO_MEMORY. STATUS_INVALID: entry_bytes_max has no room for one lane with all its runs, and
 * one slice. */
MUST_CHECK enum status lane_journal_create(const struct lane_journal_options *options,
                                           struct lane_journal **out);
/* NULL is fine. */
void lane_journal_destroy(struct lane_journal *journal);

/* ------------------------------------------------------------------------------ open commit */

/* Where a stored record went: the log's topic, and its index among the records of that topic in the
 * open commit (offsets are known when it is closed). */
struct lane_place {
    int32_t topic; /* LOG_NO_TOPIC: not stored */
    uint32_t index;
};

/* There is room for one more record of any lane; else close the commit first. */
bool lane_journal_has_room(const struct lane_journal *journal);

/* The fate of the lane's next record: state.last_sequence, hash, active_wall_ms and fates move on.
 * Needs has_room. False: the lane's fate runs are used up (the producer must confirm first),
 * nothing changed. */
MUST_CHECK bool lane_journal_record(struct lane_journal *journal, uint32_t lane, uint8_t fate,
                                    struct lane_place place, uint32_t digest, int64_t wall_ms);

/* The same for records in a row with one fate, stored ones side by side from `place` on. */
struct lane_records {
    uint32_t lane;
    uint8_t fate;
    struct lane_place place; /* of the first */
    uint32_t count;
    uint64_t factor; /* H(last) = H(before the first) × factor + sum: lane_records_extend */
    uint64_t sum;
};

static inline void lane_records_extend(struct lane_records *records, uint32_t digest)
{
    records->count++;
    records->factor *= NATIVE_HASH_FACTOR;
    records->sum = records->sum * NATIVE_HASH_FACTOR + digest + 1;
}

MUST_CHECK bool lane_journal_records(struct lane_journal *journal,
                                     const struct lane_records *records, int64_t wall_ms);

/* Skips `count` sequences with the fate LOST; the hash stays. Needs has_room. */
MUST_CHECK bool lane_journal_skip(struct lane_journal *journal, uint32_t lane, uint32_t count);

/* The lane's state, as it is when the commit is closed, goes into this commit also without a record
 * (an OPEN, a new epoch: flags 0), or with all its fates (LANE_IMPORTED; no records in the same
 * commit). Needs has_room. False, with LANE_IMPORTED only: its fates have no room; close the commit
 * first. An empty one has room for any lane. */
MUST_CHECK bool lane_journal_touch(struct lane_journal *journal, uint32_t lane, uint32_t flags);

/* The lane is removed from the table and the log. Needs has_room. Not while it has records in the
 * open commit, or anything in flight: asserted. */
void lane_journal_forget(struct lane_journal *journal, uint32_t lane);

/* Nothing to tell: no commit is needed for the lanes' sake. */
bool lane_journal_is_empty(const struct lane_journal *journal);

/* Bytes of the log's commit that it wants at most. */
size_t lane_journal_reserve_bytes(const struct lane_journal *journal);

/* Between core_log_begin and core_log_submit, before the records' entries are added (offsets of the
 * draft's topics are core_log_next_offset then): adds the ENTRY_LANES, with a slice of the
 * checkpoint, and fills the lanes' part of `facts`. The journal is empty then. */
void lane_journal_close(struct lane_journal *journal, struct commit_draft *draft,
                        struct commit_facts *facts);
/* What core_log_submit answered for it. */
void lane_journal_submitted(struct lane_journal *journal, uint64_t commit_number);

/* ------------------------------------------------------------------------------------ durable */

/* Lanes that commits up to `durable_number` moved or touched: raises their durable_sequence, fills
 * `out` with up to `capacity` of their indexes (a lane may come again), answers how many. Call it
 * behind every core_log_turn, again while it answers `capacity`. */
size_t lane_journal_reap(struct lane_journal *journal, uint64_t durable_number, uint32_t *out,
                         size_t capacity);

END_C_DECLS
