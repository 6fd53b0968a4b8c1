#include "dataplane/node_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/logger.h"
#include "base/units.h"

/* ---------------------------------------------------------------------------- storage paths */

/* What a path is refused for, and what was mended in passing. */
static void on_path(void *context, const char *path, enum path_finding finding, uint64_t value)
{
    char text[UNITS_TEXT_BYTES];
    char wanted[UNITS_TEXT_BYTES];
    const struct config *const config = context;
    switch (finding) {
    case PATH_REFUSED: log_error("storage path %s: %s", path, strerror(errno)); break;
    case PATH_TAKES_NO_FILES:
        log_error("storage path %s takes no files (%s): what it holds is served, new segments go "
                  "to the others",
                  path, strerror(errno));
        break;
    case PATH_WITHOUT_DIRECT:
        log_error("storage path %s: its file system has no O_DIRECT", path);
        break;
    case PATH_IN_USE:
        log_error("storage path %s is mounted, part of an array or volume, or in use by another "
                  "program",
                  path);
        break;
    case PATH_NOT_INITIALISED:
        log_error("storage path %s: no Penstock device, or no longer one: `penstock storage init "
                  "%s` makes it one, and erases what it holds",
                  path, path);
        break;
    case PATH_UNSUPPORTED:
        log_error("storage path %s: a newer release initialised it, or its blocks are larger than "
                  "4 KiB, or it takes no O_DIRECT",
                  path);
        break;
    case PATH_DAMAGED:
        log_error("storage path %s: neither copy of its superblock holds: the disk is damaged; its "
                  "segments may still be there",
                  path);
        break;
    case PATH_SHRUNK:
        log_error("storage path %s is smaller than it was when it was initialised", path);
        break;
    case PATH_SLOTS_TOO_SMALL:
        log_error("storage path %s has slots of %s and storage.segment is %s: lower that, or "
                  "initialise the device anew",
                  path, units_format_size(value, text, sizeof text),
                  units_format_size(config->storage.segment_bytes, wanted, sizeof wanted));
        break;
    case PATH_MENDED:
        log_warning("storage path %s: %" PRIu64 " blocks of its superblock or slot table did not "
                    "hold, and were written again from their second copies; nothing is lost",
                    path, value);
        break;
    case PATH_NOT_MENDED:
        log_error("storage path %s: %" PRIu64 " blocks of its superblock or slot table cannot be "
                  "written: replace the disk",
                  path, value);
        break;
    case PATH_SLOTS_RECOGNISED:
        log_warning("storage path %s: the slot table had lost %" PRIu64
                    " slots; what stands in them told what they are",
                    path, value);
        break;
    case PATH_SLOTS_LOST:
        log_error("storage path %s: the slot table lost %" PRIu64
                  " slots, and what stands in them does not tell what they are: they are neither "
                  "served nor used",
                  path, value);
        break;
    }
}

/* Devices are this process's alone by how they are opened. */
static enum status lock_directories(struct node_logs *logs, const struct config *config)
{
    for (size_t i = 0; i < config->storage.paths.count; i++) {
        const char *const path = config->storage.paths.items[i];
        if (posix_path_is_device(path)) { continue; }
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
    const struct posix_files_options options = {
        .paths = (const char *const *)config->storage.paths.items,
        .count = config->storage.paths.count,
        .segment_bytes = config->storage.segment_bytes,
        .found = on_path,
        .context = (void *)(uintptr_t)config,
    };
    const enum status status = posix_files_open(&options, &logs->posix);
    if (status == STATUS_NO_MEMORY) { log_error("storage paths: %s", status_text(status)); }
    if (status != STATUS_OK) { return status; } /* else on_path said why */
    logs->files = posix_files_port(logs->posix);
    return lock_directories(logs, config);
}

/* --------------------------------------------------------------------------------- findings */

/* What callbacks share while the logs are opened. */
struct opening {
    struct node_logs *logs;
    struct runtime *runtime;
    size_t lost_lines;
};

static void on_lanes_found(void *context, uint32_t partition, enum lane_finding finding,
                           uint64_t number, uint64_t value, uint64_t other)
{
    (void)context;
    static const char consequence[] =
        "lanes may be older than their producers know; they are told which records may be lost";
    switch (finding) {
    case LANES_MISSING_SEGMENT:
        log_error("part-%04u: segments before %016" PRIx64
                  " are missing that hold lanes from commit %" PRIu64 " on: %s",
                  partition, number, value, consequence);
        return;
    case LANES_UNREADABLE:
        log_error("part-%04u: segment %016" PRIx64 " cannot be read from byte %" PRIu64
                  " to byte %" PRIu64 " (0: its end), where lanes may stand: %s",
                  partition, number, value, other, consequence);
        return;
    case LANES_GAPS:
        log_error("part-%04u: of %" PRIu64 " lanes the fates of some records are not known",
                  partition, value);
        return;
    }
}

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
                    ": what stood there (%" PRIu64
                    " bytes) may have been acknowledged, and is lost",
                    partition, number, value, other);
        break;
    case RECOVERY_CLEAN_TAIL:
        log_notice("part-%04u: segment %016" PRIx64 " ends in unfinished writes at byte %" PRIu64
                   " (%" PRIu64 " bytes); none of them had been acknowledged",
                   partition, number, value, other);
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
    case RECOVERY_ABANDONED:
        log_notice("part-%04u: segment %016" PRIx64 " was given up at byte %" PRIu64
                   ": what was written behind commit %" PRIu64 " stands in the next segment",
                   partition, number, value, other);
        break;
    case RECOVERY_FINDING_COUNT: break;
    }
}

