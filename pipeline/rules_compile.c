#include "pipeline/rules_compile.h"

#include <hs.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"
#include "pipeline/pattern.h"
#include "pipeline/rule_set.h"

/* '.' matches any byte, newlines too; one match of a pattern is enough; a pattern may match the
 * empty record. No UTF-8 mode: Hyperscan's behaviour on invalid UTF-8 is undefined, and records are
 * any bytes. */
enum { PATTERN_FLAGS = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY };

/* --------------------------------------------------------------------- one field's database */

/* What hs_compile_multi takes: three arrays side by side. */
struct pattern_table {
    char **patterns; /* translated */
    unsigned *flags;
    unsigned *conditions;
    size_t count;
};

static bool is_same_field(const struct rule_field *left, const struct rule_field *right)
{
    return left->kind == right->kind && bytes_equal(left->name, right->name);
}

static struct pattern_table patterns_of_field(const struct rules_source *source,
                                              const struct rule_field *field)
{
    struct pattern_table table = {
        .patterns = allocate_zeroed(source->rule_count, sizeof(char *)),
        .flags = allocate_zeroed(source->rule_count, sizeof(unsigned)),
        .conditions = allocate_zeroed(source->rule_count, sizeof(unsigned)),
    };
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_condition *const when = &source->rules[i].when;
        if (!is_same_field(&when->field, field)) { continue; }
        char *const translated =
            allocate_zeroed(1, pattern_translated_bytes(strlen(when->pattern)));
        const enum pattern_result result = pattern_translate(when->pattern, translated);
        assert(result == PATTERN_OK); /* pattern_check said so */
        table.patterns[table.count] = translated;
        table.flags[table.count] = PATTERN_FLAGS;
        table.conditions[table.count] = (unsigned)i;
        table.count++;
    }
    return table;
}

static void pattern_table_free(struct pattern_table *table)
{
    for (size_t i = 0; i < table->count; i++) { free(table->patterns[i]); }
    free(table->patterns);
    free(table->flags);
    free(table->conditions);
}

static hs_database_t *compile_patterns(const struct pattern_table *table,
                                       const struct rules_source *source, struct file_place file,
                                       struct diagnostics *diagnostics)
{
    hs_database_t *database = NULL;
    hs_compile_error_t *refusal = NULL;
    const hs_error_t error =
        hs_compile_multi((const char *const *)table->patterns, table->flags, table->conditions,
                         (unsigned)table->count, HS_MODE_BLOCK, NULL, &database, &refusal);
    if (error == HS_SUCCESS) { return database; }

    const bool known_pattern = refusal->expression >= 0;
    if (known_pattern) {
        const unsigned condition = table->conditions[refusal->expression];
        file = source->rules[condition].when.place;
    }
    diagnostics_error(diagnostics, file, "%s: %s",
                      known_pattern ? "bad pattern" : "the patterns do not compile together",
                      refusal->message);
    hs_free_compile_error(refusal);
    return NULL;
}

/* False: refused. */
static bool add_scan(struct rule_set *rules, const struct rule_field *field,
                     const struct rules_source *source, struct file_place file,
                     struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < rules->scan_count; i++) {
        const struct rule_field known = {(enum rule_field_kind)rules->scans[i].field,
                                         rules->scans[i].header_name};
        if (is_same_field(&known, field)) { return true; }
    }
    struct pattern_table table = patterns_of_field(source, field);
    struct rule_scan *const scan = &rules->scans[rules->scan_count++];
    scan->field = (int)field->kind;
    scan->header_name = bytes_null();
    if (field->kind == RULE_FIELD_HEADER) {
        const uint8_t *const name = arena_take(&rules->names_of_fields, field->name.len_bytes, 1);
        memcpy((uint8_t *)(uintptr_t)name, field->name.at, field->name.len_bytes);
        scan->header_name = bytes_of(name, field->name.len_bytes);
    }
    scan->database = compile_patterns(&table, source, file, diagnostics);
    pattern_table_free(&table);
    return scan->database != NULL;
}

/* What this engine does not do yet. */
static bool is_simple(const struct rule_source *rule, struct diagnostics *diagnostics)
{
    const struct rule_condition *const when = &rule->when;
    const struct rule_action *const action = &rule->action;
    if (when->kind == RULE_CONDITION_TEST && when->test == RULE_TEST_MATCH &&
        when->field.kind <= RULE_FIELD_HEADER && !rule->goes_on && !rule->shadow &&
        (action->drop || action->topic_count > 0)) {
        return true;
    }
    diagnostics_error(diagnostics, rule->place, "the engine does not know this yet");
    return false;
}

struct rule_set *rules_compile(const struct rules_source *source, struct file_place file,
                               struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < source->rule_count; i++) {
        if (!is_simple(&source->rules[i], diagnostics)) { return NULL; }
    }
    struct rule_set *const rules = allocate_zeroed(1, sizeof *rules);
    rules->scans = allocate_zeroed(source->rule_count, sizeof *rules->scans);
    rules->verdicts = allocate_zeroed(source->rule_count, sizeof *rules->verdicts);
    rules->names = allocate_zeroed(source->rule_count, sizeof *rules->names);
    rules->fallbacks = allocate_zeroed(source->listener_count, sizeof *rules->fallbacks);
    rules->rule_count = source->rule_count;
    rules->listener_count = source->listener_count;
    rules->epoch = source->epoch;
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_action *const action = &source->rules[i].action;
        struct verdict *const verdict = &rules->verdicts[i];
        verdict->fate = action->drop ? VERDICT_DROP : VERDICT_STORE;
        verdict->topic_count = action->topic_count;
        memcpy(verdict->topics, action->topics, sizeof verdict->topics);
        verdict->rule = (int32_t)i;
        rules->names[i] = allocate_text(source->rules[i].name);
    }
    for (size_t i = 0; i < source->listener_count; i++) {
        const struct rule_fallback *const fallback = &source->fallbacks[i];
        struct verdict *const verdict = &rules->fallbacks[i];
        verdict->fate = fallback->drop ? VERDICT_DROP : VERDICT_STORE;
        verdict->topic_count = fallback->topic_count;
        memcpy(verdict->topics, fallback->topics, sizeof verdict->topics);
        verdict->rule = RULES_NONE;
    }

    bool compiled = true;
    for (size_t i = 0; i < source->rule_count; i++) { /* on, after a refusal: say them all */
        if (!add_scan(rules, &source->rules[i].when.field, source, file, diagnostics)) {
            compiled = false;
        }
    }
    if (compiled) { return rules; }
    rule_set_destroy(rules);
    return NULL;
}
