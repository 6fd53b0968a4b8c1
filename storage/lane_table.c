#include "storage/lane_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/large_array.h"
#include "storage/lane_resume.h"

struct pool_run {
    struct lane_fates fates;
    uint32_t next; /* younger, of the same lane; or the next free one; LANE_NONE: none */
};

/* Eight slots a cache line; a stranger's lane costs no look at the lanes themselves. */
struct table_slot {
    uint32_t hash;
    uint32_t lane; /* LANE_NONE: empty */
};

struct lane_table {
    struct lane_table_options options;
    uint32_t count;
    uint32_t end;      /* lanes from here on were never used */
    uint32_t free_run; /* head of the pool's free runs */
    uint32_t free_count;
    uint32_t slot_mask;
    struct lane *lanes;
    struct pool_run *pool;
    struct table_slot *slots; /* open addressing, at most half full */
    uint32_t *free_lanes;     /* a stack: lanes_max - count of them */
};

/* -------------------------------------------------------------------------------- finding */

static uint64_t multiply_fold(uint64_t left, uint64_t right)
{
    const unsigned __int128 product = (unsigned __int128)left * right;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* As wyhash: a key of three words under a secret seed. */
static uint32_t key_hash(const struct lane_table *table, const struct lane_key *key)
{
    static const uint64_t odd_a = UINT64_C(0xa0761d6478bd642f);
    static const uint64_t odd_b = UINT64_C(0xe7037ed1a0b428db);
    const uint64_t seed = table->options.seed;
    const uint64_t low = load_le64(key->producer.bytes);
    const uint64_t high = load_le64(key->producer.bytes + 8);
    const uint64_t folded = multiply_fold(low ^ odd_a ^ seed, high ^ odd_b ^ (seed >> 32));
    return (uint32_t)multiply_fold(folded ^ key->number ^ odd_b, seed ^ odd_a);
}

static uint32_t slot_after(const struct lane_table *table, uint32_t slot)
{
    return (slot + 1) & table->slot_mask;
}

/* The slot of the key, or the empty one where it would go. */
static uint32_t slot_find(const struct lane_table *table, const struct lane_key *key, uint32_t hash)
{
    uint32_t at = hash & table->slot_mask;
    for (;; at = slot_after(table, at)) { /* ends: half of the slots are empty */
        const struct table_slot slot = table->slots[at];
        if (slot.lane == LANE_NONE) { return at; }
        if (slot.hash != hash) { continue; }
        if (lane_key_equal(&table->lanes[slot.lane].state.key, key)) { return at; }
    }
}

uint32_t lane_table_find(const struct lane_table *table, const struct lane_key *key)
{
    return table->slots[slot_find(table, key, key_hash(table, key))].lane;
}

/* Closes the gap: what stands behind it moves up, unless it stands where it wants to. */
static void slot_clear(struct lane_table *table, uint32_t gap)
{
    for (uint32_t at = slot_after(table, gap); table->slots[at].lane != LANE_NONE;
         at = slot_after(table, at)) {
        const uint32_t wanted = table->slots[at].hash & table->slot_mask;
        const uint32_t moved = (at - wanted) & table->slot_mask;
        if (moved < ((at - gap) & table->slot_mask)) { continue; }
        table->slots[gap] = table->slots[at];
        gap = at;
    }
    table->slots[gap].lane = LANE_NONE;
}

uint32_t lane_table_add(struct lane_table *table, const struct lane_state *state)
{
    if (table->count == table->options.lanes_max) { return LANE_NONE; }
    const uint32_t hash = key_hash(table, &state->key);
    const uint32_t slot = slot_find(table, &state->key, hash);
    assert(table->slots[slot].lane == LANE_NONE);

    table->count++;
    const uint32_t index = table->free_lanes[table->options.lanes_max - table->count];
    if (index >= table->end) { table->end = index + 1; }
    table->slots[slot] = (struct table_slot){hash, index};
    struct lane *const lane = &table->lanes[index];
    *lane = (struct lane){
        .state = *state,
        .durable_sequence = state->last_sequence,
        .open_item = LANE_NONE,
        .pool_head = LANE_NONE,
        .pool_tail = LANE_NONE,
        .used = true,
    };
    lane->state.confirmed = state->last_sequence;
    return index;
}

/* ------------------------------------------------------------------------------------ fates */

static uint32_t pool_take(struct lane_table *table, struct lane_fates fates)
{
    const uint32_t index = table->free_run;
    struct pool_run *const run = &table->pool[index];
    table->free_run = run->next;
    table->free_count--;
    *run = (struct pool_run){fates, LANE_NONE};
    return index;
}

static void pool_give_back(struct lane_table *table, uint32_t index)
{
    table->free_count++;
    table->pool[index].next = table->free_run;
    table->free_run = index;
}

/* The youngest run is over: it joins the others. False: no room. */
static bool youngest_ends(struct lane_table *table, struct lane *lane)
{
    if (lane->run_count >= table->options.lane_runs_max) { return false; }
    if (lane->run_count == 1) { lane->oldest = lane->youngest; }
    if (lane->run_count < 2) { return true; }

    if (table->free_run == LANE_NONE) { return false; }
    const uint32_t run = pool_take(table, lane->youngest);
    if (lane->pool_tail == LANE_NONE) {
        lane->pool_head = run;
    } else {
        table->pool[lane->pool_tail].next = run;
    }
    lane->pool_tail = run;
    return true;
}

bool lane_fates_append(struct lane_table *table, uint32_t index, uint8_t fate, uint32_t count)
{
    struct lane *const lane = &table->lanes[index];
    assert_hot(lane->used);
    const bool goes_on = lane->run_count > 0 && lane->youngest.fate == fate &&
                         count <= UINT32_MAX - lane->youngest.count;
    if (LIKELY(goes_on)) {
        lane->youngest.count += count;
    } else {
        if (!youngest_ends(table, lane)) { return false; }
        lane->youngest = (struct lane_fates){count, fate};
        lane->run_count++;
    }
    lane->state.last_sequence += count;
    return true;
}

/* The oldest run is confirmed as a whole: the next one takes its place. */
static void oldest_ends(struct lane_table *table, struct lane *lane)
{
    lane->run_count--;
    if (lane->pool_head == LANE_NONE) { return; } /* one left: it is the youngest */
    const uint32_t run = lane->pool_head;
    lane->oldest = table->pool[run].fates;
    lane->pool_head = table->pool[run].next;
    if (lane->pool_head == LANE_NONE) { lane->pool_tail = LANE_NONE; }
    pool_give_back(table, run);
}

void lane_fates_confirm(struct lane_table *table, uint32_t index, uint64_t confirmed)
{
    struct lane *const lane = &table->lanes[index];
    assert_hot(lane->used);
    if (confirmed > lane->durable_sequence) { confirmed = lane->durable_sequence; }
    while (lane->state.confirmed < confirmed) {
        struct lane_fates *const first = lane->run_count == 1 ? &lane->youngest : &lane->oldest;
        const uint64_t wanted = confirmed - lane->state.confirmed;
        if (wanted < first->count) {
            first->count -= (uint32_t)wanted;
            lane->state.confirmed = confirmed;
            return;
        }
        lane->state.confirmed += first->count;
        oldest_ends(table, lane);
    }
}

static bool walk_next(const struct lane_table *table, uint32_t index, uint64_t end,
                      struct lane_fate_walk *walk, struct lane_fates *out)
{
    const struct lane *const lane = &table->lanes[index];
    assert_hot(lane->used);
    if (walk->next_sequence == 0) {
        walk->next_sequence = lane->state.confirmed + 1;
        walk->run = 0;
        walk->pool_run = lane->pool_head;
    }
    if (walk->next_sequence > end) { return false; }

    assert_hot(walk->run < lane->run_count);
    if (walk->run + 1 == lane->run_count) {
        *out = lane->youngest;
    } else if (walk->run == 0) {
        *out = lane->oldest;
    } else {
        *out = table->pool[walk->pool_run].fates;
        walk->pool_run = table->pool[walk->pool_run].next;
    }
    walk->run++;
    const uint64_t left = end - walk->next_sequence + 1;
    if (out->count > left) { out->count = (uint32_t)left; }
    walk->next_sequence += out->count;
    return true;
}

bool lane_fates_next(const struct lane_table *table, uint32_t lane, struct lane_fate_walk *walk,
                     struct lane_fates *out)
{
    return walk_next(table, lane, table->lanes[lane].durable_sequence, walk, out);
}

bool lane_fates_next_appended(const struct lane_table *table, uint32_t lane,
                              struct lane_fate_walk *walk, struct lane_fates *out)
{
    return walk_next(table, lane, table->lanes[lane].state.last_sequence, walk, out);
}

void lane_table_remove(struct lane_table *table, uint32_t index)
{
    struct lane *const lane = &table->lanes[index];
    assert(lane->used);
    assert(lane->open_item == LANE_NONE);
    assert(lane->in_flight == 0);
    const uint32_t slot = slot_find(table, &lane->state.key, key_hash(table, &lane->state.key));
    assert(table->slots[slot].lane == index);
    slot_clear(table, slot);

    while (lane->pool_head != LANE_NONE) {
        const uint32_t run = lane->pool_head;
        lane->pool_head = table->pool[run].next;
        pool_give_back(table, run);
    }
    lane->used = false;
    table->free_lanes[table->options.lanes_max - table->count] = index;
    table->count--;
}

/* As if its producer had confirmed all up to `last_sequence`. */
static void lane_fates_forget(struct lane_table *table, uint32_t index, uint64_t last_sequence)
{
    struct lane *const lane = &table->lanes[index];
    lane->durable_sequence = lane->state.last_sequence;
    lane_fates_confirm(table, index, lane->state.last_sequence);
    lane->state.last_sequence = last_sequence;
    lane->state.confirmed = last_sequence;
}

static enum status lane_restore(struct lane_table *table, const struct lane_resume *resume)
{
    struct lane_state state = resume->state;
    state.last_sequence = state.confirmed;
    const uint32_t index = lane_table_add(table, &state);
    if (index == LANE_NONE) { return STATUS_FULL; }
    for (size_t i = 0; i < resume->run_count; i++) {
        const struct lane_fates fates = resume->runs[i];
        if (lane_fates_append(table, index, fates.fate, fates.count)) { continue; }
        lane_fates_forget(table, index, resume->state.last_sequence);
        break;
    }
    struct lane *const lane = &table->lanes[index];
    assert(lane->state.last_sequence == resume->state.last_sequence);
    lane->durable_sequence = lane->state.last_sequence;
    lane->imported = resume->imported;
    return STATUS_OK;
}

enum status lane_table_restore(struct lane_table *table, const struct lane_resume_set *set)
{
    assert(table->count == 0);
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < set->count; i++) {
        status = lane_restore(table, &set->lanes[i]);
    }
    return status;
}

