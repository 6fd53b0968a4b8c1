#include "dataplane/start_losses.h"

static void on_found(void *context, uint32_t partition, enum recovery_finding finding,
                     uint64_t number, uint64_t value, uint64_t other)
{
    struct start_losses *const losses = context;
    if (finding == RECOVERY_FENCED) {
        losses->ranges_fenced++;
        losses->bytes_fenced += other;
    } else if (finding == RECOVERY_CUT) {
        losses->tails_cut++;
        losses->bytes_cut += other;
    } else if (finding == RECOVERY_SKIPPED_OFFSETS) {
        losses->offsets_skipped += value;
    }
    const struct recovery_report *const report = losses->report;
    if (report->found == NULL) { return; }
    report->found(report->context, partition, finding, number, value, other);
}

static void on_records_lost(void *context, uint32_t partition, const char *topic, uint64_t first,
                            uint64_t end)
{
    struct start_losses *const losses = context;
    losses->records_lost += end - first;
    const struct recovery_report *const report = losses->report;
    if (report->records_lost == NULL) { return; }
    report->records_lost(report->context, partition, topic, first, end);
}

struct recovery_report start_losses_report(struct start_losses *losses)
{
    return (struct recovery_report){
        .found = on_found, .context = losses, .records_lost = on_records_lost};
}

void start_losses_book(const struct start_losses *losses, struct stats_page *stats)
{
    uint64_t *const counters = stats->counters;
    counters[STATS_recovery_ranges_fenced] = losses->ranges_fenced;
    counters[STATS_recovery_bytes_fenced] = losses->bytes_fenced;
    counters[STATS_recovery_records_lost] = losses->records_lost;
    counters[STATS_recovery_tails_cut] = losses->tails_cut;
    counters[STATS_recovery_bytes_cut] = losses->bytes_cut;
    counters[STATS_recovery_offsets_skipped] = losses->offsets_skipped;
}
