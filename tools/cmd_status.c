/* cmd_status.c - penstock status: what a node is doing now, or was doing when it ended. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "tools/command.h"
#include "tools/human.h"
#include "tools/json_text.h"
#include "tools/runtime_view.h"

/* One partition's line: totals, or with an earlier sample what happened each second since. */
struct pace {
    uint64_t records_in;
    uint64_t records_stored;
    uint64_t stored_bytes;
    uint64_t commits;
    double busy_share; /* 0..1 of the worker's cycles; negative: no turn was counted */
};

struct status_options {
    bool as_json;
    bool watch;
    uint64_t samples_max; /* 0: until interrupted */
};

static uint64_t counted(const struct stats_page *now, const struct stats_page *before,
                        enum stats_counter counter)
{
    const uint64_t total = now->counters[counter];
    const uint64_t earlier = before != NULL ? before->counters[counter] : 0;
    return earlier <= total ? total - earlier : total; /* less: another log has taken its place */
}

static struct pace pace_of(const struct stats_page *now, const struct stats_page *before,
                           double seconds)
{
    const double busy = (double)counted(now, before, STATS_worker_cycles_busy);
    const double empty = (double)counted(now, before, STATS_worker_cycles_empty);
    struct pace out = {
        .records_in = counted(now, before, STATS_records_in),
        .records_stored = counted(now, before, STATS_records_stored),
        .stored_bytes = counted(now, before, STATS_records_stored_bytes),
        .commits = counted(now, before, STATS_commits_durable),
        .busy_share = busy + empty > 0 ? busy / (busy + empty) : -1,
    };
    if (before == NULL) { return out; }
    out.records_in = (uint64_t)((double)out.records_in / seconds);
    out.records_stored = (uint64_t)((double)out.records_stored / seconds);
    out.stored_bytes = (uint64_t)((double)out.stored_bytes / seconds);
    out.commits = (uint64_t)((double)out.commits / seconds);
    return out;
}

static const char *polling_text(const struct node_page *node)
{
    return node->polling_adaptive ? "adaptive" : "busy";
}

static uint64_t age_of(const struct runtime_sample *sample, uint64_t since_ns)
{
    return since_ns != 0 && since_ns < sample->taken_ns ? sample->taken_ns - since_ns : 0;
}

/* ---- for people -------------------------------------------------------------------------------
 */

static uint64_t storms_of(const struct runtime_sample *sample)
{
    uint64_t storms = 0;
    for (size_t i = 0; i < sample->partition_count; i++) {
        if (!sample->partitions[i].has_stats) { continue; }
        storms += sample->partitions[i].stats.counters[STATS_rules_storms];
    }
    return storms;
}

/* 0 for what lies ahead of a clock that was put back. */
static uint64_t since_wall(int64_t wall_ms)
{
    const int64_t ms = clock_now().wall_ms - wall_ms;
    return ms > 0 ? (uint64_t)ms * NS_PER_MS : 0;
}

static void print_rules(const struct runtime_sample *sample)
{
    const struct node_page *const node = &sample->node;
    const uint64_t storms = storms_of(sample);
    char age[HUMAN_TEXT_BYTES];
    printf("  %" PRIu64 " rules, epoch %016" PRIx64 ", loaded %s ago; %" PRIu64 " match storms%s\n",
           node->rule_count, node->rules_epoch,
           human_duration(since_wall(node->rules_loaded_wall_ms), age), storms,
           storms > 0 ? ": no rule decided on those records" : "");
    if (node->rules_stale) {
        printf("  the last reload of the rules FAILED: they are not what their file says; "
               "'penstock rules reload' tells why\n");
    }
    if (node->rules_workers_behind > 0) {
        printf("  %" PRIu32 " workers still judge by the rules before\n",
               node->rules_workers_behind);
    }
}

