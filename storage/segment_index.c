#include "storage/segment_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

void segment_index_init(struct segment_index *index, uint64_t end_position)
{
    *index = (struct segment_index){.end_position = end_position};
}

void segment_index_deinit(struct segment_index *index)
{
    for (size_t i = 0; i < index->run_count; i++) {
        struct index_run *const run = &index->runs[i];
        for (size_t j = 0; j < run->count; j++) { free(run->chunks[j].lines); }
        free(run->chunks);
    }
    free(index->runs);
    free(index->groups);
    *index = (struct segment_index){0};
}

/* ----------------------------------------------------------------------------------- memory */

/* Room for one element more behind `count` of them. */
static bool array_reach(struct segment_index *index, void **array, size_t count, size_t *capacity,
                        size_t element_bytes)
{
    if (count < *capacity) { return true; }
    const size_t wanted = *capacity == 0 ? 4 : *capacity * 2;
    void *const grown = realloc(*array, wanted * element_bytes);
    if (grown == NULL) { return false; }
    index->memory_bytes += (wanted - *capacity) * element_bytes;
    *array = grown;
    *capacity = wanted;
    return true;
}

static struct index_run *run_reach(struct segment_index *index, int32_t topic)
{
    const size_t count = (size_t)topic + 1;
    if (count > index->run_count) {
        struct index_run *const grown = realloc(index->runs, count * sizeof *grown);
        if (grown == NULL) { return NULL; }
        memset(grown + index->run_count, 0, (count - index->run_count) * sizeof *grown);
        index->memory_bytes += (count - index->run_count) * sizeof *grown;
        index->runs = grown;
        index->run_count = count;
    }
    return &index->runs[topic];
}

static struct index_chunk *chunk_push(struct segment_index *index, struct index_run *run,
                                      const struct index_chunk *chunk)
{
    void *chunks = run->chunks;
    if (!array_reach(index, &chunks, run->count, &run->capacity, sizeof *run->chunks)) {
        return NULL;
    }
    run->chunks = chunks;
    run->chunks[run->count] = *chunk;
    if (run->count > 0) {
        const struct index_chunk *const last = &run->chunks[run->count - 1];
        run->chunks[run->count].bytes_before = last->bytes_before + last->batch_bytes;
        if (last->prefix_timestamp_ms > chunk->prefix_timestamp_ms) {
            run->chunks[run->count].prefix_timestamp_ms = last->prefix_timestamp_ms;
        }
    }
    return &run->chunks[run->count++];
}

static bool lines_reach(struct segment_index *index, struct index_chunk *chunk)
{
    enum { LINES_BYTES_FIRST = 3 * INDEX_LINE_BYTES_MAX };
    if (chunk->lines_capacity - chunk->length_bytes >= INDEX_LINE_BYTES_MAX) { return true; }
    const size_t doubled =
        chunk->lines_capacity == 0 ? LINES_BYTES_FIRST : (size_t)chunk->lines_capacity * 2;
    const size_t wanted = doubled < INDEX_CHUNK_BYTES_MAX ? doubled : INDEX_CHUNK_BYTES_MAX;
    uint8_t *const grown = realloc(chunk->lines, wanted);
    if (grown == NULL) { return false; }
    index->memory_bytes += wanted - chunk->lines_capacity;
    chunk->lines = grown;
    chunk->lines_capacity = (uint16_t)wanted;
    return true;
}

/* ----------------------------------------------------------------------------------- append */

static bool place_is_sane(const struct segment_index *index, uint64_t position,
                          uint32_t length_bytes)
{
    if (length_bytes == 0 || length_bytes > LOG_COMMIT_BYTES_MAX) { return false; }
    if (position % INDEX_POSITION_UNIT_BYTES != 0) { return false; }
    if (position < LOG_BLOCK_BYTES || position > index->end_position) { return false; }
    return length_bytes <= index->end_position - position;
}

static bool entry_is_sane(const struct segment_index *index, const struct index_entry *entry)
{
    if (entry->topic < 0 || entry->topic >= LOG_TOPICS_MAX) { return false; }
    if (entry->record_count == 0 || entry->record_count > INT32_MAX) { return false; }
    if (entry->base_offset > (uint64_t)INT64_MAX - entry->record_count) { return false; }
    return place_is_sane(index, entry->position, entry->length_bytes);
}

static bool group_reach(struct segment_index *index, uint64_t position, uint64_t ring_ahead,
                        uint64_t durable_ns)
{
    const struct index_group *const last =
        index->group_count > 0 ? &index->groups[index->group_count - 1] : NULL;
    const bool same = last == NULL
                          ? ring_ahead == 0 && durable_ns == 0
                          : last->ring_ahead == ring_ahead && last->durable_ns == durable_ns;
    if (same) { return true; }
    void *groups = index->groups;
    if (!array_reach(index, &groups, index->group_count, &index->group_capacity,
                     sizeof *index->groups)) {
        return false;
    }
    index->groups = groups;
    index->groups[index->group_count++] = (struct index_group){position, ring_ahead, durable_ns};
    return true;
}

