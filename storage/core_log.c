#include "storage/core_log.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "storage/core_log_state.h"

static void log_check(const struct core_log *log)
{
    assert(log->closed.number >= log->durable.number);
    assert(log->closed.number - log->durable.number == log->pending.commits);
    assert(log->pending.commits <= LOG_QUEUE_MAX);
    assert(log->open == NULL || log->open->state == LOG_SEGMENT_OPEN);
    assert(!log->mending || log->open == NULL);
}

/* ---------------------------------------------------------------------------------------- room */

size_t core_log_topics_room(const struct core_log *log)
{
    return log_align_bytes(log->topics.declarations_bytes, LOG_BLOCK_BYTES);
}

/* What waits, and this commit, must fit one fresh segment: so that it can all be written again. */
static bool log_could_be_written_again(const struct core_log *log, size_t commit_bytes,
                                       size_t record_entries)
{
    const size_t index_bytes = log_segment_index_bytes_max(log->pending.commits + 1,
                                                           log->pending.batches + record_entries);
    if (index_bytes > segment_supply_index_bytes(log->options.supply)) { return false; }
    const uint64_t needed_bytes = log->pending.bytes + commit_bytes + core_log_topics_room(log) +
                                  log_segment_footer_bytes(&log->topics, index_bytes) +
                                  /* header, trailer, and what footers in the queue turn into */
                                  (2 + LOG_SEGMENTS_MAX) * LOG_BLOCK_BYTES;
    return needed_bytes <= log->segment_bytes;
}

/* Segments too small for the largest commit and everything around it would be sealed empty. */
static bool log_one_commit_fits(const struct core_log *log)
{
    return log_could_be_written_again(log, log->options.commit_bytes_max, log->topics.count);
}

/* --------------------------------------------------------------------------------- life cycle */

static enum status log_allocate(struct core_log *log)
{
    log->mend_buffer_bytes =
        log->options.commit_bytes_max +
        log_align_bytes(TOPIC_DECLARATIONS_BYTES_MAX + LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
    if (log->mend_buffer_bytes > LOG_COMMIT_BYTES_MAX) { return STATUS_INVALID; }
    log->mend_buffer = aligned_alloc(LOG_BLOCK_BYTES, log->mend_buffer_bytes);
    if (log->mend_buffer == NULL) { return STATUS_NO_MEMORY; }
    memset(log->mend_buffer, 0, log->mend_buffer_bytes);
    const enum status quarantined = core_log_quarantine_init(log);
    if (quarantined != STATUS_OK) { return quarantined; }

    const uint32_t index_bytes = segment_supply_index_bytes(log->options.supply);
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        const enum status status = log_segment_init(&log->segments[i], index_bytes);
        if (status != STATUS_OK) { return status; }
    }
    return index_builder_init(&log->index, NULL, index_bytes);
}

static void log_resume_from(struct core_log *log, const struct log_resume *resume)
{
    assert(resume->next_commit_number > resume->predecessor_commit_number);
    log->log_id = resume->log_id;
    log->partition = resume->partition;
    log->leader_epoch = resume->leader_epoch;
    log->last_wall_ms = resume->last_wall_ms;
    log->lane_checkpoint = resume->lane_checkpoint;
    log->durable.number = resume->next_commit_number - 1;
    log->durable.crc32c = resume->predecessor_commit_crc32c;
    log->durable.nonce = resume->predecessor_nonce;
    log->closed = log->durable;
    topic_table_init(&log->topics, resume);
}

/* The segments that lanes are recovered from. Where nobody looked for the checkpoint: all. */
static uint64_t lane_floor_of(const struct core_log_options *options)
{
    const struct log_resume *const resume = options->resume;
    if (resume->lane_floor > 0) { return resume->lane_floor; }
    return resume->lane_checkpoint > 0 ? 1 : 0;
}

enum status core_log_create(const struct core_log_options *options, struct core_log **out)
{
    assert(options->commits_in_flight_max > 0);
    assert(options->commits_in_flight_max <= CORE_LOG_IN_FLIGHT_MAX);
    assert(options->commits_at_disk_max > 0);
    assert(options->commit_records_max > 0);
    assert(options->ring->capacity_bytes / 4 >= options->commit_bytes_max);

