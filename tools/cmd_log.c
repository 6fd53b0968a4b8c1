#include "tools/command.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "tools/lane_json.h"
#include "tools/log_verify.h"
#include "tools/segment_paths.h"

enum { LOG_DAMAGED = 1 };

/* ------------------------------------------------------------------------------- inspect */

static void nonce_text(struct log_id id, char out[2 * LOG_ID_BYTES + 1])
{
    for (size_t i = 0; i < LOG_ID_BYTES; i++) { snprintf(out + 2 * i, 3, "%02x", id.bytes[i]); }
}

/* Text of a file that is no UTF-8 would make jansson refuse the whole value. */
static json_t *text_json(const char *text)
{
    json_t *const value = json_string(text);
    return value != NULL ? value : json_string("?");
}

static json_t *header_json(const struct segment_scan *scan)
{
    const struct segment_header *const header = segment_scan_header(scan);
    char log_id[2 * LOG_ID_BYTES + 1];
    char nonce[2 * LOG_ID_BYTES + 1];
    nonce_text(header->log_id, log_id);
    nonce_text(header->nonce, nonce);
    return json_pack(
        "{s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rebuilt",
        segment_scan_header_is_rebuilt(scan), "log_id", log_id, "nonce", nonce, "partition",
        (json_int_t)header->partition, "number", (json_int_t)header->number, "capacity_bytes",
        (json_int_t)header->capacity_bytes, "incarnation", (json_int_t)header->incarnation,
        "leader_epoch", (json_int_t)header->leader_epoch, "first_commit",
        (json_int_t)header->first_commit_number, "predecessor_commit",
        (json_int_t)header->predecessor_commit_number, "created_wall_ms",
        (json_int_t)header->created_wall_ms);
}

static json_t *topic_json(const struct topic_declaration *topic)
{
    char name[LOG_TOPIC_NAME_BYTES_MAX + 1] = {0};
    memcpy(name, topic->name.at, topic->name.len_bytes);
    return json_pack("{s:i, s:o, s:I, s:I}", "topic", (int)topic->topic, "name", text_json(name),
                     "base_offset", (json_int_t)topic->base_offset, "next_offset",
                     (json_int_t)topic->next_offset);
}

static json_t *entry_json(struct bytes commit, const struct entry *entry)
{
    json_t *const out = json_pack(
        "{s:i, s:i, s:i, s:I, s:I, s:I, s:I}", "type", (int)entry->type, "flags", (int)entry->flags,
        "topic", (int)entry->topic, "base_offset", (json_int_t)entry->base_offset, "records",
        (json_int_t)entry->record_count, "position", (json_int_t)entry->position, "bytes",
        (json_int_t)entry->length_bytes);
    struct bytes bytes;
    const bool holds = entry_bytes(commit, entry, &bytes) == STATUS_OK;
    json_object_set_new(out, "holds", json_boolean(holds));
    if (entry->type == ENTRY_TOPICS && holds) {
        json_t *const topics = json_array();
        struct topic_declaration topic;
        while (topic_declaration_decode(&bytes, &topic) == STATUS_OK) {
            json_array_append_new(topics, topic_json(&topic));
        }
        json_object_set_new(out, "topics", topics);
    }
    if (entry->type == ENTRY_LANES && holds) {
        json_object_set_new(out, "lanes", lane_json_of_entry(bytes));
    }
    return out;
}

static json_t *commit_json(const struct scanned_commit *commit)
{
    const struct commit_header *const header = &commit->header;
    json_t *const entries = json_array();
    uint64_t records = 0;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type == ENTRY_RECORDS) { records += entry.record_count; }
        json_array_append_new(entries, entry_json(commit->bytes, &entry));
    }
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:o}", "number", (json_int_t)header->number,
        "position", (json_int_t)commit->position, "bytes", (json_int_t)header->length_bytes,
        "records", (json_int_t)records, "durable_number", (json_int_t)header->durable_number,
        "wall_ms", (json_int_t)header->wall_ms, "lane_checkpoint",
        (json_int_t)header->lane_checkpoint, "footer", (header->flags & COMMIT_FLAG_FOOTER) != 0,
        "watermark", (header->flags & COMMIT_FLAG_WATERMARK) != 0, "entries", entries);
}

static json_t *commits_json(struct segment_scan *scan)
{
    json_t *const commits = json_array();
    struct scanned_commit commit;
    enum scan_result result = segment_scan_next(scan, &commit);
    while (result != SCAN_END) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (result != SCAN_COMMIT) {
            json_array_append_new(commits, json_pack("{s:s, s:I}", "bad",
                                                     result == SCAN_IO ? "unreadable" : "damaged",
                                                     "position", (json_int_t)commit.position));
        }
        if (known) { json_array_append_new(commits, commit_json(&commit)); }
        result = known ? segment_scan_next(scan, &commit) : segment_scan_resync(scan, &commit);
        if (!known && result == SCAN_COMMIT) {
            json_array_append_new(commits, commit_json(&commit));
            result = segment_scan_next(scan, &commit);
        }
    }
    return commits;
}

