#include "dataplane/rules_loader.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/diagnostics.h"
#include "base/invariant.h"
#include "dataplane/node_config.h"
#include "dataplane/rules_archive.h"

enum {
    SETTLE_PERIOD_NS = 1 * NS_PER_MS, /* looks whether workers have changed over */
    IDLE_PERIOD_NS = 100 * NS_PER_MS, /* … when nobody waits for that */
    TAKEN_WITHIN_MS = 10 * 1000,      /* by every worker; else the outcome is BUSY */
};

struct rules_loader {
    struct rules_loader_options options;
    int descriptor; /* eventfd */
    pthread_t thread;
    bool runs;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    bool stop;
    uint64_t requested; /* tickets given out */
    uint64_t requested_ns;
    uint64_t answered; /* tickets that an outcome answers */
    bool has_outcome;  /* not taken yet: the next load waits for that */
    struct rules_outcome outcome;
};

/* ------------------------------------------------------------------------------------ a load */

static bool is_stopped(struct rules_loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    const bool stop = loader->stop;
    pthread_mutex_unlock(&loader->lock);
    return stop;
}

static void pause_for(uint64_t pause_ns)
{
    const struct timespec pause = {(time_t)(pause_ns / NS_PER_S), (long)(pause_ns % NS_PER_S)};
    nanosleep(&pause, NULL);
}

static bool settle_within(struct rules_loader *loader, uint64_t ms)
{
    const uint64_t deadline_ns = clock_mono_ns() + ms * NS_PER_MS;
    while (!rules_rcu_settle(loader->options.rcu)) {
        if (clock_mono_ns() >= deadline_ns || is_stopped(loader)) { return false; }
        pause_for(SETTLE_PERIOD_NS);
    }
    return true;
}

static void tell_who_is_late(const struct rules_loader *loader, FILE *text)
{
    for (size_t i = 0; i < loader->options.worker_count; i++) {
        if (!rules_rcu_worker_is_behind(loader->options.rcu, i)) { continue; }
        fprintf(text,
                "worker %zu still judges by the rules before: its log takes no commits, and what "
                "they judged waits for that; it changes over by itself when the log is open\n",
                i);
    }
}

static void keep_copy(const struct rules_loader *loader, uint64_t epoch,
                      const struct rules_text *file, FILE *text)
{
    if (file->at == NULL) { return; }
    const char *const cache = loader->options.config->cache;
    const enum status status =
        rules_archive_keep(cache, epoch, bytes_of(file->at, file->len_bytes));
    if (status != STATUS_OK) {
        fprintf(text, "warning: no copy of these rules could be kept in %s/rules: %s\n", cache,
                status_text(status));
    }
}

static enum status publish(struct rules_loader *loader, struct rule_set *rules, int64_t wall_ms,
                           bool *published)
{
    struct rules_generation *generation;
    const struct rules_generation_options options = {
        .rules = rules,
        .number = rules_rcu_newest(loader->options.rcu)->number + 1,
        .loaded_wall_ms = wall_ms,
        .worker_count = loader->options.worker_count,
        .records_max = loader->options.records_max,
        .runtime = loader->options.runtime,
        .previous = rules_rcu_newest(loader->options.rcu),
    };
    const enum status status = rules_generation_create(&options, &generation);
    if (status != STATUS_OK) { return status; }
    rules_rcu_publish(loader->options.rcu, generation);
    *published = true;
    return settle_within(loader, TAKEN_WITHIN_MS) ? STATUS_OK : STATUS_BUSY;
}

static enum status load_file(struct rules_loader *loader, FILE *text, bool *published)
{
    const int64_t wall_ms = clock_now().wall_ms;
    struct diagnostics *const diagnostics = diagnostics_create();
    struct rules_text file;
    struct rule_set *const rules =
        node_config_load_rules(loader->options.config, diagnostics, &file);
    diagnostics_print(diagnostics, text);
    diagnostics_destroy(diagnostics);

    enum status status = STATUS_INVALID;
    if (rules != NULL) { status = publish(loader, rules, wall_ms, published); }
    if (status == STATUS_BUSY) { tell_who_is_late(loader, text); }
    if (status == STATUS_NO_MEMORY) {
        fprintf(text, "%s: memory is short: the rules in force stay\n",
                loader->options.config->rules_path);
    }
    if (*published) {
        keep_copy(loader, rules_rcu_newest(loader->options.rcu)->epoch, &file, text);
    }
    free(file.at);
    return status;
}

static enum status load(struct rules_loader *loader, FILE *text, struct rules_outcome *out)
{
    if (loader->options.config->rules_path == NULL) {
        fprintf(text, "%s: there is no rules file: `rules` names none\n",
                loader->options.config->path);
        return STATUS_NOT_FOUND;
    }
    if (!settle_within(loader, TAKEN_WITHIN_MS)) {
        tell_who_is_late(loader, text);
        return STATUS_EXISTS;
    }
    return load_file(loader, text, &out->published);
}

