#include "serve/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/endian.h"
#include "serve/kafka_api.h"
#include "serve/rules_metrics.h"
#include "serve/text.h"

/* Only where jemalloc is linked (not under a sanitizer). */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new_value,
                   size_t new_bytes) __attribute__((weak));

enum {
    /* Buckets end at powers of two nanoseconds, where the histogram's own do: 33 us to 4.3 s. */
    BUCKET_EXPONENT_FIRST = 15,
    BUCKET_EXPONENT_LAST = 32,
};

static void family(struct text *out, const char *name, const char *type, const char *help)
{
    text_metric_family(out, name, type, help);
}

static uint32_t partition_count(const struct metrics_sources *sources)
{
    return reader_partition_count(sources->reader);
}

/* ------------------------------------------------------------------------ counters of a worker */

static void worker_counter(const struct metrics_sources *sources, struct text *out,
                           const char *name, const char *labels, enum stats_counter counter)
{
    for (uint32_t i = 0; i < partition_count(sources); i++) {
        const struct stats_page *const page = runtime_pages_stats(sources->pages, i);
        if (page == NULL) { continue; }
        text_printf(out, "penstock_%s{worker=\"%u\"%s} %" PRIu64 "\n", name, i, labels,
                    page->counters[counter]);
    }
}

/* One sample a counter of the group and worker; the counter's name without `prefix` is its kind. */
static void outcome_group(const struct metrics_sources *sources, struct text *out,
                          const char *family_name, enum stats_group group, const char *outcome,
                          const char *prefix)
{
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        const struct stats_counter_facts *const facts = &stats_counter_facts[i];
        if (facts->group != group) { continue; }
        char labels[128];
        snprintf(labels, sizeof labels, ",outcome=\"%s\",kind=\"%s\"", outcome,
                 facts->name + strlen(prefix));
        worker_counter(sources, out, family_name, labels, (enum stats_counter)i);
    }
}

static void ledger_counters(const struct metrics_sources *sources, struct text *out)
{
    family(out, "frames_total", "counter", "Frames by what became of them; each has one outcome.");
    outcome_group(sources, out, "frames_total", STATS_GROUP_PASSED, "passed", "frames_");
    outcome_group(sources, out, "frames_total", STATS_GROUP_MALFORMED, "malformed", "frames_");
    outcome_group(sources, out, "frames_total", STATS_GROUP_FOREIGN, "foreign", "frames_");
    outcome_group(sources, out, "frames_total", STATS_GROUP_FRAMES_LOST, "lost", "frames_");

    family(out, "records_total", "counter",
           "Records by what became of them; each has one outcome.");
    outcome_group(sources, out, "records_total", STATS_GROUP_STORED, "stored", "records_");
    outcome_group(sources, out, "records_total", STATS_GROUP_DROPPED, "dropped", "records_");
    outcome_group(sources, out, "records_total", STATS_GROUP_REFUSED, "refused", "records_");
    outcome_group(sources, out, "records_total", STATS_GROUP_DUPLICATE, "duplicate", "records_");
    outcome_group(sources, out, "records_total", STATS_GROUP_LOST, "lost", "records_");
}

static const char cycles_prefix[] = "worker_cycles_";

static bool counts_cycles(const struct stats_counter_facts *facts)
{
    return strncmp(facts->name, cycles_prefix, sizeof cycles_prefix - 1) == 0;
}

/* Busy and empty turns make all cycles; the stages divide the busy ones. */
static bool counts_turns(const struct stats_counter_facts *facts)
{
    const char *const rest = facts->name + sizeof cycles_prefix - 1;
    return strcmp(rest, "busy") == 0 || strcmp(rest, "empty") == 0;
}

static void cycle_counters(const struct metrics_sources *sources, struct text *out,
                           const char *family_name, const char *label, bool turns)
{
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        const struct stats_counter_facts *const facts = &stats_counter_facts[i];
        if (!counts_cycles(facts) || counts_turns(facts) != turns) { continue; }
        char labels[64];
        snprintf(labels, sizeof labels, ",%s=\"%s\"", label,
                 facts->name + sizeof cycles_prefix - 1);
        worker_counter(sources, out, family_name, labels, (enum stats_counter)i);
    }
}