    struct core_log *const log = malloc(sizeof *log);
    if (log == NULL) { return STATUS_NO_MEMORY; }
    memset(log, 0, sizeof *log); /* not calloc: every page is present from here on */
    log->options = *options;
    log->options.resume = NULL;
    log->options.commit_bytes_max = options->commit_bytes_max / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    log->segment_bytes = segment_supply_segment_bytes(options->supply);
    log_resume_from(log, options->resume);
    enum status status = log_allocate(log);
    if (status == STATUS_OK && !log_one_commit_fits(log)) { status = STATUS_INVALID; }
    if (status != STATUS_OK) {
        core_log_destroy(log);
        return status;
    }

    struct root_partition *const slot = options->slot;
    slot->log_id = log->log_id;
    slot->nonce = log->durable.nonce;
    atomic_store_explicit(&slot->open_segment_number, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->why, STATUS_OK, memory_order_relaxed);
    atomic_store_explicit(&slot->lane_floor, lane_floor_of(options), memory_order_release);
    atomic_store_explicit(&slot->durable_number, log->durable.number, memory_order_release);
    atomic_store_explicit(&slot->state, ROOT_LOG_OPEN, memory_order_release);
    *out = log;
    return STATUS_OK;
}

void core_log_destroy(struct core_log *log)
{
    if (log == NULL) { return; }
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        assert(log->segments[i].writes_out == 0);
        log_segment_deinit(&log->segments[i]);
    }
    index_builder_deinit(&log->index);
    core_log_quarantine_deinit(log);
    free(log->mend_buffer);
    free(log);
}

enum status core_log_declare_topic(struct core_log *log, const char *name, int32_t *out_topic)
{
    assert(log->open == NULL && log->pending.commits == 0);
    const int32_t known = topic_table_find(&log->topics, name);
    if (known >= 0) {
        *out_topic = known;
        return STATUS_OK;
    }
    const enum status status = topic_table_add(&log->topics, name, out_topic);
    if (status != STATUS_OK) { return status; }
    log->declarations_pending = true;
    return log_one_commit_fits(log) ? STATUS_OK : STATUS_FULL;
}

static const struct table_topic *log_topic(const struct core_log *log, int32_t topic)
{
    assert(topic >= 0 && (uint32_t)topic < log->topics.count);
    return &log->topics.topics[topic];
}

uint64_t core_log_next_offset(const struct core_log *log, int32_t topic)
{
    return log_topic(log, topic)->next_offset;
}

uint32_t core_log_leader_epoch(const struct core_log *log) { return log->leader_epoch; }

uint64_t core_log_durable_number(const struct core_log *log) { return log->durable.number; }

uint64_t core_log_next_number(const struct core_log *log) { return log->closed.number + 1; }

uint64_t core_log_open_segment_number(const struct core_log *log)
{
    return log->open == NULL ? 0 : log->open->file.number;
}

uint64_t core_log_lane_checkpoint(const struct core_log *log) { return log->lane_checkpoint; }

bool core_log_disk_is_busy(const struct core_log *log)
{
    return log->pending.commits >= log->options.commits_at_disk_max;
}

uint32_t core_log_in_flight(const struct core_log *log) { return (uint32_t)log->pending.commits; }

void core_log_finish(struct core_log *log) { log->finishing = true; }

bool core_log_is_finished(const struct core_log *log)
{
    if (!log->finishing || log->mending || log->pending.commits > 0) { return false; }
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        if (log->segments[i].state != LOG_SEGMENT_FREE) { return false; }
    }
    return true;
}

enum status core_log_closed_why(const struct core_log *log)
{
    return log->closed_now ? log->closed_why : STATUS_OK;
}

/* --------------------------------------------------------------------------------------- begin */

