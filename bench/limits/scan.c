/* Bare matching: Hyperscan and nothing else, on the rule set's own databases. */
#include <hs.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "bench/limits/limits.h"
#include "pipeline/rule_set.h"

enum status limit_scan_init(struct limit_scan *scan, const struct rule_set *rules)
{
    scan->rules = rules;
    scan->scratch = NULL;
    for (size_t i = 0; i < rules->look_count; i++) {
        assert(i == RULE_LOOK_VALUE || rules->looks[i].database == NULL);
    }
    const struct hs_database *const database = rules->looks[RULE_LOOK_VALUE].database;
    if (database == NULL) { return STATUS_OK; }
    const hs_error_t error = hs_alloc_scratch(database, &scan->scratch);
    return error == HS_SUCCESS ? STATUS_OK : STATUS_NO_MEMORY;
}

void limit_scan_deinit(struct limit_scan *scan)
{
    (void)hs_free_scratch(scan->scratch); /* refuses only a scratch in use */
    scan->scratch = NULL;
}

/* Atoms are numbered in the order of the rules, and these rules have one each. */
static int on_match(unsigned atom, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    unsigned *const first = context;
    if (atom < *first) { *first = atom; }
    return 0;
}

size_t limit_scan_records(const struct limit_scan *scan, struct limit_record *records, size_t count)
{
    const struct rule_set *const rules = scan->rules;
    const struct hs_database *const database = rules->looks[RULE_LOOK_VALUE].database;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned first = UINT32_MAX;
        if (database != NULL && hs_scan(database, (const char *)records[i].value.at,
                                        (unsigned)records[i].value.len_bytes, 0, scan->scratch,
                                        on_match, &first) != HS_SUCCESS) {
            abort();
        }
        if (first != UINT32_MAX && rules->lines[rules->triggers[first]].drops) { continue; }
        records[kept++] = records[i];
    }
    return kept;
}
