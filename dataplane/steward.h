/* steward.h - the helper thread: segments ahead of need, retention behind it.
 *
 * Purpose  Everything of the logs that may block: zero-filling, removing, syncing directories. Runs
 *          beside the polling cores, never on one.
 * Threads  One pthread of its own, with the affinity of whoever starts it (the main core). */
#pragma once

#include "base/compiler.h"
#include "base/status.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"

BEGIN_C_DECLS

struct steward; /* opaque */

MUST_CHECK enum status steward_start(struct segment_supply *supply, struct retention *retention,
                                     struct steward **out);
/* Waits for the round it is in. NULL is fine. */
void steward_stop(struct steward *steward);

END_C_DECLS
