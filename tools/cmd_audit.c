#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/config.h"
#include "tools/audit.h"
#include "tools/command.h"
#include "tools/json_text.h"

enum { OPTION_HELP = 'h', OPTION_STORAGE = 256, OPTION_JSON, ID_TEXT_BYTES = 33 };

struct audit_output {
    bool json;
    json_t *findings; /* JSON only */
};

/* -------------------------------------------------------------------------------------- findings
 */

static const char *fate_text(uint8_t fate)
{
    switch (fate) {
    case NATIVE_STORED: return "stored";
    case NATIVE_DROPPED: return "dropped";
    case NATIVE_LOST: return "lost";
    case NATIVE_TOO_LARGE: return "refused (too large)";
    case NATIVE_NO_TOPIC: return "refused (no topic)";
    case NATIVE_NOT_ALLOWED: return "refused (not allowed)";
    case NATIVE_QUOTA: return "refused (quota)";
    case NATIVE_MALFORMED_RECORD: return "refused (malformed)";
    default: return fate < NATIVE_REFUSED ? "dropped (unknown)" : "refused (unknown)";
    }
}

static void print_piece(const struct audit_piece *piece)
{
    printf("partition %" PRIu32 ", segment %016" PRIx64 ", commit %" PRIu64, piece->partition,
           piece->segment, piece->commit);
}

static void print_range(const struct audit_finding *finding)
{
    if (finding->kind == AUDIT_UNREADABLE) {
        printf("%s at byte %" PRIu64 ": cannot be read", finding->path, finding->position);
    } else if (finding->first == finding->last) {
        printf("lane %" PRIu32 ", sequence %" PRIu64 ": ", finding->lane, finding->first);
    } else {
        printf("lane %" PRIu32 ", sequences %" PRIu64 "..%" PRIu64 ": ", finding->lane,
               finding->first, finding->last);
    }
}

static void print_finding(const struct audit_finding *finding)
{
    print_range(finding);
    switch (finding->kind) {
    case AUDIT_MISSING: printf("acknowledged, and not in the log"); break;
    case AUDIT_GAP: printf("not in the log, though later ones are"); break;
    case AUDIT_TWICE: printf("in the log twice"); break;
    case AUDIT_ORDER: printf("not in order"); break;
    case AUDIT_FATE:
        printf("acknowledged as %s, and %s in the log", fate_text(finding->told),
               fate_text(finding->found));
        break;
    case AUDIT_PLACE: printf("told of as stored, and the records are not in the commit"); break;
    case AUDIT_RECORDS: printf("the records in the log are not those that were received"); break;
    case AUDIT_RECEIPT: printf("what was received is not what was sent"); break;
    case AUDIT_RECEIPTS: printf("acknowledged twice"); break;
    case AUDIT_UNREADABLE:
    case AUDIT_KIND_COUNT: break;
    }
    if (finding->piece != NULL) {
        printf(" (");
        print_piece(finding->piece);
        if (finding->other != NULL) {
            printf("; ");
            print_piece(finding->other);
        }
        printf(")");
    }
    putchar('\n');
}

static json_t *piece_json(const struct audit_piece *piece)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "partition", (json_int_t)piece->partition,
                     "segment", (json_int_t)piece->segment, "commit", (json_int_t)piece->commit,
                     "first", (json_int_t)piece->first, "last", (json_int_t)piece->last);
}

static json_t *finding_json(const struct audit_finding *finding)
{
    json_t *const out = json_pack("{s:s}", "kind", audit_kind_text(finding->kind));
    if (finding->kind == AUDIT_UNREADABLE) {
        json_object_set_new(out, "path", json_text_of(finding->path, strlen(finding->path)));
        json_object_set_new(out, "position", json_integer((json_int_t)finding->position));
        return out;
    }
    json_object_set_new(out, "lane", json_integer((json_int_t)finding->lane));
    json_object_set_new(out, "first", json_integer((json_int_t)finding->first));
    json_object_set_new(out, "last", json_integer((json_int_t)finding->last));
    if (finding->kind == AUDIT_FATE) {
        json_object_set_new(out, "acknowledged", json_string(fate_text(finding->told)));
        json_object_set_new(out, "found", json_string(fate_text(finding->found)));
    }
    json_t *const commits = json_array();
    if (finding->piece != NULL) { json_array_append_new(commits, piece_json(finding->piece)); }
    if (finding->other != NULL) { json_array_append_new(commits, piece_json(finding->other)); }
    json_object_set_new(out, "commits", commits);
    return out;
}

