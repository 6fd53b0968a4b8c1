#include "storage/segment_scan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "wire/record_batch.h"

enum {
    WINDOW_BYTES = 1 << 20,         /* one read, where a commit is not larger */
    FIRST_COMMIT = LOG_BLOCK_BYTES, /* behind the header block */
    SEGMENT_BLOCKS_MIN = 3,         /* header, one commit, trailer */
};

struct segment_scan {
    struct files files;
    int file;
    uint64_t size_bytes; /* whole blocks that can be read */

    struct segment_header header;
    enum status header_status;
    struct segment_trailer trailer;
    enum status trailer_status;

    uint64_t end;      /* commits lie below */
    uint64_t position; /* where the next one is expected */
    uint64_t next_number;
    uint32_t previous_crc32c;
    bool footer_seen;

    /* Header, trailer and footer are read as they are; ahead only once a walk has begun. */
    size_t read_ahead_bytes;
    uint8_t *window;
    size_t window_capacity;
    uint64_t window_position;
    size_t window_bytes;
};

static bool all_zero(struct bytes bytes)
{
    if (bytes.len_bytes == 0) { return true; }
    return bytes.at[0] == 0 && memcmp(bytes.at, bytes.at + 1, bytes.len_bytes - 1) == 0;
}

/* ------------------------------------------------------------------------------ the window */

static enum status window_grow(struct segment_scan *scan, size_t capacity_bytes)
{
    if (capacity_bytes <= scan->window_capacity) { return STATUS_OK; }
    uint8_t *const grown = aligned_alloc(LOG_BLOCK_BYTES, capacity_bytes);
    if (grown == NULL) { return STATUS_NO_MEMORY; }
    free(scan->window);
    scan->window = grown;
    scan->window_capacity = capacity_bytes;
    scan->window_bytes = 0;
    return STATUS_OK;
}

static void read_ahead(struct segment_scan *scan)
{
    scan->read_ahead_bytes =
        scan->size_bytes < WINDOW_BYTES ? (size_t)scan->size_bytes : WINDOW_BYTES;
}

/* [position, position + len_bytes) of the file, which has them. Both are whole blocks. */
static enum status window_want(struct segment_scan *scan, uint64_t position, size_t len_bytes,
                               struct bytes *out)
{
    assert(position <= scan->size_bytes);
    assert(len_bytes <= scan->size_bytes - position);

    const uint64_t begin = position - scan->window_position;
    if (position < scan->window_position || begin > scan->window_bytes ||
        len_bytes > scan->window_bytes - begin) {
        size_t read_bytes = len_bytes > scan->read_ahead_bytes ? len_bytes : scan->read_ahead_bytes;
        enum status status = window_grow(scan, read_bytes);
        if (status != STATUS_OK) { return status; }

        const uint64_t left_bytes = scan->size_bytes - position;
        if (read_bytes > left_bytes) { read_bytes = (size_t)left_bytes; }
        scan->window_bytes = 0;
        status = files_read(scan->files, scan->file, position, scan->window, read_bytes);
        if (status != STATUS_OK && read_bytes > len_bytes) {
            /* Read ahead met a bad sector: what is wanted may still be readable. */
            read_bytes = len_bytes;
            status = files_read(scan->files, scan->file, position, scan->window, read_bytes);
        }
        if (status != STATUS_OK) { return status; }
        scan->window_position = position;
        scan->window_bytes = read_bytes;
    }
    *out = bytes_of(scan->window + (position - scan->window_position), len_bytes);
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------ one commit */

enum verdict {
    VERDICT_GOOD,
    VERDICT_DAMAGED, /* header and directory hold, an entry's bytes do not */
    VERDICT_NONE,    /* no commit of this segment stands here */
    VERDICT_IO,
};

/* The whole commit at `position`, if its header can be believed. The nonce (NULL: not known) is
 * asked first: bytes that a producer made up to look like a commit cost no read ahead. */
static enum verdict commit_load(struct segment_scan *scan, uint64_t position,
                                const struct log_id *nonce, struct bytes *out,
                                struct commit_header *header)
{
    struct bytes bytes;
    if (window_want(scan, position, LOG_BLOCK_BYTES, &bytes) != STATUS_OK) { return VERDICT_IO; }
    enum status status = commit_header_decode(bytes, header);
    if (status != STATUS_OK && status != STATUS_TRUNCATED) { return VERDICT_NONE; }

