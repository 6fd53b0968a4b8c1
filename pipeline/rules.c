#include "pipeline/rules.h"

#include <hs.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "pipeline/rule_set.h"
#include "pipeline/rules_compile.h"

struct rule_scratch {
    hs_scratch_t *hyperscan; /* NULL when nothing is scanned */
    struct rule_totals totals;
    size_t matched_words;
    uint64_t matched[]; /* a bit a condition; all zero between records */
};

enum status rule_scratch_create(const struct rule_set *rules,
                                const struct rule_scratch_options *options,
                                struct rule_scratch **out)
{
    (void)options;
    *out = NULL;
    const size_t words = rule_set_matched_words(rules);
    struct rule_scratch *const scratch = calloc(1, sizeof *scratch + words * sizeof(uint64_t));
    if (scratch == NULL) { return STATUS_NO_MEMORY; }
    scratch->matched_words = words;

    for (size_t i = 0; i < rules->scan_count; i++) { /* grows to what the largest needs */
        const hs_error_t error = hs_alloc_scratch(rules->scans[i].database, &scratch->hyperscan);
        if (error != HS_SUCCESS) {
            rule_scratch_destroy(scratch);
            return error == HS_NOMEM ? STATUS_NO_MEMORY : STATUS_INVALID;
        }
    }
    *out = scratch;
    return STATUS_OK;
}

void rule_scratch_destroy(struct rule_scratch *scratch)
{
    if (scratch == NULL) { return; }
    (void)hs_free_scratch(scratch->hyperscan); /* refuses only a scratch in use */
    free(scratch);
}

struct rule_totals rule_scratch_totals(const struct rule_scratch *scratch)
{
    return scratch->totals;
}

/* ---------------------------------------------------------------------------------- scanning */

static struct bytes record_header_value(const struct record *record, struct bytes name)
{
    for (size_t i = 0; i < record->header_count; i++) {
        if (bytes_equal(record->headers[i].name, name)) { return record->headers[i].value; }
    }
    return bytes_null();
}

/* Null: the record has no such field, and no pattern is asked, not even one that matches nothing.
 */
static struct bytes scanned_bytes(const struct record *record, const struct rule_scan *scan)
{
    static const uint8_t nothing[1];
    switch (scan->field) {
    case RULE_FIELD_VALUE:
        return record->value.len_bytes == 0 ? bytes_of(nothing, 0) : record->value;
    case RULE_FIELD_KEY: return record->key;
    default: return record_header_value(record, scan->header_name);
    }
}

static int on_match(unsigned condition, unsigned long long from, unsigned long long to,
                    unsigned flags, void *context)
{
    (void)from, (void)to, (void)flags;
    uint64_t *const matched = context;
    matched[condition / RULE_MATCHED_WORD_BITS] |= UINT64_C(1)
                                                   << (condition % RULE_MATCHED_WORD_BITS);
    return 0;
}

static void scan_record(const struct rule_set *rules, struct rule_scratch *scratch,
                        const struct record *record)
{
    for (size_t i = 0; i < rules->scan_count; i++) {
        const struct bytes bytes = scanned_bytes(record, &rules->scans[i]);
        if (bytes_are_null(bytes)) { continue; }
        assert_hot(bytes.len_bytes <= UINT32_MAX);
        /* It can refuse only what would be our mistake: a wrong or busy scratch, another build's
         * database. */
        const hs_error_t error =
            hs_scan(rules->scans[i].database, (const char *)bytes.at, (unsigned)bytes.len_bytes, 0,
                    scratch->hyperscan, on_match, scratch->matched);
        assert(error == HS_SUCCESS);
    }
}

/* -------------------------------------------------------------------------------- evaluation */

/* The first rule in file order whose condition holds, RULES_NONE when none does. Clears the bits.
 */
static int32_t take_first_match(struct rule_scratch *scratch)
{
    int32_t first = RULES_NONE;
    for (size_t i = scratch->matched_words; i-- > 0;) {
        const uint64_t word = scratch->matched[i];
        if (word == 0) { continue; }
        first = (int32_t)(i * RULE_MATCHED_WORD_BITS + (size_t)__builtin_ctzll(word));
        scratch->matched[i] = 0;
    }
    return first;
}

void rules_judge(const struct rule_set *rules, struct rule_scratch *scratch, struct record *records,
                 size_t count, uint64_t now_ns, struct verdict *verdicts)
{
    (void)now_ns;
    scratch->totals.judged += count;
    assert(scratch->matched_words == rule_set_matched_words(rules));
    for (size_t i = 0; i < count; i++) {
        assert(records[i].listener < rules->listener_count);
        scan_record(rules, scratch, &records[i]);
        const int32_t rule = take_first_match(scratch);
        verdicts[i] =
            rule == RULES_NONE ? rules->fallbacks[records[i].listener] : rules->verdicts[rule];
        if (rule == RULES_NONE && records[i].topic != RECORD_NO_TOPIC) {
            verdicts[i].fate = VERDICT_STORE;
            verdicts[i].topic_count = 1;
            verdicts[i].topics[0] = (uint16_t)records[i].topic;
        }
    }
}

/* ------------------------------------------------------------------------------------ the set */

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
    return false; /* this engine's language has no shadow mode */
}

uint32_t rule_set_example_count(const struct rule_set *rules) { return rules->example_count; }

uint32_t rule_set_example_bytes(const struct rule_set *rules) { return rules->example_bytes; }

void rule_set_destroy(struct rule_set *rules)
{
    if (rules == NULL) { return; }
    for (size_t i = 0; i < rules->scan_count; i++) {
        (void)hs_free_database(rules->scans[i].database); /* NULL is fine */
    }
    for (size_t i = 0; i < rules->rule_count; i++) { free(rules->names[i]); }
    free(rules->scans);
    free(rules->verdicts);
    free(rules->names);
    free(rules->fallbacks);
    free(rules);
}