static void on_finding(void *context, const struct audit_finding *finding)
{
    const struct audit_output *const output = context;
    if (output->json) {
        json_array_append_new(output->findings, finding_json(finding));
    } else {
        print_finding(finding);
    }
}

/* --------------------------------------------------------------------------------------- summary
 */

static const char *id_text(const struct native_producer_id *id, char out[ID_TEXT_BYTES])
{
    for (size_t i = 0; i < sizeof id->bytes; i++) {
        snprintf(out + 2 * i, 3, "%02x", id->bytes[i]);
    }
    return out;
}

static void print_text(const struct audit *audit)
{
    char id[ID_TEXT_BYTES];
    printf("producer %s: %zu lanes, %" PRIu64 " records acknowledged: %" PRIu64
           " in the log, %" PRIu64 " expired; %" PRIu64 " under a hash that was compared",
           id_text(&audit->producer, id), audit->lane_count, audit->acknowledged, audit->present,
           audit->expired, audit->proven);
    if (audit->without_receipt > 0) {
        printf("; %" PRIu64 " more in the log without a receipt", audit->without_receipt);
    }
    printf("\n");
    if (audit->ledger_is_torn) {
        printf("the ledger's last entry, at byte %" PRIu64 ", is torn, and was left out\n",
               audit->ledger_position);
    }
    if (audit->findings > 0 && audit->receipts > 0) {
        printf("%" PRIu64 " findings: NOT every acknowledged record is here\n", audit->findings);
    } else if (audit->receipts == 0) {
        printf("no receipts in it: nothing is known as acknowledged, and nothing was compared\n");
    } else if (audit->expired > 0) {
        printf("every acknowledged record is here exactly once, in order, or has expired\n");
    } else {
        printf("every acknowledged record is here exactly once, in order\n");
    }
}

static void print_json(const struct audit *audit, json_t *findings)
{
    char id[ID_TEXT_BYTES];
    json_t *const report = json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:O}", "producer_id",
        id_text(&audit->producer, id), "good", audit->findings == 0, "lanes",
        (json_int_t)audit->lane_count, "receipts", (json_int_t)audit->receipts, "acknowledged",
        (json_int_t)audit->acknowledged, "present", (json_int_t)audit->present, "expired",
        (json_int_t)audit->expired, "proven", (json_int_t)audit->proven, "without_receipt",
        (json_int_t)audit->without_receipt, "commits", (json_int_t)audit->commits, "ledger_is_torn",
        audit->ledger_is_torn, "findings", findings);
    json_dumpf(report, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(report);
}

/* --------------------------------------------------------------------------------------- command
 */

static int unreadable(const char *path, enum status why)
{
    const bool has_errno = why == STATUS_IO || why == STATUS_NOT_FOUND;
    fprintf(stderr, "penstock audit: %s: %s\n", path,
            has_errno && errno != 0 ? strerror(errno) : status_text(why));
    return COMMAND_UNREADABLE;
}

/* Where the logs lie: the arguments of --storage and those behind the ledger, or a configuration.
 */
struct audit_places {
    const char *config_path;
    char **storages;
    int storage_count;
    char **more;
    int more_count;
};

static bool add_storage(struct segment_paths *paths, const char *path, int *out_code)
{
    const enum status status = segment_paths_add(paths, path);
    if (status == STATUS_OK) { return true; }
    *out_code = unreadable(path, status);
    return false;
}

static bool add_configured(struct segment_paths *paths, const char *config_path, int *out_code)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    struct config *const config = config_load(config_path, diagnostics);
    bool good = config != NULL;
    if (!good) {
        diagnostics_print(diagnostics, stderr);
        *out_code = command_can_read(config_path) ? COMMAND_BAD_FILE : COMMAND_UNREADABLE;
    }
    for (size_t i = 0; good && i < config->storage.paths.count; i++) {
        good = add_storage(paths, config->storage.paths.items[i], out_code);
    }
    config_destroy(config);
    diagnostics_destroy(diagnostics);
    return good;
}

static bool add_all(struct segment_paths *paths, const struct audit_places *places, int *out_code)
{
    bool good = places->config_path == NULL || add_configured(paths, places->config_path, out_code);
    for (int i = 0; good && i < places->storage_count; i++) {
        good = add_storage(paths, places->storages[i], out_code);
    }
    for (int i = 0; good && i < places->more_count; i++) {
        good = add_storage(paths, places->more[i], out_code);
    }
    segment_paths_sort(paths);
    return good;
}

