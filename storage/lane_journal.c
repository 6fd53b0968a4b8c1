#include "storage/lane_journal.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/invariant.h"

enum {
    RUN_NONE = -1,
    LANES_AHEAD = 8,         /* fetched before they are needed */
    LANES_LOOKED_MAX = 1024, /* by one slice of a checkpoint: many may be unused */
    COMMITS_MAX = CORE_LOG_IN_FLIGHT_MAX + 1,
};

/* Records in a row with the same fate, next to each other in the same topic. */
struct journal_run {
    uint32_t count;
    int32_t topic;
    uint32_t index; /* of the first, among the topic's records in the commit */
    int32_t next;   /* younger, of the same item; RUN_NONE: none */
    uint8_t fate;
};

/* What the open commit did to one lane. The youngest run is here, those before it chained. */
struct journal_item {
    alignas(LANE_LINE_BYTES) uint32_t lane; /* LANE_NONE: forgotten */
    uint32_t flags;
    uint64_t first_sequence;
    uint64_t unstored;
    uint32_t run_count;
    int32_t runs_head;
    int32_t runs_tail;
    uint32_t forgotten; /* LANE_FORGOTTEN: index of its state */
    struct journal_run youngest;
};
static_assert(sizeof(struct journal_item) == LANE_LINE_BYTES, "one line");

struct journal_move {
    uint64_t last_sequence;
    uint32_t lane;
};

struct journal_commit {
    uint64_t number;
    uint32_t move_count; /* not reaped yet */
};

/* Commits that moved lanes and are not reaped yet, and their moves: two queues. */
struct journal_in_flight {
    struct journal_move *moves;
    size_t capacity;
    size_t head;
    size_t count;
    struct journal_commit commits[COMMITS_MAX];
    size_t commits_head;
    size_t commits_count;
    uint32_t staged; /* moves of the commit between close and submitted */
};

struct journal_checkpoint {
    bool running;
    uint32_t cursor;   /* the next lane */
    uint64_t began;    /* number of the commit */
    uint64_t began_in; /* the segment that it was closed for; 0: none in this life */
};

struct lane_journal {
    struct lane_journal_options options;
    struct lane *lanes; /* the table's */
    size_t items_bytes; /* encoded */
    size_t items_bytes_max;
    struct journal_item *items;
    uint32_t item_count;
    struct journal_run *runs;
    int32_t run_count;
    struct lane_state *forgotten;
    uint32_t forgotten_count;
    struct lane_run *scratch; /* the runs of one item */
    struct journal_checkpoint checkpoint;
    struct journal_in_flight in_flight;
};

/* ------------------------------------------------------------------------------- open commit */

bool lane_journal_has_room(const struct lane_journal *journal)
{
    return lane_item_bytes(1) <= journal->items_bytes_max - journal->items_bytes;
}

bool lane_journal_is_empty(const struct lane_journal *journal) { return journal->item_count == 0; }

size_t lane_journal_reserve_bytes(const struct lane_journal *journal)
{
    return journal->options.entry_bytes_max;
}

/* The lane's item, made if there is none. */
static struct journal_item *item_of(struct lane_journal *journal, uint32_t index,
                                    uint64_t first_sequence)
{
    struct lane *const lane = &journal->lanes[index];
    if (LIKELY(lane->open_item != LANE_NONE)) { return &journal->items[lane->open_item]; }

    assert_hot(lane_journal_has_room(journal));
    lane->open_item = journal->item_count++;
    journal->items_bytes += lane_item_bytes(0);
    struct journal_item *const item = &journal->items[lane->open_item];
    *item = (struct journal_item){
        .lane = index,
        .first_sequence = first_sequence,
        .runs_head = RUN_NONE,
        .runs_tail = RUN_NONE,
    };
    return item;
}