/* ------------------------------------------------------------------------------- life cycle */

uint32_t lane_table_capacity(const struct lane_table *table) { return table->options.lanes_max; }

uint32_t lane_table_count(const struct lane_table *table) { return table->count; }

uint32_t lane_table_pool_runs(const struct lane_table *table)
{
    return table->options.pool_runs_max;
}

uint32_t lane_table_pool_free(const struct lane_table *table) { return table->free_count; }

uint32_t lane_table_lane_runs_max(const struct lane_table *table)
{
    return table->options.lane_runs_max;
}

uint32_t lane_table_end(const struct lane_table *table) { return table->end; }

struct lane *lane_table_lanes(struct lane_table *table) { return table->lanes; }

static uint32_t slots_for(uint32_t lanes_max)
{
    uint32_t slots = 16;
    while (slots / 2 < lanes_max) { slots *= 2; }
    return slots;
}

static void table_fill(struct lane_table *table, uint32_t slot_count)
{
    const struct lane_table_options *const options = &table->options;
    memset(table->slots, 0xff, slot_count * sizeof *table->slots);
    for (uint32_t i = 0; i < options->lanes_max; i++) {
        table->free_lanes[i] = options->lanes_max - 1 - i; /* lane 0 is given first */
    }
    table->free_run = LANE_NONE;
    for (uint32_t i = options->pool_runs_max; i-- > 0;) { pool_give_back(table, i); }
}

