#include "pipeline/rules_bare.h"

#include <hs.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "pipeline/rule_set.h"

struct rules_bare {
    const struct rule_set *rules;
    hs_scratch_t *scratch; /* NULL when there is nothing to search */
};

uint64_t rules_bare_database_bytes(const struct rule_set *rules)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < rules->look_count; i++) {
        size_t bytes = 0;
        if (rules->looks[i].database == NULL) { continue; }
        if (hs_database_size(rules->looks[i].database, &bytes) == HS_SUCCESS) { sum += bytes; }
    }
    return sum;
}

enum status rules_bare_create(const struct rule_set *rules, struct rules_bare **out)
{
    *out = NULL;
    struct rules_bare *const bare = calloc(1, sizeof *bare);
    if (bare == NULL) { return STATUS_NO_MEMORY; }
    bare->rules = rules;
    for (size_t i = 0; i < rules->look_count; i++) { /* grows to what the largest needs */
        if (rules->looks[i].database == NULL) { continue; }
        if (hs_alloc_scratch(rules->looks[i].database, &bare->scratch) == HS_SUCCESS) { continue; }
        rules_bare_destroy(bare);
        return STATUS_NO_MEMORY;
    }
    *out = bare;
    return STATUS_OK;
}

void rules_bare_destroy(struct rules_bare *bare)
{
    if (bare == NULL) { return; }
    (void)hs_free_scratch(bare->scratch); /* refuses only a scratch in use; NULL is fine */
    free(bare);
}

/* Null: the record has no such field, or it is one that is not searched here. */
static struct bytes searched_bytes(const struct rule_field *field, const struct record *record)
{
    static const uint8_t nothing[1];
    switch (field->kind) {
    case RULE_FIELD_VALUE:
        return record->value.len_bytes == 0 ? bytes_of(nothing, 0) : record->value;
    case RULE_FIELD_KEY: return record->key;
    case RULE_FIELD_HEADER:
        for (size_t i = 0; i < record->header_count; i++) {
            if (bytes_equal(record->headers[i].name, field->name)) {
                return record->headers[i].value;
            }
        }
        return bytes_null();
    case RULE_FIELD_LISTENER:
    case RULE_FIELD_SOURCE:
    case RULE_FIELD_JSON: break;
    }
    return bytes_null();
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    (*(uint64_t *)context)++;
    return 0;
}

uint64_t rules_bare_search(struct rules_bare *bare, const struct record *records, size_t count)
{
    const struct rule_set *const rules = bare->rules;
    uint64_t matches = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < rules->look_count; j++) {
            const struct rule_look *const look = &rules->looks[j];
            if (look->database == NULL) { continue; }
            const struct bytes bytes = searched_bytes(&look->field, &records[i]);
            if (bytes_are_null(bytes)) { continue; }
            const hs_error_t error =
                hs_scan(look->database, (const char *)bytes.at, (unsigned)bytes.len_bytes, 0,
                        bare->scratch, on_match, &matches);
            assert(error == HS_SUCCESS); /* as in rules.c: it can refuse only what is our mistake */
        }
    }
    return matches;
}
