#include "storage/recovery.h"

#include <stdlib.h>
#include <string.h>

#include "storage/log_chain.h"
#include "storage/log_replay.h"
#include "storage/segment_footer.h"
#include "storage/segment_look.h"

/* ---------------------------------------------------------------------- findings at the door */

/* Of a segment whose header is of this version. */
static bool trailer_is_damaged(const struct chain_segment *segment)
{
    return segment->trailer_status == STATUS_CORRUPT ||
           segment->trailer_status == STATUS_UNSUPPORTED;
}

/* Segments are made whole: a shorter file lost its end, and a trailer that names a footer which is
 * not there, that. Readers serve what still stands. */
static void report_shortened(const struct log_replay *replay, const struct chain_segment *segment)
{
    const uint64_t capacity = segment->header.capacity_bytes;
    if (segment->header_status == STATUS_OK && segment->size_bytes < capacity) {
        log_replay_report(replay, RECOVERY_FENCED, segment->number, segment->size_bytes,
                          capacity - segment->size_bytes);
        replay->log->durable_lost = true;
    } else if (segment->trailer_status == STATUS_OK && !segment->sealed &&
               segment->last_number != UINT64_MAX) {
        log_replay_report(replay, RECOVERY_FENCED, segment->number,
                          segment->trailer.footer_position, segment->trailer.footer_length_bytes);
    } else if (trailer_is_damaged(segment) && segment->last_number != UINT64_MAX) {
        log_replay_report(replay, RECOVERY_UNSEALED, segment->number,
                          (uint64_t)segment->trailer_status, 0);
    }
}

static uint32_t version_read(const struct log_replay *replay, uint64_t number)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(replay->partition, number, name);
    return segment_look_version(replay->files, name);
}

/* STATUS_UNSUPPORTED when any segment is of another format. */
static enum status report_segments(const struct log_replay *replay)
{
    const struct log_chain *const chain = replay->chain;
    enum status result = STATUS_OK;
    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_segment *const segment = &chain->segments[i];
        const enum status status = segment->status;
        if (status == STATUS_UNSUPPORTED) {
            log_replay_report(replay, RECOVERY_UNSUPPORTED, segment->number,
                              version_read(replay, segment->number), 0);
            result = STATUS_UNSUPPORTED;
        } else if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            log_replay_report(replay, RECOVERY_UNREADABLE, segment->number, (uint64_t)status, 0);
        } else if (status == STATUS_OK && segment->header_status != STATUS_OK) {
            log_replay_report(replay, RECOVERY_UNREADABLE, segment->number,
                              (uint64_t)segment->header_status, 1);
        }
        if (status == STATUS_OK && segment->in_chain) { report_shortened(replay, segment); }
        if (status == STATUS_OK && segment->in_chain && segment->predecessor_missing && i > 0) {
            const size_t below = log_chain_below(chain, i);
            if (below < chain->count) { /* the oldest one's predecessor was retired, not lost */
                log_replay_report(replay, RECOVERY_MISSING_SEGMENT, segment->number - 1, 0, 0);
            }
        }
    }
    return result;
}

static void segment_remove(const struct log_replay *replay, uint64_t number)
{
    char name[LOG_NAME_BYTES];
    log_segment_name(replay->partition, number, name);
    const enum status status = files_remove(replay->files, name);
    if (status == STATUS_OK) {
        log_replay_report(replay, RECOVERY_REMOVED_SPARE, number, 0, 0);
    } else {
        log_replay_report(replay, RECOVERY_UNREADABLE, number, (uint64_t)status, 0);
    }
}

static void remove_spares(const struct log_replay *replay)
{
    for (size_t i = 0; i < replay->chain->count; i++) {
        const struct chain_segment *const segment = &replay->chain->segments[i];
        if (segment->status == STATUS_NOT_FOUND) { segment_remove(replay, segment->number); }
    }
}

