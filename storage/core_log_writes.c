/* A core_log's writes: handed to the disk, reaped, and counted as durable in the order of the
 * chain. */
#include <assert.h>
#include <stdatomic.h>

#include "storage/core_log_state.h"

/* A completion's tag: what was written, the slot of the segment that it was written to, and which
 * commit. The slot tells a commit's write from an earlier one of the same commit that was given up:
 * a slot is not used again before every write to its segment was reaped. */
enum {
    TAG_KIND_SHIFT = 62,
    TAG_SLOT_SHIFT = 56,
    TAG_COMMIT = 1,
    TAG_HEADER = 2,
    TAG_TRAILER = 3,
};

static_assert((int)LOG_SEGMENTS_MAX <= 1 << (TAG_KIND_SHIFT - TAG_SLOT_SHIFT), "slots fit");

static uint64_t tag_of(const struct core_log *log, const struct log_segment *segment, unsigned kind,
                       uint64_t number)
{
    assert(number >> TAG_SLOT_SHIFT == 0);
    const uint64_t slot = (uint64_t)(segment - log->segments);
    return (uint64_t)kind << TAG_KIND_SHIFT | slot << TAG_SLOT_SHIFT | number;
}

/* ---------------------------------------------------------------------------------------- pump */

/* False when the disk takes no more for now. */
static bool log_pump_write(struct core_log *log, struct log_segment *segment, struct bytes bytes,
                           uint64_t position, uint64_t tag, enum log_write_state *write)
{
    const struct disk_write request = {bytes, segment->file.file, segment->file.begin + position,
                                       tag};
    const enum status status = disk_submit(log->options.disk, &request);
    if (status == STATUS_BUSY) { return false; }
    if (status != STATUS_OK) {
        core_log_fail_segment(log, segment, status, position);
        return false;
    }
    *write = LOG_WRITE_OUT;
    segment->writes_out++;
    return true;
}

static bool log_pump_header(struct core_log *log, struct log_segment *segment)
{
    segment->header.submitted_ns = log->now_ns;
    return log_pump_write(log, segment, bytes_of(segment->header_block, LOG_BLOCK_BYTES), 0,
                          tag_of(log, segment, TAG_HEADER, 0), &segment->header.write);
}

static bool log_pump_trailer(struct core_log *log, struct log_segment *segment)
{
    segment->trailer.submitted_ns = log->now_ns;
    return log_pump_write(log, segment, bytes_of(segment->trailer_block, LOG_BLOCK_BYTES),
                          segment->file.capacity_bytes - LOG_BLOCK_BYTES,
                          tag_of(log, segment, TAG_TRAILER, 0), &segment->trailer.write);
}

void core_log_pump(struct core_log *log)
{
    uint32_t at_disk = 0;
    for (uint64_t number = log->durable.number + 1; number <= log->closed.number; number++) {
        struct log_commit *const commit = core_log_queued(log, number);
        struct log_segment *const segment = commit->segment;
        if (commit->write == LOG_WRITE_OUT) { at_disk++; }
        if (commit->write != LOG_WRITE_WAITING) { continue; }
        if (at_disk >= log->options.commits_at_disk_max) { break; }
        if (segment->state == LOG_SEGMENT_FAILED) { break; } /* core_log_mend's */
        /* A header on disk proves that what it continues was durable (recovery relies on it): a
         * roll waits for its footer, which costs one write's latency a segment. */
        if (segment->predecessor_number > log->durable.number) { break; }
        if (segment->header.write == LOG_WRITE_WAITING && !log_pump_header(log, segment)) {
            return;
        }
        commit->submitted_ns = log->now_ns;
        if (!log_pump_write(log, segment, bytes_of(commit->at, commit->header.length_bytes),
                            commit->header.position, tag_of(log, segment, TAG_COMMIT, number),
                            &commit->write)) {
            return;
        }
        at_disk++;
    }
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        struct log_segment *const segment = &log->segments[i];
        if (segment->state != LOG_SEGMENT_SEALING) { continue; }
        if (segment->trailer.write != LOG_WRITE_WAITING) { continue; }
        if (!log_pump_trailer(log, segment)) { return; }
    }
}

/* ---------------------------------------------------------------------------------------- reap */

static void log_sealed(struct core_log *log, struct log_segment *segment)
{
    assert(segment->state == LOG_SEGMENT_SEALING);
    segment->state = LOG_SEGMENT_SEALED;
    log_segment_set_index_state(segment, LIVE_INDEX_SEALED);
    stats_add(log->options.stats, STATS_segments_sealed, 1);
    note_post(log->options.notes, NOTE_SEGMENT_SEALED, STATUS_OK, segment->file.number,
              segment->end_bytes);
    core_log_raise_generation(log);
}

/* Whose write it was. `write` is NULL for a commit that was given up here and written again, to
 * another segment, since. */
struct reaped_write {
    struct log_segment *segment;
    enum log_write_state *write;
    uint64_t position;
    unsigned kind;
};

