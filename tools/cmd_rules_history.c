/* cmd_rules_history.c - penstock rules history: which rules judged which offsets? */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "tools/json_text.h"
#include "tools/log_output.h"
#include "tools/log_places.h"
#include "tools/rules_command.h"
#include "tools/rules_history.h"
#include "tools/rules_kept.h"
#include "tools/time_text.h"

static const char tool[] = "penstock rules history";

struct history_options {
    const char *config_path;
    const char *cache; /* NULL: the configuration's, else the default */
    const char *topic;
    int64_t from_wall_ms;
    int64_t to_wall_ms;
    bool as_json;
};

static void on_loss(void *context, const char *path, uint64_t begin, uint64_t end, const char *what)
{
    (void)context;
    fprintf(stderr, "%s: %s: bytes %" PRIu64 "..%" PRIu64 ": not looked at: %s\n", tool, path,
            begin, end, what);
}

/* ------------------------------------------------------------------------------------- showing */

static json_t *span_json(const struct rules_span *span, const char *kept)
{
    char epoch[RULES_EPOCH_TEXT_BYTES];
    char first[LOG_TIME_BYTES];
    char last[LOG_TIME_BYTES];
    return json_pack(
        "{s:I, s:o, s:s, s:o, s:o, s:o, s:s, s:s, s:I, s:I, s:o}", "partition",
        (json_int_t)span->partition, "topic", json_text_of(span->topic, strlen(span->topic)),
        "epoch", rules_epoch_text(span->epoch, epoch), "first_offset",
        log_number_json(span->first_offset), "last_offset", log_number_json(span->last_offset),
        "records", log_number_json(span->records), "first_time",
        log_time_text(span->first_wall_ms, first), "last_time",
        log_time_text(span->last_wall_ms, last), "first_wall_ms", (json_int_t)span->first_wall_ms,
        "last_wall_ms", (json_int_t)span->last_wall_ms, "file",
        kept != NULL ? json_text_of(kept, strlen(kept)) : json_null());
}

static void span_print(const struct rules_span *span, const char *kept)
{
    char epoch[RULES_EPOCH_TEXT_BYTES];
    char first[LOG_TIME_BYTES];
    char last[LOG_TIME_BYTES];
    char offsets[48];
    snprintf(offsets, sizeof offsets, "%" PRIu64 "..%" PRIu64, span->first_offset,
             span->last_offset);
    printf("%9" PRIu32 "  %-16s  %-23s  %-24s  %-24s  %-16s  %s\n", span->partition, span->topic,
           offsets, log_time_text(span->first_wall_ms, first),
           log_time_text(span->last_wall_ms, last),
           span->epoch == 0 ? "(no rules)" : rules_epoch_text(span->epoch, epoch),
           kept != NULL       ? kept
           : span->epoch == 0 ? ""
                              : "(no copy)");
}

static void show(const struct rules_history *history, const char *cache, bool as_json)
{
    struct log_array array = {.out = stdout};
    if (!as_json) {
        printf("%9s  %-16s  %-23s  %-24s  %-24s  %-16s  %s\n", "PARTITION", "TOPIC", "OFFSETS",
               "FIRST COMMIT", "LAST COMMIT", "EPOCH", "FILE");
    }
    for (size_t i = 0; i < history->span_count; i++) {
        const struct rules_span *const span = &history->spans[i];
        char *const kept = span->epoch != 0 ? rules_kept_path(cache, span->epoch) : NULL;
        if (as_json) {
            log_array_add(&array, span_json(span, kept));
        } else {
            span_print(span, kept);
        }
        free(kept);
    }
    if (as_json) { log_array_end(&array); }
}

/* --------------------------------------------------------------------------------- the command */

static int show_all(const struct history_options *options, char *const *paths, int path_count)
{
    struct log_places places;
    int code;
    if (!log_places_open(&places, options->config_path, paths, path_count, &code)) { return code; }
    struct rules_history *const history = allocate_zeroed(1, sizeof *history);
    history->topic = options->topic;
    history->from_wall_ms = options->from_wall_ms;
    history->to_wall_ms = options->to_wall_ms;
    history->on_loss = on_loss;
    for (size_t i = 0; i < places.count; i++) { rules_history_place(history, &places.at[i]); }
    char *const cache = rules_cache_directory(options->cache, options->config_path);
    show(history, cache, options->as_json);
    free(cache);
    code = history->losses > 0 ? COMMAND_FINDING : COMMAND_OK;
    if (options->topic != NULL && !history->topic_found) {
        fprintf(stderr, "%s: no topic '%s' in these segments\n", tool, options->topic);
        code = COMMAND_UNREADABLE;
    }
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "%s: standard output: %s\n", tool, strerror(errno));
        code = EX_IOERR;
    }
    rules_history_deinit(history);
    free(history);
    log_places_close(&places);
    return code;
}

static bool parse_time(const char *option, const char *text, int64_t *out)
{
    if (time_text_parse(text, clock_now().wall_ms, out)) { return true; }
    fprintf(stderr, "%s: %s '%s': no time\n", tool, option, text);
    return false;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_JSON = 256, OPTION_FROM, OPTION_TO, OPTION_CACHE };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"topic", required_argument, NULL, 't'},
        {"from", required_argument, NULL, OPTION_FROM},
        {"to", required_argument, NULL, OPTION_TO},
        {"cache", required_argument, NULL, OPTION_CACHE},
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct history_options chosen = {.from_wall_ms = INT64_MIN, .to_wall_ms = INT64_MAX};
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "c:t:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': chosen.config_path = optarg; break;
        case 't': chosen.topic = optarg; break;
        case OPTION_FROM: good = parse_time("--from", optarg, &chosen.from_wall_ms); break;
        case OPTION_TO: good = parse_time("--to", optarg, &chosen.to_wall_ms); break;
        case OPTION_CACHE: chosen.cache = optarg; break;
        case OPTION_JSON: chosen.as_json = true; break;
        case 'h': return command_help(command);
        default: good = false;
        }
    }
    if (!good) { return command_misused(command); }
    if (chosen.config_path == NULL && optind == argc) {
        if (!command_can_read(COMMAND_DEFAULT_CONFIG)) { return command_misused(command); }
        chosen.config_path = COMMAND_DEFAULT_CONFIG;
    }
    return show_all(&chosen, argv + optind, argc - optind);
}

const struct command command_rules_history = {
    .name = "rules history",
    .arguments = "[-c FILE | PATH...] [--topic T] [--from TIME] [--to TIME] [--cache DIR] [--json]",
    .summary = "Say which rules judged which offsets",
    .help =
        "  -c FILE        the node's configuration: its storage paths; default:\n"
        "                 " COMMAND_DEFAULT_CONFIG "\n"
        "  PATH           a segment, a partition's directory, or a storage path\n"
        "  --topic T      of one topic; default: all\n"
        "  --from, --to   commits closed in this time, --to not included: 2026-01-31T12:00:00Z,\n"
        "                 now, -10m before now, milliseconds since 1970\n"
        "  --cache DIR    where the node kept copies of rules files; default: as configured\n"
        "  --json         a list: partition, topic, epoch, first_offset, last_offset, records,\n"
        "                 first_time, last_time, file\n\n"
        "Reads headers of commits, and no record: of long commits 16 KiB each.\n\n"
        "Exit: 0 all shown, 1 something could not be read, 64 usage, 66 no such log or topic,\n"
        "      74 the output cannot be written, 78 configuration.\n",
    .run = run,
};