static void print_node(const struct runtime_sample *sample)
{
    char age[HUMAN_TEXT_BYTES];
    char up[HUMAN_TEXT_BYTES];
    char memory[HUMAN_TEXT_BYTES];
    const struct node_page *const node = &sample->node;
    printf("%s: %s, incarnation %" PRIu64 ", pid %" PRIu32 "\n", sample->node_name,
           runtime_sample_state_text(sample), sample->incarnation, sample->pid);
    printf("  heartbeat %s ago, started %s ago\n",
           human_duration(age_of(sample, sample->heartbeat_ns), age),
           human_duration(age_of(sample, sample->started_ns), up));
    if (!sample->has_node) { return; }
    printf("  %s polling, %s of %s\n", polling_text(node), human_bytes(node->memory_bytes, memory),
           node->hugepages ? "hugepages" : "ordinary pages (no hugepages)");
    printf("  writes become durable by %s", node_durability_text(node->durability));
    if (node->iowq_threads_astray > 0) {
        printf("; %" PRIu64 " of the kernel's disk threads on a worker's core",
               node->iowq_threads_astray);
    }
    printf("\n");
    print_rules(sample);
    printf("  %" PRIu64 " starts after a crash\n", node->restarts_after_crash);
    if (node->notes_lost > 0) { printf("  %" PRIu64 " log lines lost\n", node->notes_lost); }
}

static const char *latency_text(const struct histogram *latency, double quantile,
                                char out[HUMAN_TEXT_BYTES])
{
    if (latency->count == 0) { return "-"; }
    return human_duration(histogram_quantile_ns(latency, quantile), out);
}

static void print_partition(size_t index, const struct runtime_partition *now,
                            const struct runtime_partition *before, double seconds)
{
    char text[7][HUMAN_TEXT_BYTES];
    const struct stats_page *const stats = &now->stats;
    const bool compare = before != NULL && before->has_stats;
    const struct pace pace = pace_of(stats, compare ? &before->stats : NULL, seconds);
    const struct histogram *const latency = &stats->receive_to_durable;
    printf("  %4zu %5" PRIu32 " ", index, stats->core);
    if (pace.busy_share < 0) {
        printf("%6s", "-");
    } else {
        printf("%5.1f%%", pace.busy_share * 100);
    }
    printf(" %9s %9s %10s %9s %9s %9s %9s  %s", human_count(pace.records_in, text[0]),
           human_count(pace.records_stored, text[1]), human_bytes(pace.stored_bytes, text[2]),
           human_count(pace.commits, text[3]), latency_text(latency, 0.5, text[4]),
           latency_text(latency, 0.99, text[5]), latency_text(latency, 0.999, text[6]),
           root_log_state_text(now->log_state));
    if (now->log_state == ROOT_LOG_CLOSED) { printf(" (%s)", status_text(now->why)); }
    printf("\n");
}

static void print_partitions(const struct runtime_sample *now, const struct runtime_sample *before)
{
    const double seconds =
        before != NULL ? (double)(now->taken_ns - before->taken_ns) / NS_PER_S : 1;
    const char *const per = before != NULL ? "/s" : "";
    char in[16];
    char stored[16];
    char bytes[16];
    char commits[16];
    snprintf(in, sizeof in, "in%s", per);
    snprintf(stored, sizeof stored, "stored%s", per);
    snprintf(bytes, sizeof bytes, "bytes%s", per);
    snprintf(commits, sizeof commits, "commits%s", per);
    printf("\n  %4s %5s %6s %9s %9s %10s %9s %9s %9s %9s  %s\n", "part", "core", "busy", in, stored,
           bytes, commits, "p50", "p99", "p99.9", "log");
    for (size_t i = 0; i < now->partition_count; i++) {
        const struct runtime_partition *const earlier =
            before != NULL && i < before->partition_count ? &before->partitions[i] : NULL;
        if (now->partitions[i].has_stats) {
            print_partition(i, &now->partitions[i], earlier, seconds);
        } else {
            printf("  %4zu  no stats page; log %s\n", i,
                   root_log_state_text(now->partitions[i].log_state));
        }
    }
}

