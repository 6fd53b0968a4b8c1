/* Bytes of a core_log that a late write may still be reading, or a disk that forgot them.
 *
 * A write that is out for 30 s may come back at any time later, so its bytes stay as they are, for
 * as long as that takes. The commits among them are copied to memory of their own to be written
 * again; the part of the ring that they leave is skipped by those that come; a segment's own blocks
 * stay with its slot, which is not free before its writes are reaped. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "storage/core_log_state.h"

/* ---------------------------------------------------------------------------------- the memory */

enum status core_log_quarantine_init(struct core_log *log)
{
    struct log_quarantine *const quarantine = &log->quarantine;
    /* All that can be in flight, the topics of a first commit, one commit with topics again, and
     * the footers and watermarks beside them. */
    quarantine->memory_bytes =
        (size_t)log->options.commits_in_flight_max * log->options.commit_bytes_max +
        2 * log->mend_buffer_bytes + 2 * (size_t)LOG_SEGMENTS_MAX * LOG_BLOCK_BYTES;
    quarantine->memory = aligned_alloc(LOG_BLOCK_BYTES, quarantine->memory_bytes);
    if (quarantine->memory == NULL) { return STATUS_NO_MEMORY; }
    memset(quarantine->memory, 0, quarantine->memory_bytes); /* every page is there from now on */
    return STATUS_OK;
}

void core_log_quarantine_deinit(struct core_log *log)
{
    free(log->quarantine.memory);
    log->quarantine.memory = NULL;
}

static bool lies_in(const uint8_t *at, const uint8_t *memory, uint64_t memory_bytes)
{
    return at >= memory && (uint64_t)(at - memory) < memory_bytes;
}

/* Copies that have become durable make room. One that is under a late write itself is still in the
 * queue: a commit under a write only leaves it, or this memory, by being reaped. */
void core_log_quarantine_clear(struct core_log *log)
{
    struct log_quarantine *const quarantine = &log->quarantine;
    for (uint64_t number = log->durable.number + 1; number <= log->closed.number; number++) {
        const struct log_commit *const commit = core_log_queued(log, number);
        if (lies_in(commit->at, quarantine->memory, quarantine->memory_bytes)) { return; }
    }
    quarantine->used_bytes = 0;
}

bool core_log_quarantine_fits(const struct core_log *log, size_t bytes)
{
    return bytes <= log->quarantine.memory_bytes - log->quarantine.used_bytes;
}

uint8_t *core_log_quarantine_take(struct core_log *log, size_t bytes)
{
    struct log_quarantine *const quarantine = &log->quarantine;
    assert(bytes % LOG_BLOCK_BYTES == 0);
    assert(core_log_quarantine_fits(log, bytes));
    uint8_t *const at = quarantine->memory + quarantine->used_bytes;
    quarantine->used_bytes += bytes;
    return at;
}

bool core_log_quarantine_has_room(struct core_log *log)
{
    core_log_quarantine_clear(log);
    size_t needed_bytes = log->mend_buffer_bytes; /* the first may need its topics */
    for (uint64_t number = log->durable.number + 1; number <= log->closed.number; number++) {
        const struct log_commit *const commit = core_log_queued(log, number);
        if (commit->header.flags & COMMIT_FLAG_FOOTER) {
            needed_bytes += LOG_BLOCK_BYTES;
            continue;
        }
        if (commit->write != LOG_WRITE_OUT) { continue; }
        if (lies_in(commit->at, log->quarantine.memory, log->quarantine.memory_bytes)) {
            return false; /* late for the second time: there is no third place */
        }
        needed_bytes += commit->header.length_bytes;
    }
    return core_log_quarantine_fits(log, needed_bytes);
}

/* ------------------------------------------------------------------------------------ the ring */

static uint32_t slot_bit(const struct core_log *log, const struct log_segment *segment)
{
    return 1U << (segment - log->segments);
}

bool core_log_quarantine_holds(const struct core_log *log, const struct log_segment *segment)
{
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        const struct log_segment *const late = &log->segments[i];
        if (late->writes_out == 0) { continue; }
        if ((late->reads_slots & slot_bit(log, segment)) != 0) { return true; }
    }
    return false;
}

void core_log_quarantine_bytes(struct core_log *log, const struct log_commit *commit)
{
    if (commit->lender != NULL) { commit->segment->reads_slots |= slot_bit(log, commit->lender); }

    struct commit_ring_header *const ring = log->options.ring;
    if (!lies_in(commit->at, commit_ring_data(ring), ring->capacity_bytes)) { return; }
    struct log_segment *const late = commit->segment;
    if (late->reads_begin == late->reads_end) { late->reads_begin = commit->ring_position; }
    late->reads_end = commit->ring_position + commit->header.length_bytes;
    assert(late->reads_end > late->reads_begin); /* the queue goes up in the ring */
    assert(late->reads_end - late->reads_begin <= ring->capacity_bytes);
}

bool core_log_has_late_writes(const struct core_log *log)
{
    for (size_t i = 0; i < LOG_SEGMENTS_MAX; i++) {
        if (log->segments[i].late && log->segments[i].writes_out > 0) { return true; }
    }
    return false;
}

/* How far `position` must move on so that `bytes` from there on touch nothing from `begin` to
 * `end`. */
static uint64_t step_over(uint64_t position, size_t bytes, uint64_t begin, uint64_t end,
                          uint64_t capacity)
{
    if (begin == end) { return 0; }
    const uint64_t behind = (position + capacity - begin % capacity) % capacity; /* in one lap */
    if (behind < end - begin) { return end - begin - behind; }
    return behind + bytes > capacity ? capacity - behind + (end - begin) : 0;
}

bool core_log_ring_place(const struct core_log *log, size_t bytes, uint64_t *position)
{
    enum { LAPS_MAX = 3 };
    const uint64_t capacity = log->options.ring->capacity_bytes;
    const uint64_t limit = *position + LAPS_MAX * capacity;
    while (*position < limit) {
        const uint64_t place = *position % capacity;
        uint64_t step = place + bytes > capacity ? capacity - place : 0;
        for (size_t i = 0; step == 0 && i < LOG_SEGMENTS_MAX; i++) {
            const struct log_segment *const late = &log->segments[i];
            if (late->writes_out == 0) { continue; }
            step = step_over(*position, bytes, late->reads_begin, late->reads_end, capacity);
        }
        if (step == 0) { return true; }
        *position += step;
    }
    return false;
}
