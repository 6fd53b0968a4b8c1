#include "serve/cold_reader.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/token_bucket.h"

TAILQ_HEAD(cold_jobs, cold_job);

enum {
    SCRATCH_ALIGN_BYTES = 4096,
    READS_MAX = 2, /* bytes that were wrong once may have been spoilt on the way */
};

struct cold_reader {
    struct reader *reader;
    size_t queue_max;
    size_t job_count; /* event loop only */
    int notify_fd;
    bool threaded;
    pthread_t thread;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t work;
    struct cold_jobs queued;
    struct cold_jobs done;
    bool stopping;

    struct token_bucket bucket; /* the reading thread's */
    uint8_t *scratch;
    size_t scratch_bytes;
};

/* ----------------------------------------------------------------------------------- reading */

static bool scratch_reserve(struct cold_reader *cold, size_t len_bytes)
{
    if (len_bytes <= cold->scratch_bytes) { return true; }
    const size_t rounded =
        (len_bytes + SCRATCH_ALIGN_BYTES - 1) & ~(size_t)(SCRATCH_ALIGN_BYTES - 1);
    uint8_t *const scratch = aligned_alloc(SCRATCH_ALIGN_BYTES, rounded);
    if (scratch == NULL) { return false; }
    free(cold->scratch);
    cold->scratch = scratch;
    cold->scratch_bytes = rounded;
    return true;
}

static enum status read_job(struct cold_reader *cold, struct cold_job *job)
{
    const size_t cold_bytes = reader_cold_bytes(&job->location);
    if (!scratch_reserve(cold, cold_bytes)) { return STATUS_NO_MEMORY; }

    const uint8_t *bytes = NULL;
    enum status status = STATUS_CORRUPT;
    for (int i = 0; i < READS_MAX && status == STATUS_CORRUPT; i++) {
        status = reader_read_cold(cold->reader, &job->location, cold->scratch, &bytes);
        token_bucket_take(&cold->bucket, cold_bytes);
    }
    if (status != STATUS_OK) { return status; }

    job->block = block_create(&job->location, bytes);
    return job->block != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static void wait_until(struct cold_reader *cold, uint64_t wait_ns)
{
    const uint64_t until_ns = clock_mono_ns() + wait_ns;
    const struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    pthread_cond_timedwait(&cold->work, &cold->mutex, &until);
}

/* The next job that may be read now; NULL when stopping. Called and left with the mutex held. */
static struct cold_job *wait_for_job(struct cold_reader *cold)
{
    while (!cold->stopping) {
        struct cold_job *const job = TAILQ_FIRST(&cold->queued);
        if (job == NULL) {
            pthread_cond_wait(&cold->work, &cold->mutex);
            continue;
        }
        const uint64_t wait_ns = token_bucket_wait_ns(&cold->bucket, clock_mono_ns());
        if (wait_ns == 0) {
            TAILQ_REMOVE(&cold->queued, job, entry);
            return job;
        }
        wait_until(cold, wait_ns);
    }
    return NULL;
}

/* Called and left with the mutex held. */
static void run_job(struct cold_reader *cold, struct cold_job *job)
{
    const bool wanted = job->owner != NULL;
    pthread_mutex_unlock(&cold->mutex);
    const enum status status = wanted ? read_job(cold, job) : STATUS_CLOSED;
    pthread_mutex_lock(&cold->mutex);

    job->status = status;
    TAILQ_INSERT_TAIL(&cold->done, job, entry);
    const uint64_t one = 1;
    const ssize_t written = write(cold->notify_fd, &one, sizeof one);
    (void)written; /* a full eventfd is readable all the same */
}

static void *cold_reader_main(void *argument)
{
    struct cold_reader *const cold = argument;
    pthread_mutex_lock(&cold->mutex);
    for (struct cold_job *job = wait_for_job(cold); job != NULL; job = wait_for_job(cold)) {
        run_job(cold, job);
    }
    pthread_mutex_unlock(&cold->mutex);
    return NULL;
}

bool cold_reader_step(struct cold_reader *cold)
{
    assert(!cold->threaded);
    pthread_mutex_lock(&cold->mutex);
    struct cold_job *const job = TAILQ_FIRST(&cold->queued);
    if (job != NULL) {
        TAILQ_REMOVE(&cold->queued, job, entry);
        run_job(cold, job);
    }
    pthread_mutex_unlock(&cold->mutex);
    return job != NULL;
}

/* ---------------------------------------------------------------------------------- the face */

static void sync_init(struct cold_reader *cold)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cold->work, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&cold->mutex, NULL);
}

