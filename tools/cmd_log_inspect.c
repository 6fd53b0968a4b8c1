#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/endian.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "tools/human.h"
#include "tools/json_text.h"
#include "tools/lane_json.h"
#include "tools/log_command.h"
#include "tools/log_output.h"
#include "tools/log_places.h"
#include "tools/record_json.h"
#include "tools/stored_batch.h"
#include "wire/stats_page.h"

enum detail { DETAIL_SEGMENTS, DETAIL_COMMITS, DETAIL_ENTRIES, DETAIL_RECORDS };

enum { VALUE_SHOWN_BYTES = 64 }; /* of a record, for people */

struct inspect_options {
    const char *config_path;
    const char *topic; /* NULL: all */
    uint64_t from;
    uint64_t to; /* offsets below it */
    enum detail detail;
    bool json;
};

/* What a segment holds of a topic. */
struct topic_sum {
    char name[LOG_TOPIC_NAME_BYTES_MAX + 1];
    uint64_t base_offset; /* as declared */
    uint64_t next_offset;
    uint64_t first_offset; /* of what is there */
    uint64_t last_offset;
    uint64_t records;
    uint64_t batches;
    uint64_t bytes;
    bool declared;
};

struct inspecting {
    const struct inspect_options *options;
    struct log_array segments;
    struct log_array commits; /* of the segment */
    struct topic_sum topics[LOG_TOPICS_MAX];
    uint64_t commit_count;
    uint64_t record_count;
    uint64_t bad_count;
};

static const char *entry_type_text(uint16_t type)
{
    switch (type) {
    case ENTRY_RECORDS: return "records";
    case ENTRY_TOPICS: return "topics";
    case ENTRY_TOTALS: return "totals";
    case ENTRY_INDEX: return "index";
    case ENTRY_LANES: return "lanes";
    default: return "unknown";
    }
}

static const char *name_of(const struct inspecting *inspecting, int32_t topic)
{
    if (topic < 0 || topic >= LOG_TOPICS_MAX) { return ""; }
    return inspecting->topics[topic].name;
}

/* Of entries: with a topic chosen, only its own; with offsets, those that hold some of them. */
static bool entry_is_wanted(const struct inspecting *inspecting, const struct entry *entry)
{
    const struct inspect_options *const options = inspecting->options;
    const bool all = options->topic == NULL && options->from == 0 && options->to == UINT64_MAX;
    if (entry->type != ENTRY_RECORDS) { return all; }
    if (options->topic != NULL && strcmp(name_of(inspecting, entry->topic), options->topic) != 0) {
        return false;
    }
    return entry->base_offset < options->to &&
           entry->base_offset + entry->record_count > options->from;
}

/* ---------------------------------------------------------------------------------- the topics */

static void topics_declare(struct inspecting *inspecting, struct bytes declarations)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        struct topic_sum *const sum = &inspecting->topics[topic.topic];
        memcpy(sum->name, topic.name.at, topic.name.len_bytes);
        sum->name[topic.name.len_bytes] = '\0';
        if (!sum->declared) { sum->base_offset = topic.base_offset; }
        sum->next_offset = topic.next_offset;
        sum->declared = true;
    }
}

static void topic_add(struct inspecting *inspecting, int32_t topic, uint64_t base_offset,
                      uint32_t record_count, uint32_t length_bytes)
{
    inspecting->record_count += record_count;
    if (topic < 0 || topic >= LOG_TOPICS_MAX || record_count == 0) { return; }
    struct topic_sum *const sum = &inspecting->topics[topic];
    if (sum->batches == 0) { sum->first_offset = base_offset; }
    sum->last_offset = base_offset + record_count - 1;
    if (sum->next_offset <= sum->last_offset) { sum->next_offset = sum->last_offset + 1; }
    sum->records += record_count;
    sum->batches++;
    sum->bytes += length_bytes;
}

static json_t *declaration_json(const struct topic_declaration *topic)
{
    char id[2 * LOG_ID_BYTES + 1];
    log_id_text(topic->topic_id, id);
    return json_pack("{s:i, s:o, s:s, s:o, s:o}", "topic", (int)topic->topic, "name",
                     json_text_of((const char *)topic->name.at, topic->name.len_bytes), "id", id,
                     "base_offset", log_number_json(topic->base_offset), "next_offset",
                     log_number_json(topic->next_offset));
}

