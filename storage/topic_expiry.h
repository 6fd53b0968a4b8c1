/* topic_expiry.h - records of topics that are kept shorter than the node: they expire in place.
 *
 * Purpose  Moves the log start of such topics, batch by batch, although the segments stay: by age
 *          (to the second, after the commits' wall times) and by bytes of the topic's batches. A
 *          batch that is younger than the age, or within the bytes, never goes; a topic's newest
 *          batch stays when bytes alone would take it.
 * Order    The start is published (wire/topic_starts.h) and the expired records are counted once:
 *          whoever removes the segment later counts those from the start on.
 * Stable   A start follows from what is in the log and never goes back; after a reboot, which takes
 *          the page along, the same one is found again. Reaches into the open segment by its live
 *          index, where ages count from when a commit was durable.
 * Bounds   A few footers a run, a few segments' details in memory; of the others, 32 bytes a topic
 *          with limits of its own.
 * Threads  Retention's. Cold, blocks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/age_clock.h"
#include "storage/files.h"
#include "wire/topic_starts.h"

BEGIN_C_DECLS

struct topic_expiry; /* opaque */

struct topic_limits {
    const char *name;
    uint64_t retain_bytes;  /* in each partition; 0: no limit */
    uint64_t retain_age_ns; /* 0: no limit */
};

struct topic_expiry_options {
    struct files files;
    const char *runtime;               /* directory of the live indexes; NULL: none can be seen */
    const struct topic_limits *topics; /* copied */
    size_t topic_count;
};

MUST_CHECK enum status topic_expiry_create(const struct topic_expiry_options *options,
                                           struct topic_expiry **out);
void topic_expiry_destroy(struct topic_expiry *expiry);

/* What a run has to know of one log. */
struct topic_expiry_view {
    uint32_t partition;
    struct topic_starts *starts;
    const uint64_t *segments; /* numbers of those that are not retired, rising */
    size_t segment_count;
    uint64_t newest_sealed; /* 0: none */
    uint64_t open_segment;  /* 0: none */
    const struct age_clock *clock;
};

/* One round for one log; answers how many records expired. */
uint64_t topic_expiry_run(struct topic_expiry *expiry, const struct topic_expiry_view *view);

END_C_DECLS
