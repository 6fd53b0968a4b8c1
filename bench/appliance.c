#include "bench/appliance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "base/logger.h"
#include "dataplane/listeners.h"
#include "dataplane/node_logs.h"
#include "dataplane/notes.h"
#include "dataplane/runtime.h"
#include "dataplane/steward.h"
#include "dataplane/worker.h"
#include "storage/core_log.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"
#include "storage/uring_disk.h"

enum {
    /* as in node.c */
    INDEX_GRACE_NS = 1 * NS_PER_S,
    RETENTION_GRACE_S = 5,
    IDLE_WATERMARK_NS = 500 * NS_PER_MS,
    COMMIT_RECORDS_MAX = 65536,
    BYTES_PER_INDEX_ENTRY = 16384,
    INDEX_ENTRIES_MIN = 4096,

    FRAMES_AHEAD = FRAMES_BURST, /* in the ring, not yet received, before the next burst is fed */
    DRAIN_TIMEOUT_S = 10,
    FINISH_TIMEOUT_S = 30,
};

struct appliance {
    const struct config *config;
    struct runtime runtime;
    bool runtime_is_open;
    struct node_logs logs;
    bool logs_are_open;
    struct segment_supply *supply;
    struct retention *retention;
    struct steward *steward;
    struct listeners listeners;
    int doorbell;
    struct mapped_file ring_file;
    struct commit_ring_header *ring;
    struct uring_disk *disk;
    bool disk_is_adopted;
    enum status adoption;
    struct core_log *log;
    struct note_ring notes;
    struct note_limits note_limits;
    struct worker *worker;
    int scratch_file;
    int32_t log_topics[CONFIG_TOPICS_MAX];
};

/* ------------------------------------------------------------------------------------- storage */

static enum status open_runtime(struct appliance *appliance)
{
    const struct config *const config = appliance->config;
    enum status status = runtime_open(&appliance->runtime, config->runtime, config->node);
    if (status != STATUS_OK) { return status; }
    appliance->runtime_is_open = true;
    struct root_page *const root = appliance->runtime.root;
    root->state = ROOT_STATE_RECOVERING;

    status = node_logs_open(&appliance->logs, config, &appliance->runtime);
    if (status != STATUS_OK) { return status; }
    appliance->logs_are_open = true;
    root->incarnation++;
    root->state = ROOT_STATE_RUNNING;
    return STATUS_OK;
}

static enum status create_supply(struct appliance *appliance)
{
    const struct config *const config = appliance->config;
    uint64_t entries = config->storage.segment_bytes / BYTES_PER_INDEX_ENTRY;
    if (entries < INDEX_ENTRIES_MIN) { entries = INDEX_ENTRIES_MIN; }
    const struct segment_supply_options supply = {
        .files = appliance->logs.files,
        .runtime = appliance->runtime.path,
        .segment_bytes = config->storage.segment_bytes,
        .index_entries = (uint32_t)entries,
        .log_count = 1,
        .grace_ns = INDEX_GRACE_NS,
    };
    enum status status = segment_supply_create(&supply, &appliance->supply);
    if (status != STATUS_OK) { return status; }
    segment_supply_add_log(appliance->supply, 0, 0,
                           appliance->logs.partitions.items[0].resume->next_segment_number);

    const struct retention_options retention = {
        .files = appliance->logs.files,
        .root = appliance->runtime.root,
        .node = appliance->runtime.node,
        .retain_bytes = config->storage.retain_bytes,
        .retain_age_ns = config->storage.retain_age_ns,
        .grace_ns = (uint64_t)RETENTION_GRACE_S * NS_PER_S,
    };
    status = retention_create(&retention, &appliance->retention);
    if (status != STATUS_OK) { return status; }
    return steward_start(appliance->supply, appliance->retention, &appliance->steward);
}

static enum status create_log(struct appliance *appliance)
{
    const struct config *const config = appliance->config;
    struct partition *const recovered = &appliance->logs.partitions.items[0];
    enum status status =
        runtime_commit_ring(&appliance->runtime, 0, recovered->resume->log_id,
                            config->storage.ring_bytes, &appliance->ring_file, &appliance->ring);
    if (status != STATUS_OK) { return status; }

