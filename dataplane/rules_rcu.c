#include "dataplane/rules_rcu.h"

#include <rte_rcu_qsbr.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"

/* A worker's own line: it alone writes it. */
struct rules_reader {
    _Alignas(CACHE_PAIR_BYTES) atomic_uint_fast64_t answered; /* what it was asked for, and took */
    atomic_bool joined;
};

struct rules_rcu {
    struct rte_rcu_qsbr *states;
    struct rules_generation *before; /* still held by some worker; NULL: settled */
    uint64_t token;                  /* of the grace period that `before` waits for */
    size_t worker_count;
    /* Read by every worker every turn, written once a reload. */
    _Alignas(CACHE_PAIR_BYTES) _Atomic(struct rules_generation *) newest;
    atomic_uint_fast64_t asked; /* number of the generation that workers are to take */
    struct rules_reader readers[CONFIG_WORKERS_MAX];
};

static size_t whole_lines(size_t bytes)
{
    return (bytes + CACHE_PAIR_BYTES - 1) / CACHE_PAIR_BYTES * CACHE_PAIR_BYTES;
}

/* ---------------------------------------------------------------------------------- a worker */

/* acquire: pairs with the release in rules_rcu_publish. The grace period of that generation has
 * begun by then, so that a quiescent state that follows counts for it. */
static uint64_t asked_for(const struct rules_rcu *rcu)
{
    return atomic_load_explicit(&rcu->asked, memory_order_acquire);
}

/* acquire: pairs with the release in rules_rcu_publish, so that all of the set is seen. */
static const struct rules_generation *look(struct rules_rcu *rcu, size_t worker, uint64_t asked)
{
    atomic_store_explicit(&rcu->readers[worker].answered, asked, memory_order_relaxed);
    return atomic_load_explicit(&rcu->newest, memory_order_acquire);
}

const struct rules_generation *rules_rcu_join(struct rules_rcu *rcu, size_t worker)
{
    const uint64_t asked = asked_for(rcu);
    rte_rcu_qsbr_thread_online(rcu->states, (unsigned)worker);
    atomic_store_explicit(&rcu->readers[worker].joined, true, memory_order_relaxed);
    return look(rcu, worker, asked);
}

void rules_rcu_leave(struct rules_rcu *rcu, size_t worker)
{
    atomic_store_explicit(&rcu->readers[worker].joined, false, memory_order_relaxed);
    rte_rcu_qsbr_thread_offline(rcu->states, (unsigned)worker);
}

bool rules_rcu_is_asked(const struct rules_rcu *rcu, size_t worker)
{
    return asked_for(rcu) >
           atomic_load_explicit(&rcu->readers[worker].answered, memory_order_relaxed);
}

const struct rules_generation *rules_rcu_take(struct rules_rcu *rcu, size_t worker)
{
    /* What is answered, then the quiescent state, then the look. Were the look first, a set that is
     * published in between would free the one that this worker goes on with; were the question
     * last, one whose grace period had not begun would pass for answered, and wait for ever. */
    const uint64_t asked = asked_for(rcu);
    rte_rcu_qsbr_quiescent(rcu->states, (unsigned)worker);
    return look(rcu, worker, asked);
}

/* ----------------------------------------------------------------------------- the cold side */

void rules_rcu_publish(struct rules_rcu *rcu, struct rules_generation *generation)
{
    assert(rcu->before == NULL);
    assert(generation->worker_count == rcu->worker_count);
    struct rules_generation *const before =
        atomic_load_explicit(&rcu->newest, memory_order_relaxed);
    assert(generation->number > before->number);

    rcu->before = before;
    atomic_store_explicit(&rcu->newest, generation, memory_order_release);
    rcu->token = rte_rcu_qsbr_start(rcu->states);
    atomic_store_explicit(&rcu->asked, generation->number, memory_order_release);
}

bool rules_rcu_settle(struct rules_rcu *rcu)
{
    if (rcu->before == NULL) { return true; }
    if (rte_rcu_qsbr_check(rcu->states, rcu->token, false) != 1) { return false; }
    rules_generation_settle(rcu->newest, rcu->before);
    rules_generation_destroy(rcu->before);
    rcu->before = NULL;
    return true;
}

bool rules_rcu_worker_is_behind(const struct rules_rcu *rcu, size_t worker)
{
    const struct rules_reader *const reader = &rcu->readers[worker];
    return atomic_load_explicit(&reader->joined, memory_order_relaxed) &&
           atomic_load_explicit(&reader->answered, memory_order_relaxed) <
               atomic_load_explicit(&rcu->asked, memory_order_relaxed);
}

const struct rules_generation *rules_rcu_newest(const struct rules_rcu *rcu)
{
    return atomic_load_explicit(&rcu->newest, memory_order_acquire);
}

/* -------------------------------------------------------------------------------- life cycle */

static enum status create_states(struct rules_rcu *rcu)
{
    const uint32_t threads = (uint32_t)rcu->worker_count;
    const size_t bytes = whole_lines(rte_rcu_qsbr_get_memsize(threads));
    rcu->states = aligned_alloc(CACHE_PAIR_BYTES, bytes);
    if (rcu->states == NULL) { return STATUS_NO_MEMORY; }
    const int made = rte_rcu_qsbr_init(rcu->states, threads);
    assert(made == 0); /* it refuses what makes no sense only */
    for (uint32_t i = 0; i < threads; i++) {
        const int registered = rte_rcu_qsbr_thread_register(rcu->states, i);
        assert(registered == 0);
    }
    return STATUS_OK;
}

enum status rules_rcu_create(struct rules_generation *first, struct rules_rcu **out)
{
    *out = NULL;
    struct rules_rcu *const rcu = aligned_alloc(CACHE_PAIR_BYTES, whole_lines(sizeof *rcu));
    if (rcu == NULL) { return STATUS_NO_MEMORY; }
    memset(rcu, 0, sizeof *rcu);
    rcu->worker_count = first->worker_count;
    const enum status status = create_states(rcu);
    if (status != STATUS_OK) {
        free(rcu);
        return status;
    }
    atomic_init(&rcu->newest, first);
    atomic_init(&rcu->asked, first->number);
    *out = rcu;
    return STATUS_OK;
}

void rules_rcu_destroy(struct rules_rcu *rcu)
{
    if (rcu == NULL) { return; }
    for (size_t i = 0; i < rcu->worker_count; i++) { assert(!rcu->readers[i].joined); }
    if (rcu->before != NULL) { rules_generation_settle(rcu->newest, rcu->before); }
    rules_generation_destroy(rcu->before);
    rules_generation_destroy(rcu->newest);
    free(rcu->states);
    free(rcu);
}
