#include "storage/retention.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "storage/age_clock.h"
#include "storage/headroom.h"
#include "storage/segment_look.h"
#include "wire/log_format.h"

static const uint64_t hurried_grace_ns = NS_PER_S;
/* Between two runs, at least and at most: what comes meanwhile needs room. */
static const uint64_t period_ns_min = NS_PER_S;
static const uint64_t period_ns_max = 30 * (uint64_t)NS_PER_S;

struct kept_segment {
    uint64_t number;
    uint64_t size_bytes;
};

/* What a run found of one partition. */
struct kept_partition {
    bool present;
    uint32_t path;
    struct kept_segment *segments; /* by number; retired ones are not among them */
    uint64_t *numbers;             /* the same, as topic_expiry wants them */
    size_t count;
    size_t capacity;
    size_t first;            /* index of the oldest that is not retired in this run */
    uint64_t newest_sealed;  /* 0: none: nothing may go */
    uint64_t lane_floor;     /* 0: none */
    uint64_t wall_of;        /* number that newest_wall_ms is of; kept from run to run */
    int64_t newest_wall_ms;  /* INT64_MIN: nobody knows */
    uint64_t sealed_wall_of; /* number that sealed_wall_ms is of: the newest sealed */
    int64_t sealed_wall_ms;
    uint64_t emptied; /* the newest sealed one whose records all expired in place */
    struct headroom_rate written;
};

struct retired_segment {
    uint32_t partition;
    uint32_t path;
    uint64_t number;
    uint64_t size_bytes;
    uint64_t retired_ns;
};

struct kept_path {
    bool used;
    bool low;
    uint64_t free_bytes;
    uint64_t retired_bytes; /* they come back within the grace time */
    uint64_t expired_bytes; /* since this process began */
    struct headroom_rate expired;
};

struct retention {
    struct retention_options options;
    struct topic_expiry *topics;
    struct age_clock clock;
    uint64_t period_ns; /* as the last two runs were apart: removals of a slow disk take long */
    struct kept_partition partitions[ROOT_PARTITIONS_MAX];
    struct kept_path paths[NODE_PATHS_MAX];
    struct retired_segment *retired;
    size_t retired_count;
    size_t retired_capacity;
    uint64_t kept_bytes; /* of all partitions, what retires meanwhile taken off */
    uint64_t retired_bytes;
};

/* ---------------------------------------------------------------------------------------- facts */

static bool segment_is_sealed(const struct retention *retention, uint32_t partition,
                              uint64_t number)
{
    struct segment_look look;
    struct segment_trailer trailer;
    if (segment_look_begin(retention->options.files, partition, number, &look) != STATUS_OK) {
        return false;
    }
    const bool sealed = segment_scan_trailer(look.scan, &trailer) == STATUS_OK;
    segment_look_end(&look);
    return sealed;
}

static bool footer_wall(const struct retention *retention, uint32_t partition, uint64_t number,
                        int64_t *out_wall_ms)
{
    struct segment_look look;
    struct scanned_commit commit;
    if (segment_look_begin(retention->options.files, partition, number, &look) != STATUS_OK) {
        return false;
    }
    const bool holds = segment_scan_footer(look.scan, &commit) == STATUS_OK;
    if (holds) { *out_wall_ms = commit.header.wall_ms; }
    segment_look_end(&look);
    return holds;
}

/* When the segment was opened. */
static bool created_wall(const struct retention *retention, uint32_t partition, uint64_t number,
                         int64_t *out_wall_ms)
{
    struct segment_look look;
    if (segment_look_begin(retention->options.files, partition, number, &look) != STATUS_OK) {
        return false;
    }
    *out_wall_ms = segment_scan_header(look.scan)->created_wall_ms;
    segment_look_end(&look);
    return true;
}

/* Of the partition's oldest segment: read once, while it is the oldest. */
static void learn_oldest(struct retention *retention, uint32_t number_of_partition)
{
    struct kept_partition *const partition = &retention->partitions[number_of_partition];
    const uint64_t number = partition->segments[partition->first].number;
    if (partition->wall_of == number) { return; }
    partition->wall_of = number;
    partition->newest_wall_ms = INT64_MIN;

    bool known = footer_wall(retention, number_of_partition, number, &partition->newest_wall_ms);
    for (size_t i = partition->first + 1; !known && i < partition->count; i++) {
        known = created_wall(retention, number_of_partition, partition->segments[i].number,
                             &partition->newest_wall_ms);
    }
}

