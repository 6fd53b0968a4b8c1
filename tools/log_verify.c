#include "tools/log_verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "tools/log_verify_pass.h"

/* --------------------------------------------------------------------------------------- words */

const char *log_damage_kind_text(enum log_damage_kind kind)
{
    static const char *const texts[LOG_DAMAGE_KIND_COUNT] = {
        "unreadable", "header",  "trailer", "length", "place",  "chain", "commit",
        "records",    "offsets", "topics",  "lanes",  "footer", "other"};
    return kind < LOG_DAMAGE_KIND_COUNT ? texts[kind] : "other";
}

const char *log_effect_text(enum log_effect effect)
{
    switch (effect) {
    case LOG_EFFECT_NONE: return "none";
    case LOG_EFFECT_LOST: return "lost";
    case LOG_EFFECT_UNKNOWN: break;
    }
    return "unknown";
}

const char *log_segment_state_text(enum log_segment_state state)
{
    switch (state) {
    case LOG_SEGMENT_SPARE: return "spare";
    case LOG_SEGMENT_OPEN: return "open";
    case LOG_SEGMENT_CLOSED: return "closed";
    case LOG_SEGMENT_SEALED: return "sealed";
    case LOG_SEGMENT_UNREADABLE: break;
    }
    return "unreadable";
}

/* --------------------------------------------------------------------------------- what is told */

/* Names are known by now, also where the damage came before their declaration. */
void pass_tell(struct pass *pass, const struct log_damage *found)
{
    struct log_damage damage = *found;
    if (damage.has_offsets && damage.topic >= 0 && damage.topic < LOG_TOPICS_MAX) {
        const char *const name = pass->verify->names[damage.topic];
        damage.topic_name = name[0] != '\0' ? name : NULL;
    }
    pass->out->damages++;
    pass->damaged = true;
    pass->last_begin = damage.begin;
    pass->last_end = damage.end;
    pass->verify->on_damage(pass->verify->context, &damage);
}

static void tell(struct pass *pass, enum log_damage_kind kind, enum log_effect effect,
                 uint64_t begin, uint64_t end, const char *what)
{
    const struct log_damage damage = {
        .begin = begin,
        .end = end,
        .what = what,
        .kind = kind,
        .effect = effect,
        .torn = kind == LOG_DAMAGE_HEADER || kind == LOG_DAMAGE_TRAILER ||
                kind == LOG_DAMAGE_UNREADABLE,
    };
    pass_tell(pass, &damage);
}

void pass_note(struct pass *pass, uint64_t begin, uint64_t end, const char *what)
{
    const struct log_note note = {begin, end, what};
    pass->out->notes++;
    if (pass->verify->on_note != NULL) { pass->verify->on_note(pass->verify->context, &note); }
}

void pass_pend(struct pass *pass, uint64_t number, const struct log_damage *damage)
{
    if (pass->pending_count == pass->pending_capacity) {
        pass->pending_capacity = pass->pending_capacity == 0 ? 16 : 2 * pass->pending_capacity;
        pass->pending =
            allocate_again(pass->pending, pass->pending_capacity, sizeof *pass->pending);
    }
    pass->pending[pass->pending_count++] = (struct pending_damage){*damage, number};
}

/* Every commit up to `number` was durable: what was bad of those is rot. */
static void pending_witness(struct pass *pass, uint64_t number)
{
    size_t kept = 0;
    for (size_t i = 0; i < pass->pending_count; i++) {
        const struct pending_damage pending = pass->pending[i];
        if (pending.number <= number) {
            pass_tell(pass, &pending.damage);
        } else {
            pass->pending[kept++] = pending;
        }
    }
    pass->pending_count = kept;
}

