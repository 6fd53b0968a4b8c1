#include "wire/live_index.h"

#include <stdio.h>
#include <string.h>

static const char live_index_magic[8] = {'P', 'E', 'N', 'S', 'T', 'I', 'D', 'X'};

void live_index_file_name(uint32_t partition, uint64_t segment_number,
                          char out[LIVE_INDEX_NAME_BYTES])
{
    snprintf(out, LIVE_INDEX_NAME_BYTES, "index-%04u-%016llx", partition,
             (unsigned long long)segment_number);
}

void live_index_init(struct live_index_header *index, uint32_t capacity_bytes)
{
    memcpy(index->magic, live_index_magic, sizeof index->magic);
    index->version = SHARED_VERSION;
    index->capacity_bytes = capacity_bytes;
    atomic_store_explicit(&index->state, LIVE_INDEX_PREPARED, memory_order_release);
}

enum status live_index_check(const struct live_index_header *index, size_t size_bytes)
{
    if (size_bytes < sizeof *index) { return STATUS_TRUNCATED; }
    if (memcmp(index->magic, live_index_magic, sizeof index->magic) != 0) { return STATUS_CORRUPT; }
    if (index->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    if (size_bytes < live_index_file_bytes(index->capacity_bytes)) { return STATUS_TRUNCATED; }
    return STATUS_OK;
}

/* ----------------------------------------------------------------------------------- writer */

enum { GROUP_ALIGNMENT_BYTES = 8 };

static size_t padded(size_t bytes)
{
    return (bytes + GROUP_ALIGNMENT_BYTES - 1) / GROUP_ALIGNMENT_BYTES * GROUP_ALIGNMENT_BYTES;
}

static struct live_index_group *group_at(const struct live_index_header *index, size_t position)
{
    return (struct live_index_group *)(live_index_groups(index) + position);
}

void live_index_writer_init(struct live_index_writer *writer, struct live_index_header *index)
{
    memset(writer, 0, sizeof *writer);
    writer->index = index;
}

void live_index_group_begin(struct live_index_writer *writer)
{
    assert(sizeof(struct live_index_group) <= writer->index->capacity_bytes - writer->end_bytes);
    writer->open_bytes = writer->end_bytes;
    writer->end_bytes += sizeof(struct live_index_group);
    *group_at(writer->index, writer->open_bytes) = (struct live_index_group){0};
}

void live_index_group_add(struct live_index_writer *writer, const struct index_entry *entry)
{
    assert(entry->topic >= 0 && entry->topic < LOG_TOPICS_MAX);
    struct sink out = sink_into(live_index_groups(writer->index) + writer->end_bytes,
                                writer->index->capacity_bytes - writer->end_bytes);
    sink_uvarint64(&out, (uint64_t)entry->topic);
    index_line_encode(&writer->topics[entry->topic], entry, &out);
    assert(!out.overflowed);
    writer->end_bytes += sink_used_bytes(&out);
    group_at(writer->index, writer->open_bytes)->line_count++;
}

void live_index_group_end(struct live_index_writer *writer, uint64_t ring_ahead)
{
    struct live_index_group *const group = group_at(writer->index, writer->open_bytes);
    const size_t lines_begin = writer->open_bytes + sizeof *group;
    group->ring_ahead = ring_ahead;
    group->lines_bytes = (uint32_t)(writer->end_bytes - lines_begin);
    const size_t end = padded(writer->end_bytes);
    assert(end <= writer->index->capacity_bytes);
    memset(live_index_groups(writer->index) + writer->end_bytes, 0, end - writer->end_bytes);
    writer->end_bytes = end;
}

void live_index_publish(struct live_index_writer *writer, uint64_t durable_ns)
{
    assert(writer->published_bytes < writer->end_bytes);
    struct live_index_group *const group = group_at(writer->index, writer->published_bytes);
    group->durable_ns = durable_ns;
    writer->published_bytes += padded(sizeof *group + group->lines_bytes);
    assert(writer->published_bytes <= writer->end_bytes);
    /* Pairs with the acquire in live_index_next: what is counted is written, and durable. */
    atomic_store_explicit(&writer->index->published_bytes, writer->published_bytes,
                          memory_order_release);
}

/* ----------------------------------------------------------------------------------- reader */

static enum status reader_break(struct live_index_reader *reader)
{
    reader->broken = true;
    return STATUS_CORRUPT;
}

/* The group is copied before it is looked at: what is checked is what is used. Its lines are read
 * where they lie, by a cursor that stays inside the mapping whatever they turn into. */
static enum status group_enter(struct live_index_reader *reader,
                               const struct live_index_header *index, uint32_t capacity_bytes)
{
    uint64_t published = atomic_load_explicit(&index->published_bytes, memory_order_acquire);
    if (published > capacity_bytes) { published = capacity_bytes; }
    if (published <= reader->taken_bytes) { return STATUS_NOT_FOUND; }
    const size_t left_bytes = (size_t)(published - reader->taken_bytes);
    if (left_bytes < sizeof reader->group) { return reader_break(reader); }
    const uint8_t *const at = live_index_groups(index) + reader->taken_bytes;
    memcpy(&reader->group, at, sizeof reader->group);
    if (reader->group.line_count == 0) { return reader_break(reader); }
    if (reader->group.lines_bytes > left_bytes - sizeof reader->group) {
        return reader_break(reader);
    }
    const size_t group_bytes = padded(sizeof reader->group + reader->group.lines_bytes);
    if (group_bytes > left_bytes) { return reader_break(reader); }
    reader->lines = cursor_over(bytes_of(at + sizeof reader->group, reader->group.lines_bytes));
    reader->taken_bytes += group_bytes;
    return STATUS_OK;
}

enum status live_index_next(struct live_index_reader *reader, const struct live_index_header *index,
                            uint32_t capacity_bytes, struct live_index_line *out)
{
    if (reader->broken) { return STATUS_CORRUPT; }
    if (reader->group.line_count == 0) {
        const enum status status = group_enter(reader, index, capacity_bytes);
        if (status != STATUS_OK) { return status; }
    }
    const uint64_t topic = cursor_uvarint64(&reader->lines);
    if (reader->lines.overran || topic >= LOG_TOPICS_MAX) { return reader_break(reader); }
    if (index_line_decode(&reader->topics[topic], &reader->lines, &out->entry) != STATUS_OK) {
        return reader_break(reader);
    }
    reader->group.line_count--;
    out->entry.topic = (int32_t)topic;
    out->ring_position = out->entry.position + reader->group.ring_ahead;
    out->durable_ns = reader->group.durable_ns;
    return STATUS_OK;
}