static int read_ledger(struct audit *audit, const char *path)
{
    const enum status status = audit_read_ledger(audit, path);
    if (status == STATUS_OK) { return COMMAND_OK; }
    if (status != STATUS_CORRUPT && status != STATUS_UNSUPPORTED) {
        return unreadable(path, status);
    }
    if (status == STATUS_UNSUPPORTED) {
        fprintf(stderr, "penstock audit: %s: a ledger of a later version\n", path);
    } else if (audit->ledger_position == 0) {
        fprintf(stderr, "penstock audit: %s: not a ledger of receipts, or its header is damaged\n",
                path);
    } else {
        fprintf(stderr,
                "penstock audit: %s: damaged at byte %" PRIu64 "; good receipts before it: %" PRIu64
                "\n",
                path, audit->ledger_position, audit->receipts);
    }
    return COMMAND_BAD_DATA;
}

static void tell_no_segment(const struct audit_places *places)
{
    fprintf(stderr, "penstock audit: no segment of a log in");
    if (places->config_path != NULL) { fprintf(stderr, " the storage of %s", places->config_path); }
    for (int i = 0; i < places->storage_count; i++) { fprintf(stderr, " %s", places->storages[i]); }
    for (int i = 0; i < places->more_count; i++) { fprintf(stderr, " %s", places->more[i]); }
    fputc('\n', stderr);
}

/* The ledger first: what it tells of is in the segments that are there afterwards. */
static int read_all(struct audit *audit, const char *ledger, const struct audit_places *places)
{
    struct segment_paths paths = {0};
    const char *path = NULL;
    int code = read_ledger(audit, ledger);
    if (code == COMMAND_OK && add_all(&paths, places, &code) && paths.count == 0) {
        tell_no_segment(places);
        code = COMMAND_UNREADABLE;
    }
    if (code == COMMAND_OK) {
        const enum status status = audit_read_logs(audit, &paths, &path);
        if (status != STATUS_OK) { code = unreadable(path, status); }
    }
    segment_paths_free(&paths);
    return code;
}

static int audit_files(const char *ledger, const struct audit_places *places, bool json)
{
    struct audit_output output = {.json = json, .findings = json_array()};
    struct audit audit = {.on_finding = on_finding, .context = &output};
    int code = read_all(&audit, ledger, places);
    if (code == COMMAND_OK) {
        audit_judge(&audit);
        if (json) {
            print_json(&audit, output.findings);
        } else {
            print_text(&audit);
        }
        if (audit.findings > 0) { code = COMMAND_FINDING; }
    }
    json_decref(output.findings);
    audit_deinit(&audit);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"storage", required_argument, NULL, OPTION_STORAGE},
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    struct audit_places places = {.storages = allocate_zeroed((size_t)argc, sizeof(char *))};
    bool json = false;
    int code = -1;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; code < 0 && (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': places.config_path = optarg; break;
        case OPTION_STORAGE: places.storages[places.storage_count++] = optarg; break;
        case OPTION_JSON: json = true; break;
        case OPTION_HELP: code = command_help(command); break;
        default: code = command_misused(command); break;
        }
    }
    const bool stored = places.storage_count > 0;
    places.more = argv + optind + 1;
    places.more_count = argc - optind - 1;
    if (code < 0 && (places.more_count < 0 || (places.config_path != NULL) == stored ||
                     (places.more_count > 0 && !stored))) {
        code = command_misused(command);
    }
    if (code < 0) { code = audit_files(argv[optind], &places, json); }
    free(places.storages);
    return code;
}

const struct command command_audit = {
    .name = "audit",
    .arguments = "LEDGER (-c FILE | --storage DIR...) [--json]",
    .summary = "Prove that what a producer was told is in the log",
    .help =
        "  LEDGER         receipts, as 'penstock send --receipts' or a program of libpenstock "
        "writes\n"
        "  -c FILE        the node's configuration: its storage paths\n"
        "  --storage DIR  a storage path, a partition's directory or a segment; all of the node's\n"
        "  --json         for programs\n\n"
        "Compares every receipt with the lanes in the logs, and the hashes of both with the "
        "records\n"
        "that are stored. Reads only, also below a running node.\n\n"
        "Exit: 0 every acknowledged record is there exactly once, in order, or has expired; 1 "
        "holes,\n"
        "      64 usage, 65 the ledger is damaged, 66 something cannot be read, or there is no "
        "segment,\n"
        "      78 configuration.\n",
    .run = run,
};