/* One line a range; a disk that lost thousands has its sums in the metrics. */
static void on_records_lost(void *context, uint32_t partition, const char *topic, uint64_t first,
                            uint64_t end)
{
    enum { LINES_MAX = 100 };
    struct opening *const opening = context;
    if (opening->lost_lines == LINES_MAX) { return; }
    log_error("part-%04u: topic %s: offsets %" PRIu64 " to %" PRIu64 " are lost (%" PRIu64
              " records)",
              partition, topic, first, end - 1, end - first);
    if (++opening->lost_lines == LINES_MAX) {
        log_error("more offsets may be lost than the %d ranges above: recovery_records_lost counts "
                  "them all",
                  LINES_MAX);
    }
}

/* -------------------------------------------------------------------- what partitions ask for */

static enum status open_stats_page(void *context, uint32_t partition, struct stats_page **out,
                                   bool *survived)
{
    const struct opening *const opening = context;
    return runtime_stats_page(opening->runtime, partition, &opening->logs->stats_files[partition],
                              out, survived);
}

static enum status open_starts_page(void *context, uint32_t partition, struct log_id log_id,
                                    struct topic_starts **out)
{
    const struct opening *const opening = context;
    return runtime_topic_starts(opening->runtime, partition, log_id,
                                &opening->logs->starts_files[partition], out);
}

static struct log_id random_id(void *context)
{
    (void)context;
    struct log_id id;
    if (getrandom(id.bytes, sizeof id.bytes, 0) != (ssize_t)sizeof id.bytes) { abort(); }
    return id;
}

/* ------------------------------------------------------------------------------- life cycle */

static void name_paths(const struct config *config, struct node_page *node)
{
    const size_t count = config->storage.paths.count;
    node->path_count = (uint32_t)(count < NODE_PATHS_MAX ? count : NODE_PATHS_MAX);
    memset(node->paths, 0, sizeof node->paths);
    for (size_t i = 0; i < node->path_count; i++) {
        snprintf(node->paths[i].path, sizeof node->paths[i].path, "%s",
                 config->storage.paths.items[i]);
    }
}

/* Without a native listener nothing moves lanes on to newer segments, so nothing keeps the older
 * ones either: the operator who took the listener away ended the promise, and hears of it. */
static void tell_lanes_left(const struct node_logs *logs)
{
    for (size_t i = 0; i < logs->partitions.count; i++) {
        if (logs->partitions.items[i].resume->lane_checkpoint == 0) { continue; }
        log_warning("part-%04zu: producers' lanes are in its log, and no listener is native: they "
                    "go with the segments that retention takes; a producer that comes back after "
                    "that is told that its lane is unknown",
                    i);
    }
}

uint32_t node_logs_path_of(void *context, uint32_t partition)
{
    const struct node_logs *const logs = context;
    return (uint32_t)posix_files_path_of(logs->posix, partition);
}

enum status node_logs_open(struct node_logs *logs, const struct config *config,
                           struct runtime *runtime)
{
    memset(logs, 0, sizeof *logs);
    enum status status = open_paths(logs, config);
    if (status == STATUS_OK) {
        struct opening opening = {.logs = logs, .runtime = runtime};
        const struct partitions_options partitions = {
            .files = logs->files,
            .root = runtime->root,
            .root_survived = runtime->root_survived,
            .worker_count = config->workers.count,
            .report = {.found = on_found, .context = &opening, .records_lost = on_records_lost},
            .lane_report = {.found = on_lanes_found, .context = NULL},
            .wall_ms = clock_now().wall_ms,
            .remember_ns =
                config_has_protocol(config, CONFIG_PROTOCOL_NATIVE) ? config->lanes.remember_ns : 0,
            .stats_page = open_stats_page,
            .starts_page = open_starts_page,
            .fresh_id = random_id,
            .context = &opening,
        };
        status = partitions_open(&logs->partitions, &partitions);
    }
    if (status == STATUS_OK && !config_has_protocol(config, CONFIG_PROTOCOL_NATIVE)) {
        tell_lanes_left(logs);
    }
    if (status != STATUS_OK) {
        node_logs_close(logs);
        return status;
    }
    name_paths(config, runtime->node);
    runtime_remove_live_indexes(runtime); /* every segment is sealed by now */
    return STATUS_OK;
}

void node_logs_close(struct node_logs *logs)
{
    partitions_close(&logs->partitions);
    for (size_t i = 0; i < ARRAY_COUNT(logs->stats_files); i++) {
        mapped_file_close(&logs->stats_files[i]);
        mapped_file_close(&logs->starts_files[i]);
    }
    for (size_t i = 0; i < logs->path_lock_count; i++) { close(logs->path_locks[i]); }
    logs->path_lock_count = 0;
    posix_files_destroy(logs->posix);
    logs->posix = NULL;
}
