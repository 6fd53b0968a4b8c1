/* cmd_rules_explain.c - penstock rules explain: why does this record go where it goes? */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/allocate.h"
#include "base/invariant.h"
#include "pipeline/json_paths.h"
#include "tools/candidate.h"
#include "tools/condition_tree.h"
#include "tools/rules_command.h"
#include "tools/rules_options.h"
#include "tools/trial.h"
#include "tools/trial_input.h"
#include "tools/trial_report.h"

static const char tool[] = "penstock rules explain";

struct explain_options {
    struct candidate_options candidate;
    struct trial_input_options input;
    const char *record; /* "-": the first of the input */
};

/* ------------------------------------------------------------------------------------- the record
 */

static void print_field(const char *name, struct bytes bytes)
{
    char shown[TRIAL_SHOWN_BYTES + 4];
    if (bytes_are_null(bytes)) {
        printf("  %-18s (none)\n", name);
    } else {
        printf("  %-18s '%s' (%zu bytes)\n", name, trial_shown(bytes, shown), bytes.len_bytes);
    }
}

/* Members of the value that some rule looks at. */
struct json_fields {
    struct bytes paths[RULES_JSON_PATHS_MAX];
    size_t count;
};

static void add_json(const struct rule_field *field, struct json_fields *out)
{
    if (field->kind != RULE_FIELD_JSON) { return; }
    for (size_t i = 0; i < out->count; i++) {
        if (bytes_equal(out->paths[i], field->name)) { return; }
    }
    if (out->count < RULES_JSON_PATHS_MAX) { out->paths[out->count++] = field->name; }
}

static void collect_json(const struct rule_condition *condition, struct json_fields *out)
{
    for (size_t i = 0; i < condition->child_count; i++) {
        collect_json(&condition->children[i], out);
    }
    if (condition->kind == RULE_CONDITION_TEST) { add_json(&condition->field, out); }
}

static void collect_all_json(const struct rules_source *source, struct json_fields *out)
{
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_action *const action = &source->rules[i].action;
        collect_json(&source->rules[i].when, out);
        if (action->sets_key) { add_json(&action->key_field, out); }
        if (action->limit_by_field) { add_json(&action->limit_field, out); }
    }
}

static void print_json_fields(const struct rules_source *source, struct bytes value)
{
    struct json_fields fields = {.count = 0};
    struct json_paths *paths;
    collect_all_json(source, &fields);
    if (fields.count == 0) { return; }
    if (json_paths_create(fields.paths, fields.count, &paths) != STATUS_OK) { return; }
    struct json_room *const room = allocate_zeroed(1, sizeof *room);
    struct bytes found[RULES_JSON_PATHS_MAX];
    json_room_init(room);
    (void)json_paths_find(paths, value, room, found);
    for (size_t i = 0; i < fields.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "json:%.*s", (int)fields.paths[i].len_bytes,
                 (const char *)fields.paths[i].at);
        print_field(name, found[i]);
    }
    free(room);
    json_paths_destroy(paths);
}

static void print_record(const struct candidate *candidate, const struct record *record)
{
    char address[TRIAL_ADDRESS_BYTES];
    printf("record\n");
    print_field("value", record->value);
    print_field("key", record->key);
    for (size_t i = 0; i < record->header_count; i++) {
        char name[64];
        const struct bytes header = record->headers[i].name;
        const bool syslog = header.len_bytes > 7 && memcmp(header.at, "syslog.", 7) == 0;
        snprintf(name, sizeof name, "%s%.*s", syslog ? "" : "header:", (int)header.len_bytes,
                 (const char *)header.at);
        print_field(name, record->headers[i].value);
    }
    print_json_fields(candidate->source, record->value);
    printf("  %-18s %s\n", "listener", candidate->world->listeners[record->listener]);
    printf("  %-18s %s\n", "source", trial_address_text(record->source, address));
    if (record->topic != RECORD_NO_TOPIC) {
        printf("  %-18s %s\n", "topic", candidate->world->topics[record->topic]);
    }
}

/* --------------------------------------------------------------------------------------- the rules
 */

static void print_limit(const struct rule_action *action)
{
    printf(" limit to %" PRIu64 " %s/s", action->limit_rate,
           action->limit_unit == RULE_LIMIT_BYTES ? "bytes" : "records");
    if (action->limit_by_field) {
        printf(" by ");
        condition_field_print(&action->limit_field, stdout);
    }
    printf(";");
}

static void print_action(const struct candidate *candidate, const struct rule_action *action)
{
    char shown[TRIAL_SHOWN_BYTES + 4];
    printf("    does:");
    if (action->keep_one_in > 0) {
        printf(" keep 1/%" PRIu32 " by %s;", action->keep_one_in,
               action->keep_by == RULE_HASH_KEY ? "key" : "record");
    }
    if (action->limit_unit != RULE_LIMIT_NONE) { print_limit(action); }
    if (action->redact_pattern != NULL) {
        printf(" redact '%s' in ", trial_shown(bytes_of_text(action->redact_pattern), shown));
        condition_field_print(&action->redact_field, stdout);
        printf(";");
    }
    if (action->sets_key) {
        printf(" key from ");
        condition_field_print(&action->key_field, stdout);
        printf(";");
    }
    for (size_t i = 0; i < action->header_count; i++) {
        printf(" add %s;", trial_shown(action->headers[i].name, shown));
    }
    if (action->drop) { printf(" drop"); }
    for (size_t i = 0; i < action->topic_count; i++) {
        printf("%s%s", i == 0 ? " route to " : ", ", candidate->world->topics[action->topics[i]]);
    }
    printf("\n");
}

