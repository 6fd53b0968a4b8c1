/* uring_disk.h - the disk port on io_uring and O_DIRECT; the only file that includes liburing.h.
 *
 * Durable  By one of two methods (docs/decisions/0005-durable-writes.md has them measured):
 *          DSYNC      each write is RWF_DSYNC: when it completes, it is durable.
 *          FDATASYNC  plain writes; a flush (fdatasync of the file) goes out when some have
 *                     completed and covers those, and only those: what completes while it is out
 *                     waits for the next one. A write comes back when its flush has succeeded. A
 *                     flush that fails, in whatever way, fails every write that it covered and is
 *                     never tried again: the kernel may report a lost write only once.
 * Threads  create and destroy on the main core; the ring is enabled by, and from then on belongs
 *          to, the worker that first calls uring_disk_adopt. What the kernel cannot do without
 *          waiting (each flush, now and then a write) it gives to threads of its own, io-wq: they
 *          are few, and run where the thread that called create may run, but never on the one CPU
 *          that the worker is pinned to. A kernel that refuses that (before 5.14) puts them where
 *          it likes; iowq_watch.h says so.
 * Sources  io_uring_setup(2): SINGLE_ISSUER, DEFER_TASKRUN, R_DISABLED (kernel 6.1);
 *          io_uring_register(2): IORING_REGISTER_IOWQ_AFF, IORING_REGISTER_IOWQ_MAX_WORKERS. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "storage/disk.h"

BEGIN_C_DECLS

struct uring_disk; /* opaque */

enum uring_disk_method {
    URING_DISK_DSYNC,
    URING_DISK_FDATASYNC,
};

struct uring_disk_options {
    uint32_t depth;      /* writes in flight at most */
    struct bytes memory; /* registered once: where commits lie (the commit ring's data) */
    int doorbell;        /* eventfd (non-blocking) that ring_doorbell writes to; -1: none */
    enum uring_disk_method method;
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
