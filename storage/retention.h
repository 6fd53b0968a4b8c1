/* retention.h - old segments go, whole, oldest first: by bytes, by age, and where a path runs low.
 *
 * Purpose  Bytes: all files of all logs, spares and those that wait for their removal included,
 *          stay within the limit; the partition with the oldest first segment gives. Age: a
 *          segment whose newest commit is older goes. Free: while a storage path has less, its
 *          oldest go. Topics with limits of their own begin later (topic_expiry.h); their segments
 *          stay. The newest sealed segment of a partition, and all behind it, never go (the log's
 *          identity is in it), nor those that its lanes would be recovered from (the slot's
 *          lane_floor). When the newest sealed one is too old, its records expire in place.
 * Order    The root page's first_segment_number rises first (readers stop finding it); the file is
 *          removed after a grace time, of a second where bytes or free space press.
 * Time     age_clock.h: a step of the wall clock deletes nothing, then or later, and is told.
 * Doubt    A segment without a readable footer (it failed, or rots) is as old as the next one's
 *          header says it was closed; its records are then not counted as expired.
 * Tells    The node page: what expired, and for each path how long until it is full or trimmed.
 * Threads  Cold: one helper thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/topic_expiry.h"
#include "wire/root_page.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct retention; /* opaque */

struct retention_options {
    struct files files;
    struct root_page *root;
    struct node_page *node;
    uint64_t retain_bytes;  /* 0: no limit */
    uint64_t retain_age_ns; /* 0: no limit */
    uint64_t grace_ns;

    uint64_t retain_free_bytes; /* of each storage path; 0: no limit */
    uint64_t reserve_bytes;     /* of each storage path: what no segment takes (segment_supply.h) */
    /* Which storage path a partition lies in, below NODE_PATHS_MAX. NULL: all in path 0. */
    uint32_t (*path_of)(void *context, uint32_t partition);
    void *context;
    /* By partition, NULL where there is none; the array and the pages outlive this. NULL: nobody
     * counts what is written, so nothing is said of rates, and no room is kept for what comes. */
    const struct stats_page *const *stats;

    const char *runtime;                /* of topic_expiry_options */
    struct topic_starts *const *starts; /* by partition, as stats; NULL: topics have no starts */
    const struct topic_limits *topics;  /* copied */
    size_t topic_count;
};

MUST_CHECK enum status retention_create(const struct retention_options *options,
                                        struct retention **out);
void retention_destroy(struct retention *retention);

/* One round; answers how many segments it retired or removed. */
size_t retention_run(struct retention *retention, struct instant now);

/* How far the wall clock stepped between the last two runs; 0: it did not (a second is no step). */
int64_t retention_clock_step_ms(const struct retention *retention);

END_C_DECLS
