#include "tests/dataplane/native_rig.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diagnostics.h"
#include "base/mapped_file.h"
#include "dataplane/listeners.h"
#include "dataplane/partitions.h"
#include "dataplane/seat.h"
#include "pipeline/rules_load.h"
#include "storage/segment_supply.h"
#include "tests/sim/sim_random.h"

enum { RING_COMMITS = 16, DRAIN_TURNS_MAX = 100000 };

struct rig_seat {
    struct seat seat;
    struct sim_packets *packets;
    struct mapped_file ring;
};

struct native_rig {
    struct native_rig_options options;
    struct random random;
    struct instant now;
    struct interface interface;
    struct steering steering;
    struct config config;
    uint32_t cores[NATIVE_RIG_WORKERS_MAX];
    struct config_listener config_listeners[2];
    struct config_topic config_topics[2];
    struct listeners listeners;
    struct rule_set *own_rules;
    struct root_page *root;
    struct stats_page *stats[ROOT_PARTITIONS_MAX];
    struct sim_disk *disk;

    bool up;
    struct partitions partitions;
    struct segment_supply *supply;
    struct seat_native native;
    struct rig_seat seats[NATIVE_RIG_WORKERS_MAX];
    size_t seat_count;
    uint8_t frame[SIM_FRAME_BYTES_MAX];
    uint8_t taken[2048];
};

struct native_rig_options native_rig_defaults(void)
{
    return (struct native_rig_options){
        .seed = 1,
        .lanes_max = 16,
        .remember_ns = UINT64_C(60) * NS_PER_S,
        .takeover_after_ns = UINT64_C(3) * NS_PER_S,
        .session_timeout_ns = UINT64_C(10) * NS_PER_S,
        .max_record_bytes = 32 * 1024,
        .segment_bytes = 4 << 20,
        .commit_bytes = 64 * 1024,
        .commit_linger_ns = 2 * NS_PER_MS,
        .commits_in_flight = 8,
        .commit_records_max = 4096,
        .lane_pool_runs = 65536,
        .buffer_count = 1024,
    };
}

static char *copy_of(const char *text)
{
    char *const copy = strdup(text);
    assert(copy != NULL);
    return copy;
}

struct rule_set *native_rig_rules(void)
{
    static const char text[] = "rules:\n"
                               "  - { name: noise, when: 'healthz', do: drop }\n"
                               "  - { name: pay, when: 'svc=pay', do: { route: payments } }\n";
    static const char *const topics[] = {"events", "payments"};
    static const int32_t listener_topics[] = {0, 0};
    const struct rules_world world = {topics, 2, listener_topics, 2, NULL, NULL};
    struct diagnostics *const diagnostics = diagnostics_create();
    struct rule_set *const rules =
        rules_load_text(text, sizeof text - 1, "rules.yaml", &world, diagnostics);
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    assert(rules != NULL);
    return rules;
}

static void fill_config(struct native_rig *rig)
{
    const struct native_rig_options *const options = &rig->options;
    struct config *const config = &rig->config;
    for (uint32_t i = 0; i < NATIVE_RIG_WORKERS_MAX; i++) { rig->cores[i] = i; }
    rig->config_listeners[0] =
        (struct config_listener){.protocol = CONFIG_PROTOCOL_NATIVE, .port = NATIVE_RIG_PORT};
    rig->config_listeners[1] =
        (struct config_listener){.protocol = CONFIG_PROTOCOL_LINES, .port = NATIVE_RIG_LINES_PORT};
    rig->config_topics[0].name = copy_of("events");
    rig->config_topics[1].name = copy_of("payments");
    config->workers.cores = rig->cores;
    config->port_count = 1;
    config->listeners = rig->config_listeners;
    config->listener_count = 2;
    config->topics = rig->config_topics;
    config->topic_count = 2;
    config->storage.segment_bytes = options->segment_bytes;
    config->storage.commit_bytes = options->commit_bytes;
    config->storage.commit_linger_ns = options->commit_linger_ns;
    config->storage.commit_linger_unacked_ns = options->commit_linger_unacked_ns > 0
                                                   ? options->commit_linger_unacked_ns
                                                   : options->commit_linger_ns;
    config->storage.commits_in_flight = options->commits_in_flight;
    config->lanes.max = options->lanes_max;
    config->lanes.remember_ns = options->remember_ns;
    config->lanes.takeover_after_ns = options->takeover_after_ns;
    config->lanes.session_timeout_ns = options->session_timeout_ns;
    config->lanes.max_record_bytes = options->max_record_bytes;
    config->storage.ring_bytes =
        RING_COMMITS * (options->commit_bytes + config_lanes_bytes(config));
    listeners_init(&rig->listeners, config);
}

