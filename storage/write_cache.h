/* write_cache.h - what a disk does with a write that it has taken: is it safe, or in a cache?
 *
 * Asks sysfs (Documentation/ABI/stable/sysfs-block: queue/write_cache, queue/fua). What the kernel
 * was told by the device is all that can be known; it flushes, or not, by the same word. Cold. Any
 * thread. */
#pragma once

#include <sys/types.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum write_cache {
    WRITE_CACHE_UNKNOWN, /* no single block device is below (btrfs, a network), or no sysfs */
    WRITE_CACHE_NONE,    /* what was written is stable */
    WRITE_CACHE_FUA,     /* volatile, and single writes can go through it */
    WRITE_CACHE_FLUSH,   /* volatile, and only a flush of all of it helps */
};

/* Of the disk below a path, which need not exist yet: the nearest parent that does counts. A block
 * device is taken for itself. */
enum write_cache write_cache_of_path(const char *path);

/* Of a device's folder ("/sys/dev/block/254:0"): of a partition, its disk's. */
enum write_cache write_cache_of_device(const char *folder);

/* "volatile cache without FUA" */
const char *write_cache_text(enum write_cache cache);

END_C_DECLS