/* The chunk that the topic's next line goes to, with room for it. */
static struct index_chunk *chunk_open(struct segment_index *index, struct index_run *run,
                                      const struct index_entry *entry)
{
    struct index_chunk *chunk = run->count > 0 ? &run->chunks[run->count - 1] : NULL;
    const bool full =
        chunk != NULL && (chunk->line_count == INDEX_CHUNK_LINES_MAX ||
                          chunk->length_bytes > INDEX_CHUNK_BYTES_MAX - INDEX_LINE_BYTES_MAX);
    if (chunk == NULL || full) {
        const struct index_chunk fresh = {
            .base_offset = entry->base_offset,
            .next_offset = entry->base_offset,
            .prefix_timestamp_ms = entry->max_timestamp_ms,
        };
        chunk = chunk_push(index, run, &fresh);
        if (chunk == NULL) { return NULL; }
        run->state = (struct index_state){.next_offset = entry->base_offset};
    }
    return lines_reach(index, chunk) ? chunk : NULL;
}

enum status segment_index_append(struct segment_index *index, const struct index_entry *entry,
                                 uint64_t ring_position, uint64_t durable_ns)
{
    if (!entry_is_sane(index, entry)) { return STATUS_CORRUPT; }
    struct index_run *const run = run_reach(index, entry->topic);
    if (run == NULL) { return STATUS_NO_MEMORY; }
    const uint64_t next_offset = run->count > 0 ? run->chunks[run->count - 1].next_offset : 0;
    if (entry->base_offset < next_offset) { return STATUS_CORRUPT; }
    const bool in_ring = ring_position != 0 || durable_ns != 0;
    const uint64_t ring_ahead = in_ring ? ring_position - entry->position : 0;
    if (!group_reach(index, entry->position, ring_ahead, durable_ns)) { return STATUS_NO_MEMORY; }
    struct index_chunk *const chunk = chunk_open(index, run, entry);
    if (chunk == NULL) { return STATUS_NO_MEMORY; }

    struct sink out = sink_into(chunk->lines + chunk->length_bytes,
                                (size_t)chunk->lines_capacity - chunk->length_bytes);
    index_line_encode(&run->state, entry, &out);
    assert(!out.overflowed);
    chunk->length_bytes += (uint32_t)sink_used_bytes(&out);
    chunk->line_count++;
    chunk->next_offset = run->state.next_offset;
    chunk->batch_bytes += entry->length_bytes;
    if (entry->max_timestamp_ms > chunk->prefix_timestamp_ms) {
        chunk->prefix_timestamp_ms = entry->max_timestamp_ms;
    }
    return STATUS_OK;
}

