/* device_table.h - superblock and slot table of a raw device: read, mended, changed.
 *
 * Purpose  Which slot holds which segment, in memory and, twice, on the device. device_store.c
 *          makes files of it, device_init.c the first one.
 * Owns     The slots in memory. The descriptor stays the caller's (O_DIRECT).
 * Threads  One at a time: the caller's lock. device_table_slot_on_device reads the device alone.
 * Order    A change is written to the first copy, durably, and only then to the second. So at
 *          every moment one of them holds: a torn or rotten block of one is mended from the other,
 *          and nothing relies on a device writing more than it promises at once.
 * Errors   STATUS_NOT_FOUND (not ours), STATUS_CORRUPT, STATUS_UNSUPPORTED, STATUS_TRUNCATED (the
 *          device shrank), STATUS_IO, STATUS_NO_MEMORY. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/device_format.h"

BEGIN_C_DECLS

struct device_table {
    int descriptor;
    struct device_superblock superblock;
    uint64_t generation;       /* the highest of any slot */
    struct device_slot *slots; /* superblock.slot_count of them */
    uint64_t *sequences;       /* of each block */
    bool *lost;                /* by block: neither copy holds, its slots are unknown */
};

/* What opening met, to be told. */
struct device_table_found {
    uint64_t mended_blocks;    /* superblocks, too */
    uint64_t unmended_blocks;  /* one copy holds, the other could not be written */
    uint64_t recognised_slots; /* of lost blocks: told by what stands in the slot */
    uint64_t lost_slots;
};

/* The device's superblock, from the first copy or, where that one is damaged, the second. A first
 * block that is not Penstock's at all decides: whoever wrote it owns the device now. `damaged` (may
 * be NULL): how many of the copies do not hold. */
MUST_CHECK enum status device_superblock_read(int descriptor, uint64_t device_bytes,
                                              struct device_superblock *out, uint32_t *damaged);

/* For the one writer: reads everything, mends what one copy still tells. */
MUST_CHECK enum status device_table_open(int descriptor, uint64_t device_bytes,
                                         struct device_table *table,
                                         struct device_table_found *found);
/* For a reader: what stands there now, also below a running writer. `table` is empty (zeroed), or
 * holds what an earlier call read. */
MUST_CHECK enum status device_table_read(int descriptor, uint64_t device_bytes,
                                         struct device_table *table);
void device_table_close(struct device_table *table);

/* A table of free slots and the superblock, in this order: the device is Penstock's once it
 * returns. For a device of zeros. */
MUST_CHECK enum status device_table_format(int descriptor,
                                           const struct device_superblock *superblock);

/* The slot holds that segment from now on, or (`size_bytes` 0) none: in memory, durably on the
 * device, and with a new generation. On an error memory is as it was. */
MUST_CHECK enum status device_table_change(struct device_table *table, uint32_t slot,
                                           uint32_t partition, uint64_t number,
                                           uint64_t size_bytes);

/* False too for a slot whose block is lost. */
bool device_table_slot_is_free(const struct device_table *table, uint32_t slot);
/* The slot of a segment, or -1. Of two with one name the younger: the older one's creation had
 * failed half-way. */
int64_t device_table_find(const struct device_table *table, uint32_t partition, uint64_t number);

/* The slot as the device tells it now. STATUS_CORRUPT: neither copy does, or it was initialised
 * anew. Any thread. */
MUST_CHECK enum status device_table_slot_on_device(int descriptor,
                                                   const struct device_superblock *superblock,
                                                   uint32_t slot, struct device_slot *out);

END_C_DECLS
