#include "dataplane/rules_generation.h"

#include <stdlib.h>

#include "base/invariant.h"

static enum status create_scratches(struct rules_generation *generation, size_t records_max)
{
    for (size_t i = 0; i < generation->worker_count; i++) {
        struct rule_scratch_options scratch = {
            .records_max = records_max,
            .worker = (uint32_t)i,
            .worker_count = (uint32_t)generation->worker_count,
        };
        if (generation->page != NULL) { rules_page_seat_scratch(generation->page, i, &scratch); }
        const enum status status =
            rule_scratch_create(generation->rules, &scratch, &generation->scratches[i]);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

static enum status create_page(struct rules_generation *generation,
                               const struct rules_generation_options *options)
{
    const struct rules_generation *const previous = options->previous;
    if (options->runtime == NULL) { return STATUS_OK; }
    const struct rules_page_options page = {
        .directory = options->runtime,
        .rules = generation->rules,
        .previous = previous != NULL ? previous->page : NULL,
        .worker_count = (uint32_t)generation->worker_count,
        .example_count = rule_set_example_count(generation->rules),
        .example_bytes = rule_set_example_bytes(generation->rules),
        .loaded_wall_ms = generation->loaded_wall_ms,
    };
    return rules_page_create(&page, &generation->page);
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
    enum status status = create_page(generation, options);
    if (status == STATUS_OK) { status = create_scratches(generation, options->records_max); }
    if (status != STATUS_OK) {
        rules_generation_destroy(generation);
        return status;
    }
    *out = generation;
    return STATUS_OK;
}

void rules_generation_settle(struct rules_generation *generation,
                             const struct rules_generation *previous)
{
    if (generation->page == NULL) { return; }
    rules_page_carry(generation->page, previous != NULL ? previous->page : NULL);
    const enum status status = rules_page_publish(generation->page);
    (void)status; /* it says itself what is wrong; the rules judge and count without readers */
}

void rules_generation_destroy(struct rules_generation *generation)
{
    if (generation == NULL) { return; }
    for (size_t i = 0; i < generation->worker_count; i++) {
        rule_scratch_destroy(generation->scratches[i]);
    }
    rules_page_destroy(generation->page);
    rule_set_destroy(generation->rules);
    free(generation);
}
