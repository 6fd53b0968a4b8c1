#include "serve/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static void add_reason(struct health *health, const char *format, ...) PRINTF_LIKE(2, 3);

static void add_reason(struct health *health, const char *format, ...)
{
    if (health->reason_count == HEALTH_REASONS_MAX) {
        health->reasons_cut = true;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(health->reasons[health->reason_count], HEALTH_REASON_BYTES, format, arguments);
    va_end(arguments);
    health->reason_count++;
}

static void judge_log(const struct root_page *root, uint32_t partition, struct health *out)
{
    const struct root_partition *const slot = &root->partitions[partition];
    const uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    if (state != ROOT_LOG_CLOSED) { return; }
    const uint32_t why = atomic_load_explicit(&slot->why, memory_order_relaxed);
    add_reason(out, "log %u is closed: %s", partition, status_text((enum status)why));
}

static void judge_worker(const struct runtime_pages *pages, uint32_t worker, uint64_t now_ns,
                         struct health *out)
{
    const struct stats_page *const page = runtime_pages_stats(pages, worker);
    if (page == NULL) {
        add_reason(out, "worker %u has no stats page", worker);
        return;
    }
    const uint64_t beat_ns = page->heartbeat_ns;
    const uint64_t age_ms = now_ns > beat_ns ? (now_ns - beat_ns) / NS_PER_MS : 0;
    if (age_ms > HEALTH_WORKER_STALE_MS) {
        add_reason(out, "worker %u has not turned for %" PRIu64 " ms", worker, age_ms);
    }
}

static void judge_ports(const struct runtime_pages *pages, struct health *out)
{
    const struct node_page *const node = runtime_pages_node(pages);
    if (node == NULL) { return; }
    const uint32_t count = node->port_count < NODE_PORTS_MAX ? node->port_count : NODE_PORTS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct node_port *const port = &node->ports[i];
        if (port->link_up != 0) { continue; }
        add_reason(out, "port %.*s: link down", (int)sizeof port->name, port->name);
    }
}

/* A worker's log tells its topics with its first commit, at once; until that can be read (a path
 * that appears late) consumers would be told that there is no such topic. */
static void judge_topics(const struct reader *reader, uint32_t workers, struct health *out)
{
    for (uint32_t i = reader_partition_count(reader); i < workers; i++) {
        add_reason(out, "log %u cannot be seen yet", i);
    }
    if (reader_topic_count(reader) == 0) { add_reason(out, "no topics are known yet"); }
}

/* It did not get round to saying so. */
static void state_not_running(const struct root_page *root, uint64_t now_ns, struct health *out)
{
    const uint64_t beat_ns = atomic_load_explicit(&root->heartbeat_ns, memory_order_relaxed);
    const uint64_t age_s = now_ns > beat_ns ? (now_ns - beat_ns) / NS_PER_S : 0;
    snprintf(out->state, sizeof out->state, "not running (last sign %" PRIu64 " s ago)", age_s);
}

static void judge_ingest(const struct health_sources *sources, const struct root_page *root,
                         uint64_t now_ns, struct health *out)
{
    const uint32_t state = atomic_load_explicit(&root->state, memory_order_relaxed);
    const char *const said = root_state_text((enum root_state)state);
    snprintf(out->state, sizeof out->state, "%s", said);
    if (!reader_ingest_alive(sources->reader, now_ns)) {
        if (state != ROOT_STATE_STOPPED) { state_not_running(root, now_ns, out); }
        add_reason(out, "penstock-ingest gives no sign of life (last state: %s)", said);
        return;
    }
    if (state != ROOT_STATE_RUNNING) {
        add_reason(out, "penstock-ingest is %s", out->state);
        return;
    }

    uint32_t partitions = atomic_load_explicit(&root->partition_count, memory_order_relaxed);
    uint32_t workers = atomic_load_explicit(&root->worker_count, memory_order_relaxed);
    if (partitions > ROOT_PARTITIONS_MAX) { partitions = ROOT_PARTITIONS_MAX; }
    if (workers > partitions) { workers = partitions; }
    for (uint32_t i = 0; i < partitions; i++) { judge_log(root, i, out); }
    for (uint32_t i = 0; i < workers; i++) { judge_worker(sources->pages, i, now_ns, out); }
    judge_ports(sources->pages, out);
    judge_topics(sources->reader, workers, out);
}

void health_judge(const struct health_sources *sources, uint64_t now_ns, struct health *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->state, sizeof out->state, "absent");
    out->fenced_batches = sources->stats->counters[SERVE_fenced_batches];
    const struct root_page *const root = reader_root(sources->reader);
    if (root == NULL) {
        add_reason(out, "penstock-ingest has not started yet: there is no root page");
    } else {
        judge_ingest(sources, root, now_ns, out);
    }
    if (!sources->kafka_listening) { add_reason(out, "the Kafka port is not open"); }
    if (sources->draining) { add_reason(out, "penstock-serve is stopping"); }
}