    /* Not under a checksum yet when the directory reaches past the block: bounded before use. */
    const struct commit_header_wire *const wire = (const struct commit_header_wire *)bytes.at;
    const size_t length_bytes = load_le32(wire->length_bytes_le32);
    if (nonce != NULL && memcmp(wire->nonce, nonce->bytes, LOG_ID_BYTES) != 0) {
        return VERDICT_NONE;
    }
    if (length_bytes < LOG_BLOCK_BYTES || length_bytes > scan->end - position) {
        return VERDICT_NONE;
    }
    if (window_want(scan, position, length_bytes, &bytes) != STATUS_OK) { return VERDICT_IO; }
    if (status == STATUS_TRUNCATED && commit_header_decode(bytes, header) != STATUS_OK) {
        return VERDICT_NONE;
    }
    *out = bytes;
    return VERDICT_GOOD;
}

static bool entries_hold(struct bytes commit, uint32_t entry_count)
{
    for (uint32_t i = 0; i < entry_count; i++) {
        const struct entry entry = entry_decode(commit, i);
        struct bytes bytes;
        if (entry_bytes(commit, &entry, &bytes) != STATUS_OK) { return false; }
    }
    return true;
}

static enum verdict commit_judge(struct segment_scan *scan, uint64_t position,
                                 struct scanned_commit *out)
{
    assert(position < scan->end);
    *out = (struct scanned_commit){.position = position};
    struct commit_header header;
    struct bytes bytes;
    const enum verdict verdict = commit_load(scan, position, &scan->header.nonce, &bytes, &header);
    if (verdict != VERDICT_GOOD) { return verdict; }

    if (!log_id_equal(header.log_id, scan->header.log_id)) { return VERDICT_NONE; }
    if (header.position != position) { return VERDICT_NONE; }

    out->header = header;
    out->bytes = bytes;
    return entries_hold(bytes, header.entry_count) ? VERDICT_GOOD : VERDICT_DAMAGED;
}

/* ------------------------------------------------------------------------ header, trailer */

/* The first commit repeats what matters of a header that is damaged. Also tells a flipped version
 * field from a newer format, whose commits this build could not read either. */
/* The leader epoch that the first batch of a commit was given; 0: it has none that holds. */
static uint32_t epoch_of_batches(struct bytes commit, const struct commit_header *header)
{
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(commit, i);
        struct bytes batch;
        struct record_batch_header facts;
        if (entry.type != ENTRY_RECORDS) { continue; }
        if (entry_bytes(commit, &entry, &batch) != STATUS_OK) { continue; }
        if (record_batch_header_decode(batch, &facts) != STATUS_OK) { continue; }
        if (facts.leader_epoch > 0) { return (uint32_t)facts.leader_epoch; }
    }
    return 0;
}

static bool header_rebuild(struct segment_scan *scan)
{
    struct bytes bytes;
    struct commit_header commit;
    scan->end = scan->size_bytes - LOG_BLOCK_BYTES;
    if (commit_load(scan, FIRST_COMMIT, NULL, &bytes, &commit) != VERDICT_GOOD) { return false; }
    if (commit.position != FIRST_COMMIT || commit.number == 0) { return false; }

    scan->header = (struct segment_header){
        .log_id = commit.log_id,
        .nonce = commit.nonce,
        .capacity_bytes = scan->size_bytes,
        .leader_epoch = epoch_of_batches(bytes, &commit),
        .incarnation = commit.incarnation,
        .first_commit_number = commit.number,
        .predecessor_commit_number = commit.number - 1,
        .predecessor_commit_crc32c = commit.previous_crc32c,
        .created_wall_ms = commit.wall_ms,
    };
    return true;
}

static bool header_is_sane(const struct segment_header *header)
{
    return header->capacity_bytes % LOG_BLOCK_BYTES == 0 &&
           header->capacity_bytes >= SEGMENT_BLOCKS_MIN * LOG_BLOCK_BYTES &&
           header->capacity_bytes <= INT64_MAX && header->first_commit_number > 0;
}

