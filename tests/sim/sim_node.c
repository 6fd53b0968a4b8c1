#include "tests/sim/sim_node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/diagnostics.h"
#include "base/endian.h"
#include "base/mapped_file.h"
#include "dataplane/listeners.h"
#include "dataplane/partitions.h"
#include "dataplane/seat.h"
#include "pipeline/rules_load.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"
#include "tests/sim/sim_frames.h"
#include "tests/sim/sim_packets.h"
#include "tests/sim/sim_random.h"

enum {
    RING_COMMITS = 16,                 /* of the largest size, that a commit ring holds */
    SUPPLY_PERIOD_NS = 10 * NS_PER_MS, /* as the steward's, at most */
    DRAIN_TURNS_MAX = 100000,
};

/* One worker on its queue and ring. */
struct sim_seat {
    struct seat seat;
    struct sim_packets *packets;
    struct mapped_file ring;
};

struct sent_list {
    struct sim_datagram *items;
    size_t count;
    size_t head;
    size_t capacity;
};

struct sim_node {
    struct sim_node_settings settings;
    struct random random;
    struct config config; /* points into the arrays below */
    uint32_t cores[SIM_NODE_WORKERS_MAX];
    struct config_listener listeners_of_config[SIM_NODE_LISTENERS_MAX];
    struct config_topic topics_of_config[SIM_NODE_TOPICS_MAX];
    struct listeners listeners;
    struct rule_set *own_rules;  /* when the settings have none */
    struct rule_set *rules_file; /* what the file says now; NULL: the rules never change */

    /* outlive a crash of the process */
    struct root_page *root;
    struct node_page page;
    struct stats_page *stats[ROOT_PARTITIONS_MAX];
    struct topic_starts *starts[ROOT_PARTITIONS_MAX];
    bool pages_survive;

    struct sim_disk *disk;
    uint64_t found[SIM_NODE_FINDINGS];
    uint64_t digest;
    uint64_t missed;

    /* from a restart to its end */
    bool up;
    struct rules_rcu *rules_rcu; /* NULL: the rules never change */
    bool reload_wanted;
    struct partitions partitions;
    struct segment_supply *supply;
    struct retention *retention;
    struct seat_native native; /* homes NULL: no listener speaks the native protocol */
    struct sim_seat seats[SIM_NODE_WORKERS_MAX];
    size_t seat_count;
    uint64_t supply_ns; /* when the helper comes round next */
    uint64_t retention_ns;
    uint64_t turned_ns;
    uint64_t next_ns; /* the workers turn again */
    struct sent_list sent;
    uint8_t *taken; /* bytes of the datagram handed out last */
    uint8_t frame[SIM_FRAME_BYTES_MAX];
};

static void digest_add(struct sim_node *node, uint64_t value)
{
    struct random mix = {node->digest ^ value};
    node->digest = random_u64(&mix);
}

static void digest_bytes(struct sim_node *node, struct bytes bytes)
{
    digest_add(node, crc32c(bytes));
    digest_add(node, bytes.len_bytes);
}

/* ------------------------------------------------------------------------------------ settings */

struct sim_node_settings sim_node_defaults(uint64_t seed)
{
    return (struct sim_node_settings){
        .seed = seed,
        .interface = {.mac = {{2, 0, 0, 0, 0, 0x0a}},
                      .address = 0xc000020a,
                      .netmask = 0xffffff00,
                      .mtu_bytes = 1500},
        .listeners = {{CONFIG_PROTOCOL_LINES, 5140, 0}},
        .listener_count = 1,
        .topics = {"events"},
        .topic_count = 1,
        .segment_bytes = 256 * 1024,
        .commit_bytes = 16 * 1024,
        .commit_linger_ns = 2 * NS_PER_MS,
        .commit_linger_unacked_ns = 20 * NS_PER_MS,
        .commits_in_flight = 8,
        .commit_records_max = 256,
        .buffer_count = 512,
        .receive_max = 256,
        .turn_ns = 10 * NS_PER_US,
        .idle_ns = 500 * NS_PER_US,
        .retention_period_ns = 1 * NS_PER_S,
        .lanes_max = 64,
        .lane_pool_runs = 4096,
        .lanes_remember_ns = UINT64_C(7) * 86400 * NS_PER_S,
        .lanes_takeover_after_ns = UINT64_C(3) * NS_PER_S,
        .lanes_session_timeout_ns = UINT64_C(30) * NS_PER_S,
        .lanes_max_record_bytes = 8 * 1024,
    };
}