/* Another run begins: the one before it joins the chain. */
static void item_begin_run(struct lane_journal *journal, struct journal_item *item,
                           struct journal_run run)
{
    if (item->run_count++ > 0) {
        const int32_t ended = journal->run_count++;
        journal->runs[ended] = item->youngest;
        if (item->runs_tail == RUN_NONE) {
            item->runs_head = ended;
        } else {
            journal->runs[item->runs_tail].next = ended;
        }
        item->runs_tail = ended;
    }
    item->youngest = run;
    journal->items_bytes += sizeof(struct lane_run_wire);
}

static bool run_goes_on(const struct journal_item *item, uint8_t fate, struct lane_place place,
                        uint32_t count)
{
    const struct journal_run *const run = &item->youngest;
    if (item->run_count == 0 || run->fate != fate || run->topic != place.topic) { return false; }
    if (place.topic != LOG_NO_TOPIC && place.index != run->index + run->count) { return false; }
    return count <= UINT32_MAX - run->count;
}

static bool journal_append(struct lane_journal *journal, uint32_t lane, uint8_t fate,
                           struct lane_place place, uint32_t count)
{
    assert_hot(lane_journal_has_room(journal));
    const uint64_t first_sequence = journal->lanes[lane].state.last_sequence + 1;
    if (UNLIKELY(!lane_fates_append(journal->options.table, lane, fate, count))) { return false; }
    struct journal_item *const item = item_of(journal, lane, first_sequence);
    assert_hot(item->flags == 0);
    if (LIKELY(run_goes_on(item, fate, place, count))) {
        item->youngest.count += count;
    } else {
        item_begin_run(journal, item,
                       (struct journal_run){count, place.topic, place.index, RUN_NONE, fate});
    }
    return true;
}

bool lane_journal_record(struct lane_journal *journal, uint32_t index, uint8_t fate,
                         struct lane_place place, uint32_t digest, int64_t wall_ms)
{
    assert_hot((fate == NATIVE_STORED) == (place.topic != LOG_NO_TOPIC));
    if (UNLIKELY(!journal_append(journal, index, fate, place, 1))) { return false; }

    struct lane *const lane = &journal->lanes[index];
    struct journal_item *const item = &journal->items[lane->open_item];
    lane->state.hash = native_hash_extend(lane->state.hash, digest);
    lane->state.active_wall_ms = wall_ms;
    item->unstored *= NATIVE_HASH_FACTOR;
    if (fate != NATIVE_STORED) { item->unstored += (uint64_t)digest + 1; }
    return true;
}

bool lane_journal_skip(struct lane_journal *journal, uint32_t lane, uint32_t count)
{
    assert(count > 0);
    return journal_append(journal, lane, NATIVE_LOST, (struct lane_place){LOG_NO_TOPIC, 0}, count);
}

bool lane_journal_touch(struct lane_journal *journal, uint32_t index, uint32_t flags)
{
    assert(lane_journal_has_room(journal));
    assert(flags == 0 || flags == LANE_IMPORTED);
    if (flags == LANE_IMPORTED) {
        const size_t fates_bytes =
            journal->lanes[index].run_count * sizeof(struct lane_run_wire) + lane_item_bytes(0);
        if (fates_bytes > journal->items_bytes_max - journal->items_bytes) { return false; }
    }
    struct journal_item *const item =
        item_of(journal, index, journal->lanes[index].state.last_sequence + 1);
    if (flags == LANE_IMPORTED && item->flags == 0) {
        assert(item->run_count == 0);
        item->flags = LANE_IMPORTED;
        journal->items_bytes += journal->lanes[index].run_count * sizeof(struct lane_run_wire);
    }
    return true;
}

void lane_journal_forget(struct lane_journal *journal, uint32_t index)
{
    assert(lane_journal_has_room(journal));
    struct lane *const lane = &journal->lanes[index];
    struct journal_item *const item = item_of(journal, index, lane->state.last_sequence + 1);
    assert(item->run_count == 0);
    item->flags = LANE_FORGOTTEN;
    item->lane = LANE_NONE;
    item->forgotten = journal->forgotten_count++;
    journal->forgotten[item->forgotten] = lane->state;
    lane->open_item = LANE_NONE;
    lane_table_remove(journal->options.table, index);
}