static bool block_is_zero(struct segment_scan *scan, uint64_t position)
{
    struct bytes block;
    if (window_want(scan, position, LOG_BLOCK_BYTES, &block) != STATUS_OK) { return false; }
    return all_zero(block);
}

static enum status header_load(struct segment_scan *scan)
{
    struct bytes block;
    enum status status = window_want(scan, 0, LOG_BLOCK_BYTES, &block);
    if (status == STATUS_OK) { status = segment_header_decode(block, &scan->header); }
    if (status == STATUS_OK && !header_is_sane(&scan->header)) { status = STATUS_CORRUPT; }
    if (status == STATUS_NOT_FOUND) {
        /* A header that rotted to zeros is no spare: its first commit or its trailer is there. */
        const bool spare = block_is_zero(scan, FIRST_COMMIT) &&
                           block_is_zero(scan, scan->size_bytes - LOG_BLOCK_BYTES);
        if (spare) { return STATUS_NOT_FOUND; }
        status = STATUS_CORRUPT;
    }
    scan->header_status = status;
    if (status == STATUS_OK || status == STATUS_NO_MEMORY) { return status; }
    return header_rebuild(scan) ? STATUS_OK : status;
}

static bool trailer_is_sane(const struct segment_scan *scan, const struct segment_trailer *trailer)
{
    const uint64_t end = scan->header.capacity_bytes - LOG_BLOCK_BYTES;
    if (!log_id_equal(trailer->nonce, scan->header.nonce)) { return false; }
    if (trailer->footer_number == 0) { return false; }
    if (trailer->footer_position % LOG_BLOCK_BYTES != 0) { return false; }
    if (trailer->footer_length_bytes % LOG_BLOCK_BYTES != 0) { return false; }
    if (trailer->footer_position < FIRST_COMMIT || trailer->footer_position >= end) {
        return false;
    }
    return trailer->footer_length_bytes > 0 &&
           trailer->footer_length_bytes <= end - trailer->footer_position;
}

/* Where it names the footer, what stands behind that is not part of the log (recovery may have put
 * the footer over a torn tail). */
static void trailer_load(struct segment_scan *scan)
{
    const uint64_t capacity = scan->header.capacity_bytes;
    struct bytes block;
    if (capacity > scan->size_bytes) {
        scan->trailer_status = STATUS_TRUNCATED;
        scan->end = scan->size_bytes;
        return;
    }
    scan->end = capacity - LOG_BLOCK_BYTES;
    enum status status = window_want(scan, scan->end, LOG_BLOCK_BYTES, &block);
    if (status == STATUS_OK) { status = segment_trailer_decode(block, &scan->trailer); }
    if (status == STATUS_OK && !trailer_is_sane(scan, &scan->trailer)) { status = STATUS_CORRUPT; }
    if (status == STATUS_OK) {
        scan->end = scan->trailer.footer_position + scan->trailer.footer_length_bytes;
    }
    scan->trailer_status = status;
}

enum status segment_scan_create(struct files files, int file, uint64_t size_bytes,
                                struct segment_scan **out)
{
    if (size_bytes < SEGMENT_BLOCKS_MIN * LOG_BLOCK_BYTES) { return STATUS_CORRUPT; }
    struct segment_scan *const scan = calloc(1, sizeof *scan);
    if (scan == NULL) { return STATUS_NO_MEMORY; }
    scan->files = files;
    scan->file = file;
    scan->size_bytes = size_bytes - size_bytes % LOG_BLOCK_BYTES;

    const enum status status = header_load(scan);
    if (status != STATUS_OK) {
        segment_scan_destroy(scan);
        return status;
    }
    trailer_load(scan);
    scan->position = FIRST_COMMIT;
    scan->next_number = scan->header.first_commit_number;
    scan->previous_crc32c = scan->header.predecessor_commit_crc32c;
    *out = scan;
    return STATUS_OK;
}

void segment_scan_destroy(struct segment_scan *scan)
{
    if (scan == NULL) { return; }
    free(scan->window);
    free(scan);
}

const struct segment_header *segment_scan_header(const struct segment_scan *scan)
{
    return &scan->header;
}

bool segment_scan_header_is_rebuilt(const struct segment_scan *scan)
{
    return scan->header_status != STATUS_OK;
}

