/* lane_resume.h - the lanes of one log as recovery puts them together, entry by entry.
 *
 * Purpose  Takes lanes' items in the order of commits: the newest state of a lane wins, its fates
 *          grow, and shrink by what the producer confirmed.
 * Owns     The lanes and their fates; grows by malloc.
 * Threads  Cold: the main core before workers start, or a tool.
 * Doubt    A delta that does not follow what is known (an entry between them is lost) leaves a gap:
 *          its sequences get the fate LOST, and the lane says so until an item with all its fates
 *          comes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/lane_table.h"
#include "wire/lane_format.h"

BEGIN_C_DECLS

struct lane_resume {
    struct lane_state state;
    struct lane_fates *runs; /* of (state.confirmed, state.last_sequence], oldest first */
    size_t run_count;
    size_t run_capacity;
    bool gap;      /* some fates are not known: LOST stands for them */
    bool imported; /* lane_handover.h: the log that it now belongs to does not know it yet */
};

struct lane_resume_set {
    struct lane_resume *lanes; /* in no order; an index holds until a lane is removed */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* by hash of the key: index + 1; 0: empty */
    size_t slot_count;
};

/* An empty set is {0}. */
void lane_resume_set_deinit(struct lane_resume_set *set);

/* NULL: not there. */
struct lane_resume *lane_resume_set_find(const struct lane_resume_set *set,
                                         const struct lane_key *key);

/* Takes the lane, and the ownership of its runs. The key must not be there: asserted.
 * STATUS_NO_MEMORY. */
MUST_CHECK enum status lane_resume_set_add(struct lane_resume_set *set,
                                           const struct lane_resume *lane);

/* The last lane takes its place. With `out` the runs are the caller's, else they are freed. */
void lane_resume_set_remove(struct lane_resume_set *set, size_t index, struct lane_resume *out);

/* The next item, decoded. STATUS_NO_MEMORY; STATUS_CORRUPT: it confirms more than there is. */
MUST_CHECK enum status lane_resume_set_take(struct lane_resume_set *set,
                                            const struct lane_item *item);

END_C_DECLS