void log_verify_forget(struct log_verify *verify)
{
    memset(verify->next_offsets, 0, sizeof verify->next_offsets);
    memset(verify->offsets_known, 0, sizeof verify->offsets_known);
    memset(verify->lost, 0, sizeof verify->lost);
    memset(verify->names, 0, sizeof verify->names);
    memset(&verify->log_id, 0, sizeof verify->log_id);
    verify->seen_count = 0;
    verify->wall_ms = 0;
    verify->last_number = 0;
    lane_resume_set_deinit(&verify->lane_set);
    verify->lane_set = (struct lane_resume_set){0};
    record_digest_deinit(&verify->digest);
}

/* ------------------------------------------------------------------------------------ the walk */

static void progress(struct pass *pass, uint64_t position)
{
    if (pass->verify->on_progress == NULL || position <= pass->reported_bytes) { return; }
    pass->verify->on_progress(pass->verify->context, position - pass->reported_bytes);
    pass->reported_bytes = position;
}

static void lose_all(struct pass *pass)
{
    memset(pass->verify->lost, 1, sizeof pass->verify->lost);
}

static void take_commit(struct pass *pass, const struct scanned_commit *commit)
{
    pending_witness(pass, commit->header.durable_number);
    pass->out->commits++;
    pass->next_number = commit->header.number + 1;
    pass->footer_last = (commit->header.flags & COMMIT_FLAG_FOOTER) != 0;
    pass->verify->last_number = commit->header.number;
    pass->verify->last_crc32c = commit->header.crc32c;
    pass->verify->last_nonce = commit->header.nonce;
    pass_take_commit(pass, commit);
    pass->out->tail_position = segment_scan_position(pass->scan);
    progress(pass, pass->out->tail_position);
}

/* Damaged entries in an intact directory: the exact bytes of each. */
static void take_damaged(struct pass *pass, const struct scanned_commit *commit)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK) { continue; }
        const struct log_damage damage = pass_entry_damage(commit, &entry);
        pass_pend(pass, commit->header.number, &damage);
    }
    take_commit(pass, commit);
}

/* Where what begins at `begin`, and is followed by no good commit, ends at the latest. */
static uint64_t bad_end(const struct pass *pass)
{
    const uint64_t capacity = segment_scan_header(pass->scan)->capacity_bytes;
    struct segment_trailer trailer;
    if (segment_scan_trailer(pass->scan, &trailer) == STATUS_OK) {
        return trailer.footer_position + trailer.footer_length_bytes;
    }
    return pass->size_bytes < capacity ? pass->size_bytes : capacity - LOG_BLOCK_BYTES;
}

/* No commit that continues the chain stands at `begin`, and the next good one, if any, at `end`. */
static void pend_unnamed(struct pass *pass, bool unreadable, uint64_t begin, uint64_t end)
{
    struct segment_trailer trailer;
    struct log_damage damage = {.begin = begin,
                                .end = end,
                                .torn = true,
                                .what = unreadable ? "the disk does not answer"
                                                   : "no commit where one has to be",
                                .kind = unreadable ? LOG_DAMAGE_UNREADABLE : LOG_DAMAGE_COMMIT};
    if (segment_scan_trailer(pass->scan, &trailer) == STATUS_OK &&
        begin == trailer.footer_position && !unreadable) {
        damage.kind = LOG_DAMAGE_FOOTER;
        damage.effect = LOG_EFFECT_NONE;
        damage.what = "footer";
    }
    const bool named = pass_check_unnamed(pass, begin, end);
    if (named) {
        damage.effect = LOG_EFFECT_NONE; /* the footer finds the batches; each was checked */
    } else if (damage.kind != LOG_DAMAGE_FOOTER) {
        lose_all(pass);
    }
    pass->damaged = true; /* the walk cannot list what the index does */
    pass_pend(pass, pass->next_number, &damage);
}

/* False: nothing good follows. */
static bool bad_commit(struct pass *pass, bool unreadable, struct scanned_commit *commit)
{
    const uint64_t begin = commit->position;
    const bool found = segment_scan_resync(pass->scan, commit) == SCAN_COMMIT;
    if (found && commit->header.number > pass->last_number) { return false; }
    pend_unnamed(pass, unreadable, begin, found ? commit->position : bad_end(pass));
    return found;
}

