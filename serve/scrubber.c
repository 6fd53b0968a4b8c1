#include "serve/scrubber.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/logger.h"
#include "serve/token_bucket.h"

enum { IDLE_NS = 1 * NS_PER_S }; /* nothing is due: new segments come at such a pace at most */

struct scrubber {
    struct scrub *scrub; /* the thread's */
    struct token_bucket bucket;
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    bool stopping;
    struct scrub_progress progress;
};

static void on_damage(void *context, const struct scrub_damage *damage)
{
    (void)context;
    log_error("part-%04u segment %016" PRIx64 " is damaged: the %" PRIu64 " bytes at %" PRIu64
              " %s, read twice; everything before and behind them is served; check the disk "
              "(smartctl) and run `penstock log verify`",
              damage->partition, damage->segment_number, damage->len_bytes, damage->position,
              damage->why == STATUS_IO ? "cannot be read" : "do not match their checksum");
}

/* Called and left with the mutex held; false: stopping. */
static bool scrubber_wait(struct scrubber *scrubber, uint64_t wait_ns)
{
    const uint64_t until_ns = clock_mono_ns() + wait_ns;
    const struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    while (!scrubber->stopping && clock_mono_ns() < until_ns) {
        pthread_cond_timedwait(&scrubber->wake, &scrubber->mutex, &until);
    }
    return !scrubber->stopping;
}

static void *scrubber_main(void *argument)
{
    struct scrubber *const scrubber = argument;
    pthread_mutex_lock(&scrubber->mutex);
    uint64_t wait_ns = 0;
    while (scrubber_wait(scrubber, wait_ns)) {
        struct scrub_progress progress;
        pthread_mutex_unlock(&scrubber->mutex);
        const struct instant now = clock_now();
        const size_t read_bytes = scrub_step(scrubber->scrub, now.wall_ms);
        token_bucket_take(&scrubber->bucket, read_bytes);
        wait_ns =
            read_bytes > 0 ? token_bucket_wait_ns(&scrubber->bucket, clock_mono_ns()) : IDLE_NS;
        scrub_progress(scrubber->scrub, &progress);
        pthread_mutex_lock(&scrubber->mutex);
        scrubber->progress = progress;
    }
    pthread_mutex_unlock(&scrubber->mutex);
    return NULL;
}

static void sync_init(struct scrubber *scrubber)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&scrubber->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&scrubber->mutex, NULL);
}

enum status scrubber_create(const struct scrubber_options *options, struct scrubber **out)
{
    assert(options->bytes_per_s > 0);
    struct scrubber *const scrubber = calloc(1, sizeof *scrubber);
    if (scrubber == NULL) { return STATUS_NO_MEMORY; }
    sync_init(scrubber);
    token_bucket_init(&scrubber->bucket, options->bytes_per_s, clock_mono_ns());
    const struct scrub_report report = {on_damage, NULL};
    enum status status = scrub_create(options->storage_paths, options->storage_path_count, &report,
                                      &scrubber->scrub);
    if (status == STATUS_OK) {
        scrubber->started = pthread_create(&scrubber->thread, NULL, scrubber_main, scrubber) == 0;
        if (!scrubber->started) { status = STATUS_NO_MEMORY; }
    }
    if (status != STATUS_OK) {
        scrubber_destroy(scrubber);
        return status;
    }
    *out = scrubber;
    return STATUS_OK;
}

void scrubber_destroy(struct scrubber *scrubber)
{
    if (scrubber == NULL) { return; }
    if (scrubber->started) {
        pthread_mutex_lock(&scrubber->mutex);
        scrubber->stopping = true;
        pthread_cond_signal(&scrubber->wake);
        pthread_mutex_unlock(&scrubber->mutex);
        pthread_join(scrubber->thread, NULL);
    }
    scrub_destroy(scrubber->scrub);
    pthread_cond_destroy(&scrubber->wake);
    pthread_mutex_destroy(&scrubber->mutex);
    free(scrubber);
}

void scrubber_progress(struct scrubber *scrubber, struct scrub_progress *out)
{
    pthread_mutex_lock(&scrubber->mutex);
    *out = scrubber->progress;
    pthread_mutex_unlock(&scrubber->mutex);
}
