/* lane_recovery.h - after any end: which lanes the log knows, and how far each of them is.
 *
 * Purpose  Reads the ENTRY_LANES of a log from its last checkpoint to the end of what recovery
 *          kept, and puts the lanes together. Runs behind recovery_run, whose answer it goes on.
 * Owns     The set stays the caller's. Threads: cold, one at a time.
 * Cost     At most about two segments, headers and lanes' entries alone where commits are long, all
 *          of it in large reads where they are short. A log that never had lanes: nothing.
 * Doubt    Nothing that recovery cut, and nothing abandoned, is read. What is missing or rotten in
 *          between is told; the lanes' entries behind it still count. A lane whose newest entries
 *          are lost is older than its producer knows: the protocol's resumption says so to it. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/lane_resume.h"
#include "storage/log_resume.h"

BEGIN_C_DECLS

enum lane_finding {
    LANES_MISSING_SEGMENT, /* number: the segment above the gap, 0: none is left; value: the lanes
                              count from this commit on */
    LANES_UNREADABLE,      /* number: segment; value: position from which on commits or lanes do not
                              hold; other: position where they do again, or 0 */
    LANES_GAPS,            /* value: lanes some of whose fates are told as LOST */
};

struct lane_recovery_report {
    void (*found)(void *context, uint32_t partition, enum lane_finding finding, uint64_t number,
                  uint64_t value, uint64_t other);
    void *context;
};

/* `out` is an empty set, and holds what could be read also on an error. Fills resume->lane_floor.
 * STATUS_NO_MEMORY, STATUS_IO (the directory itself cannot be read); all else is a finding. */
MUST_CHECK enum status lane_recovery_run(struct files files, uint32_t partition,
                                         const struct lane_recovery_report *report,
                                         struct log_resume *resume, struct lane_resume_set *out);

END_C_DECLS