/* Where the topic begins by limits of its own: records before were counted when they expired. */
static uint64_t topic_start(const struct retention *retention, uint32_t partition, int32_t topic)
{
    const struct retention_options *const options = &retention->options;
    if (options->starts == NULL || options->starts[partition] == NULL) { return 0; }
    if (topic < 0 || topic >= LOG_TOPICS_MAX) { return 0; }
    return atomic_load_explicit(&options->starts[partition]->starts[topic], memory_order_relaxed);
}

/* Records that go with the segment; 0 when its footer cannot be read. */
static uint64_t segment_records(const struct retention *retention, uint32_t partition,
                                uint64_t number)
{
    struct segment_look look;
    struct segment_footer footer;
    struct commit_header header;
    uint64_t records = 0;
    enum status status = STATUS_CORRUPT;
    if (segment_look_begin(retention->options.files, partition, number, &look) != STATUS_OK) {
        return 0;
    }
    if (segment_look_footer(&look, &footer, &header) == STATUS_OK) {
        struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
        struct index_entry entry;
        while ((status = segment_footer_walk_next(&walk, &entry)) == STATUS_OK) {
            if (entry.base_offset < topic_start(retention, partition, entry.topic)) { continue; }
            records += entry.record_count;
        }
    }
    segment_look_end(&look);
    return status == STATUS_NOT_FOUND ? records : 0;
}

/* -------------------------------------------------------------------------------------- listing */

static void on_partition_found(void *context, uint32_t partition)
{
    struct retention *const retention = context;
    if (partition < ROOT_PARTITIONS_MAX) { retention->partitions[partition].present = true; }
}

static bool partition_grow(struct kept_partition *partition)
{
    if (partition->count < partition->capacity) { return true; }
    const size_t capacity = partition->capacity == 0 ? 64 : partition->capacity * 2;
    struct kept_segment *const segments =
        realloc(partition->segments, capacity * sizeof *partition->segments);
    if (segments == NULL) { return false; }
    partition->segments = segments;
    uint64_t *const numbers = realloc(partition->numbers, capacity * sizeof *partition->numbers);
    if (numbers == NULL) { return false; }
    partition->numbers = numbers;
    partition->capacity = capacity;
    return true;
}

static void on_segment_found(void *context, uint64_t number, uint64_t size_bytes)
{
    struct kept_partition *const partition = context;
    if (!partition_grow(partition)) { return; } /* seen at a later run */
    partition->segments[partition->count++] = (struct kept_segment){number, size_bytes};
}

static int by_number(const void *left, const void *right)
{
    const uint64_t a = ((const struct kept_segment *)left)->number;
    const uint64_t b = ((const struct kept_segment *)right)->number;
    return a < b ? -1 : a > b;
}

static void retired_add(struct retention *retention, uint32_t partition,
                        const struct kept_segment *segment)
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
    const uint32_t path = retention->partitions[partition].path;
    retention->retired[retention->retired_count++] = (struct retired_segment){
        partition, path, segment->number, segment->size_bytes, retention->clock.now.mono_ns};
    retention->paths[path].retired_bytes += segment->size_bytes;
    retention->retired_bytes += segment->size_bytes;
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
static void split_retired(struct retention *retention, uint32_t number, uint64_t first)
{
    struct kept_partition *const partition = &retention->partitions[number];
    size_t kept = 0;
    for (size_t i = 0; i < partition->count; i++) {
        const struct kept_segment segment = partition->segments[i];
        if (segment.number >= first) {
            partition->numbers[kept] = segment.number;
            partition->segments[kept++] = segment;
            retention->kept_bytes += segment.size_bytes;
        } else if (!is_retired(retention, number, segment.number)) {
            retired_add(retention, number, &segment);
        }
    }
    partition->count = kept;
}

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

    split_retired(retention, number,
                  atomic_load_explicit(&slot->first_segment_number, memory_order_acquire));
    partition->lane_floor = atomic_load_explicit(&slot->lane_floor, memory_order_acquire);
    for (size_t i = partition->count; i-- > 0 && partition->newest_sealed == 0;) {
        if (segment_is_sealed(retention, number, partition->segments[i].number)) {
            partition->newest_sealed = partition->segments[i].number;
        }
    }
}

