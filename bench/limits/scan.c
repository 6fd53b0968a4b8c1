/* Bare matching: Hyperscan and nothing else, on the rule set's own databases. */
#include <hs.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "bench/limits/limits.h"
#include "pipeline/rule_set.h"
#include "pipeline/rules_compile.h"

enum status limit_scan_init(struct limit_scan *scan, const struct rule_set *rules)
{
    scan->rules = rules;
    scan->scratch = NULL;
    for (size_t i = 0; i < rules->scan_count; i++) {
        assert(rules->scans[i].field == RULE_FIELD_VALUE);
        if (hs_alloc_scratch(rules->scans[i].database, &scan->scratch) != HS_SUCCESS) {
            return STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

void limit_scan_deinit(struct limit_scan *scan)
{
    (void)hs_free_scratch(scan->scratch); /* refuses only a scratch in use */
    scan->scratch = NULL;
}

static int on_match(unsigned rule, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    unsigned *const first = context;
    if (rule < *first) { *first = rule; }
    return 0;
}

size_t limit_scan_records(const struct limit_scan *scan, struct limit_record *records, size_t count)
{
    const struct rule_set *const rules = scan->rules;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned first = UINT32_MAX;
        for (size_t j = 0; j < rules->scan_count; j++) {
            const hs_error_t error =
                hs_scan(rules->scans[j].database, (const char *)records[i].value.at,
                        (unsigned)records[i].value.len_bytes, 0, scan->scratch, on_match, &first);
            if (error != HS_SUCCESS) { abort(); }
        }
        if (first != UINT32_MAX && rules->verdicts[first].fate != VERDICT_STORE) { continue; }
        records[kept++] = records[i];
    }
    return kept;
}
