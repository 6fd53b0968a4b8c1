#include "tools/log_verify.h"

#include <stdio.h>
#include <string.h>

#include "storage/segment_footer.h"
#include "storage/segment_scan.h"
#include "wire/lane_format.h"
#include "wire/record_batch.h"

struct pass {
    struct log_verify *verify;
    struct log_verified *out;
    struct segment_scan *scan;
    uint64_t last_number;
    uint64_t next_number;
    uint64_t index_lines; /* RECORDS entries met, to be compared with the footer's index */
    bool footer_last;     /* the last commit met is a footer */
    bool damaged;         /* then the footer may know more than the walk */
    /* Something bad that no later commit spoke about yet. */
    bool pending;
    uint64_t pending_begin;
    uint64_t pending_end;
    uint64_t pending_number;
};

static void damage_tell(struct pass *pass, uint64_t begin, uint64_t end, const char *what)
{
    const struct log_damage damage = {begin, end, what};
    pass->out->damages++;
    pass->damaged = true;
    pass->verify->on_damage(pass->verify->context, &damage);
}

void log_verify_forget(struct log_verify *verify)
{
    memset(verify->next_offsets, 0, sizeof verify->next_offsets);
    memset(&verify->log_id, 0, sizeof verify->log_id);
    verify->seen_count = 0;
}

/* NULL, or what is wrong inside a batch whose bytes are as they were written. */
static const char *batch_fault(struct bytes batch, const struct entry *entry)
{
    struct record_batch_header header;
    if (record_batch_header_decode(batch, &header) != STATUS_OK) { return "no RecordBatch"; }
    if ((size_t)header.length_bytes != batch.len_bytes) { return "batch length"; }
    if (!record_batch_crc_holds(batch)) { return "batch checksum"; }
    if ((uint64_t)header.base_offset != entry->base_offset) { return "batch base offset"; }
    if (header.record_count < 0 || (uint32_t)header.record_count != entry->record_count) {
        return "batch record count";
    }
    struct record_batch_walk walk;
    struct record_batch_record record;
    record_batch_walk_begin(&walk, batch, &header);
    enum status status;
    uint32_t records = 0;
    while ((status = record_batch_next(&walk, &record)) == STATUS_OK) { records++; }
    if (status != STATUS_NOT_FOUND || records != entry->record_count) { return "records"; }
    return NULL;
}

static void check_records(struct pass *pass, const struct scanned_commit *commit,
                          const struct entry *entry)
{
    const uint64_t begin = commit->position + entry->position;
    const uint64_t end = begin + entry->length_bytes;
    struct bytes batch;
    pass->index_lines++;
    pass->out->records += entry->record_count;
    if (entry_bytes(commit->bytes, entry, &batch) != STATUS_OK) { return; } /* told already */
    const char *const fault = batch_fault(batch, entry);
    if (fault != NULL) { damage_tell(pass, begin, end, fault); }
    if (entry->topic < 0 || entry->topic >= LOG_TOPICS_MAX) {
        damage_tell(pass, begin, end, "topic number");
        return;
    }
    uint64_t *const next = &pass->verify->next_offsets[entry->topic];
    if (entry->base_offset < *next) { damage_tell(pass, begin, end, "offsets go back"); }
    *next = entry->base_offset + entry->record_count;
}

static void check_index_line(struct pass *pass, const struct scanned_commit *footer,
                             const struct index_entry *line)
{
    const uint64_t end = footer->position;
    if (line->position < LOG_BLOCK_BYTES || line->position > end ||
        line->length_bytes > end - line->position) {
        damage_tell(pass, footer->position, footer->position + footer->header.length_bytes,
                    "index leaves the segment");
    }
}

static void check_footer(struct pass *pass, const struct scanned_commit *commit)
{
    const uint64_t end = commit->position + commit->header.length_bytes;
    struct segment_footer footer;
    if (segment_footer_open(commit->bytes, &commit->header, &footer) != STATUS_OK) {
        damage_tell(pass, commit->position, end, "footer without topics or index");
        return;
    }
    struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
    struct index_entry line;
    size_t lines = 0;
    enum status status;
    while ((status = segment_footer_walk_next(&walk, &line)) == STATUS_OK) {
        check_index_line(pass, commit, &line);
        lines++;
    }
    if (status != STATUS_NOT_FOUND) {
        damage_tell(pass, commit->position, end, "index does not hold together");
    }
    if (!pass->damaged && lines != pass->index_lines) {
        damage_tell(pass, commit->position, end, "index does not list what is there");
    }
}

/* Where a run says that its records went: offsets that this commit gave. */
static bool run_has_its_place(const struct scanned_commit *commit, const struct lane_run *run)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type != ENTRY_RECORDS || entry.topic != run->topic) { continue; }
        if (run->base_offset < entry.base_offset) { continue; }
        const uint64_t index = run->base_offset - entry.base_offset;
        if (index <= entry.record_count && run->count <= entry.record_count - index) {
            return true;
        }
    }
    return false;
}

