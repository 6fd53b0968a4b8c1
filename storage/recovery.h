/* recovery.h - after any end: what the log still holds, and where it goes on.
 *
 * Purpose  Finds every partition, reads footers and scans what has none, tells rot from a torn
 *          tail, seals what was open (never appends to it), removes segments that were prepared but
 *          never opened, and answers where the log goes on. Always starts; says what is lost.
 * Owns     Nothing after it returns.
 * Threads  Cold: the main core before workers start, or a tool.
 * Rules    docs/log-format.md, "Recovery":
 *          - a bad commit with a later witness is rot: it is fenced and everything after it kept.
 *            Witnesses: a good later commit whose durable_number covers it, a trailer, the header
 *            of a segment behind it, the root page;
 *          - a bad commit without one is an undecidable tail: cut. If the root page proves (same
 *            incarnation) that nothing beyond was durable, offsets go on without a gap; if not, the
 *            next offset of every topic skips tail_records_max and the leader epoch rises by one.
 *            Rot that may have held the newest offsets skips likewise, once a commit lost;
 *          - the root page knows a later durable commit than all that is found, or names a segment
 *            that is not there: durable commits are lost. Told, and no number or offset that they
 *            can have had is given again;
 *          - only the newest segment is ever written to, behind its last good commit: trailer, then
 *            footer. Any number of crashes in between ends in the same state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/log_resume.h"

BEGIN_C_DECLS

/* What the root page knew of this log; from before this start. */
struct recovery_witness {
    bool valid;           /* the page survived and names a log here */
    struct log_id log_id; /* of that log: it says nothing about another one */
    struct log_id nonce;
    uint64_t incarnation;
    uint64_t durable_number;
};

enum recovery_finding {
    RECOVERY_SEALED,          /* number: segment; value: commits kept */
    RECOVERY_CUT,             /* an undecidable tail; number: segment; value: position of the cut;
                                 other: bytes behind it that something was written to */
    RECOVERY_CLEAN_TAIL,      /* unacknowledged bytes behind the durable end; same fields */
    RECOVERY_FENCED,          /* rot; number: segment; value: position; other: length (of an entry
                                 where its commit's directory holds, else of whole commits), 0:
                                 commits that were durable are simply not there */
    RECOVERY_MISSING_SEGMENT, /* number */
    RECOVERY_UNREADABLE,      /* number: segment; value: enum status. STATUS_INVALID: another log's,
                                 or under a wrong name; other: 1 when its first commit stood in for
                                 its header, so nothing is lost */
    RECOVERY_UNSUPPORTED,     /* a version that this build does not know; value: version */
    RECOVERY_REMOVED_SPARE,   /* prepared, never opened, or nothing in it was ever durable */
    RECOVERY_UNSEALED,        /* footer, trailer or the header that was torn could not be written:
                                 read by scanning; value: enum status */
    RECOVERY_LOST_LOG,        /* the root page knew commits, and no segment is left; value: how many
                                 were durable. A new log begins, with an id of its own */
    RECOVERY_SKIPPED_OFFSETS, /* value: how many per topic; other: new leader epoch */
    RECOVERY_ABANDONED,       /* the next segment goes on before this one's end: a disk refused it;
                                 number: segment; value: position of what is neither served nor rot;
                                 other: the commit that is continued */
    RECOVERY_FINDING_COUNT,
};

struct recovery_report {
    void (*found)(void *context, uint32_t partition, enum recovery_finding finding, uint64_t number,
                  uint64_t value, uint64_t other);
    void *context;
    /* Offsets first..end-1 of a topic were durable, and their records are gone: what a fence means
     * for consumers, as far as commits around it tell. NULL: not wanted. */
    void (*records_lost)(void *context, uint32_t partition, const char *topic, uint64_t first,
                         uint64_t end);
};

/* Recovers partition `partition`; STATUS_NOT_FOUND when it has no segment: a new log (`out` then
 * holds only what was passed in, as do cluster_id, log_id and partition where no header says them).
 * STATUS_UNSUPPORTED: another format: refuse to start. Errors of reading are findings, not
 * failures, except when nothing at all can be read or written: STATUS_IO, STATUS_NO_SPACE. `out` is
 * large: not on a stack. */
MUST_CHECK enum status recovery_run(struct files files, uint32_t partition,
                                    const struct recovery_witness *witness,
                                    const struct recovery_report *report, struct log_resume *out);

END_C_DECLS
