/* scrub.h - reads sealed segments again, and names every range whose checksum no longer holds.
 *
 * Purpose  Rot is found before a consumer meets it. One segment after the other, the one that was
 *          not looked at for longest first, a commit at a time: header, every entry of every
 *          commit, footer, trailer (segment_scan.h judges). A segment with damage is read twice
 *          before anything is said; a range is told once.
 * Leaves   The open segment, prepared ones, files that name another place, and what recovery or a
 *          failing disk abandoned: neither served nor rot.
 * Owns     Its descriptors and books. Threads: one; cold, blocks for a read of some MiB.
 * Errors   None: what cannot be read is a finding. A segment that is retired meanwhile is left. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"

BEGIN_C_DECLS

enum { SCRUB_INTERVAL_MS = 60 * 1000 }; /* a segment is not looked at again sooner */

struct scrub; /* opaque */

struct scrub_damage {
    uint32_t partition;
    uint64_t segment_number;
    uint64_t position; /* in the segment's file */
    uint64_t len_bytes;
    enum status why; /* STATUS_CORRUPT, STATUS_IO: the disk does not answer */
};

struct scrub_report {
    void (*on_damage)(void *context, const struct scrub_damage *damage);
    void *context;
};

/* Over the same directories as a reader; nothing is written there. */
MUST_CHECK enum status scrub_create(const char *const *paths, size_t path_count,
                                    const struct scrub_report *report, struct scrub **out);
/* The same over files that the caller made and keeps (tests). */
MUST_CHECK enum status scrub_create_over(struct files files, const struct scrub_report *report,
                                         struct scrub **out);
void scrub_destroy(struct scrub *scrub);

/* Goes on by about one commit. Answers the bytes that it read; 0: nothing is due now. */
size_t scrub_step(struct scrub *scrub, int64_t wall_ms);

struct scrub_progress {
    uint64_t bytes;
    uint64_t passes; /* times that every sealed segment was looked at */
    uint64_t damaged_ranges;
    uint64_t damaged_bytes;
    uint64_t segments;        /* sealed ones, as of the last look at the directories */
    int64_t pass_end_wall_ms; /* of the last whole pass; 0: none yet */
    /* When the segment that waits for longest was looked at last, or, never looked at, opened; 0:
     * there is none. */
    int64_t oldest_wall_ms;
};

void scrub_progress(const struct scrub *scrub, struct scrub_progress *out);

END_C_DECLS