static json_t *topics_json(const struct inspecting *inspecting)
{
    json_t *const out = json_array();
    for (int32_t i = 0; i < LOG_TOPICS_MAX; i++) {
        const struct topic_sum *const sum = &inspecting->topics[i];
        if (!sum->declared && sum->batches == 0) { continue; }
        if (inspecting->options->topic != NULL &&
            strcmp(sum->name, inspecting->options->topic) != 0) {
            continue;
        }
        json_t *const topic = json_pack(
            "{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "topic", (int)i, "name",
            json_text_of(sum->name, sizeof sum->name), "base_offset",
            log_number_json(sum->base_offset), "next_offset", log_number_json(sum->next_offset),
            "records", log_number_json(sum->records), "batches", log_number_json(sum->batches),
            "bytes", log_number_json(sum->bytes));
        if (sum->batches > 0) {
            json_object_set_new(topic, "first_offset", log_number_json(sum->first_offset));
            json_object_set_new(topic, "last_offset", log_number_json(sum->last_offset));
        }
        json_array_append_new(out, topic);
    }
    return out;
}

/* --------------------------------------------------------------------------------- the entries */

static json_t *records_json(const struct inspecting *inspecting, struct bytes bytes,
                            const struct entry *entry)
{
    json_t *const out = json_array();
    struct stored_batch batch;
    struct record_batch_record record;
    if (stored_batch_open(&batch, bytes, entry->base_offset, entry->record_count) != NULL) {
        return out;
    }
    while (stored_batch_next(&batch, &record) == STATUS_OK) {
        const uint64_t offset = (uint64_t)record.offset;
        if (offset < inspecting->options->from || offset >= inspecting->options->to) { continue; }
        json_t *const value = json_object();
        const bool holds = record_json_encode(&record, RECORD_UTF8, value);
        json_object_set_new(value, "holds", json_boolean(holds));
        json_array_append_new(out, value);
    }
    stored_batch_close(&batch);
    return out;
}

static json_t *totals_json(struct bytes totals)
{
    json_t *const out = json_object();
    for (size_t i = 0; i < STATS_COUNTER_COUNT && (i + 1) * 8 <= totals.len_bytes; i++) {
        const uint64_t total = load_le64(totals.at + i * 8);
        if (total > 0) {
            json_object_set_new(out, stats_counter_facts[i].name, log_number_json(total));
        }
    }
    return out;
}

static void contents_json(const struct inspecting *inspecting, const struct entry *entry,
                          struct bytes bytes, json_t *out)
{
    if (entry->type == ENTRY_TOPICS) {
        json_t *const topics = json_array();
        struct topic_declaration topic;
        while (topic_declaration_decode(&bytes, &topic) == STATUS_OK) {
            json_array_append_new(topics, declaration_json(&topic));
        }
        json_object_set_new(out, "topics", topics);
        json_object_set_new(out, "offsets_skipped",
                            json_boolean((entry->flags & ENTRY_FLAG_OFFSETS_SKIPPED) != 0));
    } else if (entry->type == ENTRY_LANES) {
        json_object_set_new(out, "lanes", lane_json_of_entry(bytes));
    } else if (entry->type == ENTRY_TOTALS) {
        json_object_set_new(out, "totals", totals_json(bytes));
    } else if (entry->type == ENTRY_RECORDS && inspecting->options->detail == DETAIL_RECORDS) {
        json_object_set_new(out, "contents", records_json(inspecting, bytes, entry));
    }
}

static json_t *entry_json(const struct inspecting *inspecting, struct bytes commit,
                          const struct entry *entry)
{
    json_t *const out =
        json_pack("{s:i, s:s, s:i, s:i, s:o, s:I, s:I, s:I, s:I, s:I}", "type", (int)entry->type,
                  "name", entry_type_text(entry->type), "flags", (int)entry->flags, "topic",
                  (int)entry->topic, "base_offset", log_number_json(entry->base_offset), "records",
                  (json_int_t)entry->record_count, "max_timestamp",
                  (json_int_t)entry->max_timestamp_ms, "position", (json_int_t)entry->position,
                  "bytes", (json_int_t)entry->length_bytes, "crc32c", (json_int_t)entry->crc32c);
    struct bytes bytes;
    const bool holds = entry_bytes(commit, entry, &bytes) == STATUS_OK;
    json_object_set_new(out, "holds", json_boolean(holds));
    if (entry->type == ENTRY_RECORDS) {
        json_object_set_new(
            out, "topic_name",
            json_text_of(name_of(inspecting, entry->topic), LOG_TOPIC_NAME_BYTES_MAX));
    }
    if (holds) { contents_json(inspecting, entry, bytes, out); }
    return out;
}

