#include "wire/index_chunk.h"

#include "wire/record_batch.h"

/* Two batches of a topic differ in how many records they hold more than in how long those are. */
static uint32_t foretell_length(const struct index_state *state, uint32_t record_count)
{
    if (state->record_count == 0) { return 0; }
    if (state->length_bytes <= RECORD_BATCH_HEADER_BYTES) { return state->length_bytes; }
    const uint64_t records_bytes = state->length_bytes - RECORD_BATCH_HEADER_BYTES;
    const uint64_t foretold =
        RECORD_BATCH_HEADER_BYTES + records_bytes * record_count / state->record_count;
    return foretold < LOG_COMMIT_BYTES_MAX ? (uint32_t)foretold : LOG_COMMIT_BYTES_MAX;
}

static void state_follow(struct index_state *state, const struct index_entry *entry)
{
    const uint64_t position = entry->position / INDEX_POSITION_UNIT_BYTES;
    const uint64_t timestamp_ms = (uint64_t)entry->max_timestamp_ms;
    const bool first = state->record_count == 0;
    *state = (struct index_state){
        .next_offset = entry->base_offset + entry->record_count,
        .position = position,
        .position_step = first ? 0 : position - state->position,
        .timestamp_ms = timestamp_ms,
        .timestamp_step_ms = first ? 0 : timestamp_ms - state->timestamp_ms,
        .record_count = entry->record_count,
        .length_bytes = entry->length_bytes,
    };
}

/* The record count's lowest bit in the line says whether a gap in the offsets comes before it. */
void index_line_encode(struct index_state *state, const struct index_entry *entry, struct sink *out)
{
    assert(entry->base_offset >= state->next_offset);
    assert(entry->position % INDEX_POSITION_UNIT_BYTES == 0);
    assert(entry->record_count > 0);
    const uint64_t gap = entry->base_offset - state->next_offset;
    const uint64_t position = entry->position / INDEX_POSITION_UNIT_BYTES;
    const uint64_t position_ahead = position - state->position - state->position_step;
    const uint64_t timestamp_ahead =
        (uint64_t)entry->max_timestamp_ms - state->timestamp_ms - state->timestamp_step_ms;

    sink_uvarint64(out, (uint64_t)entry->record_count << 1 | (gap > 0));
    if (gap > 0) { sink_uvarint64(out, gap); }
    sink_varint64(out, (int64_t)entry->length_bytes -
                           (int64_t)foretell_length(state, entry->record_count));
    sink_varint64(out, (int64_t)position_ahead);
    sink_varint64(out, (int64_t)timestamp_ahead);
    sink_u8(out, (uint8_t)entry->check);
    sink_u8(out, (uint8_t)(entry->check >> 8));
    state_follow(state, entry);
}

enum status index_line_decode(struct index_state *state, struct cursor *in, struct index_entry *out)
{
    if (cursor_left_bytes(in) == 0) { return STATUS_NOT_FOUND; }
    const uint64_t count_and_gap = cursor_uvarint64(in);
    const uint64_t record_count = count_and_gap >> 1;
    const uint64_t gap = (count_and_gap & 1) != 0 ? cursor_uvarint64(in) : 0;
    const int64_t length_ahead = cursor_varint64(in);
    const uint64_t position_ahead = (uint64_t)cursor_varint64(in);
    const uint64_t timestamp_ahead = (uint64_t)cursor_varint64(in);
    const uint16_t check = cursor_le16(in);
    if (in->overran) { return STATUS_CORRUPT; }
    if (record_count == 0 || record_count > INT32_MAX) { return STATUS_CORRUPT; }
    if (state->next_offset > INT64_MAX || gap > INT64_MAX - state->next_offset) {
        return STATUS_CORRUPT;
    }
    const uint64_t base_offset = state->next_offset + gap;
    if (record_count > INT64_MAX - base_offset) { return STATUS_CORRUPT; }
    if (length_ahead > LOG_COMMIT_BYTES_MAX || length_ahead < -LOG_COMMIT_BYTES_MAX) {
        return STATUS_CORRUPT;
    }
    const int64_t length_bytes =
        (int64_t)foretell_length(state, (uint32_t)record_count) + length_ahead;
    if (length_bytes <= 0 || length_bytes > LOG_COMMIT_BYTES_MAX) { return STATUS_CORRUPT; }
    const uint64_t position = state->position + state->position_step + position_ahead;
    if (position > INT64_MAX / INDEX_POSITION_UNIT_BYTES) { return STATUS_CORRUPT; }