enum status segment_scan_header_status(const struct segment_scan *scan)
{
    return scan->header_status;
}

enum status segment_scan_trailer(const struct segment_scan *scan, struct segment_trailer *out)
{
    if (scan->trailer_status == STATUS_OK) { *out = scan->trailer; }
    return scan->trailer_status;
}

enum status segment_scan_footer(struct segment_scan *scan, struct scanned_commit *out)
{
    if (scan->trailer_status != STATUS_OK) { return scan->trailer_status; }
    const enum verdict verdict = commit_judge(scan, scan->trailer.footer_position, out);
    if (verdict == VERDICT_IO) { return STATUS_IO; }
    if (verdict != VERDICT_GOOD) { return STATUS_CORRUPT; }
    if ((out->header.flags & COMMIT_FLAG_FOOTER) == 0) { return STATUS_CORRUPT; }
    if (out->header.number != scan->trailer.footer_number) { return STATUS_CORRUPT; }
    return STATUS_OK;
}

uint64_t segment_scan_position(const struct segment_scan *scan) { return scan->position; }

/* -------------------------------------------------------------------------------- the walk */

static void scan_step_over(struct segment_scan *scan, const struct scanned_commit *commit)
{
    scan->position = commit->position + commit->header.length_bytes;
    scan->next_number = commit->header.number + 1;
    scan->previous_crc32c = commit->header.crc32c;
    scan->footer_seen = (commit->header.flags & COMMIT_FLAG_FOOTER) != 0;
}

static bool continues_chain(const struct segment_scan *scan, const struct commit_header *header)
{
    return header->number == scan->next_number && header->previous_crc32c == scan->previous_crc32c;
}

bool segment_scan_goes_on(struct segment_scan *scan)
{
    return !scan->footer_seen && scan->position < scan->end && !block_is_zero(scan, scan->position);
}

uint64_t segment_scan_written_end(struct segment_scan *scan, uint64_t position)
{
    uint64_t end = position;
    read_ahead(scan);
    for (uint64_t at = position; at < scan->end; at += LOG_BLOCK_BYTES) {
        if (!block_is_zero(scan, at)) { end = at + LOG_BLOCK_BYTES; }
    }
    return end;
}

/* SCAN_END when nothing but zeros lies from the scan's position to its end. */
static enum scan_result look_for_anything(struct segment_scan *scan)
{
    for (uint64_t at = scan->position; at < scan->end;) {
        const uint64_t left_bytes = scan->end - at;
        const size_t step = left_bytes < WINDOW_BYTES ? (size_t)left_bytes : WINDOW_BYTES;
        struct bytes bytes;
        if (window_want(scan, at, step, &bytes) != STATUS_OK) { return SCAN_IO; }
        if (!all_zero(bytes)) { return SCAN_BAD; }
        at += step;
    }
    return SCAN_END;
}

enum scan_result segment_scan_next(struct segment_scan *scan, struct scanned_commit *out)
{
    *out = (struct scanned_commit){.position = scan->position};
    read_ahead(scan);
    if (scan->footer_seen || scan->position >= scan->end) { return SCAN_END; }

    const enum verdict verdict = commit_judge(scan, scan->position, out);
    if (verdict == VERDICT_IO) { return SCAN_IO; }
    if (verdict == VERDICT_NONE) { return look_for_anything(scan); }
    if (!continues_chain(scan, &out->header)) { return SCAN_BAD; }

    scan_step_over(scan, out);
    out->directory_holds = true;
    return verdict == VERDICT_GOOD ? SCAN_COMMIT : SCAN_BAD;
}

enum scan_result segment_scan_resync(struct segment_scan *scan, struct scanned_commit *out)
{
    *out = (struct scanned_commit){.position = scan->position};
    read_ahead(scan);
    if (scan->footer_seen) { return SCAN_END; }
    for (uint64_t at = scan->position; at < scan->end; at += LOG_BLOCK_BYTES) {
        if (commit_judge(scan, at, out) != VERDICT_GOOD) { continue; }
        if (out->header.number < scan->next_number) { continue; }
        scan_step_over(scan, out);
        out->directory_holds = true;
        return SCAN_COMMIT;
    }
    return SCAN_END;
}