/* Commits of an open segment above what the root page calls durable are being written. */
static bool is_beyond(const struct pass *pass, uint64_t number)
{
    if (number > pass->last_number) { return true; }
    return pass->last_number == UINT64_MAX && !pass->out->sealed &&
           pass->verify->durable_number > 0 && number > pass->verify->durable_number;
}

static void walk(struct pass *pass)
{
    struct scanned_commit commit;
    enum scan_result result = segment_scan_next(pass->scan, &commit);
    while (result != SCAN_END && !is_beyond(pass, pass->next_number)) {
        if (result == SCAN_COMMIT) {
            take_commit(pass, &commit);
        } else if (commit.directory_holds) {
            take_damaged(pass, &commit);
        } else if (!bad_commit(pass, result == SCAN_IO, &commit)) {
            break;
        } else if (!is_beyond(pass, commit.header.number)) {
            take_commit(pass, &commit);
        }
        result = segment_scan_next(pass->scan, &commit);
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
        lose_all(pass);
        tell(pass, LOG_DAMAGE_CHAIN, LOG_EFFECT_UNKNOWN, pass->out->tail_position, end,
             "commits that the next one continues");
    }
    if (pass->footer_last && pass->next_number == pass->last_number + 1 &&
        segment_scan_trailer(pass->scan, &trailer) == STATUS_NOT_FOUND) {
        tell(pass, LOG_DAMAGE_TRAILER, LOG_EFFECT_NONE, end - LOG_BLOCK_BYTES, end,
             "trailer is missing");
    }
}

/* A seal, another segment, or the root page speaks for every commit up to its number. */
static void check_end(struct pass *pass)
{
    struct log_verify *const verify = pass->verify;
    const struct segment_header *const header = segment_scan_header(pass->scan);
    if (pass->out->sealed) {
        pending_witness(pass, UINT64_MAX);
    } else if (pass->last_number != UINT64_MAX) {
        pending_witness(pass, pass->last_number);
    }
    pending_witness(pass, verify->durable_number);
    check_continued(pass);
    if (pass->last_number == UINT64_MAX && pass->next_number <= verify->durable_number &&
        log_id_equal(header->nonce, verify->durable_nonce) && pass->out->damages == 0) {
        snprintf(verify->what, sizeof verify->what,
                 "commits up to %" PRIu64 ", which the root page calls durable, are not there",
                 verify->durable_number);
        tell(pass, LOG_DAMAGE_CHAIN, LOG_EFFECT_UNKNOWN, pass->out->tail_position,
             pass->out->tail_position, verify->what);
    }
    for (size_t i = 0; i < pass->pending_count; i++) {
        pass_note(pass, pass->pending[i].damage.begin, pass->pending[i].damage.end,
                  "a tail that nothing calls durable: torn, or being written");
    }
}

/* Nothing in there can be part of the log; a node writes in an open segment. */
static void check_behind(struct pass *pass)
{
    const uint64_t capacity = segment_scan_header(pass->scan)->capacity_bytes;
    const uint64_t blocks_end = pass->size_bytes / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    uint64_t end = capacity - LOG_BLOCK_BYTES;
    struct segment_trailer trailer;
    uint64_t begin = pass->out->tail_position;
    if (pass->out->state == LOG_SEGMENT_OPEN) { return; }
    if (segment_scan_trailer(pass->scan, &trailer) == STATUS_OK) {
        begin = trailer.footer_position + trailer.footer_length_bytes;
    }
    if (end > blocks_end) { end = blocks_end; }
    if (begin < end) {
        pass_check_zeros(pass, begin, end,
                         "bytes behind the end of the segment's log: cut off by a recovery, or "
                         "abandoned; nothing reads them");
    }
    progress(pass, pass->size_bytes);
}

