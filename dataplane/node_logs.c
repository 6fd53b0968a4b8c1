#include "dataplane/node_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/logger.h"
#include "storage/recovery.h"

/* ---------------------------------------------------------------------------- storage paths */

static enum status lock_paths(struct node_logs *logs, const struct config *config)
{
    for (size_t i = 0; i < config->storage.paths.count; i++) {
        const char *const path = config->storage.paths.items[i];
        if (logs->path_lock_count == ARRAY_COUNT(logs->path_locks)) {
            log_error("more than %zu storage paths", ARRAY_COUNT(logs->path_locks));
            return STATUS_INVALID;
        }
        const int lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock < 0) {
            log_error("storage path %s: %s", path, strerror(errno));
            return status_from_errno(errno);
        }
        logs->path_locks[logs->path_lock_count++] = lock;
        if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
            log_error("storage path %s is in use by another penstock-ingest", path);
            return STATUS_BUSY;
        }
    }
    return STATUS_OK;
}

static enum status open_paths(struct node_logs *logs, const struct config *config)
{
    const enum status status = posix_files_create((const char *const *)config->storage.paths.items,
                                                  config->storage.paths.count, false, &logs->posix);
    if (status != STATUS_OK) {
        log_error("storage paths, the first is %s: %s (%s)", config->storage.paths.items[0],
                  status_text(status), strerror(errno));
        return status;
    }
    logs->files = posix_files_port(logs->posix);
    return lock_paths(logs, config);
}

static void on_partition(void *context, uint32_t partition)
{
    size_t *const count = context;
    if (partition + 1 > *count && partition < ROOT_PARTITIONS_MAX) { *count = partition + 1; }
}

/* --------------------------------------------------------------------------------- recovery */

static void on_found(void *context, uint32_t partition, enum recovery_finding finding,
                     uint64_t number, uint64_t value, uint64_t other)
{
    (void)context;
    switch (finding) {
    case RECOVERY_SEALED:
        log_notice("part-%04u: segment %016" PRIx64 " sealed after an unfinished run, %" PRIu64
                   " commits kept",
                   partition, number, value);
        break;
    case RECOVERY_CUT:
        log_warning("part-%04u: segment %016" PRIx64 " is torn at byte %" PRIu64
                    ": what stood there may have been acknowledged, and is lost",
                    partition, number, value);
        break;
    case RECOVERY_CLEAN_TAIL:
        log_notice("part-%04u: segment %016" PRIx64 " ends in unfinished writes at byte %" PRIu64
                   "; none of them had been acknowledged",
                   partition, number, value);
        break;
    case RECOVERY_FENCED:
        if (other == 0) {
            log_error("part-%04u: segment %016" PRIx64 " lacks commits that were durable, at byte "
                      "%" PRIu64 ": they are lost, the rest is served",
                      partition, number, value);
            break;
        }
        log_error("part-%04u: segment %016" PRIx64 " is damaged: %" PRIu64
                  " bytes from byte %" PRIu64 " are fenced off, the rest is served",
                  partition, number, other, value);
        break;
    case RECOVERY_MISSING_SEGMENT:
        log_error("part-%04u: segment %016" PRIx64 " is missing", partition, number);
        break;
    case RECOVERY_UNREADABLE:
        log_error("part-%04u: the header of segment %016" PRIx64 " cannot be read (%s): %s",
                  partition, number, status_text((enum status)value),
                  other == 1 ? "its first commit stands in for it, nothing is lost"
                             : "the file is left where it is, and not served");
        break;
    case RECOVERY_UNSUPPORTED:
        log_error("part-%04u: segment %016" PRIx64 " has format version %" PRIu64
                  ", this build knows version %d: use the release that wrote it",
                  partition, number, value, LOG_FORMAT_VERSION);
        break;
    case RECOVERY_UNSEALED:
        log_warning("part-%04u: segment %016" PRIx64
                    " could not be given a footer (%s); it is read without one",
                    partition, number, status_text((enum status)value));
        break;
    case RECOVERY_REMOVED_SPARE: break; /* prepared ahead and never used: nothing is lost */
    case RECOVERY_LOST_LOG:
        log_error("part-%04u: its log is lost: no segment is left of %" PRIu64
                  " durable commits; a new log begins, with topic ids of its own",
                  partition, value);
        break;
    case RECOVERY_SKIPPED_OFFSETS:
        log_warning("part-%04u: every topic skips %" PRIu64
                    " offsets, past all that the lost tail can have named; leader epoch is now "
                    "%" PRIu64,
                    partition, value, other);
        break;
    }
}

