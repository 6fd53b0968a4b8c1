/* index_chunk.h - where a topic's batches lie: a line a batch, each as what differs from the last.
 *
 * Purpose  The one encoding of index lines: chunks in a segment's footer (with an anchor each, so
 *          that a reader holds anchors alone and fetches the chunk it needs), the live index in
 *          shared memory, and a reader's memory. About 8 bytes a batch.
 * Format   docs/log-format.md, "Index". A line says what its predecessor in the chunk does not
 *          foretell: a chunk is read from its first line on, INDEX_CHUNK_LINES_MAX at most.
 * Owns     Nothing. Threads: any; the state is the caller's.
 * Errors   A decoder answers STATUS_OK, STATUS_NOT_FOUND (the end), STATUS_CORRUPT. What it hands
 *          out has escaped no bounds check but the segment's own size, which it does not know. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/cursor.h"
#include "base/sink.h"
#include "base/status.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

enum {
    INDEX_POSITION_UNIT_BYTES = 8, /* entries of a commit stand on multiples of it */
    INDEX_LINE_BYTES_MIN = 6,
    INDEX_LINE_BYTES_MAX = 48,
    INDEX_CHUNK_LINES_MAX = 128,
    INDEX_CHUNK_BYTES_MAX = 1536, /* a chunk ends before its next line might not fit */
};
static_assert(INDEX_CHUNK_BYTES_MAX >= INDEX_LINE_BYTES_MAX, "one line fits");

/* One RECORDS entry of a segment. */
struct index_entry {
    int32_t topic;
    uint32_t record_count;
    uint64_t base_offset;
    int64_t max_timestamp_ms;
    uint64_t position; /* of the entry's bytes, in the segment's file */
    uint32_t length_bytes;
    uint16_t check; /* index_check of the entry's CRC-32C */
};

/* Binds a line to its bytes: a batch that is whole, but another one, does not pass. That it is
 * whole is said by Kafka's own CRC in it. */
static inline uint16_t index_check(uint32_t crc32c) { return (uint16_t)(crc32c ^ crc32c >> 16); }

/* What the line before leaves behind. All zero at a chunk's beginning, but next_offset: the
 * anchor's base offset. */
struct index_state {
    uint64_t next_offset;
    uint64_t position;
    uint64_t position_step;
    uint64_t timestamp_ms; /* unsigned: differences wrap */
    uint64_t timestamp_step_ms;
    uint32_t record_count; /* 0: there is no line before */
    uint32_t length_bytes;
};

/* At most INDEX_LINE_BYTES_MAX. Offsets rise: entry->base_offset is state->next_offset at least
 * (asserted), the position a multiple of INDEX_POSITION_UNIT_BYTES. The topic is not in it. */
void index_line_encode(struct index_state *state, const struct index_entry *entry,
                       struct sink *out);

/* The next line; out->topic is not touched. */
MUST_CHECK enum status index_line_decode(struct index_state *state, struct cursor *in,
                                         struct index_entry *out);

/* ---------------------------------------------------------------------------------- anchors */

/* One a chunk, in the order of the chunks; those of a topic rise in offsets. */
struct index_anchor_wire {
    uint8_t topic_le32[4];
    uint8_t line_count_le32[4];
    uint8_t position_le32[4]; /* of the chunk, from the INDEX entry's first byte */
    uint8_t length_bytes_le32[4];
    uint8_t crc32c_le32[4]; /* over the chunk */
    uint8_t reserved[4];
    uint8_t base_offset_le64[8];
    uint8_t next_offset_le64[8];   /* behind its last record */
    uint8_t max_timestamp_le64[8]; /* the greatest of its lines */
    uint8_t record_count_le64[8];  /* of its lines together */
    uint8_t batch_bytes_le64[8];   /* likewise */
};
static_assert(sizeof(struct index_anchor_wire) == 64, "log-format.md");

struct index_anchor {
    int32_t topic;
    uint32_t line_count;
    uint32_t position;
    uint32_t length_bytes;
    uint32_t crc32c;
    uint64_t base_offset;
    uint64_t next_offset;
    int64_t max_timestamp_ms;
    uint64_t record_count;
    uint64_t batch_bytes;
};

void index_anchor_encode(const struct index_anchor *anchor, struct index_anchor_wire *out);

/* STATUS_CORRUPT: a bound that no chunk has, or a chunk that leaves an INDEX of `index_bytes`. */
MUST_CHECK enum status index_anchor_decode(const struct index_anchor_wire *wire,
                                           uint64_t index_bytes, struct index_anchor *out);

/* What index_line_decode begins a chunk with. */
struct index_state index_chunk_begin(const struct index_anchor *anchor);

END_C_DECLS
