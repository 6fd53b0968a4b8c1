/* cmd_rules_check.c - penstock rules check: is this rules file right, and is it what was meant? */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/rules_lint.h"
#include "tools/candidate.h"
#include "tools/human.h"
#include "tools/json_text.h"
#include "tools/rules_command.h"
#include "tools/rules_kept.h"
#include "tools/rules_options.h"

static const char tool[] = "penstock rules check";

struct check_options {
    struct candidate_options candidate;
    bool as_json;
    bool strict;
};

static size_t warning_count(const struct diagnostics *diagnostics)
{
    return diagnostics_count(diagnostics) - diagnostics_error_count(diagnostics);
}

static json_t *text_json(const char *text) { return json_text_of(text, strlen(text)); }

static json_t *diagnostics_json(const struct diagnostics *diagnostics)
{
    json_t *const out = json_array();
    for (size_t i = 0; i < diagnostics_count(diagnostics); i++) {
        const struct diagnostic *const item = diagnostics_at(diagnostics, i);
        json_array_append_new(
            out, json_pack("{s:o, s:i, s:i, s:s, s:o}", "file", text_json(item->place.file), "line",
                           (int)item->place.line, "column", (int)item->place.column, "severity",
                           item->severity == DIAGNOSTIC_ERROR ? "error" : "warning", "text",
                           text_json(item->text)));
    }
    return out;
}

static void dump(const struct candidate *candidate, const struct diagnostics *diagnostics)
{
    json_t *const out = json_pack("{s:b, s:o}", "ok", diagnostics_error_count(diagnostics) == 0,
                                  "diagnostics", diagnostics_json(diagnostics));
    if (candidate->rules != NULL) {
        char epoch[RULES_EPOCH_TEXT_BYTES];
        json_object_set_new(out, "file", text_json(candidate->path));
        json_object_set_new(out, "epoch",
                            json_string(rules_epoch_text(candidate->source->epoch, epoch)));
        json_object_set_new(out, "rules", json_integer((json_int_t)candidate->source->rule_count));
        json_object_set_new(out, "compile_ns", json_integer((json_int_t)candidate->compile_ns));
    }
    json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}

static void print_ok(const struct candidate *candidate)
{
    char epoch[RULES_EPOCH_TEXT_BYTES];
    char time[HUMAN_TEXT_BYTES];
    printf("%s: ok: %zu rules, epoch %s, compiled in %s\n", candidate->path,
           candidate->source->rule_count, rules_epoch_text(candidate->source->epoch, epoch),
           human_duration(candidate->compile_ns, time));
}

static int check(const struct check_options *options)
{
    struct candidate_world world;
    struct candidate candidate;
    struct diagnostics *const diagnostics = diagnostics_create();
    int code = RULES_CLEAN;
    const bool loaded = candidate_open(&options->candidate, diagnostics, &world, &candidate, &code);
    if (loaded) {
        rules_lint(candidate.source, diagnostics);
        code = diagnostics_error_count(diagnostics) > 0 ? RULES_ERRORS : RULES_CLEAN;
        if (code == RULES_CLEAN && options->strict && warning_count(diagnostics) > 0) {
            code = RULES_WARNINGS;
        }
    }
    if (options->as_json) {
        dump(&candidate, diagnostics);
    } else {
        diagnostics_print(diagnostics, stderr);
        if (loaded && code != RULES_ERRORS) { print_ok(&candidate); }
    }
    if (loaded) {
        candidate_deinit(&candidate);
        candidate_world_deinit(&world);
    }
    diagnostics_destroy(diagnostics);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_JSON = 256, OPTION_STRICT };
    static const struct option options[] = {
        RULES_CANDIDATE_OPTIONS,
        {"json", no_argument, NULL, OPTION_JSON},
        {"strict", no_argument, NULL, OPTION_STRICT},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct check_options chosen = {.candidate = {.tool = tool}};
    struct trial_input_options unused;
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case OPTION_JSON: chosen.as_json = true; break;
        case OPTION_STRICT: chosen.strict = true; break;
        case 'h': return command_help(command);
        case '?': return command_misused(command);
        default: good = rules_option_take(tool, c, optarg, &chosen.candidate, &unused); break;
        }
    }
    if (!good || argc - optind > 1) { return command_misused(command); }
    if (optind < argc) { chosen.candidate.path = argv[optind]; }
    return check(&chosen);
}

const struct command command_rules_check = {
    .name = "rules check",
    .arguments = "[FILE] [-c FILE | --no-config] [--strict] [--json]",
    .summary = "Say everything that is wrong with rules, and what is hardly meant",
    .help = "  FILE           a rules file, or a penstock.yaml that names one; default: the\n"
            "                 configuration's\n" RULES_CANDIDATE_HELP
            "  --strict       warnings count: exit 2\n"
            "  --json         one object: ok, diagnostics, rules, epoch, compile_ns\n\n"
            "Errors and warnings go to stderr as FILE:LINE:COLUMN: error: TEXT.\n\n"
            "Exit: 0 no errors, 1 errors, 2 warnings (with --strict), 64 usage, 66 a file cannot\n"
            "      be read.\n",
    .run = run,
};
