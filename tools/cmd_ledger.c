/* cmd_ledger.c - penstock ledger: where every frame and every record went (contract C4). */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tools/command.h"
#include "tools/json_text.h"
#include "tools/runtime_view.h"

/* The books of a node: what its partitions counted, added up. */
struct books {
    struct ledger sum;
    uint64_t counters[STATS_COUNTER_COUNT];
    bool balanced; /* each partition's residues are 0, not only their sum's */
};

static struct books books_of(const struct runtime_sample *sample)
{
    struct books out = {.balanced = true};
    for (size_t i = 0; i < sample->partition_count; i++) {
        const struct runtime_partition *const partition = &sample->partitions[i];
        struct ledger ledger;
        if (!partition->has_stats) { continue; }
        ledger_of(&partition->stats, &ledger);
        ledger_add(&out.sum, &ledger);
        if (ledger.frames_residue != 0 || ledger.records_residue != 0) { out.balanced = false; }
        for (size_t j = 0; j < STATS_COUNTER_COUNT; j++) {
            out.counters[j] += partition->stats.counters[j];
        }
    }
    return out;
}

static uint64_t lost_by(const struct node_port *port)
{
    return port->missed_frames + port->no_buffer_frames + port->error_frames;
}

/* ---- for people -------------------------------------------------------------------------------
 */

static void print_line(const char *name, uint64_t count, const char *help)
{
    printf("%-34s %20" PRIu64 "%s%s\n", name, count, help[0] != '\0' ? "  " : "", help);
}

static void print_residue(int64_t residue)
{
    printf("%-34s %20" PRId64 "  %s\n", "= residue", residue,
           residue == 0 ? "every one is accounted for" : "NOT accounted for");
}

/* A group's sum and below it the counters it is made of. */
static void print_group(const struct books *books, enum stats_group group, const char *title,
                        bool all)
{
    print_line(title, books->sum.groups[group], "");
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        const struct stats_counter_facts *const facts = &stats_counter_facts[i];
        char name[64];
        if (facts->group != group || (books->counters[i] == 0 && !all)) { continue; }
        snprintf(name, sizeof name, "      %s", facts->name);
        print_line(name, books->counters[i], facts->help);
    }
}

static void print_frames(const struct books *books, bool all)
{
    print_line("frames received", books->sum.groups[STATS_GROUP_FRAMES], "");
    print_group(books, STATS_GROUP_PASSED, "  - passed on", all);
    print_group(books, STATS_GROUP_MALFORMED, "  - malformed", all);
    print_group(books, STATS_GROUP_FOREIGN, "  - not ours", all);
    print_group(books, STATS_GROUP_FRAMES_LOST, "  - lost", all);
    print_residue(books->sum.frames_residue);
}

static void print_port(const struct node_port *port)
{
    const int name_len = (int)strnlen(port->name, sizeof port->name);
    const int driver_len = (int)strnlen(port->driver, sizeof port->driver);
    printf("  %.*s (%.*s): ", name_len, port->name, driver_len, port->driver);
    if (port->loss_known) {
        printf("%" PRIu64 " missed, %" PRIu64 " without buffer, %" PRIu64 " with errors",
               port->missed_frames, port->no_buffer_frames, port->error_frames);
    } else {
        printf("loss unknown: this driver cannot count it");
    }
    printf("; %" PRIu64 " in earlier runs\n", port->earlier_lost_frames);
}

static void print_port_losses(const struct runtime_sample *sample)
{
    printf("\nlost before us, by port\n");
    if (sample->node.port_count == 0) { printf("  no port is known yet\n"); }
    for (uint32_t i = 0; i < sample->node.port_count; i++) { print_port(&sample->node.ports[i]); }
}

static void print_records(const struct books *books, bool all)
{
    printf("\n");
    print_line("records in", books->sum.groups[STATS_GROUP_RECORDS], "");
    print_group(books, STATS_GROUP_STORED, "  - stored", all);
    print_group(books, STATS_GROUP_DROPPED, "  - dropped", all);
    print_group(books, STATS_GROUP_REFUSED, "  - refused", all);
    print_group(books, STATS_GROUP_DUPLICATE, "  - duplicate", all);
    print_group(books, STATS_GROUP_LOST, "  - lost", all);
    print_line("  - in flight", books->sum.records_in_flight, "");
    print_residue(books->sum.records_residue);
}

