#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "tools/log_command.h"
#include "tools/log_export.h"
#include "tools/log_places.h"
#include "tools/record_json.h"
#include "tools/time_text.h"

struct export_options {
    const char *config_path;
    struct log_selection selection;
    bool has_partition;
    uint32_t partition;
    enum record_encoding encoding;
};

struct exporting {
    const struct export_options *options;
    struct log_export export;
    bool damaged_record; /* headers that are none */
};

static bool on_record(void *context, const struct log_export_record *record)
{
    struct exporting *const exporting = context;
    json_t *const object = json_object();
    json_t *const topic = json_string(record->topic);
    json_object_set_new(object, "topic", topic != NULL ? topic : json_string("?"));
    json_object_set_new(object, "partition", json_integer((json_int_t)record->partition));
    const bool holds = record_json_encode(record->record, exporting->options->encoding, object);
    bool written = true;
    if (holds) {
        written = json_dumpf(object, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF;
    } else {
        exporting->damaged_record = true; /* the batch was checked: not reached */
    }
    json_decref(object);
    return written;
}

static void on_loss(void *context, const char *path, uint64_t begin, uint64_t end, const char *what)
{
    (void)context;
    fprintf(stderr, "penstock log export: %s: bytes %" PRIu64 "..%" PRIu64 ": not exported: %s\n",
            path, begin, end, what);
}

static int export_code(const struct exporting *exporting)
{
    const struct log_export *const export = &exporting->export;
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fprintf(stderr, "penstock log export: standard output: %s\n", strerror(errno));
        return EX_IOERR;
    }
    if (!export->topic_found && export->selection.topic != NULL) {
        fprintf(stderr, "penstock log export: no topic '%s' in these segments\n",
                export->selection.topic);
        return COMMAND_UNREADABLE;
    }
    return export->losses > 0 || exporting->damaged_record ? COMMAND_FINDING : COMMAND_OK;
}

static int export_all(const struct export_options *options, char *const *paths, int path_count)
{
    struct log_places places;
    int code;
    if (!log_places_open(&places, options->config_path, paths, path_count, &code)) { return code; }
    struct exporting *const exporting = allocate_zeroed(1, sizeof *exporting);
    exporting->options = options;
    exporting->export.selection = options->selection;
    exporting->export.on_record = on_record;
    exporting->export.on_loss = on_loss;
    exporting->export.context = exporting;
    for (size_t i = 0; i < places.count && !exporting->export.stopped; i++) {
        if (options->has_partition && places.at[i].partition != options->partition) { continue; }
        log_export_place(&exporting->export, &places.at[i]);
    }
    code = export_code(exporting);
    log_export_deinit(&exporting->export);
    free(exporting);
    log_places_close(&places);
    return code;
}

static bool refuse(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "penstock log export: %s '%s': %s\n", option, value, expected);
    return false;
}

static bool parse_number(const char *option, const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    const bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    return (digits && errno == 0 && *out <= max) || refuse(option, text, "not such a number");
}

static bool parse_time(const char *option, const char *text, int64_t *out)
{
    const struct instant now = clock_now();
    return time_text_parse(text, now.wall_ms, out) ||
           refuse(option, text,
                  "not milliseconds since 1970, 2026-01-31T12:00:00Z, or -10m before now");
}

static bool parse_encoding(const char *text, enum record_encoding *out)
{
    *out = strcmp(text, "base64") == 0 ? RECORD_BASE64 : RECORD_UTF8;
    return *out == RECORD_BASE64 || strcmp(text, "utf8") == 0 ||
           refuse("--json-encoding", text, "not utf8 or base64");
}

static bool parse_partition(const char *text, struct export_options *out)
{
    uint64_t partition;
    if (!parse_number("--partition", text, UINT32_MAX, &partition)) { return false; }
    out->has_partition = true;
    out->partition = (uint32_t)partition;
    return true;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_FROM = 256, OPTION_TO, OPTION_FROM_TIME, OPTION_TO_TIME, OPTION_MAX };
    enum { OPTION_ENCODING = 300 };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"topic", required_argument, NULL, 't'},
        {"partition", required_argument, NULL, 'p'},
        {"from", required_argument, NULL, OPTION_FROM},
        {"to", required_argument, NULL, OPTION_TO},
        {"from-time", required_argument, NULL, OPTION_FROM_TIME},
        {"to-time", required_argument, NULL, OPTION_TO_TIME},
        {"max", required_argument, NULL, OPTION_MAX},
        {"json-encoding", required_argument, NULL, OPTION_ENCODING},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct export_options chosen = {
        .selection = {.to_offset = UINT64_MAX,
                      .from_timestamp_ms = INT64_MIN,
                      .to_timestamp_ms = INT64_MAX,
                      .records_max = UINT64_MAX},
    };
    struct log_selection *const selection = &chosen.selection;
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; good && (c = getopt_long(argc, argv, "c:t:p:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': chosen.config_path = optarg; break;
        case 't': selection->topic = optarg; break;
        case 'p': good = parse_partition(optarg, &chosen); break;
        case OPTION_FROM:
            good = parse_number("--from", optarg, INT64_MAX, &selection->from_offset);
            break;
        case OPTION_TO:
            good = parse_number("--to", optarg, INT64_MAX, &selection->to_offset);
            break;
        case OPTION_FROM_TIME:
            good = parse_time("--from-time", optarg, &selection->from_timestamp_ms);
            break;
        case OPTION_TO_TIME:
            good = parse_time("--to-time", optarg, &selection->to_timestamp_ms);
            break;
        case OPTION_MAX:
            good = parse_number("--max", optarg, INT64_MAX, &selection->records_max);
            break;
        case OPTION_ENCODING: good = parse_encoding(optarg, &chosen.encoding); break;
        case 'h': return command_help(command);
        default: return command_misused(command);
        }
    }
    if (!good) { return COMMAND_USAGE; }
    if (argc == optind && chosen.config_path == NULL) { return command_misused(command); }
    if (selection->records_max == 0) { return COMMAND_OK; }
    return export_all(&chosen, argv + optind, argc - optind);
}

const struct command command_log_export = {
    .name = "log export",
    .arguments = "(-c FILE | PATH...) [--topic T] [--partition P] [--from OFFSET] [--to OFFSET]\n"
                 "       [--from-time T] [--to-time T] [--max N] [--json-encoding utf8|base64]",
    .summary = "Write records as NDJSON: by topic, partition, offsets or time",
    .help =
        "  PATH           a segment, a partition's directory, or a storage path\n"
        "  -c FILE        the node's configuration: its storage paths, and what its root page\n"
        "                 calls durable; to be given where the node runs\n"
        "  --from, --to   offsets, --to not included\n"
        "  --from-time, --to-time\n"
        "                 record timestamps, --to-time not included: milliseconds since 1970,\n"
        "                 2026-01-31T12:00:00Z, now, or -10m before now\n"
        "  --max N        so many records at most\n"
        "  --json-encoding base64\n"
        "                 keys and values as base64, also where they are text\n\n"
        "An object a line: topic, partition, offset, timestamp, key, value, headers; bytes that\n"
        "are no UTF-8 stand in key_base64, value_base64. 'penstock send --format records' sends\n"
        "them again. Partition by partition, each in the order of its log. What does not hold is\n"
        "left out, and told on stderr.\n\n"
        "Exit: 0 all that was asked for, 1 something could not be exported, 64 usage, 66 no such\n"
        "      topic, or something cannot be read, 74 the output cannot be written, 78\n"
        "      configuration.\n",
    .run = run,
};
