#include "dataplane/node.h"

#include <errno.h>
#include <inttypes.h>
#include <numa.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cycles.h"
#include "base/entropy.h"
#include "base/logger.h"
#include "dataplane/control_socket.h"
#include "dataplane/iowq_watch.h"
#include "dataplane/lcore.h"
#include "dataplane/listeners.h"
#include "dataplane/node_logs.h"
#include "dataplane/node_ports.h"
#include "dataplane/notes.h"
#include "dataplane/rules_archive.h"
#include "dataplane/rules_loader.h"
#include "dataplane/rules_rcu.h"
#include "dataplane/runtime.h"
#include "dataplane/seat.h"
#include "dataplane/steward.h"
#include "dataplane/worker.h"
#include "dataplane/write_method.h"
#include "nic/dpdk_eal.h"
#include "storage/core_log.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"
#include "storage/uring_disk.h"

enum {
    HEARTBEAT_MS = 100,
    STOP_TIMEOUT_S = 60, /* for what was received to become durable */
    RELOAD_LINES_LOGGED_MAX = 100,
};

/* One polling core: its seat, and what that stands on. */
struct core {
    struct mapped_file ring_file;
    struct commit_ring_header *ring;
    struct uring_disk *disk;
    struct seat seat;
    struct lcore lcore;
    enum status supply_told; /* the trouble of its segments that was last written down */
};

struct node {
    const struct config *config;
    struct rules_rcu *rules;
    struct rules_loader *rules_loader;
    struct runtime runtime;
    bool runtime_is_open;
    struct node_logs logs;
    bool logs_are_open;
    struct node_ports ports;
    struct segment_supply *supply;
    struct retention *retention;
    struct steward *steward;
    struct listeners listeners;
    struct seat_native native; /* homes NULL: no listener speaks the native protocol */
    int signals;               /* signalfd: SIGTERM, SIGINT: stop; SIGHUP: reload the rules */
    int doorbell;              /* eventfd: a worker's disk rings it when something became durable */
    struct control_socket *control;
    struct core *cores;
    size_t core_count;
    struct note_limits note_limits;
    struct iowq_watch iowq_watch;
    enum uring_disk_method write_method;
    bool workers_launched;
};

/* --------------------------------------------------------------------------------- storage */

/* The next segment is made ahead: what is in its way is said before the log has to close. */
static void tell_supply(struct node *node)
{
    for (size_t i = 0; i < node->config->workers.count; i++) {
        const enum status trouble = segment_supply_trouble(node->supply, i);
        if (trouble == node->cores[i].supply_told) { continue; }
        node->cores[i].supply_told = trouble;
        if (trouble == STATUS_OK) {
            log_notice("part-%04zu: segments can be made again", i);
        } else {
            log_error("part-%04zu: no segment can be made (%s); trying again every second", i,
                      status_text(trouble));
        }
    }
}

static enum status create_supply(struct node *node)
{
    const struct config *const config = node->config;
    enum status status =
        partitions_supply(&node->logs.partitions, config, node->runtime.path, &node->supply);
    if (status != STATUS_OK) { return status; }

    const struct partitions_retention place = {
        .root = node->runtime.root,
        .node = node->runtime.node,
        .runtime = node->runtime.path,
        .path_of = node_logs_path_of,
        .context = &node->logs,
    };
    status = partitions_retention(&node->logs.partitions, config, &place, &node->retention);
    if (status != STATUS_OK) { return status; }

    /* The first segments now, so that no frame waits for them; a full disk is no reason not to
     * start: the logs stay closed, say why, and open when there is room. */
    while (segment_supply_work(node->supply, clock_mono_ns())) {}
    tell_supply(node);
    return STATUS_OK;
}

/* The commit ring and the disk that writes from it. */
static enum status create_disk(struct node *node, struct core *core, size_t index)
{
    const struct config *const config = node->config;
    const struct log_resume *const resume = node->logs.partitions.items[index].resume;
    enum status status =
        runtime_commit_ring(&node->runtime, (uint32_t)index, resume->log_id,
                            config->storage.ring_bytes, &core->ring_file, &core->ring);
    if (status != STATUS_OK) { return status; }

    const struct uring_disk_options disk = {
        .depth = config->storage.commits_in_flight + 8, /* headers, footers, trailers beside them */
        .memory = bytes_of(commit_ring_data(core->ring), core->ring->capacity_bytes),
        .doorbell = node->doorbell,
        .method = node->write_method,
    };
    status = uring_disk_create(&disk, &core->disk);
    if (status != STATUS_OK) {
        log_error(
            "io_uring cannot be set up (%s, %s): kernel 6.1 or later, and "
            "kernel.io_uring_disabled = 0, are needed; a locked-memory limit (ulimit -l) must "
            "hold the commit ring",
            status_text(status), strerror(errno));
    }
    return status;
}

