#include "pipeline/rules_cost.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "pipeline/pattern.h"
#include "pipeline/rule_flags.h"
#include "pipeline/rule_jail.h"

static const uint64_t jail_memory_bytes = UINT64_C(2) << 30;

/* -------------------------------------------------------------------------------- the patterns */

static bool is_pattern(const struct rule_condition *condition)
{
    return condition->kind == RULE_CONDITION_TEST && condition->test == RULE_TEST_MATCH;
}

static size_t count_patterns(const struct rule_condition *condition)
{
    size_t count = is_pattern(condition) ? 1 : 0;
    for (size_t i = 0; i < condition->child_count; i++) {
        count += count_patterns(&condition->children[i]);
    }
    return count;
}

struct gathering {
    struct rule_cost *items;
    size_t count;
    bool texts; /* patterns that are texts, or all others */
};

static void gather(struct gathering *gathering, size_t rule, const struct rule_condition *condition)
{
    for (size_t i = 0; i < condition->child_count; i++) {
        gather(gathering, rule, &condition->children[i]);
    }
    if (!is_pattern(condition)) { return; }
    if (bytes_are_null(condition->literal) == gathering->texts) { return; }
    gathering->items[gathering->count++] =
        (struct rule_cost){.rule = rule, .pattern = condition->pattern, .place = condition->place};
}

/* ------------------------------------------------------------------------------- in the child */

/* What the child says of one pattern. A pattern that does not compile alone has zeroes. */
struct cost_answer {
    uint8_t database_bytes_le64[8];
    uint8_t width_min_le32[4];
    uint8_t width_max_le32[4];
    uint8_t compile_us_le32[4];
};

struct asked {
    const struct rule_cost *items;
    size_t count;
    uint64_t deadline_mono_ns;
};

static void measure_database(const char *pattern, struct cost_answer *out)
{
    char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(pattern)));
    const enum pattern_result result = pattern_translate(pattern, translated);
    assert(result == PATTERN_OK); /* pattern_check said so */

    hs_database_t *database = NULL;
    hs_compile_error_t *refusal = NULL;
    size_t database_bytes = 0;
    const uint64_t began_ns = clock_mono_ns();
    if (hs_compile(translated, RULE_PATTERN_FLAGS, HS_MODE_BLOCK, NULL, &database, &refusal) ==
        HS_SUCCESS) {
        store_le32(out->compile_us_le32, (uint32_t)((clock_mono_ns() - began_ns) / NS_PER_US));
        if (hs_database_size(database, &database_bytes) != HS_SUCCESS) { database_bytes = 0; }
    }
    store_le64(out->database_bytes_le64, database_bytes);
    hs_free_compile_error(refusal);
    (void)hs_free_database(database); /* NULL is fine */
    free(translated);
}

static void measure_widths(const char *pattern, struct cost_answer *out)
{
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *refusal = NULL;
    if (hs_expression_info(pattern, RULE_PATTERN_FLAGS, &info, &refusal) == HS_SUCCESS) {
        store_le32(out->width_min_le32, info->min_width);
        store_le32(out->width_max_le32, info->max_width);
    }
    hs_free_compile_error(refusal);
    free(info);
}

static void measure_all(const void *context, int out)
{
    const struct asked *const asked = context;
    for (size_t i = 0; i < asked->count && clock_mono_ns() < asked->deadline_mono_ns; i++) {
        struct cost_answer answer = {0};
        measure_database(asked->items[i].pattern, &answer);
        measure_widths(asked->items[i].pattern, &answer);
        rule_jail_write(out, bytes_of(&answer, sizeof answer));
    }
}

/* ------------------------------------------------------------------------------ in the parent */

static void read_answers(struct rule_cost *items, size_t count, struct bytes answers)
{
    struct cursor in = cursor_over(answers);
    for (size_t i = 0; i < count && cursor_left_bytes(&in) >= sizeof(struct cost_answer); i++) {
        items[i].is_measured = true;
        items[i].database_bytes = cursor_le64(&in);
        items[i].width_min = cursor_le32(&in);
        items[i].width_max = cursor_le32(&in);
        items[i].compile_us = cursor_le32(&in);
    }
}

/* Dear before cheap; then in the order of the file. */
static int compare_costs(const void *left_at, const void *right_at)
{
    const struct rule_cost *const left = left_at;
    const struct rule_cost *const right = right_at;
    if (left->is_measured != right->is_measured) { return left->is_measured ? -1 : 1; }
    if (left->database_bytes != right->database_bytes) {
        return left->database_bytes > right->database_bytes ? -1 : 1;
    }
    if (left->width_max != right->width_max) { return left->width_max > right->width_max ? -1 : 1; }
    if (left->rule != right->rule) { return left->rule < right->rule ? -1 : 1; }
    if (left->place.line != right->place.line) {
        return left->place.line < right->place.line ? -1 : 1;
    }
    return (left->place.column > right->place.column) - (left->place.column < right->place.column);
}

/* The child's seconds of CPU: not more than there are until the deadline, and a whole one. */
static uint32_t seconds_until(uint64_t deadline_mono_ns)
{
    const uint64_t now_ns = clock_mono_ns();
    const uint64_t left_ns = deadline_mono_ns > now_ns ? deadline_mono_ns - now_ns : 0;
    const uint64_t seconds = left_ns / NS_PER_S + 1;
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

size_t rules_cost(const struct rules_source *source, uint64_t deadline_mono_ns,
                  struct rule_cost **out)
{
    size_t count = 0;
    for (size_t i = 0; i < source->rule_count; i++) {
        count += count_patterns(&source->rules[i].when);
    }
    struct gathering gathering = {.items = allocate_zeroed(count, sizeof(struct rule_cost))};
    for (size_t i = 0; i < source->rule_count; i++) {
        gather(&gathering, i, &source->rules[i].when);
    }
    gathering.texts = true;
    for (size_t i = 0; i < source->rule_count; i++) {
        gather(&gathering, i, &source->rules[i].when);
    }
    assert(gathering.count == count);

    const struct asked asked = {gathering.items, count, deadline_mono_ns};
    const struct rule_jail_limits limits = {.cpu_seconds = seconds_until(deadline_mono_ns),
                                            .memory_bytes = jail_memory_bytes};
    uint8_t *answers = NULL;
    size_t answers_bytes = 0;
    const enum rule_jail_end end =
        rule_jail_run(&limits, measure_all, &asked, &answers, &answers_bytes);
    (void)end; /* however it ended: what it came to is measured, the rest is not */
    read_answers(gathering.items, count, bytes_of(answers, answers_bytes));
    free(answers);
    if (count > 1) { qsort(gathering.items, count, sizeof *gathering.items, compare_costs); }
    *out = gathering.items;
    return count;
}
