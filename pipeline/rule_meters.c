#include "pipeline/rule_meters.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "pipeline/rule_keep.h"

struct rule_meters_entry {
    uint64_t name_hash; /* of the rule: the old and the new limit of a rule stand side by side */
    struct rule_meter *meter;
    bool needed;
};

struct rule_meters {
    struct rule_meters_entry *entries; /* by rising name_hash */
    size_t count;
    struct rule_share share; /* worker_count 0: not prepared yet */
};

enum status rule_meters_create(struct rule_meters **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

void rule_meters_destroy(struct rule_meters *meters)
{
    if (meters == NULL) { return; }
    for (size_t i = 0; i < meters->count; i++) { rule_meter_destroy(meters->entries[i].meter); }
    free(meters->entries);
    free(meters);
}

static uint64_t name_hash_of(const struct rule_limit *limit)
{
    return rule_keep_hash(bytes_of_text(limit->rule));
}

/* Among the first `count` entries, which are in order; NULL: there is none. */
static struct rule_meters_entry *entry_for(const struct rule_meters *meters, size_t count,
                                           const struct rule_limit *limit)
{
    const uint64_t name_hash = name_hash_of(limit);
    size_t begin = 0;
    size_t end = count;
    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        if (meters->entries[middle].name_hash < name_hash) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    for (; begin < count && meters->entries[begin].name_hash == name_hash; begin++) {
        if (rule_meter_is_for(meters->entries[begin].meter, limit)) {
            return &meters->entries[begin];
        }
    }
    return NULL;
}

static int compare_entries(const void *left, const void *right)
{
    const struct rule_meters_entry *const one = left;
    const struct rule_meters_entry *const other = right;
    return (one->name_hash > other->name_hash) - (one->name_hash < other->name_hash);
}

static enum status add_meter(struct rule_meters *meters, const struct rule_limit *limit)
{
    struct rule_meters_entry *const entry = &meters->entries[meters->count];
    const enum status status = rule_meter_create(limit, meters->share, &entry->meter);
    if (status != STATUS_OK) { return status; }
    entry->name_hash = name_hash_of(limit);
    entry->needed = false;
    meters->count++;
    return STATUS_OK;
}

/* Rule names are unique in a set, so what it adds need not be looked for among what it added. */
static enum status add_missing(struct rule_meters *meters, const struct rule_set *rules)
{
    const size_t old_count = meters->count;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < rule_set_rule_count(rules) && status == STATUS_OK; i++) {
        struct rule_limit limit;
        if (!rule_set_limit(rules, i, &limit)) { continue; }
        if (entry_for(meters, old_count, &limit) == NULL) { status = add_meter(meters, &limit); }
    }
    return status;
}

enum status rule_meters_prepare(struct rule_meters *meters, const struct rule_set *rules,
                                uint32_t worker, uint32_t worker_count)
{
    assert(worker < worker_count);
    assert(meters->share.worker_count == 0 || meters->share.worker_count == worker_count);
    assert(meters->share.worker_count == 0 || meters->share.worker == worker);
    meters->share = (struct rule_share){worker, worker_count};

    const size_t capacity = meters->count + rule_set_rule_count(rules) + 1;
    struct rule_meters_entry *const entries =
        realloc(meters->entries, capacity * sizeof *meters->entries);
    if (entries == NULL) { return STATUS_NO_MEMORY; }
    meters->entries = entries;

    const enum status status = add_missing(meters, rules);
    if (meters->count > 1) {
        qsort(meters->entries, meters->count, sizeof *meters->entries, compare_entries);
    }
    return status; /* what it has added on another status goes with the next trim */
}

void rule_meters_trim(struct rule_meters *meters, const struct rule_set *rules)
{
    for (size_t i = 0; i < meters->count; i++) { meters->entries[i].needed = false; }
    for (size_t i = 0; i < rule_set_rule_count(rules); i++) {
        struct rule_limit limit;
        if (!rule_set_limit(rules, i, &limit)) { continue; }
        struct rule_meters_entry *const entry = entry_for(meters, meters->count, &limit);
        if (entry != NULL) { entry->needed = true; }
    }

    size_t kept_count = 0;
    for (size_t i = 0; i < meters->count; i++) {
        if (meters->entries[i].needed) {
            meters->entries[kept_count++] = meters->entries[i];
        } else {
            rule_meter_destroy(meters->entries[i].meter);
        }
    }
    meters->count = kept_count;
}

struct rule_meter *rule_meters_find(struct rule_meters *meters, const struct rule_set *rules,
                                    size_t rule)
{
    struct rule_limit limit;
    if (!rule_set_limit(rules, rule, &limit)) { return NULL; }
    const struct rule_meters_entry *const entry = entry_for(meters, meters->count, &limit);
    assert(entry != NULL);
    return entry->meter;
}
