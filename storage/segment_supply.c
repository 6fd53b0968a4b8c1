#include "storage/segment_supply.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/entropy.h"
#include "base/mapped_file.h"
#include "base/random.h"
#include "wire/log_format.h"

/* A sealed segment's live index that waits for its removal. */
struct supply_expiry {
    uint64_t number;
    uint64_t due_ns;
};

/* A segment that was spent for nothing: its file is to go. */
struct supply_removal {
    uint32_t partition;
    uint64_t number;
};

/* One log's two hand-over places. `ready` and `returned` are each written by both sides, in turn:
 * the release that hands a segment over pairs with the other side's acquire. */
struct supply_log {
    uint32_t partition;
    bool added;
    uint64_t next_number;
    uint64_t retry_at_ns;
    _Atomic uint32_t trouble; /* enum status; told, not relied on: relaxed */

    _Atomic bool ready; /* true: `prepared` is the worker's to take */
    struct prepared_segment prepared;
    _Atomic bool returned; /* true: `given_back` is the helper's to clean up */
    struct prepared_segment given_back;
    /* Counts segment_supply_move; relaxed: what the worker takes tells how many it knew of. */
    _Atomic uint64_t moves_wanted;
    uint64_t moves;

    struct supply_expiry *expiries;
    size_t expiry_count;
    size_t expiry_capacity;
};

struct segment_supply {
    struct segment_supply_options options;
    size_t place_count;
    struct supply_log *logs;
    pthread_mutex_t mutex; /* guards what follows, up to the next blank line; no polling core's */
    struct supply_removal *removals;
    size_t removal_count;
    size_t removal_capacity;

    bool seeded;
    struct random random;
};

/* ------------------------------------------------------------------------------------ making */

/* False when the kernel gives no entropy yet: tried again like any other trouble. */
static bool supply_nonce(struct segment_supply *supply, struct log_id *out)
{
    if (!supply->seeded) { return entropy_fill(out->bytes, sizeof out->bytes) == STATUS_OK; }
    for (size_t i = 0; i < sizeof out->bytes; i++) {
        out->bytes[i] = (uint8_t)random_u64(&supply->random);
    }
    return true;
}

static void supply_index_path(const struct segment_supply *supply, uint32_t partition,
                              uint64_t number, char out[PATH_MAX])
{
    char name[LIVE_INDEX_NAME_BYTES];
    live_index_file_name(partition, number, name);
    const int len = snprintf(out, PATH_MAX, "%s/%s", supply->options.runtime, name);
    assert(len > 0 && len < PATH_MAX); /* segment_supply_create refused longer directories */
}

static enum status supply_create_index(const struct segment_supply *supply, uint32_t partition,
                                       uint64_t number, size_t size_bytes, struct mapped_file *out)
{
    if (supply->options.runtime == NULL) { return mapped_file_create_private(size_bytes, out); }
    char path[PATH_MAX];
    supply_index_path(supply, partition, number, path);
    return mapped_file_create(path, size_bytes, out);
}

static void supply_remove_index(const struct segment_supply *supply, uint32_t partition,
                                uint64_t number)
{
    if (supply->options.runtime == NULL) { return; }
    char path[PATH_MAX];
    supply_index_path(supply, partition, number, path);
    (void)unlink(path); /* memory of a tmpfs; the next start sweeps what stays */
}

static void supply_remove_segment(const struct segment_supply *supply, uint32_t partition,
                                  uint64_t number)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(partition, number, name);
    /* One that stays is a spare to recovery, which removes it at the next start. */
    const enum status ignored = files_remove(supply->options.files, name);
    (void)ignored;
    supply_remove_index(supply, partition, number);
}

/* By whoever calls segment_supply_remove: a disk that hangs must not hold up the next segment. */
static void supply_remove_later(struct segment_supply *supply, uint32_t partition, uint64_t number)
{
    pthread_mutex_lock(&supply->mutex);
    if (supply->removal_count == supply->removal_capacity) {
        const size_t capacity = supply->removal_capacity == 0 ? 16 : supply->removal_capacity * 2;
        struct supply_removal *const grown =
            realloc(supply->removals, capacity * sizeof *supply->removals);
        if (grown != NULL) { /* else it is a spare to recovery */
            supply->removals = grown;
            supply->removal_capacity = capacity;
        }
    }
    if (supply->removal_count < supply->removal_capacity) {
        supply->removals[supply->removal_count++] = (struct supply_removal){partition, number};
    }
    pthread_mutex_unlock(&supply->mutex);
}

