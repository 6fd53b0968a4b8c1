/* The second step: what the commits of the logs say of the producer's lanes, and what is stored. */
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"
#include "storage/segment_scan.h"
#include "tools/audit.h"
#include "tools/stored_batch.h"
#include "wire/lane_format.h"

enum { LANE_ITEMS_ARE_STATES = LANE_CHECKPOINT | LANE_IMPORTED | LANE_FORGOTTEN };

/* The records of one batch of the commit at hand, as their digests. */
struct batch {
    int32_t topic;
    uint64_t base_offset;
    uint32_t record_count;
    bool read;
    bool whole;     /* it holds what its directory line says */
    size_t digests; /* where its digests begin */
    struct entry entry;
};

struct walk {
    struct audit *audit;
    struct segment_paths *paths;
    const char *path;
    uint32_t log; /* which one, from 1 */
    bool beginning_is_gone;
    uint32_t partition;
    uint64_t segment;
    uint64_t last_number;    /* commits behind it were abandoned */
    uint64_t durable_number; /* what does not hold behind it is being written, or a torn tail */
    uint32_t order;
    /* of the commit at hand */
    const struct scanned_commit *commit;
    struct batch *batches;
    size_t batch_count, batch_capacity;
    uint32_t *digests;
    size_t digest_count, digest_capacity;
    uint64_t topic_order[LOG_TOPICS_MAX]; /* + 1: the offset behind a topic's last run */
    uint32_t topic_piece[LOG_TOPICS_MAX]; /* of this piece, else nothing is known */
    struct record_digest digest;
};

/* ------------------------------------------------------------------------------------- digests */

static bool record_digests(struct walk *walk, const struct batch *batch,
                           struct stored_batch *stored)
{
    struct record_batch_record record;
    for (uint32_t i = 0; i < batch->record_count; i++) {
        if (stored_batch_next(stored, &record) != STATUS_OK) { return false; }
        if ((uint64_t)record.offset != batch->base_offset + i) { return false; }
        walk->digests = audit_grow(walk->digests, walk->digest_count, &walk->digest_capacity,
                                   sizeof walk->digests[0]);
        uint32_t *const digest = &walk->digests[walk->digest_count++];
        if (!record_digest_of(&walk->digest, &record, digest)) { return false; }
    }
    return true;
}

static bool batch_digest(struct walk *walk, struct batch *batch)
{
    struct bytes bytes;
    struct stored_batch stored;
    if (entry_bytes(walk->commit->bytes, &batch->entry, &bytes) != STATUS_OK) { return false; }
    if (stored_batch_open(&stored, bytes, batch->base_offset, batch->record_count) != NULL) {
        return false;
    }
    batch->digests = walk->digest_count;
    const bool whole = record_digests(walk, batch, &stored);
    stored_batch_close(&stored);
    return whole;
}

/* The digests of the run's records; NULL: they are not in this commit. Valid until the next call.
 */
static const uint32_t *digests_of(struct walk *walk, const struct lane_run *run)
{
    for (size_t i = 0; i < walk->batch_count; i++) {
        struct batch *const batch = &walk->batches[i];
        if (batch->topic != run->topic || run->base_offset < batch->base_offset) { continue; }
        const uint64_t index = run->base_offset - batch->base_offset;
        if (index > batch->record_count || run->count > batch->record_count - index) { continue; }
        if (!batch->read) {
            batch->read = true;
            batch->whole = batch_digest(walk, batch);
        }
        return batch->whole ? &walk->digests[batch->digests + index] : NULL;
    }
    return NULL;
}

/* -------------------------------------------------------------------------------------- pieces */