/* NULL when it cannot be read; *why says so. */
static json_t *segment_json(const char *path, enum status *why)
{
    const struct files files = segment_paths_files();
    int file;
    uint64_t size_bytes;
    *why = files_open(files, path, FILES_READ, &file, &size_bytes);
    if (*why != STATUS_OK) { return NULL; }

    struct segment_scan *scan = NULL;
    struct segment_trailer trailer;
    json_t *out =
        json_pack("{s:o, s:I}", "path", text_json(path), "size_bytes", (json_int_t)size_bytes);
    *why = segment_scan_create(files, file, size_bytes, &scan);
    if (*why == STATUS_OK) {
        json_object_set_new(out, "header", header_json(scan));
        json_object_set_new(out, "trailer",
                            text_json(status_text(segment_scan_trailer(scan, &trailer))));
        json_object_set_new(out, "commits", commits_json(scan));
    } else if (*why == STATUS_NOT_FOUND) {
        json_object_set_new(out, "spare", json_true());
        *why = STATUS_OK;
    }
    segment_scan_destroy(scan);
    files_close(files, file);
    if (*why != STATUS_OK) {
        json_decref(out);
        out = NULL;
    }
    return out;
}

static long long field(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void commit_print(const json_t *commit)
{
    const char *const bad = json_string_value(json_object_get(commit, "bad"));
    if (bad != NULL) {
        printf("  %-10s at %lld\n", bad, field(commit, "position"));
        return;
    }
    const bool footer = json_is_true(json_object_get(commit, "footer"));
    const bool watermark = json_is_true(json_object_get(commit, "watermark"));
    printf("  commit %lld at %lld: %lld bytes, %lld records, wall %lld ms%s%s\n",
           field(commit, "number"), field(commit, "position"), field(commit, "bytes"),
           field(commit, "records"), field(commit, "wall_ms"), footer ? ", footer" : "",
           watermark ? ", watermark" : "");
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(commit, "entries"), i, entry)
    {
        const bool holds = json_is_true(json_object_get(entry, "holds"));
        if (field(entry, "type") == ENTRY_RECORDS) {
            printf("    topic %lld: offsets %lld..%lld, %lld bytes%s\n", field(entry, "topic"),
                   field(entry, "base_offset"),
                   field(entry, "base_offset") + field(entry, "records") - 1, field(entry, "bytes"),
                   holds ? "" : "  DAMAGED");
        }
        if (field(entry, "type") == ENTRY_LANES) { lane_json_print(entry); }
        size_t j;
        const json_t *topic;
        json_array_foreach(json_object_get(entry, "topics"), j, topic)
        {
            printf("    topic %lld is %s, next offset %lld\n", field(topic, "topic"),
                   json_string_value(json_object_get(topic, "name")), field(topic, "next_offset"));
        }
    }
}

static void segment_print(const json_t *segment)
{
    const json_t *const header = json_object_get(segment, "header");
    printf("%s:\n", json_string_value(json_object_get(segment, "path")));
    if (header == NULL) {
        printf("  prepared, never opened\n");
        return;
    }
    printf("  segment %lld of partition %lld, nonce %s, capacity %lld bytes%s\n",
           field(header, "number"), field(header, "partition"),
           json_string_value(json_object_get(header, "nonce")), field(header, "capacity_bytes"),
           json_is_true(json_object_get(header, "rebuilt")) ? ", header rebuilt" : "");
    printf("  incarnation %lld, leader epoch %lld, continues commit %lld, trailer: %s\n",
           field(header, "incarnation"), field(header, "leader_epoch"),
           field(header, "predecessor_commit"),
           json_string_value(json_object_get(segment, "trailer")));
    size_t i;
    const json_t *commit;
    json_array_foreach(json_object_get(segment, "commits"), i, commit) { commit_print(commit); }
}

/* A segment of a format that this build does not know: by its number. */
static void tell_version(const char *path)
{
    uint8_t block[256] = {0};
    FILE *const file = fopen(path, "rb");
    const size_t read_bytes = file != NULL ? fread(block, 1, sizeof block, file) : 0;
    if (file != NULL) { fclose(file); }
    fprintf(stderr,
            "penstock log: %s: format version %u, this build knows version %d: use the release "
            "that wrote it\n",
            path, segment_header_version(bytes_of(block, read_bytes)), LOG_FORMAT_VERSION);
}

static int unreadable(const char *path, enum status why)
{
    if (why == STATUS_UNSUPPORTED) {
        tell_version(path);
        return EX_NOINPUT;
    }
    fprintf(stderr, "penstock log: %s: %s%s%s\n", path, status_text(why),
            why == STATUS_IO ? ": " : "", why == STATUS_IO ? strerror(errno) : "");
    return EX_NOINPUT;
}

