/* disk.h - the bare durable writer: io_uring, O_DIRECT, a thread that spins, nothing else.
 *
 * Purpose  Writes commits of one size, so many in flight, into a file (or a block device) that is
 *          there already and full of written blocks, by any of the methods that the log could use.
 *          As fast as they go, or by a schedule fixed beforehand (an open loop).
 * Threads  The one that limit_disk is called on; pin it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/histogram.h"
#include "base/status.h"
#include "bench/counters.h"

BEGIN_C_DECLS

enum limit_disk_method {
    LIMIT_DISK_DSYNC,     /* RWF_DSYNC on each write */
    LIMIT_DISK_FDATASYNC, /* plain writes, and flushes that cover what had completed */
    LIMIT_DISK_SQPOLL,    /* RWF_DSYNC, submitted and completed by the kernel's thread elsewhere */
    LIMIT_DISK_METHOD_COUNT,
};

const char *limit_disk_method_name(enum limit_disk_method method);

struct limit_disk_run {
    /* in */
    int file; /* O_DIRECT, zero-filled as the log's own segments are */
    uint64_t file_bytes;
    size_t commit_bytes;
    uint32_t depth;
    uint64_t duration_ns;
    enum limit_disk_method method;
    uint32_t helper_core; /* where the kernel's threads run; the caller's own: anywhere */
    uint64_t period_ns;   /* a commit is due each; 0: as fast as they go */
    bool new_bytes;       /* every cache line of a commit is written to before it is submitted */
    /* out */
    uint64_t commit_count;
    uint64_t elapsed_ns;
    uint64_t cpu_ns;
    struct histogram latency; /* to durable: from its submit, or from when it was due */
    enum status status;
};
/* A body for a pinned thread; `argument` is a struct limit_disk_run. */
int limit_disk(void *argument);

END_C_DECLS
