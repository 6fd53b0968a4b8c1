/* rules_page_fuzz.c - whatever is taken for a page of rules is read within its bounds, to an end.
 *
 * The first byte chooses: a page as it comes, or a sound header in front of what comes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/rules_page.h"

enum { RULES_LOOKED_AT_MAX = 64, EXAMPLES_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static size_t sum(struct bytes bytes)
{
    size_t total = 0;
    for (size_t i = 0; i < bytes.len_bytes; i++) { total += bytes.at[i]; }
    return total;
}

static void look_at_rule(const struct rules_view *view, size_t rule)
{
    struct rules_example examples[EXAMPLES_MAX];
    const struct bytes name = rules_view_name(view, rule);
    volatile size_t seen = sum(name) + rules_view_counts(view, rule).matches +
                           rules_view_judged(view, rule) + rules_view_is_shadow(view, rule);
    (void)seen;
    assert(name.len_bytes <= view->facts.names_bytes);
    assert(rules_view_find(view, name) <= rule);
    const size_t count = rules_view_examples(view, rule, examples, EXAMPLES_MAX);
    assert(count <= EXAMPLES_MAX);
    for (size_t i = 0; i < count; i++) {
        seen = sum(rules_example_key(&examples[i])) + sum(rules_example_value(&examples[i]));
        assert(examples[i].worker < view->facts.worker_count);
        assert(i == 0 || examples[i - 1].wall_ms >= examples[i].wall_ms);
    }
}

static void look_at(const uint8_t *page, size_t len_bytes)
{
    struct rules_view view;
    if (rules_view_open(page, len_bytes, &view) != STATUS_OK) { return; }
    assert(view.layout.file_bytes <= len_bytes);
    for (size_t i = 0; i < view.facts.rule_count && i < RULES_LOOKED_AT_MAX; i++) {
        look_at_rule(&view, i);
    }
}

/* Facts of a small page from four bytes. */
static void put_header(uint8_t *page, const uint8_t *facts_at)
{
    const struct rules_page_facts facts = {
        .rule_count = facts_at[0] % 5,
        .worker_count = facts_at[1] % 4,
        .names_bytes = facts_at[2] % 32,
        .example_count = facts_at[3] % 4,
        .example_bytes = facts_at[3],
    };
    rules_page_init(page, &facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    if (len_bytes < 5 || len_bytes > 65536) { return 0; }
    /* Exactly as large as it may be read: the sanitizer sees a byte too many. */
    uint8_t *const page = malloc(len_bytes - 1);
    assert(page != NULL);
    memcpy(page, at + 1, len_bytes - 1);
    if (at[0] % 2 == 1 && len_bytes - 1 >= sizeof(struct rules_page_header)) {
        put_header(page, at + 1);
    }
    look_at(page, len_bytes - 1);
    free(page);
    return 0;
}
