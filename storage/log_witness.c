#include "storage/log_witness.h"

#include "storage/segment_scan.h"

static void at_least(uint64_t *value, uint64_t least)
{
    if (*value < least) { *value = least; }
}

/* What a header says that holds: core_log and recovery write it when the commit that it continues
 * is durable, and before any of its own. One that was rebuilt from a commit says so only when a
 * later life, which had recovered the log, opened it. */
static bool header_testifies(const struct chain_segment *segment, uint64_t incarnation)
{
    return segment->header_status == STATUS_OK || segment->header.incarnation > incarnation;
}

void log_witness_ask_chain(struct log_replay *replay, const struct recovery_witness *witness)
{
    const struct log_chain *const chain = replay->chain;
    uint64_t incarnation = 0;
    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_segment *const segment = &chain->segments[i];
        if (!segment->in_chain) { continue; }
        if (segment->trailer_status == STATUS_OK) {
            at_least(&replay->durable_number, segment->trailer.footer_number - 1);
        }
        if (segment->sealed) { at_least(&replay->durable_number, segment->footer.number); }
        if (header_testifies(segment, incarnation)) {
            at_least(&replay->durable_number, segment->header.first_commit_number - 1);
        }
        if (segment->header.incarnation > incarnation) {
            incarnation = segment->header.incarnation;
        }
    }
    if (witness == NULL || !witness->valid || witness->incarnation < incarnation) { return; }
    const struct log_id log_id = chain->segments[log_chain_top(chain)].header.log_id;
    if (!log_id_equal(witness->log_id, log_id)) { return; }
    at_least(&replay->durable_number, witness->durable_number);
    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_segment *const segment = &chain->segments[i];
        if (!segment->in_chain) { continue; }
        /* Of an earlier incarnation while the newest has nothing durable of its own. */
        if (log_id_equal(segment->header.nonce, witness->nonce)) { replay->proven = true; }
    }
    replay->newest_missing = !replay->proven;
    replay->newest_unknown = !replay->proven && witness->incarnation > incarnation;
}

static void durable_from_segment(struct log_replay *replay, const struct chain_segment *segment)
{
    int file;
    struct segment_scan *scan;
    if (log_replay_scan_open(replay, segment, &file, &scan) != STATUS_OK) { return; }
    struct scanned_commit commit;
    for (enum scan_result result = segment_scan_next(scan, &commit); result != SCAN_END;) {
        if (result == SCAN_COMMIT || commit.directory_holds) {
            /* A commit cannot vouch for itself or for what came after it. */
            if (commit.header.durable_number < commit.header.number) {
                at_least(&replay->durable_number, commit.header.durable_number);
            }
            result = segment_scan_next(scan, &commit);
        } else {
            result = segment_scan_resync(scan, &commit);
        }
    }
    segment_scan_destroy(scan);
    files_close(replay->files, file);
}

uint64_t log_witness_ask_all(struct log_replay *replay)
{
    if (replay->durable_complete) { return replay->durable_number; }
    for (size_t i = 0; i < replay->chain->count; i++) {
        const struct chain_segment *const segment = &replay->chain->segments[i];
        if (segment->in_chain && !segment->sealed) { durable_from_segment(replay, segment); }
    }
    replay->durable_complete = true;
    return replay->durable_number;
}