static uint32_t path_of(const struct retention *retention, uint32_t partition)
{
    const struct retention_options *const options = &retention->options;
    if (options->path_of == NULL) { return 0; }
    const uint32_t path = options->path_of(options->context, partition);
    assert(path < NODE_PATHS_MAX);
    return path;
}

static void look_at_path(struct retention *retention, uint32_t number)
{
    struct kept_partition *const partition = &retention->partitions[number];
    partition->path = path_of(retention, number);
    struct kept_path *const path = &retention->paths[partition->path];
    if (path->used) { return; }
    path->used = files_space(retention->options.files, number, &path->free_bytes) == STATUS_OK;
}

static void look_at_everything(struct retention *retention)
{
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) { retention->partitions[i].present = false; }
    for (size_t i = 0; i < NODE_PATHS_MAX; i++) { retention->paths[i].used = false; }
    const enum status status =
        files_list_partitions(retention->options.files, on_partition_found, retention);
    retention->kept_bytes = 0;
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        struct kept_partition *const partition = &retention->partitions[i];
        if (status != STATUS_OK) { partition->present = false; }
        if (!partition->present) { continue; }
        look_at_path(retention, i);
        look_at_partition(retention, i);
    }
}

/* ------------------------------------------------------------------------------------- retiring */

/* Whether the partition has a segment that may go; the wall time of its end is known then. */
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

static void retire_oldest(struct retention *retention, uint32_t number)
{
    struct kept_partition *const partition = &retention->partitions[number];
    const struct kept_segment segment = partition->segments[partition->first++];
    assert(segment.number < partition->newest_sealed);
    assert(partition->wall_of == segment.number);
    const uint64_t records = segment_records(retention, number, segment.number);

    struct root_page *const root = retention->options.root;
    atomic_store_explicit(&root->partitions[number].first_segment_number, segment.number + 1,
                          memory_order_release);
    atomic_fetch_add_explicit(&root->segments_generation, 1, memory_order_release);
    retired_add(retention, number, &segment);
    assert(retention->kept_bytes >= segment.size_bytes);
    retention->kept_bytes -= segment.size_bytes;
    retention->paths[partition->path].expired_bytes += segment.size_bytes;

    struct node_page *const node = retention->options.node;
    node->entries_expired += records;
    node->segments_expired++;
    node->expired_bytes += segment.size_bytes;
}

static size_t retire_by_age(struct retention *retention)
{
    const int64_t limit_ms = (int64_t)(retention->options.retain_age_ns / NS_PER_MS);
    size_t retired = 0;
    if (retention->options.retain_age_ns == 0) { return 0; }
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        while (has_candidate(retention, i)) {
            const int64_t wall_ms = retention->partitions[i].newest_wall_ms;
            if (wall_ms == INT64_MIN) { break; }
            if (age_clock_age_ms(&retention->clock, wall_ms) <= limit_ms) { break; }
            retire_oldest(retention, i);
            retired++;
        }
    }
    return retired;
}

/* Every topic begins behind what its declaration says. */
static void starts_raise(struct topic_starts *page, struct bytes declarations)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        const uint64_t before =
            atomic_load_explicit(&page->starts[topic.topic], memory_order_relaxed);
        if (topic.next_offset <= before) { continue; }
        atomic_store_explicit(&page->starts[topic.topic], topic.next_offset, memory_order_release);
    }
    /* release: pairs with the acquire in reader_partition, which then looks at the starts */
    atomic_fetch_add_explicit(&page->generation, 1, memory_order_release);
}

/* All records up to the end of the newest sealed segment, of segments that lanes keep as well. */
static void empty_in_place(struct retention *retention, uint32_t number)
{
    struct kept_partition *const partition = &retention->partitions[number];
    struct segment_look look;
    struct segment_footer footer;
    struct commit_header header;
    uint64_t records = 0;
    for (size_t i = partition->first; i < partition->count; i++) {
        if (partition->numbers[i] > partition->newest_sealed) { break; }
        records += segment_records(retention, number, partition->numbers[i]);
    }
    if (segment_look_begin(retention->options.files, number, partition->newest_sealed, &look) !=
        STATUS_OK) {
        return;
    }
    if (segment_look_footer(&look, &footer, &header) == STATUS_OK) {
        starts_raise(retention->options.starts[number], footer.topics);
        retention->options.node->entries_expired += records;
        retention->options.node->entries_expired_in_place += records;
        partition->emptied = partition->newest_sealed;
    }
    segment_look_end(&look);
}