/* No segment is ready. A supply that is only late is BUSY; one that cannot closes the log. */
COLD static enum status log_starved(struct core_log *log)
{
    const enum status trouble =
        segment_supply_trouble(log->options.supply, log->options.supply_index);
    if (trouble != STATUS_OK && trouble != STATUS_EXISTS) {
        core_log_close(log, trouble);
        return STATUS_CLOSED;
    }
    if (!log->starved && log->last_segment_number > 0) { /* at the start everybody waits */
        log->starved = true;
        stats_add(log->options.stats, STATS_segments_starved, 1);
        note_post(log->options.notes, NOTE_SEGMENT_STARVED, STATUS_BUSY,
                  log->last_segment_number + 1, 0);
    }
    return STATUS_BUSY;
}

static enum status log_ensure_segment(struct core_log *log, size_t commit_bytes,
                                      size_t record_entries, struct instant now)
{
    const bool first = log->open != NULL && log->open->commit_count == 0;
    const size_t bytes = commit_bytes + (first ? core_log_topics_room(log) : 0);
    if (log->open != NULL && !log_segment_fits(log->open, &log->topics, bytes, record_entries)) {
        assert(!first); /* one commit always fits: log_could_be_written_again */
        core_log_seal_open(log, now);
    }
    if (log->open != NULL) { return STATUS_OK; }
    if (core_log_free_segment(log, core_log_spare_slots(log)) == NULL) { return STATUS_BUSY; }

    const enum status status = core_log_open_segment(log, &log->closed);
    return status == STATUS_OK ? STATUS_OK : log_starved(log);
}

/* Takes `bytes` in one piece from the ring, without touching commits that wait. */
static enum status log_reserve(struct core_log *log, size_t bytes, uint64_t *out_position)
{
    struct commit_ring_header *const ring = log->options.ring;
    const uint64_t capacity = ring->capacity_bytes;
    uint64_t position = log->ring_end;
    if (!core_log_ring_place(log, bytes, &position)) { return STATUS_BUSY; }

    const uint64_t tail = log->pending.commits == 0
                              ? position
                              : core_log_queued(log, log->durable.number + 1)->ring_position;
    if (position + bytes - tail > capacity) { return STATUS_BUSY; }

    const uint64_t reserved = atomic_load_explicit(&ring->reserved_end, memory_order_relaxed);
    if (position + bytes > reserved) {
        atomic_store_explicit(&ring->reserved_end, position + bytes, memory_order_relaxed);
    }
    /* Orders that store before the bytes it gives up are written; pairs with the acquire fence in
     * commit_ring_copy: a reader that copied a new byte sees the new reserved_end. */
    atomic_thread_fence(memory_order_release);
    *out_position = position;
    return STATUS_OK;
}

static enum status log_begin(struct core_log *log, size_t topic_count, size_t commit_bytes,
                             struct instant now, struct commit_draft *out)
{
    log_check(log);
    assert(log_segment_index_bytes_max(1, topic_count) <=
           segment_supply_index_bytes(log->options.supply));
    if (log->closed_now) { return STATUS_CLOSED; }
    if (log->mending) { return STATUS_BUSY; }
    if (log->pending.commits >= log->options.commits_in_flight_max) { return STATUS_BUSY; }
    if (!log_could_be_written_again(log, commit_bytes, topic_count)) { return STATUS_BUSY; }

    enum status status = log_ensure_segment(log, commit_bytes, topic_count, now);
    if (status != STATUS_OK) { return status; }
    const size_t topics_bytes = log->open->commit_count == 0 ? core_log_topics_room(log) : 0;
    uint64_t position = 0;
    status = log_reserve(log, commit_bytes + topics_bytes, &position);
    if (status != STATUS_OK) { return status; }

    struct commit_ring_header *const ring = log->options.ring;
    log_commit_begin(out, commit_ring_data(ring) + position % ring->capacity_bytes, commit_bytes,
                     (uint32_t)topic_count + LOG_COMMIT_OWN_LINES);
    out->ring_position = position;
    return STATUS_OK;
}