/* What the last start found lost, where it was anything. */
static void print_losses(const struct runtime_sample *now)
{
    for (size_t i = 0; i < now->partition_count; i++) {
        const uint64_t *const counters = now->partitions[i].stats.counters;
        const uint64_t fenced = counters[STATS_recovery_ranges_fenced];
        const uint64_t cut = counters[STATS_recovery_tails_cut];
        const uint64_t skipped = counters[STATS_recovery_offsets_skipped];
        char fenced_bytes[HUMAN_TEXT_BYTES];
        char cut_bytes[HUMAN_TEXT_BYTES];
        if (!now->partitions[i].has_stats || fenced + cut + skipped == 0) { continue; }
        printf("  part %zu: its last start found %" PRIu64 " damaged ranges (%s, %" PRIu64
               " records lost), cut %" PRIu64 " torn ends (%s), skipped %" PRIu64 " offsets\n",
               i, fenced, human_bytes(counters[STATS_recovery_bytes_fenced], fenced_bytes),
               counters[STATS_recovery_records_lost], cut,
               human_bytes(counters[STATS_recovery_bytes_cut], cut_bytes), skipped);
    }
}

/* What compression saved and cost, where a topic has a codec. */
static void print_compression(const struct runtime_sample *now)
{
    for (size_t i = 0; i < now->partition_count; i++) {
        const uint64_t *const counters = now->partitions[i].stats.counters;
        const uint64_t packed = counters[STATS_batches_compressed];
        const uint64_t no_time = counters[STATS_batches_plain_no_time];
        const uint64_t no_gain = counters[STATS_batches_plain_no_gain];
        char in[HUMAN_TEXT_BYTES];
        char out[HUMAN_TEXT_BYTES];
        if (!now->partitions[i].has_stats || packed + no_time + no_gain == 0) { continue; }
        printf("  part %zu: %" PRIu64 " batches compressed (%s to %s); stored plain: %" PRIu64
               " for want of time, %" PRIu64 " that would not shrink\n",
               i, packed, human_bytes(counters[STATS_compression_in_bytes], in),
               human_bytes(counters[STATS_compression_out_bytes], out), no_time, no_gain);
    }
}

/* Native producers, where there are any: sessions and credit are those of a running node. */
static void print_lanes(const struct runtime_sample *now)
{
    bool said = false;
    if (!runtime_sample_is_running(now)) { return; }
    for (size_t i = 0; i < now->partition_count; i++) {
        const struct stats_page *const stats = &now->partitions[i].stats;
        if (!now->partitions[i].has_stats || stats->lanes_known + stats->sessions_live == 0) {
            continue;
        }
        char credit[HUMAN_TEXT_BYTES];
        if (!said) { printf("\n"); }
        said = true;
        printf("  part %zu: %" PRIu64 " lanes known, %" PRIu64 " sessions, credit %s a lane%s\n", i,
               stats->lanes_known, stats->sessions_live,
               human_bytes(stats->lane_credit_bytes, credit),
               stats->lane_credit_bytes == 0 ? ": producers wait" : "");
    }
}

static void print_port(const struct node_port *port)
{
    char frames[HUMAN_TEXT_BYTES];
    char lost[64];
    snprintf(lost, sizeof lost, "unknown");
    if (port->loss_known) {
        snprintf(lost, sizeof lost, "%" PRIu64 " missed, %" PRIu64 " no buffer",
                 port->missed_frames, port->no_buffer_frames);
    }
    printf("  %.*s: driver %.*s, link %s, %s frames, loss: %s%s%s\n",
           (int)strnlen(port->name, sizeof port->name), port->name,
           (int)strnlen(port->driver, sizeof port->driver), port->driver,
           port->link_up ? "up" : "down", human_count(port->received_frames, frames), lost,
           port->rss ? ", RSS" : "", port->checksum_offload ? ", checksums in hardware" : "");
}