enum status segment_index_append_chunk(struct segment_index *index,
                                       const struct index_anchor *anchor, uint64_t position)
{
    struct index_run *const run = run_reach(index, anchor->topic);
    if (run == NULL) { return STATUS_NO_MEMORY; }
    const uint64_t next_offset = run->count > 0 ? run->chunks[run->count - 1].next_offset : 0;
    if (anchor->base_offset < next_offset) { return STATUS_CORRUPT; }
    if (position > index->end_position || anchor->length_bytes > index->end_position - position) {
        return STATUS_CORRUPT;
    }
    const struct index_chunk chunk = {
        .base_offset = anchor->base_offset,
        .next_offset = anchor->next_offset,
        .prefix_timestamp_ms = anchor->max_timestamp_ms,
        .batch_bytes = anchor->batch_bytes,
        .position = position,
        .length_bytes = anchor->length_bytes,
        .crc32c = anchor->crc32c,
        .line_count = (uint16_t)anchor->line_count,
    };
    return chunk_push(index, run, &chunk) != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ----------------------------------------------------------------------------------- lookup */

static const struct index_run *run_of(const struct segment_index *index, int32_t topic)
{
    static const struct index_run empty = {0};
    if (topic < 0 || (size_t)topic >= index->run_count) { return &empty; }
    return &index->runs[topic];
}

struct index_chunk *segment_index_chunk_of_offset(const struct segment_index *index, int32_t topic,
                                                  uint64_t offset)
{
    const struct index_run *const run = run_of(index, topic);
    size_t begin = 0;
    size_t end = run->count;
    while (begin < end) { /* the first whose next offset is beyond */
        const size_t middle = begin + (end - begin) / 2;
        if (run->chunks[middle].next_offset > offset) {
            end = middle;
        } else {
            begin = middle + 1;
        }
    }
    return begin < run->count ? &run->chunks[begin] : NULL;
}

struct index_chunk *segment_index_chunk_of_timestamp(const struct segment_index *index,
                                                     int32_t topic, int64_t timestamp_ms)
{
    const struct index_run *const run = run_of(index, topic);
    size_t begin = 0;
    size_t end = run->count;
    while (begin < end) { /* where the running maximum first gets there, it is that chunk's own */
        const size_t middle = begin + (end - begin) / 2;
        if (run->chunks[middle].prefix_timestamp_ms >= timestamp_ms) {
            end = middle;
        } else {
            begin = middle + 1;
        }
    }
    return begin < run->count ? &run->chunks[begin] : NULL;
}

/* A walk over the lines of a chunk in memory. */
struct chunk_walk {
    struct index_state state;
    struct cursor lines;
};

static struct chunk_walk chunk_walk_begin(const struct index_chunk *chunk)
{
    assert(chunk->lines != NULL);
    return (struct chunk_walk){
        .state = {.next_offset = chunk->base_offset},
        .lines = cursor_over(bytes_of(chunk->lines, chunk->length_bytes)),
    };
}

static bool chunk_walk_next(struct chunk_walk *walk, struct index_entry *out)
{
    return index_line_decode(&walk->state, &walk->lines, out) == STATUS_OK;
}

/* What an anchor promised of lines, and what a segment allows them. */
static bool lines_hold(const struct segment_index *index, const struct index_chunk *chunk,
                       struct bytes lines)
{
    struct index_state state = {.next_offset = chunk->base_offset};
    struct cursor in = cursor_over(lines);
    struct index_entry entry;
    uint64_t batch_bytes = 0;
    size_t count = 0;
    while (index_line_decode(&state, &in, &entry) == STATUS_OK) {
        if (!place_is_sane(index, entry.position, entry.length_bytes)) { return false; }
        batch_bytes += entry.length_bytes;
        count++;
    }
    return cursor_left_bytes(&in) == 0 && !in.overran && count == chunk->line_count &&
           batch_bytes == chunk->batch_bytes && state.next_offset == chunk->next_offset;
}

enum status segment_index_chunk_give(struct segment_index *index, struct index_chunk *chunk,
                                     struct bytes lines)
{
    assert(chunk->lines == NULL);
    if (lines.len_bytes != chunk->length_bytes) { return STATUS_CORRUPT; }
    if (crc32c(lines) != chunk->crc32c) { return STATUS_CORRUPT; }
    if (!lines_hold(index, chunk, lines)) { return STATUS_CORRUPT; }
    chunk->lines = malloc(lines.len_bytes);
    if (chunk->lines == NULL) { return STATUS_NO_MEMORY; }
    memcpy(chunk->lines, lines.at, lines.len_bytes);
    chunk->lines_capacity = (uint16_t)lines.len_bytes;
    index->memory_bytes += lines.len_bytes;
    return STATUS_OK;
}

/* The group that a batch at `position` was published with. */
static struct index_group group_of(const struct segment_index *index, uint64_t position)
{
    size_t begin = 0;
    size_t end = index->group_count;
    while (begin < end) { /* the first that begins behind it */
        const size_t middle = begin + (end - begin) / 2;
        if (index->groups[middle].position > position) {
            end = middle;
        } else {
            begin = middle + 1;
        }
    }
    return begin > 0 ? index->groups[begin - 1] : (struct index_group){0};
}

static void batch_fill(const struct segment_index *index, const struct index_entry *entry,
                       struct batch_entry *out)
{
    const struct index_group group = group_of(index, entry->position);
    *out = (struct batch_entry){
        .base_offset = entry->base_offset,
        .next_offset = entry->base_offset + entry->record_count,
        .max_timestamp_ms = entry->max_timestamp_ms,
        .position = entry->position,
        .ring_position = entry->position + group.ring_ahead,
        .durable_ns = group.durable_ns,
        .length_bytes = entry->length_bytes,
        .check = entry->check,
    };
}

bool segment_index_find_offset(const struct segment_index *index, const struct index_chunk *chunk,
                               uint64_t offset, struct batch_entry *out)
{
    struct chunk_walk walk = chunk_walk_begin(chunk);
    struct index_entry entry;
    while (chunk_walk_next(&walk, &entry)) {
        if (walk.state.next_offset <= offset) { continue; }
        batch_fill(index, &entry, out);
        return true;
    }
    return false;
}

bool segment_index_find_timestamp(const struct segment_index *index,
                                  const struct index_chunk *chunk, uint64_t offset,
                                  int64_t timestamp_ms, struct batch_entry *out)
{
    struct chunk_walk walk = chunk_walk_begin(chunk);
    struct index_entry entry;
    while (chunk_walk_next(&walk, &entry)) {
        if (walk.state.next_offset <= offset || entry.max_timestamp_ms < timestamp_ms) { continue; }
        batch_fill(index, &entry, out);
        return true;
    }
    return false;
}

static uint64_t chunk_bytes_from(const struct index_chunk *chunk, uint64_t offset)
{
    if (offset <= chunk->base_offset) { return chunk->batch_bytes; }
    if (chunk->lines == NULL) {
        const double part = (double)(chunk->next_offset - offset) /
                            (double)(chunk->next_offset - chunk->base_offset);
        const uint64_t bytes = (uint64_t)((double)chunk->batch_bytes * part);
        return bytes > 0 ? bytes : 1;
    }
    struct chunk_walk walk = chunk_walk_begin(chunk);
    struct index_entry entry;
    uint64_t bytes = chunk->batch_bytes;
    while (chunk_walk_next(&walk, &entry) && walk.state.next_offset <= offset) {
        bytes -= entry.length_bytes;
    }
    return bytes;
}

uint64_t segment_index_bytes_from(const struct segment_index *index, int32_t topic, uint64_t offset)
{
    const struct index_run *const run = run_of(index, topic);
    const struct index_chunk *const first = segment_index_chunk_of_offset(index, topic, offset);
    if (first == NULL) { return 0; }
    const struct index_chunk *const last = &run->chunks[run->count - 1];
    const uint64_t behind_bytes =
        last->bytes_before + last->batch_bytes - first->bytes_before - first->batch_bytes;
    return behind_bytes + chunk_bytes_from(first, offset);
}

/* ------------------------------------------------------------------------------------- walk */

static struct segment_index_walk walk_from_chunk(const struct segment_index *index,
                                                 const struct index_run *run, size_t chunk)
{
    return (struct segment_index_walk){.index = index, .run = run, .next_chunk = chunk};
}

struct segment_index_walk segment_index_walk_begin(const struct segment_index *index, int32_t topic,
                                                   uint64_t offset)
{
    const struct index_run *const run = run_of(index, topic);
    const struct index_chunk *const chunk = segment_index_chunk_of_offset(index, topic, offset);
    return walk_from_chunk(index, run, chunk == NULL ? run->count : (size_t)(chunk - run->chunks));
}

static bool walk_enter_chunk(struct segment_index_walk *walk)
{
    if (walk->next_chunk == walk->run->count) { return false; }
    const struct index_chunk *const chunk = &walk->run->chunks[walk->next_chunk++];
    const struct chunk_walk lines = chunk_walk_begin(chunk);
    walk->state = lines.state;
    walk->lines = lines.lines;
    walk->bytes_before = chunk->bytes_before;
    return true;
}

bool segment_index_walk_next(struct segment_index_walk *walk, struct batch_entry *out)
{
    struct index_entry entry;
    while (index_line_decode(&walk->state, &walk->lines, &entry) != STATUS_OK) {
        if (!walk_enter_chunk(walk)) { return false; }
    }
    batch_fill(walk->index, &entry, out);
    walk->bytes_before += entry.length_bytes;
    return true;
}

/* Whether the first batch of a chunk is there. */
static bool chunk_is_there(const struct segment_index *index, const struct index_run *run,
                           size_t chunk, segment_index_test *there, const void *context)
{
    struct segment_index_walk walk = walk_from_chunk(index, run, chunk);
    struct batch_entry first;
    return segment_index_walk_next(&walk, &first) &&
           there(context, &first, run->chunks[chunk].bytes_before);
}

bool segment_index_find_first(const struct segment_index *index, int32_t topic,
                              segment_index_test *there, const void *context,
                              struct batch_entry *out)
{
    const struct index_run *const run = run_of(index, topic);
    size_t begin = 0;
    size_t end = run->count;
    while (begin < end) { /* the first chunk that begins there */
        const size_t middle = begin + (end - begin) / 2;
        if (chunk_is_there(index, run, middle, there, context)) {
            end = middle;
        } else {
            begin = middle + 1;
        }
    }
    struct segment_index_walk walk = walk_from_chunk(index, run, begin > 0 ? begin - 1 : 0);
    while (segment_index_walk_next(&walk, out)) {
        if (there(context, out, walk.bytes_before - out->length_bytes)) { return true; }
    }
    return false;
}

bool segment_index_find_last(const struct segment_index *index, int32_t topic,
                             struct batch_entry *out)
{
    const struct index_run *const run = run_of(index, topic);
    struct segment_index_walk walk =
        walk_from_chunk(index, run, run->count > 0 ? run->count - 1 : 0);
    bool found = false;
    while (segment_index_walk_next(&walk, out)) { found = true; }
    return found;
}
