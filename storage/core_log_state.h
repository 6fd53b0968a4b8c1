/* core_log_state.h - the fields of a core_log, for its five files alone: core_log.c (what the
 * worker calls), core_log_chain.c (commits and segments join), core_log_writes.c (to the disk and
 * back), core_log_mend.c (when the disk refuses), core_log_quarantine.c (when it does not answer).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "storage/core_log.h"
#include "storage/log_commit.h"
#include "storage/log_segment.h"
#include "storage/topic_table.h"

enum {
    /* One open, some being finished while their last writes are out, some in quarantine. */
    LOG_SEGMENTS_MAX = 6,
    /* An ordinary roll leaves this many free: mending always finds one. */
    LOG_SEGMENTS_SPARE = 3,
    /* Records' commits, and beside them a footer a segment and a watermark. */
    LOG_QUEUE_MAX = CORE_LOG_IN_FLIGHT_MAX + 2 * LOG_SEGMENTS_MAX,
};

/* Sums over the commits in the queue. */
struct log_pending {
    uint64_t commits;
    uint64_t bytes;
    uint64_t batches;
    uint64_t batch_bytes;
    uint64_t records;
    uint64_t records_copies;
};

/* For copies of what late writes may still read. */
struct log_quarantine {
    uint8_t *memory; /* holds what can be in flight at once */
    size_t memory_bytes;
    size_t used_bytes;
};

/* The end of the chain: what the next commit continues. */
struct log_chain_end {
    uint64_t number;
    uint32_t crc32c;
    struct log_id nonce; /* of the segment it stands in */
};

struct core_log {
    struct core_log_options options; /* `resume` is NULL after create */
    struct log_id log_id;
    uint32_t partition;
    uint32_t leader_epoch;
    uint64_t segment_bytes;
    struct topic_table topics;
    bool declarations_pending; /* a topic is new: one commit says so, records or not */

    uint64_t ring_end;                      /* where the next commit's bytes may begin */
    struct log_chain_end closed;            /* the newest commit in the queue, or durable.* */
    struct log_chain_end durable;           /* the newest durable one */
    struct log_commit queue[LOG_QUEUE_MAX]; /* [number % LOG_QUEUE_MAX], durable+1 .. closed */
    struct log_pending pending;

    struct log_segment segments[LOG_SEGMENTS_MAX];
    struct log_segment *open;
    struct index_builder index;   /* of the open one */
    uint64_t last_segment_number; /* 0: none opened yet */
    uint32_t last_place;          /* storage path that it lies on */

    uint64_t lane_checkpoint;       /* of the newest commit closed */
    uint64_t lane_began_number;     /* the durable commit in which the newest checkpoint began */
    uint64_t lane_began_in_segment; /* where it stands */

    int64_t last_wall_ms;
    uint64_t now_ns; /* of the last call that brought a time */
    uint64_t rules_epoch;
    uint64_t last_closed_ns; /* when the newest commit was closed */
    bool last_had_entries;   /* records or lanes */
    bool starved;            /* told once an episode */
    bool doorbell_due;
    bool finishing;

    bool mending; /* commits in the queue stand in failed segments */
    bool closed_now;
    enum status closed_why;
    uint32_t failures_in_row; /* segments failed since a commit last became durable */
    uint64_t probe_at_ns;
    uint64_t mend_starved_ns; /* since when mending waits for a segment; 0: it does not */
    uint8_t *mend_buffer;     /* a segment's first commit, with its topics, when written again */
    size_t mend_buffer_bytes;
    struct log_quarantine quarantine;
};

static inline struct log_commit *core_log_queued(struct core_log *log, uint64_t number)
{
    return &log->queue[number % LOG_QUEUE_MAX];
}

static inline bool core_log_queue_has_room(const struct core_log *log)
{
    return log->pending.commits < LOG_QUEUE_MAX;
}

/* Readers look at the directories again. Several cores raise the same counter. */
static inline void core_log_raise_generation(struct core_log *log)
{
    atomic_fetch_add_explicit(&log->options.root->segments_generation, 1, memory_order_release);
}

