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
#include "bench/tap.h"
#include "dataplane/listeners.h"
#include "dataplane/node_logs.h"
#include "dataplane/notes.h"
#include "dataplane/runtime.h"
#include "dataplane/seat.h"
#include "dataplane/steward.h"
#include "dataplane/write_method.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"
#include "storage/uring_disk.h"

enum {
    /* as in node.c */
    INDEX_GRACE_NS = 1 * NS_PER_S,
    RETENTION_GRACE_S = 5,

    FRAMES_AHEAD = FRAMES_BURST, /* in the ring, not yet received, before the next burst is fed */
    DRAIN_TIMEOUT_S = 10,
    FINISH_TIMEOUT_S = 30,
    OPEN_TIMEOUT_S = 60,
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
    enum uring_disk_method write_method;
    struct uring_disk *disk;
    bool disk_is_adopted;
    enum status adoption;
    struct seat_native native; /* homes NULL: no listener speaks the native protocol */
    struct seat seat;
    struct note_limits note_limits;
    struct tap tap;
    int scratch_file;
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
    const struct segment_supply_options supply = {
        .files = appliance->logs.files,
        .runtime = appliance->runtime.path,
        .segment_bytes = config->storage.segment_bytes,
        .index_bytes = partitions_index_bytes(config->storage.segment_bytes),
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
    return steward_start(appliance->supply, 1, appliance->retention, &appliance->steward);
}

static enum status create_disk(struct appliance *appliance)
{
    const struct config *const config = appliance->config;
    struct partition *const recovered = &appliance->logs.partitions.items[0];
    const enum status status =
        runtime_commit_ring(&appliance->runtime, 0, recovered->resume->log_id,
                            config->storage.ring_bytes, &appliance->ring_file, &appliance->ring);
    if (status != STATUS_OK) { return status; }

    appliance->write_method = write_method_choose(config);
    const struct uring_disk_options disk = {
        .depth = config->storage.commits_in_flight + 8,
        .memory = bytes_of(commit_ring_data(appliance->ring), appliance->ring->capacity_bytes),
        .doorbell = appliance->doorbell,
        .method = appliance->write_method,
    };
    return uring_disk_create(&disk, &appliance->disk);
}

/* ---------------------------------------------------------------------------------- the worker */

static enum status create_native(struct appliance *appliance)
{
    static const uint8_t secret[64] = "nobody attacks a benchmark"; /* the same in every run */
    if (!config_has_protocol(appliance->config, CONFIG_PROTOCOL_NATIVE)) { return STATUS_OK; }
    return seat_native_init(&appliance->native, appliance->config, &appliance->logs.partitions,
                            secret);
}

static enum status create_seat(struct appliance *appliance, const struct node_config *config,
                               struct dpdk_port *port)
{
    tap_init(&appliance->tap, dpdk_port_packets(port, 0));
    const struct worker_port worker_port = {
        .packets = tap_port(&appliance->tap),
        .interface = dpdk_port_interface(port),
    };
    const struct partition *const partition = &appliance->logs.partitions.items[0];
    partition->stats->cycles_per_second = cycles_per_second();
    const struct seat_options options = {
        .config = appliance->config,
        .partition = partition,
        .root = appliance->runtime.root,
        .supply = appliance->supply,
        .disk = uring_disk_port(appliance->disk),
        .ring = appliance->ring,
        .ports = &worker_port,
        .buffer_count = packets_buffers_free(worker_port.packets),
        .commit_records_max = SEAT_COMMIT_RECORDS_MAX,
        .lane_pool_runs = SEAT_LANE_POOL_RUNS,
        .listeners = &appliance->listeners,
        .rules = config->rules,
        .native = appliance->native.homes != NULL ? &appliance->native : NULL,
        .now = clock_now(),
    };
    return seat_init(&appliance->seat, &options);
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

    enum status status = appliance->doorbell < 0 ? status_from_errno(errno) : STATUS_OK;
    if (status == STATUS_OK) { status = open_runtime(appliance); }
    if (status == STATUS_OK) { status = create_supply(appliance); }
    if (status == STATUS_OK) { status = create_disk(appliance); }
    if (status == STATUS_OK) { status = create_native(appliance); }
    if (status == STATUS_OK) { status = create_seat(appliance, config, port); }
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

/* Everything that was fed was received, and is durable or dropped, and the producers know it. */
static bool is_quiet(const struct stats_page *stats, uint64_t received_before,
                     const struct ingest_run *run)
{
    return stats->counters[STATS_frames_received] - received_before ==
               run->frames_fed + run->flood_fed &&
           stats->records_in_flight == 0 &&
           (run->producers == NULL || producers_are_quiet(run->producers));
}

/* How many of a schedule's frames are due, a burst at most. */
static size_t due(double per_s, uint64_t elapsed_ns, uint64_t fed)
{
    if (per_s == 0) { return FRAMES_BURST; }
    const double wanted = per_s * (double)elapsed_ns / NS_PER_S - (double)fed;
    if (wanted < 1) { return 0; }
    return wanted < FRAMES_BURST ? (size_t)wanted : FRAMES_BURST;
}

static void feed(struct ingest_run *run, uint64_t elapsed_ns)
{
    const size_t honest = due(run->frames_per_s, elapsed_ns, run->frames_fed);
    if (run->producers != NULL) {
        run->frames_fed += producers_feed(run->producers, honest);
    } else if (run->frames != NULL) {
        run->frames_fed += frames_feed(run->frames, run->port_id, honest);
    }
    if (run->flood == NULL) { return; }
    run->flood_fed +=
        frames_feed(run->flood, run->port_id, due(run->flood_per_s, elapsed_ns, run->flood_fed));
}

static void hear(struct ingest_run *run)
{
    struct tap *const tap = &run->appliance->tap;
    if (run->producers != NULL) {
        producers_hear(run->producers, tap);
    } else {
        tap_clear(tap);
    }
}

static struct instant turn(struct ingest_run *run, const struct counters *counters)
{
    uint64_t began = cycles_now();
    const struct counted before = run->counts_turns ? counters_now(counters) : (struct counted){0};
    run->feed_cycles += cycles_now() - began;