/* --------------------------------------------------------------------------------- workers */

static enum status create_core(struct node *node, struct core *core, size_t index)
{
    const enum status status = create_disk(node, core, index);
    if (status != STATUS_OK) { return status; }

    struct worker_port ports[CONFIG_PORTS_MAX];
    const size_t buffers = node_ports_of_worker(&node->ports, index, ports);
    const struct seat_options options = {
        .config = node->config,
        .index = index,
        .partition = &node->logs.partitions.items[index],
        .root = node->runtime.root,
        .supply = node->supply,
        .disk = uring_disk_port(core->disk),
        .ring = core->ring,
        .ports = ports,
        .buffer_count = buffers,
        .commit_records_max = SEAT_COMMIT_RECORDS_MAX,
        .lane_pool_runs = SEAT_LANE_POOL_RUNS,
        .listeners = &node->listeners,
        .rules_rcu = node->rules,
        .native = node->native.homes != NULL ? &node->native : NULL,
        .now = clock_now(),
    };
    return seat_init(&core->seat, &options);
}

static enum status create_native(struct node *node)
{
    uint8_t secret[64];
    if (!config_has_protocol(node->config, CONFIG_PROTOCOL_NATIVE)) { return STATUS_OK; }
    enum status status = entropy_fill(secret, sizeof secret);
    if (status == STATUS_OK) {
        status = seat_native_init(&node->native, node->config, &node->logs.partitions, secret);
    }
    explicit_bzero(secret, sizeof secret);
    if (status != STATUS_OK) {
        log_error("the native protocol cannot be set up: %s", status_text(status));
        return status;
    }
    return STATUS_OK;
}

static enum status create_cores(struct node *node)
{
    const uint64_t cycles = cycles_per_second();
    node->write_method = write_method_choose(node->config);
    node->runtime.node->durability = write_method_told(node->write_method);
    for (size_t i = 0; i < node->config->workers.count; i++) {
        struct core *const core = &node->cores[i];
        struct stats_page *const stats = node->logs.partitions.items[i].stats;
        node->core_count = i + 1;
        stats->cycles_per_second = cycles;

        /* Ring, worker and log lie beside the core that uses them. */
        const int numa_node =
            numa_available() < 0 ? -1 : numa_node_of_cpu((int)node->config->workers.cores[i]);
        if (numa_node >= 0) { numa_set_preferred(numa_node); }
        const enum status status = create_core(node, core, i);
        if (numa_node >= 0) { numa_set_localalloc(); }
        if (status != STATUS_OK) { return status; }
        core->lcore = (struct lcore){
            .worker = core->seat.worker,
            .disk = core->disk,
            .stats = stats,
            .polling = node->config->workers.polling,
        };
    }
    return STATUS_OK;
}

/* ----------------------------------------------------------------------------------- the rules */

static enum status put_first_rules_in_force(struct node *node, struct node_config *config)
{
    struct rules_generation *first;
    const struct rules_generation_options options = {
        .rules = config->rules,
        .number = 1,
        .loaded_wall_ms = clock_now().wall_ms,
        .worker_count = node->config->workers.count,
        .records_max = WORKER_RECORDS_MAX,
        .runtime = node->runtime.path,
    };
    config->rules = NULL;
    enum status status = rules_generation_create(&options, &first);
    if (status != STATUS_OK) { return status; }
    rules_generation_settle(first, NULL); /* counts go on from what the last run left */
    status = rules_rcu_create(first, &node->rules);
    if (status != STATUS_OK) {
        rules_generation_destroy(first);
        return status;
    }
    const struct rules_text *const text = &config->rules_text;
    if (text->at != NULL) {
        const enum status kept = rules_archive_keep(node->config->cache, first->epoch,
                                                    bytes_of(text->at, text->len_bytes));
        (void)kept; /* it says itself what is wrong, and is no reason not to start */
    }
    return STATUS_OK;
}

static void tell_first_rules(struct node *node)
{
    struct node_page *const page = node->runtime.node;
    const struct rules_generation *const first = rules_rcu_newest(node->rules);
    page->rules_epoch = first->epoch;
    page->rule_count = rule_set_rule_count(first->rules);
    page->rules_loaded_wall_ms = first->loaded_wall_ms;
    page->rules_reloads = 0;
    page->rules_reload_failures = 0;
    page->rules_stale = 0;
    page->rules_workers_behind = 0;
}