bool segment_supply_remove(struct segment_supply *supply)
{
    struct supply_removal removal;
    pthread_mutex_lock(&supply->mutex);
    const bool due = supply->removal_count > 0;
    if (due) { removal = supply->removals[--supply->removal_count]; }
    pthread_mutex_unlock(&supply->mutex);
    if (due) { supply_remove_segment(supply, removal.partition, removal.number); }
    return due;
}

static void supply_close(const struct segment_supply *supply, struct prepared_segment *segment)
{
    struct mapped_file index = {(uint8_t *)segment->index, segment->index_size_bytes, 0};
    mapped_file_close(&index);
    files_close(supply->options.files, segment->file);
}

/* A disk that is about to be full is a planned state: what was opened can still be sealed, what a
 * crash leaves recovered, and the file system keeps room for its own. */
static enum status supply_check_reserve(const struct segment_supply *supply, uint32_t partition)
{
    uint64_t free_bytes;
    const uint64_t reserve_bytes = supply->options.reserve_bytes;
    if (reserve_bytes == 0) { return STATUS_OK; }
    const enum status status = files_space(supply->options.files, partition, &free_bytes);
    if (status != STATUS_OK) { return status; }
    if (free_bytes < reserve_bytes) { return STATUS_NO_SPACE; }
    const bool fits = supply->options.segment_bytes <= free_bytes - reserve_bytes;
    return fits ? STATUS_OK : STATUS_NO_SPACE;
}

static enum status supply_prepare(struct segment_supply *supply, struct supply_log *log)
{
    struct prepared_segment segment = {
        .number = log->next_number,
        .capacity_bytes = supply->options.segment_bytes,
        .index_size_bytes = live_index_file_bytes(supply->options.index_bytes),
    };
    if (!supply_nonce(supply, &segment.nonce)) { return STATUS_BUSY; }
    enum status status = supply_check_reserve(supply, log->partition);
    if (status != STATUS_OK) { return status; }

    char name[LOG_NAME_BYTES];
    log_segment_name(log->partition, segment.number, name);
    status = files_create(supply->options.files, name, segment.capacity_bytes, &segment.file);
    if (status == STATUS_EXISTS && log->next_number < UINT64_MAX) {
        log->next_number++; /* someone else's: never touched */
    }
    if (status != STATUS_OK) { return status; }
    segment.begin = files_begin(supply->options.files, segment.file);

    struct mapped_file index;
    status = supply_create_index(supply, log->partition, segment.number, segment.index_size_bytes,
                                 &index);
    if (status != STATUS_OK) {
        files_close(supply->options.files, segment.file);
        supply_remove_segment(supply, log->partition, segment.number);
        return status;
    }
    segment.index = (struct live_index_header *)index.at;
    segment.place = (uint32_t)files_place(supply->options.files, log->partition).index;
    segment.moves = log->moves;
    live_index_init(segment.index, supply->options.index_bytes);

    log->prepared = segment;
    log->next_number++;
    atomic_store_explicit(&log->ready, true, memory_order_release);
    return STATUS_OK;
}

/* Behind the numbers that are taken. */
static enum status supply_prepare_here(struct segment_supply *supply, struct supply_log *log)
{
    enum { TAKEN_NUMBERS_MAX = 64 }; /* a turn; the next one goes on behind them */
    enum status status = STATUS_EXISTS;
    for (int i = 0; status == STATUS_EXISTS && i < TAKEN_NUMBERS_MAX; i++) {
        status = supply_prepare(supply, log);
    }
    return status;
}

static bool is_trouble(enum status status)
{
    return status != STATUS_OK && status != STATUS_EXISTS;
}

