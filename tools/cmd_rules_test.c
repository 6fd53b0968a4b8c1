/* cmd_rules_test.c - penstock rules test: where would these records go, and why? */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "tools/candidate.h"
#include "tools/rules_command.h"
#include "tools/rules_options.h"
#include "tools/trial.h"
#include "tools/trial_expect.h"
#include "tools/trial_input.h"
#include "tools/trial_report.h"

static const char tool[] = "penstock rules test";

struct test_options {
    struct candidate_options candidate;
    struct trial_input_options input;
    const char *expect_path;
    bool as_json;
};

struct testing {
    const struct test_options *options;
    const struct candidate *candidate;
    struct trial_input *input;
    struct trial_expect *expect; /* NULL: nothing is expected */
    struct trial *trial;
    struct trial_clock clock;
    uint64_t records;
    uint64_t differences; /* records that are not what was expected */
    int code;             /* of what cannot be read; COMMAND_OK */
};

static bool fail(struct testing *testing, const char *why)
{
    fprintf(stderr, "%s: %s\n", tool, why);
    testing->code = COMMAND_BAD_DATA;
    return false;
}

/* Holds the record against the next expectation. False: that cannot be read. */
static bool meet_expectation(struct testing *testing, const json_t *found)
{
    json_t *expected;
    switch (trial_expect_next(testing->expect, &expected)) {
    case INPUT_RECORD: break;
    case INPUT_END:
        printf("%s: nothing is expected of this record\n", trial_input_where(testing->input));
        testing->differences++;
        return true;
    default: return fail(testing, trial_expect_error(testing->expect));
    }
    FILE *const out = testing->options->as_json ? stderr : stdout;
    const size_t differences =
        trial_expect_compare(expected, found, trial_input_where(testing->input), out);
    if (differences > 0) { testing->differences++; }
    json_decref(expected);
    return true;
}

static bool judge_one(struct testing *testing, const struct trial_record *record)
{
    struct trial_outcome outcome;
    const uint64_t now_ns =
        trial_clock_at(&testing->clock, record->has_timestamp, record->record.timestamp_ms);
    trial_judge(testing->trial, &record->record, now_ns, &outcome);
    testing->records++;
    const bool needs_json = testing->options->as_json || testing->expect != NULL;
    json_t *const found =
        needs_json ? trial_report_json(testing->candidate, &outcome, testing->records) : NULL;
    bool good = testing->expect == NULL || meet_expectation(testing, found);
    if (testing->options->as_json) {
        good = json_dumpf(found, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF && good;
    } else if (testing->expect == NULL) {
        trial_report_print(testing->candidate, &outcome, testing->records, stdout);
    }
    json_decref(found);
    return good && ferror(stdout) == 0;
}

/* Records that were expected and did not come. */
static bool meet_the_end(struct testing *testing)
{
    json_t *expected;
    const enum input_result result = trial_expect_next(testing->expect, &expected);
    json_decref(expected);
    if (result == INPUT_END) { return true; }
    if (result != INPUT_RECORD) { return fail(testing, trial_expect_error(testing->expect)); }
    FILE *const out = testing->options->as_json ? stderr : stdout;
    fprintf(out, "%s: more is expected, and there are no more records\n",
            trial_expect_where(testing->expect));
    testing->differences++;
    return true;
}

static int code_of(const struct testing *testing)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "%s: standard output: %s\n", tool, strerror(errno));
        return EX_IOERR;
    }
    if (testing->code != COMMAND_OK) { return testing->code; }
    if (testing->expect != NULL) {
        fprintf(stderr, "%s: %" PRIu64 " records, %" PRIu64 " not as expected\n", tool,
                testing->records, testing->differences);
    }
    return testing->differences > 0 ? COMMAND_FINDING : COMMAND_OK;
}