/* --------------------------------------------------------------------------------- the commits */

static json_t *commit_json(const struct inspecting *inspecting, const struct scanned_commit *commit,
                           uint64_t records, json_t *entries)
{
    const struct commit_header *const header = &commit->header;
    json_t *const out = json_pack(
        "{s:o, s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:I, s:b, s:b}", "number",
        log_number_json(header->number), "position", log_number_json(commit->position), "bytes",
        (json_int_t)header->length_bytes, "records", log_number_json(records), "durable_number",
        log_number_json(header->durable_number), "wall_ms", (json_int_t)header->wall_ms,
        "lane_checkpoint", log_number_json(header->lane_checkpoint), "incarnation",
        log_number_json(header->incarnation), "rules_epoch", log_number_json(header->rules_epoch),
        "crc32c", (json_int_t)header->crc32c, "previous_crc32c",
        (json_int_t)header->previous_crc32c, "footer", (header->flags & COMMIT_FLAG_FOOTER) != 0,
        "watermark", (header->flags & COMMIT_FLAG_WATERMARK) != 0);
    if (inspecting->options->detail >= DETAIL_ENTRIES) {
        json_object_set_new(out, "entries", entries);
    } else {
        json_decref(entries);
    }
    return out;
}

static void bytes_print(struct bytes bytes)
{
    if (bytes_are_null(bytes)) {
        printf("null");
        return;
    }
    putchar('"');
    for (size_t i = 0; i < bytes.len_bytes && i < VALUE_SHOWN_BYTES; i++) {
        const uint8_t byte = bytes.at[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
            putchar(byte);
        } else {
            printf("\\x%02x", byte);
        }
    }
    printf(bytes.len_bytes > VALUE_SHOWN_BYTES ? "\"..." : "\"");
}

static void records_print(const struct inspecting *inspecting, struct bytes bytes,
                          const struct entry *entry)
{
    struct stored_batch batch;
    struct record_batch_record record;
    const char *const fault =
        stored_batch_open(&batch, bytes, entry->base_offset, entry->record_count);
    if (fault != NULL) {
        printf("      DAMAGED: %s\n", fault);
        return;
    }
    while (stored_batch_next(&batch, &record) == STATUS_OK) {
        const uint64_t offset = (uint64_t)record.offset;
        char time[LOG_TIME_BYTES];
        if (offset < inspecting->options->from || offset >= inspecting->options->to) { continue; }
        printf("      offset %" PRIu64 ", %s, key ", offset,
               log_time_text(record.timestamp_ms, time));
        bytes_print(record.key);
        printf(", %" PRIu32 " headers, %zu bytes: ", record.header_count, record.value.len_bytes);
        bytes_print(record.value);
        putchar('\n');
    }
    stored_batch_close(&batch);
}

static void entry_print(const struct inspecting *inspecting, struct bytes commit,
                        const struct entry *entry)
{
    struct bytes bytes;
    const bool holds = entry_bytes(commit, entry, &bytes) == STATUS_OK;
    if (entry->type == ENTRY_RECORDS) {
        printf("    topic %d: offsets %" PRIu64 "..%" PRIu64 ", %" PRIu32 " bytes, %s%s\n",
               entry->topic, entry->base_offset, entry->base_offset + entry->record_count - 1,
               entry->length_bytes, name_of(inspecting, entry->topic), holds ? "" : "  DAMAGED");
        if (holds && inspecting->options->detail == DETAIL_RECORDS) {
            records_print(inspecting, bytes, entry);
        }
        return;
    }
    if (entry->type == ENTRY_LANES) {
        json_t *const json = entry_json(inspecting, commit, entry);
        lane_json_print(json);
        json_decref(json);
        return;
    }
    printf("    %s: %" PRIu32 " bytes%s\n", entry_type_text(entry->type), entry->length_bytes,
           holds ? "" : "  DAMAGED");
    struct topic_declaration topic;
    while (holds && entry->type == ENTRY_TOPICS &&
           topic_declaration_decode(&bytes, &topic) == STATUS_OK) {
        printf("    topic %d is %.*s, next offset %" PRIu64 "\n", topic.topic,
               (int)topic.name.len_bytes, (const char *)topic.name.at, topic.next_offset);
    }
}