/* A disk refused it, and its commits were written again to the next segment: the process ended
 * before it could remove it. The numbers of first commits say so, which survive a torn header. Of
 * the same life only: another one's may be a segment that could not be read when the next was
 * opened. */
static bool was_given_up(const struct log_chain *chain, size_t index)
{
    const struct chain_segment *const segment = &chain->segments[index];
    const size_t above = log_chain_above(chain, index);
    if (segment->status != STATUS_OK || segment->in_chain) { return false; }
    if (above == chain->count) { return false; }
    const struct chain_segment *const next = &chain->segments[above];
    return next->header.incarnation == segment->header.incarnation &&
           next->header.first_commit_number <= segment->header.first_commit_number;
}

static void remove_given_up(const struct log_replay *replay)
{
    for (size_t i = 0; i < replay->chain->count; i++) {
        if (was_given_up(replay->chain, i)) {
            segment_remove(replay, replay->chain->segments[i].number);
        }
    }
}

/* Cut off, or opened and never written: nothing in it was ever durable with all before it. After
 * the seal below, so that a crash in between finds the same verdict. */
static void remove_cut_segments(const struct log_replay *replay)
{
    for (size_t i = replay->chain->count; i-- > replay->top + 1;) {
        const struct chain_segment *const segment = &replay->chain->segments[i];
        if (segment->status == STATUS_OK && segment->in_chain) {
            segment_remove(replay, segment->number);
        }
    }
}

/* ----------------------------------------------------------------------------------- the seal */

static const struct chain_segment *top_of(const struct log_replay *replay)
{
    return &replay->chain->segments[replay->top];
}

/* A header that the crash tore, or that rotted: the next start and every reader need not guess what
 * its segment continues. */
