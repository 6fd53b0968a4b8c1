#include "pipeline/rules_lint.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/invariant.h"
#include "pipeline/rules_proof.h"

enum { LINT_STEPS_OF_A_PAIR = 20000 };

/* What is known of a rule before it is compared with others. */
struct lint_rule {
    const struct rule_source *rule;
    bool never;
    bool always;
    bool is_text;     /* its condition is one test by a text */
    uint64_t pairs;   /* of bytes in the text: a bit for each of 64 kinds */
    bool is_reported; /* as unreachable */
};

struct lint {
    const struct rules_source *source;
    struct diagnostics *diagnostics;
    struct rules_proof proof;
    struct lint_rule *rules;
};

/* A proof of its own for two rules, so that one pair of jungles does not use up all. */
static struct rules_proof lint_begin_pair(const struct lint *lint)
{
    const uint64_t left = lint->proof.steps_left;
    return (struct rules_proof){left < LINT_STEPS_OF_A_PAIR ? left : LINT_STEPS_OF_A_PAIR};
}

static void lint_end_pair(struct lint *lint, struct rules_proof begun, struct rules_proof ended)
{
    lint->proof.steps_left -= begun.steps_left - ended.steps_left;
}

/* --------------------------------------------------------------------------- single conditions */

/* Says the largest parts of a tree that never hold; true: this one is such. */
static bool say_never(struct lint *lint, const struct rule_condition *condition, bool is_whole)
{
    const struct rules_proof begun = lint_begin_pair(lint);
    struct rules_proof proof = begun;
    const bool never = rule_condition_is_never(&proof, condition);
    lint_end_pair(lint, begun, proof);
    if (never) {
        diagnostics_warning(lint->diagnostics, condition->place,
                            is_whole ? "this condition can never hold: its parts exclude each other"
                                     : "this part can never hold: it excludes itself");
        return true;
    }
    for (size_t i = 0; i < condition->child_count; i++) {
        if (condition->kind == RULE_CONDITION_NOT) { break; } /* never inside of it means always */
        (void)say_never(lint, &condition->children[i], false);
    }
    return false;
}

/* 'x*' was warned of when it was read; this is about those like '^x*$'. */
static void say_empty_matches(const struct lint *lint, const struct rule_condition *condition)
{
    for (size_t i = 0; i < condition->child_count; i++) {
        say_empty_matches(lint, &condition->children[i]);
    }
    if (!condition->finds_empty || !bytes_are_null(condition->literal)) { return; }
    diagnostics_warning(lint->diagnostics, condition->place,
                        "the pattern also matches a field that is there and empty; if that is not "
                        "meant, write + for *");
}

static uint64_t byte_pairs(struct bytes text)
{
    uint64_t pairs = 0;
    for (size_t i = 1; i < text.len_bytes; i++) {
        pairs |= UINT64_C(1) << ((text.at[i - 1] * 31U + text.at[i]) % 64);
    }
    return pairs;
}

static void look_at_rule(struct lint *lint, size_t index)
{
    const struct rule_source *const rule = &lint->source->rules[index];
    const struct rule_condition *const when = &rule->when;
    struct lint_rule *const out = &lint->rules[index];
    out->rule = rule;
    out->never = say_never(lint, when, true);
    out->is_text = when->kind == RULE_CONDITION_TEST && !bytes_are_null(when->literal);
    if (out->is_text) { out->pairs = byte_pairs(when->literal); }
    const struct rules_proof begun = lint_begin_pair(lint);
    struct rules_proof proof = begun;
    out->always = rule_condition_is_always(&proof, when);
    lint_end_pair(lint, begun, proof);
    say_empty_matches(lint, when);
}

/* ------------------------------------------------------------------------------ pairs of rules */

static bool is_last_asked(const struct rule_source *rule)
{
    return !rule->goes_on && !rule->shadow;
}

static void say_unreachable(struct lint *lint, const struct lint_rule *rule,
                            const struct lint_rule *earlier)
{
    const char *const what = rule->rule->shadow ? "shadow rule" : "rule";
    const char *const name = rule->rule->name;
    const char *const earlier_name = earlier->rule->name;
    const uint32_t line = earlier->rule->place.line;
    if (earlier->always) {
        diagnostics_warning(lint->diagnostics, rule->rule->place,
                            "%s '%s' is never asked: '%s' at line %u holds for every record, and "
                            "does not continue",
                            what, name, earlier_name, line);
    } else if (rule->is_text && earlier->is_text) {
        diagnostics_warning(lint->diagnostics, rule->rule->place,
                            "%s '%s' is never asked: what has its text has that of '%s' at line "
                            "%u, which does not continue",
                            what, name, earlier_name, line);
    } else {
        diagnostics_warning(lint->diagnostics, rule->rule->place,
                            "%s '%s' is never asked: whenever it holds, so does '%s' at line %u, "
                            "which does not continue",
                            what, name, earlier_name, line);
    }
}

/* A cheap look that spares most proofs: a text that is inside of another has no other pairs. */
static bool text_may_imply(const struct lint_rule *left, const struct lint_rule *right)
{
    return !left->is_text || !right->is_text || (right->pairs & ~left->pairs) == 0;
}