/* The first mark that is not below `sequence`. */
static size_t mark_place(const struct audit_lane *lane, uint64_t sequence)
{
    size_t low = 0;
    size_t high = lane->mark_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (lane->marks[middle].sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How the fold over a piece's records stands. */
struct folding {
    struct audit_lane *lane;
    uint32_t piece;
    struct hash_fold fold;
    uint64_t sequence; /* the next record's */
    size_t mark;       /* the next one, at `sequence` or above */
    bool exact;        /* all so far were stored, so that `fold` says it all */
};

static void fold_one(struct folding *folding, bool hashed, uint64_t share)
{
    if (hashed) { hash_fold_add(&folding->fold, share); }
    struct audit_lane *const lane = folding->lane;
    if (folding->mark < lane->mark_count &&
        lane->marks[folding->mark].sequence == folding->sequence) {
        struct audit_mark *const mark = &lane->marks[folding->mark++];
        if (folding->exact && !mark->known) {
            mark->fold = folding->fold;
            mark->piece = folding->piece;
            mark->known = true;
        }
    }
    folding->sequence++;
}

static void fold_run(struct folding *folding, const struct lane_run *run, const uint32_t *digests)
{
    if (run->fate != NATIVE_STORED && run->fate != NATIVE_LOST) { folding->exact = false; }
    for (uint32_t i = 0; i < run->count; i++) {
        fold_one(folding, run->fate != NATIVE_LOST, digests != NULL ? (uint64_t)digests[i] + 1 : 0);
    }
}

/* Of one lane and topic, later sequences have higher offsets. */
static bool run_is_in_order(struct walk *walk, const struct lane_run *run)
{
    if (run->topic < 0 || run->topic >= LOG_TOPICS_MAX) { return true; }
    uint64_t *const behind = &walk->topic_order[run->topic];
    uint32_t *const piece = &walk->topic_piece[run->topic];
    const bool good = *piece != walk->order || run->base_offset >= *behind;
    *piece = walk->order;
    *behind = run->base_offset + run->count;
    return good;
}

static void find_run(struct audit_lane *lane, uint64_t first, const struct lane_run *run,
                     uint32_t piece)
{
    if (lane->found_count > 0) {
        struct audit_run *const youngest = &lane->found[lane->found_count - 1];
        if (youngest->fate == run->fate && youngest->piece == piece &&
            youngest->last + 1 == first) {
            youngest->last += run->count;
            return;
        }
    }
    lane->found =
        audit_grow(lane->found, lane->found_count, &lane->found_capacity, sizeof lane->found[0]);
    lane->found[lane->found_count++] =
        (struct audit_run){first, first + run->count - 1, piece, run->fate};
}

static void take_point(struct audit_lane *lane, uint64_t sequence, uint64_t hash)
{
    if (lane->point_count > 0) {
        const struct audit_point *const last = &lane->points[lane->point_count - 1];
        if (last->sequence == sequence && last->hash == hash) { return; }
    }
    lane->points =
        audit_grow(lane->points, lane->point_count, &lane->point_capacity, sizeof lane->points[0]);
    lane->points[lane->point_count++] = (struct audit_point){sequence, hash};
}

static void take_piece(struct walk *walk, struct audit_lane *lane, const struct lane_item *item)
{
    walk->order++;
    struct folding folding = {.lane = lane,
                              .piece = (uint32_t)lane->piece_count,
                              .fold = hash_fold_none(),
                              .sequence = item->first_sequence,
                              .mark = mark_place(lane, item->first_sequence),
                              .exact = true};
    struct audit_piece piece = {.first = item->first_sequence,
                                .last = item->state.last_sequence,
                                .partition = walk->partition,
                                .order = walk->order,
                                .segment = walk->segment,
                                .commit = walk->commit->header.number,
                                .hash = item->state.hash,
                                .generation = lane->generation,
                                .has_records = true,
                                .in_order = true};
    for (uint32_t i = 0; i < item->run_count; i++) {
        const struct lane_run run = lane_item_run(item, i);
        const uint32_t *digests = NULL;
        find_run(lane, folding.sequence, &run, folding.piece);
        if (run.fate == NATIVE_STORED) {
            digests = digests_of(walk, &run);
            piece.has_records = piece.has_records && digests != NULL;
            piece.in_order = run_is_in_order(walk, &run) && piece.in_order;
        }
        folding.exact = folding.exact && piece.has_records;
        fold_run(&folding, &run, digests);
    }
    piece.fold = folding.fold;
    piece.fold.sum += item->unstored;
    lane->pieces =
        audit_grow(lane->pieces, lane->piece_count, &lane->piece_capacity, sizeof lane->pieces[0]);
    lane->pieces[lane->piece_count++] = piece;
    walk->audit->commits++;
}

/* --------------------------------------------------------------------------------------- items */

/* How far the lane was before the oldest commit that the log still has. */
static void meet_lane(struct walk *walk, struct audit_lane *lane, const struct lane_item *item)
{
    if (lane->log == walk->log) { return; }
    lane->log = walk->log;
    lane->generation = 0;
    if (!walk->beginning_is_gone) { return; }
    const bool delta = (item->flags & LANE_ITEMS_ARE_STATES) == 0 && item->run_count > 0;
    const uint64_t reached = delta ? item->first_sequence - 1 : item->state.last_sequence;
    if (reached > lane->expired_to) { lane->expired_to = reached; }
}

static void take_item(struct walk *walk, const struct lane_item *item)
{
    if (memcmp(&item->state.key.producer, &walk->audit->producer, sizeof walk->audit->producer) !=
        0) {
        return;
    }
    struct audit_lane *const lane = audit_lane_find(walk->audit, item->state.key.number);
    if (lane == NULL) { return; }
    meet_lane(walk, lane, item);
    if ((item->flags & LANE_ITEMS_ARE_STATES) == 0 && item->run_count > 0) {
        take_piece(walk, lane, item);
    }
    take_point(lane, item->state.last_sequence, item->state.hash);
    if ((item->flags & LANE_FORGOTTEN) != 0) { lane->generation++; }
}

static void take_commit(struct walk *walk, const struct scanned_commit *commit)
{
    struct bytes lanes = bytes_null();
    walk->commit = commit;
    walk->batch_count = 0;
    walk->digest_count = 0;
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type == ENTRY_LANES && entry_bytes(commit->bytes, &entry, &lanes) != STATUS_OK) {
            lanes = bytes_null();
        }
        if (entry.type != ENTRY_RECORDS) { continue; }
        walk->batches = audit_grow(walk->batches, walk->batch_count, &walk->batch_capacity,
                                   sizeof walk->batches[0]);
        walk->batches[walk->batch_count++] = (struct batch){.topic = entry.topic,
                                                            .base_offset = entry.base_offset,
                                                            .record_count = entry.record_count,
                                                            .entry = entry};
    }
    struct lane_item item;
    while (lanes.len_bytes > 0 && lane_item_decode(&lanes, &item) == STATUS_OK) {
        take_item(walk, &item);
    }
}

