/* lane_handover.h - which partition every lane lives in, after a start with other workers.
 *
 * Purpose  Judges over the lanes of all logs of a node: of a lane that several logs know, one is
 *          right; a lane of a partition without a worker moves to one that has one.
 * Rule     The highest `home` wins, then the highest last_sequence. A lane that moves counts one
 *          home more, so the copy that it leaves behind never wins again. One durable record
 *          decides: the new log's first entry of the lane, whole. Before it is durable the next
 *          start finds the old copy alone and moves it again; from then on both, and the new one
 *          wins. Nothing is written into the log that is left behind.
 * Owns     Nothing. Threads: cold, the main core before workers start. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/lane_resume.h"
#include "wire/lane_format.h"

BEGIN_C_DECLS

struct lane_handover_partition {
    struct lane_resume_set *lanes;
    bool has_worker;
};

struct lane_handover {
    uint64_t moved;     /* to a partition with a worker: `imported` */
    uint64_t outdated;  /* copies that another log's is newer than: dropped */
    uint64_t forgotten; /* in partitions without a worker, silent for too long: dropped */
};

/* partitions[i] is partition i. `forget_before_wall_ms`: a lane that is left in a partition without
 * a worker, and was active before this only, is not brought back: its last home may have forgotten
 * it already. With no worker at all nothing is moved. Each lane that is `imported` then needs
 * lane_journal_touch with LANE_IMPORTED, durable, before its producer hears of it.
 * STATUS_NO_MEMORY: nothing may be used. */
MUST_CHECK enum status lane_handover_run(const struct lane_handover_partition *partitions,
                                         size_t count, int64_t forget_before_wall_ms,
                                         struct lane_handover *out);

/* The home of a lane that nobody knows: one of `partitions`, the same on every core and at every
 * start. Of the homes of all lanes, few change when one partition comes or goes (rendezvous). */
uint32_t lane_home_of_new(const struct lane_key *key, const uint32_t *partitions, size_t count);

END_C_DECLS