static bool supply_prepare_due(struct segment_supply *supply, struct supply_log *log,
                               uint64_t now_ns)
{
    if (!log->added) { return false; }
    if (atomic_load_explicit(&log->ready, memory_order_acquire)) { return false; }
    const uint64_t moves = atomic_load_explicit(&log->moves_wanted, memory_order_relaxed);
    if (now_ns < log->retry_at_ns && moves == log->moves) { return false; }

    for (; log->moves < moves; log->moves++) {
        (void)files_change_place(supply->options.files, log->partition);
    }
    enum status status = supply_prepare_here(supply, log);
    /* A path that refuses to make a segment is left for the next one at once. */
    for (size_t tried = 1; tried < supply->place_count && is_trouble(status); tried++) {
        (void)files_change_place(supply->options.files, log->partition);
        status = supply_prepare_here(supply, log);
    }
    atomic_store_explicit(&log->trouble, (uint32_t)status, memory_order_relaxed);
    log->retry_at_ns = status == STATUS_OK ? 0 : now_ns + NS_PER_S;
    return status == STATUS_OK;
}

/* ----------------------------------------------------------------------------------- cleaning */

static void supply_expire_later(struct supply_log *log, uint64_t number, uint64_t due_ns)
{
    if (log->expiry_count == log->expiry_capacity) {
        const size_t capacity = log->expiry_capacity == 0 ? 64 : log->expiry_capacity * 2;
        struct supply_expiry *const grown =
            realloc(log->expiries, capacity * sizeof *log->expiries);
        if (grown == NULL) { return; } /* the index stays until the next start sweeps it */
        log->expiries = grown;
        log->expiry_capacity = capacity;
    }
    log->expiries[log->expiry_count++] = (struct supply_expiry){number, due_ns};
}

static bool supply_clean_returned(struct segment_supply *supply, struct supply_log *log,
                                  uint64_t now_ns)
{
    if (!atomic_load_explicit(&log->returned, memory_order_acquire)) { return false; }
    struct prepared_segment segment = log->given_back;
    atomic_store_explicit(&log->returned, false, memory_order_release);

    const uint32_t state = atomic_load_explicit(&segment.index->state, memory_order_relaxed);
    supply_close(supply, &segment);
    if (segment.spent_for_nothing) {
        supply_remove_later(supply, log->partition, segment.number);
    } else if (state == LIVE_INDEX_SEALED) {
        supply_expire_later(log, segment.number, now_ns + supply->options.grace_ns);
    }
    return true;
}

static bool supply_expire_due(const struct segment_supply *supply, struct supply_log *log,
                              uint64_t now_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < log->expiry_count; i++) {
        const struct supply_expiry expiry = log->expiries[i];
        if (expiry.due_ns > now_ns) {
            log->expiries[kept++] = expiry;
        } else {
            supply_remove_index(supply, log->partition, expiry.number);
        }
    }
    const bool removed = kept < log->expiry_count;
    log->expiry_count = kept;
    return removed;
}

bool segment_supply_work_log(struct segment_supply *supply, size_t index, uint64_t now_ns)
{
    assert(index < supply->options.log_count);
    struct supply_log *const log = &supply->logs[index];
    bool worked = supply_clean_returned(supply, log, now_ns);
    worked |= supply_prepare_due(supply, log, now_ns);
    worked |= supply_expire_due(supply, log, now_ns);
    return worked;
}

bool segment_supply_work(struct segment_supply *supply, uint64_t now_ns)
{
    bool worked = false;
    for (size_t i = 0; i < supply->options.log_count; i++) {
        worked |= segment_supply_work_log(supply, i, now_ns);
    }
    while (segment_supply_remove(supply)) { worked = true; }
    return worked;
}

/* ----------------------------------------------------------------------------- the worker's side
 */

/* What was prepared on the path that is not wanted any more goes back unused. */
COLD static void supply_decline(struct segment_supply *supply, size_t index)
{
    struct supply_log *const log = &supply->logs[index];
    log->prepared.spent_for_nothing = true;
    if (segment_supply_give_back(supply, index, &log->prepared) != STATUS_OK) {
        return; /* at the next try */
    }
    atomic_store_explicit(&log->ready, false, memory_order_release);
}

