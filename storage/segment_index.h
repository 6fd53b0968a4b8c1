/* segment_index.h - where each batch of one segment lies, by topic, in memory.
 *
 * Purpose  Lookup by offset or time in a live index, a footer, or what a scan found, all alike.
 * Owns     Its runs. Threads: one at a time.
 * Bounds   What is appended was written by others and is checked: positions, lengths, and that a
 *          topic's offsets rise. Lookup is a binary search and allocates nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct batch_entry {
    uint64_t base_offset;
    uint64_t next_offset;
    int64_t max_timestamp_ms;
    int64_t prefix_timestamp_ms; /* greatest of this and all before it */
    uint64_t bytes_before;       /* of the topic's batches in front of it */
    uint64_t position;
    uint64_t ring_position;
    uint64_t durable_ns;
    uint32_t length_bytes;
    uint32_t crc32c;
};

struct batch_run {
    struct batch_entry *entries;
    size_t count;
    size_t capacity;
};

struct segment_index {
    struct batch_run *runs; /* by the log's topic number */
    size_t run_count;
    uint64_t end_position; /* of the segment's file */
    size_t memory_bytes;
};

void segment_index_init(struct segment_index *index, uint64_t end_position);
void segment_index_deinit(struct segment_index *index);

/* STATUS_CORRUPT: the entry contradicts the segment or those before it, and is not taken.
 * STATUS_NO_MEMORY. */
MUST_CHECK enum status segment_index_append(struct segment_index *index,
                                            const struct index_entry *entry, uint64_t ring_position,
                                            uint64_t durable_ns);

/* The batch that holds `offset`, or the first behind it; NULL: none. */
const struct batch_entry *segment_index_find_offset(const struct segment_index *index,
                                                    int32_t topic, uint64_t offset);
/* The first, by offset, whose max timestamp is not below; NULL: none. */
const struct batch_entry *segment_index_find_timestamp(const struct segment_index *index,
                                                       int32_t topic, int64_t timestamp_ms);
/* Bytes of the topic's batches from `offset` on. */
uint64_t segment_index_bytes_from(const struct segment_index *index, int32_t topic,
                                  uint64_t offset);

END_C_DECLS
