#include "bench/rounds.h"

#include <string.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "base/logger.h"
#include "bench/core.h"
#include "bench/pinned.h"
#include "storage/disk.h"

enum {
    WARM_UP_NS = 500 * NS_PER_MS,
    DISK_PART = 2,             /* the bare disk writes for 1/2 of a part */
    SCRATCH_BYTES = 256 << 20, /* as a segment */
};

struct parts {
    const struct rounds_options *options;
    struct ingest_run ingest;
    struct limit_run limit;
    struct limit_disk_run disk;
    uint64_t cycles_per_s;
};

/* -------------------------------------------------------------------------------- three parts */

static void fill_stages(struct round *round, const uint64_t *delta, double records)
{
    static const enum stats_counter counters[LIMIT_STAGE_COUNT][2] = {
        [LIMIT_RECEIVE] = {STATS_worker_cycles_receive, STATS_COUNTER_COUNT},
        [LIMIT_PARSE] = {STATS_worker_cycles_decode, STATS_COUNTER_COUNT},
        [LIMIT_SCAN] = {STATS_worker_cycles_rules, STATS_COUNTER_COUNT},
        [LIMIT_COPY] = {STATS_worker_cycles_append, STATS_worker_cycles_commit},
    };
    for (size_t i = 0; i < LIMIT_STAGE_COUNT; i++) {
        round->stage_cycles[i] = 0;
        for (size_t j = 0; j < 2; j++) {
            const enum stats_counter counter = counters[i][j];
            if (counter == STATS_COUNTER_COUNT) { continue; }
            round->stage_cycles[i] += (double)delta[counter] / records;
        }
    }
    round->log_cycles = (double)delta[STATS_worker_cycles_reap] / records;
    round->timer_cycles = (double)delta[STATS_worker_cycles_transmit] / records;
    round->idle_cycles = (double)delta[STATS_worker_cycles_empty] / records;
}

static enum status worker_part(struct parts *parts, struct round *round)
{
    const struct stats_page *const stats = appliance_stats(parts->options->appliance);
    uint64_t delta[STATS_COUNTER_COUNT];
    memcpy(delta, stats->counters, sizeof delta);
    const enum status status = core_run(appliance_ingest, &parts->ingest);
    if (status != STATUS_OK) { return status; }
    if (parts->ingest.timed_out) {
        log_error("what was fed did not become durable");
        return STATUS_IO;
    }
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) { delta[i] = stats->counters[i] - delta[i]; }

    const double records = (double)delta[STATS_records_in];
    const double seconds = (double)parts->ingest.elapsed_ns / NS_PER_S;
    const uint64_t fates = delta[STATS_records_stored] + delta[STATS_records_dropped_by_rule];
    if (records == 0 || fates != delta[STATS_records_in]) {
        log_error("%.0f records in, but %llu stored or dropped", records,
                  (unsigned long long)fates);
        return STATUS_CORRUPT;
    }
    round->records_per_s = records / seconds;
    round->frame_bits_per_s = 8 * (double)delta[STATS_frames_received_bytes] / seconds;
    round->disk_bytes_per_s = (double)delta[STATS_commits_durable_bytes] / seconds;
    round->dropped_share = (double)delta[STATS_records_dropped_by_rule] / records;
    round->commit_bytes =
        (double)delta[STATS_commits_durable_bytes] / (double)delta[STATS_commits_durable];
    round->held_share = (double)delta[STATS_worker_turns_held] / (double)parts->ingest.turns;
    round->starved = delta[STATS_segments_starved];
    round->feed_cycles = (double)parts->ingest.feed_cycles / records;
    round->instructions = (double)parts->ingest.counted.instructions / records;
    round->user_cycles = (double)parts->ingest.counted.cycles / records;
    fill_stages(round, delta, records);
    double told = round->feed_cycles + round->log_cycles + round->timer_cycles + round->idle_cycles;
    for (size_t i = 0; i < LIMIT_STAGE_COUNT; i++) { told += round->stage_cycles[i]; }
    round->turn_cycles = (double)parts->cycles_per_s * seconds / records - told;
    return STATUS_OK;
}

static enum status roofline_part(struct parts *parts, struct round *round)
{
    const enum status status = core_run(limit_roofline, &parts->limit);
    if (status != STATUS_OK) { return status; }
    const double records = (double)parts->limit.record_count;
    round->limit_records_per_s = records * NS_PER_S / (double)parts->limit.elapsed_ns;
    round->limit_instructions = (double)parts->limit.counted.instructions / records;
    round->limit_user_cycles = (double)parts->limit.counted.cycles / records;
    for (size_t i = 0; i < LIMIT_STAGE_COUNT; i++) {
        round->limit_cycles[i] = (double)parts->limit.cycles[i] / records;
    }
    return STATUS_OK;
}