struct rule_set *sim_node_rules(const struct sim_node_settings *settings, const char *text)
{
    int32_t listener_topics[SIM_NODE_LISTENERS_MAX];
    for (size_t i = 0; i < settings->listener_count; i++) {
        listener_topics[i] = settings->listeners[i].topic;
    }
    const struct rules_world world = {settings->topics,
                                      settings->topic_count,
                                      listener_topics,
                                      settings->listener_count,
                                      NULL,
                                      NULL};
    struct diagnostics *const diagnostics = diagnostics_create();
    struct rule_set *const rules =
        text == NULL ? rules_load(NULL, (struct file_place){0}, &world, diagnostics)
                     : rules_load_text(text, strlen(text), "rules", &world, diagnostics);
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    return rules;
}

/* The configuration that base would have read from a file, but for limits meant for real disks. */
static void fill_config(struct sim_node *node)
{
    const struct sim_node_settings *const settings = &node->settings;
    for (size_t i = 0; i < SIM_NODE_WORKERS_MAX; i++) { node->cores[i] = (uint32_t)i; }
    for (size_t i = 0; i < settings->listener_count; i++) {
        node->listeners_of_config[i] = (struct config_listener){
            .protocol = settings->listeners[i].protocol,
            .port = settings->listeners[i].port,
            .topic = settings->listeners[i].topic,
        };
    }
    for (size_t i = 0; i < settings->topic_count; i++) {
        node->topics_of_config[i].name = strdup(settings->topics[i]);
        assert(node->topics_of_config[i].name != NULL);
        node->topics_of_config[i].retain_age_ns = settings->topic_retain_age_ns[i];
    }

    struct config *const config = &node->config;
    config->workers.cores = node->cores;
    config->port_count = 1;
    config->listeners = node->listeners_of_config;
    config->listener_count = settings->listener_count;
    config->topics = node->topics_of_config;
    config->topic_count = settings->topic_count;
    config->storage.segment_bytes = settings->segment_bytes;
    config->storage.commit_bytes = settings->commit_bytes;
    config->storage.commit_linger_ns = settings->commit_linger_ns;
    config->storage.commit_linger_unacked_ns = settings->commit_linger_unacked_ns;
    config->storage.commits_in_flight = settings->commits_in_flight;
    config->storage.ring_bytes =
        RING_COMMITS * (settings->commit_bytes + config_lanes_bytes(config));
    config->storage.segment_age_ns = settings->segment_age_ns;
    config->storage.retain_bytes = settings->retain_bytes;
    config->storage.retain_age_ns = settings->retain_age_ns;
    if (!config_has_protocol(config, CONFIG_PROTOCOL_NATIVE)) { return; }
    config->lanes.max = settings->lanes_max;
    config->lanes.remember_ns = settings->lanes_remember_ns;
    config->lanes.takeover_after_ns = settings->lanes_takeover_after_ns;
    config->lanes.session_timeout_ns = settings->lanes_session_timeout_ns;
    config->lanes.max_record_bytes = settings->lanes_max_record_bytes;
}

/* --------------------------------------------------------------------------------------- pages */

static void make_root(struct sim_node *node)
{
    free(node->root);
    node->root = aligned_alloc(CACHE_PAIR_BYTES, sizeof *node->root);
    assert(node->root != NULL);
    memset(node->root, 0, sizeof *node->root);
    root_page_init(node->root);
    memset(&node->page, 0, sizeof node->page);
    node_page_init(&node->page);
    node->pages_survive = false;
}

static void lose_pages(struct sim_node *node)
{
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        free(node->stats[i]);
        free(node->starts[i]);
        node->stats[i] = NULL;
        node->starts[i] = NULL;
    }
    make_root(node);
}

static enum status open_stats_page(void *context, uint32_t partition, struct stats_page **out,
                                   bool *survived)
{
    struct sim_node *const node = context;
    *survived = node->stats[partition] != NULL;
    if (!*survived) {
        struct stats_page *const page = calloc(1, sizeof *page);
        assert(page != NULL);
        stats_page_init(page, partition);
        node->stats[partition] = page;
    }
    *out = node->stats[partition];
    return STATUS_OK;
}