/* ------------------------------------------------------------------------------------- close */

static struct lane_run run_in_log(const struct lane_journal *journal, const struct journal_run *run)
{
    struct lane_run out = {.count = run->count, .fate = run->fate, .topic = run->topic};
    if (run->topic != LOG_NO_TOPIC) {
        out.base_offset = core_log_next_offset(journal->options.log, run->topic) + run->index;
    }
    return out;
}

static uint32_t gather_runs(struct lane_journal *journal, const struct journal_item *item)
{
    uint32_t count = 0;
    for (int32_t at = item->runs_head; at != RUN_NONE; at = journal->runs[at].next) {
        journal->scratch[count++] = run_in_log(journal, &journal->runs[at]);
    }
    if (item->run_count > 0) { journal->scratch[count++] = run_in_log(journal, &item->youngest); }
    assert(count == item->run_count);
    return count;
}

/* All that is not confirmed, without places. */
static uint32_t gather_fates(struct lane_journal *journal, uint32_t lane)
{
    uint32_t count = 0;
    struct lane_fate_walk walk = {0};
    struct lane_fates fates;
    while (lane_fates_next_appended(journal->options.table, lane, &walk, &fates)) {
        journal->scratch[count++] =
            (struct lane_run){.count = fates.count, .fate = fates.fate, .topic = LOG_NO_TOPIC};
    }
    return count;
}

static void encode_whole(struct lane_journal *journal, uint32_t index, uint32_t flags,
                         struct sink *out)
{
    const struct lane_state *const state = &journal->lanes[index].state;
    const struct lane_item item = {
        .state = *state,
        .first_sequence = state->confirmed + 1,
        .flags = flags,
        .run_count = gather_fates(journal, index),
    };
    lane_item_encode(&item, journal->scratch, out);
}

static void encode_forgotten(const struct lane_state *state, struct sink *out)
{
    const struct lane_item item = {
        .state = *state,
        .first_sequence = state->last_sequence + 1,
        .flags = LANE_FORGOTTEN,
    };
    lane_item_encode(&item, NULL, out);
}

static void encode_delta(struct lane_journal *journal, const struct journal_item *open,
                         struct sink *out)
{
    const struct lane_item item = {
        .state = journal->lanes[open->lane].state,
        .first_sequence = open->first_sequence,
        .unstored = open->unstored,
        .run_count = gather_runs(journal, open),
    };
    lane_item_encode(&item, journal->scratch, out);
}

/* The lane's part in this commit is over; its part in flight begins. */
static void item_close(struct lane_journal *journal, const struct journal_item *item)
{
    struct journal_in_flight *const in_flight = &journal->in_flight;
    struct lane *const lane = &journal->lanes[item->lane];
    lane->open_item = LANE_NONE;
    lane->in_flight++;
    assert(in_flight->count < in_flight->capacity);
    in_flight->moves[(in_flight->head + in_flight->count++) % in_flight->capacity] =
        (struct journal_move){lane->state.last_sequence, item->lane};
    in_flight->staged++;
}

static void close_items(struct lane_journal *journal, struct sink *out)
{
    for (uint32_t i = 0; i < journal->item_count; i++) {
        const struct journal_item *const item = &journal->items[i];
        if (i + LANES_AHEAD < journal->item_count) {
            prefetch(&journal->lanes[item[LANES_AHEAD].lane], sizeof(struct lane));
        }
        if (item->lane == LANE_NONE) {
            encode_forgotten(&journal->forgotten[item->forgotten], out);
            continue;
        }
        if (item->flags == LANE_IMPORTED) {
            encode_whole(journal, item->lane, LANE_IMPORTED, out);
        } else {
            encode_delta(journal, item, out);
        }
        item_close(journal, item);
    }
    journal->items_bytes = 0;
    journal->item_count = 0;
    journal->run_count = 0;
    journal->forgotten_count = 0;
}

