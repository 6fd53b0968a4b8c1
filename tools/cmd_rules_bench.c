/* cmd_rules_bench.c - penstock rules bench: what does judging these records cost, and by whom? */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "pipeline/rules_compile.h"
#include "tools/candidate.h"
#include "tools/human.h"
#include "tools/json_text.h"
#include "tools/rules_command.h"
#include "tools/rules_options.h"
#include "tools/trial.h"
#include "tools/trial_batch.h"
#include "tools/trial_input.h"

static const char tool[] = "penstock rules bench";

enum {
    ROUNDS = 11,          /* odd: the median is one of them */
    SAMPLE_RECORDS = 512, /* for the cost of single rules: of thousands, each is measured */
    SAMPLE_ROUNDS = 5,
    LEFT_OUT_RULES = 5, /* dearest ones: what the set costs without each */
    HELD_BYTES_MAX = 256 << 20,
};

struct bench_options {
    struct candidate_options candidate;
    struct trial_input_options input;
    uint64_t worst_max; /* rules that are shown */
    bool as_json;
};

/* Records of the input, held in memory so that reading is not measured. */
struct held_records {
    struct record_copy *copies;
    struct record *records;
    size_t count;
    size_t capacity;
    uint64_t bytes;
    bool cut; /* there were more */
};

struct rule_cost {
    size_t rule;
    uint64_t matches;
    double alone_ns; /* a record, by a set of this rule, above one of none */
    bool has_left_out;
    double left_out_ns; /* what the whole set costs less without it */
};

struct benching {
    const struct candidate *candidate;
    struct held_records held;
    uint64_t matches;
    double ns;       /* a record */
    double least_ns; /* the best and worst round */
    double most_ns;
    double sample_ns; /* of the sample, all rules */
    struct rule_cost *costs;
};

/* -------------------------------------------------------------------------------------- records */

static void hold(struct held_records *held, const struct record *record)
{
    if (held->count == held->capacity) {
        held->capacity = held->capacity == 0 ? 1024 : held->capacity * 2;
        held->copies = allocate_again(held->copies, held->capacity, sizeof held->copies[0]);
    }
    struct record_copy *const copy = &held->copies[held->count++];
    memset(copy, 0, sizeof *copy);
    record_copy_take(copy, record);
    held->bytes += sizeof *copy + copy->capacity_bytes;
}

/* Headers lie in the copies, which no longer move. */
static void hold_end(struct held_records *held)
{
    held->records = allocate_zeroed(held->count, sizeof held->records[0]);
    for (size_t i = 0; i < held->count; i++) {
        struct record_copy *const copy = &held->copies[i];
        if (copy->record.headers != NULL) { copy->record.headers = copy->headers; }
        held->records[i] = copy->record;
    }
}

static void held_deinit(struct held_records *held)
{
    for (size_t i = 0; i < held->count; i++) { record_copy_deinit(&held->copies[i]); }
    free(held->copies);
    free(held->records);
}

static int hold_all(struct held_records *held, struct trial_input *input)
{
    struct trial_record record;
    enum input_result result;
    while ((result = trial_input_next(input, &record)) == INPUT_RECORD) {
        if (held->bytes > HELD_BYTES_MAX) {
            held->cut = true;
            break;
        }
        hold(held, &record.record);
    }
    hold_end(held);
    if (result == INPUT_BAD || result == INPUT_UNREADABLE) {
        fprintf(stderr, "%s: %s\n", tool, trial_input_error(input));
        return result == INPUT_BAD ? COMMAND_BAD_DATA : COMMAND_UNREADABLE;
    }
    if (held->count == 0) {
        fprintf(stderr, "%s: no records\n", tool);
        return COMMAND_BAD_DATA;
    }
    return COMMAND_OK;
}

/* ------------------------------------------------------------------------------------ measuring */

