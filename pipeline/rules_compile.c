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

const char *rule_field_name(int field)
{
    assert(field >= 0 && field < RULE_FIELD_COUNT);
    switch (field) {
    case RULE_FIELD_VALUE: return "value";
    case RULE_FIELD_KEY: return "key";
    default: return syslog_field_name((enum syslog_field)(field - RULE_FIELD_SYSLOG));
    }
}

static int on_probe_match(unsigned id, unsigned long long from, unsigned long long to,
                          unsigned flags, void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)context = true;
    return 0;
}

/* Whether the pattern alone finds something in each of a few records that have nothing in common. A
 * refusal by Hyperscan is for rules_compile to say. */
static bool matches_all_probes(const char *translated)
{
    static const char newline[1] = "\n";
    static const char letter[1] = "a";
    char every_byte[256];
    for (size_t i = 0; i < sizeof every_byte; i++) { every_byte[i] = (char)i; }
    const struct bytes probes[] = {bytes_of(every_byte, sizeof every_byte), bytes_of(newline, 1),
                                   bytes_of(letter, 1)};

    hs_database_t *database = NULL;
    hs_scratch_t *scratch = NULL;
    hs_compile_error_t *refusal = NULL;
    bool all = hs_compile(translated, PATTERN_FLAGS, HS_MODE_BLOCK, NULL, &database, &refusal) ==
                   HS_SUCCESS &&
               hs_alloc_scratch(database, &scratch) == HS_SUCCESS;
    for (size_t i = 0; i < ARRAY_COUNT(probes) && all; i++) {
        bool matched = false;
        const hs_error_t error =
            hs_scan(database, (const char *)probes[i].at, (unsigned)probes[i].len_bytes, 0, scratch,
                    on_probe_match, &matched);
        all = error == HS_SUCCESS && matched;
    }
    hs_free_compile_error(refusal);
    (void)hs_free_scratch(scratch); /* both refuse only one in use; NULL is fine */
    (void)hs_free_database(database);
    return all;
}

/* 'x*' also matches no x at all, wherever it looks: hardly what was meant. */
static void warn_of_idle_pattern(const char *pattern, struct file_place place,
                                 struct diagnostics *diagnostics)
{
    if (strcmp(pattern, ".*") == 0) { return; } /* how to say "every record" */
    char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(pattern)));
    if (pattern_translate(pattern, translated) == PATTERN_OK && matches_all_probes(translated)) {
        diagnostics_warning(diagnostics, place,
                            "the pattern matches every record, as it also matches nothing at all; "
                            "say '.*' if that is meant");
    }
    free(translated);
}

void rules_check_pattern(const char *pattern, struct file_place place,
                         struct diagnostics *diagnostics)
{
    char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(pattern)));
    const enum pattern_result result = pattern_translate(pattern, translated);
    free(translated);
    if (result != PATTERN_OK) {
        diagnostics_error(diagnostics, place, "bad pattern: %s", pattern_result_text(result));
        return;
    }

    /* The pattern as written, not its translation: the positions in the message are the writer's.
     */
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *refusal = NULL;
    if (hs_expression_info(pattern, PATTERN_FLAGS, &info, &refusal) != HS_SUCCESS) {
        diagnostics_error(diagnostics, place, "bad pattern: %s", refusal->message);
    } else if (info->min_width == 0) {
        warn_of_idle_pattern(pattern, place, diagnostics);
    }
    hs_free_compile_error(refusal);
    free(info);
}

/* --------------------------------------------------------------------- one field's database */

/* What hs_compile_multi takes: three arrays side by side. */
struct pattern_table {
    char **patterns; /* translated */
    unsigned *flags;
    unsigned *conditions;
    size_t count;
};

static struct pattern_table patterns_of_field(const struct rules_source *source, int field)
{
    struct pattern_table table = {
        .patterns = allocate_zeroed(source->rule_count, sizeof(char *)),
        .flags = allocate_zeroed(source->rule_count, sizeof(unsigned)),
        .conditions = allocate_zeroed(source->rule_count, sizeof(unsigned)),
    };
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_source *const rule = &source->rules[i];
        if (rule->field != field) { continue; }
        char *const translated =
            allocate_zeroed(1, pattern_translated_bytes(strlen(rule->pattern)));
        const enum pattern_result result = pattern_translate(rule->pattern, translated);
        assert(result == PATTERN_OK); /* rules_check_pattern said so */
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
        file = source->rules[condition].pattern_place;
    }
    diagnostics_error(diagnostics, file, "%s: %s",
                      known_pattern ? "bad pattern" : "the patterns do not compile together",
                      refusal->message);
    hs_free_compile_error(refusal);
    return NULL;
}

/* Adds a scan when some rule looks in this field; false: refused. */
static bool add_scan(struct rule_set *rules, int field, const struct rules_source *source,
                     struct file_place file, struct diagnostics *diagnostics)
{
    struct pattern_table table = patterns_of_field(source, field);
    bool compiled = true;
    if (table.count > 0) {
        struct rule_scan *const scan = &rules->scans[rules->scan_count++];
        scan->field = field;
        scan->header_name = bytes_of_text(rule_field_name(field));
        scan->database = compile_patterns(&table, source, file, diagnostics);
        compiled = scan->database != NULL;
    }
    pattern_table_free(&table);
    return compiled;
}

struct rule_set *rules_compile(const struct rules_source *source, struct file_place file,
                               struct diagnostics *diagnostics)
{
    struct rule_set *const rules = allocate_zeroed(1, sizeof *rules);
    rules->scans = allocate_zeroed(RULE_FIELD_COUNT, sizeof *rules->scans);
    rules->verdicts = allocate_zeroed(source->rule_count, sizeof *rules->verdicts);
    rules->names = allocate_zeroed(source->rule_count, sizeof *rules->names);
    rules->fallbacks = allocate_zeroed(source->listener_count, sizeof *rules->fallbacks);
    rules->rule_count = source->rule_count;
    rules->listener_count = source->listener_count;
    rules->epoch = source->epoch;
    for (size_t i = 0; i < source->rule_count; i++) {
        rules->verdicts[i] = source->rules[i].verdict;
        rules->verdicts[i].rule = (int32_t)i;
        rules->names[i] = allocate_text(source->rules[i].name);
    }
    for (size_t i = 0; i < source->listener_count; i++) {
        rules->fallbacks[i] = source->fallbacks[i];
        rules->fallbacks[i].rule = RULES_NONE;
    }

    bool compiled = true;
    for (int field = 0; field < RULE_FIELD_COUNT; field++) { /* on, after a refusal: say them all */
        if (!add_scan(rules, field, source, file, diagnostics)) { compiled = false; }
    }
    if (compiled) { return rules; }
    rule_set_destroy(rules);
    return NULL;
}