/* ----------------------------------------------------------------------------------- its place */

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
    tell(pass, LOG_DAMAGE_PLACE, LOG_EFFECT_UNKNOWN, 0, LOG_BLOCK_BYTES, pass->verify->what);
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
                 "the segment before it is missing, which held commit %" PRIu64,
                 header->predecessor_commit_number);
        lose_all(pass);
        tell(pass, LOG_DAMAGE_CHAIN, LOG_EFFECT_UNKNOWN, 0, LOG_BLOCK_BYTES, verify->what);
    }
    if (!segment_scan_header_is_rebuilt(pass->scan) && verify->last_number > 0 &&
        log_id_equal(verify->last_nonce, nonce) &&
        verify->last_number == header->predecessor_commit_number &&
        verify->last_crc32c != header->predecessor_commit_crc32c) {
        tell(pass, LOG_DAMAGE_CHAIN, LOG_EFFECT_UNKNOWN, 0, LOG_BLOCK_BYTES,
             "it continues another commit than the one that stands before it");
    }
    verify->seen[verify->seen_count++ % LOG_VERIFY_SEEN_MAX] = header->nonce;
}

static void check_place(struct pass *pass, const char *path)
{
    const struct segment_header *const header = segment_scan_header(pass->scan);
    if (segment_scan_header_is_rebuilt(pass->scan)) {
        check_predecessor(pass);
        return;
    }
    if (pass->size_bytes > header->capacity_bytes) {
        tell(pass, LOG_DAMAGE_LENGTH, LOG_EFFECT_NONE, header->capacity_bytes, pass->size_bytes,
             "file is longer than its header says");
    }
    if (check_name(pass, path)) { check_predecessor(pass); }
}

/* --------------------------------------------------------------------------- header and trailer */

static void check_trailer(struct pass *pass)
{
    const struct segment_header *const header = segment_scan_header(pass->scan);
    const uint64_t begin = header->capacity_bytes - LOG_BLOCK_BYTES;
    struct segment_trailer trailer;
    const enum status status = segment_scan_trailer(pass->scan, &trailer);
    pass->out->sealed = status == STATUS_OK;
    if (status == STATUS_TRUNCATED) {
        snprintf(pass->verify->what, sizeof pass->verify->what,
                 "file is cut short: it has %" PRIu64 " of %" PRIu64 " bytes", pass->size_bytes,
                 header->capacity_bytes);
        tell(pass, LOG_DAMAGE_LENGTH, LOG_EFFECT_UNKNOWN, begin, begin + LOG_BLOCK_BYTES,
             pass->verify->what);
        lose_all(pass);
    } else if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        tell(pass, LOG_DAMAGE_TRAILER, LOG_EFFECT_NONE, begin, begin + LOG_BLOCK_BYTES, "trailer");
    }
    if (pass->out->sealed) {
        pass->out->state = LOG_SEGMENT_SEALED;
    } else {
        pass->out->state = pass->last_number == UINT64_MAX ? LOG_SEGMENT_OPEN : LOG_SEGMENT_CLOSED;
    }
}

/* Header and trailer blocks: what stands behind what is under their checksums. */
static void check_frame_padding(struct pass *pass)
{
    const uint64_t capacity = segment_scan_header(pass->scan)->capacity_bytes;
    const struct {
        uint64_t position;
        size_t used_bytes;
    } frames[] = {{0, sizeof(struct segment_header_wire)},
                  {capacity - LOG_BLOCK_BYTES, sizeof(struct segment_trailer_wire)}};
    static const uint8_t zeros[LOG_BLOCK_BYTES] = {0};
    for (size_t i = 0; i < 2; i++) {
        const uint64_t at = frames[i].position;
        const size_t used = frames[i].used_bytes;
        if (at + LOG_BLOCK_BYTES > pass->size_bytes || (i == 1 && !pass->out->sealed)) { continue; }
        if (files_read(pass->verify->files, pass->file, at, pass->scratch, LOG_BLOCK_BYTES) !=
            STATUS_OK) {
            continue; /* the scan could not either, and it was told */
        }
        if (memcmp(pass->scratch + used, zeros, LOG_BLOCK_BYTES - used) != 0) {
            pass_note(pass, at + used, at + LOG_BLOCK_BYTES,
                      "padding that is not zero: it means nothing, and nothing reads it");
        }
    }
}