static enum status open_starts_page(void *context, uint32_t partition, struct log_id log_id,
                                    struct topic_starts **out)
{
    struct sim_node *const node = context;
    if (node->starts[partition] == NULL) {
        node->starts[partition] = aligned_alloc(CACHE_PAIR_BYTES, sizeof *node->starts[partition]);
        assert(node->starts[partition] != NULL);
        memset(node->starts[partition], 0, sizeof *node->starts[partition]);
    }
    if (!log_id_equal(node->starts[partition]->log_id, log_id)) {
        topic_starts_init(node->starts[partition], partition, log_id);
    }
    *out = node->starts[partition];
    return STATUS_OK;
}

/* ---------------------------------------------------------------------------------- starting */

static struct log_id fresh_id(void *context)
{
    struct sim_node *const node = context;
    struct log_id id;
    store_le64(id.bytes, random_u64(&node->random));
    store_le64(id.bytes + 8, random_u64(&node->random));
    return id;
}

static void on_found(void *context, uint32_t partition, enum recovery_finding finding,
                     uint64_t number, uint64_t value, uint64_t other)
{
    struct sim_node *const node = context;
    node->found[finding]++;
    digest_add(node, partition);
    digest_add(node, (uint64_t)finding);
    digest_add(node, number);
    digest_add(node, value);
    digest_add(node, other);
}

static void on_lanes_found(void *context, uint32_t partition, enum lane_finding finding,
                           uint64_t number, uint64_t value, uint64_t other)
{
    struct sim_node *const node = context;
    digest_add(node, partition);
    digest_add(node, (uint64_t)finding);
    digest_add(node, number);
    digest_add(node, value);
    digest_add(node, other);
}

static enum status recover(struct sim_node *node, struct instant now)
{
    const struct partitions_options options = {
        .files = sim_disk_files(node->disk),
        .root = node->root,
        .root_survived = node->pages_survive,
        .worker_count = node->config.workers.count,
        .report = {on_found, node},
        .lane_report = {on_lanes_found, node},
        .wall_ms = now.wall_ms,
        .remember_ns = node->config.lanes.remember_ns,
        .stats_page = open_stats_page,
        .starts_page = open_starts_page,
        .fresh_id = fresh_id,
        .context = node,
    };
    const enum status status = partitions_open(&node->partitions, &options);
    if (status == STATUS_OK) {
        partitions_begin_incarnation(&node->partitions, node->root, now.wall_ms);
    }
    return status;
}

static enum status make_supply(struct sim_node *node, struct instant now)
{
    enum status status =
        partitions_supply(&node->partitions, &node->config, /*runtime=*/NULL, &node->supply);
    if (status == STATUS_OK) {
        const struct partitions_retention place = {.root = node->root, .node = &node->page};
        status = partitions_retention(&node->partitions, &node->config, &place, &node->retention);
    }
    if (status != STATUS_OK) { return status; }
    segment_supply_seed(node->supply, random_u64(&node->random));
    while (segment_supply_work(node->supply, now.mono_ns)) {}
    return STATUS_OK;
}

static enum status make_native(struct sim_node *node)
{
    uint8_t secret[64];
    if (!config_has_protocol(&node->config, CONFIG_PROTOCOL_NATIVE)) { return STATUS_OK; }
    for (size_t at = 0; at < sizeof secret; at += 8) {
        store_le64(secret + at, random_u64(&node->random));
    }
    return seat_native_init(&node->native, &node->config, &node->partitions, secret);
}

static struct rules_generation *make_rules(struct sim_node *node, uint64_t number, size_t workers)
{
    struct rules_generation *generation;
    const struct rules_generation_options options = {
        .rules = rule_set_share(node->rules_file),
        .number = number,
        .worker_count = workers,
        .records_max = WORKER_RECORDS_MAX,
    };
    const enum status status = rules_generation_create(&options, &generation);
    assert(status == STATUS_OK);
    return generation;
}

static void make_first_rules(struct sim_node *node, size_t workers)
{
    node->reload_wanted = false;
    if (node->rules_file == NULL) { return; }
    const enum status status = rules_rcu_create(make_rules(node, 1, workers), &node->rules_rcu);
    assert(status == STATUS_OK);
}

