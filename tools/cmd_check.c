/* cmd_check.c - penstock check: is this configuration one that a node can start with? */
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "dataplane/node_config.h"
#include "tools/check_devices.h"
#include "tools/command.h"
#include "tools/json_text.h"

/* The configuration and its rules, compiled: what starting would look at, nothing started. */
static bool is_acceptable(const char *path, struct diagnostics *diagnostics)
{
    struct node_config node_config;
    if (!node_config_load(path, diagnostics, &node_config)) { return false; }
    check_devices(node_config.config, diagnostics);
    node_config_deinit(&node_config);
    return diagnostics_error_count(diagnostics) == 0;
}

static json_t *text_json(const char *text) { return json_text_of(text, strlen(text)); }

static json_t *json_of(const struct diagnostic *item)
{
    const char *const severity = item->severity == DIAGNOSTIC_ERROR ? "error" : "warning";
    return json_pack("{s:o, s:i, s:i, s:s, s:o}", "file", text_json(item->place.file), "line",
                     (int)item->place.line, "column", (int)item->place.column, "severity", severity,
                     "text", text_json(item->text));
}

static void report_as_json(json_t *report, const char *path, bool ok,
                           const struct diagnostics *diagnostics)
{
    json_t *const items = json_array();
    for (size_t i = 0; i < diagnostics_count(diagnostics); i++) {
        json_array_append_new(items, json_of(diagnostics_at(diagnostics, i)));
    }
    json_array_append_new(report, json_pack("{s:o, s:b, s:o}", "file", text_json(path), "ok",
                                            ok ? 1 : 0, "diagnostics", items));
}

/* One file; `report` NULL: as text. */
static int check_file(const char *path, json_t *report)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    const bool readable = command_can_read(path);
    const bool ok = is_acceptable(path, diagnostics);

    if (report != NULL) {
        report_as_json(report, path, ok, diagnostics);
    } else {
        diagnostics_print(diagnostics, stderr);
        if (ok) { printf("%s: ok\n", path); }
    }
    diagnostics_destroy(diagnostics);

    if (ok) { return COMMAND_OK; }
    return readable ? COMMAND_BAD_FILE : COMMAND_UNREADABLE;
}

static int check_files(char **paths, int count, json_t *report)
{
    int worst = COMMAND_OK; /* the codes rise with what an operator has to do */
    for (int i = 0; i < count; i++) {
        const int code = check_file(paths[i], report);
        if (code > worst) { worst = code; }
    }
    return worst;
}

static int run(const struct command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool as_json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'j': as_json = true; break;
        case 'h': return command_help(command);
        default: return command_misused(command);
        }
    }
    if (optind == argc) {
        fprintf(stderr, "penstock check: no file given\n");
        return command_misused(command);
    }

    json_t *const report = as_json ? json_array() : NULL;
    const int code = check_files(argv + optind, argc - optind, report);
    if (as_json) {
        json_dumpf(report, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(report);
    }
    return code;
}

const struct command command_check = {
    .name = "check",
    .arguments = "[--json] FILE...",
    .summary = "Say everything that is wrong with configuration files",
    .help = "  --json  a list of files with their diagnostics, on stdout\n\n"
            "Errors and warnings go to stderr as FILE:LINE:COLUMN: error: TEXT. A file without\n"
            "errors is reported as 'FILE: ok'. Rules are checked, and their patterns compiled, "
            "once the\n"
            "file that names them has no errors of its own.\n\n"
            "Exit: 0 no errors, 64 usage, 66 a file cannot be read, 78 a file has errors.\n",
    .run = run,
};
