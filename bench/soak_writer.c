/* soak_writer.c - stands in for penstock-ingest where the disk is to be the limit.
 *
 * The log, its supply, retention and pages as dataplane/node.c puts them together, on the
 * configured paths; instead of a worker one loop that fills commit after commit with records of
 * soak_content.h, as fast as the disk takes them. penstock-serve finds a running node.
 * Runs until SIGTERM; every SECONDS one line of JSON: what became durable meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/logger.h"
#include "bench/soak_content.h"
#include "dataplane/node_config.h"
#include "dataplane/node_logs.h"
#include "dataplane/runtime.h"
#include "dataplane/steward.h"
#include "storage/core_log.h"
#include "storage/uring_disk.h"
#include "wire/record_batch.h"

enum {
    EXIT_USAGE = 64,
    RECORDS_MAX = 8192, /* of one commit */
    HEARTBEAT_NS = 100 * NS_PER_MS,
    IDLE_WATERMARK_NS = 500 * NS_PER_MS,
};

struct writer {
    const struct config *config;
    struct runtime runtime;
    struct node_logs logs;
    struct segment_supply *supply;
    struct retention *retention;
    struct steward *steward;
    struct mapped_file ring_file;
    struct commit_ring_header *ring;
    struct uring_disk *disk;
    struct core_log *log;
    int32_t topic;
    uint32_t commit_bytes;
    struct soak_content content;
    uint64_t report_ns;
    uint64_t report_period_ns;
    uint64_t reported_bytes;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static struct stats_page *stats_of(const struct writer *writer)
{
    return writer->logs.partitions.items[0].stats;
}

/* --------------------------------------------------------------------------------------- set-up */

static enum status open_logs(struct writer *writer)
{
    const struct config *const config = writer->config;
    enum status status = runtime_open(&writer->runtime, config->runtime, config->node);
    if (status != STATUS_OK) { return status; }
    struct root_page *const root = writer->runtime.root;
    root->state = ROOT_STATE_RECOVERING;
    root->heartbeat_ns = clock_mono_ns();
    status = node_logs_open(&writer->logs, config, &writer->runtime);
    if (status != STATUS_OK) { return status; }
    partitions_begin_incarnation(&writer->logs.partitions, root, clock_now().wall_ms);
    root->worker_count = 1;
    root->pid = (uint32_t)getpid();
    return STATUS_OK;
}

static enum status create_helpers(struct writer *writer)
{
    struct partitions *const partitions = &writer->logs.partitions;
    const struct partitions_retention place = {
        .root = writer->runtime.root,
        .node = writer->runtime.node,
        .runtime = writer->runtime.path,
        .path_of = node_logs_path_of,
        .context = &writer->logs,
    };
    enum status status =
        partitions_supply(partitions, writer->config, writer->runtime.path, &writer->supply);
    if (status != STATUS_OK) { return status; }
    status = partitions_retention(partitions, writer->config, &place, &writer->retention);
    if (status != STATUS_OK) { return status; }
    while (segment_supply_work(writer->supply, clock_mono_ns())) {}
    return steward_start(writer->supply, writer->config->workers.count, writer->retention,
                         &writer->steward);
}

static enum status create_log(struct writer *writer)
{
    const struct config *const config = writer->config;
    const struct partition *const partition = &writer->logs.partitions.items[0];
    enum status status =
        runtime_commit_ring(&writer->runtime, 0, partition->resume->log_id,
                            config->storage.ring_bytes, &writer->ring_file, &writer->ring);
    if (status != STATUS_OK) { return status; }
    const struct uring_disk_options disk = {
        .depth = config->storage.commits_in_flight + 8,
        .memory = bytes_of(commit_ring_data(writer->ring), writer->ring->capacity_bytes),
        .doorbell = -1,
    };
    status = uring_disk_create(&disk, &writer->disk);
    if (status == STATUS_OK) { status = uring_disk_adopt(writer->disk); }
    if (status != STATUS_OK) { return status; }
    writer->commit_bytes = (uint32_t)config->storage.commit_bytes;
    const struct core_log_options log = {
        .disk = uring_disk_port(writer->disk),
        .supply = writer->supply,
        .ring = writer->ring,
        .root = writer->runtime.root,
        .slot = &writer->runtime.root->partitions[0],
        .stats = partition->stats,
        .resume = partition->resume,
        .incarnation = writer->runtime.root->incarnation,
        .commits_in_flight_max = config->storage.commits_in_flight + 1,
        .commits_at_disk_max = config->storage.commits_in_flight,
        .commit_bytes_max = writer->commit_bytes,
        .commit_records_max = RECORDS_MAX,
        .idle_watermark_ns = IDLE_WATERMARK_NS,
        .segment_age_ns = config->storage.segment_age_ns,
    };
    status = core_log_create(&log, &writer->log);
    if (status != STATUS_OK) { return status; }
    return core_log_declare_topic(writer->log, config->topics[0].name, &writer->topic);
}

/* -------------------------------------------------------------------------------------- writing */

/* Records from `offset` on, as many as `room_bytes` take; answers the batch's bytes. */
static size_t encode_batch(struct writer *writer, uint8_t *at, size_t room_bytes, uint64_t offset,
                           int64_t wall_ms, uint32_t *out_records)
{
    uint8_t value[SOAK_VALUE_BYTES];
    uint8_t *end = at + RECORD_BATCH_HEADER_BYTES;
    uint32_t records = 0;
    const size_t payload_bytes = record_batch_payload_bytes(-1, sizeof value, 0, 0);
    while (records < RECORDS_MAX) {
        const size_t body_bytes = record_batch_body_bytes(0, records, payload_bytes);
        if (record_batch_record_bytes(body_bytes) > room_bytes - (size_t)(end - at)) { break; }
        soak_content_fill(&writer->content, offset + records, value);
        const struct record_batch_parts parts = {
            .body_bytes = body_bytes,
            .offset_delta = records,
            .key = bytes_null(),
            .value = bytes_of(value, sizeof value),
        };
        end = record_batch_record_encode(&parts, end);
        records++;
    }
    const size_t length_bytes = (size_t)(end - at);
    const struct record_batch_header header = {
        .base_offset = (int64_t)offset,
        .length_bytes = (int32_t)length_bytes,
        .leader_epoch = (int32_t)core_log_leader_epoch(writer->log),
        .last_offset_delta = (int32_t)records - 1,
        .base_timestamp_ms = wall_ms,
        .max_timestamp_ms = wall_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .record_count = (int32_t)records,
    };
    record_batch_header_encode(&header, at);
    record_batch_crc_patch(
        at, crc32c(bytes_of(at + RECORD_BATCH_CRC_BEGIN, length_bytes - RECORD_BATCH_CRC_BEGIN)));
    *out_records = records;
    return length_bytes;
}

/* False: the log takes none now. */
static bool write_commit(struct writer *writer, struct instant now)
{
    struct commit_draft draft;
    if (core_log_begin(writer->log, 1, &draft) != STATUS_OK) { return false; }
    const struct sink room = core_log_entry_room(&draft);
    const size_t most = core_log_commit_room(writer->log, 1);
    const size_t room_bytes = sink_room_bytes(&room) < most ? sink_room_bytes(&room) : most;
    uint8_t *const at = draft.at + draft.used_bytes;
    const uint64_t offset = core_log_next_offset(writer->log, writer->topic);
    uint32_t records;
    const size_t length = encode_batch(writer, at, room_bytes, offset, now.wall_ms, &records);
    core_log_entry_add(writer->log, &draft, writer->topic, records, (uint32_t)length,
                       crc32c(bytes_of(at, length)), now.wall_ms);

    struct stats_page *const stats = stats_of(writer);
    stats->records_in_flight += records;
    stats_add(stats, STATS_records_in, records);
    const struct commit_facts facts = {.records = records};
    (void)core_log_submit(writer->log, &draft, &facts, now);
    return true;
}

static void report(struct writer *writer, uint64_t now_ns)
{
    const struct stats_page *const stats = stats_of(writer);
    const uint64_t bytes = stats->counters[STATS_commits_durable_bytes];
    const double seconds = (double)(now_ns - writer->report_ns) / NS_PER_S;
    if (now_ns - writer->report_ns < writer->report_period_ns) { return; }
    printf("{\"seconds\": %.3f, \"bytes\": %" PRIu64 ", \"records\": %" PRIu64
           ", \"starved\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"log_bytes\": %" PRIu64 "}\n",
           seconds, bytes - writer->reported_bytes, stats->counters[STATS_records_stored],
           stats->counters[STATS_segments_starved], stats->counters[STATS_segments_failed],
           writer->runtime.node->log_bytes);
    fflush(stdout);
    writer->report_ns = now_ns;
    writer->reported_bytes = bytes;
}

static void run(struct writer *writer)
{
    uint64_t beat_ns = 0;
    writer->report_ns = clock_mono_ns();
    writer->reported_bytes = stats_of(writer)->counters[STATS_commits_durable_bytes];
    writer->runtime.root->state = ROOT_STATE_RUNNING;
    while (stopping == 0) {
        const struct instant now = clock_now();
        (void)core_log_turn(writer->log, now);
        (void)write_commit(writer, now);
        if (now.mono_ns - beat_ns < HEARTBEAT_NS) { continue; }
        beat_ns = now.mono_ns;
        writer->runtime.root->heartbeat_ns = now.mono_ns;
        stats_of(writer)->heartbeat_ns = now.mono_ns;
        report(writer, now.mono_ns);
    }
    writer->runtime.root->state = ROOT_STATE_DRAINING;
    core_log_finish(writer->log);
    while (!core_log_is_finished(writer->log) && core_log_closed_why(writer->log) == STATUS_OK) {
        (void)core_log_turn(writer->log, clock_now());
    }
    writer->runtime.root->state = ROOT_STATE_STOPPED;
}

static void take_down(struct writer *writer)
{
    steward_stop(writer->steward);
    core_log_destroy(writer->log);
    uring_disk_destroy(writer->disk);
    mapped_file_close(&writer->ring_file);
    retention_destroy(writer->retention);
    segment_supply_destroy(writer->supply);
    node_logs_close(&writer->logs);
    runtime_close(&writer->runtime);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr,
                "usage: bench-soak-writer CONFIG SECONDS\n"
                "Writes the configuration's first topic; a line of figures every SECONDS.\n");
        return EXIT_USAGE;
    }
    static struct writer writer;
    struct node_config config;
    struct diagnostics *const diagnostics = diagnostics_create();
    logger_init("bench-soak-writer", LOG_LEVEL_NOTICE);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    const bool loaded = node_config_load(argv[1], diagnostics, &config);
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    if (!loaded) { return EXIT_FAILURE; }
    writer.config = config.config;
    writer.report_period_ns = (uint64_t)(strtod(argv[2], NULL) * NS_PER_S);
    soak_content_init(&writer.content);

    enum status status = open_logs(&writer);
    if (status == STATUS_OK) { status = create_helpers(&writer); }
    if (status == STATUS_OK) { status = create_log(&writer); }
    if (status == STATUS_OK) {
        run(&writer);
    } else {
        log_error("cannot write: %s (%s)", status_text(status), strerror(errno));
    }
    take_down(&writer);
    node_config_deinit(&config);
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