/* One line of the log for each of the outcome's, which belong to `level`. */
static void log_lines(enum log_level level, const struct rules_outcome *outcome)
{
    const char *at = outcome->text;
    const char *const end = outcome->text + outcome->text_bytes;
    for (int lines = 0; at < end; lines++) {
        const char *const line_end = memchr(at, '\n', (size_t)(end - at));
        const char *const next = line_end != NULL ? line_end : end;
        if (lines == RELOAD_LINES_LOGGED_MAX) {
            logger_write(level, "rules: and more; `penstock rules check` lists all");
            return;
        }
        logger_write(level, "%.*s", (int)(next - at), at);
        at = next + 1;
    }
}

static void log_reload(const struct rules_outcome *outcome)
{
    if (outcome->published) {
        log_lines(LOG_LEVEL_WARNING, outcome);
        log_notice("rules reloaded: epoch %016" PRIx64 ", %" PRIu32 " rules, %s after %" PRIu32
                   " ms on %" PRIu32 " worker%s",
                   outcome->epoch, outcome->rule_count,
                   outcome->status == STATUS_OK ? "in force" : "not yet in force", outcome->took_ms,
                   outcome->worker_count, outcome->worker_count == 1 ? "" : "s");
        return;
    }
    log_lines(LOG_LEVEL_ERROR, outcome);
    log_error("rules not reloaded: those with epoch %016" PRIx64 " stay in force", outcome->epoch);
}

static void count_reload(struct node_page *page, const struct rules_outcome *outcome)
{
    page->rules_reloads += outcome->published;
    page->rules_reload_failures += !outcome->published;
    page->rules_stale = !outcome->published && outcome->status != STATUS_NOT_FOUND;
    page->rules_epoch = outcome->epoch;
    page->rule_count = outcome->rule_count;
    page->rules_loaded_wall_ms = outcome->loaded_wall_ms;
}

static void end_reload(struct node *node)
{
    struct rules_outcome outcome;
    if (!rules_loader_take(node->rules_loader, &outcome)) { return; }
    log_reload(&outcome);
    count_reload(node->runtime.node, &outcome);
    const struct control_report report = {
        .epoch = outcome.epoch,
        .rule_count = outcome.rule_count,
        .took_ms = outcome.took_ms,
        .worker_count = outcome.worker_count,
        .text = bytes_of(outcome.text, outcome.text_bytes),
    };
    control_socket_reloaded(node->control, outcome.ticket, outcome.status, &report);
    free(outcome.text);
}

static void tell_workers_behind(struct node *node)
{
    uint32_t behind = 0;
    for (size_t i = 0; i < node->core_count; i++) {
        behind += rules_rcu_worker_is_behind(node->rules, i);
    }
    node->runtime.node->rules_workers_behind = behind;
}

static uint64_t on_reload(void *context)
{
    const struct node *const node = context;
    return rules_loader_request(node->rules_loader);
}

static enum status create_control(struct node *node)
{
    const struct rules_loader_options loader = {
        .config = node->config,
        .rcu = node->rules,
        .worker_count = node->config->workers.count,
        .records_max = WORKER_RECORDS_MAX,
        .runtime = node->runtime.path,
    };
    const enum status status = rules_loader_start(&loader, &node->rules_loader);
    if (status != STATUS_OK) { return status; }
    const struct control_socket_options control = {
        .runtime = node->runtime.path,
        .on_reload = on_reload,
        .context = node,
    };
    return control_socket_create(&control, &node->control);
}

/* ------------------------------------------------------------------------------- life cycle */

static void open_root(struct node *node)
{
    struct root_page *const root = node->runtime.root;
    const struct instant now = clock_now();
    if (!node->runtime.ended_in_order) {
        node->runtime.node->restarts_after_crash++;
        log_warning("the last run did not stop in order: recovering");
    }
    root->state = ROOT_STATE_RECOVERING;
    root->pid = (uint32_t)getpid();
    root->started_ns = now.mono_ns;
    root->heartbeat_ns = now.mono_ns;
    root->worker_count = (uint32_t)node->config->workers.count;
}

/* Before any thread starts: they inherit the mask, so that a stop never kills one of them. */
static int open_signals(void)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &ours, NULL) != 0) { return -1; }
    return signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
}