static bool is_plain(const struct stats_counter_facts *facts)
{
    switch (facts->group) {
    case STATS_GROUP_FRAMES:
    case STATS_GROUP_RECORDS:
    case STATS_GROUP_COPIES: return true;
    case STATS_GROUP_NOTE: return !counts_cycles(facts);
    default: return false; /* in frames_total or records_total */
    }
}

static void plain_counters(const struct metrics_sources *sources, struct text *out)
{
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        const struct stats_counter_facts *const facts = &stats_counter_facts[i];
        if (!is_plain(facts)) { continue; }
        char name[128];
        snprintf(name, sizeof name, "%s_total", facts->name);
        family(out, name, "counter", facts->help);
        worker_counter(sources, out, name, "", (enum stats_counter)i);
    }
}

static void write_worker_counters(const struct metrics_sources *sources, struct text *out)
{
    ledger_counters(sources, out);
    plain_counters(sources, out);
    family(out, "worker_turn_cycles_total", "counter", "TSC cycles by kind of turn.");
    cycle_counters(sources, out, "worker_turn_cycles_total", "turns", true);
    family(out, "worker_stage_cycles_total", "counter", "TSC cycles of busy turns by stage.");
    cycle_counters(sources, out, "worker_stage_cycles_total", "stage", false);
}

/* -------------------------------------------------------------------------- gauges of a worker */

struct worker_gauge {
    const char *name;
    const char *help;
    double (*value)(const struct metrics_sources *sources, const struct stats_page *page);
};

static double gauge_records(const struct metrics_sources *sources, const struct stats_page *page)
{
    (void)sources;
    return (double)page->records_in_flight;
}

static double gauge_commits(const struct metrics_sources *sources, const struct stats_page *page)
{
    (void)sources;
    return (double)page->commits_in_flight;
}

static double gauge_buffers(const struct metrics_sources *sources, const struct stats_page *page)
{
    (void)sources;
    return (double)page->buffers_free;
}

static double gauge_lanes(const struct metrics_sources *sources, const struct stats_page *page)
{
    (void)sources;
    return (double)page->lanes_known;
}

static double gauge_sessions(const struct metrics_sources *sources, const struct stats_page *page)
{
    (void)sources;
    return (double)page->sessions_live;
}

static double gauge_credit(const struct metrics_sources *sources, const struct stats_page *page)
{
    (void)sources;
    return (double)page->lane_credit_bytes;
}

static double age_seconds(uint64_t now_ns, uint64_t then_ns)
{
    return now_ns > then_ns ? (double)(now_ns - then_ns) / NS_PER_S : 0;
}

static double gauge_heartbeat(const struct metrics_sources *sources, const struct stats_page *page)
{
    return age_seconds(sources->now_ns, page->heartbeat_ns);
}

static double gauge_frequency(const struct metrics_sources *sources, const struct stats_page *page)
{
    (void)sources;
    return (double)page->cycles_per_second;
}

static double gauge_frames_residue(const struct metrics_sources *sources,
                                   const struct stats_page *page)
{
    struct ledger ledger;
    (void)sources;
    ledger_of(page, &ledger);
    return (double)ledger.frames_residue;
}

static double gauge_records_residue(const struct metrics_sources *sources,
                                    const struct stats_page *page)
{
    struct ledger ledger;
    (void)sources;
    ledger_of(page, &ledger);
    return (double)ledger.records_residue;
}