struct native_rig *native_rig_create(const struct native_rig_options *options)
{
    struct native_rig *const rig = calloc(1, sizeof *rig);
    assert(rig != NULL);
    rig->options = *options;
    rig->random.state = options->seed;
    rig->now = (struct instant){NS_PER_S, INT64_C(1700000000000)};
    rig->interface = (struct interface){
        .mac = {{2, 0, 0, 0, 0, 0x0a}},
        .address = NATIVE_RIG_HOST,
        .netmask = 0xffffff00,
        .mtu_bytes = 1500,
    };
    if (options->rules == NULL) { rig->own_rules = native_rig_rules(); }
    fill_config(rig);
    rig->root = aligned_alloc(CACHE_PAIR_BYTES, sizeof *rig->root);
    assert(rig->root != NULL);
    memset(rig->root, 0, sizeof *rig->root);
    root_page_init(rig->root);
    const struct sim_disk_options disk = {.seed = random_u64(&rig->random), .delay_reaps_max = 2};
    rig->disk = sim_disk_create(&disk);
    return rig;
}

/* --------------------------------------------------------------------------------------- start */

static enum status open_stats_page(void *context, uint32_t partition, struct stats_page **out,
                                   bool *survived)
{
    struct native_rig *const rig = context;
    *survived = rig->stats[partition] != NULL;
    if (!*survived) {
        struct stats_page *const page = calloc(1, sizeof *page);
        assert(page != NULL);
        stats_page_init(page, partition);
        rig->stats[partition] = page;
    }
    *out = rig->stats[partition];
    return STATUS_OK;
}

static struct log_id fresh_id(void *context)
{
    struct native_rig *const rig = context;
    struct log_id id;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        id.bytes[i] = (uint8_t)random_u64(&rig->random);
    }
    return id;
}

static void on_found(void *context, uint32_t partition, enum recovery_finding finding,
                     uint64_t number, uint64_t value, uint64_t other)
{
    (void)context, (void)partition, (void)finding, (void)number, (void)value, (void)other;
}

static void on_lanes_found(void *context, uint32_t partition, enum lane_finding finding,
                           uint64_t number, uint64_t value, uint64_t other)
{
    (void)context, (void)partition, (void)finding, (void)number, (void)value, (void)other;
}

static void make_seat(struct native_rig *rig, size_t index)
{
    struct rig_seat *const seat = &rig->seats[index];
    const uint64_t ring_bytes = rig->config.storage.ring_bytes;
    memset(seat, 0, sizeof *seat);
    enum status status =
        mapped_file_create_private(sizeof(struct commit_ring_header) + ring_bytes, &seat->ring);
    assert(status == STATUS_OK);
    struct commit_ring_header *const ring = (struct commit_ring_header *)seat->ring.at;
    commit_ring_init(ring, (uint32_t)index, rig->partitions.items[index].resume->log_id,
                     rig->root->incarnation, ring_bytes);
    seat->packets = sim_packets_create(rig->options.buffer_count);
    const struct worker_port port = {sim_packets_port(seat->packets), &rig->interface,
                                     rig->options.steering_known ? &rig->steering : NULL};
    const struct seat_options options = {
        .config = &rig->config,
        .index = index,
        .partition = &rig->partitions.items[index],
        .root = rig->root,
        .supply = rig->supply,
        .disk = sim_disk_queue(rig->disk, index),
        .ring = ring,
        .ports = &port,
        .buffer_count = rig->options.buffer_count,
        .commit_records_max = rig->options.commit_records_max,
        .lane_pool_runs = rig->options.lane_pool_runs,
        .listeners = &rig->listeners,
        .rules = rig->options.rules != NULL ? rig->options.rules : rig->own_rules,
        .native = &rig->native,
        .now = rig->now,
    };
    status = seat_init(&seat->seat, &options);
    assert(status == STATUS_OK);
    (void)status;
}

static void make_steering(struct native_rig *rig, size_t workers)
{
    uint8_t key[STEERING_KEY_BYTES];
    uint16_t queues[128];
    for (size_t i = 0; i < sizeof key; i++) { key[i] = (uint8_t)random_u64(&rig->random); }
    for (size_t i = 0; i < 128; i++) { queues[i] = (uint16_t)(i % workers); }
    const bool good = steering_init(&rig->steering, bytes_of(key, sizeof key), queues, 128);
    assert(good);
    (void)good;
}