static bool prove(struct lint *lint, struct lint_rule *left, const struct lint_rule *right,
                  bool (*holds)(struct rules_proof *, const struct rule_condition *,
                                const struct rule_condition *))
{
    const struct rules_proof begun = lint_begin_pair(lint);
    struct rules_proof proof = begun;
    const bool proved = holds(&proof, &left->rule->when, &right->rule->when);
    lint_end_pair(lint, begun, proof);
    return proved;
}

static bool is_routed_otherwise(const struct rule_action *left, const struct rule_action *right)
{
    if (left->topic_count == 0 || right->topic_count == 0) { return false; }
    if (left->topic_count != right->topic_count) { return true; }
    for (size_t i = 0; i < left->topic_count; i++) {
        bool found = false;
        for (size_t j = 0; j < right->topic_count; j++) {
            found = found || left->topics[i] == right->topics[j];
        }
        if (!found) { return true; }
    }
    return false;
}

/* A rule for all the rest is meant to overlap with what stands in front. */
static bool may_overlap(const struct lint_rule *earlier, const struct lint_rule *rule)
{
    return !rule->always && !rule->rule->shadow &&
           is_routed_otherwise(&earlier->rule->action, &rule->rule->action) &&
           (text_may_imply(earlier, rule) || text_may_imply(rule, earlier));
}

static void say_overlap(struct lint *lint, const struct lint_rule *rule,
                        const struct lint_rule *earlier, size_t count)
{
    if (count == 0) { return; }
    char others[48] = "";
    if (count > 1) { snprintf(others, sizeof others, " (and %zu more like it)", count - 1); }
    diagnostics_warning(lint->diagnostics, rule->rule->place,
                        "routes overlap: records that both '%s' and '%s' at line %u hold for%s go "
                        "where the one at line %u says, and not here",
                        rule->rule->name, earlier->rule->name, earlier->rule->place.line, others,
                        earlier->rule->place.line);
}

/* False: no step is left for it. */
static bool compare_with_earlier(struct lint *lint, size_t index)
{
    struct lint_rule *const rule = &lint->rules[index];
    const struct lint_rule *overlapped = NULL;
    size_t overlap_count = 0;
    for (size_t i = 0; i < index && !rule->never; i++) {
        struct lint_rule *const earlier = &lint->rules[i];
        if (lint->proof.steps_left == 0) { return false; }
        lint->proof.steps_left--;
        if (earlier->never || earlier->is_reported || !is_last_asked(earlier->rule)) { continue; }
        const bool covered =
            earlier->always ||
            (text_may_imply(rule, earlier) && prove(lint, rule, earlier, rule_condition_implies));
        if (covered) {
            say_unreachable(lint, rule, earlier);
            rule->is_reported = true;
            return true;
        }
        if (!may_overlap(earlier, rule)) { continue; }
        if (!prove(lint, earlier, rule, rule_condition_overlaps)) { continue; }
        if (overlap_count++ == 0) { overlapped = earlier; }
    }
    say_overlap(lint, rule, overlapped, overlap_count);
    return true;
}

static void compare_rules(struct lint *lint)
{
    for (size_t i = 1; i < lint->source->rule_count; i++) {
        if (compare_with_earlier(lint, i)) { continue; }
        diagnostics_warning(lint->diagnostics, lint->source->rules[i].place,
                            "too many rules to compare each with all: from '%s' on, none was "
                            "looked at for being reached",
                            lint->source->rules[i].name);
        return;
    }
}

/* ------------------------------------------------------------------------------------- topics */

static void mark_topics(bool *routed, const uint16_t *topics, size_t count)
{
    for (size_t i = 0; i < count; i++) { routed[topics[i]] = true; }
}

static void say_unused_topics(const struct lint *lint)
{
    const struct rules_source *const source = lint->source;
    bool *const routed = allocate_zeroed(source->topic_count, sizeof *routed);
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_action *const action = &source->rules[i].action;
        mark_topics(routed, action->topics, action->topic_count);
    }
    for (size_t i = 0; i < source->listener_count; i++) {
        mark_topics(routed, source->fallbacks[i].topics, source->fallbacks[i].topic_count);
    }
    for (size_t i = 0; i < source->topic_count; i++) {
        if (routed[i]) { continue; }
        diagnostics_warning(lint->diagnostics, source->file,
                            "nothing goes to topic '%s', but what a producer sends there by name",
                            source->topic_names[i]);
    }
    free(routed);
}

void rules_lint(const struct rules_source *source, struct diagnostics *diagnostics)
{
    struct lint lint = {
        .source = source,
        .diagnostics = diagnostics,
        .proof = {RULES_LINT_STEPS_MAX},
        .rules = allocate_zeroed(source->rule_count, sizeof(struct lint_rule)),
    };
    for (size_t i = 0; i < source->rule_count; i++) { look_at_rule(&lint, i); }
    compare_rules(&lint);
    say_unused_topics(&lint);
    free(lint.rules);
}