static enum status build(struct node *node, struct node_config *node_config)
{
    const struct config *const config = node->config;
    enum status status = runtime_open(&node->runtime, config->runtime, config->node);
    if (status != STATUS_OK) { return status; }
    node->runtime_is_open = true;
    open_root(node);
    status = put_first_rules_in_force(node, node_config);
    if (status != STATUS_OK) {
        log_error("the rules cannot be put in force: %s", status_text(status));
        return status;
    }

    status = node_logs_open(&node->logs, config, &node->runtime);
    if (status != STATUS_OK) { return status; }
    node->logs_are_open = true;
    partitions_begin_incarnation(&node->logs.partitions, node->runtime.root, clock_now().wall_ms);
    node->runtime.node->incarnation = node->runtime.root->incarnation;
    node->runtime.root->state = ROOT_STATE_STARTING;
    node->runtime.node->polling_adaptive = config->workers.polling == CONFIG_POLLING_ADAPTIVE;
    tell_first_rules(node);

    status = node_ports_open(&node->ports, config, node->runtime.node);
    if (status == STATUS_OK) { status = create_supply(node); }
    if (status == STATUS_OK) { status = create_native(node); }
    if (status == STATUS_OK) { status = create_cores(node); }
    if (status == STATUS_OK) { status = create_control(node); }
    if (status == STATUS_OK) {
        status = steward_start(node->supply, node->config->workers.count, node->retention,
                               &node->steward);
    }
    return status;
}

enum status node_create(struct node_config *config, struct node **out)
{
    struct node *const node = calloc(1, sizeof *node);
    if (node == NULL) { return STATUS_NO_MEMORY; }
    node->config = config->config;
    listeners_init(&node->listeners, node->config);
    iowq_watch_init(&node->iowq_watch, node->config->workers.cores, node->config->workers.count);
    node->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    node->signals = open_signals();
    node->cores = aligned_alloc(CACHE_PAIR_BYTES, CONFIG_WORKERS_MAX * sizeof(struct core) /
                                                          CACHE_PAIR_BYTES * CACHE_PAIR_BYTES +
                                                      CACHE_PAIR_BYTES);
    if (node->doorbell < 0 || node->signals < 0 || node->cores == NULL) {
        node_destroy(node);
        return STATUS_NO_MEMORY;
    }
    memset(node->cores, 0, CONFIG_WORKERS_MAX * sizeof(struct core));

    const enum status status = build(node, config);
    if (status != STATUS_OK) {
        node_destroy(node);
        return status;
    }
    *out = node;
    return STATUS_OK;
}

static void stop_workers(struct node *node)
{
    for (size_t i = 0; i < node->core_count; i++) {
        worker_request_stop(node->cores[i].seat.worker);
    }
}

static bool workers_are_done(const struct node *node)
{
    for (size_t i = 0; i < node->core_count; i++) {
        const struct core *const core = &node->cores[i];
        if (core->lcore.outcome != STATUS_OK) { continue; } /* never turned */
        if (!worker_is_done(core->seat.worker)) { return false; }
    }
    return true;
}

static void write_notes(struct node *node, uint64_t now_ns)
{
    for (size_t i = 0; i < node->core_count; i++) {
        node->runtime.node->notes_lost +=
            notes_write(&node->cores[i].seat.notes, &node->note_limits, now_ns);
    }
}

static void take_signals(struct node *node, bool *stop)
{
    struct signalfd_siginfo signal;
    while (read(node->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGHUP) {
            (void)rules_loader_request(node->rules_loader); /* nobody waits for the ticket */
        } else {
            *stop = true;
        }
    }
}

/* Waits for a doorbell, a signal, a client or the next heartbeat, and does what it brings. */
static void main_turn(struct node *node, bool *stop)
{
    enum { OWN_WAITS = 3 };
    struct pollfd waits[OWN_WAITS + CONTROL_SOCKET_POLL_MAX] = {
        {.fd = node->doorbell, .events = POLLIN},
        {.fd = node->signals, .events = POLLIN},
        {.fd = rules_loader_descriptor(node->rules_loader), .events = POLLIN},
    };
    const size_t clients = control_socket_poll_fill(node->control, waits + OWN_WAITS);
    (void)poll(waits, (nfds_t)(OWN_WAITS + clients), HEARTBEAT_MS);

    if (waits[0].revents & POLLIN) {
        uint64_t rings;
        const ssize_t taken = read(node->doorbell, &rings, sizeof rings);
        if (taken == (ssize_t)sizeof rings) { control_socket_ring(node->control); }
    }
    if (waits[1].revents & POLLIN) { take_signals(node, stop); }
    if (waits[2].revents & POLLIN) { end_reload(node); }
    control_socket_poll_done(node->control, waits + OWN_WAITS, clients);

    const uint64_t now_ns = clock_mono_ns();
    node->runtime.root->heartbeat_ns = now_ns;
    write_notes(node, now_ns);
    tell_workers_behind(node);
    tell_supply(node);
    node_ports_count(&node->ports, now_ns);
    iowq_watch_turn(&node->iowq_watch, node->runtime.node, now_ns);
}

