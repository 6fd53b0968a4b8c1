#include "storage/index_builder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

/* Chunks that are full, and one a topic that is not. */
static size_t anchors_max(size_t capacity_bytes)
{
    return capacity_bytes / (INDEX_CHUNK_LINES_MAX * INDEX_LINE_BYTES_MIN) + LOG_TOPICS_MAX;
}

enum status index_builder_init(struct index_builder *builder, uint8_t *index, size_t capacity_bytes)
{
    const size_t anchors_bytes = anchors_max(capacity_bytes) * sizeof(struct index_anchor_wire);
    const size_t open_bytes = LOG_TOPICS_MAX * sizeof(struct index_open_chunk);
    *builder = (struct index_builder){.index = index, .capacity_bytes = capacity_bytes};
    builder->anchors = malloc(anchors_bytes);
    builder->open = malloc(open_bytes);
    if (builder->anchors == NULL || builder->open == NULL) {
        index_builder_deinit(builder);
        return STATUS_NO_MEMORY;
    }
    memset(builder->anchors, 0, anchors_bytes); /* every page now, not on a polling core */
    memset(builder->open, 0, open_bytes);
    return STATUS_OK;
}

void index_builder_deinit(struct index_builder *builder)
{
    free(builder->anchors);
    free(builder->open);
    *builder = (struct index_builder){0};
}

void index_builder_begin(struct index_builder *builder, uint8_t *index)
{
    builder->index = index;
    for (size_t i = 0; builder->open_count > 0 && i < LOG_TOPICS_MAX; i++) {
        if (builder->open[i].anchor.line_count > 0) { builder->open_count--; }
        builder->open[i].anchor.line_count = 0;
    }
    builder->index_bytes = 0;
    builder->index_crc32c = 0;
    builder->anchor_count = 0;
    builder->open_bytes = 0;
    builder->line_count = 0;
}

size_t index_builder_bytes_max(const struct index_builder *builder, size_t lines)
{
    return builder->index_bytes + builder->open_bytes +
           (builder->anchor_count + builder->open_count) * sizeof(struct index_anchor_wire) +
           lines * INDEX_BUILDER_LINE_BYTES;
}

/* The chunk is full: behind the others with it. */
static void chunk_end(struct index_builder *builder, struct index_open_chunk *chunk)
{
    struct index_anchor *const anchor = &chunk->anchor;
    const struct bytes lines = bytes_of(chunk->bytes, anchor->length_bytes);
    assert(lines.len_bytes <= builder->capacity_bytes - builder->index_bytes);
    memcpy(builder->index + builder->index_bytes, lines.at, lines.len_bytes);
    anchor->position = (uint32_t)builder->index_bytes;
    anchor->next_offset = chunk->state.next_offset;
    anchor->crc32c = crc32c(lines);
    builder->index_crc32c = crc32c_combine(builder->index_crc32c, anchor->crc32c, lines.len_bytes);
    builder->index_bytes += lines.len_bytes;
    builder->open_bytes -= lines.len_bytes;
    builder->open_count--;

    assert(builder->anchor_count < anchors_max(builder->capacity_bytes));
    index_anchor_encode(anchor, &builder->anchors[builder->anchor_count++]);
    anchor->line_count = 0;
}

static void chunk_begin(struct index_builder *builder, struct index_open_chunk *chunk,
                        const struct index_entry *entry)
{
    chunk->anchor = (struct index_anchor){
        .topic = entry->topic,
        .base_offset = entry->base_offset,
        .max_timestamp_ms = entry->max_timestamp_ms,
    };
    chunk->state = index_chunk_begin(&chunk->anchor);
    builder->open_count++;
}

bool index_builder_takes(const struct index_builder *builder, const struct index_entry *line)
{
    if (line->topic < 0 || line->topic >= LOG_TOPICS_MAX) { return false; }
    if (line->record_count == 0 || line->record_count > INT32_MAX) { return false; }
    if (line->base_offset > (uint64_t)INT64_MAX - line->record_count) { return false; }
    if (line->length_bytes == 0 || line->length_bytes > LOG_COMMIT_BYTES_MAX) { return false; }
    if (line->position % INDEX_POSITION_UNIT_BYTES != 0) { return false; }
    return line->base_offset >= builder->open[line->topic].state.next_offset;
}

void index_builder_add(struct index_builder *builder, const struct index_entry *entry)
{
    assert(entry->topic >= 0 && entry->topic < LOG_TOPICS_MAX);
    assert(index_builder_bytes_max(builder, 1) <= builder->capacity_bytes);
    struct index_open_chunk *const chunk = &builder->open[entry->topic];
    struct index_anchor *const anchor = &chunk->anchor;
    if (anchor->line_count == 0) { chunk_begin(builder, chunk, entry); }

    struct sink out =
        sink_into(chunk->bytes + anchor->length_bytes, sizeof chunk->bytes - anchor->length_bytes);
    index_line_encode(&chunk->state, entry, &out);
    assert(!out.overflowed);
    anchor->line_count++;
    anchor->length_bytes += (uint32_t)sink_used_bytes(&out);
    anchor->record_count += entry->record_count;
    anchor->batch_bytes += entry->length_bytes;
    if (entry->max_timestamp_ms > anchor->max_timestamp_ms) {
        anchor->max_timestamp_ms = entry->max_timestamp_ms;
    }
    builder->open_bytes += sink_used_bytes(&out);
    builder->line_count++;
    if (anchor->line_count == INDEX_CHUNK_LINES_MAX ||
        anchor->length_bytes > INDEX_CHUNK_BYTES_MAX - INDEX_LINE_BYTES_MAX) {
        chunk_end(builder, chunk);
    }
}

void index_builder_close(struct index_builder *builder)
{
    for (size_t i = 0; builder->open_count > 0 && i < LOG_TOPICS_MAX; i++) {
        if (builder->open[i].anchor.line_count > 0) { chunk_end(builder, &builder->open[i]); }
    }
}