void sim_node_reload(struct sim_node *node, struct rule_set *rules)
{
    assert(node->rules_file != NULL);
    node->rules_file = rules;
    node->reload_wanted = node->up;
}

static enum status make_seat(struct sim_node *node, size_t index, struct instant now)
{
    const struct sim_node_settings *const settings = &node->settings;
    struct sim_seat *const seat = &node->seats[index];
    const uint64_t ring_bytes = node->config.storage.ring_bytes;
    memset(seat, 0, sizeof *seat);
    enum status status =
        mapped_file_create_private(sizeof(struct commit_ring_header) + ring_bytes, &seat->ring);
    if (status != STATUS_OK) { return status; }
    struct commit_ring_header *const ring = (struct commit_ring_header *)seat->ring.at;
    commit_ring_init(ring, (uint32_t)index, node->partitions.items[index].resume->log_id,
                     node->root->incarnation, ring_bytes);

    seat->packets = sim_packets_create(settings->buffer_count);
    const struct worker_port port = {sim_packets_port(seat->packets), &settings->interface, NULL};
    const struct seat_options options = {
        .config = &node->config,
        .index = index,
        .partition = &node->partitions.items[index],
        .root = node->root,
        .supply = node->supply,
        .disk = sim_disk_queue(node->disk, index),
        .ring = ring,
        .ports = &port,
        .buffer_count = settings->buffer_count,
        .commit_records_max = settings->commit_records_max,
        .lane_pool_runs = settings->lane_pool_runs,
        .listeners = &node->listeners,
        .rules = settings->rules != NULL ? settings->rules : node->own_rules,
        .rules_rcu = node->rules_rcu,
        .native = node->native.homes != NULL ? &node->native : NULL,
        .now = now,
    };
    return seat_init(&seat->seat, &options);
}

static void take_down(struct sim_node *node)
{
    for (size_t i = 0; i < node->seat_count; i++) {
        struct sim_seat *const seat = &node->seats[i];
        seat_deinit(&seat->seat);
        if (seat->packets != NULL) { sim_packets_destroy(seat->packets); }
        mapped_file_close(&seat->ring);
    }
    node->seat_count = 0;
    rules_rcu_destroy(node->rules_rcu);
    node->rules_rcu = NULL;
    seat_native_deinit(&node->native);
    retention_destroy(node->retention);
    segment_supply_destroy(node->supply);
    node->retention = NULL;
    node->supply = NULL;
    partitions_close(&node->partitions);
    node->up = false;
}

enum status sim_node_restart(struct sim_node *node, size_t workers, struct instant now)
{
    assert(!node->up);
    assert(workers > 0 && workers <= SIM_NODE_WORKERS_MAX);
    node->config.workers.count = workers;
    sim_disk_advance(node->disk, now.mono_ns);

    enum status status = recover(node, now);
    if (status != STATUS_OK) { return status; }
    node->pages_survive = true;
    node->root->state = ROOT_STATE_RUNNING;
    node->root->worker_count = (uint32_t)workers;
    status = make_supply(node, now);
    if (status == STATUS_OK) { status = make_native(node); }
    make_first_rules(node, workers);
    for (size_t i = 0; status == STATUS_OK && i < workers; i++) {
        node->seat_count = i + 1;
        status = make_seat(node, i, now);
    }
    if (status != STATUS_OK) {
        take_down(node);
        return status;
    }
    node->supply_ns = now.mono_ns;
    node->retention_ns = now.mono_ns;
    node->turned_ns = now.mono_ns;
    node->next_ns = now.mono_ns;
    node->up = true;
    return STATUS_OK;
}

bool sim_node_is_up(const struct sim_node *node) { return node->up; }

/* ------------------------------------------------------------------------------------- packets */

size_t sim_node_queue(const struct sim_node *node, struct sim_address source,
                      struct sim_address target)
{
    return sim_frame_queue(node->settings.seed, source, target, node->config.workers.count);
}

static void put_frame(struct sim_node *node, size_t queue, size_t len_bytes)
{
    struct sim_packets *const packets = node->seats[queue].packets;
    if (sim_packets_waiting(packets) >= node->settings.receive_max) {
        node->missed++;
        return;
    }
    sim_packets_put(packets, bytes_of(node->frame, len_bytes));
    node->next_ns = node->turned_ns; /* a worker that polls sees it at its next turn */
}