static enum status launch_workers(struct node *node)
{
    for (size_t i = 0; i < node->core_count; i++) {
        const enum status status = dpdk_worker_launch(i, lcore_main, &node->cores[i].lcore);
        if (status != STATUS_OK) {
            log_error("worker %zu cannot be launched: %s", i, status_text(status));
            return status;
        }
        node->workers_launched = true;
    }
    return STATUS_OK;
}

/* Why records that were received are not durable; STATUS_OK when all are. */
static enum status outcome_of(struct node *node)
{
    enum status outcome = STATUS_OK;
    for (size_t i = 0; i < node->core_count; i++) {
        const struct core *const core = &node->cores[i];
        const uint64_t in_flight = node->logs.partitions.items[i].stats->records_in_flight;
        if (core->lcore.outcome != STATUS_OK) {
            log_error("worker %zu could not use its disk: %s", i, status_text(core->lcore.outcome));
            outcome = core->lcore.outcome;
        } else if (in_flight > 0) {
            log_error("part-%04zu: %" PRIu64 " records could not be made durable: %s", i, in_flight,
                      status_text(core_log_closed_why(core->seat.log)));
            outcome = STATUS_IO;
        }
    }
    return outcome;
}

enum status node_run(struct node *node)
{
    /* Code and data stay in memory: a polling core must not wait for a page. */
    if (mlockall(MCL_CURRENT) != 0) {
        log_warning("memory cannot be locked (%s): under pressure a worker may wait for a page; "
                    "raise the limit (ulimit -l)",
                    strerror(errno));
    }

    enum status status = launch_workers(node);
    bool stop = status != STATUS_OK;
    if (!stop) {
        node->runtime.root->state = ROOT_STATE_RUNNING;
        log_notice("node %s receives: %zu worker%s, %zu listener%s, incarnation %" PRIu64,
                   node->config->node, node->core_count, node->core_count == 1 ? "" : "s",
                   node->config->listener_count, node->config->listener_count == 1 ? "" : "s",
                   (uint64_t)node->runtime.root->incarnation);
    }
    while (!stop) { main_turn(node, &stop); }

    log_notice("stopping: what was received becomes durable first");
    node->runtime.root->state = ROOT_STATE_DRAINING;
    stop_workers(node);
    const uint64_t deadline_ns = clock_mono_ns() + (uint64_t)STOP_TIMEOUT_S * NS_PER_S;
    while (node->workers_launched && !workers_are_done(node)) {
        main_turn(node, &stop);
        if (clock_mono_ns() > deadline_ns) {
            log_error("the disk did not finish within %d s: giving up; the next start recovers",
                      STOP_TIMEOUT_S);
            _exit(1); /* writes are still in flight: their memory must not be freed */
        }
    }
    if (node->workers_launched) { dpdk_workers_wait(); }
    node_ports_count(&node->ports, UINT64_MAX);
    write_notes(node, clock_mono_ns());
    if (status == STATUS_OK) { status = outcome_of(node); }
    if (status == STATUS_OK) { node->runtime.root->state = ROOT_STATE_STOPPED; }
    control_socket_ring(node->control);
    return status;
}

void node_destroy(struct node *node)
{
    if (node == NULL) { return; }
    steward_stop(node->steward);
    rules_loader_stop(node->rules_loader);
    control_socket_destroy(node->control);
    for (size_t i = 0; i < node->core_count; i++) {
        struct core *const core = &node->cores[i];
        seat_deinit(&core->seat);
        uring_disk_destroy(core->disk);
        mapped_file_close(&core->ring_file);
    }
    rules_rcu_destroy(node->rules);
    seat_native_deinit(&node->native);
    retention_destroy(node->retention);
    segment_supply_destroy(node->supply);
    node_ports_close(&node->ports);
    if (node->logs_are_open) { node_logs_close(&node->logs); }
    if (node->runtime_is_open) { runtime_close(&node->runtime); }
    if (node->doorbell >= 0) { close(node->doorbell); }
    if (node->signals >= 0) { close(node->signals); }
    free(node->cores);
    free(node);
}