enum status lane_table_create(const struct lane_table_options *options, struct lane_table **out)
{
    assert(options->lanes_max > 0 && options->lanes_max <= UINT32_MAX / 4);
    assert(options->lane_runs_max >= 2 && options->lane_runs_max <= LANE_FATE_RUNS_MAX);
    struct lane_table *const table = calloc(1, sizeof *table);
    if (table == NULL) { return STATUS_NO_MEMORY; }
    const uint32_t slot_count = slots_for(options->lanes_max);
    table->options = *options;
    table->slot_mask = slot_count - 1;
    table->lanes = large_array_create(options->lanes_max, sizeof *table->lanes);
    table->slots = aligned_alloc(LANE_LINE_BYTES, slot_count * sizeof *table->slots);
    table->free_lanes = malloc(options->lanes_max * sizeof *table->free_lanes);
    table->pool = malloc((options->pool_runs_max + 1) * sizeof *table->pool);
    if (table->lanes == NULL || table->slots == NULL || table->free_lanes == NULL ||
        table->pool == NULL) {
        lane_table_destroy(table);
        return STATUS_NO_MEMORY;
    }
    table_fill(table, slot_count);
    *out = table;
    return STATUS_OK;
}

void lane_table_destroy(struct lane_table *table)
{
    if (table == NULL) { return; }
    free(table->pool);
    free(table->free_lanes);
    free(table->slots);
    free(table->lanes);
    free(table);
}
