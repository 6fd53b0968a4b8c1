/* log_commit.h - the bytes of one commit, and what is remembered of it until it is durable.
 *
 * Layout   header | directory, with three spare lines at most | entries | zeros to a whole block.
 *          Lines stand in the order LANES, RECORDS..., TOTALS, TOPICS: a commit that becomes a
 * segment's first when commits are written again takes TOPICS as its last line, and one that is no
 *          longer the first drops it, without a byte of the other entries moving.
 * Owns     Nothing: the bytes lie in the commit ring, in a segment's footer image, or in the log's
 *          mending buffer.
 * Threads  The worker's, like core_log. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "storage/core_log.h"
#include "storage/topic_table.h"
#include "wire/log_format.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

enum {
    LOG_COMMIT_OWN_LINES = 3, /* LANES, TOTALS and TOPICS, beside the topics' records */
    LOG_COMMIT_TOTALS_BYTES = STATS_COUNTER_COUNT * 8,
};

enum log_write_state {
    LOG_WRITE_NONE,
    LOG_WRITE_WAITING, /* the disk has not taken it yet */
    LOG_WRITE_OUT,     /* the disk has it */
    LOG_WRITE_DONE,    /* durable by itself */
};

struct log_segment;

/* A commit that is closed and not yet durable with all before it. */
struct log_commit {
    uint8_t *at;
    uint64_t ring_position; /* of its bytes; for one outside the ring, where the ring then was */
    struct commit_header header; /* as encoded; crc32c is its identity */
    struct log_segment *segment;
    struct log_segment *lender; /* whose footer image holds the bytes; NULL: none */
    enum log_write_state write;
    uint64_t submitted_ns;
    uint64_t records;
    uint64_t records_copies;
    uint64_t batches;
    uint64_t batch_bytes;
    bool has_topics;
    bool lane_checkpoint_begins;
};

static inline size_t log_align_bytes(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* An empty commit at `at` with `line_count` lines in its directory. */
void log_commit_begin(struct commit_draft *draft, uint8_t *at, size_t capacity_bytes,
                      uint32_t line_count);

/* The entry's bytes stand at draft->used_bytes: takes them into the next line. */
void log_commit_add(struct commit_draft *draft, struct entry entry);

void log_commit_add_totals(struct commit_draft *draft, const uint64_t *totals);
void log_commit_add_topics(struct commit_draft *draft, const struct topic_table *table,
                           const uint64_t *base_offsets, const uint64_t *next_offsets);

/* Pads, fills in entry_count and length_bytes of `header`, encodes it and its crc32c. */
void log_commit_close(struct commit_draft *draft, struct commit_header *header);

/* Gives the commit its place in another segment: `header` holds nonce, position, previous CRC and
 * durable number; the bytes must not be under a write. */
void log_commit_encode_again(struct log_commit *commit);

/* The draft that a closed commit was: to append to it. */
struct commit_draft log_commit_reopen(const struct log_commit *commit, uint8_t *at,
                                      size_t capacity_bytes);

END_C_DECLS