/* A few more lanes. Behind the commit's own items: it counts as newer. */
static void encode_slice(struct lane_journal *journal, struct sink *out)
{
    struct journal_checkpoint *const checkpoint = &journal->checkpoint;
    const uint32_t end = lane_table_end(journal->options.table);
    size_t slice_bytes = 0;
    for (uint32_t looked = 0; looked < LANES_LOOKED_MAX && checkpoint->cursor < end; looked++) {
        const struct lane *const lane = &journal->lanes[checkpoint->cursor];
        if (lane->used) {
            const size_t item_bytes = lane_item_bytes(lane->run_count);
            const bool fits = slice_bytes + item_bytes <= journal->options.slice_bytes_max;
            if (!fits && slice_bytes > 0) { return; }
            slice_bytes += item_bytes;
            encode_whole(journal, checkpoint->cursor, LANE_CHECKPOINT, out);
        }
        checkpoint->cursor++;
    }
}

static void advance_checkpoint(struct lane_journal *journal, struct sink *out,
                               struct commit_facts *facts)
{
    struct journal_checkpoint *const checkpoint = &journal->checkpoint;
    const uint64_t segment = core_log_open_segment_number(journal->options.log);
    if (!checkpoint->running && checkpoint->began_in != segment) {
        checkpoint->running = true;
        checkpoint->cursor = 0;
        checkpoint->began = core_log_next_number(journal->options.log);
        checkpoint->began_in = segment;
        facts->lane_checkpoint_begins = true;
        /* The log's first: no lane stands before it, so it counts from the start. */
        if (core_log_lane_checkpoint(journal->options.log) == 0) {
            facts->lane_checkpoint = checkpoint->began;
        }
    }
    if (!checkpoint->running) { return; }

    encode_slice(journal, out);
    if (checkpoint->cursor >= lane_table_end(journal->options.table)) {
        checkpoint->running = false;
        facts->lane_checkpoint = checkpoint->began;
    }
}

void lane_journal_close(struct lane_journal *journal, struct commit_draft *draft,
                        struct commit_facts *facts)
{
    assert(journal->in_flight.staged == 0);
    facts->lane_checkpoint = 0;
    facts->lane_checkpoint_begins = false;
    struct sink out = core_log_entry_room(draft);
    close_items(journal, &out);
    advance_checkpoint(journal, &out, facts);
    assert(!out.overflowed);

    const struct bytes entry = sink_written(&out);
    assert(entry.len_bytes <= journal->options.entry_bytes_max);
    if (entry.len_bytes == 0) { return; }
    core_log_lanes_add(journal->options.log, draft, (uint32_t)entry.len_bytes, crc32c(entry));
}

void lane_journal_submitted(struct lane_journal *journal, uint64_t commit_number)
{
    struct journal_in_flight *const in_flight = &journal->in_flight;
    if (in_flight->staged == 0) { return; }
    assert(in_flight->commits_count < COMMITS_MAX); /* reap behind every turn */
    const size_t slot = (in_flight->commits_head + in_flight->commits_count++) % COMMITS_MAX;
    in_flight->commits[slot] = (struct journal_commit){commit_number, in_flight->staged};
    in_flight->staged = 0;
}

/* ----------------------------------------------------------------------------------- durable */