static void commit_print(const struct inspecting *inspecting, const struct scanned_commit *commit,
                         uint64_t records)
{
    const struct commit_header *const header = &commit->header;
    char time[LOG_TIME_BYTES];
    printf("  commit %" PRIu64 " at %" PRIu64 ": %" PRIu32 " bytes, %" PRIu64 " records, %s%s%s\n",
           header->number, commit->position, header->length_bytes, records,
           log_time_text(header->wall_ms, time),
           (header->flags & COMMIT_FLAG_FOOTER) != 0 ? ", footer" : "",
           (header->flags & COMMIT_FLAG_WATERMARK) != 0 ? ", watermark" : "");
    if (inspecting->options->detail < DETAIL_ENTRIES) { return; }
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry_is_wanted(inspecting, &entry)) { entry_print(inspecting, commit->bytes, &entry); }
    }
}

/* Declarations may stand behind the records that they name. */
static void commit_sum(struct inspecting *inspecting, const struct scanned_commit *commit)
{
    inspecting->commit_count++;
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry.type == ENTRY_TOPICS && entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK) {
            topics_declare(inspecting, bytes);
        }
    }
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type != ENTRY_RECORDS) { continue; }
        topic_add(inspecting, entry.topic, entry.base_offset, entry.record_count,
                  entry.length_bytes);
    }
}

static void commit_show(struct inspecting *inspecting, const struct scanned_commit *commit)
{
    commit_sum(inspecting, commit);
    if (inspecting->options->detail < DETAIL_COMMITS) { return; }
    json_t *const entries = json_array();
    uint64_t records = 0;
    bool wanted = false;
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type == ENTRY_RECORDS) { records += entry.record_count; }
        if (!entry_is_wanted(inspecting, &entry)) { continue; }
        wanted = true;
        if (inspecting->options->json && inspecting->options->detail >= DETAIL_ENTRIES) {
            json_array_append_new(entries, entry_json(inspecting, commit->bytes, &entry));
        }
    }
    if (wanted && inspecting->options->json) {
        log_array_add(&inspecting->commits, commit_json(inspecting, commit, records, entries));
        return;
    }
    if (wanted) { commit_print(inspecting, commit, records); }
    json_decref(entries);
}

static void bad_show(struct inspecting *inspecting, const struct scanned_commit *commit,
                     enum scan_result result)
{
    const char *const bad = result == SCAN_IO ? "unreadable" : "damaged";
    inspecting->bad_count++;
    if (inspecting->options->detail < DETAIL_COMMITS) { return; }
    if (inspecting->options->json) {
        log_array_add(&inspecting->commits, json_pack("{s:s, s:o}", "bad", bad, "position",
                                                      log_number_json(commit->position)));
    } else {
        printf("  %-10s at %" PRIu64 "\n", bad, commit->position);
    }
}

static void commits_show(struct inspecting *inspecting, struct segment_scan *scan)
{
    struct scanned_commit commit;
    enum scan_result result = segment_scan_next(scan, &commit);
    while (result != SCAN_END) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (result != SCAN_COMMIT) { bad_show(inspecting, &commit, result); }
        if (known) { commit_show(inspecting, &commit); }
        result = known ? segment_scan_next(scan, &commit) : segment_scan_resync(scan, &commit);
        if (!known && result == SCAN_COMMIT) {
            commit_show(inspecting, &commit);
            result = segment_scan_next(scan, &commit);
        }
    }
}

/* All that a summary says of a sealed segment is in its footer: nothing else is read. */
static bool footer_sum(struct inspecting *inspecting, struct segment_scan *scan)
{
    struct scanned_commit commit;
    struct segment_footer footer;
    if (segment_scan_footer(scan, &commit) != STATUS_OK) { return false; }
    if (segment_footer_open(commit.bytes, &commit.header, &footer) != STATUS_OK) { return false; }
    topics_declare(inspecting, footer.topics);
    struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
    struct index_entry line = {0};
    while (segment_footer_walk_next(&walk, &line) == STATUS_OK) {
        topic_add(inspecting, line.topic, line.base_offset, line.record_count, line.length_bytes);
    }
    inspecting->commit_count =
        commit.header.number - segment_scan_header(scan)->first_commit_number + 1;
    return true;
}

