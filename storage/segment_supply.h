/* segment_supply.h - the next segments, zero-filled ahead of need, off the polling cores.
 *
 * Purpose  A worker that rolls finds its next file ready: created, zero-filled, durable by name,
 *          with its live index in the runtime directory. Cleans up behind it too: closes files and
 *          removes live indexes of sealed segments after a grace time.
 * Owns     Prepared segments until taken; returned ones from then on.
 * Threads  take, move and give_back are the worker's: never wait. work is one helper thread's of
 *          each log (or a test's), remove another's: they block, and a disk that hangs holds up no
 *          other log. One slot a log, handed over by an atomic each way.
 * Errors   A segment that cannot be made (no space) on any storage path is tried again every
 *          second; the worker sees STATUS_BUSY, and segment_supply_trouble says why. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/note.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/live_index.h"

BEGIN_C_DECLS

struct prepared_segment {
    int file;
    uint64_t begin; /* where byte 0 lies in `file` (files_begin): what its writes add */
    uint64_t number;
    uint64_t capacity_bytes;
    struct log_id nonce;             /* random, made here: no entropy is drawn on a polling core */
    struct live_index_header *index; /* mapped writable; NULL nowhere */
    size_t index_size_bytes;
    uint32_t place; /* number of its storage path */
    uint64_t moves; /* segment_supply_move's that it knew of */
    /* Set by who gives it back: no commit in it is durable and none ever will be. Then the file and
     * its live index go as well (a gap in the numbers is no gap in the chain). */
    bool spent_for_nothing;
};

struct segment_supply; /* opaque */

struct segment_supply_options {
    struct files files;
    const char *runtime; /* directory of the live indexes; lives as long as the supply. NULL: in
                            private memory, where no reader finds them */
    uint64_t segment_bytes;
    uint32_t index_bytes; /* of one live index, without its topics; and of a footer's index */
    size_t log_count;
    uint64_t grace_ns; /* how long a sealed segment's live index stays */
    uint64_t
        reserve_bytes; /* free space that no segment takes: STATUS_NO_SPACE before the disk's */
};

MUST_CHECK enum status segment_supply_create(const struct segment_supply_options *options,
                                             struct segment_supply **out);
/* Removes what is prepared and was not taken, and the live indexes whose grace still runs. Those of
 * failed segments stay: nothing on disk may have their entries. NULL is fine. */
void segment_supply_destroy(struct segment_supply *supply);

/* Before the first work: log `index` is `partition`, its segments go on from `next_number`. */
void segment_supply_add_log(struct segment_supply *supply, size_t index, uint32_t partition,
                            uint64_t next_number);

/* One round for one log: prepares whatever is missing, cleans up what is due. Answers whether it
 * did anything. Rounds of different logs may run at the same time. */
bool segment_supply_work_log(struct segment_supply *supply, size_t index, uint64_t now_ns);
/* Removes one segment that was spent for nothing; false: none waits. May block for as long as a
 * disk hangs: by a thread of its own. */
bool segment_supply_remove(struct segment_supply *supply);
/* One round for each log, and all removals.
 * Entropy comes from getrandom(2); tests pass a seed by segment_supply_seed. */
bool segment_supply_work(struct segment_supply *supply, uint64_t now_ns);
void segment_supply_seed(struct segment_supply *supply, uint64_t seed);

/* The worker's: STATUS_OK or STATUS_BUSY. */
MUST_CHECK enum status segment_supply_take(struct segment_supply *supply, size_t index,
                                           struct prepared_segment *out);
/* The worker's: it is done with a segment (sealed or failed). STATUS_BUSY: the slot still holds an
 * earlier one; try at the next turn. */
MUST_CHECK enum status segment_supply_give_back(struct segment_supply *supply, size_t index,
                                                const struct prepared_segment *segment);

/* The worker's: segments of the storage path that the last ones came from are not wanted any more;
 * what is prepared there goes back, and the next is made on the next path. */
void segment_supply_move(struct segment_supply *supply, size_t index);

/* Storage paths that segments may be made on; constant. Any thread. */
size_t segment_supply_place_count(const struct segment_supply *supply);

/* What every prepared segment has; constant. Any thread. */
uint64_t segment_supply_segment_bytes(const struct segment_supply *supply);
uint32_t segment_supply_index_bytes(const struct segment_supply *supply);

/* Why the last attempt for a log failed; STATUS_OK when it did not. Any thread. */
enum status segment_supply_trouble(const struct segment_supply *supply, size_t index);

END_C_DECLS