void native_rig_start(struct native_rig *rig, size_t workers)
{
    assert(!rig->up && workers > 0 && workers <= NATIVE_RIG_WORKERS_MAX);
    rig->config.workers.count = workers;
    make_steering(rig, workers);
    const struct partitions_options options = {
        .files = sim_disk_files(rig->disk),
        .root = rig->root,
        .root_survived = rig->stats[0] != NULL,
        .worker_count = workers,
        .report = {on_found, rig},
        .lane_report = {on_lanes_found, rig},
        .remember_ns = rig->config.lanes.remember_ns,
        .stats_page = open_stats_page,
        .fresh_id = fresh_id,
        .context = rig,
    };
    enum status status = partitions_open(&rig->partitions, &options);
    assert(status == STATUS_OK);
    partitions_begin_incarnation(&rig->partitions, rig->root, rig->now.wall_ms);
    rig->root->state = ROOT_STATE_RUNNING;
    rig->root->worker_count = (uint32_t)workers;
    status = partitions_supply(&rig->partitions, &rig->config, /*runtime=*/NULL, &rig->supply);
    assert(status == STATUS_OK);
    segment_supply_seed(rig->supply, random_u64(&rig->random));
    while (segment_supply_work(rig->supply, rig->now.mono_ns)) {}

    uint8_t entropy[64];
    for (size_t i = 0; i < sizeof entropy; i++) { entropy[i] = (uint8_t)random_u64(&rig->random); }
    status = seat_native_init(&rig->native, &rig->config, &rig->partitions, entropy);
    assert(status == STATUS_OK);
    (void)status;
    for (size_t i = 0; i < workers; i++) {
        make_seat(rig, i);
        rig->seat_count = i + 1;
    }
    rig->up = true;
}

/* ----------------------------------------------------------------------------------------- end */

static void take_down(struct native_rig *rig)
{
    for (size_t i = 0; i < rig->seat_count; i++) {
        struct rig_seat *const seat = &rig->seats[i];
        seat_deinit(&seat->seat);
        sim_packets_destroy(seat->packets);
        mapped_file_close(&seat->ring);
    }
    rig->seat_count = 0;
    seat_native_deinit(&rig->native);
    segment_supply_destroy(rig->supply);
    rig->supply = NULL;
    partitions_close(&rig->partitions);
    rig->up = false;
}

/* What is in flight is brought home, so that its memory can go. */
static void drain(struct native_rig *rig)
{
    sim_disk_calm(rig->disk);
    sim_disk_set_capacity(rig->disk, 0);
    for (int turn = 0; turn < DRAIN_TURNS_MAX; turn++) {
        bool idle = sim_disk_in_flight(rig->disk) == 0;
        for (size_t i = 0; i < rig->seat_count; i++) {
            (void)core_log_turn(rig->seats[i].seat.log, rig->now);
            idle = idle && core_log_in_flight(rig->seats[i].seat.log) == 0;
        }
        if (idle && sim_disk_in_flight(rig->disk) == 0) { return; }
        rig->now.mono_ns += NS_PER_S;
        sim_disk_advance(rig->disk, rig->now.mono_ns);
        (void)segment_supply_work(rig->supply, rig->now.mono_ns);
    }
    assert(false && "a calm disk brings everything home");
}

void native_rig_crash(struct native_rig *rig)
{
    assert(rig->up);
    struct sim_disk *const after = sim_disk_after_crash(rig->disk, random_u64(&rig->random));
    drain(rig);
    take_down(rig);
    sim_disk_destroy(rig->disk);
    rig->disk = after;
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) { /* the machine lost its pages too */
        free(rig->stats[i]);
        rig->stats[i] = NULL;
    }
    memset(rig->root, 0, sizeof *rig->root);
    root_page_init(rig->root);
}

void native_rig_stop(struct native_rig *rig)
{
    for (size_t i = 0; i < rig->seat_count; i++) { worker_request_stop(rig->seats[i].seat.worker); }
}

bool native_rig_is_done(const struct native_rig *rig)
{
    for (size_t i = 0; i < rig->seat_count; i++) {
        if (!worker_is_done(rig->seats[i].seat.worker)) { return false; }
    }
    return true;
}

void native_rig_close(struct native_rig *rig)
{
    assert(rig->up && native_rig_is_done(rig));
    rig->root->state = ROOT_STATE_STOPPED;
    drain(rig);
    take_down(rig);
}

