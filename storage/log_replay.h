/* log_replay.h - walks the unsealed end of a log and says what of it stands.
 *
 * Purpose  Recovery's judgement, without its hands: which commits are kept, what is rot, what is a
 *          torn tail, and from there where the log goes on. Writes nothing.
 * Owns     Its index array. Threads: one at a time; cold.
 * Rules    recovery.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/log_chain.h"
#include "storage/log_resume.h"
#include "storage/recovery.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct log_replay {
    struct files files;
    uint32_t partition;
    struct log_chain *chain;
    const struct recovery_report *report; /* may be NULL */
    bool proven;                          /* the root page speaks of the newest incarnation */
    bool newest_missing;                  /* it names a segment that is not in the chain */
    bool newest_unknown;                  /* and that one is of a later life than all that is */
    bool durable_complete;                /* every commit was asked for its durable_number */
    uint64_t durable_number;              /* every commit up to here was durable once */

    struct log_resume *log; /* topics, totals, wall time as of the last commit kept */
    uint64_t base_offsets[LOG_TOPICS_MAX]; /* when the segment `top` was opened */
    uint64_t next_number;
    uint32_t previous_crc32c;
    bool previous_known; /* it is that of commit next_number-1, which was not lost */
    uint32_t leader_epoch;
    uint64_t tail_records_max;

    size_t top;             /* index of the newest segment kept; what is above it is cut off */
    uint64_t tail_position; /* in `top`: behind its last commit kept */
    bool top_empty;         /* no commit of `top` was kept */
    bool footer_last;       /* the last commit kept is a footer, of `top` unless top_empty */
    struct commit_header footer;
    bool offsets_skipped;       /* that footer says so */
    bool cut;                   /* a tail was cut, here or above */
    bool undecidable;           /* a tail was cut that may have been acknowledged */
    uint64_t commits_uncovered; /* fenced, and no declaration of all topics came after */
    bool commits_missing;       /* whole ones among them: their offsets are told by what comes */
    struct index_entry *index;  /* of `top` */
    size_t index_count;
    size_t index_capacity;
};

/* `witness` may be NULL. `log` has cluster id, log id and partition; large: not on a stack.
 * STATUS_NO_MEMORY. A chain without a top is asserted not to come here. */
MUST_CHECK enum status log_replay_run(struct log_replay *replay,
                                      const struct recovery_witness *witness);
void log_replay_deinit(struct log_replay *replay);

/* How many offsets of every topic must be skipped because something was lost. */
uint64_t log_replay_skip(const struct log_replay *replay);

/* Raises the next offset of every topic, which Kafka bounds at INT64_MAX. */
void log_replay_skip_offsets(struct log_replay *replay, uint64_t count);

struct segment_scan;

/* On STATUS_OK both are the caller's to end: segment_scan_destroy, then files_close. */
MUST_CHECK enum status log_replay_scan_open(const struct log_replay *replay,
                                            const struct chain_segment *segment, int *file,
                                            struct segment_scan **out);

void log_replay_report(const struct log_replay *replay, enum recovery_finding finding,
                       uint64_t number, uint64_t value, uint64_t other);

END_C_DECLS
