/* commit_ring.h - the newest commits, as they were written, in memory that serve can read.
 *
 * File     `ring-PPPP` in the runtime directory: header (4096 bytes), then capacity_bytes of data.
 * Positions count bytes ever reserved and never wrap in 64 bits; the byte of position p lies at
 *          data[p % capacity_bytes]. A commit is contiguous and block-aligned: where it would not
 *          fit before the end, the rest is skipped.
 * Threads  One worker writes. It publishes reserved_end (release) before it touches the bytes that
 *          the reservation overwrites. A reader copies, then (acquire) asks whether the copy could
 *          have been overwritten: that is the generation check of a sequence lock. The checksum of
 *          what was copied is the reader's second check. */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "wire/log_format.h"
#include "wire/shared.h"

BEGIN_C_DECLS

struct commit_ring_header {
    uint8_t magic[8]; /* "PENSTRNG" */
    uint32_t version; /* SHARED_VERSION */
    uint32_t partition;
    struct log_id log_id;
    uint64_t incarnation;
    uint64_t capacity_bytes; /* whole blocks */
    uint8_t padding_fixed[CACHE_PAIR_BYTES - 48];
    SHARED_ATOMIC(uint64_t) reserved_end; /* bytes below reserved_end - capacity_bytes are gone */
    uint8_t padding[4096 - CACHE_PAIR_BYTES - 8];
};
static_assert(sizeof(struct commit_ring_header) == 4096, "one page");

enum { COMMIT_RING_NAME_BYTES = 32 };

/* "ring-0003" */
void commit_ring_file_name(uint32_t partition, char out[COMMIT_RING_NAME_BYTES]);

/* Fills the fixed part of a zeroed mapping. */
void commit_ring_init(struct commit_ring_header *ring, uint32_t partition, struct log_id log_id,
                      uint64_t incarnation, uint64_t capacity_bytes);

/* As live_index_check. What the mapping holds for sure goes to *out_capacity_bytes: a reader keeps
 * that and never asks the page again, which its writer can change. */
MUST_CHECK enum status commit_ring_check(const struct commit_ring_header *ring, size_t size_bytes,
                                         uint64_t *out_capacity_bytes);

static inline uint8_t *commit_ring_data(const struct commit_ring_header *ring)
{
    return (uint8_t *)((uintptr_t)ring + sizeof *ring);
}

/* Copies [position, position + len_bytes) into `out`. Any process; never waits. `capacity_bytes` is
 * commit_ring_check's: no byte behind it is read, whatever the page says by now.
 * STATUS_OK      the bytes are what the writer left there
 * STATUS_STALE   overwritten before or while copying: read the disk
 * STATUS_INVALID the range is not one that the writer can have written */
MUST_CHECK enum status commit_ring_copy(const struct commit_ring_header *ring,
                                        uint64_t capacity_bytes, uint64_t position,
                                        size_t len_bytes, uint8_t *out);

END_C_DECLS
