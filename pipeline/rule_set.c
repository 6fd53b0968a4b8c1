#include "pipeline/rule_set.h"

#include <hs.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "pipeline/rule_meters.h"

uint64_t rule_set_epoch(const struct rule_set *rules) { return rules->epoch; }

size_t rule_set_rule_count(const struct rule_set *rules) { return rules->rule_count; }

const char *rule_set_rule_name(const struct rule_set *rules, size_t index)
{
    assert(index < rules->rule_count);
    return rules->names[index];
}

bool rule_set_rule_is_shadow(const struct rule_set *rules, size_t index)
{
    assert(index < rules->rule_count);
    return rules->lines[index].is_shadow;
}

uint32_t rule_set_example_count(const struct rule_set *rules) { return rules->example_count; }

uint32_t rule_set_example_bytes(const struct rule_set *rules) { return rules->example_bytes; }

bool rule_set_limit(const struct rule_set *rules, size_t rule, struct rule_limit *out)
{
    assert(rule < rules->rule_count);
    const struct rule_deed *const deed = rules->lines[rule].deed;
    if (deed == NULL || deed->limit_unit == RULE_LIMIT_NONE) { return false; }
    *out = (struct rule_limit){
        .rule = rules->names[rule],
        .unit = deed->limit_unit,
        .rate = deed->limit_rate,
        .burst = deed->limit_burst,
        .by_field = deed->limit_by_field,
        .buckets = deed->limit_buckets,
    };
    if (deed->limit_by_field) { out->field = rules->looks[deed->limit_look].field; }
    return true;
}

static void destroy_looks(struct rule_set *rules)
{
    for (size_t i = 0; i < rules->look_count; i++) {
        (void)hs_free_database(rules->looks[i].database); /* NULL is fine */
        rule_table_deinit(&rules->looks[i].texts);
        free(rules->looks[i].text_atoms);
    }
    free(rules->looks);
    rule_table_deinit(&rules->header_names);
    free(rules->header_looks);
    rule_table_deinit(&rules->json_names);
    free(rules->json_looks);
    json_paths_destroy(rules->json_paths);
    rule_table_deinit(&rules->networks);
    free(rules->network_atoms);
    free(rules->prefixes);
}

/* A copy that this set made of the source's. */
static void free_copy(struct bytes bytes) { free((void *)(uintptr_t)bytes.at); }

static void destroy_deeds(struct rule_set *rules)
{
    for (size_t i = 0; i < rules->deed_count; i++) {
        struct rule_deed *const deed = &rules->deeds[i];
        rule_redactor_destroy(deed->redactor);
        for (size_t j = 0; j < deed->header_count; j++) {
            free_copy(deed->headers[j].name);
            free_copy(deed->headers[j].value);
        }
        free(deed->headers);
    }
    free(rules->deeds);
}

struct rule_set *rule_set_share(struct rule_set *rules)
{
    __atomic_fetch_add(&rules->sharers, 1, __ATOMIC_RELAXED);
    return rules;
}

void rule_set_destroy(struct rule_set *rules)
{
    if (rules == NULL) { return; }
    if (__atomic_fetch_sub(&rules->sharers, 1, __ATOMIC_ACQ_REL) > 0) { return; }
    destroy_looks(rules);
    destroy_deeds(rules);
    for (size_t i = 0; i < rules->rule_count; i++) { free(rules->names[i]); }
    for (size_t i = 0; i < rules->listener_count; i++) { free(rules->listener_names[i]); }
    free(rules->names);
    free(rules->listener_names);
    free(rules->lines);
    free(rules->triggers);
    free(rules->trigger_lists);
    free(rules->steps);
    free(rules->always);
    free(rules->always_words);
    free(rules->answers);
    free(rules->fallbacks);
    free(rules);
}