size_t core_log_commit_room(const struct core_log *log, size_t topic_count)
{
    const size_t lines_bytes =
        commit_entries_position((uint32_t)topic_count + LOG_COMMIT_OWN_LINES);
    const size_t own_bytes = lines_bytes + LOG_COMMIT_TOTALS_BYTES + 8 * topic_count +
                             log_align_bytes(log->options.lanes_bytes_max, 8);
    return log->options.commit_bytes_max > own_bytes ? log->options.commit_bytes_max - own_bytes
                                                     : 0;
}

size_t core_log_commit_length(size_t topic_count, size_t batch_bytes)
{
    const size_t lines_bytes =
        commit_entries_position((uint32_t)topic_count + LOG_COMMIT_OWN_LINES);
    return log_align_bytes(lines_bytes + batch_bytes + LOG_COMMIT_TOTALS_BYTES, LOG_BLOCK_BYTES);
}

enum status core_log_begin(struct core_log *log, size_t topic_count, struct commit_draft *out)
{
    assert(!log->finishing);
    const struct instant now = {log->now_ns, log->last_wall_ms};
    return log_begin(log, topic_count, log->options.commit_bytes_max, now, out);
}

struct sink core_log_entry_room(const struct commit_draft *draft)
{
    const size_t taken_bytes = draft->used_bytes + LOG_COMMIT_TOTALS_BYTES + 8;
    const size_t room_bytes =
        draft->capacity_bytes > taken_bytes ? draft->capacity_bytes - taken_bytes : 0;
    return sink_into(draft->at + draft->used_bytes, room_bytes);
}

/* Lines of records. */
static uint32_t draft_batches(const struct commit_draft *draft)
{
    return draft->entry_count - (draft->has_lanes ? 1 : 0);
}

void core_log_lanes_add(struct core_log *log, struct commit_draft *draft, uint32_t length_bytes,
                        uint32_t crc32c)
{
    assert(draft->entry_count == 0);
    assert(length_bytes > 0 && length_bytes <= log->options.lanes_bytes_max);
    log_commit_add(draft, (struct entry){
                              .type = ENTRY_LANES,
                              .topic = LOG_NO_TOPIC,
                              .length_bytes = length_bytes,
                              .crc32c = crc32c,
                          });
    draft->has_lanes = true;
}

void core_log_entry_add(struct core_log *log, struct commit_draft *draft, int32_t topic,
                        uint32_t record_count, uint32_t length_bytes, uint32_t crc32c,
                        int64_t max_timestamp_ms)
{
    assert(record_count > 0);
    assert(topic >= 0 && (uint32_t)topic < log->topics.count);
    assert(draft_batches(draft) < draft->entry_capacity - LOG_COMMIT_OWN_LINES);
    struct table_topic *const target = &log->topics.topics[topic];
    log_commit_add(draft, (struct entry){
                              .type = ENTRY_RECORDS,
                              .topic = topic,
                              .base_offset = target->next_offset,
                              .max_timestamp_ms = max_timestamp_ms,
                              .record_count = record_count,
                              .length_bytes = length_bytes,
                              .crc32c = crc32c,
                          });
    target->next_offset += record_count;
    draft->record_count += record_count;
}

/* -------------------------------------------------------------------------------------- submit */

