#include "wire/lane_format.h"

#include <string.h>

#include "base/endian.h"
#include "wire/log_format.h"

static void run_encode(const struct lane_run *run, struct sink *out)
{
    struct lane_run_wire wire = {.fate = run->fate};
    store_le32(wire.count_le32, run->count);
    store_le32(wire.topic_le32, (uint32_t)run->topic);
    store_le64(wire.base_offset_le64, run->base_offset);
    sink_bytes(out, bytes_of(&wire, sizeof wire));
}

void lane_item_encode(const struct lane_item *item, const struct lane_run *runs, struct sink *out)
{
    const struct lane_state *const state = &item->state;
    struct lane_wire wire = {0};
    memcpy(wire.producer, state->key.producer.bytes, sizeof wire.producer);
    store_le32(wire.lane_le32, state->key.number);
    store_le32(wire.home_le32, state->home);
    store_le64(wire.epoch_le64, state->epoch);
    store_le64(wire.last_sequence_le64, state->last_sequence);
    store_le64(wire.first_sequence_le64, item->first_sequence);
    store_le64(wire.confirmed_le64, state->confirmed);
    store_le64(wire.hash_le64, state->hash);
    store_le64(wire.unstored_le64, item->unstored);
    store_le64(wire.active_wall_ms_le64, (uint64_t)state->active_wall_ms);
    store_le32(wire.flags_le32, item->flags);
    store_le32(wire.run_count_le32, item->run_count);
    sink_bytes(out, bytes_of(&wire, sizeof wire));
    for (uint32_t i = 0; i < item->run_count; i++) { run_encode(&runs[i], out); }
}

struct lane_run lane_item_run(const struct lane_item *item, uint32_t index)
{
    assert(index < item->run_count);
    const struct lane_run_wire *const wire = (const struct lane_run_wire *)item->runs.at + index;
    const struct lane_run run = {
        .count = load_le32(wire->count_le32),
        .fate = wire->fate,
        .topic = (int32_t)load_le32(wire->topic_le32),
        .base_offset = load_le64(wire->base_offset_le64),
    };
    return run;
}

static bool runs_fill(const struct lane_item *item)
{
    uint64_t next = item->first_sequence;
    for (uint32_t i = 0; i < item->run_count; i++) {
        const uint32_t count = lane_item_run(item, i).count;
        if (count == 0 || next > NATIVE_SEQUENCE_MAX) { return false; }
        next += count;
    }
    return next == item->state.last_sequence + 1;
}

enum status lane_item_decode(struct bytes *entry, struct lane_item *out)
{
    if (entry->len_bytes == 0) { return STATUS_NOT_FOUND; }
    if (entry->len_bytes < sizeof(struct lane_wire)) { return STATUS_CORRUPT; }
    const struct lane_wire *const wire = (const struct lane_wire *)entry->at;
    const size_t run_count = load_le32(wire->run_count_le32);
    const size_t room_bytes = entry->len_bytes - sizeof *wire;
    if (run_count > room_bytes / sizeof(struct lane_run_wire)) { return STATUS_CORRUPT; }

    *out = (struct lane_item){
        .state =
            {
                .key = {.number = load_le32(wire->lane_le32)},
                .home = load_le32(wire->home_le32),
                .epoch = load_le64(wire->epoch_le64),
                .last_sequence = load_le64(wire->last_sequence_le64),
                .confirmed = load_le64(wire->confirmed_le64),
                .hash = load_le64(wire->hash_le64),
                .active_wall_ms = (int64_t)load_le64(wire->active_wall_ms_le64),
            },
        .first_sequence = load_le64(wire->first_sequence_le64),
        .unstored = load_le64(wire->unstored_le64),
        .flags = load_le32(wire->flags_le32),
        .run_count = (uint32_t)run_count,
        .runs = bytes_slice(*entry, sizeof *wire, lane_item_bytes(run_count)),
    };
    memcpy(out->state.key.producer.bytes, wire->producer, sizeof wire->producer);
    if (out->state.last_sequence > NATIVE_SEQUENCE_MAX) { return STATUS_CORRUPT; }
    if (out->state.confirmed > out->state.last_sequence) { return STATUS_CORRUPT; }
    if (out->first_sequence == 0 || !runs_fill(out)) { return STATUS_CORRUPT; }
    *entry = bytes_slice(*entry, lane_item_bytes(run_count), entry->len_bytes);
    return STATUS_OK;
}