void sim_node_receive(struct sim_node *node, const struct sim_datagram *datagram)
{
    if (!node->up) {
        node->missed++;
        return;
    }
    const size_t len_bytes = sim_frame_wrap(&node->settings.interface, datagram, node->frame);
    put_frame(node, sim_node_queue(node, datagram->source, datagram->target), len_bytes);
}

uint64_t sim_node_missed(const struct sim_node *node) { return node->missed; }

size_t sim_node_frames_held(const struct sim_node *node)
{
    size_t held = 0;
    for (size_t i = 0; i < node->seat_count; i++) {
        held += sim_packets_out(node->seats[i].packets);
    }
    return held;
}

static void sent_push(struct sim_node *node, const struct sim_datagram *datagram)
{
    struct sent_list *const sent = &node->sent;
    if (sent->head == sent->count) { sent->head = sent->count = 0; }
    if (sent->count == sent->capacity) {
        sent->capacity = sent->capacity == 0 ? 64 : sent->capacity * 2;
        sent->items = realloc(sent->items, sent->capacity * sizeof *sent->items);
        assert(sent->items != NULL);
    }
    const size_t len_bytes = datagram->payload.len_bytes;
    uint8_t *const copy = malloc(len_bytes > 0 ? len_bytes : 1);
    assert(copy != NULL);
    if (len_bytes > 0) { memcpy(copy, datagram->payload.at, len_bytes); }
    sent->items[sent->count] = *datagram;
    sent->items[sent->count].payload = bytes_of(copy, len_bytes);
    sent->count++;
}

/* Datagrams go out; questions of ARP come back answered, on the queue for all that is not IP. */
static void collect_sent(struct sim_node *node, size_t index)
{
    struct sim_packets *const packets = node->seats[index].packets;
    for (size_t i = 0; i < sim_packets_sent_count(packets); i++) {
        const struct bytes frame = sim_packets_sent(packets, i);
        struct sim_datagram datagram;
        const enum sim_frame_kind kind =
            sim_frame_unwrap(&node->settings.interface, frame, &datagram);
        assert(kind != SIM_FRAME_WRONG);
        digest_bytes(node, frame);
        if (kind == SIM_FRAME_DATAGRAM) { sent_push(node, &datagram); }
        if (kind == SIM_FRAME_ARP_REQUEST) {
            put_frame(node, 0, sim_frame_answer(&node->settings.interface, frame, node->frame));
        }
    }
    sim_packets_forget_sent(packets);
}

bool sim_node_sent(struct sim_node *node, struct sim_datagram *out)
{
    struct sent_list *const sent = &node->sent;
    free(node->taken);
    node->taken = NULL;
    if (sent->head == sent->count) { return false; }
    *out = sent->items[sent->head++];
    node->taken = (uint8_t *)(uintptr_t)out->payload.at;
    return true;
}

/* --------------------------------------------------------------------------------------- turns */

/* What the loader's thread does, once it has compiled. */
static void load_rules(struct sim_node *node)
{
    if (node->rules_rcu == NULL || !rules_rcu_settle(node->rules_rcu) || !node->reload_wanted) {
        return;
    }
    node->reload_wanted = false;
    const uint64_t number = rules_rcu_newest(node->rules_rcu)->number + 1;
    rules_rcu_publish(node->rules_rcu, make_rules(node, number, node->seat_count));
}

/* As dataplane/lcore.c around a worker that may sleep. */
static bool turn_seat(struct sim_node *node, struct worker *worker, struct instant now)
{
    worker_wakes(worker);
    const bool worked = worker_turn(worker, now);
    if (node->rules_rcu != NULL && !worked && sim_random_below(&node->random, 2) == 0) {
        worker_sleeps(worker);
    }
    return worked;
}

/* What the steward's thread does, at moments of its own. */
static void help(struct sim_node *node, struct instant now)
{
    if (now.mono_ns >= node->retention_ns) {
        node->retention_ns = now.mono_ns + node->settings.retention_period_ns;
        (void)retention_run(node->retention, now);
    }
    if (now.mono_ns >= node->supply_ns) {
        (void)segment_supply_work(node->supply, now.mono_ns);
        node->supply_ns = now.mono_ns + sim_random_between(&node->random, 1, SUPPLY_PERIOD_NS);
    }
}

