/* append_path.h - the appliance's append path alone: records to open commit to log to disk.
 *
 * Purpose  Composes dataplane/open_commit, storage/core_log, its segment supply and uring_disk as a
 *          worker does, and feeds them records from memory: no packets, no decoding, no rules. What
 *          is left is what stands between a record and stable storage: the gather pass with its
 *          copy and CRC-32C, the commit's header and directory, the ring, io_uring.
 * Schedule As fast as the disk takes it, or an open loop: bursts of records are due at times fixed
 *          beforehand, and their latency counts from then, whatever held them up.
 * Threads  append_path is a body for a pinned thread; a helper thread (the segment supply's) runs
 * on the caller's other CPUs meanwhile. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/histogram.h"
#include "base/status.h"
#include "bench/counters.h"
#include "bench/recycled_files.h"
#include "storage/uring_disk.h"

BEGIN_C_DECLS

struct append_options {
    struct recycled_files *files; /* at least four free */
    struct bytes data;            /* whole records, back to back; larger than the caches */
    size_t record_bytes;
    size_t commit_bytes;
    uint32_t depth; /* commits in flight */
    uint64_t ring_bytes;
    uint64_t linger_ns;
    enum uring_disk_method method;
    const char *runtime; /* a directory in memory, for the ring and live indexes */
};

struct append_path; /* opaque */

/* A new log on the files, nothing written. Made and destroyed for each run: the ring belongs to the
 * thread that runs it. */
MUST_CHECK enum status append_path_create(const struct append_options *options,
                                          struct append_path **out);
/* Every write must have been reaped: append_path_run has seen to it. NULL is fine. */
void append_path_destroy(struct append_path *path);

struct append_run {
    /* in */
    struct append_path *path;
    uint64_t duration_ns;
    uint64_t burst_period_ns; /* APPEND_BURST records are due each; 0: as many as go */
    /* out */
    uint64_t elapsed_ns; /* until the last record was durable */
    uint64_t cpu_ns;
    uint64_t records;
    uint64_t commits;
    uint64_t commit_bytes; /* durable, padding included */
    uint64_t gather_cycles;
    struct counted counted;
    struct histogram latency; /* of each record */
    enum status status;
};

enum { APPEND_BURST = 32 }; /* records, as from a burst of packets */

/* A body for a pinned thread; `argument` is a struct append_run. Once a path. */
int append_path_run(void *argument);

END_C_DECLS
