#include "tools/log_export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"

enum { LOSS_BYTES = 256 };

/* One segment. */
struct pass {
    struct log_export *export;
    const struct log_place *place;
    const struct chain_segment *segment;
    const char *path;
    int file;
    uint64_t size_bytes;
    struct segment_scan *scan;
};

static void lose(struct pass *pass, uint64_t begin, uint64_t end, const char *what)
{
    pass->export->losses++;
    pass->export->on_loss(pass->export->context, pass->path, begin, end, what);
}

/* ---------------------------------------------------------------------------------- one batch */

static bool batch_is_wanted(const struct log_export *export, const struct index_entry *batch)
{
    const struct log_selection *const selection = &export->selection;
    if (batch->topic < 0 || batch->topic >= LOG_TOPICS_MAX) { return false; }
    if (selection->topic != NULL && strcmp(export->names[batch->topic], selection->topic) != 0) {
        return false;
    }
    if (batch->base_offset >= selection->to_offset) { return false; }
    if (batch->record_count == 0) { return false; }
    if (batch->base_offset + batch->record_count - 1 < selection->from_offset) { return false; }
    return batch->max_timestamp_ms >= selection->from_timestamp_ms;
}

static bool record_is_wanted(const struct log_selection *selection,
                             const struct record_batch_record *record)
{
    const uint64_t offset = (uint64_t)record->offset;
    return offset >= selection->from_offset && offset < selection->to_offset &&
           record->timestamp_ms >= selection->from_timestamp_ms &&
           record->timestamp_ms < selection->to_timestamp_ms;
}

static void lose_batch(struct pass *pass, const struct index_entry *batch, const char *why)
{
    char what[LOSS_BYTES + LOG_TOPIC_NAME_BYTES_MAX];
    snprintf(what, sizeof what, "topic %s, offsets %" PRIu64 "..%" PRIu64 ": %s",
             pass->export->names[batch->topic], batch->base_offset,
             batch->base_offset + batch->record_count - 1, why);
    lose(pass, batch->position, batch->position + batch->length_bytes, what);
}

/* Every record of the batch is checked before the first is handed out. */
static void batch_export(struct pass *pass, const struct index_entry *batch, struct bytes bytes)
{
    struct log_export *const export = pass->export;
    struct stored_batch stored;
    struct record_batch_record record;
    const char *fault = stored_batch_fault(bytes, batch->base_offset, batch->record_count);
    if (fault == NULL) {
        fault = stored_batch_open(&stored, bytes, batch->base_offset, batch->record_count);
    }
    if (fault != NULL) {
        lose_batch(pass, batch, fault);
        return;
    }
    while (!export->stopped && stored_batch_next(&stored, &record) == STATUS_OK) {
        if (!record_is_wanted(&export->selection, &record)) { continue; }
        const struct log_export_record out = {export->names[batch->topic], pass->place->partition,
                                              &record};
        export->records++;
        export->stopped = !export->on_record(export->context, &out) ||
                          export->records >= export->selection.records_max;
    }
    stored_batch_close(&stored);
}

/* Where a commit was lost whose directory nothing repeats, the next batch says which offsets. */
static void follow_offsets(struct pass *pass, const struct index_entry *batch)
{
    struct log_export *const export = pass->export;
    if (batch->topic < 0 || batch->topic >= LOG_TOPICS_MAX) { return; }
    const uint64_t next = export->next_offsets[batch->topic];
    const char *const name = export->names[batch->topic];
    const bool wanted =
        export->selection.topic == NULL || strcmp(name, export->selection.topic) == 0;
    if (export->lost[batch->topic] && export->offsets_known[batch->topic] && wanted &&
        batch->base_offset > next && batch->base_offset > export->selection.from_offset &&
        next < export->selection.to_offset) {
        char what[LOSS_BYTES + LOG_TOPIC_NAME_BYTES_MAX];
        snprintf(what, sizeof what, "topic %s has no offsets %" PRIu64 "..%" PRIu64, name, next,
                 batch->base_offset - 1);
        lose(pass, batch->position, batch->position, what);
    }
    export->lost[batch->topic] = false;
    export->offsets_known[batch->topic] = true;
    export->next_offsets[batch->topic] = batch->base_offset + batch->record_count;
}