/* Of a log that went idle, or has no worker, a segment stays: the log's identity is in it. */
static void expire_idle(struct retention *retention)
{
    const struct retention_options *const options = &retention->options;
    const int64_t limit_ms = (int64_t)(options->retain_age_ns / NS_PER_MS);
    if (options->retain_age_ns == 0 || options->starts == NULL) { return; }
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        struct kept_partition *const partition = &retention->partitions[i];
        const uint64_t newest = partition->newest_sealed;
        if (!partition->present || newest == 0 || options->starts[i] == NULL) { continue; }
        if (partition->emptied == newest) { continue; }
        if (partition->sealed_wall_of != newest) {
            if (!footer_wall(retention, i, newest, &partition->sealed_wall_ms)) { continue; }
            partition->sealed_wall_of = newest;
        }
        if (age_clock_age_ms(&retention->clock, partition->sealed_wall_ms) <= limit_ms) {
            continue;
        }
        empty_in_place(retention, i);
    }
}

enum { ANY_PATH = UINT32_MAX };

/* The oldest segment of all that may go; false: what is left must stay. */
static bool retire_oldest_of(struct retention *retention, uint32_t path)
{
    int64_t oldest_wall_ms = INT64_MAX;
    uint32_t oldest = ROOT_PARTITIONS_MAX;
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        struct kept_partition *const partition = &retention->partitions[i];
        if (path != ANY_PATH && partition->path != path) { continue; }
        if (!has_candidate(retention, i)) { continue; }
        if (partition->newest_wall_ms >= oldest_wall_ms) { continue; }
        oldest_wall_ms = partition->newest_wall_ms;
        oldest = i;
    }
    if (oldest == ROOT_PARTITIONS_MAX) { return false; }
    retire_oldest(retention, oldest);
    return true;
}

/* Not once the log is sealed for good (the worker ended), nor in a moment between two segments. */
static bool may_be_written(const struct retention *retention, size_t partition)
{
    const struct root_partition *const slot = &retention->options.root->partitions[partition];
    return atomic_load_explicit(&slot->open_segment_number, memory_order_acquire) != 0;
}

/* What will be written before what is retired now is gone: whole segments. */
static uint64_t coming_bytes(const struct retention *retention)
{
    /* Until the next run, then the grace time, then as long as that run takes to remove it. */
    const double seconds = (double)(hurried_grace_ns + 2 * retention->period_ns) / NS_PER_S;
    uint64_t bytes = 0;
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        const struct kept_partition *const partition = &retention->partitions[i];
        const double written = headroom_rate_latest(&partition->written) * seconds;
        if (!partition->present || partition->count == 0 || written < 1) { continue; }
        if (!may_be_written(retention, i)) { continue; }
        const uint64_t segment_bytes = partition->segments[partition->count - 1].size_bytes;
        if (segment_bytes == 0) { continue; }
        bytes += ((uint64_t)written / segment_bytes + 1) * segment_bytes;
    }
    return bytes;
}

/* What may be kept, so that all files together stay within the limit. */
static uint64_t keep_bytes_max(const struct retention *retention)
{
    const uint64_t limit_bytes = retention->options.retain_bytes;
    const uint64_t coming = coming_bytes(retention);
    return coming < limit_bytes / 2 ? limit_bytes - coming : limit_bytes - limit_bytes / 2;
}

static size_t retire_by_bytes(struct retention *retention)
{
    size_t retired = 0;
    if (retention->options.retain_bytes == 0) { return 0; }
    const uint64_t most_bytes = keep_bytes_max(retention);
    while (retention->kept_bytes > most_bytes && retire_oldest_of(retention, ANY_PATH)) {
        retired++;
    }
    return retired;
}

COLD static void tell_low(const struct retention *retention, uint32_t index, bool low)
{
    const char *const name = retention->options.node->paths[index].path;
    const uint64_t free_mib = retention->paths[index].free_bytes >> 20;
    if (low) {
        log_warning("storage path %s runs low: %" PRIu64
                    " MiB are free, less than storage.retain.free; its oldest segments go now, "
                    "earlier than the other limits say",
                    name, free_mib);
    } else {
        log_notice("storage path %s has %" PRIu64 " MiB free again", name, free_mib);
    }
}

/* Free space as it will be when what is retired is removed. */
static uint64_t free_soon(const struct kept_path *path)
{
    return path->free_bytes + path->retired_bytes;
}

