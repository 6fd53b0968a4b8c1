/* cmd_rules_list.c - penstock rules list: what each rule of a node has done. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tools/cmd_rules_list.h"
#include "tools/json_text.h"
#include "tools/rules_sample.h"
#include "tools/rules_table.h"
#include "tools/runtime_view.h"

struct list_options {
    const char *config_path;
    const char *directory;
    enum rules_order order;
    bool as_json;
    bool help;
};

/* As /rules has it, but for the order. */
static json_t *json_rule(const struct rules_line *line)
{
    const struct rules_row *const row = line->row;
    const struct rule_counts *const counts = &row->counts;
    return json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                     json_text_of((const char *)row->exact_name.at, row->exact_name.len_bytes),
                     "mode", rules_row_mode(row), "judged", (json_int_t)row->judged, "matches",
                     (json_int_t)counts->matches, "match_bytes", (json_int_t)counts->match_bytes,
                     "dropped", (json_int_t)counts->dropped, "sampled_out",
                     (json_int_t)counts->sampled_out, "limited", (json_int_t)counts->limited,
                     "redacted", (json_int_t)counts->redacted, "headers_full",
                     (json_int_t)counts->headers_full);
}

static void dump(const struct runtime_sample *node, const struct rules_sample *rules,
                 const struct rules_line *lines)
{
    char epoch[17]; /* text: JSON's numbers lose the low bits in many readers */
    char loaded[CLOCK_WALL_TEXT_BYTES];
    json_t *const list = json_array();
    for (size_t i = 0; i < rules->count; i++) { json_array_append_new(list, json_rule(&lines[i])); }
    snprintf(epoch, sizeof epoch, "%016" PRIx64, rules->facts.epoch);
    json_t *const report =
        json_pack("{s:o, s:b, s:s, s:I, s:s, s:I, s:o}", "node",
                  json_text_of(node->node_name, sizeof node->node_name), "running",
                  runtime_sample_is_running(node), "epoch", epoch, "generation",
                  (json_int_t)rules->facts.generation, "loaded",
                  clock_wall_text(rules->facts.loaded_wall_ms, loaded), "examples_kept",
                  (json_int_t)rules->facts.example_count, "rules", list);
    json_dumpf(report, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(report);
}

static int list_rules(const char *directory, const struct list_options *options)
{
    struct runtime_view view;
    struct runtime_sample node;
    struct rules_sample rules;
    if (runtime_view_open(directory, &view) != STATUS_OK) { return COMMAND_NO_NODE; }
    runtime_sample_take(&view, &node);
    const bool taken = rules_sample_take(&view, directory, &rules);
    if (taken) {
        struct rules_line *const lines = rules_lines(&rules, NULL, options->order);
        if (options->as_json) {
            dump(&node, &rules, lines);
        } else {
            rules_table_title(&node, &rules);
            rules_table_print(lines, rules.count, "");
        }
        free(lines);
        rules_sample_free(&rules);
    }
    runtime_sample_free(&node);
    runtime_view_close(&view);
    return taken ? COMMAND_OK : COMMAND_NO_NODE;
}

static bool parse_options(int argc, char **argv, struct list_options *out)
{
    static const struct option long_options[] = {
        {"runtime", required_argument, NULL, 'r'},
        {"sort", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c': out->config_path = optarg; break;
        case 'r': out->directory = optarg; break;
        case 's':
            if (rules_order_parse(optarg, &out->order)) { break; }
            fprintf(stderr, "penstock: --sort %s: not file, matches, bytes, dropped or name\n",
                    optarg);
            return false;
        case 'j': out->as_json = true; break;
        case 'h': out->help = true; break;
        default: return false;
        }
    }
    return out->help || optind == argc;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct list_options options = {.order = RULES_ORDER_FILE};
    if (!parse_options(argc, argv, &options)) { return command_misused(command); }
    if (options.help) { return command_help(command); }

    int code;
    char *const directory = runtime_directory_find(options.config_path, options.directory, &code);
    if (directory == NULL) { return code; }
    code = list_rules(directory, &options);
    free(directory);
    return code;
}

const struct command command_rules_list = {
    .name = "rules list",
    .arguments = "[-c FILE | --runtime DIR] [--sort COLUMN] [--json]",
    .summary = "Show what each rule of a node has done",
    .help =
        "  -c FILE        the node's configuration (" COMMAND_DEFAULT_CONFIG ")\n"
        "  --runtime DIR  its runtime directory, without reading a configuration\n"
        "  --sort COLUMN  file (the order of the rules; the default), matches, bytes, dropped\n"
        "                 (by drop, keep and limit together) or name\n"
        "  --json         exact counts for programs\n\n"
        "Counts are totals since the machine booted, over reloads and restarts, for as long as\n"
        "there is a rule of that name and mode. A rule in shadow mode shows what it would have\n"
        "done. 'share' is the part of the records judged meanwhile that its condition held for.\n"
        "When penstock-ingest does not run, the last values are shown.\n\n"
        "Exit: 0 shown, 64 usage, 66 or 78 configuration, 69 no node, or no counts of rules, in\n"
        "      the runtime directory.\n",
    .run = run,
};
