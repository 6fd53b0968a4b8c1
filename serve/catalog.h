/* catalog.h - what there is to serve: topics and watermarks by the reader, bytes by one way in.
 *
 * Purpose  Joins the reader, the cold cache and the cold reader. Request handlers look up with
 *          reader_* on catalog->reader, and read batches with catalog_read, which never blocks.
 * Owns     The fences; else nothing: a bundle that server.c fills.
 * Threads  The event loop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "serve/block_cache.h"
#include "serve/cold_reader.h"
#include "serve/fence_set.h"
#include "serve/serve_stats.h"
#include "storage/reader.h"

BEGIN_C_DECLS

struct catalog {
    struct reader *reader;
    struct block_cache *cache;
    struct cold_reader *cold;
    struct serve_stats *stats;
    struct fence_set fences;
    uint64_t refused_told_ns; /* when a refused read was last written down */ /* zeroed: none */
};

/* One request's cold read: at most one at a time. Zeroed: none. */
struct catalog_wait {
    void *owner;          /* comes back in catalog_take_finished */
    struct cold_job *job; /* under way */
    struct cold_job *finished;
};

/* Copies the batch of `topic` at `location` to `out` (location->length_bytes).
 *
 * Returns  STATUS_OK
 *          STATUS_BUSY       being read from disk, or queued: call again for the same batch when
 *                            catalog_take_finished names wait->owner
 *          STATUS_NOT_FOUND  its segment was removed meanwhile: look it up again
 *          STATUS_CORRUPT    rot: it is fenced off, go on behind it
 *          STATUS_IO, STATUS_NO_MEMORY  this batch cannot be served now */
MUST_CHECK enum status catalog_read(struct catalog *catalog, size_t topic,
                                    const struct batch_location *location,
                                    struct catalog_wait *wait, uint8_t *out);

/* Books one finished cold read. `*owner` is who waited, NULL when that one is gone. False when no
 * more are finished. */
bool catalog_take_finished(struct catalog *catalog, void **owner);

/* The request ends: gives up what it waits for. */
void catalog_wait_end(struct catalog *catalog, struct catalog_wait *wait);

END_C_DECLS