static const struct worker_gauge worker_gauges[] = {
    {"records_in_flight", "Records decoded and not yet durable.", gauge_records},
    {"commits_in_flight", "Commits handed to the disk and not yet durable.", gauge_commits},
    {"buffers_free", "Packet buffers left in the pool.", gauge_buffers},
    {"lanes_known", "Lanes of native producers that are remembered.", gauge_lanes},
    {"sessions_live", "Native producers' sessions.", gauge_sessions},
    {"lane_credit_bytes", "What one lane may have under way: 0 stops producers.", gauge_credit},
    {"worker_heartbeat_age_seconds", "Since the worker's last turn.", gauge_heartbeat},
    {"worker_cycles_per_second", "TSC frequency of the worker's core.", gauge_frequency},
    {"ledger_frames_residue", "Frames without an outcome: 0 when quiescent.", gauge_frames_residue},
    {"ledger_records_residue", "Records without an outcome: 0 when quiescent.",
     gauge_records_residue},
};

static void write_worker_gauges(const struct metrics_sources *sources, struct text *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(worker_gauges); i++) {
        const struct worker_gauge *const gauge = &worker_gauges[i];
        family(out, gauge->name, "gauge", gauge->help);
        for (uint32_t worker = 0; worker < partition_count(sources); worker++) {
            const struct stats_page *const page = runtime_pages_stats(sources->pages, worker);
            if (page == NULL) { continue; }
            text_printf(out, "penstock_%s{worker=\"%u\"} %.17g\n", gauge->name, worker,
                        gauge->value(sources, page));
        }
    }
}

/* ---------------------------------------------------------------------------------- histograms */

/* The total is summed here: a count that is written meanwhile may not fit the buckets. */
static void write_histogram(struct text *out, const char *name, uint32_t worker,
                            const struct histogram *histogram)
{
    uint64_t count = 0;
    uint32_t bucket = 0;
    for (unsigned i = BUCKET_EXPONENT_FIRST; i <= BUCKET_EXPONENT_LAST; i++) {
        const uint64_t end_ns = UINT64_C(1) << i;
        while (bucket < HISTOGRAM_BUCKET_COUNT && histogram_bucket_end_ns(bucket) <= end_ns) {
            count += histogram->buckets[bucket];
            bucket++;
        }
        text_printf(out, "penstock_%s_bucket{worker=\"%u\",le=\"%.9f\"} %" PRIu64 "\n", name,
                    worker, (double)end_ns / NS_PER_S, count);
    }
    for (; bucket < HISTOGRAM_BUCKET_COUNT; bucket++) { count += histogram->buckets[bucket]; }
    text_printf(out, "penstock_%s_bucket{worker=\"%u\",le=\"+Inf\"} %" PRIu64 "\n", name, worker,
                count);
    text_printf(out, "penstock_%s_sum{worker=\"%u\"} %.9f\n", name, worker,
                (double)histogram->sum_ns / NS_PER_S);
    text_printf(out, "penstock_%s_count{worker=\"%u\"} %" PRIu64 "\n", name, worker, count);
}

static void write_histograms(const struct metrics_sources *sources, struct text *out)
{
    static const char durable[] = "receive_to_durable_seconds";
    static const char enter[] = "disk_enter_seconds";
    family(out, durable, "histogram", "From a record's burst to its commit's durability.");
    for (uint32_t i = 0; i < partition_count(sources); i++) {
        const struct stats_page *const page = runtime_pages_stats(sources->pages, i);
        if (page != NULL) { write_histogram(out, durable, i, &page->receive_to_durable); }
    }
    family(out, enter, "histogram", "One io_uring_enter call.");
    for (uint32_t i = 0; i < partition_count(sources); i++) {
        const struct stats_page *const page = runtime_pages_stats(sources->pages, i);
        if (page != NULL) { write_histogram(out, enter, i, &page->disk_enter); }
    }
}

/* ------------------------------------------------------------------------------ node and ports */

struct port_field {
    const char *name;
    const char *type;
    const char *help;
    size_t position; /* in struct node_port */
    bool is_64_bits;
};

