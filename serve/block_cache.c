#include "serve/block_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"

enum { BUCKET_COUNT = 4096 };

LIST_HEAD(block_bucket, block);
TAILQ_HEAD(block_ages, block);

struct block_cache {
    size_t capacity_bytes;
    size_t used_bytes;
    struct block_ages ages; /* the oldest first */
    struct block_bucket buckets[BUCKET_COUNT];
};

bool batch_location_equal(const struct batch_location *left, const struct batch_location *right)
{
    return left->partition == right->partition && left->position == right->position &&
           left->length_bytes == right->length_bytes &&
           log_id_equal(left->segment_nonce, right->segment_nonce);
}

struct block *block_create(const struct batch_location *location, const uint8_t *bytes)
{
    struct block *const block = malloc(sizeof *block + location->length_bytes);
    if (block == NULL) { return NULL; }
    memset(block, 0, sizeof *block);
    block->location = *location;
    block->references = 1;
    block->len_bytes = location->length_bytes;
    memcpy(block->bytes, bytes, block->len_bytes);
    return block;
}

void block_release(struct block *block)
{
    if (block == NULL) { return; }
    assert(block->references > 0);
    block->references--;
    if (block->references == 0) { free(block); }
}

struct block_cache *block_cache_create(size_t capacity_bytes)
{
    struct block_cache *const cache = calloc(1, sizeof *cache);
    if (cache == NULL) { return NULL; }
    cache->capacity_bytes = capacity_bytes;
    TAILQ_INIT(&cache->ages);
    for (size_t i = 0; i < BUCKET_COUNT; i++) { LIST_INIT(&cache->buckets[i]); }
    return cache;
}

static void cache_drop(struct block_cache *cache, struct block *block)
{
    TAILQ_REMOVE(&cache->ages, block, by_age);
    LIST_REMOVE(block, in_bucket);
    cache->used_bytes -= block->len_bytes;
    block_release(block);
}

static void cache_shrink(struct block_cache *cache, size_t used_bytes_max)
{
    while (cache->used_bytes > used_bytes_max) { cache_drop(cache, TAILQ_FIRST(&cache->ages)); }
}

void block_cache_destroy(struct block_cache *cache)
{
    if (cache == NULL) { return; }
    cache_shrink(cache, 0);
    free(cache);
}

/* The nonce is random already; positions of one segment are spread by a multiplication. */
static struct block_bucket *cache_bucket(struct block_cache *cache,
                                         const struct batch_location *location)
{
    uint64_t hash = load_le64(location->segment_nonce.bytes) ^ location->partition;
    hash ^= location->position * UINT64_C(0x9e3779b97f4a7c15);
    return &cache->buckets[(hash >> 32) % BUCKET_COUNT];
}

static struct block *cache_lookup(struct block_cache *cache, const struct batch_location *location)
{
    struct block *block = NULL;
    LIST_FOREACH(block, cache_bucket(cache, location), in_bucket)
    {
        if (batch_location_equal(&block->location, location)) { return block; }
    }
    return NULL;
}

const struct block *block_cache_find(struct block_cache *cache,
                                     const struct batch_location *location)
{
    struct block *const block = cache_lookup(cache, location);
    if (block == NULL) { return NULL; }
    TAILQ_REMOVE(&cache->ages, block, by_age);
    TAILQ_INSERT_TAIL(&cache->ages, block, by_age);
    return block;
}

void block_cache_insert(struct block_cache *cache, struct block *block)
{
    if (block->len_bytes > cache->capacity_bytes) { return; }
    if (cache_lookup(cache, &block->location) != NULL) { return; }

    cache_shrink(cache, cache->capacity_bytes - block->len_bytes);
    TAILQ_INSERT_TAIL(&cache->ages, block, by_age);
    LIST_INSERT_HEAD(cache_bucket(cache, &block->location), block, in_bucket);
    cache->used_bytes += block->len_bytes;
    block->references++;
}

size_t block_cache_used_bytes(const struct block_cache *cache) { return cache->used_bytes; }
