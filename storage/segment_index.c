#include "storage/segment_index.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void segment_index_init(struct segment_index *index, uint64_t end_position)
{
    *index = (struct segment_index){.end_position = end_position};
}

void segment_index_deinit(struct segment_index *index)
{
    for (size_t i = 0; i < index->run_count; i++) { free(index->runs[i].entries); }
    free(index->runs);
    *index = (struct segment_index){0};
}

static bool entry_is_sane(const struct segment_index *index, const struct index_entry *entry)
{
    if (entry->topic < 0 || entry->topic >= LOG_TOPICS_MAX) { return false; }
    if (entry->record_count == 0 || entry->length_bytes == 0) { return false; }
    if (entry->length_bytes > LOG_COMMIT_BYTES_MAX) { return false; }
    if (entry->base_offset > (uint64_t)INT64_MAX - entry->record_count) { return false; }
    if (entry->position < LOG_BLOCK_BYTES || entry->position > index->end_position) {
        return false;
    }
    return entry->length_bytes <= index->end_position - entry->position;
}

static enum status runs_reach(struct segment_index *index, size_t count)
{
    if (count <= index->run_count) { return STATUS_OK; }
    struct batch_run *const grown = realloc(index->runs, count * sizeof *grown);
    if (grown == NULL) { return STATUS_NO_MEMORY; }
    memset(grown + index->run_count, 0, (count - index->run_count) * sizeof *grown);
    index->memory_bytes += (count - index->run_count) * sizeof *grown;
    index->runs = grown;
    index->run_count = count;
    return STATUS_OK;
}

static enum status run_grow(struct segment_index *index, struct batch_run *run)
{
    if (run->count < run->capacity) { return STATUS_OK; }
    const size_t capacity = run->capacity == 0 ? 16 : run->capacity * 2;
    struct batch_entry *const grown = realloc(run->entries, capacity * sizeof *grown);
    if (grown == NULL) { return STATUS_NO_MEMORY; }
    index->memory_bytes += (capacity - run->capacity) * sizeof *grown;
    run->entries = grown;
    run->capacity = capacity;
    return STATUS_OK;
}

enum status segment_index_append(struct segment_index *index, const struct index_entry *entry,
                                 uint64_t ring_position, uint64_t durable_ns)
{
    if (!entry_is_sane(index, entry)) { return STATUS_CORRUPT; }
    enum status status = runs_reach(index, (size_t)entry->topic + 1);
    if (status != STATUS_OK) { return status; }
    struct batch_run *const run = &index->runs[entry->topic];
    const struct batch_entry *const last = run->count > 0 ? &run->entries[run->count - 1] : NULL;
    if (last != NULL && entry->base_offset < last->next_offset) { return STATUS_CORRUPT; }
    const uint64_t bytes_before = last != NULL ? last->bytes_before + last->length_bytes : 0;
    int64_t prefix_ms = entry->max_timestamp_ms;
    if (last != NULL && last->prefix_timestamp_ms > prefix_ms) {
        prefix_ms = last->prefix_timestamp_ms;
    }

    status = run_grow(index, run);
    if (status != STATUS_OK) { return status; }
    run->entries[run->count++] = (struct batch_entry){
        .base_offset = entry->base_offset,
        .next_offset = entry->base_offset + entry->record_count,
        .max_timestamp_ms = entry->max_timestamp_ms,
        .prefix_timestamp_ms = prefix_ms,
        .bytes_before = bytes_before,
        .position = entry->position,
        .ring_position = ring_position,
        .durable_ns = durable_ns,
        .length_bytes = entry->length_bytes,
        .crc32c = entry->crc32c,
    };
    return STATUS_OK;
}

static const struct batch_run *run_of(const struct segment_index *index, int32_t topic)
{
    static const struct batch_run empty = {0};
    if (topic < 0 || (size_t)topic >= index->run_count) { return &empty; }
    return &index->runs[topic];
}

const struct batch_entry *segment_index_find_offset(const struct segment_index *index,
                                                    int32_t topic, uint64_t offset)
{
    const struct batch_run *const run = run_of(index, topic);
    size_t begin = 0;
    size_t end = run->count;
    while (begin < end) { /* the first whose next offset is beyond */
        const size_t middle = begin + (end - begin) / 2;
        if (run->entries[middle].next_offset > offset) {
            end = middle;
        } else {
            begin = middle + 1;
        }
    }
    return begin < run->count ? &run->entries[begin] : NULL;
}

const struct batch_entry *segment_index_find_timestamp(const struct segment_index *index,
                                                       int32_t topic, int64_t timestamp_ms)
{
    const struct batch_run *const run = run_of(index, topic);
    size_t begin = 0;
    size_t end = run->count;
    while (begin < end) { /* where the running maximum first gets there, it is that batch's own */
        const size_t middle = begin + (end - begin) / 2;
        if (run->entries[middle].prefix_timestamp_ms >= timestamp_ms) {
            end = middle;
        } else {
            begin = middle + 1;
        }
    }
    return begin < run->count ? &run->entries[begin] : NULL;
}

uint64_t segment_index_bytes_from(const struct segment_index *index, int32_t topic, uint64_t offset)
{
    const struct batch_run *const run = run_of(index, topic);
    const struct batch_entry *const first = segment_index_find_offset(index, topic, offset);
    if (first == NULL) { return 0; }
    const struct batch_entry *const last = &run->entries[run->count - 1];
    return last->bytes_before + last->length_bytes - first->bytes_before;
}
