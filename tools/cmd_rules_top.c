/* cmd_rules_top.c - penstock rules top: what the rules of a node do now, the busiest first. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "tools/cmd_rules_list.h"
#include "tools/rules_sample.h"
#include "tools/rules_table.h"
#include "tools/runtime_view.h"

enum { ROWS_DEFAULT = 20, ROWS_MAX = 100000, TITLE_ROWS = 3 };

struct top_options {
    const char *config_path;
    const char *directory;
    uint64_t interval_ns;
    size_t rows; /* 0: what the terminal has room for */
    bool once;
    bool help;
};

/* Mapped anew for each: a reload may have replaced the page. */
static bool take(const char *directory, struct runtime_sample *out_node,
                 struct rules_sample *out_rules)
{
    struct runtime_view view;
    if (runtime_view_open(directory, &view) != STATUS_OK) { return false; }
    const bool taken = rules_sample_take(&view, directory, out_rules);
    if (taken) { runtime_sample_take(&view, out_node); }
    runtime_view_close(&view);
    return taken;
}

static size_t rows_of(const struct top_options *options)
{
    struct winsize window;
    if (options->rows > 0) { return options->rows; }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0) { return ROWS_DEFAULT; }
    return window.ws_row > TITLE_ROWS + 1 ? window.ws_row - (size_t)TITLE_ROWS : ROWS_DEFAULT;
}

static void print_frame(const struct runtime_sample *node, const struct rules_sample *now,
                        const struct rules_sample *before, const struct top_options *options)
{
    const size_t rows = rows_of(options);
    struct rules_line *const lines = rules_lines(now, before, RULES_ORDER_MATCHES);
    if (!options->once && isatty(STDOUT_FILENO) == 1) { printf("\033[H\033[J"); }
    rules_table_title(node, now);
    rules_table_print(lines, now->count < rows ? now->count : rows, "/s");
    if (now->count > rows) { printf("  %zu more\n", now->count - rows); }
    fflush(stdout);
    free(lines);
}

static int show(const char *directory, const struct top_options *options)
{
    const struct timespec pause = {.tv_sec = (time_t)(options->interval_ns / NS_PER_S),
                                   .tv_nsec = (long)(options->interval_ns % NS_PER_S)};
    struct rules_sample before;
    struct rules_sample now;
    struct runtime_sample node;
    if (!take(directory, &node, &before)) { return COMMAND_NO_NODE; }
    int code;
    do {
        runtime_sample_free(&node);
        (void)nanosleep(&pause, NULL); /* a signal ends the wait early: rates are by the clock */
        if (!take(directory, &node, &now)) {
            rules_sample_free(&before);
            return COMMAND_NO_NODE;
        }
        code = runtime_sample_is_running(&node) ? COMMAND_OK : COMMAND_FINDING;
        print_frame(&node, &now, &before, options);
        rules_sample_free(&before);
        before = now;
    } while (!options->once && code == COMMAND_OK);
    runtime_sample_free(&node);
    rules_sample_free(&before);
    return code;
}

static bool parse_rows(const char *text, size_t *out)
{
    char *end;
    if (text[0] < '1' || text[0] > '9') { return false; }
    *out = strtoull(text, &end, 10);
    return *end == '\0' && *out <= ROWS_MAX;
}

static bool parse_options(int argc, char **argv, struct top_options *out)
{
    static const struct option long_options[] = {
        {"runtime", required_argument, NULL, 'r'}, {"interval", required_argument, NULL, 'i'},
        {"rows", required_argument, NULL, 'n'},    {"once", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    const uint64_t interval_ns_min = UINT64_C(100) * NS_PER_MS;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c': out->config_path = optarg; break;
        case 'r': out->directory = optarg; break;
        case 'i':
            if (units_parse_duration(optarg, &out->interval_ns) &&
                out->interval_ns >= interval_ns_min) {
                break;
            }
            fprintf(stderr, "penstock: --interval %s: not a duration of 100ms or more\n", optarg);
            return false;
        case 'n':
            if (parse_rows(optarg, &out->rows)) { break; }
            fprintf(stderr, "penstock: --rows %s: not 1 to %d\n", optarg, ROWS_MAX);
            return false;
        case 'o': out->once = true; break;
        case 'h': out->help = true; break;
        default: return false;
        }
    }
    return out->help || optind == argc;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct top_options options = {.interval_ns = NS_PER_S};
    if (!parse_options(argc, argv, &options)) { return command_misused(command); }
    if (options.help) { return command_help(command); }

    int code;
    char *const directory = runtime_directory_find(options.config_path, options.directory, &code);
    if (directory == NULL) { return code; }
    code = show(directory, &options);
    free(directory);
    return code;
}

const struct command command_rules_top = {
    .name = "rules top",
    .arguments = "[-c FILE | --runtime DIR] [--interval DURATION] [--rows N] [--once]",
    .summary = "Watch what the rules of a node do now, the busiest first",
    .help = "  -c FILE              the node's configuration (" COMMAND_DEFAULT_CONFIG ")\n"
            "  --runtime DIR        its runtime directory, without reading a configuration\n"
            "  --interval DURATION  what is looked at, and how long until the next look (1s)\n"
            "  --rows N             show N rules (what the terminal has room for, else 20)\n"
            "  --once               one look, then end\n\n"
            "Counts are of each second. Ends when it is interrupted, or penstock-ingest ends.\n\n"
            "Exit: 0 shown, 1 penstock-ingest does not run, 64 usage, 66 or 78 configuration,\n"
            "      69 no node, or no counts of rules, in the runtime directory.\n",
    .run = run,
};