static void print_entries(const struct books *books, const struct runtime_sample *sample)
{
    const uint64_t *const sum = books->sum.groups;
    printf("\n");
    print_line("entries stored", sum[STATS_GROUP_STORED] + sum[STATS_GROUP_COPIES], "");
    print_line("  of them extra copies of routes", sum[STATS_GROUP_COPIES], "");
    print_line("  of them expired by retention", sample->node.entries_expired, "");
}

static void print_partitions(const struct runtime_sample *sample)
{
    printf("\n%-10s %20s %20s %16s\n", "partition", "frames residue", "records residue",
           "in flight");
    for (size_t i = 0; i < sample->partition_count; i++) {
        const struct runtime_partition *const partition = &sample->partitions[i];
        struct ledger ledger;
        if (!partition->has_stats) {
            printf("%-10zu %20s\n", i, "no stats page");
            continue;
        }
        ledger_of(&partition->stats, &ledger);
        printf("%-10zu %20" PRId64 " %20" PRId64 " %16" PRIu64 "\n", i, ledger.frames_residue,
               ledger.records_residue, ledger.records_in_flight);
    }
}

static void print_books(const struct books *books, const struct runtime_sample *sample, bool all)
{
    printf("node %s, %s\n\n", sample->node_name, runtime_sample_state_text(sample));
    print_frames(books, all);
    print_port_losses(sample);
    print_records(books, all);
    print_entries(books, sample);
    print_partitions(sample);
}

/* ---- for programs -----------------------------------------------------------------------------
 */

static json_t *json_counters(const struct books *books, enum stats_group group)
{
    json_t *const out = json_object();
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) {
        if (stats_counter_facts[i].group != group) { continue; }
        json_object_set_new(out, stats_counter_facts[i].name,
                            json_integer((json_int_t)books->counters[i]));
    }
    return out;
}

static json_t *json_group(const struct books *books, enum stats_group group)
{
    return json_pack("{s:I, s:o}", "sum", (json_int_t)books->sum.groups[group], "by",
                     json_counters(books, group));
}

static json_t *json_ports(const struct runtime_sample *sample)
{
    json_t *const out = json_array();
    for (uint32_t i = 0; i < sample->node.port_count; i++) {
        const struct node_port *const port = &sample->node.ports[i];
        json_t *const lost =
            port->loss_known ? json_integer((json_int_t)lost_by(port)) : json_string("unknown");
        json_array_append_new(out,
                              json_pack("{s:o, s:o, s:I, s:I, s:I, s:I}", "name",
                                        json_text_of(port->name, sizeof port->name), "lost", lost,
                                        "missed", (json_int_t)port->missed_frames, "no_buffer",
                                        (json_int_t)port->no_buffer_frames, "errors",
                                        (json_int_t)port->error_frames, "earlier_lost",
                                        (json_int_t)port->earlier_lost_frames));
    }
    return out;
}

static json_t *json_partitions(const struct runtime_sample *sample)
{
    json_t *const out = json_array();
    for (size_t i = 0; i < sample->partition_count; i++) {
        struct ledger ledger;
        if (!sample->partitions[i].has_stats) { continue; }
        ledger_of(&sample->partitions[i].stats, &ledger);
        json_array_append_new(out,
                              json_pack("{s:I, s:I, s:I, s:I}", "partition", (json_int_t)i,
                                        "frames_residue", (json_int_t)ledger.frames_residue,
                                        "records_residue", (json_int_t)ledger.records_residue,
                                        "records_in_flight", (json_int_t)ledger.records_in_flight));
    }
    return out;
}