static enum status disk_part(struct parts *parts, struct round *round)
{
    const enum status status = core_run(limit_disk, &parts->disk);
    if (status != STATUS_OK || parts->disk.status != STATUS_OK) {
        log_error("the bare writer failed: %s", status_text(parts->disk.status));
        return status != STATUS_OK ? status : parts->disk.status;
    }
    const double bytes = (double)parts->disk.commit_count * (double)parts->disk.commit_bytes;
    round->disk_limit_bytes_per_s = bytes * NS_PER_S / (double)parts->disk.elapsed_ns;
    return STATUS_OK;
}

/* -------------------------------------------------------------------------------------- rounds */

static double away_share(const struct parts *parts, uint64_t stolen)
{
    const uint64_t elapsed_ns = parts->ingest.elapsed_ns + parts->limit.elapsed_ns;
    const uint64_t cpu_ns = parts->ingest.cpu_ns + parts->limit.cpu_ns;
    const double others = 1.0 - (double)cpu_ns / (double)elapsed_ns;
    const double steal = (double)stolen / (double)elapsed_ns;
    return steal > others ? steal : others;
}

static enum status one_round(struct parts *parts, size_t number, struct round *round)
{
    static enum status (*const order[])(struct parts *,
                                        struct round *) = {worker_part, roofline_part, disk_part};
    const size_t part_count = ARRAY_COUNT(order);
    const uint32_t core = parts->options->core;
    const uint64_t stolen_before = core_stolen_ns(core);
    for (size_t i = 0; i < part_count; i++) {
        const size_t part = number % 2 == 0 ? i : part_count - 1 - i;
        const enum status status = order[part](parts, round);
        if (status != STATUS_OK) { return status; }
    }
    round->away_share = away_share(parts, core_stolen_ns(core) - stolen_before);
    round->kept = round->away_share * 100 <= CORE_AWAY_PERCENT_MAX;
    return STATUS_OK;
}

static enum status parts_init(struct parts *parts, const struct rounds_options *options)
{
    memset(parts, 0, sizeof *parts);
    parts->options = options;
    parts->cycles_per_s = cycles_per_second();
    parts->ingest = (struct ingest_run){
        .appliance = options->appliance,
        .frames = options->frames,
        .port_id = options->port_id,
        .duration_ns = WARM_UP_NS,
    };
    parts->limit = (struct limit_run){
        .kind = options->kind,
        .frames = options->frames,
        .port_id = options->port_id,
        .interface = options->interface,
        .duration_ns = WARM_UP_NS,
    };
    parts->disk = (struct limit_disk_run){
        .file = appliance_scratch_file(options->appliance, SCRATCH_BYTES),
        .file_bytes = SCRATCH_BYTES,
        .commit_bytes = appliance_commit_bytes(options->appliance),
        .depth = options->depth,
        .duration_ns = WARM_UP_NS,
        .method = appliance_write_method(options->appliance) == URING_DISK_DSYNC
                      ? LIMIT_DISK_DSYNC
                      : LIMIT_DISK_FDATASYNC,
        .helper_core = pinned_core_first(),
    };
    if (parts->disk.file < 0) {
        log_error("no file for the bare writer");
        return STATUS_IO;
    }
    enum status status = limit_scan_init(&parts->limit.scan, options->rules);
    if (status == STATUS_OK) { status = limit_copy_init(&parts->limit.copy); }
    return status;
}

static void parts_deinit(struct parts *parts)
{
    limit_scan_deinit(&parts->limit.scan);
    limit_copy_deinit(&parts->limit.copy);
}

/* The bare writer's commits are as large as the worker's were in the warm-up. */
static void parts_take_measure(struct parts *parts, const struct round *warm_up)
{
    const size_t blocks = ((size_t)warm_up->commit_bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;
    parts->disk.commit_bytes = blocks * DISK_BLOCK_BYTES;
    parts->disk.duration_ns = parts->options->duration_ns / DISK_PART;
    parts->ingest.duration_ns = parts->options->duration_ns;
    parts->limit.duration_ns = parts->options->duration_ns;
}

enum status rounds_run(const struct rounds_options *options, struct rounds *out)
{
    struct parts parts;
    struct round warm_up = {0};
    memset(out, 0, sizeof *out);
    enum status status = parts_init(&parts, options);
    if (status == STATUS_OK) { status = one_round(&parts, 0, &warm_up); }
    if (status == STATUS_OK) { parts_take_measure(&parts, &warm_up); }
    for (size_t i = 0; status == STATUS_OK && i < options->count; i++) {
        status = one_round(&parts, i, &out->items[i]);
        if (status != STATUS_OK) { break; }
        out->count++;
        if (out->items[i].kept) { out->kept++; }
    }
    parts_deinit(&parts);
    return status;
}

struct interval rounds_interval(const struct rounds *rounds, double (*field)(const struct round *))
{
    double values[STATISTICS_VALUES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < rounds->count; i++) {
        if (!rounds->items[i].kept && rounds->kept > 0) { continue; }
        values[count++] = field(&rounds->items[i]);
    }
    return interval_of(values, count);
}
