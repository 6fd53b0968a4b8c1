/* rules_page.h - where workers count what each rule did: the writing side of wire/rules_page.h.
 *
 * Purpose  One page a rule set, in the runtime directory. A page is made beside the one that
 *          readers see; after the swap the old one's totals are carried over, and then it takes the
 *          name: so no reader ever sees a total fall.
 *
 *              rules_page_create       with the set; previous: the page of the set in force
 *              ...                     every worker takes up the new set
 *              rules_page_carry        nobody counts in the old page any more
 *              rules_page_publish      readers go over to the new one
 *              rules_page_destroy      of the old page
 *
 *          At a start there is no previous page: create looks for the one that the last run left,
 *          however it ended, and carry goes on from that.
 * Owns     The mapping, and the file until it has its name.
 * Threads  The main core; workers write their own rows, and rules_page_on_example. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/status.h"
#include "pipeline/record.h"
#include "pipeline/rules.h"
#include "wire/rules_page.h"

BEGIN_C_DECLS

struct rules_page; /* opaque */

enum {
    /* All example slots of a page together: they are memory that is locked. */
    RULES_PAGE_EXAMPLES_BYTES_MAX = 64 << 20,
};

struct rules_page_options {
    const char *directory;             /* the runtime directory */
    const struct rule_set *rules;      /* outlives the page */
    const struct rules_page *previous; /* NULL: what the last run left */
    uint32_t worker_count;
    int64_t loaded_wall_ms;
};

/* Says itself (logger.h) what is wrong, also where there is too little room for as many examples as
 * the rules ask for: then fewer are kept, or none. */
MUST_CHECK enum status rules_page_create(const struct rules_page_options *options,
                                         struct rules_page **out);

/* Adds the totals of the page that `page` was created behind, NULL being the last run's: those of
 * rules that have the same name and mode now. Once, when nobody counts in `previous` any more. */
void rules_page_carry(struct rules_page *page, const struct rules_page *previous);

/* Takes the name that readers look for. Says itself what is wrong; readers then keep the old page,
 * and counting goes on. */
MUST_CHECK enum status rules_page_publish(struct rules_page *page);

/* Unmaps; a published file stays. NULL is fine. */
void rules_page_destroy(struct rules_page *page);

/* The worker's rows: rule_scratch_options.counts, and records that it had judged. */
struct rule_counts *rules_page_counts(struct rules_page *page, size_t worker);
uint64_t *rules_page_judged(struct rules_page *page, size_t worker);

/* What a worker gives rule_scratch_options as context: it lives as long as the scratch. */
struct rules_page_examples {
    uint8_t *slots; /* of this worker */
    size_t stride;  /* from rule to rule */
    uint32_t count; /* of a rule */
    uint32_t capacity_bytes;
    const struct instant *now; /* the worker's turn */
};

void rules_page_examples_init(struct rules_page_examples *examples, struct rules_page *page,
                              size_t worker, const struct instant *now);

/* rule_scratch_options.on_example. Where the rules ask for no examples: does nothing. */
void rules_page_on_example(void *context, size_t rule, const struct record *record);

END_C_DECLS