/* Once low, a path is so until an eighth more than the threshold is free: told once an episode. */
static void judge_path(struct retention *retention, uint32_t index)
{
    struct kept_path *const path = &retention->paths[index];
    const uint64_t threshold = retention->options.retain_free_bytes;
    const uint64_t enough = path->low ? threshold + threshold / 8 : threshold;
    const bool low = path->free_bytes < enough;
    if (low != path->low) { tell_low(retention, index, low); }
    path->low = low;
}

static size_t retire_for_space(struct retention *retention)
{
    const uint64_t threshold = retention->options.retain_free_bytes;
    size_t retired = 0;
    if (threshold == 0) { return 0; }
    for (uint32_t i = 0; i < NODE_PATHS_MAX; i++) {
        struct kept_path *const path = &retention->paths[i];
        if (!path->used) { continue; }
        judge_path(retention, i);
        const uint64_t wanted = path->low ? threshold + threshold / 8 : threshold;
        while (free_soon(path) < wanted && retire_oldest_of(retention, i)) { retired++; }
    }
    retention->options.node->segments_expired_early += retired;
    return retired;
}

static void expire_topics(struct retention *retention)
{
    const struct retention_options *const options = &retention->options;
    if (options->topic_count == 0 || options->starts == NULL) { return; }
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        const struct kept_partition *const partition = &retention->partitions[i];
        const struct root_partition *const slot = &options->root->partitions[i];
        if (!partition->present || options->starts[i] == NULL) { continue; }
        const struct topic_expiry_view view = {
            .partition = i,
            .starts = options->starts[i],
            .segments = partition->numbers,
            .segment_count = partition->count,
            .newest_sealed = partition->newest_sealed,
            .open_segment = atomic_load_explicit(&slot->open_segment_number, memory_order_acquire),
            .clock = &retention->clock,
        };
        const uint64_t records = topic_expiry_run(retention->topics, &view);
        options->node->entries_expired += records;
        options->node->entries_expired_in_place += records;
    }
}

/* ------------------------------------------------------------------------------------- removing */

static bool is_pressed(const struct retention *retention, uint32_t path)
{
    const uint64_t limit_bytes = retention->options.retain_bytes;
    if (retention->paths[path].low) { return true; }
    return limit_bytes != 0 && retention->kept_bytes + retention->retired_bytes > limit_bytes;
}

static bool is_due(const struct retention *retention, const struct retired_segment *retired)
{
    uint64_t grace_ns = retention->options.grace_ns;
    if (grace_ns > hurried_grace_ns && is_pressed(retention, retired->path)) {
        grace_ns = hurried_grace_ns;
    }
    return retention->clock.now.mono_ns - retired->retired_ns >= grace_ns;
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
        if (is_due(retention, &retired)) { status = files_remove(retention->options.files, name); }
        if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
            removed++;
            retention->paths[retired.path].retired_bytes -= retired.size_bytes;
            retention->retired_bytes -= retired.size_bytes;
        } else {
            retention->retired[kept++] = retired; /* not due, or refused: again at the next run */
        }
    }
    retention->retired_count = kept;
    return removed;
}

/* ------------------------------------------------------------------------------------- headroom */

static uint64_t written_bytes(const struct retention *retention, uint32_t partition)
{
    const struct stats_page *const page = retention->options.stats[partition];
    return page != NULL ? page->counters[STATS_commits_durable_bytes] : 0;
}

static void measure(struct retention *retention)
{
    const uint64_t now_ns = retention->clock.now.mono_ns;
    if (retention->options.stats == NULL) { return; }
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        struct kept_partition *const partition = &retention->partitions[i];
        if (!partition->present) { continue; }
        headroom_rate_tick(&partition->written, written_bytes(retention, i), now_ns);
    }
    for (size_t i = 0; i < NODE_PATHS_MAX; i++) {
        struct kept_path *const path = &retention->paths[i];
        if (path->used) { headroom_rate_tick(&path->expired, path->expired_bytes, now_ns); }
    }
}

static double path_write_rate(const struct retention *retention, uint32_t path)
{
    double sum = 0;
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        const struct kept_partition *const partition = &retention->partitions[i];
        if (!partition->present || (path != ANY_PATH && partition->path != path)) { continue; }
        sum += headroom_rate_value(&partition->written);
    }
    return sum;
}

static uint64_t room_above(uint64_t bytes, uint64_t floor_bytes)
{
    return bytes > floor_bytes ? bytes - floor_bytes : 0;
}