/* ------------------------------------------------------------------------------------ segments */

static void tell_unreadable(struct walk *walk, uint64_t position)
{
    const struct audit_finding finding = {
        .kind = AUDIT_UNREADABLE, .path = walk->path, .position = position};
    audit_tell(walk->audit, &finding);
}

/* What does not hold is a finding if it was durable and something good follows it: else it is being
 * written, in any order with what follows, or a tail, and was never acknowledged. */
static void walk_segment(struct walk *walk, struct segment_scan *scan)
{
    struct scanned_commit commit;
    uint64_t number = segment_scan_header(scan)->first_commit_number;
    enum scan_result result = segment_scan_next(scan, &commit);
    while (result != SCAN_END) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (known) { number = commit.header.number; }
        if (number > walk->last_number) { return; }
        if (result != SCAN_COMMIT && number > walk->durable_number) { return; }
        if (result != SCAN_COMMIT && known) { tell_unreadable(walk, commit.position); }
        if (known) {
            take_commit(walk, &commit);
            number++;
            result = segment_scan_next(scan, &commit);
            continue;
        }
        const uint64_t position = commit.position;
        result = segment_scan_resync(scan, &commit);
        if (result == SCAN_COMMIT) { tell_unreadable(walk, position); }
    }
}

/* The highest commit that one of an open segment calls durable. */
static uint64_t durable_in(struct segment_scan *scan)
{
    uint64_t durable_number = 0;
    struct scanned_commit commit;
    enum scan_result result;
    while ((result = segment_scan_next(scan, &commit)) != SCAN_END) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (!known && segment_scan_resync(scan, &commit) != SCAN_COMMIT) { break; }
        if (commit.header.durable_number > durable_number) {
            durable_number = commit.header.durable_number;
        }
    }
    return durable_number;
}