static struct reaped_write reaped_of(struct core_log *log, uint64_t tag)
{
    const unsigned kind = (unsigned)(tag >> TAG_KIND_SHIFT);
    const uint64_t slot = tag >> TAG_SLOT_SHIFT & ((1 << (TAG_KIND_SHIFT - TAG_SLOT_SHIFT)) - 1);
    const uint64_t number = tag & ((UINT64_C(1) << TAG_SLOT_SHIFT) - 1);
    assert(slot < LOG_SEGMENTS_MAX);
    struct log_segment *const segment = &log->segments[slot];
    struct reaped_write reaped = {.segment = segment, .kind = kind};
    if (kind == TAG_HEADER) {
        reaped.write = &segment->header.write;
    } else if (kind == TAG_TRAILER) {
        reaped.write = &segment->trailer.write;
        reaped.position = segment->file.capacity_bytes - LOG_BLOCK_BYTES;
    } else if (number > log->durable.number && core_log_queued(log, number)->segment == segment) {
        struct log_commit *const commit = core_log_queued(log, number);
        assert(number <= log->closed.number);
        reaped.write = &commit->write;
        reaped.position = commit->header.position;
    }
    return reaped;
}

static void on_write_reaped(struct core_log *log, const struct disk_completion *completion)
{
    const struct reaped_write reaped = reaped_of(log, completion->tag);
    struct log_segment *const segment = reaped.segment;
    assert(segment->writes_out > 0);
    segment->writes_out--;
    if (completion->status != STATUS_OK) {
        stats_add(log->options.stats, STATS_log_write_errors, 1);
    }
    if (reaped.write == NULL) {
        assert(segment->late);
        return;
    }

    assert(*reaped.write == LOG_WRITE_OUT);
    *reaped.write = LOG_WRITE_DONE;
    if (completion->status != STATUS_OK) {
        core_log_fail_segment(log, segment, completion->status, reaped.position);
    } else if (reaped.kind == TAG_TRAILER && segment->state == LOG_SEGMENT_SEALING) {
        log_sealed(log, segment);
    }
}

void core_log_reap(struct core_log *log)
{
    struct disk_completion completions[DISK_REAP_MAX];
    const size_t count = disk_reap(log->options.disk, completions, DISK_REAP_MAX);
    for (size_t i = 0; i < count; i++) { on_write_reaped(log, &completions[i]); }
}

/* ----------------------------------------------------------------------------------- watermark */

static void log_count_durable(struct core_log *log, const struct log_commit *commit)
{
    struct stats_page *const stats = log->options.stats;
    stats_add(stats, STATS_records_stored, commit->records);
    stats_add(stats, STATS_records_stored_copies, commit->records_copies);
    stats_add(stats, STATS_records_stored_bytes, commit->batch_bytes);
    stats_add(stats, STATS_batches_stored, commit->batches);
    stats_add(stats, STATS_commits_durable, 1);
    stats_add(stats, STATS_commits_durable_bytes, commit->header.length_bytes);
    stats->records_in_flight -= commit->records;

    log->pending.commits--;
    log->pending.bytes -= commit->header.length_bytes;
    log->pending.batches -= commit->batches;
    log->pending.batch_bytes -= commit->batch_bytes;
    log->pending.records -= commit->records;
    log->pending.records_copies -= commit->records_copies;
    stats->commits_in_flight = log->pending.commits;
}

static void log_move_durable_offsets(struct core_log *log, const struct log_commit *commit)
{
    const struct bytes bytes = bytes_of(commit->at, commit->header.length_bytes);
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(bytes, i);
        if (entry.type != ENTRY_RECORDS) { continue; }
        struct table_topic *const topic = &log->topics.topics[entry.topic];
        assert(entry.base_offset == topic->durable_offset);
        topic->durable_offset += entry.record_count;
    }
}

/* What retention must keep rises when a checkpoint is complete on the disk: to the segment in which
 * it began. */
static void log_move_lane_floor(struct core_log *log, const struct log_commit *commit)
{
    if (commit->lane_checkpoint_begins) {
        log->lane_began_number = commit->header.number;
        log->lane_began_in_segment = commit->segment->file.number;
    }
    const uint64_t complete = commit->header.lane_checkpoint;
    if (complete == 0 || complete != log->lane_began_number) { return; }
    /* Pairs with the acquire in retention: a newer floor is never seen before it holds. */
    atomic_store_explicit(&log->options.slot->lane_floor, log->lane_began_in_segment,
                          memory_order_release);
}

/* Everything the world may know of a commit once it, and all before it, are on stable storage. The
 * slot follows the live index: a kill between them hides nothing from recovery, which finds the
 * commit itself on disk. */
static void log_publish(struct core_log *log, struct log_commit *commit)
{
    struct log_segment *const segment = commit->segment;
    log_segment_publish(segment, commit, &log->topics, log->now_ns);
    log_move_durable_offsets(log, commit);
    log_move_lane_floor(log, commit);

    log->durable =
        (struct log_chain_end){commit->header.number, commit->header.crc32c, commit->header.nonce};
    log->options.slot->nonce = commit->header.nonce;
    atomic_store_explicit(&log->options.slot->durable_number, commit->header.number,
                          memory_order_release);
    log_count_durable(log, commit);
    log->doorbell_due = true;

    segment->queue_count--;
    if (commit->lender != NULL) { commit->lender->lent_count--; }
    if (commit->header.flags & COMMIT_FLAG_FOOTER) {
        log_segment_encode_trailer(segment, &commit->header);
    }
    if (log->mending) { return; } /* an older segment's: says nothing about the next one */
    log->failures_in_row = 0;
    if (log->closed_now) { core_log_reopen(log); }
}

void core_log_move_watermark(struct core_log *log)
{
    while (log->pending.commits > 0) {
        struct log_commit *const commit = core_log_queued(log, log->durable.number + 1);
        if (commit->write != LOG_WRITE_DONE) { return; }
        if (commit->segment->state == LOG_SEGMENT_FAILED) { return; }
        if (commit->segment->header.write != LOG_WRITE_DONE) { return; }
        log_publish(log, commit);
    }
}