static void run_load(struct rules_loader *loader, uint64_t requested_ns, struct rules_outcome *out)
{
    FILE *const text = open_memstream(&out->text, &out->text_bytes);
    assert(text != NULL); /* cold, and a few bytes: as allocate.h */
    out->status = load(loader, text, out);
    fclose(text);

    const struct rules_generation *const newest = rules_rcu_newest(loader->options.rcu);
    out->epoch = newest->epoch;
    out->rule_count = (uint32_t)rule_set_rule_count(newest->rules);
    out->loaded_wall_ms = newest->loaded_wall_ms;
    out->worker_count = (uint32_t)loader->options.worker_count;
    out->took_ms = (uint32_t)((clock_mono_ns() - requested_ns) / NS_PER_MS);
}

/* -------------------------------------------------------------------------------- the thread */

/* Until there is something to load. The rules before a late change-over are freed meanwhile. False:
 * to stop. Called, and returns, with the lock. */
static bool wait_for_request(struct rules_loader *loader)
{
    for (;;) {
        if (loader->stop) { return false; }
        if (loader->requested > loader->answered && !loader->has_outcome) { return true; }
        pthread_mutex_unlock(&loader->lock);
        const bool settled = rules_rcu_settle(loader->options.rcu);
        pthread_mutex_lock(&loader->lock);
        if (loader->stop || (loader->requested > loader->answered && !loader->has_outcome)) {
            continue;
        }
        if (settled) {
            pthread_cond_wait(&loader->changed, &loader->lock);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += IDLE_PERIOD_NS;
        until.tv_sec += until.tv_nsec / NS_PER_S;
        until.tv_nsec %= NS_PER_S;
        (void)pthread_cond_timedwait(&loader->changed, &loader->lock, &until);
    }
}

static void *loader_main(void *argument)
{
    struct rules_loader *const loader = argument;
    const uint64_t one = 1;
    pthread_mutex_lock(&loader->lock);
    while (wait_for_request(loader)) {
        struct rules_outcome outcome = {.ticket = loader->requested};
        const uint64_t requested_ns = loader->requested_ns;
        pthread_mutex_unlock(&loader->lock);
        run_load(loader, requested_ns, &outcome);
        pthread_mutex_lock(&loader->lock);
        loader->outcome = outcome;
        loader->has_outcome = true;
        loader->answered = outcome.ticket;
        const ssize_t rung = write(loader->descriptor, &one, sizeof one);
        assert(rung == (ssize_t)sizeof one); /* one at a time: it cannot be full */
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* ------------------------------------------------------------------------------ the main core */

uint64_t rules_loader_request(struct rules_loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    if (loader->requested == loader->answered) { loader->requested_ns = clock_mono_ns(); }
    const uint64_t ticket = ++loader->requested;
    pthread_cond_signal(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    return ticket;
}

int rules_loader_descriptor(const struct rules_loader *loader) { return loader->descriptor; }

bool rules_loader_take(struct rules_loader *loader, struct rules_outcome *out)
{
    uint64_t rings;
    pthread_mutex_lock(&loader->lock);
    const bool taken = loader->has_outcome;
    if (taken) {
        const ssize_t heard = read(loader->descriptor, &rings, sizeof rings);
        assert(heard == (ssize_t)sizeof rings);
        *out = loader->outcome;
        loader->has_outcome = false;
        loader->requested_ns = clock_mono_ns(); /* of what was asked for meanwhile */
        pthread_cond_signal(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    return taken;
}

static enum status start_thread(struct rules_loader *loader)
{
    loader->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loader->descriptor < 0) { return status_from_errno(errno); }
    const int refused = pthread_create(&loader->thread, NULL, loader_main, loader);
    loader->runs = refused == 0;
    return status_from_errno(refused);
}

enum status rules_loader_start(const struct rules_loader_options *options,
                               struct rules_loader **out)
{
    struct rules_loader *const loader = calloc(1, sizeof *loader);
    if (loader == NULL) { return STATUS_NO_MEMORY; }
    loader->options = *options;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&loader->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    const enum status status = start_thread(loader);
    if (status != STATUS_OK) {
        rules_loader_stop(loader);
        return status;
    }
    *out = loader;
    return STATUS_OK;
}

void rules_loader_stop(struct rules_loader *loader)
{
    if (loader == NULL) { return; }
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_signal(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    if (loader->runs) { pthread_join(loader->thread, NULL); }
    if (loader->has_outcome) { free(loader->outcome.text); }
    if (loader->descriptor >= 0) { close(loader->descriptor); }
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    free(loader);
}