static double round_ns(struct trial_batch *batch, const struct record *records, size_t count,
                       uint64_t now_ns)
{
    uint64_t ns = 0;
    for (size_t i = 0; i < count; i += TRIAL_BATCH_RECORDS) {
        const size_t burst = count - i < TRIAL_BATCH_RECORDS ? count - i : TRIAL_BATCH_RECORDS;
        ns += trial_batch_judge(batch, records + i, burst, now_ns);
    }
    return (double)ns / (double)count;
}

static int by_number(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Sorted rounds, the first of which (cold caches) is not among them. */
static bool measure(const struct rule_set *rules, const struct record *records, size_t count,
                    size_t round_count, double *rounds)
{
    struct trial_batch *batch;
    if (trial_batch_create(rules, &batch) != STATUS_OK) { return false; }
    (void)round_ns(batch, records, count, clock_mono_ns());
    for (size_t i = 0; i < round_count; i++) {
        rounds[i] = round_ns(batch, records, count, clock_mono_ns());
    }
    trial_batch_destroy(batch);
    qsort(rounds, round_count, sizeof rounds[0], by_number);
    return true;
}

/* The median for a set of the source's rules [begin, end), or all but these. */
static bool measure_some(const struct benching *benching, size_t begin, size_t end, bool but_these,
                         double *out)
{
    const struct rules_source *const whole = benching->candidate->source;
    const size_t sample =
        benching->held.count < SAMPLE_RECORDS ? benching->held.count : SAMPLE_RECORDS;
    struct rule_source *const rules = allocate_zeroed(whole->rule_count, sizeof *rules);
    struct rules_source source = *whole;
    double rounds[SAMPLE_ROUNDS];
    source.rules = rules;
    source.rule_count = 0;
    for (size_t i = 0; i < whole->rule_count; i++) {
        const bool inside = i >= begin && i < end;
        if (inside != but_these) { rules[source.rule_count++] = whole->rules[i]; }
    }
    struct diagnostics *const ignored = diagnostics_create(); /* the whole was accepted */
    struct rule_set *const set = rules_compile(&source, whole->file, ignored);
    const bool good =
        set != NULL && measure(set, benching->held.records, sample, SAMPLE_ROUNDS, rounds);
    if (good) { *out = rounds[SAMPLE_ROUNDS / 2]; }
    rule_set_destroy(set);
    diagnostics_destroy(ignored);
    free(rules);
    return good;
}

static bool count_matches(struct benching *benching)
{
    struct trial *trial;
    if (trial_create(benching->candidate->rules, &trial) != STATUS_OK) { return false; }
    for (size_t i = 0; i < benching->held.count; i++) {
        struct trial_outcome outcome;
        trial_judge(trial, &benching->held.records[i], clock_mono_ns(), &outcome);
        benching->matches += outcome.matched_count;
        for (size_t j = 0; j < outcome.matched_count; j++) {
            benching->costs[outcome.matched[j]].matches++;
        }
    }
    trial_destroy(trial);
    return true;
}

static int by_cost(const void *left, const void *right)
{
    const double a = ((const struct rule_cost *)left)->alone_ns;
    const double b = ((const struct rule_cost *)right)->alone_ns;
    return a < b ? 1 : -(a > b);
}

/* Each rule alone; then, of the dearest, what is saved without it. */
static bool measure_rules(struct benching *benching, uint64_t worst_max)
{
    const size_t count = benching->candidate->source->rule_count;
    double none_ns;
    if (worst_max == 0 || count == 0) { return true; }
    if (!measure_some(benching, 0, count, false, &benching->sample_ns)) { return false; }
    if (!measure_some(benching, 0, 0, false, &none_ns)) { return false; }
    for (size_t i = 0; i < count; i++) {
        double alone_ns;
        if (!measure_some(benching, i, i + 1, false, &alone_ns)) { return false; }
        benching->costs[i].alone_ns = alone_ns > none_ns ? alone_ns - none_ns : 0;
    }
    qsort(benching->costs, count, sizeof benching->costs[0], by_cost);
    for (size_t i = 0; i < count && i < LEFT_OUT_RULES && i < worst_max; i++) {
        struct rule_cost *const cost = &benching->costs[i];
        double without_ns;
        if (!measure_some(benching, cost->rule, cost->rule + 1, true, &without_ns)) {
            return false;
        }
        cost->has_left_out = true;
        cost->left_out_ns = benching->sample_ns - without_ns;
    }
    return true;
}

static bool bench_set(struct benching *benching)
{
    double rounds[ROUNDS];
    if (!measure(benching->candidate->rules, benching->held.records, benching->held.count, ROUNDS,
                 rounds)) {
        return false;
    }
    benching->ns = rounds[ROUNDS / 2];
    benching->least_ns = rounds[0];
    benching->most_ns = rounds[ROUNDS - 1];
    return count_matches(benching);
}

/* -------------------------------------------------------------------------------------- showing */

static const char *rule_name(const struct benching *benching, const struct rule_cost *cost)
{
    return benching->candidate->source->rules[cost->rule].name;
}

static void print_costs(const struct benching *benching, size_t worst)
{
    if (worst == 0) { return; }
    printf("\n%10s  %10s  %10s  RULE\n", "ALONE", "LEFT OUT", "MATCHES");
    for (size_t i = 0; i < worst; i++) {
        const struct rule_cost *const cost = &benching->costs[i];
        char left_out[32] = "-";
        if (cost->has_left_out) {
            snprintf(left_out, sizeof left_out, "%.0f ns", cost->left_out_ns);
        }
        printf("%7.0f ns  %10s  %10" PRIu64 "  %s\n", cost->alone_ns, left_out, cost->matches,
               rule_name(benching, cost));
    }
    printf(
        "\nALONE: what a set of this rule costs a record above a set of none. LEFT OUT: what the\n"
        "whole set costs less without it. All patterns of a field are searched in one pass, so\n"
        "the first do not add up to the whole, and the second may be nothing, or below it.\n");
}

static void print(const struct benching *benching, size_t worst)
{
    const struct held_records *const held = &benching->held;
    printf("%zu records%s, %zu rules: %.0f ns a record (median of %d rounds, %.0f to %.0f)\n",
           held->count, held->cut ? " (the input has more than is held)" : "",
           benching->candidate->source->rule_count, benching->ns, (int)ROUNDS, benching->least_ns,
           benching->most_ns);
    printf("%" PRIu64 " matches, %.2f a record\n", benching->matches,
           (double)benching->matches / (double)held->count);
    print_costs(benching, worst);
}

static void dump(const struct benching *benching, size_t worst)
{
    json_t *const rules = json_array();
    for (size_t i = 0; i < worst; i++) {
        const struct rule_cost *const cost = &benching->costs[i];
        const char *const name = rule_name(benching, cost);
        json_t *const rule =
            json_pack("{s:o, s:f, s:I}", "rule", json_text_of(name, strlen(name)), "alone_ns",
                      cost->alone_ns, "matches", (json_int_t)cost->matches);
        if (cost->has_left_out) {
            json_object_set_new(rule, "left_out_ns", json_real(cost->left_out_ns));
        }
        json_array_append_new(rules, rule);
    }
    json_t *const report = json_pack(
        "{s:I, s:b, s:I, s:i, s:f, s:f, s:f, s:I, s:o}", "records",
        (json_int_t)benching->held.count, "records_cut", benching->held.cut, "rules",
        (json_int_t)benching->candidate->source->rule_count, "rounds", (int)ROUNDS, "ns_a_record",
        benching->ns, "ns_a_record_least", benching->least_ns, "ns_a_record_most",
        benching->most_ns, "matches", (json_int_t)benching->matches, "worst", rules);
    json_dumpf(report, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(report);
}

/* --------------------------------------------------------------------------------- the command */

static int bench_candidate(const struct bench_options *options, const struct candidate *candidate)
{
    char error[512];
    struct benching benching = {.candidate = candidate};
    struct trial_input_options input_options = options->input;
    const size_t rule_count = candidate->source->rule_count;
    input_options.world = candidate->world;
    struct trial_input *const input = trial_input_create(&input_options, error, sizeof error);
    if (input == NULL) {
        fprintf(stderr, "%s: %s\n", tool, error);
        return COMMAND_UNREADABLE;
    }
    benching.costs = allocate_zeroed(rule_count, sizeof benching.costs[0]);
    for (size_t i = 0; i < rule_count; i++) { benching.costs[i].rule = i; }
    int code = hold_all(&benching.held, input);
    if (code == COMMAND_OK &&
        (!bench_set(&benching) || !measure_rules(&benching, options->worst_max))) {
        fprintf(stderr, "%s: no memory to judge with\n", tool);
        code = EX_OSERR;
    }
    const size_t worst = options->worst_max < rule_count ? (size_t)options->worst_max : rule_count;
    if (code == COMMAND_OK && options->as_json) { dump(&benching, worst); }
    if (code == COMMAND_OK && !options->as_json) { print(&benching, worst); }
    held_deinit(&benching.held);
    free(benching.costs);
    trial_input_destroy(input);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_JSON = 256, OPTION_WORST, OPTION_NO_WORST };
    static const struct option options[] = {
        RULES_CANDIDATE_OPTIONS,
        RULES_INPUT_OPTIONS,
        {"json", no_argument, NULL, OPTION_JSON},
        {"worst", required_argument, NULL, OPTION_WORST},
        {"no-worst", no_argument, NULL, OPTION_NO_WORST},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct bench_options chosen = {
        .candidate = {.tool = tool},
        .input = {.path = "-", .format = TRIAL_LINES, .syslog_value = -1},
        .worst_max = 10,
    };
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "c:f:h", options, NULL)) != -1;) {
        switch (c) {
        case OPTION_JSON: chosen.as_json = true; break;
        case OPTION_WORST:
            good = rules_option_number(tool, "--worst", optarg, RULES_MAX, &chosen.worst_max);
            break;
        case OPTION_NO_WORST: chosen.worst_max = 0; break;
        case 'h': return command_help(command);
        case '?': return command_misused(command);
        default: good = rules_option_take(tool, c, optarg, &chosen.candidate, &chosen.input); break;
        }
    }
    if (!good || argc - optind > 2) { return command_misused(command); }
    if (optind < argc) { chosen.candidate.path = argv[optind]; }
    if (optind + 1 < argc) { chosen.input.path = argv[optind + 1]; }

    struct candidate_world world;
    struct candidate candidate;
    int code;
    if (!rules_candidate_open(&chosen.candidate, &world, &candidate, &code)) { return code; }
    code = bench_candidate(&chosen, &candidate);
    candidate_deinit(&candidate);
    candidate_world_deinit(&world);
    return code;
}

const struct command command_rules_bench = {
    .name = "rules bench",
    .arguments = "[FILE [RECORDS]] [-c FILE | --no-config] [--format lines|syslog|ndjson]\n"
                 "       [--listener NAME] [--value raw|parsed] [--worst N | --no-worst] [--json]",
    .summary = "Measure what judging records costs, and which rules cost most",
    .help =
        "  FILE           a rules file, or a penstock.yaml that names one; default: the\n"
        "                 configuration's\n"
        "  RECORDS        a file of records; default: the standard input\n" RULES_CANDIDATE_HELP
            RULES_INPUT_HELP "  --worst N      show the N dearest rules; default: 10\n"
        "  --no-worst     do not measure single rules, which takes a compilation each\n"
        "  --json         one object: records, rules, ns_a_record, matches, worst\n\n"
        "Records are held in memory, up to 256 MiB, and judged in bursts of 64.\n\n"
        "Exit: 0 measured, 1 errors in the rules, 64 usage, 65 no such record, 66 a file cannot\n"
        "      be read.\n",
    .run = run,
};