/* "full in 3 h at this rate" */
static void print_path(const struct node_path *path)
{
    char free_text[HUMAN_TEXT_BYTES];
    char rate[HUMAN_TEXT_BYTES];
    char when[HUMAN_TEXT_BYTES];
    printf("  %.*s: %s free, %s/s written", (int)strnlen(path->path, sizeof path->path), path->path,
           human_bytes(path->free_bytes, free_text), human_bytes(path->write_bytes_per_s, rate));
    if (path->full_seconds != NODE_SECONDS_NEVER) {
        printf("; full in %s at this rate", human_duration(path->full_seconds * NS_PER_S, when));
    }
    if (path->trim_seconds == 0) {
        printf("; retention trims");
    } else if (path->trim_seconds != NODE_SECONDS_NEVER) {
        printf("; retention trims in %s", human_duration(path->trim_seconds * NS_PER_S, when));
    }
    printf("%s\n", path->low ? "; LOW: oldest segments go early" : "");
}

static void print_paths(const struct node_page *node)
{
    bool said = false;
    for (uint32_t i = 0; i < node->path_count && i < NODE_PATHS_MAX; i++) {
        if (!node->paths[i].used) { continue; }
        if (!said) { printf("\n"); }
        said = true;
        print_path(&node->paths[i]);
    }
}

static void print_status(const struct runtime_sample *now, const struct runtime_sample *before)
{
    print_node(now);
    print_partitions(now, before);
    print_losses(now);
    print_compression(now);
    print_lanes(now);
    if (runtime_sample_is_running(now) && now->has_node) { print_paths(&now->node); }
    printf("\n");
    for (uint32_t i = 0; i < now->node.port_count; i++) { print_port(&now->node.ports[i]); }
    fflush(stdout);
}

/* ---- for programs -----------------------------------------------------------------------------
 */

static json_t *json_histogram(const struct histogram *histogram)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)histogram->count, "p50",
                     (json_int_t)histogram_quantile_ns(histogram, 0.5), "p99",
                     (json_int_t)histogram_quantile_ns(histogram, 0.99), "p999",
                     (json_int_t)histogram_quantile_ns(histogram, 0.999), "max",
                     (json_int_t)histogram->max_ns);
}

static json_t *json_partition(size_t index, const struct runtime_partition *partition)
{
    json_t *const out =
        json_pack("{s:I, s:s, s:s, s:I}", "partition", (json_int_t)index, "log",
                  root_log_state_text(partition->log_state), "why", status_text(partition->why),
                  "durable_commit", (json_int_t)partition->durable_number);
    if (!partition->has_stats) { return out; }

    const struct stats_page *const stats = &partition->stats;
    const struct pace pace = pace_of(stats, NULL, 1);
    json_t *const counters = json_object();
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        json_object_set_new(counters, stats_counter_facts[i].name,
                            json_integer((json_int_t)stats->counters[i]));
    }
    json_object_set_new(out, "core", json_integer((json_int_t)stats->core));
    json_object_set_new(out, "busy_share",
                        pace.busy_share < 0 ? json_null() : json_real(pace.busy_share));
    json_object_set_new(out, "records_in_flight",
                        json_integer((json_int_t)stats->records_in_flight));
    json_object_set_new(out, "commits_in_flight",
                        json_integer((json_int_t)stats->commits_in_flight));
    json_object_set_new(out, "buffers_free", json_integer((json_int_t)stats->buffers_free));
    json_object_set_new(out, "lanes_known", json_integer((json_int_t)stats->lanes_known));
    json_object_set_new(out, "sessions_live", json_integer((json_int_t)stats->sessions_live));
    json_object_set_new(out, "lane_credit_bytes",
                        json_integer((json_int_t)stats->lane_credit_bytes));
    json_object_set_new(out, "receive_to_durable_ns", json_histogram(&stats->receive_to_durable));
    json_object_set_new(out, "counters", counters);
    return out;
}

