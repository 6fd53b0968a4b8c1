/* The first step: what the producer was told. */
#include <stdlib.h>

#include "client/receipts.h"
#include "tools/audit.h"

static void acknowledge(struct audit_lane *lane, uint64_t first, uint64_t last, uint8_t fate)
{
    if (lane->acknowledged_count > 0) {
        struct audit_run *const youngest = &lane->acknowledged[lane->acknowledged_count - 1];
        if (youngest->fate == fate && youngest->last + 1 == first) {
            youngest->last = last;
            return;
        }
    }
    lane->acknowledged = audit_grow(lane->acknowledged, lane->acknowledged_count,
                                    &lane->acknowledged_capacity, sizeof lane->acknowledged[0]);
    lane->acknowledged[lane->acknowledged_count++] =
        (struct audit_run){.first = first, .last = last, .fate = fate};
}

static void mark(struct audit_lane *lane, uint64_t sequence)
{
    lane->marks =
        audit_grow(lane->marks, lane->mark_count, &lane->mark_capacity, sizeof lane->marks[0]);
    lane->marks[lane->mark_count++] = (struct audit_mark){.sequence = sequence};
}

static void take_receipt(struct audit *audit, const struct receipt *receipt)
{
    struct audit_lane *const lane = audit_lane_add(audit, receipt->lane);
    uint64_t first = receipt->first;
    for (uint32_t i = 0; i < receipt->run_count; i++) {
        const uint64_t last = first + receipt->runs[i].count - 1;
        acknowledge(lane, first, last, receipt->runs[i].fate);
        first = last + 1;
    }
    lane->receipts = audit_grow(lane->receipts, lane->receipt_count, &lane->receipt_capacity,
                                sizeof lane->receipts[0]);
    lane->receipts[lane->receipt_count++] =
        (struct audit_receipt){receipt->first, receipt->last, receipt->hash, receipt->chained};
    if (!receipt->chained && receipt->first > 1) { mark(lane, receipt->first - 1); }
    mark(lane, receipt->last);
    audit->receipts++;
}

static int by_run(const void *left, const void *right)
{
    const struct audit_run *const a = left;
    const struct audit_run *const b = right;
    return (a->first > b->first) - (a->first < b->first);
}

static int by_mark(const void *left, const void *right)
{
    const struct audit_mark *const a = left;
    const struct audit_mark *const b = right;
    return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

static void remove_double_marks(struct audit_lane *lane)
{
    size_t kept = 0;
    for (size_t i = 0; i < lane->mark_count; i++) {
        if (kept > 0 && lane->marks[kept - 1].sequence == lane->marks[i].sequence) { continue; }
        lane->marks[kept++] = lane->marks[i];
    }
    lane->mark_count = kept;
}

/* Runs that overlap an earlier one are told, and cut to what is new in them. */
static void remove_double_runs(struct audit *audit, struct audit_lane *lane)
{
    size_t kept = 0;
    uint64_t reached = 0;
    for (size_t i = 0; i < lane->acknowledged_count; i++) {
        struct audit_run run = lane->acknowledged[i];
        if (run.first <= reached) {
            const struct audit_finding finding = {.kind = AUDIT_RECEIPTS,
                                                  .lane = lane->number,
                                                  .first = run.first,
                                                  .last = run.last < reached ? run.last : reached};
            audit_tell(audit, &finding);
            if (run.last <= reached) { continue; }
            run.first = reached + 1;
        }
        reached = run.last;
        audit->acknowledged += run.last - run.first + 1;
        lane->acknowledged[kept++] = run;
    }
    lane->acknowledged_count = kept;
}

static void sort_lane(struct audit *audit, struct audit_lane *lane)
{
    qsort(lane->acknowledged, lane->acknowledged_count, sizeof lane->acknowledged[0], by_run);
    qsort(lane->marks, lane->mark_count, sizeof lane->marks[0], by_mark);
    remove_double_marks(lane);
    remove_double_runs(audit, lane);
}

enum status audit_read_ledger(struct audit *audit, const char *path)
{
    struct receipts_reader *reader;
    enum status status = receipts_reader_open(path, &reader, &audit->producer);
    if (status != STATUS_OK) { return status; }

    struct receipt receipt;
    while ((status = receipts_next(reader, &receipt)) == STATUS_OK) {
        take_receipt(audit, &receipt);
    }
    audit->ledger_position = receipts_reader_position(reader);
    receipts_reader_close(reader);
    audit->ledger_is_torn = status == STATUS_TRUNCATED;
    for (size_t i = 0; i < audit->lane_count; i++) { sort_lane(audit, &audit->lanes[i]); }
    return status == STATUS_NOT_FOUND || status == STATUS_TRUNCATED ? STATUS_OK : status;
}
