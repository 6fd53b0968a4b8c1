/* uring_disk.h - the disk port on io_uring and O_DIRECT; the only file that includes liburing.h.
 *
 * Threads  create and destroy on the main core; the ring is enabled by, and from then on belongs
 *          to, the worker that first calls uring_disk_adopt.
 * Sources  io_uring_setup(2): SINGLE_ISSUER, DEFER_TASKRUN, R_DISABLED (kernel 6.1). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "storage/disk.h"

BEGIN_C_DECLS

struct uring_disk; /* opaque */

struct uring_disk_options {
    uint32_t depth;      /* writes in flight at most */
    struct bytes memory; /* registered once: where commits lie (the commit ring's data) */
    int doorbell;        /* eventfd (non-blocking) that ring_doorbell writes to; -1: none */
};

/* STATUS_UNSUPPORTED when the kernel has no io_uring, or forbids it: the log says which. */
MUST_CHECK enum status uring_disk_create(const struct uring_disk_options *options,
                                         struct uring_disk **out);
/* Every write must have been reaped: asserted. NULL is fine. */
void uring_disk_destroy(struct uring_disk *disk);

/* Once, on the worker's thread, before its first submit. */
MUST_CHECK enum status uring_disk_adopt(struct uring_disk *disk);

struct disk uring_disk_port(struct uring_disk *disk);

END_C_DECLS