    const struct uring_disk_options disk = {
        .depth = config->storage.commits_in_flight + 8,
        .memory = bytes_of(commit_ring_data(appliance->ring), appliance->ring->capacity_bytes),
        .doorbell = appliance->doorbell,
    };
    status = uring_disk_create(&disk, &appliance->disk);
    if (status != STATUS_OK) { return status; }

    const struct core_log_options options = {
        .disk = uring_disk_port(appliance->disk),
        .supply = appliance->supply,
        .supply_index = 0,
        .ring = appliance->ring,
        .root = appliance->runtime.root,
        .slot = &appliance->runtime.root->partitions[0],
        .stats = recovered->stats,
        .notes = &appliance->notes,
        .resume = recovered->resume,
        .incarnation = appliance->runtime.root->incarnation,
        .commits_in_flight_max = config->storage.commits_in_flight,
        .commit_bytes_max = (uint32_t)config->storage.commit_bytes,
        .commit_records_max = COMMIT_RECORDS_MAX,
        .idle_watermark_ns = IDLE_WATERMARK_NS,
    };
    status = core_log_create(&options, &appliance->log);
    for (size_t i = 0; status == STATUS_OK && i < config->topic_count; i++) {
        status = core_log_declare_topic(appliance->log, config->topics[i].name,
                                        &appliance->log_topics[i]);
    }
    return status;
}

/* -------------------------------------------------------------------------------------- worker */

static enum status create_worker(struct appliance *appliance, const struct node_config *config,
                                 struct dpdk_port *port)
{
    const struct worker_port worker_port = {
        .packets = dpdk_port_packets(port, 0),
        .interface = dpdk_port_interface(port),
    };
    struct stats_page *const stats = appliance->logs.partitions.items[0].stats;
    stats->core = appliance->config->workers.cores[0];
    stats->cycles_per_second = cycles_per_second();
    const struct worker_options options = {
        .ports = &worker_port,
        .port_count = 1,
        .frames_held_max = packets_buffers_free(worker_port.packets) / 2,
        .listeners = &appliance->listeners,
        .rules = config->rules,
        .log = appliance->log,
        .log_topics = appliance->log_topics,
        .topic_count = appliance->config->topic_count,
        .stats = stats,
        .notes = &appliance->notes,
        .commit_bytes = core_log_commit_room(appliance->log, appliance->config->topic_count),
        .commit_records_max = COMMIT_RECORDS_MAX,
        .commit_linger_ns = appliance->config->storage.commit_linger_ns,
        .announces = false,
    };
    return worker_create(&options, &appliance->worker);
}

enum status appliance_create(const struct node_config *config, struct dpdk_port *port,
                             struct appliance **out)
{
    struct appliance *const appliance = calloc(1, sizeof *appliance);
    if (appliance == NULL) { return STATUS_NO_MEMORY; }
    appliance->config = config->config;
    appliance->scratch_file = -1;
    appliance->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    listeners_init(&appliance->listeners, config->config);
    note_ring_init(&appliance->notes, 0);

