#include "storage/log_segment.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

enum {
    FOOTER_LINES = 4, /* INDEX, ANCHORS, TOPICS, TOTALS */
};

static void segment_check(const struct log_segment *segment)
{
    assert(segment->state == LOG_SEGMENT_OPEN);
    assert(segment->end_bytes % LOG_BLOCK_BYTES == 0);
    assert(segment->end_bytes <= segment->file.capacity_bytes - LOG_BLOCK_BYTES);
}

static size_t footer_bytes(size_t index_bytes, size_t topics_bytes)
{
    const size_t bytes = commit_entries_position(FOOTER_LINES) + log_align_bytes(index_bytes, 8) +
                         topics_bytes + LOG_COMMIT_TOTALS_BYTES;
    return log_align_bytes(bytes, LOG_BLOCK_BYTES);
}

size_t log_segment_footer_bytes(const struct topic_table *topics, size_t index_bytes)
{
    return footer_bytes(index_bytes, topics->declarations_bytes);
}

size_t log_segment_index_bytes_max(size_t commits, size_t record_entries)
{
    const size_t live_bytes = commits * live_index_group_bytes_max(0) +
                              record_entries * (size_t)LIVE_INDEX_LINE_BYTES_MAX;
    const size_t footer_bytes_ = record_entries * (size_t)INDEX_BUILDER_LINE_BYTES;
    return live_bytes > footer_bytes_ ? live_bytes : footer_bytes_;
}

enum status log_segment_init(struct log_segment *segment, uint32_t index_bytes)
{
    memset(segment, 0, sizeof *segment);
    segment->image_bytes = footer_bytes(index_bytes, TOPIC_DECLARATIONS_BYTES_MAX);
    if (segment->image_bytes > LOG_COMMIT_BYTES_MAX) { return STATUS_INVALID; }

    const size_t all_bytes = segment->image_bytes + 2 * LOG_BLOCK_BYTES;
    segment->image = aligned_alloc(LOG_BLOCK_BYTES, all_bytes);
    if (segment->image == NULL) { return STATUS_NO_MEMORY; }
    memset(segment->image, 0, all_bytes); /* every page is there before a polling core needs it */
    segment->header_block = segment->image + segment->image_bytes;
    segment->trailer_block = segment->header_block + LOG_BLOCK_BYTES;
    return STATUS_OK;
}

void log_segment_deinit(struct log_segment *segment)
{
    free(segment->image);
    segment->image = NULL;
}

void log_segment_open(struct log_segment *segment, const struct prepared_segment *file,
                      struct segment_header header, struct index_builder *index, uint64_t now_ns)
{
    assert(segment->state == LOG_SEGMENT_FREE);
    assert(segment->writes_out == 0);
    assert(segment->lent_count == 0);
    header.nonce = file->nonce;
    header.number = file->number;
    header.capacity_bytes = file->capacity_bytes;
    segment_header_encode(&header, segment->header_block);

    segment->state = LOG_SEGMENT_OPEN;
    segment->file = *file;
    segment->opened_ns = now_ns;
    segment->predecessor_number = header.predecessor_commit_number;
    segment->end_bytes = LOG_BLOCK_BYTES;
    segment->commit_count = 0;
    segment->durable_count = 0;
    segment->has_records = false;
    segment->late = false;
    segment->reads_slots = 0;
    segment->reads_begin = 0;
    segment->reads_end = 0;
    segment->header = (struct log_block_write){.write = LOG_WRITE_WAITING};
    segment->trailer = (struct log_block_write){.write = LOG_WRITE_NONE};
    segment->index = index;
    index_builder_begin(index, segment->image + commit_entries_position(FOOTER_LINES));
    live_index_writer_init(&segment->live, file->index);

    struct live_index_header *const live = file->index;
    live->log_id = header.log_id;
    live->nonce = header.nonce;
    live->segment_number = header.number;
    live->incarnation = header.incarnation;
    live->partition = header.partition;
    live->leader_epoch = header.leader_epoch;
    live->first_commit_number = header.first_commit_number;
    log_segment_set_index_state(segment, LIVE_INDEX_OPEN);
}

void log_segment_set_index_state(struct log_segment *segment, enum live_index_state state)
{
    /* Pairs with the acquire in the reader, which then reads the fixed part. */
    atomic_store_explicit(&segment->file.index->state, state, memory_order_release);
}

