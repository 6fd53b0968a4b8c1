/* block_cache.h - batches that were read from disk, kept while there is room.
 *
 * Purpose  Several consumers that replay the same hours read the disk once.
 * Owns     Its blocks, each until the last reference is gone: at most capacity_bytes of them.
 * Threads  One (the event loop). A fresh block may be made elsewhere and handed over.
 * Key      (partition, segment nonce, position): a nonce is never used twice, so what was cached
 *          never goes bad. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "storage/reader.h"

BEGIN_C_DECLS

/* Whether both name the same bytes. */
bool batch_location_equal(const struct batch_location *left, const struct batch_location *right);

struct block {
    struct batch_location location;
    TAILQ_ENTRY(block) by_age;
    LIST_ENTRY(block) in_bucket;
    uint32_t references;
    size_t len_bytes;
    uint8_t bytes[];
};

/* One reference, the caller's. NULL when memory is out. Any thread. */
struct block *block_create(const struct batch_location *location, const uint8_t *bytes);
void block_release(struct block *block);

struct block_cache; /* opaque */

/* capacity_bytes 0 caches nothing. NULL when memory is out. */
struct block_cache *block_cache_create(size_t capacity_bytes);
void block_cache_destroy(struct block_cache *cache);

/* NULL when it is not there. The reference stays the cache's: use it before the next insert. */
const struct block *block_cache_find(struct block_cache *cache,
                                     const struct batch_location *location);

/* Takes a reference of its own when the block fits; older ones go. A second block of the same key
 * is not kept. */
void block_cache_insert(struct block_cache *cache, struct block *block);

size_t block_cache_used_bytes(const struct block_cache *cache);

END_C_DECLS