static const struct port_field port_fields[] = {
    {"port_received_frames_total", "counter", "Frames the port handed over since start.",
     offsetof(struct node_port, received_frames), true},
    {"port_missed_frames_total", "counter", "Frames the port lost because its queue was full.",
     offsetof(struct node_port, missed_frames), true},
    {"port_no_buffer_frames_total", "counter", "Frames the port lost for want of a buffer.",
     offsetof(struct node_port, no_buffer_frames), true},
    {"port_error_frames_total", "counter", "Frames the port found damaged.",
     offsetof(struct node_port, error_frames), true},
    {"port_sent_frames_total", "counter", "Frames sent.", offsetof(struct node_port, sent_frames),
     true},
    {"port_send_dropped_frames_total", "counter", "Frames that the port did not take for sending.",
     offsetof(struct node_port, send_dropped_frames), true},
    {"port_earlier_lost_frames_total", "counter", "Frames lost before the last restart.",
     offsetof(struct node_port, earlier_lost_frames), true},
    {"port_loss_known", "gauge", "0: this driver cannot tell what it lost.",
     offsetof(struct node_port, loss_known), false},
    {"port_link_up", "gauge", "1: the link is up.", offsetof(struct node_port, link_up), false},
};

static uint64_t port_value(const struct node_port *port, const struct port_field *field)
{
    const uint8_t *const at = (const uint8_t *)port + field->position;
    return field->is_64_bits ? load_le64(at) : load_le32(at);
}

static void write_ports(const struct node_page *node, struct text *out)
{
    const uint32_t count = node->port_count <= NODE_PORTS_MAX ? node->port_count : NODE_PORTS_MAX;
    for (size_t i = 0; i < ARRAY_COUNT(port_fields); i++) {
        family(out, port_fields[i].name, port_fields[i].type, port_fields[i].help);
        for (uint32_t k = 0; k < count; k++) {
            struct node_port port = node->ports[k]; /* a copy: the names must end */
            port.name[sizeof port.name - 1] = '\0';
            port.driver[sizeof port.driver - 1] = '\0';
            text_printf(out, "penstock_%s{port=\"", port_fields[i].name);
            text_label(out, port.name);
            text_printf(out, "\",driver=\"");
            text_label(out, port.driver);
            text_printf(out, "\"} %" PRIu64 "\n", port_value(&port, &port_fields[i]));
        }
    }
}

static void write_value(struct text *out, const char *name, const char *type, const char *help,
                        uint64_t value)
{
    family(out, name, type, help);
    text_printf(out, "penstock_%s %" PRIu64 "\n", name, value);
}

struct path_field {
    const char *name;
    const char *help;
    size_t position; /* in struct node_path, 64 bits */
    bool is_seconds; /* which may be never */
};

static const struct path_field path_fields[] = {
    {"storage_free_bytes", "Free on the path's file system.",
     offsetof(struct node_path, free_bytes), false},
    {"storage_write_bytes_per_second", "Written to the logs of the path, smoothed over a minute.",
     offsetof(struct node_path, write_bytes_per_s), false},
    {"storage_full_seconds",
     "At the present rate, until ingest closes for want of space; +Inf: never.",
     offsetof(struct node_path, full_seconds), true},
    {"storage_trim_seconds",
     "At the present rate, until retention by bytes or free space takes segments; +Inf: never.",
     offsetof(struct node_path, trim_seconds), true},
};

static void write_path_value(struct text *out, const struct node_path *path,
                             const struct path_field *field)
{
    const uint64_t value = load_le64((const uint8_t *)path + field->position);
    if (field->is_seconds && value == NODE_SECONDS_NEVER) {
        text_printf(out, "\"} +Inf\n");
    } else {
        text_printf(out, "\"} %" PRIu64 "\n", value);
    }
}

static void write_path_label(struct text *out, const char *name, const struct node_path *path)
{
    text_printf(out, "penstock_%s{path=\"", name);
    text_label(out, path->path);
}

