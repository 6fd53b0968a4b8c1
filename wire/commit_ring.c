#include "wire/commit_ring.h"

#include <stdio.h>
#include <string.h>

static const char ring_magic[8] = {'P', 'E', 'N', 'S', 'T', 'R', 'N', 'G'};

void commit_ring_file_name(uint32_t partition, char out[COMMIT_RING_NAME_BYTES])
{
    snprintf(out, COMMIT_RING_NAME_BYTES, "ring-%04u", partition);
}

void commit_ring_init(struct commit_ring_header *ring, uint32_t partition, struct log_id log_id,
                      uint64_t incarnation, uint64_t capacity_bytes)
{
    assert(capacity_bytes % LOG_BLOCK_BYTES == 0);
    memcpy(ring->magic, ring_magic, sizeof ring->magic);
    ring->version = SHARED_VERSION;
    ring->partition = partition;
    ring->log_id = log_id;
    ring->incarnation = incarnation;
    ring->capacity_bytes = capacity_bytes;
    atomic_store_explicit(&ring->reserved_end, 0, memory_order_release);
}

enum status commit_ring_check(const struct commit_ring_header *ring, size_t size_bytes,
                              uint64_t *out_capacity_bytes)
{
    if (size_bytes < sizeof *ring) { return STATUS_TRUNCATED; }
    if (memcmp(ring->magic, ring_magic, sizeof ring->magic) != 0) { return STATUS_CORRUPT; }
    if (ring->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    /* volatile: read once. What is checked is what is used, even under a hostile writer. */
    const uint64_t capacity = *(const volatile uint64_t *)&ring->capacity_bytes;
    if (capacity == 0 || capacity % LOG_BLOCK_BYTES != 0) { return STATUS_CORRUPT; }
    if (size_bytes - sizeof *ring < capacity) { return STATUS_TRUNCATED; }
    *out_capacity_bytes = capacity;
    return STATUS_OK;
}

enum status commit_ring_copy(const struct commit_ring_header *ring, uint64_t capacity_bytes,
                             uint64_t position, size_t len_bytes, uint8_t *out)
{
    assert(capacity_bytes > 0);
    const uint64_t begin = position % capacity_bytes;
    if (len_bytes > capacity_bytes - begin) { return STATUS_INVALID; } /* commits are contiguous */

    const uint64_t before = atomic_load_explicit(&ring->reserved_end, memory_order_acquire);
    if (position > before || len_bytes > before - position) { return STATUS_INVALID; }
    if (before - position > capacity_bytes) { return STATUS_STALE; }

    memcpy(out, commit_ring_data(ring) + begin, len_bytes);

    /* Orders the copy before the second look; pairs with the writer's fence after it stores
     * reserved_end and before it touches what that gave up. */
    atomic_thread_fence(memory_order_acquire);
    const uint64_t after = atomic_load_explicit(&ring->reserved_end, memory_order_relaxed);
    return after - position > capacity_bytes ? STATUS_STALE : STATUS_OK;
}
