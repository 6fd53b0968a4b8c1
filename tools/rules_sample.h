/* rules_sample.h - what each rule of a node did, copied from its page at one time.
 *
 * Purpose  What `penstock rules list`, `top` and `examples` look at. Works while ingest runs, and
 *          after it died.
 * Owns     The copies, until rules_sample_free. Threads: one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "tools/runtime_view.h"
#include "wire/rules_page.h"

BEGIN_C_DECLS

struct rules_row {
    char *name; /* as text for a terminal: what is not printable is a '?' */
    struct bytes exact_name;
    bool is_shadow;
    size_t index; /* in file order */
    uint64_t judged;
    struct rule_counts counts;
};

struct rules_sample {
    uint64_t taken_ns; /* CLOCK_MONOTONIC */
    struct rules_page_facts facts;
    struct rules_row *rows; /* in file order */
    size_t count;
    uint8_t *names; /* behind exact_name */
};

/* False: the view has no page of rules, and stderr says so. */
MUST_CHECK bool rules_sample_take(const struct runtime_view *view, const char *directory,
                                  struct rules_sample *out);
void rules_sample_free(struct rules_sample *sample);

/* What `row` counts in `before` (NULL: no sample): zeros where there was no such rule. */
struct rule_counts rules_sample_earlier(const struct rules_sample *before,
                                        const struct rules_row *row, uint64_t *out_judged);

const char *rules_row_mode(const struct rules_row *row);

END_C_DECLS