enum status segment_supply_take(struct segment_supply *supply, size_t index,
                                struct prepared_segment *out)
{
    assert(index < supply->options.log_count);
    struct supply_log *const log = &supply->logs[index];
    if (!atomic_load_explicit(&log->ready, memory_order_acquire)) { return STATUS_BUSY; }
    if (log->prepared.moves < atomic_load_explicit(&log->moves_wanted, memory_order_relaxed)) {
        supply_decline(supply, index);
        return STATUS_BUSY;
    }
    *out = log->prepared;
    atomic_store_explicit(&log->ready, false, memory_order_release);
    return STATUS_OK;
}

enum status segment_supply_give_back(struct segment_supply *supply, size_t index,
                                     const struct prepared_segment *segment)
{
    assert(index < supply->options.log_count);
    struct supply_log *const log = &supply->logs[index];
    if (atomic_load_explicit(&log->returned, memory_order_acquire)) { return STATUS_BUSY; }
    log->given_back = *segment;
    atomic_store_explicit(&log->returned, true, memory_order_release);
    return STATUS_OK;
}

/* --------------------------------------------------------------------------------- life cycle */

enum status segment_supply_create(const struct segment_supply_options *options,
                                  struct segment_supply **out)
{
    assert(options->log_count > 0);
    assert(options->index_bytes > 0);
    assert(options->segment_bytes % LOG_BLOCK_BYTES == 0);
    if (options->runtime != NULL &&
        strlen(options->runtime) > PATH_MAX - LIVE_INDEX_NAME_BYTES - 1) {
        return STATUS_INVALID;
    }

    struct segment_supply *const supply = calloc(1, sizeof *supply);
    if (supply == NULL) { return STATUS_NO_MEMORY; }
    supply->options = *options;
    pthread_mutex_init(&supply->mutex, NULL);
    supply->place_count = files_place(options->files, 0).count;
    supply->logs = calloc(options->log_count, sizeof *supply->logs);
    if (supply->logs == NULL) {
        free(supply);
        return STATUS_NO_MEMORY;
    }
    *out = supply;
    return STATUS_OK;
}

void segment_supply_destroy(struct segment_supply *supply)
{
    if (supply == NULL) { return; }
    for (size_t i = 0; i < supply->options.log_count; i++) {
        struct supply_log *const log = &supply->logs[i];
        (void)supply_clean_returned(supply, log, 0);
        (void)supply_expire_due(supply, log, UINT64_MAX);
        free(log->expiries);
        if (!atomic_load_explicit(&log->ready, memory_order_acquire)) { continue; }
        supply_close(supply, &log->prepared);
        supply_remove_segment(supply, log->partition, log->prepared.number);
    }
    while (segment_supply_remove(supply)) {}
    pthread_mutex_destroy(&supply->mutex);
    free(supply->removals);
    free(supply->logs);
    free(supply);
}

void segment_supply_add_log(struct segment_supply *supply, size_t index, uint32_t partition,
                            uint64_t next_number)
{
    assert(index < supply->options.log_count);
    assert(next_number > 0);
    supply->logs[index].partition = partition;
    supply->logs[index].next_number = next_number;
    supply->logs[index].added = true;
}

void segment_supply_seed(struct segment_supply *supply, uint64_t seed)
{
    supply->seeded = true;
    supply->random = random_seed(seed);
}

void segment_supply_move(struct segment_supply *supply, size_t index)
{
    assert(index < supply->options.log_count);
    atomic_fetch_add_explicit(&supply->logs[index].moves_wanted, 1, memory_order_relaxed);
}

size_t segment_supply_place_count(const struct segment_supply *supply)
{
    return supply->place_count;
}

uint64_t segment_supply_segment_bytes(const struct segment_supply *supply)
{
    return supply->options.segment_bytes;
}

uint32_t segment_supply_index_bytes(const struct segment_supply *supply)
{
    return supply->options.index_bytes;
}

enum status segment_supply_trouble(const struct segment_supply *supply, size_t index)
{
    assert(index < supply->options.log_count);
    const struct supply_log *const log = &supply->logs[index];
    return (enum status)atomic_load_explicit(&log->trouble, memory_order_relaxed);
}
