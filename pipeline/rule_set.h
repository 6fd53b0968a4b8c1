/* rule_set.h - a compiled rule set's layout: what rules_compile.c fills and rules.c reads.
 *
 * Purpose  Private to these two. A rule's condition sets one bit when it holds: condition i is rule
 *          i's. Scanning sets bits, and the evaluation reads nothing but bits.
 * Owns     Everything it points to; rule_set_destroy frees it, also half-filled. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

struct hs_database; /* hs.h: hs_database_t */

enum { RULE_MATCHED_WORD_BITS = 64 };

/* A part of the record that some condition looks in. */
struct rule_scan {
    int field; /* enum rule_field */
    struct bytes header_name;
    struct hs_database *database; /* its pattern ids are condition numbers */
};

struct rule_set {
    struct rule_scan *scans; /* one a field that is looked at */
    size_t scan_count;
    struct verdict *verdicts; /* by rule */
    char **names;             /* by rule */
    size_t rule_count;
    struct verdict *fallbacks; /* by listener: what holds when no rule matched */
    size_t listener_count;
    uint64_t epoch;
    uint32_t example_count;
    uint32_t example_bytes;
};

static inline size_t rule_set_matched_words(const struct rule_set *rules)
{
    return (rules->rule_count + RULE_MATCHED_WORD_BITS - 1) / RULE_MATCHED_WORD_BITS;
}

END_C_DECLS
