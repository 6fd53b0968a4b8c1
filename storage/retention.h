/* retention.h - old segments go, whole, oldest first: by bytes and by age, for the node.
 *
 * Purpose  Bytes: all segments of all partitions together stay within the limit; the partition
 *          with the oldest first segment gives. Age: a segment whose newest commit is older goes.
 *          The newest sealed segment of a partition, and all behind it, never go, nor those that
 *          its lanes would be recovered from (the slot's lane_floor).
 * Order    The root page's first_segment_number rises first (readers stop finding it); the file is
 *          removed after a grace time.
 * Time     A commit's wall time is monotone in its log. Steps of the wall clock that happen while
 *          this runs are taken out of every age: a step deletes nothing, then or later.
 * Doubt    A segment without a readable footer (it failed, or rots) is as old as the next one's
 *          header says it was closed; its records are then not counted as expired.
 * Threads  Cold: one helper thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/root_page.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct retention; /* opaque */

struct retention_options {
    struct files files;
    struct root_page *root;
    struct node_page *node; /* entries_expired, segments_expired, expired_bytes are counted */
    uint64_t retain_bytes;  /* 0: no limit */
    uint64_t retain_age_ns; /* 0: no limit */
    uint64_t grace_ns;
};

MUST_CHECK enum status retention_create(const struct retention_options *options,
                                        struct retention **out);
void retention_destroy(struct retention *retention);

/* One round; answers how many segments it retired or removed. */
size_t retention_run(struct retention *retention, struct instant now);

/* How far the wall clock stepped between the last two runs; 0: it did not (a second is no step).
 * For the main core to report. */
int64_t retention_clock_step_ms(const struct retention *retention);

END_C_DECLS