/* --------------------------------------------------------------------------------- the segment */

static json_t *header_json(const struct segment_scan *scan)
{
    const struct segment_header *const header = segment_scan_header(scan);
    char cluster_id[2 * LOG_ID_BYTES + 1];
    char log_id[2 * LOG_ID_BYTES + 1];
    char nonce[2 * LOG_ID_BYTES + 1];
    char predecessor[2 * LOG_ID_BYTES + 1];
    log_id_text(header->cluster_id, cluster_id);
    log_id_text(header->log_id, log_id);
    log_id_text(header->nonce, nonce);
    log_id_text(header->predecessor_nonce, predecessor);
    return json_pack(
        "{s:b, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:I, s:o, s:o, s:I, s:o}", "rebuilt",
        segment_scan_header_is_rebuilt(scan), "cluster_id", cluster_id, "log_id", log_id, "nonce",
        nonce, "predecessor_nonce", predecessor, "partition", (json_int_t)header->partition,
        "number", log_number_json(header->number), "capacity_bytes",
        log_number_json(header->capacity_bytes), "incarnation",
        log_number_json(header->incarnation), "leader_epoch", (json_int_t)header->leader_epoch,
        "first_commit", log_number_json(header->first_commit_number), "predecessor_commit",
        log_number_json(header->predecessor_commit_number), "created_wall_ms",
        (json_int_t)header->created_wall_ms, "tail_records_max",
        log_number_json(header->tail_records_max));
}

static json_t *footer_json(struct segment_scan *scan)
{
    struct scanned_commit commit;
    struct segment_footer footer;
    if (segment_scan_footer(scan, &commit) != STATUS_OK) { return json_null(); }
    if (segment_footer_open(commit.bytes, &commit.header, &footer) != STATUS_OK) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:I, s:I, s:b, s:o}", "number",
                     log_number_json(commit.header.number), "position",
                     log_number_json(commit.position), "bytes",
                     (json_int_t)commit.header.length_bytes, "index_lines",
                     (json_int_t)segment_footer_line_count(&footer), "offsets_skipped",
                     footer.offsets_skipped, "totals", totals_json(footer.totals));
}

static void embed(const json_t *object)
{
    json_dumpf(object, stdout, JSON_EMBED | JSON_INDENT(1));
    fputs(",\n", stdout);
}

/* Head, commits one by one, and what was counted on the way. */
static void segment_json(struct inspecting *inspecting, const char *path, uint64_t size_bytes,
                         struct segment_scan *scan)
{
    struct segment_trailer trailer;
    const enum status sealed = segment_scan_trailer(scan, &trailer);
    json_t *const head =
        json_pack("{s:o, s:o, s:o, s:s, s:o}", "path", json_text_of(path, strlen(path)),
                  "size_bytes", log_number_json(size_bytes), "header", header_json(scan), "trailer",
                  status_text(sealed), "footer", footer_json(scan));
    log_array_next(&inspecting->segments);
    putchar('{');
    embed(head);
    json_decref(head);
    const bool walks = inspecting->options->detail > DETAIL_SEGMENTS;
    if (walks) { fputs("\"commits\": ", stdout); }
    if (walks || !footer_sum(inspecting, scan)) { commits_show(inspecting, scan); }
    if (walks) {
        log_array_end(&inspecting->commits);
        fputs(", ", stdout);
    }
    json_t *const tail =
        json_pack("{s:o, s:o, s:o, s:o}", "commit_count", log_number_json(inspecting->commit_count),
                  "records", log_number_json(inspecting->record_count), "bad",
                  log_number_json(inspecting->bad_count), "topics", topics_json(inspecting));
    json_dumpf(tail, stdout, JSON_EMBED | JSON_INDENT(1));
    json_decref(tail);
    putchar('}');
}

