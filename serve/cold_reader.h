/* cold_reader.h - batches that are no longer in the ring, read from disk beside the event loop.
 *
 * Purpose  One thread reads one batch after the other, at most bytes_per_s, so that neither a slow
 *          disk holds up other consumers nor a replay takes the disk from the writer.
 * Fairness A request waits for one batch at a time and queues again behind all others: the queue's
 *          order is round-robin between connections.
 * Owns     Jobs, from submit until they are taken and freed. Bounded by queue_max.
 * Threads  submit, cancel and take on the event loop; reader_read_cold on the thread inside.
 * Errors   A job carries its enum status: OK, NOT_FOUND, CORRUPT (read twice), IO, NO_MEMORY. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "serve/block_cache.h"
#include "storage/reader.h"

BEGIN_C_DECLS

struct cold_reader; /* opaque */

struct cold_job {
    TAILQ_ENTRY(cold_job) entry;
    struct batch_location location;
    void *owner; /* NULL: cancelled meanwhile */
    enum status status;
    struct block *block; /* on STATUS_OK */
};

struct cold_reader_options {
    struct reader *reader;
    uint64_t bytes_per_s; /* 0: no limit */
    size_t queue_max;
    bool threaded; /* false: only cold_reader_step reads (tests, fuzzing) */
};

MUST_CHECK enum status cold_reader_create(const struct cold_reader_options *options,
                                          struct cold_reader **out);
/* Waits for a read in progress; every job goes. NULL is fine. */
void cold_reader_destroy(struct cold_reader *cold);

/* Readable (an eventfd) when jobs may be taken. */
int cold_reader_fd(const struct cold_reader *cold);

/* Queues one read. STATUS_BUSY: queue_max are under way. STATUS_NO_MEMORY. */
MUST_CHECK enum status cold_reader_submit(struct cold_reader *cold,
                                          const struct batch_location *location, void *owner,
                                          struct cold_job **out);
/* The owner is gone; the result, if any, is still worth caching. */
void cold_reader_cancel(struct cold_reader *cold, struct cold_job *job);

/* The next finished job, or NULL. The caller ends it with cold_job_free. */
struct cold_job *cold_reader_take(struct cold_reader *cold);
void cold_job_free(struct cold_reader *cold, struct cold_job *job);

/* Reads the next queued job on this thread; false when there is none. Without a thread only. */
bool cold_reader_step(struct cold_reader *cold);

END_C_DECLS
