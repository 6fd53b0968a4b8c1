/* What a core_log does when the disk refuses: the reaction table of docs/operations.md.
 *
 * A refused (or late) write fails its segment for ever, and with it every younger one: their
 * commits continue a chain that is broken. Once every write to them was reaped, or is given up
 * because it is out for 30 s (core_log_quarantine.c keeps its bytes), the commits that wait are
 * written again, from memory, with their numbers and offsets, to a fresh segment that names the
 * last durable commit as its predecessor: on the same storage path, then on each other one. When
 * all fail, the log is closed and tries a fresh segment every second, on the next path each time.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "storage/core_log_state.h"

static const uint64_t write_timeout_ns = 30 * (uint64_t)NS_PER_S;
static const uint64_t probe_interval_ns = NS_PER_S;

/* --------------------------------------------------------------------------- closed and reopened
 */

void core_log_close(struct core_log *log, enum status why)
{
    assert(log->open == NULL);
    log->probe_at_ns = log->now_ns + probe_interval_ns;
    log->mending = true;
    log->closed_why = why;
    atomic_store_explicit(&log->options.slot->open_segment_number, 0, memory_order_release);
    atomic_store_explicit(&log->options.slot->why, (uint32_t)why, memory_order_relaxed);
    if (log->closed_now) { return; }
    log->closed_now = true;
    atomic_store_explicit(&log->options.slot->state, ROOT_LOG_CLOSED, memory_order_release);
    note_post(log->options.notes, NOTE_LOG_CLOSED, why, 0, 0);
}

void core_log_reopen(struct core_log *log)
{
    log->closed_now = false;
    atomic_store_explicit(&log->options.slot->why, STATUS_OK, memory_order_relaxed);
    atomic_store_explicit(&log->options.slot->state, ROOT_LOG_OPEN, memory_order_release);
    note_post(log->options.notes, NOTE_LOG_REOPENED, STATUS_OK,
              log->open == NULL ? 0 : log->open->file.number, 0);
}

/* -------------------------------------------------------------------------------------- failing */

void core_log_discard_segment(struct log_segment *segment)
{
    assert(segment->commit_count == 0);
    segment->state = LOG_SEGMENT_FAILED;
    log_segment_set_index_state(segment, LIVE_INDEX_FAILED);
}

static void segment_mark_failed(struct core_log *log, struct log_segment *segment, enum status why,
                                uint64_t position)
{
    assert(segment->state == LOG_SEGMENT_OPEN || segment->state == LOG_SEGMENT_SEALING);
    segment->state = LOG_SEGMENT_FAILED;
    log_segment_set_index_state(segment, LIVE_INDEX_FAILED);
    stats_add(log->options.stats, STATS_segments_failed, 1);
    note_post(log->options.notes, NOTE_SEGMENT_FAILED, why, segment->file.number, position);
    core_log_raise_generation(log);
}

/* Everything behind the first commit of a failed segment fails with it. False: no commit that
 * waits is touched (only a trailer was lost; the footer itself is durable). */
static bool fail_followers(struct core_log *log, enum status why)
{
    bool broken = false;
    for (uint64_t number = log->durable.number + 1; number <= log->closed.number; number++) {
        struct log_segment *const segment = core_log_queued(log, number)->segment;
        if (segment->state == LOG_SEGMENT_FAILED) {
            broken = true;
        } else if (broken) {
            segment_mark_failed(log, segment, why, 0);
        }
    }
    if (broken && log->open != NULL && log->open->state != LOG_SEGMENT_FAILED) {
        segment_mark_failed(log, log->open, why, 0);
    }
    return broken;
}

/* The same path was tried twice: the next segment is to lie on another, where there is one. */
static void try_next_path(struct core_log *log, enum status why)
{
    const size_t places = segment_supply_place_count(log->options.supply);
    if (places > 1) { segment_supply_move(log->options.supply, log->options.supply_index); }
    if (log->failures_in_row > places) { core_log_close(log, why); }
}

void core_log_fail_segment(struct core_log *log, struct log_segment *segment, enum status why,
                           uint64_t position)
{
    if (segment->state == LOG_SEGMENT_FAILED) { return; } /* one failure, many completions */
    assert(segment->state != LOG_SEGMENT_FREE);
    const bool was_open = segment == log->open;
    segment_mark_failed(log, segment, why, position);
    const bool broken = fail_followers(log, why);
    if (!broken && !was_open) { return; }

    log->open = NULL;
    log->mending = true;
    atomic_store_explicit(&log->options.slot->open_segment_number, 0, memory_order_release);
    log->failures_in_row++;
    if (log->failures_in_row > 1) { try_next_path(log, why); }
}

static bool write_is_late(const struct core_log *log, enum log_write_state write,
                          uint64_t submitted_ns)
{
    return write == LOG_WRITE_OUT && log->now_ns - submitted_ns >= write_timeout_ns;
}

