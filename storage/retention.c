#include "storage/retention.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "wire/log_format.h"

enum {
    STEPS_MAX = 16,
    STEP_TOLERANCE_MS = 1000, /* less is a clock being slewed, or two reads apart */
};

struct kept_segment {
    uint64_t number;
    uint64_t size_bytes;
};

/* What a run found of one partition. */
struct kept_partition {
    bool present;
    struct kept_segment *segments; /* by number; retired ones are not among them */
    size_t count;
    size_t capacity;
    size_t first;           /* index of the oldest that is not retired in this run */
    uint64_t newest_sealed; /* 0: none: nothing may go */
    uint64_t lane_floor;    /* 0: none */
    uint64_t facts_of;      /* number that the facts below are of; kept from run to run */
    int64_t newest_wall_ms; /* INT64_MIN: nobody knows */
    uint64_t record_count;
};

struct retired_segment {
    uint32_t partition;
    uint64_t number;
    uint64_t due_ns;
};

struct clock_step {
    int64_t before_wall_ms; /* what was written up to here looks older by forward_ms */
    int64_t forward_ms;
};

struct retention {
    struct retention_options options;
    struct kept_partition partitions[ROOT_PARTITIONS_MAX];
    struct retired_segment *retired;
    size_t retired_count;
    size_t retired_capacity;
    bool ran;
    struct instant last;
    int64_t last_step_ms;
    struct clock_step steps[STEPS_MAX];
    size_t step_count;
};

struct looked_segment {
    int file;
    struct segment_scan *scan;
};

/* --------------------------------------------------------------------------------------- clocks */

static void note_clock_step(struct retention *retention, struct instant now)
{
    retention->last_step_ms = 0;
    if (retention->ran) {
        const int64_t wall_ms = now.wall_ms - retention->last.wall_ms;
        const int64_t mono_ms = (int64_t)((now.mono_ns - retention->last.mono_ns) / NS_PER_MS);
        const int64_t step_ms = wall_ms - mono_ms;
        if (step_ms > STEP_TOLERANCE_MS || step_ms < -STEP_TOLERANCE_MS) {
            retention->last_step_ms = step_ms;
        }
    }
    if (retention->last_step_ms > 0) {
        if (retention->step_count == STEPS_MAX) { /* the two oldest become one */
            struct clock_step *const steps = retention->steps;
            steps[1].forward_ms += steps[0].forward_ms;
            memmove(&steps[0], &steps[1], (STEPS_MAX - 1) * sizeof *steps);
            retention->step_count--;
        }
        retention->steps[retention->step_count++] =
            (struct clock_step){retention->last.wall_ms, retention->last_step_ms};
    }
    retention->ran = true;
    retention->last = now;
}

static int64_t age_ms_of(const struct retention *retention, int64_t wall_ms)
{
    int64_t age_ms = retention->last.wall_ms - wall_ms;
    for (size_t i = 0; i < retention->step_count; i++) {
        /* Commits of the run before the step may be a tolerance younger than that run. */
        if (wall_ms <= retention->steps[i].before_wall_ms + STEP_TOLERANCE_MS) {
            age_ms -= retention->steps[i].forward_ms;
        }
    }
    return age_ms;
}

/* ---------------------------------------------------------------------------------------- facts */

/* Its header and trailer, read and checked; false: a spare, gone, or unreadable. */
static bool segment_look(const struct retention *retention, uint32_t partition, uint64_t number,
                         struct looked_segment *out)
{
    char name[LOG_NAME_BYTES];
    uint64_t size_bytes;
    log_segment_name(partition, number, name);
    const struct files files = retention->options.files;
    if (files_open(files, name, FILES_READ, &out->file, &size_bytes) != STATUS_OK) { return false; }
    if (segment_scan_create(files, out->file, size_bytes, &out->scan) == STATUS_OK) { return true; }
    files_close(files, out->file);
    return false;
}

static void segment_look_end(const struct retention *retention, struct looked_segment *looked)
{
    segment_scan_destroy(looked->scan);
    files_close(retention->options.files, looked->file);
}

static bool segment_is_sealed(const struct retention *retention, uint32_t partition,
                              uint64_t number)
{
    struct looked_segment looked;
    struct segment_trailer trailer;
    if (!segment_look(retention, partition, number, &looked)) { return false; }
    const bool sealed = segment_scan_trailer(looked.scan, &trailer) == STATUS_OK;
    segment_look_end(retention, &looked);
    return sealed;
}

/* Into the facts of the partition; false when there is no footer that holds. */
static bool footer_learn(struct segment_scan *scan, struct kept_partition *partition)
{
    struct scanned_commit commit;
    struct segment_footer footer;
    if (segment_scan_footer(scan, &commit) != STATUS_OK) { return false; }
    if (segment_footer_open(commit.bytes, &commit.header, &footer) != STATUS_OK) { return false; }
    for (size_t i = 0; i < segment_footer_anchor_count(&footer); i++) {
        struct index_anchor anchor;
        if (segment_footer_anchor(&footer, i, &anchor) != STATUS_OK) { return false; }
        partition->record_count += anchor.record_count;
    }
    partition->newest_wall_ms = commit.header.wall_ms;
    return true;
}