static enum status recover_one(struct node_logs *logs, const struct runtime *runtime,
                               uint32_t partition)
{
    struct node_log *const log = &logs->items[partition];
    log->resume = calloc(1, sizeof *log->resume);
    if (log->resume == NULL) { return STATUS_NO_MEMORY; }

    const struct root_partition *const slot = &runtime->root->partitions[partition];
    const struct recovery_witness witness = {
        .valid = runtime->root_survived && slot->state != ROOT_LOG_ABSENT,
        .log_id = slot->log_id,
        .nonce = slot->nonce,
        .incarnation = runtime->root->incarnation,
        .durable_number = slot->durable_number,
    };
    const struct recovery_report report = {.found = on_found, .context = NULL};
    const enum status status = recovery_run(logs->files, partition, &witness, &report, log->resume);
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

static struct log_id id_random(void)
{
    struct log_id id;
    if (getrandom(id.bytes, sizeof id.bytes, 0) != (ssize_t)sizeof id.bytes) { abort(); }
    /* As topic ids: an RFC 4122 version 4 whose text form does not begin with '-'. */
    id.bytes[0] &= 0x7f;
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

/* All logs of a node belong to one cluster id; new logs get it, and a log id of their own. */
static enum status settle_identities(struct node_logs *logs, struct runtime *runtime)
{
    struct log_id cluster = {{0}};
    for (size_t i = 0; i < logs->count; i++) {
        const struct log_id found = logs->items[i].resume->cluster_id;
        if (id_is_zero(found)) { continue; }
        if (id_is_zero(cluster)) { cluster = found; }
        if (!log_id_equal(found, cluster)) {
            log_error("part-%04zu belongs to another node than the partitions before it: storage "
                      "paths of two nodes are mixed",
                      i);
            return STATUS_INVALID;
        }
    }
    if (id_is_zero(cluster)) { cluster = id_random(); }

    for (size_t i = 0; i < logs->count; i++) {
        struct log_resume *const resume = logs->items[i].resume;
        resume->cluster_id = cluster;
        resume->partition = (uint32_t)i;
        if (id_is_zero(resume->log_id)) { resume->log_id = id_random(); }
        if (resume->next_segment_number == 0) { resume->next_segment_number = 1; }
        if (resume->next_commit_number == 0) { resume->next_commit_number = 1; }
    }
    runtime->root->cluster_id = cluster;
    return STATUS_OK;
}

static void fill_slots(struct node_logs *logs, struct runtime *runtime, size_t worker_count)
{
    for (size_t i = 0; i < logs->count; i++) {
        struct root_partition *const slot = &runtime->root->partitions[i];
        const struct log_resume *const resume = logs->items[i].resume;
        slot->log_id = resume->log_id;
        slot->nonce = resume->predecessor_nonce;
        slot->durable_number = resume->next_commit_number - 1;
        slot->open_segment_number = 0;
        slot->why = STATUS_OK;
        slot->state = i < worker_count ? ROOT_LOG_OPEN : ROOT_LOG_ORPHAN;
    }
    runtime->root->partition_count = (uint32_t)logs->count;
    runtime->root->segments_generation++;
}

/* ----------------------------------------------------------------------------------- ledger */

void node_logs_settle_ledger(struct stats_page *stats, bool survived,
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

static enum status open_stats(struct node_logs *logs, struct runtime *runtime)
{
    for (size_t i = 0; i < logs->count; i++) {
        struct node_log *const log = &logs->items[i];
        bool survived;
        const enum status status =
            runtime_stats_page(runtime, (uint32_t)i, &log->stats_file, &log->stats, &survived);
        if (status != STATUS_OK) { return status; }
        /* A page of another log (new disks, same boot) is not this log's past. */
        if (!log_id_equal(log->stats->log_id, log->resume->log_id)) { survived = false; }
        node_logs_settle_ledger(log->stats, survived, log->resume);
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------- life cycle */

enum status node_logs_open(struct node_logs *logs, const struct config *config,
                           struct runtime *runtime)
{
    memset(logs, 0, sizeof *logs);
    logs->count = config->workers.count;

    enum status status = open_paths(logs, config);
    if (status == STATUS_OK) {
        status = files_list_partitions(logs->files, on_partition, &logs->count);
    }
    for (size_t i = 0; status == STATUS_OK && i < logs->count; i++) {
        status = recover_one(logs, runtime, (uint32_t)i);
    }
    if (status == STATUS_OK) { status = settle_identities(logs, runtime); }
    if (status == STATUS_OK) { status = open_stats(logs, runtime); }
    if (status != STATUS_OK) {
        node_logs_close(logs);
        return status;
    }
    fill_slots(logs, runtime, config->workers.count);
    runtime_remove_live_indexes(runtime); /* every segment is sealed by now */
    return STATUS_OK;
}

void node_logs_close(struct node_logs *logs)
{
    for (size_t i = 0; i < logs->count; i++) {
        mapped_file_close(&logs->items[i].stats_file);
        free(logs->items[i].resume);
        logs->items[i].resume = NULL;
    }
    for (size_t i = 0; i < logs->path_lock_count; i++) { close(logs->path_locks[i]); }
    logs->path_lock_count = 0;
    posix_files_destroy(logs->posix);
    logs->posix = NULL;
}