static int inspect(const struct segment_paths *paths, bool json)
{
    json_t *const segments = json_array();
    int code = EX_OK;
    for (size_t i = 0; i < paths->count; i++) {
        enum status why;
        json_t *const segment = segment_json(paths->at[i].path, &why);
        if (segment == NULL) {
            code = unreadable(paths->at[i].path, why);
            continue;
        }
        if (!json) { segment_print(segment); }
        json_array_append_new(segments, segment);
        if (!json) { json_array_clear(segments); } /* a log of a terabyte: one at a time */
    }
    if (json) {
        json_dumpf(segments, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(segments);
    return code;
}

/* -------------------------------------------------------------------------------- verify */

struct verifying {
    bool json;
    const char *path;
    json_t *damages; /* of the segment */
};

static void on_damage(void *context, const struct log_damage *damage)
{
    const struct verifying *const verifying = context;
    if (!verifying->json) {
        printf("%s: DAMAGE at bytes %llu..%llu: %s\n", verifying->path,
               (unsigned long long)damage->begin, (unsigned long long)damage->end, damage->what);
        return;
    }
    json_array_append_new(verifying->damages,
                          json_pack("{s:I, s:I, s:s}", "begin", (json_int_t)damage->begin, "end",
                                    (json_int_t)damage->end, "what", damage->what));
}

static void verified_print(const char *path, const struct log_verified *verified)
{
    if (verified->spare) {
        printf("%s: prepared, never opened\n", path);
        return;
    }
    printf("%s: %s: %llu commits, %llu records, ", path, verified->damages == 0 ? "ok" : "DAMAGED",
           (unsigned long long)verified->commits, (unsigned long long)verified->records);
    if (verified->sealed) {
        printf("sealed\n");
    } else {
        printf("not sealed, ends at %llu\n", (unsigned long long)verified->tail_position);
    }
}

static json_t *verified_json(const struct verifying *verifying, const struct log_verified *verified)
{
    return json_pack("{s:o, s:b, s:b, s:b, s:I, s:I, s:I, s:O}", "path", text_json(verifying->path),
                     "ok", verified->damages == 0, "sealed", verified->sealed, "spare",
                     verified->spare, "commits", (json_int_t)verified->commits, "records",
                     (json_int_t)verified->records, "tail_position",
                     (json_int_t)verified->tail_position, "damages", verifying->damages);
}

static int verify(const struct segment_paths *paths, bool json)
{
    static struct log_verify log; /* large: not on a stack */
    struct verifying verifying = {.json = json};
    json_t *const segments = json_array();
    int code = EX_OK;
    log.files = segment_paths_files();
    log.on_damage = on_damage;
    log.context = &verifying;
    for (size_t i = 0; i < paths->count; i++) {
        struct log_verified verified;
        if (i == 0 || !segment_paths_same_log(&paths->at[i], &paths->at[i - 1])) {
            log_verify_forget(&log);
        }
        verifying.path = paths->at[i].path;
        verifying.damages = json_array();
        const enum status status = log_verify_segment(
            &log, verifying.path, segment_paths_last_number(paths, i), &verified);
        if (status != STATUS_OK) {
            code = unreadable(verifying.path, status);
        } else {
            if (verified.damages > 0 && code == EX_OK) { code = LOG_DAMAGED; }
            if (json) { json_array_append_new(segments, verified_json(&verifying, &verified)); }
            if (!json) { verified_print(verifying.path, &verified); }
        }
        json_decref(verifying.damages);
    }
    if (json) {
        json_dumpf(segments, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(segments);
    return code;
}

/* ---------------------------------------------------------------------------------- command */

static int run(const struct command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool json = false;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int option; (option = getopt_long(argc, argv, "jh", options, NULL)) != -1;) {
        if (option == 'h') { return command_help(command); }
        if (option != 'j') { return command_misused(command); }
        json = true;
    }
    if (argc - optind < 2) { return command_misused(command); }
    const char *const verb = argv[optind];
    const bool verifies = strcmp(verb, "verify") == 0;
    if (!verifies && strcmp(verb, "inspect") != 0) { return command_misused(command); }

    struct segment_paths paths = {0};
    int code = EX_OK;
    for (int i = optind + 1; i < argc && code == EX_OK; i++) {
        const enum status status = segment_paths_add(&paths, argv[i]);
        if (status != STATUS_OK) { code = unreadable(argv[i], status); }
    }
    segment_paths_sort(&paths);
    if (code == EX_OK) { code = verifies ? verify(&paths, json) : inspect(&paths, json); }
    segment_paths_free(&paths);
    return code;
}

const struct command command_log = {
    .name = "log",
    .arguments = "inspect|verify PATH... [--json]",
    .summary = "Look into the logs on disk, or check every byte of them",
    .help =
        "  inspect  what is in there: headers, commits, footers\n"
        "  verify   whether every checksum, chain and offset holds\n"
        "  --json   for programs\n\n"
        "PATH is a segment, a partition's directory, or a storage path. Reads only, by O_DIRECT,\n"
        "also below a running node: the end of an open segment is not damage.\n\n"
        "Exit: 0 all good, 1 damage found, 64 usage, 66 something cannot be read.\n",
    .run = run,
};
