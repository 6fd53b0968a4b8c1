#include "dataplane/partitions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"
#include "storage/lane_handover.h"

enum {
    INDEX_GRACE_NS = 1 * NS_PER_S,
    RETENTION_GRACE_S = 5,
    /* What the index of a segment has room for: commits of one block with one batch each, or larger
     * ones with batches of 1 KiB. Smaller ones end their segment a little early. */
    SEGMENT_BYTES_PER_INDEX_BYTE = 80,
    INDEX_BYTES_MIN = 512 * 1024,
    INDEX_BYTES_MAX = LOG_COMMIT_BYTES_MAX - 1024 * 1024, /* of a footer, the rest is for topics */
};

static void on_partition(void *context, uint32_t partition)
{
    size_t *const count = context;
    if (partition + 1 > *count && partition < ROOT_PARTITIONS_MAX) { *count = partition + 1; }
}

/* --------------------------------------------------------------------------------- recovery */

static enum status recover_one(struct partitions *partitions,
                               const struct partitions_options *options, uint32_t partition)
{
    struct log_resume *const resume = calloc(1, sizeof *resume);
    if (resume == NULL) { return STATUS_NO_MEMORY; }
    partitions->items[partition].resume = resume;

    const struct root_partition *const slot = &options->root->partitions[partition];
    const struct recovery_witness witness = {
        .valid = options->root_survived && slot->state != ROOT_LOG_ABSENT,
        .log_id = slot->log_id,
        .nonce = slot->nonce,
        .incarnation = options->root->incarnation,
        .durable_number = slot->durable_number,
    };
    struct start_losses *const losses = &partitions->items[partition].losses;
    losses->report = &options->report;
    const struct recovery_report report = start_losses_report(losses);
    const enum status status = recovery_run(options->files, partition, &witness, &report, resume);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        log_error("part-%04u cannot be recovered: %s", partition, status_text(status));
        return status;
    }
    return STATUS_OK;
}

static bool id_is_zero(struct log_id id)
{
    static const struct log_id zero;
    return log_id_equal(id, zero);
}