static uint32_t move_reap(struct lane_journal *journal)
{
    struct journal_in_flight *const in_flight = &journal->in_flight;
    const struct journal_move move = in_flight->moves[in_flight->head];
    const size_t ahead = (in_flight->head + LANES_AHEAD) % in_flight->capacity;
    prefetch(&journal->lanes[in_flight->moves[ahead].lane], sizeof(struct lane));
    in_flight->head = (in_flight->head + 1) % in_flight->capacity;
    in_flight->count--;

    struct lane *const lane = &journal->lanes[move.lane];
    assert_hot(lane->used && lane->in_flight > 0);
    assert_hot(move.last_sequence >= lane->durable_sequence);
    lane->in_flight--;
    lane->durable_sequence = move.last_sequence;
    return move.lane;
}

size_t lane_journal_reap(struct lane_journal *journal, uint64_t durable_number, uint32_t *out,
                         size_t capacity)
{
    struct journal_in_flight *const in_flight = &journal->in_flight;
    size_t count = 0;
    while (in_flight->commits_count > 0) {
        struct journal_commit *const oldest = &in_flight->commits[in_flight->commits_head];
        if (oldest->number > durable_number) { break; }
        for (; oldest->move_count > 0 && count < capacity; oldest->move_count--) {
            out[count++] = move_reap(journal);
        }
        if (oldest->move_count > 0) { break; }
        in_flight->commits_head = (in_flight->commits_head + 1) % COMMITS_MAX;
        in_flight->commits_count--;
    }
    return count;
}

/* -------------------------------------------------------------------------------- life cycle */

static void *allocate_touched(size_t count, size_t item_bytes)
{
    const size_t bytes = (count * item_bytes + LANE_LINE_BYTES) / LANE_LINE_BYTES * LANE_LINE_BYTES;
    void *const at = aligned_alloc(LANE_LINE_BYTES, bytes);
    if (at != NULL) { memset(at, 0, bytes); } /* its pages now, not with a record */
    return at;
}

static enum status journal_allocate(struct lane_journal *journal)
{
    const size_t items_max = journal->items_bytes_max / lane_item_bytes(0);
    const size_t runs_max = journal->items_bytes_max / sizeof(struct lane_run_wire);
    const size_t lane_runs_max = lane_table_lane_runs_max(journal->options.table);
    struct journal_in_flight *const in_flight = &journal->in_flight;
    in_flight->capacity = items_max * COMMITS_MAX;
    in_flight->moves = allocate_touched(in_flight->capacity, sizeof *in_flight->moves);
    journal->items = allocate_touched(items_max, sizeof *journal->items);
    journal->forgotten = allocate_touched(items_max, sizeof *journal->forgotten);
    journal->runs = allocate_touched(runs_max, sizeof *journal->runs);
    journal->scratch = allocate_touched(runs_max + lane_runs_max, sizeof *journal->scratch);
    const bool all = in_flight->moves != NULL && journal->items != NULL &&
                     journal->forgotten != NULL && journal->runs != NULL &&
                     journal->scratch != NULL;
    return all ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status lane_journal_create(const struct lane_journal_options *options,
                                struct lane_journal **out)
{
    const size_t lane_bytes = lane_item_bytes(lane_table_lane_runs_max(options->table));
    const size_t slice_bytes =
        options->slice_bytes_max > lane_bytes ? options->slice_bytes_max : lane_bytes;
    if (options->entry_bytes_max < slice_bytes + lane_bytes) { return STATUS_INVALID; }

    struct lane_journal *const journal = calloc(1, sizeof *journal);
    if (journal == NULL) { return STATUS_NO_MEMORY; }
    journal->options = *options;
    journal->lanes = lane_table_lanes(options->table);
    journal->items_bytes_max = options->entry_bytes_max - slice_bytes;
    const enum status status = journal_allocate(journal);
    if (status != STATUS_OK) {
        lane_journal_destroy(journal);
        return status;
    }
    *out = journal;
    return STATUS_OK;
}

void lane_journal_destroy(struct lane_journal *journal)
{
    if (journal == NULL) { return; }
    free(journal->scratch);
    free(journal->runs);
    free(journal->forgotten);
    free(journal->items);
    free(journal->in_flight.moves);
    free(journal);
}