bool log_segment_fits(const struct log_segment *segment, const struct topic_table *topics,
                      size_t commit_bytes, size_t record_entries)
{
    segment_check(segment);
    const size_t index_bytes = index_builder_bytes_max(segment->index, record_entries);
    if (index_bytes > segment->index->capacity_bytes) { return false; }
    const size_t live_left_bytes = segment->file.index->capacity_bytes - segment->live.end_bytes;
    if (live_index_group_bytes_max(record_entries) > live_left_bytes) { return false; }

    const size_t behind_bytes = log_segment_footer_bytes(topics, index_bytes) + LOG_BLOCK_BYTES;
    const uint64_t left_bytes = segment->file.capacity_bytes - segment->end_bytes;
    return left_bytes >= behind_bytes && commit_bytes <= left_bytes - behind_bytes;
}

void log_segment_take(struct log_segment *segment, const struct log_commit *commit)
{
    segment_check(segment);
    assert(commit->header.position == segment->end_bytes);
    const struct bytes bytes = bytes_of(commit->at, commit->header.length_bytes);
    if (commit->batches > 0) { live_index_group_begin(&segment->live); }
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(bytes, i);
        if (entry.type != ENTRY_RECORDS) { continue; }
        const struct index_entry indexed = {
            .topic = entry.topic,
            .record_count = entry.record_count,
            .base_offset = entry.base_offset,
            .max_timestamp_ms = entry.max_timestamp_ms,
            .position = commit->header.position + entry.position,
            .length_bytes = entry.length_bytes,
            .check = index_check(entry.crc32c),
        };
        index_builder_add(segment->index, &indexed);
        live_index_group_add(&segment->live, &indexed);
    }
    if (commit->batches > 0) {
        live_index_group_end(&segment->live, commit->ring_position - commit->header.position);
        segment->has_records = true;
    }
    segment->commit_count++;
    segment->end_bytes += commit->header.length_bytes;
}

size_t log_segment_close_index(struct log_segment *segment)
{
    index_builder_close(segment->index);
    return index_builder_bytes_max(segment->index, 0);
}

static void footer_add_anchors(const struct log_segment *segment, struct commit_draft *draft)
{
    const struct bytes anchors = index_builder_anchors(segment->index);
    assert(anchors.len_bytes <= draft->capacity_bytes - draft->used_bytes);
    memcpy(draft->at + draft->used_bytes, anchors.at, anchors.len_bytes);
    log_commit_add(draft, (struct entry){
                              .type = ENTRY_ANCHORS,
                              .topic = LOG_NO_TOPIC,
                              .length_bytes = (uint32_t)anchors.len_bytes,
                              .crc32c = crc32c(anchors),
                          });
}

void log_segment_close_footer(struct log_segment *segment, const struct topic_table *topics,
                              const uint64_t *totals, struct commit_header *header)
{
    segment_check(segment);
    assert(header->position == segment->end_bytes);
    uint64_t next_offsets[LOG_TOPICS_MAX];
    for (uint32_t i = 0; i < topics->count; i++) {
        next_offsets[i] = topics->topics[i].next_offset;
    }

    struct commit_draft draft;
    log_commit_begin(&draft, segment->image, segment->image_bytes, FOOTER_LINES);
    log_commit_add(&draft, (struct entry){
                               .type = ENTRY_INDEX,
                               .topic = LOG_NO_TOPIC,
                               .length_bytes = (uint32_t)segment->index->index_bytes,
                               .crc32c = segment->index->index_crc32c,
                           });
    footer_add_anchors(segment, &draft);
    log_commit_add_topics(&draft, topics, segment->base_offsets, next_offsets);
    log_commit_add_totals(&draft, totals);
    log_commit_close(&draft, header);

    assert(header->length_bytes <=
           segment->file.capacity_bytes - LOG_BLOCK_BYTES - segment->end_bytes);
    segment->state = LOG_SEGMENT_SEALING;
    segment->index = NULL;
    segment->end_bytes += header->length_bytes;
}

void log_segment_encode_trailer(struct log_segment *segment, const struct commit_header *footer)
{
    assert(segment->state == LOG_SEGMENT_SEALING);
    assert(segment->trailer.write == LOG_WRITE_NONE);
    const struct segment_trailer trailer = {
        .nonce = segment->file.nonce,
        .footer_position = footer->position,
        .footer_number = footer->number,
        .footer_length_bytes = footer->length_bytes,
    };
    segment_trailer_encode(&trailer, segment->trailer_block);
    segment->trailer.write = LOG_WRITE_WAITING;
}

void log_segment_publish(struct log_segment *segment, const struct log_commit *commit,
                         const struct topic_table *topics, uint64_t now_ns)
{
    assert(segment->header.write == LOG_WRITE_DONE);
    if (segment->durable_count++ == 0) {
        topic_table_publish(topics, segment->base_offsets, segment->file.index);
    }
    if (commit->batches > 0) { live_index_publish(&segment->live, now_ns); }
}
