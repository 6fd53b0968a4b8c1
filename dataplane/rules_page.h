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
 * Threads  The main core; a worker writes rows and slots of its own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
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
    uint32_t example_count; /* rule_set_example_count */
    uint32_t example_bytes;
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

/* Makes the worker's scratch count in the page: counts, on_example and context. The page outlives
 * the scratch. */
void rules_page_seat_scratch(struct rules_page *page, size_t worker,
                             struct rule_scratch_options *scratch);

/* The row that the worker keeps with rules_page_count_judged. */
struct rules_page_worker *rules_page_worker(struct rules_page *page, size_t worker);

/* On the worker, before it has a burst's records judged. */
static inline void rules_page_count_judged(struct rules_page_worker *row, size_t count,
                                           int64_t wall_ms)
{
    row->judged += count;
    row->wall_ms = wall_ms;
}

END_C_DECLS
