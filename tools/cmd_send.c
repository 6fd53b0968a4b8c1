#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "client/penstock.h"
#include "tools/command.h"
#include "tools/sender.h"
#include "wire/native.h"

enum {
    DEFAULT_TIMEOUT_S = 30,
    DEFAULT_RECORD_BYTES_MAX = 900 * 1024, /* as an appliance's lanes.max_record */
    SERVER_BYTES_MAX = 512,
};

enum option_code {
    OPTION_TO = 256,
    OPTION_TOPIC,
    OPTION_FORMAT,
    OPTION_KEY_FIELD,
    OPTION_KEY_DELIMITER,
    OPTION_SKIP_BAD,
    OPTION_LANES,
    OPTION_PRODUCER_ID,
    OPTION_STATE,
    OPTION_RESUME,
    OPTION_RECEIPTS,
    OPTION_RATE,
    OPTION_MAX_RECORD,
    OPTION_TIMEOUT,
    OPTION_QUIET,
    OPTION_PROGRESS,
    OPTION_JSON,
    OPTION_HELP = 'h',
};

static const struct option long_options[] = {
    {"to", required_argument, NULL, OPTION_TO},
    {"topic", required_argument, NULL, OPTION_TOPIC},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"key-field", required_argument, NULL, OPTION_KEY_FIELD},
    {"key-delimiter", required_argument, NULL, OPTION_KEY_DELIMITER},
    {"skip-bad", no_argument, NULL, OPTION_SKIP_BAD},
    {"lanes", required_argument, NULL, OPTION_LANES},
    {"producer-id", required_argument, NULL, OPTION_PRODUCER_ID},
    {"state", required_argument, NULL, OPTION_STATE},
    {"resume", no_argument, NULL, OPTION_RESUME},
    {"receipts", required_argument, NULL, OPTION_RECEIPTS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"max-record", required_argument, NULL, OPTION_MAX_RECORD},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static bool refuse(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "penstock send: %s '%s': %s\n", option, value, expected);
    return false;
}

static bool parse_number(const char *option, const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    const bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    if (digits && errno == 0 && *out >= 1 && *out <= max) { return true; }
    char expected[64];
    snprintf(expected, sizeof expected, "not a number from 1 to %llu", (unsigned long long)max);
    return refuse(option, text, expected);
}

/* "\t" is typed more easily than a tab; any other backslash stands for itself. */
static const char *delimiter_of(const char *text) { return strcmp(text, "\\t") == 0 ? "\t" : text; }

static bool parse_lanes(const char *text, uint32_t *out)
{
    uint64_t lanes;
    if (!parse_number("--lanes", text, PENSTOCK_LANES_MAX, &lanes)) { return false; }
    *out = (uint32_t)lanes;
    return true;
}

static bool parse_record_bytes(const char *text, uint64_t *out)
{
    if (units_parse_size(text, out) && *out >= 1 && *out <= RECORD_INPUT_BYTES_MAX) { return true; }
    return refuse("--max-record", text, "not a size from 1 to 4MiB");
}

static bool parse_timeout(const char *text, uint64_t *out)
{
    if (units_parse_duration(text, out) && *out > 0) { return true; }
    return refuse("--timeout", text, "not a duration, such as 30s");
}

static bool take_option(int code, struct sender_options *out)
{
    switch ((enum option_code)code) {
    case OPTION_TO: out->server = optarg; return true;
    case OPTION_TOPIC: out->topic = optarg; return true;
    case OPTION_FORMAT:
        return record_format_parse(optarg, &out->input.format) ||
               refuse("--format", optarg, "not lines, ndjson, records or length-prefixed");
    case OPTION_KEY_FIELD: out->input.key_field = optarg; return true;
    case OPTION_KEY_DELIMITER: out->input.key_delimiter = delimiter_of(optarg); return true;
    case OPTION_SKIP_BAD: out->input.skip_bad = true; return true;
    case OPTION_LANES: return parse_lanes(optarg, &out->lanes);
    case OPTION_PRODUCER_ID: out->producer_id = optarg; return true;
    case OPTION_STATE: out->state_path = optarg; return true;
    case OPTION_RESUME: out->resume = true; return true;
    case OPTION_RECEIPTS: out->receipts = optarg; return true;
    case OPTION_RATE: return parse_number("--rate", optarg, NS_PER_S, &out->rate);
    case OPTION_MAX_RECORD: return parse_record_bytes(optarg, &out->record_bytes_max);
    case OPTION_TIMEOUT: return parse_timeout(optarg, &out->timeout_ns);
    case OPTION_QUIET: out->quiet = true; return true;
    case OPTION_PROGRESS: out->progress = true; return true;
    case OPTION_JSON: out->json = true; return true;
    case OPTION_HELP: break;
    }
    return false;
}

