/* cmd_rules_examples.c - penstock rules examples: records that a rule's condition held for. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "base/yaml.h"
#include "tools/cmd_rules_list.h"
#include "tools/json_text.h"
#include "tools/record_json.h"
#include "tools/rules_sample.h"
#include "tools/runtime_view.h"

struct examples_options {
    const char *config_path;
    const char *directory;
    const char *rule;
    bool as_json;
    bool help;
};

/* ---- for people ---------------------------------------------------------------------------- */

/* On one line: text as it is, but for what would move the cursor; \xNN for what is no text. */
static void print_bytes(const char *name, struct bytes bytes)
{
    printf("  %-5s  ", name);
    for (size_t i = 0; i < bytes.len_bytes;) {
        const size_t len_bytes = utf8_character_bytes(bytes, i);
        const uint8_t first = bytes.at[i];
        if (first == '\n') {
            printf("\\n");
        } else if (first == '\t') {
            printf("\\t");
        } else if (first == '\\') {
            printf("\\\\");
        } else if (len_bytes == 0 || first < 0x20 || first == 0x7f) {
            printf("\\x%02x", first);
        } else {
            printf("%.*s", (int)len_bytes, (const char *)bytes.at + i);
        }
        i += len_bytes > 0 ? len_bytes : 1;
    }
    printf("\n");
}

static void print_example(const struct rules_example *example)
{
    char time[CLOCK_WALL_TEXT_BYTES];
    const struct bytes key = rules_example_key(example);
    const struct bytes value = rules_example_value(example);
    printf("%s  worker %" PRIu32 ", %" PRIu64 " bytes%s\n", clock_wall_text(example->wall_ms, time),
           example->worker, example->record_bytes,
           example->flags & RULES_EXAMPLE_CUT ? ", cut off here" : "");
    if (!bytes_are_null(key)) { print_bytes("key", key); }
    if (bytes_are_null(value)) {
        printf("  no value (a tombstone)\n");
    } else {
        print_bytes("value", value);
    }
}

/* ---- for programs -------------------------------------------------------------------------- */

static json_t *json_example(const struct rules_example *example)
{
    char time[CLOCK_WALL_TEXT_BYTES];
    const struct bytes key = rules_example_key(example);
    const struct bytes value = rules_example_value(example);
    json_t *const out =
        json_pack("{s:s, s:I, s:I, s:b}", "time", clock_wall_text(example->wall_ms, time), "worker",
                  (json_int_t)example->worker, "record_bytes", (json_int_t)example->record_bytes,
                  "cut", (example->flags & RULES_EXAMPLE_CUT) != 0);
    if (!bytes_are_null(key)) { record_json_set_bytes(out, "key", "key_base64", key, RECORD_UTF8); }
    if (bytes_are_null(value)) {
        json_object_set_new(out, "value", json_null());
    } else {
        record_json_set_bytes(out, "value", "value_base64", value, RECORD_UTF8);
    }
    return out;
}

static void dump(const struct rules_view *view, size_t rule, const struct rules_example *examples,
                 size_t count)
{
    char epoch[17];
    const struct bytes name = rules_view_name(view, rule);
    json_t *const list = json_array();
    for (size_t i = 0; i < count; i++) { json_array_append_new(list, json_example(&examples[i])); }
    snprintf(epoch, sizeof epoch, "%016" PRIx64, view->facts.epoch);
    json_t *const report = json_pack(
        "{s:o, s:s, s:s, s:o}", "rule", json_text_of((const char *)name.at, name.len_bytes), "mode",
        rules_view_is_shadow(view, rule) ? "shadow" : "enforce", "epoch", epoch, "examples", list);
    json_dumpf(report, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(report);
}

/* ---- the command --------------------------------------------------------------------------- */

static int refuse_unknown(const struct rules_sample *rules, const char *name)
{
    const char **const names = allocate_zeroed(rules->count, sizeof *names);
    for (size_t i = 0; i < rules->count; i++) { names[i] = rules->rows[i].name; }
    const char *const nearest = yaml_nearest(name, names, rules->count);
    fprintf(stderr, "penstock: no rule in force is named '%s'", name);
    if (nearest != NULL) { fprintf(stderr, "; did you mean '%s'?", nearest); }
    fprintf(stderr, "\n");
    free(names);
    return COMMAND_FINDING;
}

static int show_rule(const struct rules_view *view, size_t rule,
                     const struct examples_options *options)
{
    if (view->facts.example_count == 0) {
        fprintf(stderr, "penstock: no examples are kept; in the rules file, and then a reload:\n"
                        "  examples: { keep: 4, bytes: 256 }\n");
        return COMMAND_FINDING;
    }
    const size_t capacity = (size_t)view->facts.worker_count * view->facts.example_count;
    struct rules_example *const examples = allocate_zeroed(capacity, sizeof *examples);
    const size_t count = rules_view_examples(view, rule, examples, capacity);
    if (options->as_json) {
        dump(view, rule, examples, count);
    } else if (count == 0) {
        printf("no record yet\n");
    }
    for (size_t i = 0; i < count && !options->as_json; i++) { print_example(&examples[i]); }
    free(examples);
    return COMMAND_OK;
}

static int show(const char *directory, const struct examples_options *options)
{
    struct runtime_view view;
    struct rules_sample rules;
    if (runtime_view_open(directory, &view) != STATUS_OK) { return COMMAND_NO_NODE; }
    if (!rules_sample_take(&view, directory, &rules)) {
        runtime_view_close(&view);
        return COMMAND_NO_NODE;
    }
    const size_t rule = rules_view_find(&view.rules_view, bytes_of_text(options->rule));
    const int code = rule < rules.count ? show_rule(&view.rules_view, rule, options)
                                        : refuse_unknown(&rules, options->rule);
    rules_sample_free(&rules);
    runtime_view_close(&view);
    return code;
}

static bool parse_options(int argc, char **argv, struct examples_options *out)
{
    static const struct option long_options[] = {
        {"runtime", required_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c': out->config_path = optarg; break;
        case 'r': out->directory = optarg; break;
        case 'j': out->as_json = true; break;
        case 'h': out->help = true; return true;
        default: return false;
        }
    }
    if (argc - optind != 1) { return false; }
    out->rule = argv[optind];
    return true;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct examples_options options = {0};
    if (!parse_options(argc, argv, &options)) { return command_misused(command); }
    if (options.help) { return command_help(command); }

    int code;
    char *const directory = runtime_directory_find(options.config_path, options.directory, &code);
    if (directory == NULL) { return code; }
    code = show(directory, &options);
    free(directory);
    return code;
}

const struct command command_rules_examples = {
    .name = "rules examples",
    .arguments = "RULE [-c FILE | --runtime DIR] [--json]",
    .summary = "Show records that a rule's condition held for, the newest first",
    .help = "  -c FILE        the node's configuration (" COMMAND_DEFAULT_CONFIG ")\n"
            "  --runtime DIR  its runtime directory, without reading a configuration\n"
            "  --json         for programs; bytes that are no UTF-8 stand in key_base64 and\n"
            "                 value_base64\n\n"
            "Examples are kept where the rules file says so: examples: { keep: 4, bytes: 256 }.\n"
            "They are a sample of what came since the rules were loaded, and may hold secrets.\n\n"
            "Exit: 0 shown, 1 no such rule, or none are kept, 64 usage, 66 or 78 configuration,\n"
            "      69 no node, or no counts of rules, in the runtime directory.\n",
    .run = run,
};