static enum status header_write(const struct log_replay *replay, int file,
                                const struct chain_segment *segment)
{
    if (segment->header_status == STATUS_OK || !segment->header_complete) { return STATUS_OK; }
    uint8_t *const block = aligned_alloc(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
    if (block == NULL) { return STATUS_NO_MEMORY; }
    segment_header_encode(&segment->header, block);
    const enum status status =
        files_write(replay->files, file, 0, bytes_of(block, LOG_BLOCK_BYTES));
    free(block);
    return status;
}

/* One that says the same is left alone: it may be the only witness of what the footer lies over,
 * and a write can tear it. */
static bool trailer_stands(const struct chain_segment *segment,
                           const struct segment_trailer *trailer)
{
    const struct segment_trailer *const there = &segment->trailer;
    return segment->trailer_status == STATUS_OK && log_id_equal(there->nonce, trailer->nonce) &&
           there->footer_position == trailer->footer_position &&
           there->footer_number == trailer->footer_number &&
           there->footer_length_bytes == trailer->footer_length_bytes;
}

static enum status trailer_write(const struct log_replay *replay, int file,
                                 const struct chain_segment *segment,
                                 const struct commit_header *footer)
{
    const struct segment_header *const header = &segment->header;
    if (segment->size_bytes < header->capacity_bytes) { return STATUS_TRUNCATED; }
    const struct segment_trailer trailer = {
        .nonce = header->nonce,
        .footer_position = footer->position,
        .footer_number = footer->number,
        .footer_length_bytes = footer->length_bytes,
    };
    if (trailer_stands(segment, &trailer)) { return STATUS_OK; }
    uint8_t *const block = aligned_alloc(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
    if (block == NULL) { return STATUS_NO_MEMORY; }
    segment_trailer_encode(&trailer, block);
    const enum status status =
        files_write(replay->files, file, header->capacity_bytes - LOG_BLOCK_BYTES,
                    bytes_of(block, LOG_BLOCK_BYTES));
    free(block);
    return status;
}

/* Where the footer goes: behind the last good commit, or where a trailer already says. */
static uint64_t footer_position(const struct log_replay *replay)
{
    const struct chain_segment *const top = top_of(replay);
    if (top->trailer_status == STATUS_OK && top->trailer.footer_position >= replay->tail_position) {
        return top->trailer.footer_position;
    }
    return replay->tail_position;
}

/* The trailer goes first. It bounds every later scan to the footer, so that what is left of a torn
 * tail behind it is never taken for a commit; and it testifies that everything in front of the
 * footer was durable, should the only commit that says so lie under the footer. */
static enum status footer_write(struct log_replay *replay, int file,
                                const struct commit_header *footer, struct bytes commit)
{
    const uint64_t end = top_of(replay)->header.capacity_bytes - LOG_BLOCK_BYTES;
    if (footer->position > end || commit.len_bytes > end - footer->position) { return STATUS_FULL; }
    enum status status = trailer_write(replay, file, top_of(replay), footer);
    if (status == STATUS_OK) {
        status = files_write(replay->files, file, footer->position, commit);
    }
    return status;
}

/* A footer, and then the log goes on behind it. */
static enum status seal_with_footer(struct log_replay *replay, int file, bool skipped)
{
    const struct chain_segment *const top = top_of(replay);
    struct segment_footer_parts parts = {
        .header =
            {
                .log_id = top->header.log_id,
                .nonce = top->header.nonce,
                .incarnation = top->header.incarnation,
                .number = replay->next_number,
                .previous_crc32c = replay->previous_crc32c,
                .durable_number = replay->next_number - 1,
                .wall_ms = replay->log->last_wall_ms,
                .position = footer_position(replay),
                .lane_checkpoint = replay->log->lane_checkpoint,
            },
        .log = replay->log,
        .base_offsets = replay->base_offsets,
        .offsets_skipped = skipped,
        .index = replay->index,
        .index_count = replay->index_count,
    };
    uint8_t *commit;
    uint32_t crc;
    enum status status = segment_footer_encode(&parts, &commit, &crc);
    if (status != STATUS_OK) { return status; }
    status = footer_write(replay, file, &parts.header, bytes_of(commit, parts.header.length_bytes));
    free(commit);
    if (status != STATUS_OK) { return status; }

    replay->footer = parts.header;
    replay->footer.crc32c = crc;
    replay->footer_last = true;
    replay->top_empty = false;
    replay->next_number = parts.header.number + 1;
    replay->previous_crc32c = crc;
    return STATUS_OK;
}

static enum status segment_open(const struct log_replay *replay, uint64_t number, int *file)
{
    char name[LOG_NAME_BYTES];
    uint64_t size_bytes;
    log_segment_name(replay->partition, number, name);
    return files_open(replay->files, name, FILES_READ_WRITE, file, &size_bytes);
}

static enum status seal(struct log_replay *replay, bool skipped)
{
    const struct chain_segment *const top = top_of(replay);
    /* Behind a footer, too, something can be missing (a whole segment, says the root page): then a
     * second footer goes behind it to remember the skip, and the trailer names that one. */
    const bool footer_stands = replay->footer_last && !replay->top_empty && !skipped;
    if (footer_stands && top->sealed && top->header_status == STATUS_OK) { return STATUS_OK; }

    int file;
    enum status status = segment_open(replay, top->number, &file);
    if (status != STATUS_OK) { return status; }
    const enum status header_written = header_write(replay, file, top);
    if (!footer_stands) {
        status = seal_with_footer(replay, file, skipped);
    } else if (!top->sealed) {
        status = trailer_write(replay, file, top, &replay->footer);
    }
    if (status == STATUS_OK) { status = header_written; }
    files_close(replay->files, file);
    return status;
}

/* A crash between footer and trailer, or that tore the trailer, when the next segment was open
 * already. The footer that the next segment continues is the last: nothing else can stand behind
 * it. Readers can do without: they scan. */
static void finish_trailers(const struct log_replay *replay)
{
    for (size_t i = 0; i < replay->top; i++) {
        const struct chain_segment *const segment = &replay->chain->segments[i];
        if (!segment->in_chain || segment->sealed || !segment->ends_in_footer) { continue; }
        if (segment->footer.number != segment->last_number) { continue; }
        if (segment->trailer_status != STATUS_NOT_FOUND && !trailer_is_damaged(segment)) {
            continue;
        }
        int file;
        enum status status = segment_open(replay, segment->number, &file);
        if (status == STATUS_OK) {
            status = trailer_write(replay, file, segment, &segment->footer);
            files_close(replay->files, file);
        }
        log_replay_report(replay, status == STATUS_OK ? RECOVERY_SEALED : RECOVERY_UNSEALED,
                          segment->number, (uint64_t)status, 0);
    }
}

/* The newest segment holds nothing and the one below ends in order: it need not stay. */
static void step_below_empty_top(struct log_replay *replay)
{
    const size_t below = log_chain_below(replay->chain, replay->top);
    if (!replay->top_empty || replay->undecidable || replay->commits_uncovered > 0) { return; }
    if (below == replay->chain->count || !replay->footer_last) { return; }
    if (!log_id_equal(replay->footer.nonce, replay->chain->segments[below].header.nonce)) {
        return;
    }
    replay->top = below;
    replay->top_empty = false;
}

/* -------------------------------------------------------------------------- where it goes on */

/* The newest segment that begins at or before the commit that lanes count from. */
static uint64_t lane_segment_of(const struct log_replay *replay)
{
    const struct log_chain *const chain = replay->chain;
    for (size_t at = replay->top; at < chain->count; at = log_chain_below(chain, at)) {
        const struct chain_segment *const segment = &chain->segments[at];
        if (segment->header.first_commit_number <= replay->log->lane_checkpoint) {
            return segment->number;
        }
    }
    return 0;
}

static void resume_from(const struct log_replay *replay, struct log_resume *out)
{
    static const struct log_id unknown = {{0}};
    const struct log_chain *const chain = replay->chain;
    const struct segment_header *const header = &top_of(replay)->header;
    for (size_t i = 0; i < chain->count; i++) {
        const struct segment_header *const each = &chain->segments[i].header;
        if (!chain->segments[i].in_chain) { continue; }
        if (each->incarnation > out->incarnation) { out->incarnation = each->incarnation; }
        if (log_id_equal(each->cluster_id, unknown)) { continue; }
        out->cluster_id = each->cluster_id;
    }
    out->log_id = header->log_id;
    out->lane_segment = lane_segment_of(replay);
    out->leader_epoch = replay->leader_epoch;
    out->next_commit_number = replay->next_number;
    out->predecessor_nonce = header->nonce;
    out->predecessor_commit_number = replay->next_number - 1;
    out->predecessor_commit_crc32c = replay->previous_crc32c;
    if (replay->top_empty) {
        const size_t below = log_chain_below(chain, replay->top);
        out->predecessor_nonce =
            below < chain->count ? chain->segments[below].header.nonce : header->predecessor_nonce;
    }
}

static enum status recover_chain(struct log_replay *replay, const struct recovery_witness *witness)
{
    enum status status = log_replay_run(replay, witness);
    if (status != STATUS_OK) { return status; }
    step_below_empty_top(replay);

    const uint64_t skip = log_replay_skip(replay);
    const bool footer_stands = replay->footer_last && !replay->top_empty;
    if (skip > 0) { log_replay_skip_offsets(replay, skip); }
    const bool was_sealed = footer_stands && skip == 0 && top_of(replay)->sealed;
    status = seal(replay, skip > 0);
    if (status == STATUS_NO_MEMORY) { return status; }
    const uint64_t number = top_of(replay)->number;
    if (status != STATUS_OK) {
        log_replay_report(replay, RECOVERY_UNSEALED, number, (uint64_t)status, 0);
    } else if (!was_sealed) {
        log_replay_report(replay, RECOVERY_SEALED, number,
                          replay->next_number - top_of(replay)->header.first_commit_number, 0);
    }
    finish_trailers(replay);
    remove_given_up(replay);
    /* Without a seal they are all that tells the next start how much this one cut. */
    if (status == STATUS_OK) { remove_cut_segments(replay); }

    if (skip > 0 || (replay->footer_last && replay->offsets_skipped)) { replay->leader_epoch++; }
    if (skip > 0) {
        log_replay_report(replay, RECOVERY_SKIPPED_OFFSETS, number, skip, replay->leader_epoch);
    }
    return STATUS_OK;
}

/* A disk that answers no read now may do so later: the log must not start over meanwhile. */
static enum status nothing_read(const struct log_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        const enum status status = chain->segments[i].status;
        if (status == STATUS_IO || status == STATUS_NO_MEMORY) { return status; }
    }
    return STATUS_OK;
}

/* Files are there and none can be read as a segment: the log starts over, above their numbers. */
static void resume_from_nothing(struct log_resume *out)
{
    out->leader_epoch = 1;
    out->next_commit_number = 1;
}

/* No segment says which topics there were, so no offset can be skipped: what comes now is a new log
 * with an id, and topic ids, of its own. */
static void tell_lost_log(const struct log_replay *replay, const struct recovery_witness *witness)
{
    if (witness == NULL || !witness->valid || witness->durable_number == 0) { return; }
    log_replay_report(replay, RECOVERY_LOST_LOG, 0, witness->durable_number, 0);
    replay->log->durable_lost = true;
    replay->log->leader_epoch = 1;
}

/* Above all that is the log's or, on a disk that does not answer, may be. A file that says that it
 * belongs elsewhere does not count, nor an unreadable one whose number nobody counts up to: the
 * segment supply steps over their names. */
static uint64_t next_segment_number(const struct log_chain *chain)
{
    static const uint64_t nobody_counts_up_to = UINT64_C(1) << 48;
    uint64_t highest = 0;
    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_segment *const segment = &chain->segments[i];
        if (segment->status == STATUS_INVALID) { continue; }
        if (segment->number < nobody_counts_up_to) { highest = segment->number; }
    }
    return highest + 1;
}