/* A write that does not come back: its segment fails, if it has not, and nothing waits for its
 * writes any more. A path that does not answer is not asked again while there is another. */
COLD static void on_write_late(struct core_log *log, struct log_segment *segment, uint64_t position)
{
    if (segment->late) { return; }
    stats_add(log->options.stats, STATS_log_writes_late, 1);
    note_post(log->options.notes, NOTE_WRITE_LATE, STATUS_IO, segment->file.number, position);
    core_log_fail_segment(log, segment, STATUS_IO, position);
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        struct log_segment *const failed = &log->segments[i];
        if (failed->state == LOG_SEGMENT_FAILED && failed->writes_out > 0) { failed->late = true; }
    }
    if (log->mending && segment_supply_place_count(log->options.supply) > 1) {
        segment_supply_move(log->options.supply, log->options.supply_index);
    }
}

/* The oldest was submitted first; a younger one that is late becomes the oldest in time, but in a
 * segment that failed already. */
static void check_commits(struct core_log *log)
{
    const uint64_t last = log->mending ? log->closed.number : log->durable.number + 1;
    for (uint64_t number = log->durable.number + 1; number <= last; number++) {
        const struct log_commit *const commit = core_log_queued(log, number);
        if (write_is_late(log, commit->write, commit->submitted_ns)) {
            on_write_late(log, commit->segment, commit->header.position);
        }
    }
}

void core_log_check_timeouts(struct core_log *log)
{
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        struct log_segment *const segment = &log->segments[i];
        if (segment->writes_out == 0 || segment->late) { continue; }
        if (write_is_late(log, segment->header.write, segment->header.submitted_ns)) {
            on_write_late(log, segment, 0);
        }
        if (write_is_late(log, segment->trailer.write, segment->trailer.submitted_ns)) {
            on_write_late(log, segment, segment->file.capacity_bytes - LOG_BLOCK_BYTES);
        }
    }
    if (log->pending.commits > 0) { check_commits(log); }
}

/* -------------------------------------------------------------------------------- writing again */

static void commit_leaves_lender(struct log_commit *commit)
{
    if (commit->lender == NULL) { return; }
    commit->lender->lent_count--;
    commit->lender = NULL;
}

/* The footer of a failed segment describes what is not there any more: an empty commit takes its
 * number, with its totals, so that the numbers behind it stay what callers were told. It leaves
 * the image where it can: a slot that waits for its lent image is none for the next segment. */
static void footer_to_watermark(struct core_log *log, struct log_commit *commit)
{
    const struct bytes image = bytes_of(commit->at, commit->header.length_bytes);
    uint64_t totals[STATS_COUNTER_COUNT] = {0};
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(image, i);
        if (entry.type != ENTRY_TOTALS) { continue; }
        assert(entry.length_bytes == sizeof totals);
        memcpy(totals, image.at + entry.position, sizeof totals);
    }

    if (core_log_quarantine_fits(log, LOG_BLOCK_BYTES)) {
        commit->at = core_log_quarantine_take(log, LOG_BLOCK_BYTES);
        commit_leaves_lender(commit);
    }
    struct commit_draft draft;
    log_commit_begin(&draft, commit->at, LOG_BLOCK_BYTES, LOG_COMMIT_OWN_LINES);
    log_commit_add_totals(&draft, totals);
    commit->header.flags = COMMIT_FLAG_WATERMARK;
    log_commit_close(&draft, &commit->header);
}

/* The bytes are under a late write: from here on the commit has others. */
static void commit_leaves_quarantine(struct core_log *log, struct log_commit *commit)
{
    core_log_quarantine_bytes(log, commit);
    commit->write = LOG_WRITE_NONE;
    if (commit->header.flags & COMMIT_FLAG_FOOTER) { return; } /* footer_to_watermark moves it */
    uint8_t *const at = core_log_quarantine_take(log, commit->header.length_bytes);
    memcpy(at, commit->at, commit->header.length_bytes);
    commit_leaves_lender(commit);
    commit->at = at;
}

/* The first commit of a segment carries its topics: with them it is longer than the room it had,
 * so it is written from the mending buffer. The entries stay in the ring as well, where the live
 * index says. The buffer is free: only the oldest commit that waits is ever in it, unless a late
 * write reads it still. */
static void commit_take_topics(struct core_log *log, struct log_commit *commit,
                               const struct log_segment *segment)
{
    uint8_t *const at = core_log_has_late_writes(log)
                            ? core_log_quarantine_take(log, log->mend_buffer_bytes)
                            : log->mend_buffer;
    assert(commit->at != at);
    assert(commit->header.length_bytes <= log->mend_buffer_bytes);
    memcpy(at, commit->at, commit->header.length_bytes);
    commit_leaves_lender(commit);

    struct commit_draft draft = log_commit_reopen(commit, at, log->mend_buffer_bytes);
    log_commit_add_topics(&draft, &log->topics, segment->base_offsets, segment->base_offsets);
    log_commit_close(&draft, &commit->header);
    commit->at = at;
    commit->has_topics = true;
}

