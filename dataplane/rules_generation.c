#include "dataplane/rules_generation.h"

#include <stdlib.h>

#include "base/invariant.h"

static enum status create_scratches(struct rules_generation *generation, size_t records_max)
{
    for (size_t i = 0; i < generation->worker_count; i++) {
        const struct rule_scratch_options scratch = {
            .records_max = records_max,
            .worker = (uint32_t)i,
            .worker_count = (uint32_t)generation->worker_count,
        };
        const enum status status =
            rule_scratch_create(generation->rules, &scratch, &generation->scratches[i]);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

enum status rules_generation_create(const struct rules_generation_options *options,
                                    struct rules_generation **out)
{
    assert(options->worker_count > 0 && options->worker_count <= CONFIG_WORKERS_MAX);
    *out = NULL;
    struct rules_generation *const generation = calloc(1, sizeof *generation);
    if (generation == NULL) {
        rule_set_destroy(options->rules);
        return STATUS_NO_MEMORY;
    }
    generation->rules = options->rules;
    generation->epoch = rule_set_epoch(options->rules);
    generation->number = options->number;
    generation->loaded_wall_ms = options->loaded_wall_ms;
    generation->worker_count = options->worker_count;
    const enum status status = create_scratches(generation, options->records_max);
    if (status != STATUS_OK) {
        rules_generation_destroy(generation);
        return status;
    }
    *out = generation;
    return STATUS_OK;
}

void rules_generation_destroy(struct rules_generation *generation)
{
    if (generation == NULL) { return; }
    for (size_t i = 0; i < generation->worker_count; i++) {
        rule_scratch_destroy(generation->scratches[i]);
    }
    rule_set_destroy(generation->rules);
    free(generation);
}
