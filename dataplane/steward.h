/* steward.h - the helper threads: segments ahead of need, retention behind it.
 *
 * Purpose  Everything of the logs that may block: zero-filling, removing, syncing directories. Runs
 *          beside the polling cores, never on one.
 * Threads  Two pthreads of its own, with the affinity of whoever starts it (the main core): a
 *          removal waits for the file system's journal, and a worker must not wait with it for
 *          its next segment. */
#pragma once

#include "base/compiler.h"
#include "base/status.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"

BEGIN_C_DECLS

struct steward; /* opaque */

MUST_CHECK enum status steward_start(struct segment_supply *supply, struct retention *retention,
                                     struct steward **out);
/* Waits for the rounds they are in. NULL is fine. */
void steward_stop(struct steward *steward);

END_C_DECLS