static bool is_matched(const struct trial_outcome *outcome, size_t rule)
{
    for (size_t i = 0; i < outcome->matched_count; i++) {
        if ((size_t)outcome->matched[i] == rule) { return true; }
    }
    return false;
}

/* Whether rules behind this one are asked no more. */
static bool ends_asking(const struct rule_source *rule, size_t index,
                        const struct trial_outcome *outcome)
{
    if (rule->shadow) { return false; }
    const bool is_final =
        outcome->verdict.fate == VERDICT_SAMPLED_OUT || outcome->verdict.fate == VERDICT_LIMITED;
    return !rule->goes_on || (is_final && outcome->verdict.rule == (int32_t)index);
}

static void print_rules(const struct candidate *candidate, const struct condition_trees *trees,
                        const struct trial_outcome *outcome)
{
    const struct rules_source *const source = candidate->source;
    const char *decided = NULL;
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_source *const rule = &source->rules[i];
        const bool holds = condition_trees_hold(trees, i);
        const bool asked = decided == NULL && !outcome->storm;
        /* The set as a whole, and its tests one by one: two ways through one engine. */
        assert(!asked || holds == is_matched(outcome, i));
        printf("\nrule %s (%s:%" PRIu32 ")%s: %s", rule->name, candidate->path, rule->place.line,
               rule->shadow ? ", shadow" : "", holds ? "holds" : "does not hold");
        if (outcome->storm) {
            printf("; not asked: a storm of matches");
        } else if (!asked) {
            printf("; not asked: %s decided", decided);
        }
        printf("\n");
        condition_trees_print(trees, i, stdout);
        if (asked && holds) {
            print_action(candidate, &rule->action);
            if (ends_asking(rule, i, outcome)) { decided = rule->name; }
        }
    }
}

/* --------------------------------------------------------------------------------- the command */

static int explain_record(const struct candidate *candidate, const struct record *record)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    struct trial_clock clock = {0};
    struct trial *trial = NULL;
    struct condition_trees *const trees = condition_trees_create(candidate->source, diagnostics);
    const bool good = trees != NULL && trial_create(candidate->rules, &trial) == STATUS_OK;
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    if (good) {
        struct trial_outcome outcome;
        condition_trees_ask(trees, record);
        trial_judge(trial, record, trial_clock_at(&clock, false, 0), &outcome);
        print_record(candidate, record);
        print_rules(candidate, trees, &outcome);
        printf("\nverdict\n  ");
        trial_report_print(candidate, &outcome, 1, stdout);
    }
    condition_trees_destroy(trees);
    trial_destroy(trial);
    return good ? COMMAND_OK : EX_OSERR;
}

/* The argument itself, or what the input begins with. */
static int explain(const struct explain_options *options, const struct candidate *candidate)
{
    char error[512];
    const bool from_input = strcmp(options->record, "-") == 0;
    struct trial_record record;
    struct trial_input_options input_options = options->input;
    input_options.world = candidate->world;
    input_options.path = from_input ? "-" : NULL;
    struct trial_input *const input = trial_input_create(&input_options, error, sizeof error);
    if (input == NULL) {
        fprintf(stderr, "%s: %s\n", tool, error);
        return COMMAND_UNREADABLE;
    }
    const char *wrong = NULL;
    if (from_input) {
        const enum input_result result = trial_input_next(input, &record);
        if (result != INPUT_RECORD) {
            wrong = result == INPUT_END ? "no record" : trial_input_error(input);
        }
    } else {
        wrong = trial_input_decode(input, bytes_of_text(options->record), &record);
    }
    int code = COMMAND_BAD_DATA;
    if (wrong != NULL) {
        fprintf(stderr, "%s: %s\n", tool, wrong);
    } else {
        code = explain_record(candidate, &record.record);
    }
    trial_input_destroy(input);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    static const struct option options[] = {
        RULES_CANDIDATE_OPTIONS,
        RULES_INPUT_OPTIONS,
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct explain_options chosen = {
        .candidate = {.tool = tool},
        .input = {.format = TRIAL_LINES, .syslog_value = -1},
    };
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "c:f:h", options, NULL)) != -1;) {
        switch (c) {
        case 'h': return command_help(command);
        case '?': return command_misused(command);
        default: good = rules_option_take(tool, c, optarg, &chosen.candidate, &chosen.input); break;
        }
    }
    if (!good || argc - optind < 1 || argc - optind > 2) { return command_misused(command); }
    chosen.record = argv[optind];
    if (optind + 1 < argc) { chosen.candidate.path = argv[optind + 1]; }

    struct candidate_world world;
    struct candidate candidate;
    int code;
    if (!rules_candidate_open(&chosen.candidate, &world, &candidate, &code)) { return code; }
    code = explain(&chosen, &candidate);
    candidate_deinit(&candidate);
    candidate_world_deinit(&world);
    return code;
}

const struct command command_rules_explain = {
    .name = "rules explain",
    .arguments = "RECORD|- [FILE] [-c FILE | --no-config] [--format lines|syslog|ndjson]\n"
                 "       [--listener NAME] [--value raw|parsed]",
    .summary = "Say of one record which rules hold, which test failed, and what was done",
    .help = "  RECORD         the record itself; -: the first one of the standard input\n"
            "  FILE           a rules file, or a penstock.yaml that names one; default: the\n"
            "                 configuration's\n" RULES_CANDIDATE_HELP RULES_INPUT_HELP
            "\nEach rule's condition is shown as a tree: + holds, - does not.\n\n"
            "Exit: 0 explained, 1 errors in the rules, 64 usage, 65 no such record, 66 a file\n"
            "      cannot be read.\n",
    .run = run,
};