static json_t *json_frames(const struct books *books)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:I}", "received",
                     (json_int_t)books->sum.groups[STATS_GROUP_FRAMES], "passed",
                     json_group(books, STATS_GROUP_PASSED), "malformed",
                     json_group(books, STATS_GROUP_MALFORMED), "foreign",
                     json_group(books, STATS_GROUP_FOREIGN), "lost",
                     json_group(books, STATS_GROUP_FRAMES_LOST), "residue",
                     (json_int_t)books->sum.frames_residue);
}

static json_t *json_records(const struct books *books)
{
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "in",
        (json_int_t)books->sum.groups[STATS_GROUP_RECORDS], "stored",
        json_group(books, STATS_GROUP_STORED), "dropped", json_group(books, STATS_GROUP_DROPPED),
        "refused", json_group(books, STATS_GROUP_REFUSED), "duplicate",
        json_group(books, STATS_GROUP_DUPLICATE), "lost", json_group(books, STATS_GROUP_LOST),
        "in_flight", (json_int_t)books->sum.records_in_flight, "residue",
        (json_int_t)books->sum.records_residue);
}

static void dump_books(const struct books *books, const struct runtime_sample *sample)
{
    const uint64_t *const sum = books->sum.groups;
    json_t *const entries = json_pack(
        "{s:I, s:I, s:I}", "stored",
        (json_int_t)(sum[STATS_GROUP_STORED] + sum[STATS_GROUP_COPIES]), "copies",
        (json_int_t)sum[STATS_GROUP_COPIES], "expired", (json_int_t)sample->node.entries_expired);
    json_t *const report =
        json_pack("{s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o}", "node",
                  json_text_of(sample->node_name, sizeof sample->node_name), "state",
                  runtime_sample_state_text(sample), "balanced", books->balanced ? 1 : 0, "frames",
                  json_frames(books), "ports", json_ports(sample), "records", json_records(books),
                  "entries", entries, "partitions", json_partitions(sample));
    json_dumpf(report, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(report);
}

/* ---- the command ------------------------------------------------------------------------------
 */

static int show_ledger(const char *directory, bool as_json, bool all)
{
    struct runtime_view view;
    struct runtime_sample sample;
    if (runtime_view_open(directory, &view) != STATUS_OK) { return COMMAND_NO_NODE; }
    runtime_sample_take(&view, &sample);
    const struct books books = books_of(&sample);

    if (as_json) {
        dump_books(&books, &sample);
    } else {
        print_books(&books, &sample, all);
    }

    runtime_sample_free(&sample);
    runtime_view_close(&view);
    return books.balanced ? COMMAND_OK : COMMAND_FINDING;
}

static int run(const struct command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"runtime", required_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},
        {"all", no_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *config_path = NULL;
    const char *given_directory = NULL;
    bool as_json = false;
    bool all = false;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': config_path = optarg; break;
        case 'r': given_directory = optarg; break;
        case 'j': as_json = true; break;
        case 'a': all = true; break;
        case 'h': return command_help(command);
        default: return command_misused(command);
        }
    }
    if (optind != argc) { return command_misused(command); }

    int code;
    char *const directory = runtime_directory_find(config_path, given_directory, &code);
    if (directory == NULL) { return code; }
    code = show_ledger(directory, as_json, all);
    free(directory);
    return code;
}

const struct command command_ledger = {
    .name = "ledger",
    .arguments = "[-c FILE | --runtime DIR] [--json] [--all]",
    .summary = "Account for every frame and every record",
    .help = "  -c FILE        the node's configuration (" COMMAND_DEFAULT_CONFIG ")\n"
            "  --runtime DIR  its runtime directory, without reading a configuration\n"
            "  --json         exact numbers for programs, zeros included\n"
            "  --all          counters that are zero, too\n\n"
            "Frames received = passed on + malformed + not ours. Records in = stored + dropped +\n"
            "refused + duplicate + lost + in flight. The residue is what does not add up: 0 when "
            "the node is\n"
            "quiet; under load, what its counters moved while they were read.\n\n"
            "Exit: 0 every residue is 0, 1 one is not, 64 usage, 66 or 78 configuration,\n"
            "      69 no node in the runtime directory.\n",
    .run = run,
};
