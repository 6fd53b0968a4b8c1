#include "storage/lane_resume.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"

/* ---------------------------------------------------------------------------------- the index */

/* The mixer of SplitMix64 over the key's three words. Producers choose keys; but these are lanes
 * that a node let in one by one, at a cookie's cost each, and this is a start, not a packet. */
static size_t key_hash(const struct lane_key *key)
{
    uint64_t hash = load_le64(key->producer.bytes) ^ key->number;
    hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    hash ^= load_le64(key->producer.bytes + 8);
    hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)(hash ^ (hash >> 31));
}

static size_t slot_find(const struct lane_resume_set *set, const struct lane_key *key)
{
    size_t at = key_hash(key) & (set->slot_count - 1);
    while (set->slots[at] != 0) { /* ends: half of the slots are empty */
        if (lane_key_equal(&set->lanes[set->slots[at] - 1].state.key, key)) { break; }
        at = (at + 1) & (set->slot_count - 1);
    }
    return at;
}

static void slot_clear(struct lane_resume_set *set, size_t gap)
{
    const size_t mask = set->slot_count - 1;
    for (size_t at = (gap + 1) & mask; set->slots[at] != 0; at = (at + 1) & mask) {
        const size_t wanted = key_hash(&set->lanes[set->slots[at] - 1].state.key) & mask;
        if (((at - wanted) & mask) < ((at - gap) & mask)) { continue; }
        set->slots[gap] = set->slots[at];
        gap = at;
    }
    set->slots[gap] = 0;
}

static enum status set_grow(struct lane_resume_set *set)
{
    if (set->count < set->capacity) { return STATUS_OK; }
    const size_t capacity = set->capacity == 0 ? 256 : set->capacity * 2;
    if (capacity >= UINT32_MAX / 2) { return STATUS_NO_MEMORY; }
    void *const grown = realloc(set->lanes, capacity * sizeof *set->lanes);
    if (grown == NULL) { return STATUS_NO_MEMORY; }
    set->lanes = grown;
    uint32_t *const slots = calloc(capacity * 2, sizeof *slots);
    if (slots == NULL) { return STATUS_NO_MEMORY; }
    free(set->slots);
    set->slots = slots;
    set->slot_count = capacity * 2;
    set->capacity = capacity;
    for (size_t i = 0; i < set->count; i++) {
        set->slots[slot_find(set, &set->lanes[i].state.key)] = (uint32_t)i + 1;
    }
    return STATUS_OK;
}

struct lane_resume *lane_resume_set_find(const struct lane_resume_set *set,
                                         const struct lane_key *key)
{
    if (set->count == 0) { return NULL; }
    const uint32_t found = set->slots[slot_find(set, key)];
    return found == 0 ? NULL : &set->lanes[found - 1];
}

enum status lane_resume_set_add(struct lane_resume_set *set, const struct lane_resume *lane)
{
    const enum status status = set_grow(set);
    if (status != STATUS_OK) { return status; }
    const size_t slot = slot_find(set, &lane->state.key);
    assert(set->slots[slot] == 0);
    set->lanes[set->count++] = *lane;
    set->slots[slot] = (uint32_t)set->count;
    return STATUS_OK;
}

void lane_resume_set_remove(struct lane_resume_set *set, size_t index, struct lane_resume *out)
{
    assert(index < set->count);
    if (out != NULL) {
        *out = set->lanes[index];
    } else {
        free(set->lanes[index].runs);
    }
    slot_clear(set, slot_find(set, &set->lanes[index].state.key));
    const size_t last = set->count - 1;
    if (index != last) {
        set->slots[slot_find(set, &set->lanes[last].state.key)] = (uint32_t)index + 1;
        set->lanes[index] = set->lanes[last];
    }
    set->count--;
}

void lane_resume_set_deinit(struct lane_resume_set *set)
{
    for (size_t i = 0; i < set->count; i++) { free(set->lanes[i].runs); }
    free(set->lanes);
    free(set->slots);
    *set = (struct lane_resume_set){0};
}

/* ---------------------------------------------------------------------------------- the fates */

/* Merges as the table does (lane_fates_append). */
static enum status runs_append(struct lane_resume *lane, uint8_t fate, uint32_t count)
{
    struct lane_fates *const youngest =
        lane->run_count > 0 ? &lane->runs[lane->run_count - 1] : NULL;
    if (youngest != NULL && youngest->fate == fate && count <= UINT32_MAX - youngest->count) {
        youngest->count += count;
        return STATUS_OK;
    }
    if (lane->run_count == lane->run_capacity) {
        const size_t capacity = lane->run_capacity == 0 ? 2 : lane->run_capacity * 2;
        void *const grown = realloc(lane->runs, capacity * sizeof *lane->runs);
        if (grown == NULL) { return STATUS_NO_MEMORY; }
        lane->runs = grown;
        lane->run_capacity = capacity;
    }
    lane->runs[lane->run_count++] = (struct lane_fates){count, fate};
    return STATUS_OK;
}