static json_t *json_port(const struct node_port *port)
{
    return json_pack("{s:o, s:o, s:b, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                     json_text_of(port->name, sizeof port->name), "driver",
                     json_text_of(port->driver, sizeof port->driver), "link_up", port->link_up != 0,
                     "rss", port->rss != 0, "checksum_offload", port->checksum_offload != 0,
                     "loss_known", port->loss_known != 0, "received",
                     (json_int_t)port->received_frames, "missed", (json_int_t)port->missed_frames,
                     "no_buffer", (json_int_t)port->no_buffer_frames, "errors",
                     (json_int_t)port->error_frames, "sent", (json_int_t)port->sent_frames,
                     "send_dropped", (json_int_t)port->send_dropped_frames);
}

static json_t *json_seconds(uint64_t seconds)
{
    return seconds == NODE_SECONDS_NEVER ? json_null() : json_integer((json_int_t)seconds);
}

static json_t *json_paths(const struct node_page *node)
{
    json_t *const out = json_array();
    for (uint32_t i = 0; i < node->path_count && i < NODE_PATHS_MAX; i++) {
        const struct node_path *const path = &node->paths[i];
        if (!path->used) { continue; }
        json_array_append_new(out,
                              json_pack("{s:o, s:I, s:I, s:o, s:o, s:b}", "path",
                                        json_text_of(path->path, sizeof path->path), "free_bytes",
                                        (json_int_t)path->free_bytes, "write_bytes_per_s",
                                        (json_int_t)path->write_bytes_per_s, "full_seconds",
                                        json_seconds(path->full_seconds), "trim_seconds",
                                        json_seconds(path->trim_seconds), "low", path->low != 0));
    }
    return out;
}

static json_t *json_node(const struct node_page *node)
{
    char epoch[17]; /* text: JSON's numbers lose the low bits in many readers */
    snprintf(epoch, sizeof epoch, "%016" PRIx64, node->rules_epoch);
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:o}",
        "polling", polling_text(node), "durability", node_durability_text(node->durability),
        "iowq_threads", (json_int_t)node->iowq_threads, "iowq_threads_astray",
        (json_int_t)node->iowq_threads_astray, "iowq_sightings", (json_int_t)node->iowq_sightings,
        "hugepages", node->hugepages != 0, "memory_bytes", (json_int_t)node->memory_bytes, "rules",
        (json_int_t)node->rule_count, "rules_epoch", epoch, "rules_loaded_wall_ms",
        (json_int_t)node->rules_loaded_wall_ms, "rules_stale", node->rules_stale != 0,
        "rules_reloads", (json_int_t)node->rules_reloads, "rules_reload_failures",
        (json_int_t)node->rules_reload_failures, "rules_workers_behind",
        (json_int_t)node->rules_workers_behind, "restarts_after_crash",
        (json_int_t)node->restarts_after_crash, "notes_lost", (json_int_t)node->notes_lost,
        "log_bytes", (json_int_t)node->log_bytes, "paths", json_paths(node));
}