static const char *lane_fault(const struct scanned_commit *commit, const struct lane_item *item)
{
    const bool whole = (item->flags & (LANE_CHECKPOINT | LANE_IMPORTED)) != 0;
    if (item->state.confirmed > item->state.last_sequence) { return "lane confirms too much"; }
    if (whole && item->first_sequence != item->state.confirmed + 1) {
        return "lane without all its fates";
    }
    for (uint32_t i = 0; i < item->run_count; i++) {
        const struct lane_run run = lane_item_run(item, i);
        if (whole || run.fate != NATIVE_STORED) {
            if (run.topic != LOG_NO_TOPIC) { return "lane's fate with a place"; }
        } else if (!run_has_its_place(commit, &run)) {
            return "lane's records are not in this commit";
        }
    }
    return NULL;
}

static void check_lanes(struct pass *pass, const struct scanned_commit *commit,
                        const struct entry *entry)
{
    const uint64_t begin = commit->position + entry->position;
    struct bytes items;
    struct lane_item item;
    if (entry_bytes(commit->bytes, entry, &items) != STATUS_OK) { return; } /* told already */
    enum status status;
    while ((status = lane_item_decode(&items, &item)) == STATUS_OK) {
        const char *const fault = lane_fault(commit, &item);
        if (fault != NULL) { damage_tell(pass, begin, begin + entry->length_bytes, fault); }
    }
    if (status != STATUS_NOT_FOUND) {
        damage_tell(pass, begin, begin + entry->length_bytes, "lanes");
    }
    if (commit->header.lane_checkpoint == 0) {
        damage_tell(pass, commit->position, begin, "lanes, and no commit from which they count");
    }
}

static void check_commit(struct pass *pass, const struct scanned_commit *commit)
{
    if (pass->pending && commit->header.durable_number >= pass->pending_number) {
        pass->pending = false;
        damage_tell(pass, pass->pending_begin, pass->pending_end, "commit");
    }
    pass->out->commits++;
    pass->next_number = commit->header.number + 1;
    pass->footer_last = (commit->header.flags & COMMIT_FLAG_FOOTER) != 0;
    if (commit->header.lane_checkpoint > commit->header.number) {
        damage_tell(pass, commit->position, commit->position + LOG_BLOCK_BYTES,
                    "lanes count from a later commit");
    }
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type == ENTRY_RECORDS) { check_records(pass, commit, &entry); }
        if (entry.type == ENTRY_LANES) { check_lanes(pass, commit, &entry); }
    }
    if ((commit->header.flags & COMMIT_FLAG_FOOTER) != 0) { check_footer(pass, commit); }
}

static void pending_begin(struct pass *pass, uint64_t begin, uint64_t end)
{
    if (pass->pending) { /* still none that speaks about it: one range for both */
        pass->pending_end = end;
        return;
    }
    pass->pending = true;
    pass->pending_begin = begin;
    pass->pending_end = end;
    pass->pending_number = pass->next_number;
}

/* A damaged entry in an intact directory: its exact bytes. */
static void check_damaged(struct pass *pass, const struct scanned_commit *commit)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK) { continue; }
        const uint64_t begin = commit->position + entry.position;
        pending_begin(pass, begin, begin + entry.length_bytes);
    }
    check_commit(pass, commit);
}

static void walk(struct pass *pass)
{
    struct scanned_commit commit;
    enum scan_result result = segment_scan_next(pass->scan, &commit);
    while (result != SCAN_END) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (known && commit.header.number > pass->last_number) { break; }
        pass->out->tail_position = segment_scan_position(pass->scan);
        if (result == SCAN_COMMIT) {
            check_commit(pass, &commit);
            result = segment_scan_next(pass->scan, &commit);
            continue;
        }
        if (commit.directory_holds) {
            check_damaged(pass, &commit);
            result = segment_scan_next(pass->scan, &commit);
            continue;
        }
        const uint64_t begin = commit.position;
        result = segment_scan_resync(pass->scan, &commit);
        pending_begin(pass, begin,
                      result == SCAN_COMMIT ? commit.position : begin + LOG_BLOCK_BYTES);
    }
    /* A tail that nobody speaks for: torn or still being written, unless a seal says otherwise. */
    const bool decided = pass->out->sealed || pass->last_number != UINT64_MAX;
    if (pass->pending && decided && pass->pending_number <= pass->last_number) {
        damage_tell(pass, pass->pending_begin, pass->pending_end, "commit");
    }
}

/* What the next segment continues has to be there, and its seal where it ends in a footer. (One
 * that a disk refused has neither: the log went on behind its last good commit.) */
static void check_continued(struct pass *pass)
{
    if (pass->last_number == UINT64_MAX) { return; }
    const uint64_t end = segment_scan_header(pass->scan)->capacity_bytes;
    struct segment_trailer trailer;
    if (pass->next_number <= pass->last_number && pass->out->damages == 0) {
        damage_tell(pass, pass->out->tail_position, end, "commits that the next one continues");
    }
    if (pass->footer_last && pass->next_number == pass->last_number + 1 &&
        segment_scan_trailer(pass->scan, &trailer) == STATUS_NOT_FOUND) {
        damage_tell(pass, end - LOG_BLOCK_BYTES, end, "trailer is missing");
    }
}