static void write_paths(const struct node_page *node, struct text *out)
{
    const uint32_t count = node->path_count <= NODE_PATHS_MAX ? node->path_count : NODE_PATHS_MAX;
    for (size_t i = 0; i < ARRAY_COUNT(path_fields); i++) {
        family(out, path_fields[i].name, "gauge", path_fields[i].help);
        for (uint32_t k = 0; k < count; k++) {
            struct node_path path = node->paths[k]; /* a copy: the name must end */
            path.path[sizeof path.path - 1] = '\0';
            if (!path.used) { continue; }
            write_path_label(out, path_fields[i].name, &path);
            write_path_value(out, &path, &path_fields[i]);
        }
    }
    family(out, "storage_low", "gauge", "1: less than storage.retain.free is free on the path.");
    for (uint32_t k = 0; k < count; k++) {
        struct node_path path = node->paths[k];
        path.path[sizeof path.path - 1] = '\0';
        if (!path.used) { continue; }
        write_path_label(out, "storage_low", &path);
        text_printf(out, "\"} %" PRIu32 "\n", path.low);
    }
}

/* The epoch is a hash: its digits are a label, as a number they would be rounded. */
static void write_rules(const struct node_page *node, struct text *out)
{
    write_value(out, "rules", "gauge", "Rules in force.", node->rule_count);
    family(out, "rules_epoch", "gauge", "1; the label names the rules in force, as commits do.");
    text_printf(out, "penstock_rules_epoch{epoch=\"%016" PRIx64 "\"} 1\n", node->rules_epoch);
    write_value(out, "rules_loaded_timestamp_seconds", "gauge",
                "When the file of the rules in force was read, since 1970.",
                (uint64_t)node->rules_loaded_wall_ms / 1000);
    write_value(out, "rules_reloads_total", "counter",
                "Reloads that put rules in force, since ingest started.", node->rules_reloads);
    write_value(out, "rules_reload_failures_total", "counter",
                "Reloads that did not, since ingest started.", node->rules_reload_failures);
    write_value(out, "rules_stale", "gauge",
                "1: the last reload failed; the rules in force are not what the file says.",
                node->rules_stale);
    write_value(out, "rules_workers_behind", "gauge",
                "Workers that still judge by the rules before the last reload.",
                node->rules_workers_behind);
}

static void write_node(const struct metrics_sources *sources, struct text *out)
{
    const struct node_page *const node = runtime_pages_node(sources->pages);
    if (node == NULL) { return; }
    write_ports(node, out);
    write_value(out, "packet_memory_bytes", "gauge", "Memory for packet buffers.",
                node->memory_bytes);
    write_rules(node, out);
    write_value(out, "restarts_after_crash_total", "counter",
                "Starts that found no orderly stop before them.", node->restarts_after_crash);
    write_value(out, "notes_lost_total", "counter", "Log lines that workers could not hand over.",
                node->notes_lost);
    write_value(out, "records_expired_total", "counter", "Records removed by retention.",
                node->entries_expired);
    write_value(out, "segments_expired_total", "counter", "Segments removed by retention.",
                node->segments_expired);
    write_value(out, "iowq_threads", "gauge", "Threads that the kernel keeps for ingest's disks.",
                node->iowq_threads);
    write_value(out, "iowq_threads_astray", "gauge",
                "Of them: may run, or ran last, on a worker's core. Not 0: a fault.",
                node->iowq_threads_astray);
    write_value(out, "iowq_sightings_total", "counter",
                "Looks, one a second, that found threads of the kernel astray.",
                node->iowq_sightings);
    family(out, "durability", "gauge", "Always 1; how writes become durable.");
    text_printf(out, "penstock_durability{method=\"%s\"} 1\n",
                node_durability_text(node->durability));
    write_value(out, "expired_bytes_total", "counter", "Bytes of segments removed by retention.",
                node->expired_bytes);
    write_value(out, "records_expired_in_place_total", "counter",
                "Of the expired records, those that went by their topic's own limits.",
                node->entries_expired_in_place);
    write_value(out, "segments_expired_early_total", "counter",
                "Of the expired segments, those that went because a path ran low.",
                node->segments_expired_early);
    write_value(out, "log_bytes", "gauge",
                "Files of all logs, prepared ones and those about to be removed included.",
                node->log_bytes);
    write_paths(node, out);
}