static void topics_print(const struct inspecting *inspecting)
{
    bool title = false;
    for (size_t i = 0; i < LOG_TOPICS_MAX; i++) {
        const struct topic_sum *const sum = &inspecting->topics[i];
        char bytes[HUMAN_TEXT_BYTES];
        const char *const wanted = inspecting->options->topic;
        if (!sum->declared && sum->batches == 0) { continue; }
        if (wanted != NULL && strcmp(sum->name, wanted) != 0) { continue; }
        if (!title) {
            printf("  %5s %-24s %24s %12s %10s %10s\n", "TOPIC", "NAME", "OFFSETS", "RECORDS",
                   "BATCHES", "BYTES");
        }
        title = true;
        char offsets[48] = "-";
        if (sum->batches > 0) {
            snprintf(offsets, sizeof offsets, "%" PRIu64 "..%" PRIu64, sum->first_offset,
                     sum->last_offset);
        }
        printf("  %5zu %-24s %24s %12" PRIu64 " %10" PRIu64 " %10s\n", i, sum->name, offsets,
               sum->records, sum->batches, human_bytes(sum->bytes, bytes));
    }
}

static void segment_print(struct inspecting *inspecting, const char *path,
                          struct segment_scan *scan)
{
    const struct segment_header *const header = segment_scan_header(scan);
    struct segment_trailer trailer;
    char nonce[2 * LOG_ID_BYTES + 1];
    char time[LOG_TIME_BYTES];
    char capacity[HUMAN_TEXT_BYTES];
    log_id_text(header->nonce, nonce);
    printf("%s:\n", path);
    printf("  segment %" PRIu64 " of partition %" PRIu32 ", nonce %s, capacity %s%s\n",
           header->number, header->partition, nonce, human_bytes(header->capacity_bytes, capacity),
           segment_scan_header_is_rebuilt(scan) ? ", header rebuilt" : "");
    printf("  opened %s by incarnation %" PRIu64 ", leader epoch %" PRIu32
           ", continues commit %" PRIu64 ", trailer: %s\n",
           log_time_text(header->created_wall_ms, time), header->incarnation, header->leader_epoch,
           header->predecessor_commit_number, status_text(segment_scan_trailer(scan, &trailer)));
    const bool walks = inspecting->options->detail > DETAIL_SEGMENTS;
    if (walks || !footer_sum(inspecting, scan)) { commits_show(inspecting, scan); }
    printf("  %" PRIu64 " commits from %" PRIu64 ", %" PRIu64 " records", inspecting->commit_count,
           header->first_commit_number, inspecting->record_count);
    if (inspecting->bad_count > 0) {
        printf(", %" PRIu64 " places do not hold", inspecting->bad_count);
    }
    putchar('\n');
    topics_print(inspecting);
}

static void spare_show(struct inspecting *inspecting, const char *path, uint64_t size_bytes)
{
    if (inspecting->options->json) {
        log_array_add(&inspecting->segments,
                      json_pack("{s:o, s:o, s:b}", "path", json_text_of(path, strlen(path)),
                                "size_bytes", log_number_json(size_bytes), "spare", 1));
    } else {
        printf("%s:\n  prepared, never opened\n", path);
    }
}

static enum status segment_show(struct inspecting *inspecting, struct files files, const char *path)
{
    int file;
    uint64_t size_bytes;
    enum status status = files_open(files, path, FILES_READ, &file, &size_bytes);
    if (status != STATUS_OK) { return status; }
    memset(inspecting->topics, 0, sizeof inspecting->topics);
    inspecting->commits = (struct log_array){.out = stdout};
    inspecting->commit_count = 0;
    inspecting->record_count = 0;
    inspecting->bad_count = 0;
    struct segment_scan *scan = NULL;
    status = segment_scan_create(files, file, size_bytes, &scan);
    if (status == STATUS_OK) {
        if (inspecting->options->json) {
            segment_json(inspecting, path, size_bytes, scan);
        } else {
            segment_print(inspecting, path, scan);
        }
    } else if (status == STATUS_NOT_FOUND) {
        spare_show(inspecting, path, size_bytes);
        status = STATUS_OK;
    }
    segment_scan_destroy(scan);
    files_close(files, file);
    return status;
}

/* ---------------------------------------------------------------------------------- the command */

static int inspect_place(struct inspecting *inspecting, const struct log_place *place)
{
    int code = COMMAND_OK;
    for (size_t i = 0; i < place->chain.count; i++) {
        if (!place->chosen[i]) { continue; }
        char *const path = log_place_path(place, i);
        const enum status status = segment_show(inspecting, place->files, path);
        if (status != STATUS_OK) { code = log_place_refuse(place, path, status); }
        free(path);
    }
    return code;
}