static void commit_drop_topics(struct log_commit *commit)
{
    const struct entry last = entry_decode(bytes_of(commit->at, commit->header.length_bytes),
                                           commit->header.entry_count - 1);
    assert(last.type == ENTRY_TOPICS);
    commit->header.entry_count--;
    commit->has_topics = false;
}

/* Gives a commit its place at the end of the open segment. */
static void commit_write_again(struct core_log *log, struct log_commit *commit,
                               struct log_chain_end *previous)
{
    struct log_segment *const segment = log->open;
    const bool first = segment->commit_count == 0;
    const uint32_t length_before = commit->header.length_bytes;
    if (commit->write == LOG_WRITE_OUT) { commit_leaves_quarantine(log, commit); }
    if (commit->header.flags & COMMIT_FLAG_FOOTER) { footer_to_watermark(log, commit); }
    if (first && !commit->has_topics) { commit_take_topics(log, commit, segment); }
    if (!first && commit->has_topics) { commit_drop_topics(commit); }

    commit->header.nonce = segment->file.nonce;
    commit->header.position = segment->end_bytes;
    commit->header.previous_crc32c = previous->crc32c;
    commit->header.durable_number = log->durable.number;
    log_commit_encode_again(commit);
    commit->write = LOG_WRITE_WAITING;
    log->pending.bytes += commit->header.length_bytes;
    log->pending.bytes -= length_before;

    assert(log_segment_fits(segment, &log->topics, commit->header.length_bytes, commit->batches));
    commit->segment->queue_count--;
    segment->queue_count++;
    commit->segment = segment;
    log_segment_take(segment, commit);
    *previous =
        (struct log_chain_end){commit->header.number, commit->header.crc32c, commit->header.nonce};
    stats_add(log->options.stats, STATS_commits_rewritten, 1);
}

static void log_write_again(struct core_log *log)
{
    struct log_chain_end previous = log->durable;
    core_log_quarantine_clear(log);
    for (uint64_t number = log->durable.number + 1; number <= log->closed.number; number++) {
        commit_write_again(log, core_log_queued(log, number), &previous);
    }
    log->closed = previous;
}

/* Writes that are waited for. */
static bool writes_are_out(const struct core_log *log)
{
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        if (log->segments[i].writes_out > 0 && !log->segments[i].late) { return true; }
    }
    return false;
}

/* Whether what waits can be written again while late writes are out. */
static bool quarantine_holds(struct core_log *log)
{
    if (!core_log_has_late_writes(log)) { return true; }
    uint64_t position = log->ring_end;
    if (core_log_quarantine_has_room(log) && core_log_free_segment(log, 0) != NULL &&
        core_log_ring_place(log, LOG_BLOCK_BYTES, &position)) {
        return true;
    }
    if (!log->closed_now) { core_log_close(log, STATUS_IO); }
    return false;
}

static bool oldest_is_in_failed_segment(struct core_log *log)
{
    return core_log_queued(log, log->durable.number + 1)->segment->state == LOG_SEGMENT_FAILED;
}

/* The supply has nothing: late, or in trouble itself, which closes the log (and probes it). */
static void mend_starved(struct core_log *log)
{
    const enum status trouble =
        segment_supply_trouble(log->options.supply, log->options.supply_index);
    if (trouble != STATUS_OK && trouble != STATUS_EXISTS) {
        core_log_close(log, trouble);
    } else if (log->mend_starved_ns == 0) {
        log->mend_starved_ns = log->now_ns;
    } else if (!log->closed_now && log->now_ns - log->mend_starved_ns >= write_timeout_ns) {
        core_log_close(log, STATUS_IO); /* who makes segments does not answer either */
    }
}

void core_log_mend(struct core_log *log, struct instant now)
{
    if (!log->mending) { return; }
    if (writes_are_out(log)) { return; } /* bytes under a write are not touched */
    if (log->closed_now && log->now_ns < log->probe_at_ns) { return; }
    const bool empty = log->pending.commits == 0;
    if (!empty && !oldest_is_in_failed_segment(log)) { return; } /* it becomes durable first */
    if (empty && !log->closed_now) { /* nothing to write again: the next commit opens a segment */
        log->mending = false;
        return;
    }

    if (!quarantine_holds(log)) { return; }
    if (core_log_open_segment(log, &log->durable) != STATUS_OK) {
        mend_starved(log);
        return;
    }
    log->mend_starved_ns = 0;
    log_write_again(log);
    log->mending = false;
    if (empty) {
        /* A probe needs something to write. begin refuses while closed: not this one. */
        log->closed_now = false;
        const bool written = core_log_write_watermark(log, now);
        log->closed_now = true;
        assert(written); /* a fresh segment, and a ring that holds nothing */
    }
}