/* For commits whose own directory is gone. */
static void load_footer(struct pass *pass)
{
    struct scanned_commit commit;
    struct segment_footer footer;
    if (segment_scan_footer(pass->scan, &commit) != STATUS_OK) { return; }
    if (segment_footer_open(commit.bytes, &commit.header, &footer) != STATUS_OK) { return; }
    pass_take_names(pass, footer.topics);
    if (segment_footer_lines(&footer, &pass->footer_lines, &pass->footer_line_count) != STATUS_OK) {
        pass->footer_lines = NULL; /* less is named, nothing is missed */
    }
}

static void check_frame(struct pass *pass)
{
    static const struct log_id none = {{0}};
    const struct segment_header *const header = segment_scan_header(pass->scan);
    if (segment_scan_header_is_rebuilt(pass->scan)) {
        tell(pass, LOG_DAMAGE_HEADER, LOG_EFFECT_NONE, 0, LOG_BLOCK_BYTES, "segment header");
        pass->damaged = false; /* says nothing of the index */
    }
    check_trailer(pass);
    if (!log_id_equal(pass->verify->log_id, header->log_id)) {
        if (!log_id_equal(pass->verify->log_id, none)) {
            tell(pass, LOG_DAMAGE_PLACE, LOG_EFFECT_UNKNOWN, 0, LOG_BLOCK_BYTES,
                 "another log's segment");
            log_verify_forget(pass->verify);
        }
        pass->verify->log_id = header->log_id;
    }
    pass->next_number = header->first_commit_number;
}

/* --------------------------------------------------------------------------------- the segment */

static void check_segment(struct pass *pass, const char *path)
{
    check_frame(pass);
    load_footer(pass);
    check_frame_padding(pass);
    check_place(pass, path);
    walk(pass);
    check_end(pass);
    check_behind(pass);
}

static enum status open_scan(struct pass *pass)
{
    const enum status status =
        segment_scan_create(pass->verify->files, pass->file, pass->size_bytes, &pass->scan);
    if (status != STATUS_OK) { return status; }
    pass->scratch = aligned_alloc(LOG_BLOCK_BYTES, PASS_SCRATCH_BYTES);
    return pass->scratch != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status log_verify_segment(struct log_verify *verify, const char *path, uint64_t last_number,
                               struct log_verified *out)
{
    *out = (struct log_verified){.tail_position = LOG_BLOCK_BYTES};
    struct pass pass = {.verify = verify, .out = out, .last_number = last_number};
    enum status status = files_open(verify->files, path, FILES_READ, &pass.file, &pass.size_bytes);
    if (status != STATUS_OK) { return status; }

    out->bytes = pass.size_bytes;
    status = open_scan(&pass);
    if (status == STATUS_OK) {
        check_segment(&pass, path);
    } else if (status == STATUS_NOT_FOUND) {
        out->spare = true;
        status = STATUS_OK;
    } else if (status == STATUS_CORRUPT) {
        out->state = LOG_SEGMENT_UNREADABLE;
        tell(&pass, LOG_DAMAGE_UNREADABLE, LOG_EFFECT_UNKNOWN, 0, pass.size_bytes,
             "nothing in it can be identified");
        lose_all(&pass);
        status = STATUS_OK;
    }
    free(pass.scratch);
    free(pass.footer_lines);
    free(pass.pending);
    segment_scan_destroy(pass.scan);
    files_close(verify->files, pass.file);
    return status;
}