/* A seal and the next segment speak for all commits up to theirs. An open segment is read for this
 * before it is walked: what was durable then is there by now. */
static enum status learn_durable(struct walk *walk, struct files files, int file,
                                 uint64_t size_bytes)
{
    struct segment_scan *scan = NULL;
    struct segment_trailer trailer;
    walk->durable_number = walk->last_number;
    if (walk->last_number != UINT64_MAX) { return STATUS_OK; }
    const enum status status = segment_scan_create(files, file, size_bytes, &scan);
    if (status != STATUS_OK) { return status; }
    if (segment_scan_trailer(scan, &trailer) != STATUS_OK) {
        walk->durable_number = durable_in(scan);
    }
    segment_scan_destroy(scan);
    return STATUS_OK;
}

static enum status read_segment(struct walk *walk, bool first_of_log)
{
    static const struct log_id none = {{0}};
    const struct files files = segment_paths_files(walk->paths);
    int file;
    uint64_t size_bytes;
    enum status status = files_open(files, walk->path, FILES_READ, &file, &size_bytes);
    if (status != STATUS_OK) { return status; }
    struct segment_scan *scan = NULL;
    status = learn_durable(walk, files, file, size_bytes);
    if (status == STATUS_OK) { status = segment_scan_create(files, file, size_bytes, &scan); }
    if (status == STATUS_OK) {
        const struct segment_header *const header = segment_scan_header(scan);
        walk->partition = header->partition;
        walk->segment = header->number;
        if (first_of_log) {
            walk->beginning_is_gone = !log_id_equal(header->predecessor_nonce, none);
            walk->audit->beginning_is_gone |= walk->beginning_is_gone;
        }
        walk_segment(walk, scan);
    } else if (status == STATUS_CORRUPT) {
        tell_unreadable(walk, 0);
    }
    segment_scan_destroy(scan);
    files_close(files, file);
    return status == STATUS_CORRUPT ? STATUS_OK : status;
}

enum status audit_read_logs(struct audit *audit, struct segment_paths *paths, const char **out_path)
{
    struct walk *const walk = allocate_zeroed(1, sizeof *walk);
    bool first_of_log = true;
    enum status status = STATUS_OK;
    walk->audit = audit;
    walk->paths = paths;
    for (size_t i = 0; i < paths->count && status == STATUS_OK; i++) {
        if (i == 0 || !segment_paths_same_log(&paths->at[i], &paths->at[i - 1])) {
            walk->log++;
            walk->beginning_is_gone = false;
            first_of_log = true;
        }
        walk->path = paths->at[i].path;
        walk->last_number = segment_paths_last_number(paths, i);
        status = read_segment(walk, first_of_log);
        *out_path = walk->path;
        if (status == STATUS_OK) { first_of_log = false; }
        if (status == STATUS_NOT_FOUND) { status = STATUS_OK; } /* prepared, or expired just now */
    }
    free(walk->batches);
    free(walk->digests);
    record_digest_deinit(&walk->digest);
    free(walk);
    return status;
}