static uint64_t log_submit(struct core_log *log, struct commit_draft *draft,
                           const struct commit_facts *facts, uint32_t flags, struct instant now)
{
    log_check(log);
    assert(log->open != NULL);
    assert(draft->record_count <= log->options.commit_records_max);
    const bool first = log->open->commit_count == 0;
    struct log_commit commit = {
        .at = draft->at,
        .ring_position = draft->ring_position,
        .segment = log->open,
        .write = LOG_WRITE_WAITING,
        .records = facts->records,
        .records_copies = facts->records_copies,
        .batches = draft_batches(draft),
        .has_topics = first,
        .lane_checkpoint_begins = facts->lane_checkpoint_begins,
    };
    for (uint32_t i = 0; i < draft->entry_count; i++) {
        const struct entry entry = entry_decode(bytes_of(draft->at, draft->used_bytes), i);
        if (entry.type == ENTRY_RECORDS) { commit.batch_bytes += entry.length_bytes; }
    }
    if (first) { draft->capacity_bytes += core_log_topics_room(log); }

    uint64_t totals[STATS_COUNTER_COUNT];
    const size_t length_bytes = log_align_bytes(draft->used_bytes + LOG_COMMIT_TOTALS_BYTES +
                                                    (first ? log->topics.declarations_bytes : 0),
                                                LOG_BLOCK_BYTES);
    log->rules_epoch = facts->rules_epoch;
    if (facts->lane_checkpoint > 0) { log->lane_checkpoint = facts->lane_checkpoint; }
    commit.header = core_log_next_header(log, flags, now);
    core_log_project_totals(log, &commit, length_bytes, totals);
    log_commit_add_totals(draft, totals);
    if (first) {
        const uint64_t *const bases = log->open->base_offsets;
        log_commit_add_topics(draft, &log->topics, bases, bases);
    }
    log_commit_close(draft, &commit.header);
    assert(commit.header.length_bytes == length_bytes);

    log_segment_take(log->open, &commit);
    core_log_enqueue(log, &commit);
    log->ring_end = draft->ring_position + commit.header.length_bytes;
    log->declarations_pending = false;
    log->last_closed_ns = now.mono_ns;
    log->last_had_entries = draft->has_lanes || commit.batches > 0;
    log->now_ns = now.mono_ns;
    core_log_pump(log);
    return commit.header.number;
}

uint64_t core_log_submit(struct core_log *log, struct commit_draft *draft,
                         const struct commit_facts *facts, struct instant now)
{
    return log_submit(log, draft, facts, 0, now);
}

bool core_log_write_watermark(struct core_log *log, struct instant now)
{
    struct commit_draft draft;
    const struct commit_facts facts = {.rules_epoch = log->rules_epoch};
    if (log_begin(log, 0, LOG_BLOCK_BYTES, now, &draft) != STATUS_OK) { return false; }
    (void)log_submit(log, &draft, &facts, COMMIT_FLAG_WATERMARK, now);
    return true;
}

/* ---------------------------------------------------------------------------------------- turn */

static void log_end_open_segment(struct core_log *log, struct instant now)
{
    if (log->open->commit_count == 0) {
        core_log_discard_segment(log->open);
        log->open = NULL;
        atomic_store_explicit(&log->options.slot->open_segment_number, 0, memory_order_release);
    } else if (core_log_queue_has_room(log)) {
        core_log_seal_open(log, now);
    }
}

static bool log_segment_is_old(const struct core_log *log)
{
    if (log->options.segment_age_ns == 0 || log->open == NULL) { return false; }
    if (!log->open->has_records) { return false; }
    return log->now_ns - log->open->opened_ns >= log->options.segment_age_ns;
}

static bool log_is_idle(const struct core_log *log)
{
    if (log->options.idle_watermark_ns == 0 || !log->last_had_entries) { return false; }
    if (log->pending.commits > 0) { return false; }
    return log->now_ns - log->last_closed_ns >= log->options.idle_watermark_ns;
}

/* Rolls by age, watermarks of an idle log, new topics' declarations, the end. */
static void log_upkeep(struct core_log *log, struct instant now)
{
    if (log->mending || log->closed_now) { return; }
    if (log->finishing) {
        if (log->open != NULL) { log_end_open_segment(log, now); }
    } else if (log_segment_is_old(log)) {
        log_end_open_segment(log, now);
    } else if (log_is_idle(log) || (log->declarations_pending && log->pending.commits == 0)) {
        (void)core_log_write_watermark(log, now); /* no room now: at a later turn */
    }
}

uint64_t core_log_turn(struct core_log *log, struct instant now)
{
    log_check(log);
    log->now_ns = now.mono_ns;
    core_log_reap(log);
    core_log_check_timeouts(log);
    core_log_move_watermark(log);
    core_log_mend(log, now);
    log_upkeep(log, now);
    core_log_pump(log);
    core_log_release_segments(log);
    if (log->doorbell_due) {
        log->doorbell_due = false;
        disk_ring_doorbell(log->options.disk);
    }
    log_check(log);
    return log->durable.number;
}
