#include "tools/rules_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/utf8.h"

/* A name must not move the cursor of whoever lists the rules. */
static char *printable(struct bytes name)
{
    char *const out = allocate_zeroed(name.len_bytes + 1, 1);
    size_t used = 0;
    for (size_t i = 0; i < name.len_bytes;) {
        const size_t len_bytes = utf8_character_bytes(name, i);
        const bool control = name.at[i] < 0x20 || name.at[i] == 0x7f;
        if (len_bytes == 0 || control) {
            out[used++] = '?';
            i++;
            continue;
        }
        memcpy(out + used, name.at + i, len_bytes);
        used += len_bytes;
        i += len_bytes;
    }
    return out;
}

/* Names lie apart: those of a page that is not as it should be are empty once the room for all of
 * them is used up. */
static struct bytes take_name(const struct rules_view *view, size_t index, uint8_t *names,
                              size_t *names_used)
{
    const struct bytes name = rules_view_name(view, index);
    uint8_t *const copy = names + *names_used;
    if (name.len_bytes > view->facts.names_bytes - *names_used) { return bytes_of(copy, 0); }
    if (name.len_bytes > 0) { memcpy(copy, name.at, name.len_bytes); }
    *names_used += name.len_bytes;
    return bytes_of(copy, name.len_bytes);
}

bool rules_sample_take(const struct runtime_view *view, const char *directory,
                       struct rules_sample *out)
{
    *out = (struct rules_sample){0};
    if (view->rules.at == NULL) {
        fprintf(stderr, "penstock: %s/" RULES_PAGE_FILE_NAME ": there are no counts of rules\n",
                directory);
        return false;
    }
    const struct rules_view *const rules = &view->rules_view;
    size_t names_used = 0;
    out->facts = rules->facts;
    out->count = rules->facts.rule_count;
    out->rows = allocate_zeroed(out->count, sizeof *out->rows);
    out->names = allocate_zeroed(rules->facts.names_bytes, 1);
    for (size_t i = 0; i < out->count; i++) {
        struct rules_row *const row = &out->rows[i];
        row->exact_name = take_name(rules, i, out->names, &names_used);
        row->name = printable(row->exact_name);
        row->is_shadow = rules_view_is_shadow(rules, i);
        row->index = i;
        row->judged = rules_view_judged(rules, i);
        row->counts = rules_view_counts(rules, i);
    }
    out->taken_ns = clock_mono_ns();
    return true;
}

void rules_sample_free(struct rules_sample *sample)
{
    for (size_t i = 0; i < sample->count; i++) { free(sample->rows[i].name); }
    free(sample->rows);
    free(sample->names);
    *sample = (struct rules_sample){0};
}

static bool is_same_rule(const struct rules_row *left, const struct rules_row *right)
{
    return left->is_shadow == right->is_shadow && bytes_equal(left->exact_name, right->exact_name);
}

/* Nearly always where it was: a reload between two samples is rare. */
static const struct rules_row *row_like(const struct rules_sample *sample,
                                        const struct rules_row *row)
{
    if (row->index < sample->count && is_same_rule(&sample->rows[row->index], row)) {
        return &sample->rows[row->index];
    }
    for (size_t i = 0; i < sample->count; i++) {
        if (is_same_rule(&sample->rows[i], row)) { return &sample->rows[i]; }
    }
    return NULL;
}

struct rule_counts rules_sample_earlier(const struct rules_sample *before,
                                        const struct rules_row *row, uint64_t *out_judged)
{
    const struct rules_row *const earlier = before != NULL ? row_like(before, row) : NULL;
    *out_judged = earlier != NULL ? earlier->judged : 0;
    return earlier != NULL ? earlier->counts : (struct rule_counts){0};
}

const char *rules_row_mode(const struct rules_row *row)
{
    return row->is_shadow ? "shadow" : "enforce";
}
