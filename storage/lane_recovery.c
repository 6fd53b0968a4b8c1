#include "storage/lane_recovery.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "storage/lane_walk.h"
#include "storage/log_chain.h"

struct lane_recovery {
    struct files files;
    uint32_t partition;
    const struct lane_recovery_report *report;
    const struct log_resume *resume;
    const struct log_chain *chain;
    struct lane_resume_set *lanes;
};

static void tell(const struct lane_recovery *recovery, enum lane_finding finding, uint64_t number,
                 uint64_t value, uint64_t other)
{
    const struct lane_recovery_report *const report = recovery->report;
    if (report == NULL || report->found == NULL) { return; }
    report->found(report->context, recovery->partition, finding, number, value, other);
}

/* ------------------------------------------------------------------------------- one segment */

/* STATUS_CORRUPT: an item does not hold; those before it count. */
static enum status take_entry(struct lane_recovery *recovery, struct bytes entry)
{
    struct lane_item item;
    enum status status = lane_item_decode(&entry, &item);
    while (status == STATUS_OK) {
        status = lane_resume_set_take(recovery->lanes, &item);
        if (status == STATUS_OK) { status = lane_item_decode(&entry, &item); }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status take_commit(struct lane_recovery *recovery, struct lane_walk *walk,
                               uint64_t segment_number)
{
    if (walk->commit.number < recovery->resume->lane_checkpoint) { return STATUS_OK; }
    struct bytes entry;
    enum status status = lane_walk_entry(walk, &entry);
    if (status == STATUS_NOT_FOUND) { return STATUS_OK; }
    if (status == STATUS_OK) { status = take_entry(recovery, entry); }
    if (status == STATUS_OK || status == STATUS_NO_MEMORY) { return status; }
    tell(recovery, LANES_UNREADABLE, segment_number, walk->commit.position,
         walk->commit.position + walk->commit.length_bytes);
    return STATUS_OK;
}

/* What of a segment counts. */
struct span {
    uint64_t last;   /* number of its last commit */
    bool open_ended; /* the segment behind it is missing, and told: it may end before `last` */
};

/* Over what does not hold, to the next commit that does. False: there is none. */
static bool walk_over(struct lane_recovery *recovery, struct lane_walk *walk,
                      uint64_t segment_number, const struct span *span)
{
    const uint64_t position = walk->position;
    const bool found = lane_walk_resync(walk) && walk->commit.number <= span->last;
    const bool needed = !found || walk->commit.number > recovery->resume->lane_checkpoint;
    const bool told = !found && span->open_ended;
    if (needed && !told) {
        tell(recovery, LANES_UNREADABLE, segment_number, position,
             found ? walk->commit.position : 0);
    }
    return found;
}

static enum status walk_segment(struct lane_recovery *recovery, struct lane_walk *walk,
                                uint64_t segment_number, const struct span *span)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && walk->next_number <= span->last) {
        if (!lane_walk_next(walk) && !walk_over(recovery, walk, segment_number, span)) {
            return walk->no_memory ? STATUS_NO_MEMORY : STATUS_OK;
        }
        status = take_commit(recovery, walk, segment_number);
    }
    return status;
}

static enum status read_segment(struct lane_recovery *recovery, const struct chain_segment *segment,
                                const struct span *span)
{
    char name[LOG_NAME_BYTES];
    struct lane_walk walk;
    int file;
    uint64_t size_bytes;
    log_segment_name(recovery->partition, segment->number, name);
    const enum status opened = files_open(recovery->files, name, FILES_READ, &file, &size_bytes);
    if (opened != STATUS_OK) {
        tell(recovery, LANES_UNREADABLE, segment->number, 0, 0);
        return STATUS_OK;
    }
    lane_walk_init(&walk, recovery->files, file, segment);
    const enum status status = walk_segment(recovery, &walk, segment->number, span);
    lane_walk_deinit(&walk);
    files_close(recovery->files, file);
    return status;
}

/* -------------------------------------------------------------------------------- the segments */