static int judge_all(struct testing *testing)
{
    struct trial_record record;
    enum input_result result;
    bool good = true;
    while (good && (result = trial_input_next(testing->input, &record)) != INPUT_END) {
        good = result == INPUT_RECORD ? judge_one(testing, &record)
                                      : fail(testing, trial_input_error(testing->input));
        if (result == INPUT_UNREADABLE) { testing->code = COMMAND_UNREADABLE; }
    }
    if (good && testing->expect != NULL) { (void)!meet_the_end(testing); /* code says it */ }
    return code_of(testing);
}

static int test_candidate(const struct test_options *options, const struct candidate *candidate)
{
    char error[512];
    struct testing testing = {.options = options, .candidate = candidate};
    struct trial_input_options input = options->input;
    input.world = candidate->world;
    int code = COMMAND_UNREADABLE;
    if (trial_create(candidate->rules, &testing.trial) != STATUS_OK) {
        fprintf(stderr, "%s: no memory to judge with\n", tool);
        return EX_OSERR;
    }
    testing.input = trial_input_create(&input, error, sizeof error);
    bool good = testing.input != NULL;
    if (good && options->expect_path != NULL) {
        testing.expect = trial_expect_open(options->expect_path, error, sizeof error);
        good = testing.expect != NULL;
    }
    if (good) {
        code = judge_all(&testing);
    } else {
        fprintf(stderr, "%s: %s\n", tool, error);
    }
    trial_expect_close(testing.expect);
    trial_input_destroy(testing.input);
    trial_destroy(testing.trial);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_JSON = 256, OPTION_EXPECT };
    static const struct option options[] = {
        RULES_CANDIDATE_OPTIONS,
        RULES_INPUT_OPTIONS,
        {"json", no_argument, NULL, OPTION_JSON},
        {"expect", required_argument, NULL, OPTION_EXPECT},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct test_options chosen = {
        .candidate = {.tool = tool},
        .input = {.path = "-", .format = TRIAL_LINES, .syslog_value = -1},
    };
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "c:f:h", options, NULL)) != -1;) {
        switch (c) {
        case OPTION_JSON: chosen.as_json = true; break;
        case OPTION_EXPECT: chosen.expect_path = optarg; break;
        case 'h': return command_help(command);
        case '?': return command_misused(command);
        default: good = rules_option_take(tool, c, optarg, &chosen.candidate, &chosen.input); break;
        }
    }
    if (!good || argc - optind > 2) { return command_misused(command); }
    if (optind < argc) { chosen.candidate.path = argv[optind]; }
    if (optind + 1 < argc) { chosen.input.path = argv[optind + 1]; }
    if (chosen.expect_path != NULL && strcmp(chosen.expect_path, chosen.input.path) == 0) {
        fprintf(stderr, "%s: records and expectations are one and the same\n", tool);
        return COMMAND_USAGE;
    }
    chosen.candidate.quiet = false;

    struct candidate_world world;
    struct candidate candidate;
    int code;
    if (!rules_candidate_open(&chosen.candidate, &world, &candidate, &code)) { return code; }
    code = test_candidate(&chosen, &candidate);
    candidate_deinit(&candidate);
    candidate_world_deinit(&world);
    return code;
}

const struct command command_rules_test = {
    .name = "rules test",
    .arguments = "[FILE [RECORDS]] [-c FILE | --no-config] [--format lines|syslog|ndjson]\n"
                 "       [--listener NAME] [--value raw|parsed] [--json] [--expect FILE]",
    .summary = "Say where records would go, and why",
    .help =
        "  FILE           a rules file, or a penstock.yaml that names one; default: the\n"
        "                 configuration's\n"
        "  RECORDS        a file of records; default: the standard input\n" RULES_CANDIDATE_HELP
            RULES_INPUT_HELP
        "  --json         an object a record: number, record, verdict (store or drop), why,\n"
        "                 topics, rules, key, value, headers\n"
        "  --expect FILE  hold the results against these objects, a line a record, of which\n"
        "                 each has any of the members above; tell the differences alone\n\n"
        "Exit: 0 judged, and as expected; 1 errors in the rules, or not as expected; 64 usage;\n"
        "      65 no such record; 66 a file cannot be read; 74 the output cannot be written.\n",
    .run = run,
};
