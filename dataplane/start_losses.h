/* start_losses.h - what a start of the node found lost in one partition, as counters.
 *
 * Purpose  Recovery tells findings one by one; the log has them as lines, metrics and
 *          `penstock status` as these sums. They are of the last start alone: damage that stays on
 *          the disk is found at each.
 * Owns     Nothing; `report` outlives it. Threads: the main core, before workers start. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "storage/recovery.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct start_losses {
    const struct recovery_report *report; /* whoever wants the findings themselves */
    uint64_t ranges_fenced;
    uint64_t bytes_fenced;
    uint64_t records_lost;
    uint64_t tails_cut;
    uint64_t bytes_cut;
    uint64_t offsets_skipped;
};

/* For recovery_run: counts, and passes everything on. */
struct recovery_report start_losses_report(struct start_losses *losses);

/* In place of what an earlier start left there. */
void start_losses_book(const struct start_losses *losses, struct stats_page *stats);

END_C_DECLS