/* When the segment was opened. */
static bool created_learn(const struct retention *retention, uint32_t partition, uint64_t number,
                          int64_t *out_wall_ms)
{
    struct looked_segment looked;
    if (!segment_look(retention, partition, number, &looked)) { return false; }
    *out_wall_ms = segment_scan_header(looked.scan)->created_wall_ms;
    segment_look_end(retention, &looked);
    return true;
}

/* Facts of the partition's oldest segment: read once, while it is the oldest. */
static void learn_oldest(struct retention *retention, uint32_t number_of_partition)
{
    struct kept_partition *const partition = &retention->partitions[number_of_partition];
    const uint64_t number = partition->segments[partition->first].number;
    if (partition->facts_of == number) { return; }
    partition->facts_of = number;
    partition->newest_wall_ms = INT64_MIN;
    partition->record_count = 0;

    bool known = false;
    struct looked_segment looked;
    if (segment_look(retention, number_of_partition, number, &looked)) {
        known = footer_learn(looked.scan, partition);
        segment_look_end(retention, &looked);
    }
    for (size_t i = partition->first + 1; !known && i < partition->count; i++) {
        known = created_learn(retention, number_of_partition, partition->segments[i].number,
                              &partition->newest_wall_ms);
    }
}

/* -------------------------------------------------------------------------------------- listing */

static void on_partition_found(void *context, uint32_t partition)
{
    struct retention *const retention = context;
    if (partition < ROOT_PARTITIONS_MAX) { retention->partitions[partition].present = true; }
}

static void on_segment_found(void *context, uint64_t number, uint64_t size_bytes)
{
    struct kept_partition *const partition = context;
    if (partition->count == partition->capacity) {
        const size_t capacity = partition->capacity == 0 ? 64 : partition->capacity * 2;
        struct kept_segment *const grown =
            realloc(partition->segments, capacity * sizeof *partition->segments);
        if (grown == NULL) { return; } /* seen at a later run */
        partition->segments = grown;
        partition->capacity = capacity;
    }
    partition->segments[partition->count++] = (struct kept_segment){number, size_bytes};
}

static int by_number(const void *left, const void *right)
{
    const uint64_t a = ((const struct kept_segment *)left)->number;
    const uint64_t b = ((const struct kept_segment *)right)->number;
    return a < b ? -1 : a > b;
}

static void retired_add(struct retention *retention, uint32_t partition, uint64_t number)
{
    if (retention->retired_count == retention->retired_capacity) {
        const size_t capacity =
            retention->retired_capacity == 0 ? 64 : retention->retired_capacity * 2;
        struct retired_segment *const grown =
            realloc(retention->retired, capacity * sizeof *retention->retired);
        if (grown == NULL) { return; } /* found again, below first_segment_number, at a later run */
        retention->retired = grown;
        retention->retired_capacity = capacity;
    }
    retention->retired[retention->retired_count++] = (struct retired_segment){
        partition, number, retention->last.mono_ns + retention->options.grace_ns};
}

static bool is_retired(const struct retention *retention, uint32_t partition, uint64_t number)
{
    for (size_t i = 0; i < retention->retired_count; i++) {
        const struct retired_segment *const retired = &retention->retired[i];
        if (retired->partition == partition && retired->number == number) { return true; }
    }
    return false;
}

/* Splits what is there into kept and retired (some by an earlier process, or by the root page). */
static void look_at_partition(struct retention *retention, uint32_t number)
{
    struct kept_partition *const partition = &retention->partitions[number];
    const struct root_partition *const slot = &retention->options.root->partitions[number];
    partition->count = 0;
    partition->first = 0;
    partition->newest_sealed = 0;
    const enum status status =
        files_list_segments(retention->options.files, number, on_segment_found, partition);
    if (status != STATUS_OK) { partition->count = 0; }
    if (partition->count == 0) { return; }
    qsort(partition->segments, partition->count, sizeof *partition->segments, by_number);

    const uint64_t first = atomic_load_explicit(&slot->first_segment_number, memory_order_acquire);
    size_t kept = 0;
    for (size_t i = 0; i < partition->count; i++) {
        const struct kept_segment segment = partition->segments[i];
        if (segment.number >= first) {
            partition->segments[kept++] = segment;
        } else if (!is_retired(retention, number, segment.number)) {
            retired_add(retention, number, segment.number);
        }
    }
    partition->count = kept;
    partition->lane_floor = atomic_load_explicit(&slot->lane_floor, memory_order_acquire);
    for (size_t i = kept; i-- > 0 && partition->newest_sealed == 0;) {
        if (segment_is_sealed(retention, number, partition->segments[i].number)) {
            partition->newest_sealed = partition->segments[i].number;
        }
    }
}