    enum status status = appliance->doorbell < 0 ? status_from_errno(errno) : STATUS_OK;
    if (status == STATUS_OK) { status = open_runtime(appliance); }
    if (status == STATUS_OK) { status = create_supply(appliance); }
    if (status == STATUS_OK) { status = create_log(appliance); }
    if (status == STATUS_OK) { status = create_worker(appliance, config, port); }
    if (status != STATUS_OK) {
        log_error("the appliance does not start: %s (%s)", status_text(status), strerror(errno));
        appliance_destroy(appliance);
        return status;
    }
    *out = appliance;
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------- running */

static bool adopt_disk(struct appliance *appliance)
{
    if (!appliance->disk_is_adopted) {
        appliance->adoption = uring_disk_adopt(appliance->disk);
        appliance->disk_is_adopted = true;
    }
    return appliance->adoption == STATUS_OK;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
}

/* Everything that was fed was received, and is durable or dropped. */
static bool is_quiet(const struct stats_page *stats, uint64_t received_before,
                     const struct ingest_run *run)
{
    return stats->counters[STATS_frames_received] - received_before == run->frames_fed &&
           stats->records_in_flight == 0;
}

int appliance_ingest(void *argument)
{
    struct ingest_run *const run = argument;
    struct appliance *const appliance = run->appliance;
    const struct stats_page *const stats = appliance_stats(appliance);
    const uint64_t received_before = stats->counters[STATS_frames_received];
    run->feed_cycles = run->turns = run->frames_fed = 0;
    run->timed_out = !adopt_disk(appliance);
    if (run->timed_out) { return 0; }

    struct counters counters;
    counters_begin(&counters);
    const uint64_t cpu_began_ns = thread_cpu_ns();
    const struct instant began = clock_now();
    struct instant now = began;
    while (now.mono_ns - began.mono_ns < run->duration_ns) {
        const uint64_t received = stats->counters[STATS_frames_received] - received_before;
        if (run->frames_fed - received < FRAMES_AHEAD) {
            const uint64_t feed_began = cycles_now();
            run->frames_fed += frames_feed(run->frames, run->port_id);
            run->feed_cycles += cycles_now() - feed_began;
        }
        now = clock_now();
        (void)worker_turn(appliance->worker, now);
        run->turns++;
    }

    const uint64_t deadline_ns = now.mono_ns + (uint64_t)DRAIN_TIMEOUT_S * NS_PER_S;
    while (!is_quiet(stats, received_before, run) && !run->timed_out) {
        now = clock_now();
        (void)worker_turn(appliance->worker, now);
        run->timed_out = now.mono_ns > deadline_ns;
    }
    run->elapsed_ns = clock_mono_ns() - began.mono_ns;
    run->cpu_ns = thread_cpu_ns() - cpu_began_ns;
    run->counted = counters_end(&counters);
    return 0;
}

static int finish_body(void *argument)
{
    struct appliance *const appliance = argument;
    if (!adopt_disk(appliance)) { return 0; }
    worker_request_stop(appliance->worker);
    const uint64_t deadline_ns = clock_mono_ns() + (uint64_t)FINISH_TIMEOUT_S * NS_PER_S;
    while (!worker_is_done(appliance->worker) && clock_mono_ns() < deadline_ns) {
        (void)worker_turn(appliance->worker, clock_now());
    }
    return 0;
}

const struct stats_page *appliance_stats(const struct appliance *appliance)
{
    return appliance->logs.partitions.items[0].stats;
}

size_t appliance_commit_bytes(const struct appliance *appliance)
{
    return appliance->config->storage.commit_bytes;
}

int appliance_scratch_file(struct appliance *appliance, uint64_t size_bytes)
{
    if (appliance->scratch_file >= 0) { return appliance->scratch_file; }
    if (files_create(appliance->logs.files, "part-0000/limit.scratch", size_bytes,
                     &appliance->scratch_file) != STATUS_OK) {
        return -1;
    }
    return appliance->scratch_file;
}

void appliance_destroy(struct appliance *appliance)
{
    if (appliance == NULL) { return; }
    if (appliance->worker != NULL) {
        if (dpdk_worker_launch(0, finish_body, appliance) == STATUS_OK) { dpdk_workers_wait(); }
        if (!worker_is_done(appliance->worker)) {
            log_error("the log cannot be finished: its writes are still in flight");
            _exit(1); /* their memory must not be freed */
        }
    }
    (void)notes_write(&appliance->notes, &appliance->note_limits, clock_mono_ns());
    steward_stop(appliance->steward);
    worker_destroy(appliance->worker);
    core_log_destroy(appliance->log);
    uring_disk_destroy(appliance->disk);
    mapped_file_close(&appliance->ring_file);
    retention_destroy(appliance->retention);
    segment_supply_destroy(appliance->supply);
    if (appliance->scratch_file >= 0) {
        files_close(appliance->logs.files, appliance->scratch_file);
    }
    if (appliance->logs_are_open) { node_logs_close(&appliance->logs); }
    if (appliance->runtime_is_open) { runtime_close(&appliance->runtime); }
    if (appliance->doorbell >= 0) { close(appliance->doorbell); }
    free(appliance);
}