/* As penstock status says it. */
static void write_log_states(const struct root_page *root, struct text *out)
{
    uint32_t count = atomic_load_explicit(&root->partition_count, memory_order_relaxed);
    if (count > ROOT_PARTITIONS_MAX) { count = ROOT_PARTITIONS_MAX; }
    family(out, "log_state", "gauge", "Always 1; a partition's log, and why when it is closed.");
    for (uint32_t i = 0; i < count; i++) {
        const struct root_partition *const slot = &root->partitions[i];
        const uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
        const uint32_t why = atomic_load_explicit(&slot->why, memory_order_relaxed);
        text_printf(out, "penstock_log_state{partition=\"%u\",state=\"%s\",why=\"%s\"} 1\n", i,
                    root_log_state_text((enum root_log_state)state),
                    state == ROOT_LOG_CLOSED ? status_text((enum status)why) : "");
    }
}

static void write_state(const struct metrics_sources *sources, struct text *out)
{
    const struct root_page *const root = reader_root(sources->reader);
    family(out, "build_info", "gauge", "Always 1; the version is in the label.");
    text_printf(out, "penstock_build_info{version=\"%s\"} 1\n", PENSTOCK_VERSION);
    write_value(out, "ready", "gauge", "1: /readyz says yes.", sources->ready);
    write_value(out, "doorbell_connected", "gauge", "1: ingest wakes this process.",
                sources->doorbell_connected);
    if (root == NULL) { return; }

    const uint32_t state = atomic_load_explicit(&root->state, memory_order_relaxed);
    const uint64_t beat_ns = atomic_load_explicit(&root->heartbeat_ns, memory_order_relaxed);
    family(out, "ingest_state", "gauge", "Always 1; what penstock-ingest says it does.");
    text_printf(out, "penstock_ingest_state{state=\"%s\"} 1\n",
                root_state_text((enum root_state)state));
    family(out, "ingest_heartbeat_age_seconds", "gauge", "Since penstock-ingest's last heartbeat.");
    text_printf(out, "penstock_ingest_heartbeat_age_seconds %.3f\n",
                age_seconds(sources->now_ns, beat_ns));
    write_value(out, "ingest_incarnation", "gauge", "Rises by one at every start of ingest.",
                atomic_load_explicit(&root->incarnation, memory_order_relaxed));
    write_log_states(root, out);
}

/* ------------------------------------------------------------------------------------- topics */

static void write_watermark(const struct metrics_sources *sources, struct text *out,
                            const char *name, const char *help, bool high)
{
    family(out, name, "gauge", help);
    for (size_t topic = 0; topic < reader_topic_count(sources->reader); topic++) {
        for (uint32_t i = 0; i < partition_count(sources); i++) {
            struct reader_watermarks marks;
            reader_watermarks(sources->reader, topic, i, &marks);
            if (marks.high_watermark == 0) { continue; } /* never seen there */
            text_printf(out, "penstock_%s{topic=\"", name);
            text_label(out, reader_topic_name(sources->reader, topic));
            text_printf(out, "\",partition=\"%u\"} %" PRIu64 "\n", i,
                        high ? marks.high_watermark : marks.log_start);
        }
    }
}

static void write_topics(const struct metrics_sources *sources, struct text *out)
{
    write_watermark(sources, out, "topic_high_watermark",
                    "Next offset of a partition to become durable.", true);
    write_watermark(sources, out, "topic_log_start", "First offset of a partition still there.",
                    false);
}

/* --------------------------------------------------------------------------- penstock-serve */

static void write_serve_counters(const struct serve_stats *stats, struct text *out)
{
    static const struct {
        const char *name;
        const char *help;
    } facts[SERVE_COUNTER_COUNT] = {
#define X(name, help) {#name, help},
        SERVE_COUNTERS(X)
#undef X
    };
    for (size_t i = 0; i < SERVE_COUNTER_COUNT; i++) {
        char name[128];
        snprintf(name, sizeof name, "serve_%s_total", facts[i].name);
        write_value(out, name, "counter", facts[i].help, stats->counters[i]);
    }
}

