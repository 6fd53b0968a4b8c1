#include "serve/rules_metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/endian.h"
#include "serve/text.h"

struct rule_family {
    const char *name;
    const char *help;
    size_t position; /* in struct rule_counts */
};

static const struct rule_family rule_families[] = {
    {"rule_matches_total", "Records for which the rule's condition held when it was asked.",
     offsetof(struct rule_counts, matches)},
    {"rule_match_bytes_total", "Key and value bytes of these records.",
     offsetof(struct rule_counts, match_bytes)},
    {"rule_dropped_total", "Records that the rule dropped.", offsetof(struct rule_counts, dropped)},
    {"rule_sampled_out_total", "Records that the rule's keep did not keep.",
     offsetof(struct rule_counts, sampled_out)},
    {"rule_limited_total", "Records over the rule's limit.", offsetof(struct rule_counts, limited)},
    {"rule_redacted_total", "Records in which the rule overwrote something.",
     offsetof(struct rule_counts, redacted)},
    {"rule_headers_full_total", "Records that had no room for the rule's headers.",
     offsetof(struct rule_counts, headers_full)},
};

/* A rule that is shown. */
struct shown_rule {
    size_t rule;
    struct rule_counts counts; /* all families of one time */
    size_t label_begin;        /* in the labels */
    size_t label_end;
};

static int most_matches_first(const void *left_at, const void *right_at)
{
    const struct shown_rule *const left = left_at;
    const struct shown_rule *const right = right_at;
    if (left->counts.matches != right->counts.matches) {
        return left->counts.matches > right->counts.matches ? -1 : 1;
    }
    return left->rule < right->rule ? -1 : 1;
}

static int in_file_order(const void *left_at, const void *right_at)
{
    const struct shown_rule *const left = left_at;
    const struct shown_rule *const right = right_at;
    return left->rule < right->rule ? -1 : 1;
}

/* Fills `rules`, which has room for all; answers how many are shown. */
static size_t choose(const struct rules_view *view, struct shown_rule *rules)
{
    const size_t count = view->facts.rule_count;
    for (size_t i = 0; i < count; i++) {
        rules[i].rule = i;
        rules[i].counts = rules_view_counts(view, i);
    }
    if (count <= RULES_METRICS_SHOWN_MAX) { return count; }
    qsort(rules, count, sizeof *rules, most_matches_first);
    qsort(rules, RULES_METRICS_SHOWN_MAX, sizeof *rules, in_file_order);
    return RULES_METRICS_SHOWN_MAX;
}

/* A name is escaped once, not once a family. */
static void write_labels(const struct rules_view *view, struct shown_rule *rules, size_t count,
                         struct text *labels)
{
    for (size_t i = 0; i < count; i++) {
        rules[i].label_begin = labels->len_bytes;
        text_printf(labels, "{rule=\"");
        text_label_bytes(labels, rules_view_name(view, rules[i].rule));
        text_printf(labels, "\",mode=\"%s\"} ",
                    rules_view_is_shadow(view, rules[i].rule) ? "shadow" : "enforce");
        rules[i].label_end = labels->len_bytes;
    }
}

static void write_family(const struct rule_family *family, const struct shown_rule *rules,
                         size_t count, struct bytes labels, struct text *out)
{
    text_metric_family(out, family->name, "counter", family->help);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *const at = (const uint8_t *)&rules[i].counts + family->position;
        text_printf(out, "penstock_%s", family->name);
        text_add(out, bytes_slice(labels, rules[i].label_begin, rules[i].label_end));
        text_printf(out, "%" PRIu64 "\n", load_le64(at));
    }
}

static void write_rules(const struct rules_view *view, struct shown_rule *rules, struct text *out)
{
    struct text labels;
    text_init(&labels);
    const size_t count = choose(view, rules);
    write_labels(view, rules, count, &labels);
    if (labels.failed) {
        out->failed = true;
        text_deinit(&labels);
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(rule_families); i++) {
        write_family(&rule_families[i], rules, count, bytes_of(labels.at, labels.len_bytes), out);
    }
    text_deinit(&labels);

    text_metric_family(out, "rules_not_shown", "gauge",
                       "Rules without series here: those with the fewest matches. /rules has all.");
    text_printf(out, "penstock_rules_not_shown %zu\n", view->facts.rule_count - count);
}

void rules_metrics_write(const struct rules_view *view, struct text *out)
{
    if (view == NULL) { return; }
    struct shown_rule *const rules = calloc((size_t)view->facts.rule_count + 1, sizeof *rules);
    if (rules == NULL) {
        out->failed = true;
        return;
    }
    write_rules(view, rules, out);
    free(rules);
}
