/* retention.h - old segments go, whole, oldest first: by bytes and by age, for the node.
 *
 * Purpose  Bytes: all segments of all partitions together stay within the limit; the partition
 *          with the oldest first segment gives. Age: a segment whose newest commit is older goes.
 *          The open segment and the newest sealed one of a partition never go.
 * Order    The root page's first_segment_number rises first (readers stop finding it); the file is
 *          removed after a grace time.
 * Time     A commit's wall time is monotone in its log; a wall clock that steps forward by more
 *          than the limit since the last run deletes nothing in that run (it is reported).
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

END_C_DECLS