/* Index of the segment that the log goes on behind; chain->count: it is not there. */
static size_t newest_kept(const struct lane_recovery *recovery)
{
    const struct log_chain *const chain = recovery->chain;
    for (size_t i = chain->count; i-- > 0;) {
        const struct chain_segment *const segment = &chain->segments[i];
        if (segment->status != STATUS_OK || !segment->in_chain) { continue; }
        if (log_id_equal(segment->header.nonce, recovery->resume->predecessor_nonce)) { return i; }
    }
    return chain->count;
}

/* The segment of the checkpoint's first commit, or the oldest that is left of those behind it. */
static size_t first_needed(const struct lane_recovery *recovery, size_t top)
{
    const struct log_chain *const chain = recovery->chain;
    size_t at = top;
    while (chain->segments[at].header.first_commit_number > recovery->resume->lane_checkpoint) {
        const size_t below = log_chain_below(chain, at);
        if (below == chain->count) { break; }
        at = below;
    }
    return at;
}

static struct span span_of(const struct lane_recovery *recovery, size_t at, size_t top)
{
    const struct log_chain *const chain = recovery->chain;
    if (at == top) { return (struct span){recovery->resume->predecessor_commit_number, false}; }
    const struct chain_segment *const above = &chain->segments[log_chain_above(chain, at)];
    return (struct span){chain->segments[at].last_number, above->predecessor_missing};
}

/* The segments from `first` to `top`, oldest first. */
static enum status read_segments(struct lane_recovery *recovery, size_t first, size_t top)
{
    const struct log_chain *const chain = recovery->chain;
    enum status status = STATUS_OK;
    for (size_t at = first; status == STATUS_OK && at <= top; at = log_chain_above(chain, at)) {
        const struct chain_segment *const segment = &chain->segments[at];
        const struct span span = span_of(recovery, at, top);
        if (segment->predecessor_missing && at != first) {
            tell(recovery, LANES_MISSING_SEGMENT, segment->number,
                 recovery->resume->lane_checkpoint, 0);
        }
        status = read_segment(recovery, segment, &span);
    }
    return status;
}

static void tell_gaps(const struct lane_recovery *recovery)
{
    uint64_t gaps = 0;
    for (size_t i = 0; i < recovery->lanes->count; i++) {
        gaps += recovery->lanes->lanes[i].gap ? 1 : 0;
    }
    if (gaps > 0) { tell(recovery, LANES_GAPS, 0, gaps, 0); }
}

static enum status recover_lanes(struct lane_recovery *recovery, uint64_t *lane_floor)
{
    const struct log_chain *const chain = recovery->chain;
    const size_t top = newest_kept(recovery);
    if (top == chain->count) {
        tell(recovery, LANES_MISSING_SEGMENT, 0, recovery->resume->lane_checkpoint, 0);
        return STATUS_OK;
    }
    const size_t first = first_needed(recovery, top);
    const struct chain_segment *const oldest = &chain->segments[first];
    if (oldest->header.first_commit_number > recovery->resume->lane_checkpoint) {
        tell(recovery, LANES_MISSING_SEGMENT, oldest->number, recovery->resume->lane_checkpoint, 0);
    }
    *lane_floor = oldest->number;
    const enum status status = read_segments(recovery, first, top);
    tell_gaps(recovery);
    return status;
}

enum status lane_recovery_run(struct files files, uint32_t partition,
                              const struct lane_recovery_report *report, struct log_resume *resume,
                              struct lane_resume_set *out)
{
    if (resume->lane_checkpoint == 0) { return STATUS_OK; }
    const struct log_chain_scope scope = {resume->lane_segment, .links_only = true};
    struct log_chain chain;
    enum status status = log_chain_load(files, partition, scope, &chain);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) { return status; }

    struct lane_recovery recovery = {
        .files = files,
        .partition = partition,
        .report = report,
        .resume = resume,
        .chain = &chain,
        .lanes = out,
    };
    status = recover_lanes(&recovery, &resume->lane_floor);
    log_chain_free(&chain);
    return status;
}