static void runs_confirm(struct lane_resume *lane, uint64_t count)
{
    size_t gone = 0;
    while (gone < lane->run_count && count >= lane->runs[gone].count) {
        count -= lane->runs[gone++].count;
    }
    lane->run_count -= gone;
    if (gone > 0 && lane->run_count > 0) {
        memmove(lane->runs, lane->runs + gone, lane->run_count * sizeof *lane->runs);
    }
    if (lane->run_count > 0) { lane->runs[0].count -= (uint32_t)count; }
}

static void runs_cut(struct lane_resume *lane, uint64_t count)
{
    while (lane->run_count > 0 && count >= lane->runs[lane->run_count - 1].count) {
        count -= lane->runs[--lane->run_count].count;
    }
    if (lane->run_count > 0) { lane->runs[lane->run_count - 1].count -= (uint32_t)count; }
}

static void lane_confirm(struct lane_resume *lane, uint64_t confirmed)
{
    if (confirmed <= lane->state.confirmed) { return; }
    runs_confirm(lane, confirmed - lane->state.confirmed);
    lane->state.confirmed = confirmed;
}

/* Nothing is known of the fates of sequences up to `first` - 1. */
static void lane_begin_at(struct lane_resume *lane, uint64_t first_sequence)
{
    lane->run_count = 0;
    lane->state.confirmed = first_sequence - 1;
    lane->state.last_sequence = first_sequence - 1;
}

/* Sequences between what is known and `first_sequence`. More than a run can count is no gap that
 * lost entries leave: then nothing before is known. */
static enum status lane_bridge_gap(struct lane_resume *lane, uint64_t first_sequence)
{
    const uint64_t count = first_sequence - 1 - lane->state.last_sequence;
    lane->gap = true;
    if (count > UINT32_MAX) {
        lane_begin_at(lane, first_sequence);
        return STATUS_OK;
    }
    lane->state.last_sequence = first_sequence - 1;
    return runs_append(lane, NATIVE_LOST, (uint32_t)count);
}

/* So that the item's runs follow exactly what is there. */
static enum status lane_align(struct lane_resume *lane, const struct lane_item *item)
{
    const uint64_t first = item->first_sequence;
    const bool whole = (item->flags & (LANE_CHECKPOINT | LANE_IMPORTED)) != 0;
    if (whole || first <= item->state.confirmed + 1 || first <= lane->state.confirmed) {
        lane_begin_at(lane, first);
        lane->gap = false;
        return STATUS_OK;
    }
    if (first <= lane->state.last_sequence) { /* newer entries win */
        runs_cut(lane, lane->state.last_sequence - (first - 1));
        lane->state.last_sequence = first - 1;
    }
    if (lane->state.last_sequence < item->state.confirmed) {
        lane_begin_at(lane, item->state.confirmed + 1); /* the gap is of no interest any more */
    }
    return lane->state.last_sequence + 1 < first ? lane_bridge_gap(lane, first) : STATUS_OK;
}

static enum status lane_take(struct lane_resume *lane, const struct lane_item *item)
{
    enum status status = lane_align(lane, item);
    for (uint32_t i = 0; status == STATUS_OK && i < item->run_count; i++) {
        const struct lane_run run = lane_item_run(item, i);
        status = runs_append(lane, run.fate, run.count);
    }
    if (status != STATUS_OK) { return status; }
    lane_confirm(lane, item->state.confirmed);
    const uint64_t confirmed = lane->state.confirmed; /* a gap may have moved it on */
    lane->state = item->state;
    lane->state.confirmed = confirmed;
    return STATUS_OK;
}

enum status lane_resume_set_take(struct lane_resume_set *set, const struct lane_item *item)
{
    if (item->state.confirmed > item->state.last_sequence) { return STATUS_CORRUPT; }
    struct lane_resume *lane = lane_resume_set_find(set, &item->state.key);
    if ((item->flags & LANE_FORGOTTEN) != 0) {
        if (lane != NULL) { lane_resume_set_remove(set, (size_t)(lane - set->lanes), NULL); }
        return STATUS_OK;
    }
    if (lane == NULL) {
        struct lane_resume fresh = {.state = item->state};
        lane_begin_at(&fresh, item->state.confirmed + 1);
        const enum status status = lane_resume_set_add(set, &fresh);
        if (status != STATUS_OK) { return status; }
        lane = &set->lanes[set->count - 1];
    }
    return lane_take(lane, item);
}