/* As topic ids: an RFC 4122 version 4 whose text form does not begin with '-'. */
static struct log_id fresh_id(const struct partitions_options *options)
{
    struct log_id id = options->fresh_id(options->context);
    id.bytes[0] &= 0x7f;
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

/* All logs of a node belong to one cluster id; new logs get it, and a log id of their own. */
static enum status settle_identities(struct partitions *partitions,
                                     const struct partitions_options *options)
{
    struct log_id cluster = {{0}};
    for (size_t i = 0; i < partitions->count; i++) {
        const struct log_id found = partitions->items[i].resume->cluster_id;
        if (id_is_zero(found)) { continue; }
        if (id_is_zero(cluster)) { cluster = found; }
        if (!log_id_equal(found, cluster)) {
            log_error("part-%04zu belongs to another node than the partitions before it: storage "
                      "paths of two nodes are mixed",
                      i);
            return STATUS_INVALID;
        }
    }
    if (id_is_zero(cluster)) { cluster = fresh_id(options); }

    for (size_t i = 0; i < partitions->count; i++) {
        struct log_resume *const resume = partitions->items[i].resume;
        resume->cluster_id = cluster;
        resume->partition = (uint32_t)i;
        if (id_is_zero(resume->log_id)) { resume->log_id = fresh_id(options); }
        if (resume->next_segment_number == 0) { resume->next_segment_number = 1; }
        if (resume->next_commit_number == 0) { resume->next_commit_number = 1; }
    }
    options->root->cluster_id = cluster;
    return STATUS_OK;
}

static void fill_slots(const struct partitions *partitions,
                       const struct partitions_options *options)
{
    struct root_page *const root = options->root;
    for (size_t i = 0; i < partitions->count; i++) {
        struct root_partition *const slot = &root->partitions[i];
        const struct log_resume *const resume = partitions->items[i].resume;
        /* Segments of a log that is gone count in numbers of their own. */
        if (!log_id_equal(slot->log_id, resume->log_id)) { slot->first_segment_number = 0; }
        slot->log_id = resume->log_id;
        slot->nonce = resume->predecessor_nonce;
        slot->durable_number = resume->next_commit_number - 1;
        slot->open_segment_number = 0;
        slot->lane_floor = resume->lane_floor;
        slot->why = STATUS_OK;
        slot->state = i < options->worker_count ? ROOT_LOG_OPEN : ROOT_LOG_ORPHAN;
    }
    root->partition_count = (uint32_t)partitions->count;
    root->segments_generation++;
}

/* ----------------------------------------------------------------------------------- ledger */

void partitions_settle_ledger(struct stats_page *stats, bool survived,
                              const struct log_resume *resume)
{
    uint64_t *const counters = stats->counters;
    const uint64_t *const totals = resume->totals;
    if (!survived) {
        memset(counters, 0, sizeof stats->counters);
        memcpy(counters, totals, resume->totals_count * sizeof *totals);
    } else if (resume->totals_count > STATS_records_stored) {
        /* The totals of the newest commit count what is on disk; the page, what was known to be. */
        static const enum stats_counter by_commit[] = {
            STATS_records_stored, STATS_records_stored_copies, STATS_records_stored_bytes,
            STATS_batches_stored, STATS_commits_durable,       STATS_commits_durable_bytes,
        };
        for (size_t i = 0; i < ARRAY_COUNT(by_commit); i++) {
            if (totals[by_commit[i]] > counters[by_commit[i]]) {
                counters[by_commit[i]] = totals[by_commit[i]];
            }
        }
    }

    stats->records_in_flight = 0;
    stats->commits_in_flight = 0;
    stats->log_id = resume->log_id;
    stats->counter_count = STATS_COUNTER_COUNT;

    struct ledger ledger;
    ledger_of(stats, &ledger);
    if (ledger.records_residue > 0) {
        stats_add(stats, STATS_records_lost_at_crash, (uint64_t)ledger.records_residue);
        log_warning("part-%04u: %" PRId64
                    " records were in memory when the last run ended, and are lost (%s)",
                    stats->partition, ledger.records_residue,
                    resume->durable_lost ? "and durable ones with them: see above"
                                         : "none of them was acknowledged or served");
    }
    /* Frames taken from the port whose outcome was not counted yet: the turn they were in is gone.
     */
    if (ledger.frames_residue > 0) {
        stats_add(stats, STATS_frames_lost_at_crash, (uint64_t)ledger.frames_residue);
    }
}

static enum status open_stats(struct partitions *partitions,
                              const struct partitions_options *options)
{
    for (size_t i = 0; i < partitions->count; i++) {
        struct partition *const item = &partitions->items[i];
        bool survived;
        const enum status status =
            options->stats_page(options->context, (uint32_t)i, &item->stats, &survived);
        if (status != STATUS_OK) { return status; }
        /* A page of another log (new disks, same boot) is not this log's past. */
        if (!log_id_equal(item->stats->log_id, item->resume->log_id)) { survived = false; }
        partitions_settle_ledger(item->stats, survived, item->resume);
        start_losses_book(&item->losses, item->stats);
        partitions->stats[i] = item->stats;
    }
    return STATUS_OK;
}

static enum status open_starts(struct partitions *partitions,
                               const struct partitions_options *options)
{
    if (options->starts_page == NULL) { return STATUS_OK; }
    for (size_t i = 0; i < partitions->count; i++) {
        struct partition *const item = &partitions->items[i];
        const enum status status = options->starts_page(options->context, (uint32_t)i,
                                                        item->resume->log_id, &item->starts);
        if (status != STATUS_OK) { return status; }
        partitions->starts[i] = item->starts;
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ lanes */

/* The lane clock never goes back nor jumps (sessions.h): the youngest lane says where it stands.
 * All workers have the same one, or a lane of one would look old to the others. */
static int64_t lane_clock_of(const struct partitions *partitions, int64_t wall_ms)
{
    int64_t youngest_ms = INT64_MIN;
    for (size_t i = 0; i < partitions->count; i++) {
        const struct lane_resume_set *const set = &partitions->items[i].lanes;
        for (size_t j = 0; j < set->count; j++) {
            const int64_t active_ms = set->lanes[j].state.active_wall_ms;
            if (active_ms > youngest_ms) { youngest_ms = active_ms; }
        }
    }
    return youngest_ms != INT64_MIN ? youngest_ms : wall_ms;
}

static int64_t forget_before_ms(const struct partitions *partitions, uint64_t remember_ns)
{
    const int64_t remember_ms = (int64_t)(remember_ns / NS_PER_MS);
    const int64_t now_ms = partitions->lane_clock_ms;
    return now_ms < INT64_MIN + remember_ms ? INT64_MIN : now_ms - remember_ms;
}

static enum status recover_lanes(struct partitions *partitions,
                                 const struct partitions_options *options)
{
    struct lane_handover_partition homes[ROOT_PARTITIONS_MAX];
    if (options->remember_ns == 0) {
        return STATUS_OK;
    } /* their floors stay 0: retention goes on */
    for (size_t i = 0; i < partitions->count; i++) {
        struct partition *const item = &partitions->items[i];
        const enum status status = lane_recovery_run(
            options->files, (uint32_t)i, &options->lane_report, item->resume, &item->lanes);
        if (status != STATUS_OK) {
            log_error("part-%04zu: its lanes cannot be recovered: %s", i, status_text(status));
            return status;
        }
        homes[i] = (struct lane_handover_partition){&item->lanes, i < options->worker_count};
    }
    partitions->lane_clock_ms = lane_clock_of(partitions, options->wall_ms);
    struct lane_handover done;
    const enum status status = lane_handover_run(
        homes, partitions->count, forget_before_ms(partitions, options->remember_ns), &done);
    if (status != STATUS_OK) {
        log_error("lanes cannot be given their homes: %s", status_text(status));
        return status;
    }
    /* What an orphan still has is all in other logs too, or is on its way there: then its segments
     * stay until a later start finds it done. */
    for (size_t i = options->worker_count; i < partitions->count && done.moved == 0; i++) {
        partitions->items[i].resume->lane_floor = 0;
    }
    if (done.moved + done.forgotten > 0) {
        log_notice("%" PRIu64 " lanes moved from partitions without a worker to others, %" PRIu64
                   " were silent for too long",
                   done.moved, done.forgotten);
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------- life cycle */

enum status partitions_open(struct partitions *partitions, const struct partitions_options *options)
{
    memset(partitions, 0, sizeof *partitions);
    partitions->files = options->files;
    partitions->count = options->worker_count;

    enum status status = files_list_partitions(options->files, on_partition, &partitions->count);
    for (size_t i = 0; status == STATUS_OK && i < partitions->count; i++) {
        status = recover_one(partitions, options, (uint32_t)i);
    }
    if (status == STATUS_OK) { status = settle_identities(partitions, options); }
    if (status == STATUS_OK) { status = open_stats(partitions, options); }
    if (status == STATUS_OK) { status = open_starts(partitions, options); }
    if (status == STATUS_OK) { status = recover_lanes(partitions, options); }
    if (status != STATUS_OK) {
        partitions_close(partitions);
        return status;
    }
    fill_slots(partitions, options);
    return STATUS_OK;
}

void partitions_close(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++) {
        lane_resume_set_deinit(&partitions->items[i].lanes);
        free(partitions->items[i].resume);
        partitions->items[i].resume = NULL;
    }
}

void partitions_begin_incarnation(const struct partitions *partitions, struct root_page *root,
                                  int64_t wall_ms)
{
    uint64_t latest = root->incarnation;
    for (size_t i = 0; i < partitions->count; i++) {
        const uint64_t written = partitions->items[i].resume->incarnation;
        if (written > latest) { latest = written; }
    }
    /* A log that is lost with its page takes its incarnations along: the clock is above them, if it
     * was not set back. */
    const uint64_t by_clock = wall_ms > 0 ? (uint64_t)(wall_ms / MS_PER_S) : 0;
    root->incarnation = latest + 1 > by_clock ? latest + 1 : by_clock;
}

uint32_t partitions_index_bytes(uint64_t segment_bytes)
{
    const uint64_t bytes = segment_bytes / SEGMENT_BYTES_PER_INDEX_BYTE;
    if (bytes < INDEX_BYTES_MIN) { return INDEX_BYTES_MIN; }
    return bytes < INDEX_BYTES_MAX ? (uint32_t)bytes : INDEX_BYTES_MAX;
}

enum status partitions_supply(const struct partitions *partitions, const struct config *config,
                              const char *runtime, struct segment_supply **out)
{
    const struct segment_supply_options supply = {
        .files = partitions->files,
        .runtime = runtime,
        .segment_bytes = config->storage.segment_bytes,
        .index_bytes = partitions_index_bytes(config->storage.segment_bytes),
        .log_count = config->workers.count,
        .grace_ns = INDEX_GRACE_NS,
        .reserve_bytes = config->storage.reserve_bytes,
    };
    const enum status status = segment_supply_create(&supply, out);
    if (status != STATUS_OK) { return status; }
    for (size_t i = 0; i < config->workers.count; i++) {
        segment_supply_add_log(*out, i, (uint32_t)i,
                               partitions->items[i].resume->next_segment_number);
    }
    return STATUS_OK;
}

/* The topics that have limits of their own; `out` has room for all. */
static size_t topic_limits_of(const struct config *config, struct topic_limits *out)
{
    size_t count = 0;
    for (size_t i = 0; i < config->topic_count; i++) {
        const struct config_topic *const topic = &config->topics[i];
        if (topic->retain_bytes == 0 && topic->retain_age_ns == 0) { continue; }
        out[count++] =
            (struct topic_limits){topic->name, topic->retain_bytes, topic->retain_age_ns};
    }
    return count;
}

enum status partitions_retention(const struct partitions *partitions, const struct config *config,
                                 const struct partitions_retention *place, struct retention **out)
{
    struct topic_limits *const topics = calloc(config->topic_count + 1, sizeof *topics);
    if (topics == NULL) { return STATUS_NO_MEMORY; }
    const struct retention_options retention = {
        .files = partitions->files,
        .root = place->root,
        .node = place->node,
        .retain_bytes = config->storage.retain_bytes,
        .retain_age_ns = config->storage.retain_age_ns,
        .grace_ns = (uint64_t)RETENTION_GRACE_S * NS_PER_S,
        .retain_free_bytes = config->storage.retain_free_bytes,
        .reserve_bytes = config->storage.reserve_bytes,
        .path_of = place->path_of,
        .context = place->context,
        .stats = partitions->stats,
        .runtime = place->runtime,
        .starts = partitions->starts,
        .topics = topics,
        .topic_count = topic_limits_of(config, topics),
    };
    const enum status status = retention_create(&retention, out);
    free(topics);
    return status;
}
