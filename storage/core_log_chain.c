/* How a core_log's chain grows: commits join it, segments are opened behind it and sealed by it. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "storage/core_log_state.h"

void core_log_project_totals(const struct core_log *log, const struct log_commit *commit,
                             uint64_t length_bytes, uint64_t *totals)
{
    memcpy(totals, log->options.stats->counters, STATS_COUNTER_COUNT * sizeof *totals);
    const struct log_pending *const pending = &log->pending;
    totals[STATS_records_stored] += pending->records + commit->records;
    totals[STATS_records_stored_copies] += pending->records_copies + commit->records_copies;
    totals[STATS_records_stored_bytes] += pending->batch_bytes + commit->batch_bytes;
    totals[STATS_batches_stored] += pending->batches + commit->batches;
    totals[STATS_commits_durable] += pending->commits + 1;
    totals[STATS_commits_durable_bytes] += pending->bytes + length_bytes;
}

struct commit_header core_log_next_header(struct core_log *log, uint32_t flags, struct instant now)
{
    if (now.wall_ms > log->last_wall_ms) { log->last_wall_ms = now.wall_ms; }
    return (struct commit_header){
        .log_id = log->log_id,
        .nonce = log->open->file.nonce,
        .incarnation = log->options.incarnation,
        .number = log->closed.number + 1,
        .previous_crc32c = log->closed.crc32c,
        .flags = flags,
        .durable_number = log->durable.number,
        .wall_ms = log->last_wall_ms,
        .rules_epoch = log->rules_epoch,
        .position = log->open->end_bytes,
        .lane_checkpoint = log->lane_checkpoint,
    };
}

void core_log_enqueue(struct core_log *log, const struct log_commit *commit)
{
    assert(core_log_queue_has_room(log));
    assert(commit->header.number == log->closed.number + 1);
    *core_log_queued(log, commit->header.number) = *commit;
    commit->segment->queue_count++;
    log->closed =
        (struct log_chain_end){commit->header.number, commit->header.crc32c, commit->header.nonce};
    log->pending.commits++;
    log->pending.bytes += commit->header.length_bytes;
    log->pending.batches += commit->batches;
    log->pending.batch_bytes += commit->batch_bytes;
    log->pending.records += commit->records;
    log->pending.records_copies += commit->records_copies;
    log->options.stats->commits_in_flight = log->pending.commits;
}

void core_log_seal_open(struct core_log *log, struct instant now)
{
    struct log_segment *const segment = log->open;
    struct log_commit footer = {
        .at = segment->image,
        .ring_position = log->ring_end,
        .segment = segment,
        .lender = segment,
        .write = LOG_WRITE_WAITING,
    };
    assert(segment->commit_count > 0);

    uint64_t totals[STATS_COUNTER_COUNT];
    const size_t length_bytes =
        log_segment_footer_bytes(&log->topics, log_segment_close_index(segment));
    footer.header = core_log_next_header(log, COMMIT_FLAG_FOOTER, now);
    core_log_project_totals(log, &footer, length_bytes, totals);
    log_segment_close_footer(segment, &log->topics, totals, &footer.header);
    assert(footer.header.length_bytes == length_bytes);

    segment->lent_count++;
    core_log_enqueue(log, &footer);
    log->last_had_entries = false; /* the footer says how far it was durable, as a watermark does */
    log->open = NULL;
    atomic_store_explicit(&log->options.slot->open_segment_number, 0, memory_order_release);
}

size_t core_log_spare_slots(const struct core_log *log)
{
    size_t late_count = 0;
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        late_count += log->segments[i].late && log->segments[i].writes_out > 0;
    }
    return late_count < LOG_SEGMENTS_SPARE - 1 ? LOG_SEGMENTS_SPARE - 1 - late_count : 0;
}

struct log_segment *core_log_free_segment(struct core_log *log, size_t spare_count)
{
    struct log_segment *found = NULL;
    size_t free_count = 0;
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        if (log->segments[i].state != LOG_SEGMENT_FREE) { continue; }
        found = &log->segments[i];
        free_count++;
    }
    return free_count > spare_count ? found : NULL;
}

enum status core_log_open_segment(struct core_log *log, const struct log_chain_end *predecessor)
{
    struct log_segment *const segment =
        core_log_free_segment(log, log->mending ? 0 : core_log_spare_slots(log));
    if (segment == NULL) { return STATUS_BUSY; }
    struct prepared_segment file;
    const enum status status =
        segment_supply_take(log->options.supply, log->options.supply_index, &file);
    if (status != STATUS_OK) { return status; }

    topic_table_base_offsets(&log->topics, segment->base_offsets);
    for (uint32_t i = 0; !log->mending && i < log->topics.count; i++) {
        segment->base_offsets[i] = log->topics.topics[i].next_offset;
    }
    const struct segment_header header = {
        .cluster_id = log->topics.cluster_id,
        .log_id = log->log_id,
        .partition = log->partition,
        .leader_epoch = log->leader_epoch,
        .incarnation = log->options.incarnation,
        .first_commit_number = predecessor->number + 1,
        .predecessor_nonce = predecessor->nonce,
        .predecessor_commit_number = predecessor->number,
        .predecessor_commit_crc32c = predecessor->crc32c,
        .created_wall_ms = log->last_wall_ms,
        .tail_records_max =
            (uint64_t)log->options.commit_records_max * log->options.commits_in_flight_max,
    };
    log_segment_open(segment, &file, header, &log->index, log->now_ns);
    log->open = segment;
    if (log->last_segment_number > 0 && file.place != log->last_place) {
        note_post(log->options.notes, NOTE_PATH_CHANGED, STATUS_OK, file.number, file.place);
    }
    log->last_place = file.place;
    log->last_segment_number = file.number;
    log->starved = false;
    stats_add(log->options.stats, STATS_segments_opened, 1);
    note_post(log->options.notes, NOTE_SEGMENT_OPENED, STATUS_OK, file.number, file.capacity_bytes);
    atomic_store_explicit(&log->options.slot->open_segment_number, file.number,
                          memory_order_release);
    core_log_raise_generation(log);
    return STATUS_OK;
}

void core_log_release_segments(struct core_log *log)
{
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        struct log_segment *const segment = &log->segments[i];
        const bool over =
            segment->state == LOG_SEGMENT_SEALED || segment->state == LOG_SEGMENT_FAILED;
        if (!over || segment->writes_out > 0) { continue; }
        if (segment->queue_count > 0 || segment->lent_count > 0) { continue; }
        if (core_log_quarantine_holds(log, segment)) { continue; }

        segment->file.spent_for_nothing =
            segment->state == LOG_SEGMENT_FAILED && segment->durable_count == 0;
        if (segment_supply_give_back(log->options.supply, log->options.supply_index,
                                     &segment->file) != STATUS_OK) {
            return; /* the helper has not yet looked: at a later turn */
        }
        segment->state = LOG_SEGMENT_FREE;
    }
}
