#include "wire/lane_format.h"

#include "base/endian.h"

/* ------------------------------------------------------------------------------------ encode */

static void encode_state(const struct lane_state *state, struct lane_wire *wire)
{
    memcpy(wire->producer, state->key.producer.bytes, sizeof wire->producer);
    store_le32(wire->lane_le32, state->key.number);
    store_le32(wire->home_le32, state->home);
    store_le64(wire->epoch_le64, state->epoch);
    store_le64(wire->last_sequence_le64, state->last_sequence);
    store_le64(wire->confirmed_le64, state->confirmed);
    store_le64(wire->hash_le64, state->hash);
    store_le64(wire->active_wall_ms_le64, (uint64_t)state->active_wall_ms);
}

static void encode_run(const struct lane_run *run, struct lane_run_wire *wire)
{
    store_le32(wire->count_le32, run->count);
    wire->fate = run->fate;
    store_le32(wire->topic_le32, (uint32_t)run->topic);
    store_le64(wire->base_offset_le64, run->base_offset);
}

void lane_item_encode(const struct lane_item *item, const struct lane_run *runs, struct sink *out)
{
    const size_t len_bytes = lane_item_bytes(item->run_count);
    uint8_t *const at = sink_take(out, len_bytes);
    if (at == NULL) { return; }
    memset(at, 0, len_bytes);

    struct lane_wire *const wire = (struct lane_wire *)at;
    encode_state(&item->state, wire);
    store_le64(wire->first_sequence_le64, item->first_sequence);
    store_le64(wire->unstored_le64, item->unstored);
    store_le32(wire->flags_le32, item->flags);
    store_le32(wire->run_count_le32, item->run_count);

    struct lane_run_wire *const run_wires = (struct lane_run_wire *)(at + sizeof *wire);
    for (uint32_t i = 0; i < item->run_count; i++) { encode_run(&runs[i], &run_wires[i]); }
}

/* ------------------------------------------------------------------------------------ decode */

static struct lane_state decode_state(const struct lane_wire *wire)
{
    struct lane_state state = {
        .key.number = load_le32(wire->lane_le32),
        .home = load_le32(wire->home_le32),
        .epoch = load_le64(wire->epoch_le64),
        .last_sequence = load_le64(wire->last_sequence_le64),
        .confirmed = load_le64(wire->confirmed_le64),
        .hash = load_le64(wire->hash_le64),
        .active_wall_ms = (int64_t)load_le64(wire->active_wall_ms_le64),
    };
    memcpy(state.key.producer.bytes, wire->producer, sizeof wire->producer);
    return state;
}

/* Each run has records, and together they are first_sequence..last_sequence. */
static bool runs_hold(const struct lane_item *item)
{
    if (item->state.last_sequence > NATIVE_SEQUENCE_MAX) { return false; }
    if (item->first_sequence == 0) { return false; }
    if (item->first_sequence > item->state.last_sequence + 1) { return false; }

    uint64_t left = item->state.last_sequence + 1 - item->first_sequence;
    for (uint32_t i = 0; i < item->run_count; i++) {
        const uint32_t count = lane_item_run(item, i).count;
        if (count == 0 || count > left) { return false; }
        left -= count;
    }
    return left == 0;
}

enum status lane_item_decode(struct bytes *entry, struct lane_item *out)
{
    if (entry->len_bytes == 0) { return STATUS_NOT_FOUND; }
    if (entry->len_bytes < sizeof(struct lane_wire)) { return STATUS_CORRUPT; }
    const struct lane_wire *const wire = (const struct lane_wire *)entry->at;
    const struct bytes behind = bytes_slice(*entry, sizeof *wire, entry->len_bytes);
    const uint32_t run_count = load_le32(wire->run_count_le32);
    if (run_count > behind.len_bytes / sizeof(struct lane_run_wire)) { return STATUS_CORRUPT; }

    *out = (struct lane_item){
        .state = decode_state(wire),
        .first_sequence = load_le64(wire->first_sequence_le64),
        .unstored = load_le64(wire->unstored_le64),
        .flags = load_le32(wire->flags_le32),
        .run_count = run_count,
        .runs = bytes_slice(behind, 0, run_count * sizeof(struct lane_run_wire)),
    };
    if (!runs_hold(out)) { return STATUS_CORRUPT; }
    *entry = bytes_slice(behind, out->runs.len_bytes, behind.len_bytes);
    return STATUS_OK;
}

struct lane_run lane_item_run(const struct lane_item *item, uint32_t index)
{
    assert_hot(index < item->run_count);
    const struct lane_run_wire *const wire =
        (const struct lane_run_wire *)(const void *)item->runs.at + index;
    return (struct lane_run){
        .count = load_le32(wire->count_le32),
        .fate = wire->fate,
        .topic = (int32_t)load_le32(wire->topic_le32),
        .base_offset = load_le64(wire->base_offset_le64),
    };
}