/* One object a line, so that --watch gives a stream. */
static void dump_status(const struct runtime_sample *sample)
{
    json_t *const partitions = json_array();
    json_t *const ports = json_array();
    for (size_t i = 0; i < sample->partition_count; i++) {
        json_array_append_new(partitions, json_partition(i, &sample->partitions[i]));
    }
    for (uint32_t i = 0; i < sample->node.port_count; i++) {
        json_array_append_new(ports, json_port(&sample->node.ports[i]));
    }

    json_t *const report = json_pack(
        "{s:o, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "node",
        json_text_of(sample->node_name, sizeof sample->node_name), "running",
        runtime_sample_is_running(sample), "state", runtime_sample_state_text(sample),
        "incarnation", (json_int_t)sample->incarnation, "pid", (json_int_t)sample->pid, "workers",
        (json_int_t)sample->worker_count, "heartbeat_age_ns",
        (json_int_t)age_of(sample, sample->heartbeat_ns), "uptime_ns",
        (json_int_t)age_of(sample, sample->started_ns), "partitions", partitions, "ports", ports);
    if (sample->has_node) { json_object_update_new(report, json_node(&sample->node)); }
    json_object_set_new(report, "rules_storms", json_integer((json_int_t)storms_of(sample)));
    json_dumpf(report, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(report);
}

/* ---- the command ------------------------------------------------------------------------------
 */

/* Mapped anew for each sample: a restart may have replaced the pages. */
static int take_sample(const char *directory, struct runtime_sample *out)
{
    struct runtime_view view;
    if (runtime_view_open(directory, &view) != STATUS_OK) { return COMMAND_NO_NODE; }
    runtime_sample_take(&view, out);
    runtime_view_close(&view);
    return runtime_sample_is_running(out) ? COMMAND_OK : COMMAND_FINDING;
}

static int show_status(const char *directory, const struct status_options *options)
{
    const struct timespec second = {.tv_sec = 1};
    struct runtime_sample before = {0};
    int code = COMMAND_OK;
    for (uint64_t i = 0; options->samples_max == 0 || i < options->samples_max; i++) {
        struct runtime_sample now;
        if (i > 0) { (void)nanosleep(&second, NULL); } /* a signal ends the wait early: no harm */
        code = take_sample(directory, &now);
        if (code == COMMAND_NO_NODE) { break; }
        if (options->as_json) {
            dump_status(&now);
        } else {
            print_status(&now, i > 0 ? &before : NULL);
        }
        runtime_sample_free(&before);
        before = now;
    }
    runtime_sample_free(&before);
    return code;
}

static bool parse_count(const char *text, uint64_t *out)
{
    char *end;
    if (text[0] < '1' || text[0] > '9') { return false; }
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

static int run(const struct command *command, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"runtime", required_argument, NULL, 'r'}, {"json", no_argument, NULL, 'j'},
        {"watch", no_argument, NULL, 'w'},         {"count", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct status_options options = {.samples_max = 0};
    const char *config_path = NULL;
    const char *given_directory = NULL;
    for (int c; (c = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c': config_path = optarg; break;
        case 'r': given_directory = optarg; break;
        case 'j': options.as_json = true; break;
        case 'w': options.watch = true; break;
        case 'n':
            if (!parse_count(optarg, &options.samples_max)) { return command_misused(command); }
            break;
        case 'h': return command_help(command);
        default: return command_misused(command);
        }
    }
    if (optind != argc || (options.samples_max != 0 && !options.watch)) {
        return command_misused(command);
    }
    if (!options.watch) { options.samples_max = 1; }

    int code;
    char *const directory = runtime_directory_find(config_path, given_directory, &code);
    if (directory == NULL) { return code; }
    code = show_status(directory, &options);
    free(directory);
    return code;
}

const struct command command_status = {
    .name = "status",
    .arguments = "[-c FILE | --runtime DIR] [--json] [--watch [--count N]]",
    .summary = "Show what a node is doing",
    .help = "  -c FILE        the node's configuration (" COMMAND_DEFAULT_CONFIG ")\n"
            "  --runtime DIR  its runtime directory, without reading a configuration\n"
            "  --json         exact totals for programs, one object a line\n"
            "  --watch        again every second: rates in place of totals, until interrupted\n"
            "  --count N      with --watch: end after N samples\n\n"
            "Counts are lifetime totals of a partition's log. Latency (p50, p99, p99.9) is from\n"
            "receiving a record to its being durable. When penstock-ingest does not run, the last\n"
            "values are shown.\n\n"
            "Exit: 0 penstock-ingest runs, 1 it does not, 64 usage, 66 or 78 configuration,\n"
            "      69 no node in the runtime directory.\n",
    .run = run,
};
