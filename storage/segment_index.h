/* segment_index.h - where each batch of one segment lies, by topic, in memory.
 *
 * Purpose  Lookup by offset or time in a live index, a footer, or what a scan found, all alike. By
 *          topic there are chunks of up to INDEX_CHUNK_LINES_MAX batches (wire/index_chunk.h). A
 *          footer's chunk stays on disk until it is asked for; its anchor says what is in it.
 * Owns     Its runs and the chunks in memory. Threads: one at a time.
 * Bounds   What is appended or given was written by others and is checked: positions, lengths, and
 *          that a topic's offsets rise. Lookup is a binary search and allocates nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/cursor.h"
#include "base/status.h"
#include "wire/index_chunk.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct batch_entry {
    uint64_t base_offset;
    uint64_t next_offset;
    int64_t max_timestamp_ms;
    uint64_t position;
    uint64_t ring_position; /* of a live index: where it is in the commit ring */
    uint64_t durable_ns;    /* likewise; else 0 */
    uint32_t length_bytes;
    uint16_t check;
};

struct index_chunk {
    uint64_t base_offset;
    uint64_t next_offset;
    int64_t prefix_timestamp_ms; /* greatest of this and all before it */
    uint64_t batch_bytes;
    uint64_t bytes_before; /* of the topic's batches in front of it */
    uint64_t position;     /* of its lines, in the segment's file */
    uint8_t *lines;        /* NULL: on disk, to be given by segment_index_chunk_give */
    uint32_t length_bytes;
    uint32_t crc32c; /* of lines on disk */
    uint16_t line_count;
    uint16_t lines_capacity;
};

struct index_run { /* of one topic */
    struct index_chunk *chunks;
    size_t count;
    size_t capacity;
    struct index_state state; /* of the last chunk, while lines are appended */
};

/* Commits that were published together: what of their batches is the same. */
struct index_group {
    uint64_t position; /* of its first batch */
    uint64_t ring_ahead;
    uint64_t durable_ns;
};

struct segment_index {
    struct index_run *runs; /* by the log's topic number */
    size_t run_count;
    struct index_group *groups; /* by position; of live indexes only */
    size_t group_count;
    size_t group_capacity;
    uint64_t end_position; /* of the segment's file */
    size_t memory_bytes;
};

void segment_index_init(struct segment_index *index, uint64_t end_position);
void segment_index_deinit(struct segment_index *index);

/* STATUS_CORRUPT: the entry contradicts the segment or those before it, and is not taken.
 * STATUS_NO_MEMORY. ring_position and durable_ns are both 0 where there is no ring. */
MUST_CHECK enum status segment_index_append(struct segment_index *index,
                                            const struct index_entry *entry, uint64_t ring_position,
                                            uint64_t durable_ns);

/* A footer's chunk, whose lines begin at `position` of the file. Not to be mixed with append.
 * STATUS_CORRUPT, STATUS_NO_MEMORY: as there. */
MUST_CHECK enum status segment_index_append_chunk(struct segment_index *index,
                                                  const struct index_anchor *anchor,
                                                  uint64_t position);

/* The chunk with the batch that holds `offset`, or the first behind it; NULL: none. */
struct index_chunk *segment_index_chunk_of_offset(const struct segment_index *index, int32_t topic,
                                                  uint64_t offset);
/* The chunk with the first batch, by offset, whose max timestamp is not below; NULL: none. */
struct index_chunk *segment_index_chunk_of_timestamp(const struct segment_index *index,
                                                     int32_t topic, int64_t timestamp_ms);

/* The lines of a chunk that was on disk: copied, once they are what the anchor said.
 * STATUS_CORRUPT, STATUS_NO_MEMORY. */
MUST_CHECK enum status segment_index_chunk_give(struct segment_index *index,
                                                struct index_chunk *chunk, struct bytes lines);

/* In a chunk that is in memory; false: there is none. */
MUST_CHECK bool segment_index_find_offset(const struct segment_index *index,
                                          const struct index_chunk *chunk, uint64_t offset,
                                          struct batch_entry *out);
/* Of the batches that end behind `offset`. */
MUST_CHECK bool segment_index_find_timestamp(const struct segment_index *index,
                                             const struct index_chunk *chunk, uint64_t offset,
                                             int64_t timestamp_ms, struct batch_entry *out);

/* Bytes of the topic's batches from `offset` on. In a chunk that is not in memory: in proportion,
 * at least a byte. */
uint64_t segment_index_bytes_from(const struct segment_index *index, int32_t topic,
                                  uint64_t offset);

/* Walks a topic's batches in the order of offsets. All its chunks are in memory: asserted. */
struct segment_index_walk {
    const struct segment_index *index;
    const struct index_run *run;
    size_t next_chunk;
    struct index_state state; /* of the chunk in work */
    struct cursor lines;
    uint64_t bytes_before; /* of the topic's batches in front of the next one */
};

/* From the batch on that holds `offset`, or the first behind it, or a few before it. */
struct segment_index_walk segment_index_walk_begin(const struct segment_index *index, int32_t topic,
                                                   uint64_t offset);
MUST_CHECK bool segment_index_walk_next(struct segment_index_walk *walk, struct batch_entry *out);

/* The topic's first batch that is `there`: as all behind it are, and none before it. False: none
 * is. `bytes_before` are those of the topic's batches in front of it. */
typedef bool segment_index_test(const void *context, const struct batch_entry *batch,
                                uint64_t bytes_before);
MUST_CHECK bool segment_index_find_first(const struct segment_index *index, int32_t topic,
                                         segment_index_test *there, const void *context,
                                         struct batch_entry *out);

/* The topic's last one; false: it has none. */
MUST_CHECK bool segment_index_find_last(const struct segment_index *index, int32_t topic,
                                        struct batch_entry *out);

END_C_DECLS
