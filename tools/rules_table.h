/* rules_table.h - rules and their counts as lines on a terminal: `penstock rules list` and `top`.
 *
 * Counts are totals, or what happened each second between two samples. Threads: one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "tools/rules_sample.h"

BEGIN_C_DECLS

enum rules_order {
    RULES_ORDER_FILE,
    RULES_ORDER_MATCHES,
    RULES_ORDER_BYTES,
    RULES_ORDER_DROPPED, /* by whatever: drop, keep or limit */
    RULES_ORDER_NAME,
    RULES_ORDER_COUNT,
};

/* False: no such order. */
MUST_CHECK bool rules_order_parse(const char *text, enum rules_order *out);

struct rules_line {
    const struct rules_row *row;
    struct rule_counts counts; /* totals, or each second */
    double share;              /* of the records judged; negative: none was */
};

/* One a row of `now`, in that order, to be freed; `before` NULL: totals. */
struct rules_line *rules_lines(const struct rules_sample *now, const struct rules_sample *before,
                               enum rules_order order);

/* "edge-17: running; 3 rules, epoch ..., loaded ..." */
void rules_table_title(const struct runtime_sample *node, const struct rules_sample *rules);
/* `per` stands behind the names of the columns: "" or "/s". */
void rules_table_print(const struct rules_line *lines, size_t count, const char *per);

END_C_DECLS