    out->record_count = (uint32_t)record_count;
    out->base_offset = base_offset;
    out->length_bytes = (uint32_t)length_bytes;
    out->position = position * INDEX_POSITION_UNIT_BYTES;
    out->max_timestamp_ms =
        (int64_t)(state->timestamp_ms + state->timestamp_step_ms + timestamp_ahead);
    out->check = check;
    state_follow(state, out);
    return STATUS_OK;
}

/* ---------------------------------------------------------------------------------- anchors */

void index_anchor_encode(const struct index_anchor *anchor, struct index_anchor_wire *out)
{
    *out = (struct index_anchor_wire){0};
    store_le32(out->topic_le32, (uint32_t)anchor->topic);
    store_le32(out->line_count_le32, anchor->line_count);
    store_le32(out->position_le32, anchor->position);
    store_le32(out->length_bytes_le32, anchor->length_bytes);
    store_le32(out->crc32c_le32, anchor->crc32c);
    store_le64(out->base_offset_le64, anchor->base_offset);
    store_le64(out->next_offset_le64, anchor->next_offset);
    store_le64(out->max_timestamp_le64, (uint64_t)anchor->max_timestamp_ms);
    store_le64(out->record_count_le64, anchor->record_count);
    store_le64(out->batch_bytes_le64, anchor->batch_bytes);
}

enum status index_anchor_decode(const struct index_anchor_wire *wire, uint64_t index_bytes,
                                struct index_anchor *out)
{
    *out = (struct index_anchor){
        .topic = (int32_t)load_le32(wire->topic_le32),
        .line_count = load_le32(wire->line_count_le32),
        .position = load_le32(wire->position_le32),
        .length_bytes = load_le32(wire->length_bytes_le32),
        .crc32c = load_le32(wire->crc32c_le32),
        .base_offset = load_le64(wire->base_offset_le64),
        .next_offset = load_le64(wire->next_offset_le64),
        .max_timestamp_ms = (int64_t)load_le64(wire->max_timestamp_le64),
        .record_count = load_le64(wire->record_count_le64),
        .batch_bytes = load_le64(wire->batch_bytes_le64),
    };
    if (out->topic < 0 || out->topic >= LOG_TOPICS_MAX) { return STATUS_CORRUPT; }
    if (out->line_count == 0 || out->line_count > INDEX_CHUNK_LINES_MAX) { return STATUS_CORRUPT; }
    if (out->length_bytes == 0 || out->length_bytes > INDEX_CHUNK_BYTES_MAX) {
        return STATUS_CORRUPT;
    }
    if (out->position > index_bytes || out->length_bytes > index_bytes - out->position) {
        return STATUS_CORRUPT;
    }
    if (out->next_offset > INT64_MAX || out->base_offset >= out->next_offset) {
        return STATUS_CORRUPT;
    }
    if (out->record_count == 0 || out->record_count > out->next_offset - out->base_offset) {
        return STATUS_CORRUPT;
    }
    const uint64_t batch_bytes_max = (uint64_t)out->line_count * LOG_COMMIT_BYTES_MAX;
    return out->batch_bytes > 0 && out->batch_bytes <= batch_bytes_max ? STATUS_OK : STATUS_CORRUPT;
}

struct index_state index_chunk_begin(const struct index_anchor *anchor)
{
    return (struct index_state){.next_offset = anchor->base_offset};
}
