/* log_segment.h - one segment being written: its header, its growing footer, its live index.
 *
 * Purpose  Says whether a commit still fits, grows the footer's index as commits are closed (so a
 *          roll costs no pass over them), closes the footer, and fills the live index.
 * Life     free -> open -> sealing (footer closed) -> sealed | failed -> given back -> free. A
 *          failed one stays until every write to it was reaped: its memory is in quarantine.
 * Owns     The footer image and the two blocks; the prepared segment until it is given back. Not
 * the index builder: of a log's segments one is open, and that one has it. Threads  The worker's,
 * like core_log, which alone uses it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/index_builder.h"
#include "storage/log_commit.h"
#include "storage/segment_supply.h"
#include "storage/topic_table.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

enum log_segment_state {
    LOG_SEGMENT_FREE,
    LOG_SEGMENT_OPEN,
    LOG_SEGMENT_SEALING, /* footer closed; footer or trailer not durable yet */
    LOG_SEGMENT_SEALED,
    LOG_SEGMENT_FAILED,
};

/* The header or trailer block on its way to the disk. */
struct log_block_write {
    enum log_write_state write;
    uint64_t submitted_ns;
};

struct log_segment {
    enum log_segment_state state;
    struct prepared_segment file;
    uint64_t opened_ns;
    uint64_t predecessor_number; /* the commit that its header names */
    uint64_t end_bytes;          /* where the next commit goes */
    uint64_t commit_count;
    uint64_t durable_count; /* of those, published */
    bool has_records;

    struct log_block_write header;
    struct log_block_write trailer;
    uint8_t *header_block;
    uint8_t *trailer_block;
    uint32_t writes_out;  /* the disk has them: not reaped yet */
    bool late;            /* failed, and some of these were given up */
    uint32_t reads_slots; /* bit by slot: segments whose footer image these may still read */
    uint64_t reads_begin; /* and the ring from here to reads_end; equal: nothing */
    uint64_t reads_end;
    uint32_t queue_count; /* commits in the log's queue that stand in this segment */
    uint32_t lent_count;  /* commits in the queue whose bytes lie in the image */

    uint8_t *image; /* the footer commit, its INDEX entry filled as commits are closed */
    size_t image_bytes;
    struct index_builder *index; /* the log's, while open */
    struct live_index_writer live;
    uint64_t base_offsets[LOG_TOPICS_MAX];
};

/* Allocates the image, for an index of `index_bytes` and any number of topics. */
MUST_CHECK enum status log_segment_init(struct log_segment *segment, uint32_t index_bytes);
void log_segment_deinit(struct log_segment *segment);

/* Takes over `file`: encodes the header, fills the live index' fixed part and opens it. `header`
 * needs everything but nonce, number and capacity. base_offsets are the caller's to fill first.
 * `index` is for as many bytes as the image, and is begun anew: no other segment is open. */
void log_segment_open(struct log_segment *segment, const struct prepared_segment *file,
                      struct segment_header header, struct index_builder *index, uint64_t now_ns);

/* Bytes of a footer whose index and anchors take `index_bytes`, whole blocks. */
size_t log_segment_footer_bytes(const struct topic_table *topics, size_t index_bytes);

/* What the index and the live index of `record_entries` batches in `commits` commits take, at most;
 * both have segment_supply_index_bytes. */
size_t log_segment_index_bytes_max(size_t commits, size_t record_entries);

/* Whether a commit of that size, and a footer and trailer behind it, have room. */
bool log_segment_fits(const struct log_segment *segment, const struct topic_table *topics,
                      size_t commit_bytes, size_t record_entries);

/* A commit was closed for this segment at end_bytes: its place and its index lines are taken. */
void log_segment_take(struct log_segment *segment, const struct log_commit *commit);

/* No more commits: answers how many bytes index and anchors take. */
size_t log_segment_close_index(struct log_segment *segment);

/* Closes the footer in the image; header->position must be end_bytes. After close_index. */
void log_segment_close_footer(struct log_segment *segment, const struct topic_table *topics,
                              const uint64_t *totals, struct commit_header *header);

/* Its footer is durable, with all before it: encodes the trailer block, to be written. */
void log_segment_encode_trailer(struct log_segment *segment, const struct commit_header *footer);

/* A commit is durable, with all before it: its records become visible. */
void log_segment_publish(struct log_segment *segment, const struct log_commit *commit,
                         const struct topic_table *topics, uint64_t now_ns);

void log_segment_set_index_state(struct log_segment *segment, enum live_index_state state);

END_C_DECLS