/* ------------------------------------------------------------------------------ its place */

/* False when it lies where its header does not say. Names that are none of ours say nothing. */
static bool check_name(struct pass *pass, const char *path)
{
    const struct segment_header *const header = segment_scan_header(pass->scan);
    const char *const slash = strrchr(path, '/');
    const char *const name = slash == NULL ? path : slash + 1;
    uint64_t number = header->number;
    uint32_t partition = header->partition;
    if (!log_segment_name_parse(name, &number)) { number = header->number; }
    char directory[LOG_NAME_BYTES] = "";
    const char *from = slash;
    while (from != NULL && from > path && from[-1] != '/') { from--; }
    if (from != NULL && (size_t)(slash - from) < sizeof directory) {
        memcpy(directory, from, (size_t)(slash - from));
    }
    if (!log_directory_name_parse(directory, &partition)) { partition = header->partition; }
    if (number == header->number && partition == header->partition) { return true; }
    char own[LOG_NAME_BYTES];
    log_segment_name(header->partition, header->number, own);
    snprintf(pass->verify->what, sizeof pass->verify->what, "this is %s under another name", own);
    damage_tell(pass, 0, LOG_BLOCK_BYTES, pass->verify->what);
    return false;
}

static void check_predecessor(struct pass *pass)
{
    static const struct log_id none = {{0}};
    struct log_verify *const verify = pass->verify;
    const struct segment_header *const header = segment_scan_header(pass->scan);
    const struct log_id nonce = header->predecessor_nonce;
    bool found =
        verify->seen_count == 0 || log_id_equal(nonce, none); /* what was before is retired */
    for (size_t i = 0; i < verify->seen_count && i < LOG_VERIFY_SEEN_MAX; i++) {
        found = found || log_id_equal(verify->seen[i], nonce);
    }
    if (!found && !segment_scan_header_is_rebuilt(pass->scan)) {
        snprintf(verify->what, sizeof verify->what,
                 "the segment before it is missing, which held commit %llu",
                 (unsigned long long)header->predecessor_commit_number);
        damage_tell(pass, 0, LOG_BLOCK_BYTES, verify->what);
    }
    verify->seen[verify->seen_count++ % LOG_VERIFY_SEEN_MAX] = header->nonce;
}

static void check_place(struct pass *pass, const char *path, uint64_t size_bytes)
{
    const struct segment_header *const header = segment_scan_header(pass->scan);
    if (segment_scan_header_is_rebuilt(pass->scan)) {
        check_predecessor(pass);
        return;
    }
    if (size_bytes > header->capacity_bytes) {
        damage_tell(pass, header->capacity_bytes, size_bytes,
                    "file is longer than its header says");
    }
    if (check_name(pass, path)) { check_predecessor(pass); }
}

static void check_frame(struct pass *pass)
{
    static const struct log_id none = {{0}};
    const struct segment_header *const header = segment_scan_header(pass->scan);
    const uint64_t trailer_begin = header->capacity_bytes - LOG_BLOCK_BYTES;
    struct segment_trailer trailer;
    const enum status status = segment_scan_trailer(pass->scan, &trailer);
    pass->out->sealed = status == STATUS_OK;
    if (segment_scan_header_is_rebuilt(pass->scan)) {
        damage_tell(pass, 0, LOG_BLOCK_BYTES, "segment header");
    }
    if (status == STATUS_TRUNCATED) {
        damage_tell(pass, trailer_begin, trailer_begin + LOG_BLOCK_BYTES, "file is cut short");
    } else if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        damage_tell(pass, trailer_begin, trailer_begin + LOG_BLOCK_BYTES, "trailer");
    }
    if (!log_id_equal(pass->verify->log_id, header->log_id)) {
        if (!log_id_equal(pass->verify->log_id, none)) {
            damage_tell(pass, 0, LOG_BLOCK_BYTES, "another log's segment");
            log_verify_forget(pass->verify);
        }
        pass->verify->log_id = header->log_id;
    }
    pass->next_number = header->first_commit_number;
}

enum status log_verify_segment(struct log_verify *verify, const char *path, uint64_t last_number,
                               struct log_verified *out)
{
    int file;
    uint64_t size_bytes;
    *out = (struct log_verified){.tail_position = LOG_BLOCK_BYTES};
    enum status status = files_open(verify->files, path, FILES_READ, &file, &size_bytes);
    if (status != STATUS_OK) { return status; }

    struct pass pass = {.verify = verify, .out = out, .last_number = last_number};
    status = segment_scan_create(verify->files, file, size_bytes, &pass.scan);
    if (status == STATUS_OK) {
        check_frame(&pass);
        check_place(&pass, path, size_bytes);
        walk(&pass);
        check_continued(&pass);
    } else if (status == STATUS_NOT_FOUND) {
        out->spare = true;
        status = STATUS_OK;
    } else if (status == STATUS_CORRUPT) {
        damage_tell(&pass, 0, size_bytes, "nothing in it can be identified");
        status = STATUS_OK;
    }
    segment_scan_destroy(pass.scan);
    files_close(verify->files, file);
    return status;
}
