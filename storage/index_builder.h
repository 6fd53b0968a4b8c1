/* index_builder.h - the index of one segment as it grows: lines by topic, sealed chunk by chunk.
 *
 * Purpose  Makes a footer's INDEX and ANCHORS entries without a pass over the segment's batches: a
 *          topic's lines gather beside each other until their chunk is full, then it is copied
 *          behind the others. Closing the index costs the open chunks, at most one a topic.
 * Owns     Its memory, allocated by init and touched at once; index_builder_* afterwards neither
 *          allocates nor fails: room is the caller's to ask for first.
 * Threads  One at a time: the worker for a segment that it writes, recovery for one that it mends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"
#include "base/status.h"
#include "wire/index_chunk.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

enum {
    /* What one more line may add, at most: itself, and an anchor for a chunk of its own. */
    INDEX_BUILDER_LINE_BYTES = INDEX_LINE_BYTES_MAX + (int)sizeof(struct index_anchor_wire),
};

struct index_open_chunk { /* of one topic; line_count 0: none */
    struct index_anchor anchor;
    struct index_state state;
    uint8_t bytes[INDEX_CHUNK_BYTES_MAX];
};

struct index_builder {
    uint8_t *index; /* the caller's: chunks that are full, back to back */
    size_t index_bytes;
    uint32_t index_crc32c;
    struct index_anchor_wire *anchors;
    size_t anchor_count;
    size_t capacity_bytes; /* of both together */
    struct index_open_chunk *open;
    size_t open_bytes; /* of lines in open chunks */
    size_t open_count;
    size_t line_count;
};

/* `index` has room for capacity_bytes and stays the caller's; NULL: index_builder_begin says where.
 * STATUS_NO_MEMORY. */
MUST_CHECK enum status index_builder_init(struct index_builder *builder, uint8_t *index,
                                          size_t capacity_bytes);
void index_builder_deinit(struct index_builder *builder);

/* An empty index again, of another segment: its chunks go to `index`, which has capacity_bytes too.
 */
void index_builder_begin(struct index_builder *builder, uint8_t *index);

/* What INDEX and ANCHORS may take together, at most, once `lines` more were added. */
size_t index_builder_bytes_max(const struct index_builder *builder, size_t lines);

/* Whether readers could use the line, of a segment that others wrote: what goes back, or is no
 * batch's place, they refuse as well. */
bool index_builder_takes(const struct index_builder *builder, const struct index_entry *line);

/* index_builder_bytes_max(builder, 1) is at most the capacity: asserted. */
void index_builder_add(struct index_builder *builder, const struct index_entry *entry);

/* Ends the open chunks. Then index_bytes and anchors say it all; nothing is added any more. */
void index_builder_close(struct index_builder *builder);

static inline struct bytes index_builder_anchors(const struct index_builder *builder)
{
    return bytes_of(builder->anchors, builder->anchor_count * sizeof *builder->anchors);
}

END_C_DECLS