static enum status recover_loaded(struct log_replay *replay, const struct recovery_witness *witness)
{
    const struct log_chain *const chain = replay->chain;
    enum status status = report_segments(replay);
    if (status != STATUS_OK) { return status; }
    remove_spares(replay);

    bool only_spares = true;
    for (size_t i = 0; i < chain->count; i++) {
        only_spares = only_spares && chain->segments[i].status == STATUS_NOT_FOUND;
    }
    if (only_spares) {
        tell_lost_log(replay, witness);
        return STATUS_NOT_FOUND;
    }

    replay->log->next_segment_number = next_segment_number(chain);
    if (log_chain_top(chain) == chain->count) {
        status = nothing_read(chain);
        if (status != STATUS_OK) { return status; }
        tell_lost_log(replay, witness);
        resume_from_nothing(replay->log);
        return STATUS_OK;
    }
    status = recover_chain(replay, witness);
    if (status == STATUS_OK) { resume_from(replay, replay->log); }
    return status;
}

enum status recovery_run(struct files files, uint32_t partition,
                         const struct recovery_witness *witness,
                         const struct recovery_report *report, struct log_resume *out)
{
    struct log_chain chain;
    const struct log_chain_scope whole = {0};
    const enum status listed = log_chain_load(files, partition, whole, &chain);
    if (listed != STATUS_OK && listed != STATUS_NOT_FOUND) { return listed; }

    struct log_replay *const replay = calloc(1, sizeof *replay);
    enum status status = STATUS_NO_MEMORY;
    if (replay != NULL) {
        replay->files = files;
        replay->partition = partition;
        replay->chain = &chain;
        replay->report = report;
        replay->log = out;
        status = recover_loaded(replay, witness);
        log_replay_deinit(replay);
    }
    free(replay);
    log_chain_free(&chain);
    return status;
}