static void tell_path(const struct retention *retention, uint32_t index, uint64_t trim_seconds)
{
    const struct retention_options *const options = &retention->options;
    const struct kept_path *const path = &retention->paths[index];
    struct node_path *const out = &options->node->paths[index];
    const double written = path_write_rate(retention, index);
    const double net = written - headroom_rate_value(&path->expired);
    const uint64_t room_bytes = room_above(free_soon(path), options->reserve_bytes);
    if (options->retain_free_bytes != 0) {
        const uint64_t early_bytes = room_above(free_soon(path), options->retain_free_bytes);
        const uint64_t early_seconds = headroom_seconds(early_bytes, written);
        if (early_seconds < trim_seconds) { trim_seconds = early_seconds; }
    }
    const uint64_t unlimited_seconds = headroom_seconds(room_bytes, net);
    out->free_bytes = path->free_bytes;
    out->write_bytes_per_s = (uint64_t)written;
    out->trim_seconds = trim_seconds;
    /* Limits by bytes or free space that are reached before the disk is full keep it from that. */
    out->full_seconds = trim_seconds != NODE_SECONDS_NEVER && trim_seconds <= unlimited_seconds
                            ? NODE_SECONDS_NEVER
                            : unlimited_seconds;
    out->low = path->low;
    out->used = 1;
}

static void tell(const struct retention *retention)
{
    const struct retention_options *const options = &retention->options;
    const double written = path_write_rate(retention, ANY_PATH);
    uint64_t trim_seconds = NODE_SECONDS_NEVER;
    if (options->retain_bytes != 0) {
        const uint64_t room_bytes = room_above(keep_bytes_max(retention), retention->kept_bytes);
        trim_seconds = headroom_seconds(room_bytes, written);
    }
    options->node->log_bytes = retention->kept_bytes + retention->retired_bytes;
    for (uint32_t i = 0; i < NODE_PATHS_MAX; i++) {
        if (retention->paths[i].used) { tell_path(retention, i, trim_seconds); }
    }
}

/* ----------------------------------------------------------------------------------------- runs */

static void tell_clock_step(const struct retention *retention)
{
    const int64_t step_ms = age_clock_step_ms(&retention->clock);
    if (step_ms == 0) { return; }
    log_warning("the wall clock stepped by %+" PRId64
                " ms: ages are counted without it, and nothing expires because of it",
                step_ms);
}

static uint64_t period_of(const struct retention *retention, struct instant now)
{
    const uint64_t since_ns =
        retention->clock.ticked ? now.mono_ns - retention->clock.now.mono_ns : 0;
    if (since_ns < period_ns_min) { return period_ns_min; }
    return since_ns < period_ns_max ? since_ns : period_ns_max;
}

size_t retention_run(struct retention *retention, struct instant now)
{
    retention->period_ns = period_of(retention, now);
    age_clock_tick(&retention->clock, now);
    tell_clock_step(retention);
    look_at_everything(retention);
    measure(retention);
    expire_topics(retention);
    size_t changed = retire_by_age(retention);
    expire_idle(retention);
    changed += retire_by_bytes(retention);
    changed += retire_for_space(retention);
    changed += remove_due(retention);
    tell(retention);
    return changed;
}

int64_t retention_clock_step_ms(const struct retention *retention)
{
    return age_clock_step_ms(&retention->clock);
}

/* ----------------------------------------------------------------------------------- life cycle */

enum status retention_create(const struct retention_options *options, struct retention **out)
{
    struct retention *const retention = calloc(1, sizeof *retention);
    if (retention == NULL) { return STATUS_NO_MEMORY; }
    retention->options = *options;
    retention->options.topics = NULL; /* topic_expiry has a copy */
    retention->options.runtime = NULL;
    const struct topic_expiry_options topics = {
        .files = options->files,
        .runtime = options->runtime,
        .topics = options->topics,
        .topic_count = options->topic_count,
    };
    const enum status status = topic_expiry_create(&topics, &retention->topics);
    if (status != STATUS_OK) {
        retention_destroy(retention);
        return status;
    }
    *out = retention;
    return STATUS_OK;
}

void retention_destroy(struct retention *retention)
{
    if (retention == NULL) { return; }
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        free(retention->partitions[i].segments);
        free(retention->partitions[i].numbers);
    }
    topic_expiry_destroy(retention->topics);
    free(retention->retired);
    free(retention);
}