enum status cold_reader_create(const struct cold_reader_options *options, struct cold_reader **out)
{
    *out = NULL;
    struct cold_reader *const cold = calloc(1, sizeof *cold);
    if (cold == NULL) { return STATUS_NO_MEMORY; }
    cold->reader = options->reader;
    cold->queue_max = options->queue_max;
    token_bucket_init(&cold->bucket, options->bytes_per_s, clock_mono_ns());
    TAILQ_INIT(&cold->queued);
    TAILQ_INIT(&cold->done);
    sync_init(cold);

    cold->notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (cold->notify_fd < 0) {
        cold_reader_destroy(cold);
        return STATUS_IO;
    }
    if (options->threaded && pthread_create(&cold->thread, NULL, cold_reader_main, cold) != 0) {
        cold_reader_destroy(cold);
        return STATUS_NO_MEMORY;
    }
    cold->threaded = options->threaded;
    *out = cold;
    return STATUS_OK;
}

static void jobs_free(struct cold_reader *cold, struct cold_jobs *jobs)
{
    for (struct cold_job *job = TAILQ_FIRST(jobs); job != NULL; job = TAILQ_FIRST(jobs)) {
        TAILQ_REMOVE(jobs, job, entry);
        cold_job_free(cold, job);
    }
}

void cold_reader_destroy(struct cold_reader *cold)
{
    if (cold == NULL) { return; }
    if (cold->threaded) {
        pthread_mutex_lock(&cold->mutex);
        cold->stopping = true;
        pthread_cond_signal(&cold->work);
        pthread_mutex_unlock(&cold->mutex);
        pthread_join(cold->thread, NULL);
    }
    jobs_free(cold, &cold->queued);
    jobs_free(cold, &cold->done);
    pthread_cond_destroy(&cold->work);
    pthread_mutex_destroy(&cold->mutex);
    if (cold->notify_fd >= 0) { close(cold->notify_fd); }
    free(cold->scratch);
    free(cold);
}

int cold_reader_fd(const struct cold_reader *cold) { return cold->notify_fd; }

enum status cold_reader_submit(struct cold_reader *cold, const struct batch_location *location,
                               void *owner, struct cold_job **out)
{
    assert(owner != NULL);
    if (cold->job_count >= cold->queue_max) { return STATUS_BUSY; }
    struct cold_job *const job = calloc(1, sizeof *job);
    if (job == NULL) { return STATUS_NO_MEMORY; }
    job->location = *location;
    job->owner = owner;
    cold->job_count++;

    pthread_mutex_lock(&cold->mutex);
    TAILQ_INSERT_TAIL(&cold->queued, job, entry);
    pthread_cond_signal(&cold->work);
    pthread_mutex_unlock(&cold->mutex);
    *out = job;
    return STATUS_OK;
}

void cold_reader_cancel(struct cold_reader *cold, struct cold_job *job)
{
    pthread_mutex_lock(&cold->mutex);
    job->owner = NULL;
    pthread_mutex_unlock(&cold->mutex);
}

struct cold_job *cold_reader_take(struct cold_reader *cold)
{
    uint64_t rings = 0;
    pthread_mutex_lock(&cold->mutex);
    struct cold_job *const job = TAILQ_FIRST(&cold->done);
    if (job != NULL) {
        TAILQ_REMOVE(&cold->done, job, entry);
    } else {
        const ssize_t taken = read(cold->notify_fd, &rings, sizeof rings);
        (void)taken; /* nothing to take is fine */
    }
    pthread_mutex_unlock(&cold->mutex);
    return job;
}

void cold_job_free(struct cold_reader *cold, struct cold_job *job)
{
    if (job == NULL) { return; }
    assert(cold->job_count > 0);
    cold->job_count--;
    block_release(job->block);
    free(job);
}