void native_rig_destroy(struct native_rig *rig)
{
    if (rig == NULL) { return; }
    if (rig->up) {
        drain(rig);
        take_down(rig);
    }
    sim_disk_destroy(rig->disk);
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) { free(rig->stats[i]); }
    free(rig->root);
    free(rig->config_topics[0].name);
    free(rig->config_topics[1].name);
    rule_set_destroy(rig->own_rules);
    free(rig);
}

/* --------------------------------------------------------------------------------------- turns */

struct instant native_rig_now(const struct native_rig *rig) { return rig->now; }

void native_rig_turn(struct native_rig *rig, uint64_t step_ns)
{
    rig->now.mono_ns += step_ns;
    rig->now.wall_ms = INT64_C(1700000000000) + (int64_t)(rig->now.mono_ns / NS_PER_MS);
    sim_disk_advance(rig->disk, rig->now.mono_ns);
    (void)segment_supply_work(rig->supply, rig->now.mono_ns);
    for (size_t i = 0; i < rig->seat_count; i++) {
        (void)worker_turn(rig->seats[i].seat.worker, rig->now);
    }
}

void native_rig_run(struct native_rig *rig, uint64_t time_ns, uint64_t step_ns)
{
    for (uint64_t end_ns = rig->now.mono_ns + time_ns; rig->now.mono_ns < end_ns;) {
        native_rig_turn(rig, step_ns);
    }
}

size_t native_rig_queue(const struct native_rig *rig, struct sim_address source)
{
    const struct sim_address target = {NATIVE_RIG_HOST, NATIVE_RIG_PORT};
    if (!rig->options.steering_known) {
        return sim_frame_queue(rig->options.seed, source, target, rig->seat_count);
    }
    const struct udp_flow flow = {.source_address = source.host,
                                  .target_address = target.host,
                                  .source_port = source.port,
                                  .target_port = target.port};
    return steering_queue(&rig->steering, &flow);
}

void native_rig_put_frame(struct native_rig *rig, size_t queue, struct bytes frame)
{
    sim_packets_put(rig->seats[queue].packets, frame);
}

void native_rig_put_to(struct native_rig *rig, struct sim_address source, uint16_t port,
                       struct bytes payload)
{
    const struct sim_datagram datagram = {
        .source = source, .target = {NATIVE_RIG_HOST, port}, .payload = payload};
    const size_t len_bytes = sim_frame_wrap(&rig->interface, &datagram, rig->frame);
    native_rig_put_frame(rig, native_rig_queue(rig, source), bytes_of(rig->frame, len_bytes));
}

void native_rig_put(struct native_rig *rig, struct sim_address source, struct bytes payload)
{
    native_rig_put_to(rig, source, NATIVE_RIG_PORT, payload);
}

bool native_rig_take(struct native_rig *rig, struct sim_datagram *out, size_t *out_frame_bytes)
{
    for (size_t i = 0; i < rig->seat_count; i++) {
        for (;;) {
            const size_t len_bytes =
                sim_packets_take_sent(rig->seats[i].packets, rig->taken, sizeof rig->taken);
            if (len_bytes == 0) { break; }
            const enum sim_frame_kind kind =
                sim_frame_unwrap(&rig->interface, bytes_of(rig->taken, len_bytes), out);
            assert(kind != SIM_FRAME_WRONG);
            if (out_frame_bytes != NULL) { *out_frame_bytes = len_bytes; }
            if (kind == SIM_FRAME_DATAGRAM) { return true; }
        }
    }
    return false;
}

struct sim_disk *native_rig_disk(struct native_rig *rig) { return rig->disk; }

struct stats_page *native_rig_stats(struct native_rig *rig, size_t worker)
{
    return rig->stats[worker];
}

uint64_t native_rig_lane_floor(const struct native_rig *rig, size_t partition)
{
    return rig->root->partitions[partition].lane_floor;
}

struct sim_packets *native_rig_packets(struct native_rig *rig, size_t worker)
{
    return rig->seats[worker].packets;
}

bool native_rig_is_idle(const struct native_rig *rig)
{
    for (size_t i = 0; i < rig->seat_count; i++) {
        const struct rig_seat *const seat = &rig->seats[i];
        if (sim_packets_waiting(seat->packets) > 0 || sim_packets_out(seat->packets) > 0) {
            return false;
        }
        if (rig->stats[i]->records_in_flight > 0 || core_log_in_flight(seat->seat.log) > 0) {
            return false;
        }
    }
    return sim_disk_in_flight(rig->disk) == 0;
}
