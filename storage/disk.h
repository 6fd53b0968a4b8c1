/* disk.h - the disk port, hot half: queue writes, reap them when they are durable.
 *
 * Purpose  The worker's only way to stable storage. uring_disk.c is the real one, tests/sim/
 *          sim_disk.c the simulated. Files are made, opened and read through files.h (cold).
 * Owns     Nothing: bytes stay the caller's and must not move or change until their tag is reaped.
 * Threads  One worker owns a disk and alone calls it. Nothing here waits.
 * Errors   A write that completes short, or with any error, is STATUS_IO or STATUS_NO_SPACE: what
 *          the disk then holds there is unknown. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    DISK_BLOCK_BYTES = 4096, /* alignment of positions, lengths and memory */
    DISK_REAP_MAX = 64,
};

struct disk_write {
    struct bytes bytes; /* whole blocks, aligned likewise */
    int file;           /* from files_create or files_open */
    uint64_t position;
    uint64_t tag;
};

struct disk_completion {
    uint64_t tag;
    enum status status; /* STATUS_OK: durable, on stable storage */
};

struct disk_costs { /* lifetime of the disk */
    uint64_t enter_calls;
    uint64_t enter_cycles;      /* TSC */
    uint64_t last_enter_cycles; /* of the newest call: feeds a histogram */
};

struct disk_ops {
    enum status (*submit)(void *self, const struct disk_write *write);
    size_t (*reap)(void *self, struct disk_completion *out, size_t capacity);
    void (*ring_doorbell)(void *self);
    void (*costs)(void *self, struct disk_costs *out);
};

struct disk {
    const struct disk_ops *ops;
    void *self;
};

/* Queues one durable write. STATUS_OK: it will be reaped exactly once. STATUS_BUSY: the queue is
 * full, reap first. Writes may become durable in any order. */
MUST_CHECK static inline enum status disk_submit(struct disk disk, const struct disk_write *write)
{
    return disk.ops->submit(disk.self, write);
}

/* Hands queued writes to the kernel if there are any, takes up to `capacity` completions. */
static inline size_t disk_reap(struct disk disk, struct disk_completion *out, size_t capacity)
{
    return disk.ops->reap(disk.self, out, capacity);
}

/* Wakes the main core (an eventfd, written by the same ring: no extra system call). Coalesced. */
static inline void disk_ring_doorbell(struct disk disk) { disk.ops->ring_doorbell(disk.self); }

static inline void disk_costs(struct disk disk, struct disk_costs *out)
{
    disk.ops->costs(disk.self, out);
}

END_C_DECLS