    const struct instant now = clock_now();
    const bool worked = worker_turn(run->appliance->seat.worker, now);

    began = cycles_now();
    if (run->counts_turns && worked) {
        const struct counted after = counters_now(counters);
        run->worker.instructions += after.instructions - before.instructions;
        run->worker.cycles += after.cycles - before.cycles;
    }
    hear(run);
    run->feed_cycles += cycles_now() - began;
    run->turns++;
    return now;
}

int appliance_ingest(void *argument)
{
    struct ingest_run *const run = argument;
    struct appliance *const appliance = run->appliance;
    const struct stats_page *const stats = appliance_stats(appliance);
    const uint64_t received_before = stats->counters[STATS_frames_received];
    const double ns_per_cycle = (double)NS_PER_S / (double)cycles_per_second();
    run->worker = (struct counted){0};
    run->feed_cycles = run->turns = run->frames_fed = run->flood_fed = 0;
    run->timed_out = !adopt_disk(appliance);
    if (run->timed_out) { return 0; }

    struct counters counters;
    counters_begin(&counters);
    const uint64_t cpu_began_ns = thread_cpu_ns();
    const struct instant began = clock_now();
    struct instant now = began;
    while (now.mono_ns - began.mono_ns < run->duration_ns) {
        const uint64_t received = stats->counters[STATS_frames_received] - received_before;
        if (run->frames_fed + run->flood_fed - received < FRAMES_AHEAD) {
            const uint64_t feed_began = cycles_now();
            const uint64_t fed_ns = (uint64_t)((double)run->feed_cycles * ns_per_cycle);
            feed(run, now.mono_ns - began.mono_ns - fed_ns);
            run->feed_cycles += cycles_now() - feed_began;
        }
        now = turn(run, &counters);
    }

    const uint64_t deadline_ns = now.mono_ns + (uint64_t)DRAIN_TIMEOUT_S * NS_PER_S;
    while (!is_quiet(stats, received_before, run) && !run->timed_out) {
        now = turn(run, &counters);
        run->timed_out = now.mono_ns > deadline_ns;
    }
    if (run->producers != NULL && producers_failed(run->producers)) { run->timed_out = true; }
    run->elapsed_ns = clock_mono_ns() - began.mono_ns;
    run->cpu_ns = thread_cpu_ns() - cpu_began_ns;
    run->counted = counters_end(&counters);
    return 0;
}

int appliance_open_lanes(void *argument)
{
    struct open_run *const run = argument;
    struct tap *const tap = &run->appliance->tap;
    run->timed_out = !adopt_disk(run->appliance);
    const uint64_t deadline_ns = clock_mono_ns() + (uint64_t)OPEN_TIMEOUT_S * NS_PER_S;
    while (!run->timed_out && !producers_open_some(run->producers, tap, clock_mono_ns())) {
        const struct instant now = clock_now();
        (void)worker_turn(run->appliance->seat.worker, now);
        producers_hear(run->producers, tap);
        run->timed_out = now.mono_ns > deadline_ns || producers_failed(run->producers);
    }
    return 0;
}

static int finish_body(void *argument)
{
    struct appliance *const appliance = argument;
    if (!adopt_disk(appliance)) { return 0; }
    worker_request_stop(appliance->seat.worker);
    const uint64_t deadline_ns = clock_mono_ns() + (uint64_t)FINISH_TIMEOUT_S * NS_PER_S;
    while (!worker_is_done(appliance->seat.worker) && clock_mono_ns() < deadline_ns) {
        (void)worker_turn(appliance->seat.worker, clock_now());
        tap_clear(&appliance->tap);
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

enum uring_disk_method appliance_write_method(const struct appliance *appliance)
{
    return appliance->write_method;
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
    if (appliance->seat.worker != NULL) {
        if (dpdk_worker_launch(0, finish_body, appliance) == STATUS_OK) { dpdk_workers_wait(); }
        if (!worker_is_done(appliance->seat.worker)) {
            log_error("the log cannot be finished: its writes are still in flight");
            _exit(1); /* their memory must not be freed */
        }
    }
    (void)notes_write(&appliance->seat.notes, &appliance->note_limits, clock_mono_ns());
    steward_stop(appliance->steward);
    seat_deinit(&appliance->seat);
    seat_native_deinit(&appliance->native);
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