static void topics_take(struct log_export *export, struct bytes declarations)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        char *const name = export->names[topic.topic];
        memcpy(name, topic.name.at, topic.name.len_bytes);
        name[topic.name.len_bytes] = '\0';
        if (export->selection.topic == NULL || strcmp(name, export->selection.topic) == 0) {
            export->topic_found = true;
        }
        if (!export->offsets_known[topic.topic]) {
            export->offsets_known[topic.topic] = true;
            export->next_offsets[topic.topic] = topic.base_offset;
        }
    }
}

/* ------------------------------------------------------------------------------- by the footer */

/* The batch's bytes as the disk has them, once their checksum holds; else why not. */
static const char *batch_read(struct pass *pass, const struct index_entry *batch, struct bytes *out)
{
    struct log_export *const export = pass->export;
    const uint64_t begin = batch->position / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    const uint64_t end = batch->position + batch->length_bytes;
    const uint64_t blocks_end = (end + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    if (batch->length_bytes > LOG_COMMIT_BYTES_MAX || batch->position > pass->size_bytes ||
        batch->length_bytes > pass->size_bytes - batch->position || blocks_end > pass->size_bytes) {
        return "the index leaves the file";
    }
    const size_t needed = (size_t)(blocks_end - begin);
    if (needed > export->scratch_bytes) {
        free(export->scratch);
        export->scratch = aligned_alloc(LOG_BLOCK_BYTES, needed);
        export->scratch_bytes = export->scratch != NULL ? needed : 0;
        if (export->scratch == NULL) { return "no memory for it"; }
    }
    if (files_read(pass->place->files, pass->file, begin, export->scratch, needed) != STATUS_OK) {
        return "the disk does not answer";
    }
    *out = bytes_of(export->scratch + (batch->position - begin), batch->length_bytes);
    const int64_t epoch = segment_scan_header_is_rebuilt(pass->scan)
                              ? -1
                              : (int64_t)segment_scan_header(pass->scan)->leader_epoch;
    return stored_batch_is_of_line(*out, batch, epoch) ? NULL : "does not match its checksum";
}

/* False: there is no footer that stands for all that the log has of this segment. */
static bool export_by_footer(struct pass *pass)
{
    struct log_export *const export = pass->export;
    struct scanned_commit commit;
    struct segment_footer footer;
    if (segment_scan_footer(pass->scan, &commit) != STATUS_OK) { return false; }
    if (segment_footer_open(commit.bytes, &commit.header, &footer) != STATUS_OK) { return false; }
    if (pass->segment->last_number < commit.header.number) { return false; }
    struct index_entry *lines;
    size_t count;
    if (segment_footer_lines(&footer, &lines, &count) != STATUS_OK) { return false; }
    topics_take(export, footer.topics);
    for (size_t i = 0; i < count && !export->stopped; i++) {
        follow_offsets(pass, &lines[i]);
        if (!batch_is_wanted(export, &lines[i])) { continue; }
        struct bytes bytes;
        const char *const fault = batch_read(pass, &lines[i], &bytes);
        if (fault != NULL) {
            lose_batch(pass, &lines[i], fault);
        } else {
            batch_export(pass, &lines[i], bytes);
        }
    }
    free(lines);
    return true;
}

/* --------------------------------------------------------------------------------- by scanning */

/* Declarations may stand behind the records that they name. */
static void commit_take_topics(struct pass *pass, const struct scanned_commit *commit)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry.type == ENTRY_TOPICS && entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK) {
            topics_take(pass->export, bytes);
        }
    }
}

static void commit_export(struct pass *pass, const struct scanned_commit *commit)
{
    struct log_export *const export = pass->export;
    commit_take_topics(pass, commit);
    for (uint32_t i = 0; i < commit->header.entry_count && !export->stopped; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        const bool holds = entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK;
        if (entry.type != ENTRY_RECORDS) { continue; }
        const struct index_entry batch = {
            .topic = entry.topic,
            .record_count = entry.record_count,
            .base_offset = entry.base_offset,
            .max_timestamp_ms = entry.max_timestamp_ms,
            .position = commit->position + entry.position,
            .length_bytes = entry.length_bytes,
            .check = index_check(entry.crc32c),
        };
        follow_offsets(pass, &batch);
        if (!batch_is_wanted(export, &batch)) { continue; }
        if (holds) {
            batch_export(pass, &batch, bytes);
        } else {
            lose_batch(pass, &batch, "does not match its checksum");
        }
    }
}

