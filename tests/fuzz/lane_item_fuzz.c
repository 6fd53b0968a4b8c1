/* lane_item_fuzz.c - lane items that the decoder takes fill their sequences, and encode again to
 * the same bytes but for the reserved ones. */
#include "wire/lane_format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void clear_reserved(uint8_t *item, uint32_t run_count)
{
    struct lane_wire *const wire = (struct lane_wire *)item;
    memset(wire->reserved, 0, sizeof wire->reserved);
    struct lane_run_wire *const runs = (struct lane_run_wire *)(item + sizeof *wire);
    for (uint32_t i = 0; i < run_count; i++) {
        memset(runs[i].reserved, 0, sizeof runs[i].reserved);
        memset(runs[i].reserved2, 0, sizeof runs[i].reserved2);
    }
}

static void check_encodes_again(struct bytes bytes, const struct lane_item *item,
                                const struct lane_run *runs)
{
    uint8_t *const room = malloc(bytes.len_bytes);
    uint8_t *const expected = malloc(bytes.len_bytes);
    assert(room != NULL && expected != NULL);

    struct sink out = sink_into(room, bytes.len_bytes);
    lane_item_encode(item, runs, &out);
    assert(!out.overflowed && sink_room_bytes(&out) == 0);
    memcpy(expected, bytes.at, bytes.len_bytes);
    clear_reserved(expected, item->run_count);
    assert(memcmp(room, expected, bytes.len_bytes) == 0);

    free(expected);
    free(room);
}

static void check_item(struct bytes bytes, const struct lane_item *item)
{
    assert(bytes.len_bytes == lane_item_bytes(item->run_count));
    struct lane_run *const runs = calloc((size_t)item->run_count + 1, sizeof *runs);
    assert(runs != NULL);
    uint64_t next = item->first_sequence;
    for (uint32_t i = 0; i < item->run_count; i++) {
        runs[i] = lane_item_run(item, i);
        assert(runs[i].count > 0);
        next += runs[i].count;
    }
    assert(item->first_sequence >= 1);
    assert(item->state.last_sequence <= NATIVE_SEQUENCE_MAX);
    assert(next == item->state.last_sequence + 1);
    check_encodes_again(bytes, item, runs);
    free(runs);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct bytes rest = bytes_of(at, len_bytes);
    struct lane_item item;
    for (struct bytes before = rest; lane_item_decode(&rest, &item) == STATUS_OK; before = rest) {
        check_item(bytes_slice(before, 0, before.len_bytes - rest.len_bytes), &item);
    }
    return 0;
}