void sim_node_turn(struct sim_node *node, struct instant now)
{
    if (!node->up) { return; }
    sim_disk_advance(node->disk, now.mono_ns);
    help(node, now);
    load_rules(node);

    bool worked = false;
    size_t index = sim_random_below(&node->random, node->seat_count);
    for (size_t i = 0; i < node->seat_count; i++) {
        worked |= turn_seat(node, node->seats[index].seat.worker, now);
        collect_sent(node, index);
        index = index + 1 == node->seat_count ? 0 : index + 1;
    }
    node->turned_ns = now.mono_ns;
    node->next_ns = now.mono_ns + (worked ? node->settings.turn_ns : node->settings.idle_ns);
}

uint64_t sim_node_next_ns(const struct sim_node *node)
{
    if (!node->up) { return UINT64_MAX; }
    /* A write that is due can be a reap or two away: time goes on all the same. */
    const uint64_t soonest_ns = node->turned_ns + node->settings.turn_ns;
    const uint64_t disk_ns = sim_disk_next_ns(node->disk);
    const uint64_t next_ns = node->next_ns < disk_ns ? node->next_ns : disk_ns;
    return next_ns > soonest_ns ? next_ns : soonest_ns;
}

/* ------------------------------------------------------------------------------------ the end */

static void digest_partition(struct sim_node *node, const struct root_partition *slot)
{
    digest_bytes(node, bytes_of(slot->log_id.bytes, sizeof slot->log_id.bytes));
    digest_bytes(node, bytes_of(slot->nonce.bytes, sizeof slot->nonce.bytes));
    digest_add(node, slot->durable_number);
    digest_add(node, slot->open_segment_number);
    digest_add(node, slot->first_segment_number);
    digest_add(node, slot->state);
}

/* What the pages say at the end of a life. Not the bytes on disk: commits carry cycle counts. */
static void digest_pages(struct sim_node *node)
{
    digest_add(node, node->root->incarnation);
    for (size_t i = 0; i < node->partitions.count; i++) {
        digest_partition(node, &node->root->partitions[i]);
        for (size_t k = 0; k < STATS_COUNTER_COUNT; k++) {
            if (strstr(stats_counter_facts[k].name, "cycles") != NULL) { continue; }
            digest_add(node, node->stats[i]->counters[k]);
        }
    }
    digest_add(node, sim_disk_digest(node->disk));
}

/* What is in flight is brought home, so that its memory can go: nobody sees what this does. */
static void drain(struct sim_node *node)
{
    struct instant now = {node->turned_ns, 0};
    sim_disk_calm(node->disk);
    sim_disk_set_capacity(node->disk, 0);
    for (int turn = 0; turn < DRAIN_TURNS_MAX; turn++) {
        bool idle = sim_disk_in_flight(node->disk) == 0;
        for (size_t i = 0; i < node->seat_count; i++) {
            (void)core_log_turn(node->seats[i].seat.log, now);
            idle = idle && core_log_in_flight(node->seats[i].seat.log) == 0;
        }
        if (idle && sim_disk_in_flight(node->disk) == 0) { return; }
        now.mono_ns += NS_PER_S; /* a closed log probes once a second */
        sim_disk_advance(node->disk, now.mono_ns);
        (void)segment_supply_work(node->supply, now.mono_ns);
    }
    assert(!"a calm disk brings everything home");
}

/* The pages as they are now, given back after the drain wrote on. */
struct kept_pages {
    struct root_page root;
    struct node_page node;
    struct stats_page stats[];
};

static struct kept_pages *keep_pages(const struct sim_node *node)
{
    const size_t count = node->partitions.count;
    struct kept_pages *const kept = aligned_alloc(
        CACHE_PAIR_BYTES, (sizeof *kept + count * sizeof kept->stats[0] + CACHE_PAIR_BYTES - 1) /
                              CACHE_PAIR_BYTES * CACHE_PAIR_BYTES);
    assert(kept != NULL);
    memcpy(&kept->root, node->root, sizeof kept->root);
    kept->node = node->page;
    for (size_t i = 0; i < count; i++) { kept->stats[i] = *node->stats[i]; }
    return kept;
}