static bool is_beyond(const struct pass *pass, uint64_t number)
{
    const uint64_t durable = pass->place->witness.durable_number;
    struct segment_trailer trailer;
    if (number > pass->segment->last_number) { return true; }
    return pass->segment->last_number == UINT64_MAX && durable > 0 && number > durable &&
           segment_scan_trailer(pass->scan, &trailer) != STATUS_OK;
}

/* A bad commit: a loss when something good follows it, else the end of the log. */
static bool scan_over(struct pass *pass, struct scanned_commit *commit)
{
    const uint64_t begin = commit->position;
    if (segment_scan_resync(pass->scan, commit) != SCAN_COMMIT) { return false; }
    if (is_beyond(pass, commit->header.number)) { return false; }
    memset(pass->export->lost, 1, sizeof pass->export->lost);
    lose(pass, begin, commit->position, "commits that cannot be read");
    return true;
}

static void export_by_scan(struct pass *pass)
{
    struct log_export *const export = pass->export;
    struct scanned_commit commit;
    uint64_t number = segment_scan_header(pass->scan)->first_commit_number - 1;
    enum scan_result result = segment_scan_next(pass->scan, &commit);
    while (result != SCAN_END && !export->stopped) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (!known && !scan_over(pass, &commit)) { break; }
        if (is_beyond(pass, commit.header.number)) { break; }
        number = commit.header.number;
        commit_export(pass, &commit);
        result = segment_scan_next(pass->scan, &commit);
    }
    const uint64_t last = pass->segment->last_number;
    struct segment_trailer trailer;
    if (segment_scan_trailer(pass->scan, &trailer) == STATUS_OK && trailer.footer_number == last &&
        number + 1 == last) {
        return; /* the footer alone is lost, and it holds no record */
    }
    if (!export->stopped && last != UINT64_MAX && number < last) {
        memset(export->lost, 1, sizeof export->lost);
        lose(pass, segment_scan_position(pass->scan), pass->size_bytes,
             "commits that the next segment continues cannot be read");
    }
}

/* ----------------------------------------------------------------------------------- the place */

static enum status segment_export(struct pass *pass)
{
    enum status status =
        files_open(pass->place->files, pass->path, FILES_READ, &pass->file, &pass->size_bytes);
    if (status != STATUS_OK) { return status; }
    status = segment_scan_create(pass->place->files, pass->file, pass->size_bytes, &pass->scan);
    if (status == STATUS_OK && !export_by_footer(pass)) { export_by_scan(pass); }
    segment_scan_destroy(pass->scan);
    files_close(pass->place->files, pass->file);
    return status;
}

static void segment_take(struct log_export *export, const struct log_place *place, size_t index)
{
    const struct chain_segment *const segment = &place->chain.segments[index];
    char *const path = log_place_path(place, index);
    struct pass pass = {.export = export, .place = place, .segment = segment, .path = path};
    enum status status = segment->status;
    if (segment->predecessor_missing &&
        log_chain_below(&place->chain, index) < place->chain.count) {
        memset(export->lost, 1, sizeof export->lost);
        lose(&pass, 0, LOG_BLOCK_BYTES, "the segment before it is missing");
    }
    if (status == STATUS_OK && segment->in_chain) {
        status = segment_export(&pass);
        if (status == STATUS_NOT_FOUND) { status = STATUS_OK; } /* retention took it meanwhile */
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        memset(export->lost, 1, sizeof export->lost);
        lose(&pass, 0, segment->size_bytes,
             status == STATUS_INVALID ? "another log's segment, or one under a wrong name"
                                      : status_text(status));
    }
    free(path);
}

void log_export_place(struct log_export *export, const struct log_place *place)
{
    memset(export->names, 0, sizeof export->names);
    memset(export->next_offsets, 0, sizeof export->next_offsets);
    memset(export->offsets_known, 0, sizeof export->offsets_known);
    memset(export->lost, 0, sizeof export->lost);
    for (size_t i = 0; i < place->chain.count && !export->stopped; i++) {
        if (place->chosen[i]) { segment_take(export, place, i); }
    }
}

void log_export_deinit(struct log_export *export)
{
    free(export->scratch);
    export->scratch = NULL;
    export->scratch_bytes = 0;
}