/* NULL, or which of the options do not go together. */
static const char *conflict_in(const struct sender_options *options)
{
    const struct record_input_options *const input = &options->input;
    const bool id_in_file =
        options->producer_id != NULL && strncmp(options->producer_id, "file:", 5) == 0;
    if (options->server == NULL) { return "--to HOST:PORT is missing"; }
    if (options->resume && options->state_path == NULL) { return "--resume needs --state"; }
    if (options->state_path != NULL && id_in_file) {
        return "--state keeps the producer's id itself: --producer-id takes digits only";
    }
    if (input->key_field != NULL && input->format != RECORD_NDJSON) {
        return "--key-field is for --format ndjson";
    }
    if (input->key_delimiter != NULL && input->format != RECORD_LINES) {
        return "--key-delimiter is for --format lines";
    }
    if (input->key_delimiter != NULL && input->key_delimiter[0] == '\0') {
        return "--key-delimiter is empty";
    }
    if (input->skip_bad && input->format != RECORD_NDJSON && input->format != RECORD_RECORDS) {
        return "--skip-bad is for --format ndjson and records";
    }
    if (options->quiet && options->progress) { return "--quiet and --progress exclude each other"; }
    if (input->path_count > RECORD_INPUT_FILES_MAX) { return "too many files"; }
    return NULL;
}

/* NULL, or what is wrong with it. */
static const char *wrong_in_producer_id(const char *text)
{
    if (text == NULL || strncmp(text, "file:", 5) == 0) { return NULL; }
    if (strlen(text) != 32 || strspn(text, "0123456789abcdefABCDEF") != 32) {
        return "not 32 hexadecimal digits, nor file:PATH";
    }
    return strspn(text, "0") == 32 ? "zero is not allowed: it stands for no producer" : NULL;
}

/* HOST:PORT, the host in whatever way the resolver takes it. */
static bool is_server(const char *text)
{
    const char *const colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strchr(text, ',') != NULL) { return false; }
    const char *const port = colon + 1;
    const size_t digits = strspn(port, "0123456789");
    return digits >= 1 && digits <= 5 && port[digits] == '\0' && atoi(port) >= 1 &&
           atoi(port) <= UINT16_MAX;
}

static int send_with(struct sender_options *options)
{
    char server[SERVER_BYTES_MAX];
    const char *const conflict = conflict_in(options);
    if (conflict != NULL) {
        fprintf(stderr, "penstock send: %s\n", conflict);
        return COMMAND_USAGE;
    }
    const char *const wrong_id = wrong_in_producer_id(options->producer_id);
    if (wrong_id != NULL) {
        refuse("--producer-id", options->producer_id, wrong_id);
        return COMMAND_USAGE;
    }
    if (strrchr(options->server, ':') == NULL) {
        snprintf(server, sizeof server, "%s:%d", options->server, NATIVE_PORT);
        options->server = server;
    }
    if (!is_server(options->server)) {
        refuse("--to", options->server, "not one HOST or HOST:PORT");
        return COMMAND_USAGE;
    }
    options->progress = options->progress || (!options->quiet && isatty(STDERR_FILENO) == 1);
    return sender_run(options);
}

static int run(const struct command *command, int argc, char **argv)
{
    static const char *const standard_input[] = {"-"};
    struct sender_options options = {
        .lanes = 1,
        .record_bytes_max = DEFAULT_RECORD_BYTES_MAX,
        .timeout_ns = (uint64_t)DEFAULT_TIMEOUT_S * NS_PER_S,
    };
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int code; (code = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (code == OPTION_HELP) { return command_help(command); }
        if (code == '?') { return command_misused(command); }
        if (!take_option(code, &options)) { return COMMAND_USAGE; }
    }
    options.input.paths = (const char *const *)argv + optind;
    options.input.path_count = (size_t)(argc - optind);
    if (options.input.path_count == 0) {
        options.input.paths = standard_input;
        options.input.path_count = 1;
    }
    return send_with(&options);
}

const struct command command_send = {
    .name = "send",
    .arguments = "[FILE...] --to HOST[:PORT] [OPTION...]",
    .summary = "Send records by the native protocol, each stored exactly once",
    .help =
        "  --to HOST[:PORT]      the appliance; port 4650 unless given\n"
        "  --topic T             for records that no rule takes\n"
        "  --format F            lines (default), ndjson, records (as 'penstock log export' "
        "writes),\n"
        "                        length-prefixed (u32 big-endian)\n"
        "  --key-delimiter D     lines: the key is what stands before the first D\n"
        "  --key-field F         ndjson: the key is this member of the object\n"
        "  --skip-bad            ndjson, records: pass over bad lines, and count them\n"
        "  --lanes N             1 (default) keeps all in order; a key's records are in order "
        "always\n"
        "  --producer-id ID      32 hexadecimal digits, or file:PATH\n"
        "  --state FILE          remember how far it got\n"
        "  --resume              go on where FILE ends, without duplicates (begins it if need be)\n"
        "  --receipts FILE       append to a ledger for 'penstock audit'\n"
        "  --rate N              records a second at most\n"
        "  --max-record SIZE     larger records are refused here; 900KiB unless given\n"
        "  --timeout D           give up when no record gets its fate for so long; 30s\n"
        "  --quiet, --progress   say errors only; progress even without a terminal\n"
        "  --json                the account at the end for programs\n\n"
        "Exit: 0 every record is durable, or dropped by a rule; 1 some were refused or lost, 64 "
        "usage,\n"
        "      65 the input is not what --format says, 66 it cannot be read, 69 no such host, no "
        "way\n"
        "      to it, or no progress for --timeout, 73 the state, the receipts or the id's file "
        "cannot\n"
        "      be opened or written, 78 the state is damaged, 130 and 143 stopped by a signal.\n",
    .run = run,
};
