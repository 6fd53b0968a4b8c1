/* rules_generation.h - a compiled rule set as it is put in force: with a scratch for every worker.
 *
 * Purpose  What a worker changes over to in one step: whatever judging needs is in it, made before
 *          any worker sees it.
 * Owns     The rule set, the scratches and the page of counts. Which generation is in force, and
 * when an older one may go, is rules_rcu.h. Threads  Made and destroyed by one cold thread (never a
 * polling core). In between immutable, but for scratches[i], which is worker i's own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/status.h"
#include "dataplane/rules_page.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

struct rules_generation {
    struct rule_set *rules;
    uint64_t epoch;         /* of the set: commits name it */
    uint64_t number;        /* 1: what the node started with; rises with every reload */
    int64_t loaded_wall_ms; /* when its file was read */
    size_t worker_count;
    struct rules_page *page; /* where the scratches count; NULL: each by itself */
    struct rule_scratch *scratches[CONFIG_WORKERS_MAX];
};

struct rules_generation_options {
    struct rule_set *rules; /* the generation's from now on, also when it cannot be made */
    uint64_t number;
    int64_t loaded_wall_ms;
    size_t worker_count;
    size_t records_max;                      /* that a worker judges at once */
    const char *runtime;                     /* directory of the page of counts; NULL: none */
    const struct rules_generation *previous; /* in force until then; NULL: none yet */
};

MUST_CHECK enum status rules_generation_create(const struct rules_generation_options *options,
                                               struct rules_generation **out);
/* Its page takes up the counts of the one before, and is what readers see from now on. Once, when
 * no worker holds `previous` any more (NULL: what an earlier run left). */
void rules_generation_settle(struct rules_generation *generation,
                             const struct rules_generation *previous);
/* No worker holds it any more. NULL is fine. */
void rules_generation_destroy(struct rules_generation *generation);

END_C_DECLS
