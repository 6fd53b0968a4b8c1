/* status.h - what the world did, for functions that can fail for more than one reason.
 *
 * One enum for the whole tree, so that a status can pass through layers unchanged. A parser with
 * outcomes to count has an enum of its own instead. */
#pragma once

#include "base/compiler.h"

BEGIN_C_DECLS

enum status {
    STATUS_OK,
    STATUS_FULL,        /* no room: daily life */
    STATUS_BUSY,        /* not now: call again later */
    STATUS_NOT_FOUND,   /* no such thing */
    STATUS_EXISTS,      /* there already */
    STATUS_INVALID,     /* what was given breaks a rule */
    STATUS_TRUNCATED,   /* fewer bytes than promised */
    STATUS_CORRUPT,     /* a checksum or an invariant of stored bytes does not hold */
    STATUS_UNSUPPORTED, /* a version, format or feature that this build does not know */
    STATUS_NO_SPACE,    /* the disk or file system is full */
    STATUS_NO_MEMORY,   /* memory or hugepages are short */
    STATUS_IO,          /* a device or file system refused; see errno where it is documented */
    STATUS_STALE,       /* the bytes were replaced while they were being read */
    STATUS_CLOSED,      /* stopped, and stays so until something outside changes */
    STATUS_COUNT,
};

/* A short English phrase, never NULL, also for values outside the enum. Any thread. */
const char *status_text(enum status status);

/* The status for a negated or plain errno: ENOSPC and EDQUOT, ENOMEM, ENOENT, EEXIST, EAGAIN and
 * EBUSY have their own; the rest is STATUS_IO. 0 is STATUS_OK. */
enum status status_from_errno(int error);

END_C_DECLS
