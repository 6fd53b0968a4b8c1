#include "bench/append_path.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "base/invariant.h"
#include "base/mapped_file.h"
#include "dataplane/open_commit.h"
#include "dataplane/partitions.h"
#include "storage/core_log.h"
#include "storage/segment_supply.h"
#include "wire/commit_ring.h"

enum {
    TOPIC = 0,
    COMMIT_RECORDS_MAX = 65536, /* as a node has */
    DEPTH_SPARE = 8,
    HELPER_PAUSE_NS = 1 * NS_PER_MS,
    DRAIN_TIMEOUT_S = 30,
};

struct append_path {
    struct append_options options;
    struct segment_supply *supply;
    pthread_t helper;
    bool helper_runs;
    atomic_bool stop;
    struct mapped_file ring_file;
    struct commit_ring_header *ring;
    struct uring_disk *disk;
    struct root_page root;
    struct stats_page stats;
    struct note_ring notes;
    struct log_resume resume;
    struct core_log *log;
    struct open_commit commit;
    size_t position; /* in the data */
};

/* ------------------------------------------------------------------------------------- set-up */

static void *prepare_segments(void *argument)
{
    struct append_path *const path = argument;
    while (!atomic_load(&path->stop)) {
        if (segment_supply_work(path->supply, clock_mono_ns())) { continue; }
        const struct timespec pause = {.tv_nsec = HELPER_PAUSE_NS};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static enum status create_supply(struct append_path *path)
{
    const uint64_t segment_bytes = path->options.files->size_bytes;
    const struct segment_supply_options supply = {
        .files = recycled_files_port(path->options.files),
        .runtime = path->options.runtime,
        .segment_bytes = segment_bytes,
        .index_bytes = partitions_index_bytes(segment_bytes),
        .log_count = 1,
    };
    enum status status = segment_supply_create(&supply, &path->supply);
    if (status != STATUS_OK) { return status; }
    segment_supply_add_log(path->supply, 0, 0, 1);
    while (segment_supply_work(path->supply, clock_mono_ns())) {}
    status = segment_supply_trouble(path->supply, 0);
    if (status != STATUS_OK) { return status; }
    const int refused = pthread_create(&path->helper, NULL, prepare_segments, path);
    path->helper_runs = refused == 0;
    return status_from_errno(refused);
}

static enum status create_disk(struct append_path *path)
{
    const uint64_t ring_bytes = path->options.ring_bytes;
    char name[128];
    snprintf(name, sizeof name, "%.100s/ring", path->options.runtime);
    const enum status status =
        mapped_file_create(name, sizeof *path->ring + ring_bytes, &path->ring_file);
    if (status != STATUS_OK) { return status; }
    path->ring = (struct commit_ring_header *)path->ring_file.at;
    commit_ring_init(path->ring, 0, path->resume.log_id, 1, ring_bytes);
    const struct uring_disk_options disk = {
        .depth = path->options.depth + DEPTH_SPARE,
        .memory = bytes_of(commit_ring_data(path->ring), ring_bytes),
        .doorbell = -1,
        .method = path->options.method,
    };
    return uring_disk_create(&disk, &path->disk);
}

static enum status create_log(struct append_path *path)
{
    const struct core_log_options log = {
        .disk = uring_disk_port(path->disk),
        .supply = path->supply,
        .ring = path->ring,
        .root = &path->root,
        .slot = &path->root.partitions[0],
        .stats = &path->stats,
        .notes = &path->notes,
        .resume = &path->resume,
        .incarnation = 1,
        .commits_in_flight_max = path->options.depth + 1, /* as seat.c */
        .commits_at_disk_max = path->options.depth,
        .commit_bytes_max = (uint32_t)path->options.commit_bytes,
        .commit_records_max = COMMIT_RECORDS_MAX,
    };
    enum status status = core_log_create(&log, &path->log);
    if (status != STATUS_OK) { return status; }
    int32_t topic;
    status = core_log_declare_topic(path->log, "events", &topic);
    if (status != STATUS_OK) { return status; }
    const struct open_commit_options commit = {
        .log = path->log,
        .log_topics = &topic,
        .topic_count = 1,
        .frames_held_max = PACKETS_BURST_MAX, /* none is held */
        .bytes_max = core_log_commit_room(path->log, 1),
        .records_max = COMMIT_RECORDS_MAX,
        .linger_ns = path->options.linger_ns,
    };
    return open_commit_init(&path->commit, &commit);
}

enum status append_path_create(const struct append_options *options, struct append_path **out)
{
    struct append_path *const path = calloc(1, sizeof *path);
    if (path == NULL) { return STATUS_NO_MEMORY; }
    path->options = *options;
    path->resume.cluster_id.bytes[0] = 1;
    path->resume.log_id.bytes[0] = 1;
    path->resume.next_segment_number = 1;
    path->resume.next_commit_number = 1;
    root_page_init(&path->root);
    stats_page_init(&path->stats, 0);
    note_ring_init(&path->notes, 0);
    enum status status = create_supply(path);
    if (status == STATUS_OK) { status = create_disk(path); }
    if (status == STATUS_OK) { status = create_log(path); }
    if (status != STATUS_OK) {
        append_path_destroy(path);
        return status;
    }
    *out = path;
    return STATUS_OK;
}

void append_path_destroy(struct append_path *path)
{
    if (path == NULL) { return; }
    atomic_store(&path->stop, true);
    if (path->helper_runs) { pthread_join(path->helper, NULL); }
    if (path->commit.batch != NULL) { open_commit_deinit(&path->commit); }
    core_log_destroy(path->log);
    uring_disk_destroy(path->disk);
    mapped_file_close(&path->ring_file);
    segment_supply_destroy(path->supply);
    free(path);
}

/* ------------------------------------------------------------------------------------ running */

/* Adds up to a burst; fewer when the open commit is full. */
static size_t add_burst(struct append_path *path, size_t count, uint64_t due_ns, int64_t wall_ms)
{
    static const struct verdict verdict = {.topic_count = 1, .topics = {TOPIC}};
    const size_t record_bytes = path->options.record_bytes;
    for (size_t i = 0; i < count; i++) {
        const struct record record = {
            .value = bytes_of(path->options.data.at + path->position, record_bytes),
            .timestamp_ms = wall_ms,
            .topic = RECORD_NO_TOPIC,
        };
        if (open_commit_add(&path->commit, &record, &verdict, due_ns, true) != STATUS_OK) {
            return i;
        }
        path->position += record_bytes;
        if (path->position + record_bytes > path->options.data.len_bytes) { path->position = 0; }
    }
    return count;
}

/* What is due of the schedule, or one burst; nothing more once the open commit is full. */
struct feeder {
    uint64_t next_due_ns;
    size_t left; /* of the burst that is being added */
};

static void feed(struct append_run *run, struct feeder *feeder, struct instant now)
{
    struct append_path *const path = run->path;
    while (!path->commit.full &&
           (run->burst_period_ns == 0 || feeder->next_due_ns <= now.mono_ns)) {
        const bool open_loop = run->burst_period_ns != 0;
        const uint64_t due_ns = open_loop ? feeder->next_due_ns : now.mono_ns;
        const size_t added = add_burst(path, feeder->left, due_ns, now.wall_ms);
        run->records += added;
        path->stats.records_in_flight += added;
        feeder->left -= added;
        if (feeder->left > 0) { return; }
        feeder->left = APPEND_BURST;
        feeder->next_due_ns += run->burst_period_ns;
        if (!open_loop) { return; }
    }
}

static void turn(struct append_run *run, bool close_now, struct instant now)
{
    struct append_path *const path = run->path;
    const bool due = open_commit_is_due(&path->commit, now.mono_ns) ||
                     (close_now && !open_commit_is_empty(&path->commit));
    if (due) {
        const uint64_t began = cycles_now();
        if (open_commit_close(&path->commit, 0, now)) {
            run->gather_cycles += cycles_now() - began;
        }
    }
    const uint64_t durable = core_log_turn(path->log, now);
    (void)open_commit_reap(&path->commit, durable, clock_mono_ns(), &run->latency);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
}

static bool is_quiet(const struct append_path *path)
{
    return open_commit_is_empty(&path->commit) && core_log_in_flight(path->log) == 0;
}

static enum status run_for_a_while(struct append_run *run)
{
    struct append_path *const path = run->path;
    struct counters counters;
    counters_begin(&counters); /* takes some 20 ms where there is a hypervisor: not of the run */
    struct instant now = clock_now();
    const uint64_t began_ns = now.mono_ns;
    const uint64_t cpu_began_ns = thread_cpu_ns();
    struct feeder feeder = {began_ns, APPEND_BURST};
    while (now.mono_ns - began_ns < run->duration_ns) {
        feed(run, &feeder, now);
        turn(run, false, now);
        now = clock_now();
    }
    const uint64_t deadline_ns = now.mono_ns + (uint64_t)DRAIN_TIMEOUT_S * NS_PER_S;
    while (!is_quiet(path) && now.mono_ns < deadline_ns) {
        turn(run, true, now);
        now = clock_now();
    }
    run->counted = counters_end(&counters);
    run->elapsed_ns = now.mono_ns - began_ns;
    run->cpu_ns = thread_cpu_ns() - cpu_began_ns;
    run->commits = path->stats.counters[STATS_commits_durable];
    run->commit_bytes = path->stats.counters[STATS_commits_durable_bytes];
    if (path->stats.counters[STATS_records_stored] != run->records) { return STATUS_CORRUPT; }
    return is_quiet(path) ? core_log_closed_why(path->log) : STATUS_BUSY;
}

int append_path_run(void *argument)
{
    struct append_run *const run = argument;
    struct append_path *const path = run->path;
    run->status = uring_disk_adopt(path->disk);
    if (run->status != STATUS_OK) { return 0; }
    run->status = run_for_a_while(run);
    core_log_finish(path->log);
    const uint64_t deadline_ns = clock_mono_ns() + (uint64_t)DRAIN_TIMEOUT_S * NS_PER_S;
    while (!core_log_is_finished(path->log)) {
        (void)core_log_turn(path->log, clock_now());
        if (clock_mono_ns() > deadline_ns) { abort(); } /* writes are out: their memory must stay */
    }
    return 0;
}
