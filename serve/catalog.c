#include "serve/catalog.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"

static void count_batch(struct catalog *catalog, enum serve_counter batches,
                        enum serve_counter bytes, size_t len_bytes)
{
    serve_stats_add(catalog->stats, batches, 1);
    serve_stats_add(catalog->stats, bytes, len_bytes);
}

static enum status count_failure(struct catalog *catalog, enum status status)
{
    if (status == STATUS_CORRUPT) { serve_stats_add(catalog->stats, SERVE_reads_corrupt, 1); }
    if (status == STATUS_IO || status == STATUS_NO_MEMORY) {
        serve_stats_add(catalog->stats, SERVE_reads_failed, 1);
    }
    return status;
}

/* Twice read and twice wrong: named and counted once, and from now on passed over unread. */
COLD static void fence(struct catalog *catalog, size_t topic, const struct batch_location *location)
{
    if (fence_set_holds(&catalog->fences, location)) { return; } /* another request was faster */
    fence_set_add(&catalog->fences, location, reader_topic_name(catalog->reader, topic));
    serve_stats_add(catalog->stats, SERVE_fenced_batches, 1);
}

/* Consumers ask for the batch again and again: one line in a while. */
COLD static void tell_refused(struct catalog *catalog, size_t topic,
                              const struct batch_location *location)
{
    static const uint64_t pause_ns = 10 * (uint64_t)NS_PER_S;
    const uint64_t now_ns = clock_mono_ns();
    if (catalog->refused_told_ns > 0 && now_ns - catalog->refused_told_ns < pause_ns) { return; }
    catalog->refused_told_ns = now_ns;
    log_error("part-%04u segment %016" PRIx64 " cannot be read: the disk refuses the %" PRIu32
              " bytes at %" PRIu64 "; consumers of %s get KAFKA_STORAGE_ERROR for offsets %" PRIu64
              " to %" PRIu64 " and try again",
              location->partition, location->segment_number, location->length_bytes,
              location->position, reader_topic_name(catalog->reader, topic), location->base_offset,
              location->next_offset - 1);
}

/* STATUS_STALE: not in the ring, or no longer whole there: the disk has it. */
static enum status read_ring(struct catalog *catalog, const struct batch_location *location,
                             uint8_t *out)
{
    if (!location->in_ring) { return STATUS_STALE; }
    const enum status status = reader_read_tail(catalog->reader, location, out);
    if (status == STATUS_OK) {
        count_batch(catalog, SERVE_batches_from_ring, SERVE_batches_from_ring_bytes,
                    location->length_bytes);
    }
    if (status == STATUS_STALE) { serve_stats_add(catalog->stats, SERVE_ring_reads_stale, 1); }
    (void)count_failure(catalog, status);
    /* Whatever is wrong with that memory is no verdict on the disk, which has a copy of its own. */
    return status == STATUS_OK ? STATUS_OK : STATUS_STALE;
}

/* What the finished read brought, if it is for this batch; STATUS_STALE otherwise. */
static enum status use_finished(struct catalog *catalog, const struct batch_location *location,
                                struct catalog_wait *wait, uint8_t *out)
{
    struct cold_job *const job = wait->finished;
    if (job == NULL) { return STATUS_STALE; }

    wait->finished = NULL;
    enum status status = STATUS_STALE;
    if (batch_location_equal(&job->location, location)) {
        status = job->status;
        if (status == STATUS_OK) { memcpy(out, job->block->bytes, job->block->len_bytes); }
    }
    cold_job_free(catalog->cold, job);
    return status;
}

static bool use_cached(struct catalog *catalog, const struct batch_location *location, uint8_t *out)
{
    const struct block *const block = block_cache_find(catalog->cache, location);
    if (block == NULL) { return false; }
    memcpy(out, block->bytes, block->len_bytes);
    count_batch(catalog, SERVE_batches_from_cache, SERVE_batches_from_cache_bytes,
                block->len_bytes);
    return true;
}

enum status catalog_read(struct catalog *catalog, size_t topic,
                         const struct batch_location *location, struct catalog_wait *wait,
                         uint8_t *out)
{
    assert(wait->owner != NULL);
    if (wait->job != NULL) { return STATUS_BUSY; }

    const enum status finished = use_finished(catalog, location, wait, out);
    if (finished == STATUS_CORRUPT) { fence(catalog, topic, location); }
    if (finished == STATUS_IO) { tell_refused(catalog, topic, location); }
    if (finished != STATUS_STALE) { return count_failure(catalog, finished); }
    if (fence_set_holds(&catalog->fences, location)) { return STATUS_CORRUPT; }

    const enum status tail = read_ring(catalog, location, out);
    if (tail != STATUS_STALE) { return tail; }
    if (use_cached(catalog, location, out)) { return STATUS_OK; }

    const enum status queued = cold_reader_submit(catalog->cold, location, wait, &wait->job);
    return queued == STATUS_OK ? STATUS_BUSY : count_failure(catalog, STATUS_IO);
}

bool catalog_take_finished(struct catalog *catalog, void **owner)
{
    struct cold_job *const job = cold_reader_take(catalog->cold);
    if (job == NULL) { return false; }

    if (job->status == STATUS_OK) {
        count_batch(catalog, SERVE_batches_from_disk, SERVE_batches_from_disk_bytes,
                    job->block->len_bytes);
        block_cache_insert(catalog->cache, job->block);
        catalog->stats->cache_bytes = block_cache_used_bytes(catalog->cache);
    }
    struct catalog_wait *const wait = job->owner;
    *owner = wait != NULL ? wait->owner : NULL;
    if (wait == NULL) {
        cold_job_free(catalog->cold, job);
        return true;
    }
    assert(wait->job == job);
    wait->job = NULL;
    wait->finished = job;
    return true;
}

void catalog_wait_end(struct catalog *catalog, struct catalog_wait *wait)
{
    if (wait->job != NULL) { cold_reader_cancel(catalog->cold, wait->job); }
    cold_job_free(catalog->cold, wait->finished);
    wait->job = NULL;
    wait->finished = NULL;
}
