/* steward.h - the helper threads: segments ahead of need, retention behind it.
 *
 * Purpose  Everything of the logs that may block: zero-filling, removing, syncing directories. Runs
 *          beside the polling cores, never on one.
 * Threads  One pthread a log, one that removes spent segments and one for retention, so that a
 *          disk that hangs holds up its own logs only; with the affinity of whoever starts them
 *          (the main core). */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"

BEGIN_C_DECLS

struct steward; /* opaque */

MUST_CHECK enum status steward_start(struct segment_supply *supply, size_t log_count,
                                     struct retention *retention, struct steward **out);
/* Waits for the rounds they are in. NULL is fine. */
void steward_stop(struct steward *steward);

END_C_DECLS