static void give_back_pages(struct sim_node *node, struct kept_pages *kept)
{
    memcpy(node->root, &kept->root, sizeof kept->root);
    node->page = kept->node;
    for (size_t i = 0; i < node->partitions.count; i++) { *node->stats[i] = kept->stats[i]; }
    free(kept);
}

void sim_node_crash(struct sim_node *node, enum sim_node_loss loss)
{
    struct sim_disk *const after = sim_disk_after_crash(node->disk, random_u64(&node->random));
    if (node->up) {
        digest_pages(node);
        struct kept_pages *const kept = keep_pages(node);
        drain(node);
        take_down(node);
        give_back_pages(node, kept);
    }
    sim_disk_destroy(node->disk);
    node->disk = after;
    if (loss == SIM_NODE_LOSES_PAGES) { lose_pages(node); }
}

void sim_node_stop(struct sim_node *node)
{
    for (size_t i = 0; i < node->seat_count; i++) {
        worker_request_stop(node->seats[i].seat.worker);
    }
}

bool sim_node_is_done(const struct sim_node *node)
{
    for (size_t i = 0; i < node->seat_count; i++) {
        if (!worker_is_done(node->seats[i].seat.worker)) { return false; }
    }
    return node->up;
}

void sim_node_close(struct sim_node *node)
{
    assert(sim_node_is_done(node));
    digest_pages(node);
    bool all_durable = true;
    for (size_t i = 0; i < node->seat_count; i++) {
        all_durable = all_durable && node->stats[i]->records_in_flight == 0;
    }
    if (all_durable) { node->root->state = ROOT_STATE_STOPPED; }
    /* Of a log that closed, writes may still be out: they are left to their fate, as by a process
     * that exits. The drain is for their memory, and runs ahead of time. */
    struct sim_disk *const after = sim_disk_after_crash(node->disk, random_u64(&node->random));
    struct kept_pages *const kept = keep_pages(node);
    drain(node);
    take_down(node);
    give_back_pages(node, kept);
    sim_disk_destroy(node->disk);
    node->disk = after;
}

/* --------------------------------------------------------------------------------- life cycle */

struct sim_node *sim_node_create(const struct sim_node_settings *settings)
{
    struct sim_node *const node = calloc(1, sizeof *node);
    assert(node != NULL);
    node->settings = *settings;
    node->random.state = settings->seed;
    node->rules_file = settings->rules_file;
    fill_config(node);
    listeners_init(&node->listeners, &node->config);
    if (settings->rules == NULL) {
        node->own_rules = sim_node_rules(settings, NULL);
        assert(node->own_rules != NULL);
    }
    make_root(node);
    const struct sim_disk_options disk = {.seed = random_u64(&node->random)};
    node->disk = sim_disk_create(&disk);
    return node;
}

void sim_node_destroy(struct sim_node *node)
{
    if (node == NULL) { return; }
    if (node->up) {
        drain(node);
        take_down(node);
    }
    sim_disk_destroy(node->disk);
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        free(node->stats[i]);
        free(node->starts[i]);
    }
    for (size_t i = node->sent.head; i < node->sent.count; i++) {
        free((uint8_t *)(uintptr_t)node->sent.items[i].payload.at);
    }
    free(node->sent.items);
    free(node->taken);
    free(node->root);
    rule_set_destroy(node->own_rules);
    for (size_t i = 0; i < node->config.topic_count; i++) { free(node->topics_of_config[i].name); }
    free(node);
}

/* ------------------------------------------------------------------------------ looking inside */

struct sim_disk *sim_node_disk(struct sim_node *node) { return node->disk; }

const struct root_page *sim_node_root(const struct sim_node *node) { return node->root; }

size_t sim_node_partition_count(const struct sim_node *node) { return node->partitions.count; }

const struct stats_page *sim_node_stats(const struct sim_node *node, size_t partition)
{
    return partition < node->partitions.count ? node->stats[partition] : NULL;
}

const struct topic_starts *sim_node_starts(const struct sim_node *node, size_t partition)
{
    return partition < node->partitions.count ? node->starts[partition] : NULL;
}

uint64_t sim_node_found(const struct sim_node *node, enum recovery_finding finding)
{
    return node->found[finding];
}

uint64_t sim_node_digest(const struct sim_node *node)
{
    struct random mix = {node->digest ^ sim_disk_digest(node->disk)};
    return random_u64(&mix);
}