static uint64_t look_at_everything(struct retention *retention)
{
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) { retention->partitions[i].present = false; }
    const enum status status =
        files_list_partitions(retention->options.files, on_partition_found, retention);
    uint64_t total_bytes = 0;
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        struct kept_partition *const partition = &retention->partitions[i];
        if (status != STATUS_OK) { partition->present = false; }
        if (!partition->present) { continue; }
        look_at_partition(retention, i);
        for (size_t k = 0; k < partition->count; k++) {
            total_bytes += partition->segments[k].size_bytes;
        }
    }
    return total_bytes;
}

/* ------------------------------------------------------------------------------------- retiring */

/* Whether the partition has a segment that may go; its facts are known then. */
static bool has_candidate(struct retention *retention, uint32_t index)
{
    struct kept_partition *const partition = &retention->partitions[index];
    if (!partition->present || partition->first >= partition->count) { return false; }
    const uint64_t number = partition->segments[partition->first].number;
    if (number >= partition->newest_sealed) { return false; }
    if (partition->lane_floor > 0 && number >= partition->lane_floor) { return false; }
    learn_oldest(retention, index);
    return true;
}

/* Answers the bytes that will come back. */
static uint64_t retire_oldest(struct retention *retention, uint32_t number)
{
    struct kept_partition *const partition = &retention->partitions[number];
    const struct kept_segment segment = partition->segments[partition->first++];
    assert(segment.number < partition->newest_sealed);
    assert(partition->facts_of == segment.number);

    struct root_page *const root = retention->options.root;
    atomic_store_explicit(&root->partitions[number].first_segment_number, segment.number + 1,
                          memory_order_release);
    atomic_fetch_add_explicit(&root->segments_generation, 1, memory_order_release);
    retired_add(retention, number, segment.number);

    struct node_page *const node = retention->options.node;
    node->entries_expired += partition->record_count;
    node->segments_expired++;
    node->expired_bytes += segment.size_bytes;
    return segment.size_bytes;
}

static size_t retire_by_age(struct retention *retention, uint64_t *total_bytes)
{
    const int64_t limit_ms = (int64_t)(retention->options.retain_age_ns / NS_PER_MS);
    size_t retired = 0;
    if (retention->options.retain_age_ns == 0) { return 0; }
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        while (has_candidate(retention, i)) {
            const int64_t wall_ms = retention->partitions[i].newest_wall_ms;
            if (wall_ms == INT64_MIN || age_ms_of(retention, wall_ms) <= limit_ms) { break; }
            *total_bytes -= retire_oldest(retention, i);
            retired++;
        }
    }
    return retired;
}

static size_t retire_by_bytes(struct retention *retention, uint64_t total_bytes)
{
    size_t retired = 0;
    if (retention->options.retain_bytes == 0) { return 0; }
    while (total_bytes > retention->options.retain_bytes) {
        int64_t oldest_wall_ms = INT64_MAX;
        uint32_t oldest = ROOT_PARTITIONS_MAX;
        for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
            if (!has_candidate(retention, i)) { continue; }
            if (retention->partitions[i].newest_wall_ms >= oldest_wall_ms) { continue; }
            oldest_wall_ms = retention->partitions[i].newest_wall_ms;
            oldest = i;
        }
        if (oldest == ROOT_PARTITIONS_MAX) { break; } /* what is left must stay */
        total_bytes -= retire_oldest(retention, oldest);
        retired++;
    }
    return retired;
}

static size_t remove_due(struct retention *retention)
{
    size_t kept = 0;
    size_t removed = 0;
    for (size_t i = 0; i < retention->retired_count; i++) {
        const struct retired_segment retired = retention->retired[i];
        char name[LOG_NAME_BYTES];
        log_segment_name(retired.partition, retired.number, name);
        enum status status = STATUS_BUSY;
        if (retired.due_ns <= retention->last.mono_ns) {
            status = files_remove(retention->options.files, name);
        }
        if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
            removed++;
        } else {
            retention->retired[kept++] = retired; /* not due, or refused: again at the next run */
        }
    }
    retention->retired_count = kept;
    return removed;
}

size_t retention_run(struct retention *retention, struct instant now)
{
    note_clock_step(retention, now);
    uint64_t total_bytes = look_at_everything(retention);
    size_t changed = retire_by_age(retention, &total_bytes);
    changed += retire_by_bytes(retention, total_bytes);
    return changed + remove_due(retention);
}

int64_t retention_clock_step_ms(const struct retention *retention)
{
    return retention->last_step_ms;
}

/* ----------------------------------------------------------------------------------- life cycle */

enum status retention_create(const struct retention_options *options, struct retention **out)
{
    struct retention *const retention = calloc(1, sizeof *retention);
    if (retention == NULL) { return STATUS_NO_MEMORY; }
    retention->options = *options;
    *out = retention;
    return STATUS_OK;
}

void retention_destroy(struct retention *retention)
{
    if (retention == NULL) { return; }
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) { free(retention->partitions[i].segments); }
    free(retention->retired);
    free(retention);
}