/* ----------------------------------------------------------------------- core_log.c offers */

/* Closes an empty commit and queues it; false when there is no room for it now. */
bool core_log_write_watermark(struct core_log *log, struct instant now);

/* Bytes that a topics entry adds to a commit at most. */
size_t core_log_topics_room(const struct core_log *log);

/* ----------------------------------------------------------------- core_log_chain.c offers */

/* The lifetime counters as they will be once this commit and all before it are durable. */
void core_log_project_totals(const struct core_log *log, const struct log_commit *commit,
                             uint64_t length_bytes, uint64_t *totals);

/* For the next commit, at the end of the open segment. */
struct commit_header core_log_next_header(struct core_log *log, uint32_t flags, struct instant now);

/* The commit is whole: it joins the chain and waits for the disk. */
void core_log_enqueue(struct core_log *log, const struct log_commit *commit);

/* Opens the next prepared segment behind `predecessor`. STATUS_BUSY: none is ready. */
MUST_CHECK enum status core_log_open_segment(struct core_log *log,
                                             const struct log_chain_end *predecessor);

/* Ends the open segment: its footer takes the next number, and the chain goes on from there. */
void core_log_seal_open(struct core_log *log, struct instant now);

/* A free one while more than `spare_count` are; else NULL. */
struct log_segment *core_log_free_segment(struct core_log *log, size_t spare_count);

/* Slots that an ordinary roll leaves free, as long as late writes leave enough. */
size_t core_log_spare_slots(const struct core_log *log);

/* Gives back what is sealed, or failed and out of quarantine. */
void core_log_release_segments(struct core_log *log);

/* ---------------------------------------------------------------- core_log_writes.c offers */

/* Hands the disk what waits, oldest first; a segment's header is its first write. */
void core_log_pump(struct core_log *log);

/* Takes completions, one call to the disk. */
void core_log_reap(struct core_log *log);

/* Publishes, in order, what is durable with all before it. */
void core_log_move_watermark(struct core_log *log);

/* ------------------------------------------------------------- core_log_quarantine.c offers */

MUST_CHECK enum status core_log_quarantine_init(struct core_log *log);
void core_log_quarantine_deinit(struct core_log *log);

/* Whether a write is out that was given up: its bytes are not touched. */
bool core_log_has_late_writes(const struct core_log *log);

/* Whether all that waits and is under a write can be copied. */
COLD bool core_log_quarantine_has_room(struct core_log *log);
/* Forgets the copies that have become durable. */
COLD void core_log_quarantine_clear(struct core_log *log);
bool core_log_quarantine_fits(const struct core_log *log, size_t bytes);
/* Whole blocks for a copy, which fit. */
COLD uint8_t *core_log_quarantine_take(struct core_log *log, size_t bytes);
/* The commit is under a late write and about to be copied: its bytes are left alone. */
COLD void core_log_quarantine_bytes(struct core_log *log, const struct log_commit *commit);
/* Whether a late write may read the segment's footer image. */
bool core_log_quarantine_holds(const struct core_log *log, const struct log_segment *segment);
/* Moves `position` on to where `bytes` are in one piece and touch nothing in quarantine; false:
 * nowhere. */
bool core_log_ring_place(const struct core_log *log, size_t bytes, uint64_t *position);

/* ------------------------------------------------------------------- core_log_mend.c offers */

/* The disk refused a write of `segment`, or kept it too long. */
COLD void core_log_fail_segment(struct core_log *log, struct log_segment *segment, enum status why,
                                uint64_t position);

/* A segment that holds nothing: its file goes back. Not a failure. */
COLD void core_log_discard_segment(struct log_segment *segment);

/* Stops taking commits until a probe succeeds. */
COLD void core_log_close(struct core_log *log, enum status why);
COLD void core_log_reopen(struct core_log *log);

/* Fails segments whose writes are out for too long. */
void core_log_check_timeouts(struct core_log *log);

/* One step of mending; does nothing while the log is whole. */
void core_log_mend(struct core_log *log, struct instant now);