static void write_serve(const struct serve_stats *stats, struct text *out)
{
    write_serve_counters(stats, out);
    family(out, "serve_requests_total", "counter", "Kafka requests by API.");
    for (size_t i = 0; i < kafka_api_count(); i++) {
        text_printf(out, "penstock_serve_requests_total{api=\"%s\"} %" PRIu64 "\n",
                    kafka_api_at(i)->name, stats->requests[i]);
    }
    write_value(out, "serve_connections_open", "gauge", "Kafka connections.",
                stats->connections_open);
    write_value(out, "serve_fetches_waiting", "gauge", "Fetches that wait for data.",
                stats->fetches_waiting);
    write_value(out, "serve_answer_bytes", "gauge", "Memory of answers being built or sent.",
                stats->answer_bytes_held);
    write_value(out, "serve_cache_bytes", "gauge", "Cold batches held in memory.",
                stats->cache_bytes);
}

static double wall_age_seconds(const struct metrics_sources *sources, int64_t then_ms)
{
    return sources->wall_ms > then_ms ? (double)(sources->wall_ms - then_ms) / MS_PER_S : 0;
}

static void write_scrub(const struct metrics_sources *sources, struct text *out)
{
    const struct scrub_progress *const scrub = sources->scrub;
    if (scrub == NULL) { return; }
    write_value(out, "scrub_bytes_total", "counter", "Bytes of sealed segments read and checked.",
                scrub->bytes);
    write_value(out, "scrub_passes_total", "counter",
                "Times that every sealed segment was checked, since start.", scrub->passes);
    write_value(out, "scrub_damaged_ranges_total", "counter",
                "Ranges found damaged; the log names each once.", scrub->damaged_ranges);
    write_value(out, "scrub_damaged_bytes_total", "counter", "Bytes of those ranges.",
                scrub->damaged_bytes);
    write_value(out, "scrub_segments", "gauge", "Sealed segments there are to check.",
                scrub->segments);
    if (scrub->oldest_wall_ms != 0) {
        family(out, "scrub_oldest_seconds", "gauge",
               "Since the segment that waits for longest was checked, or else opened.");
        text_printf(out, "penstock_scrub_oldest_seconds %.3f\n",
                    wall_age_seconds(sources, scrub->oldest_wall_ms));
    }
    if (scrub->pass_end_wall_ms != 0) {
        family(out, "scrub_pass_age_seconds", "gauge", "Since a whole pass ended.");
        text_printf(out, "penstock_scrub_pass_age_seconds %.3f\n",
                    wall_age_seconds(sources, scrub->pass_end_wall_ms));
    }
}

static void write_allocator(struct text *out)
{
    static const struct {
        const char *statistic;
        const char *name;
        const char *help;
    } gauges[] = {
        {"stats.allocated", "serve_allocated_bytes", "Bytes that penstock-serve allocated."},
        {"stats.resident", "serve_allocator_resident_bytes", "Resident bytes of its allocator."},
        {"stats.mapped", "serve_allocator_mapped_bytes", "Mapped bytes of its allocator."},
    };
    if (mallctl == NULL) { return; }
    uint64_t epoch = 1; /* writing it refreshes the statistics */
    if (mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) != 0) { return; }
    for (size_t i = 0; i < ARRAY_COUNT(gauges); i++) {
        size_t value = 0;
        size_t value_bytes = sizeof value;
        if (mallctl(gauges[i].statistic, &value, &value_bytes, NULL, 0) != 0) { continue; }
        write_value(out, gauges[i].name, "gauge", gauges[i].help, value);
    }
}

void metrics_write(const struct metrics_sources *sources, struct text *out)
{
    write_state(sources, out);
    write_worker_counters(sources, out);
    write_worker_gauges(sources, out);
    write_histograms(sources, out);
    write_node(sources, out);
    rules_metrics_write(runtime_pages_rules(sources->pages), out);
    write_topics(sources, out);
    write_serve(sources->stats, out);
    write_scrub(sources, out);
    write_allocator(out);
}