static int inspect(const struct inspect_options *options, char *const *paths, int path_count)
{
    struct log_places places;
    int code;
    if (!log_places_open(&places, options->config_path, paths, path_count, &code)) { return code; }
    struct inspecting *const inspecting = allocate_zeroed(1, sizeof *inspecting);
    inspecting->options = options;
    inspecting->segments.out = stdout;
    code = COMMAND_OK;
    for (size_t i = 0; i < places.count; i++) {
        const int found = inspect_place(inspecting, &places.at[i]);
        if (found != COMMAND_OK) { code = found; }
    }
    if (options->json) { log_array_end(&inspecting->segments); }
    free(inspecting);
    log_places_close(&places);
    return code;
}

static bool parse_offset(const char *option, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0) { return true; }
    fprintf(stderr, "penstock log inspect: %s '%s': not an offset\n", option, text);
    return false;
}

static int run(const struct command *command, int argc, char **argv)
{
    enum { OPTION_JSON = 256, OPTION_COMMITS, OPTION_ENTRIES, OPTION_RECORDS, OPTION_SUMMARY };
    enum { OPTION_TOPIC = 300, OPTION_FROM, OPTION_TO };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, OPTION_JSON},
        {"summary", no_argument, NULL, OPTION_SUMMARY},
        {"commits", no_argument, NULL, OPTION_COMMITS},
        {"entries", no_argument, NULL, OPTION_ENTRIES},
        {"records", no_argument, NULL, OPTION_RECORDS},
        {"topic", required_argument, NULL, OPTION_TOPIC},
        {"from", required_argument, NULL, OPTION_FROM},
        {"to", required_argument, NULL, OPTION_TO},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct inspect_options chosen = {.to = UINT64_MAX};
    bool has_detail = false;
    bool good = true;
    optind = 0; /* glibc: start over, whoever parsed before */
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        enum detail detail = DETAIL_SEGMENTS;
        switch (c) {
        case 'c': chosen.config_path = optarg; break;
        case OPTION_JSON: chosen.json = true; break;
        case OPTION_SUMMARY: has_detail = true; break;
        case OPTION_COMMITS: detail = DETAIL_COMMITS; break;
        case OPTION_ENTRIES: detail = DETAIL_ENTRIES; break;
        case OPTION_RECORDS: detail = DETAIL_RECORDS; break;
        case OPTION_TOPIC: chosen.topic = optarg; break;
        case OPTION_FROM: good = parse_offset("--from", optarg, &chosen.from) && good; break;
        case OPTION_TO: good = parse_offset("--to", optarg, &chosen.to) && good; break;
        case 'h': return command_help(command);
        default: return command_misused(command);
        }
        if (detail > chosen.detail) { chosen.detail = detail; }
    }
    if (!good) { return COMMAND_USAGE; }
    if (argc == optind && chosen.config_path == NULL) { return command_misused(command); }
    has_detail = has_detail || chosen.detail > DETAIL_SEGMENTS;
    if (chosen.json && !has_detail) { chosen.detail = DETAIL_ENTRIES; }
    return inspect(&chosen, argv + optind, argc - optind);
}

const struct command command_log_inspect = {
    .name = "log inspect",
    .arguments = "(-c FILE | PATH...) [--summary | --commits | --entries | --records]\n"
                 "       [--topic T] [--from OFFSET] [--to OFFSET] [--json]",
    .summary = "What is in the logs: headers, commits, lanes, records, footers",
    .help = "  PATH           a segment, a partition's directory, or a storage path\n"
            "  -c FILE        the node's configuration: its storage paths\n"
            "  --summary      a table of topics; of a sealed segment only the footer is read\n"
            "  --commits      each commit\n"
            "  --entries      and what is in it\n"
            "  --records      and every record\n"
            "  --topic T      only this topic's entries and records\n"
            "  --from OFFSET  only those from here on\n"
            "  --to OFFSET    and below this one\n"
            "  --json         a list of segments\n\n"
            "Unless told otherwise, people get a summary, programs (--json) the entries.\n\n"
            "Exit: 0, 64 usage, 66 something cannot be read, or there is no segment, 78\n"
            "      configuration. What does not hold is shown as that; 'penstock log verify' "
            "judges.\n",
    .run = run,
};
