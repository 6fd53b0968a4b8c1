#include "tools/rules_import.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "pipeline/rules_load.h"
#include "tools/suricata_rule.h"

enum {
    NAME_BYTES_MAX = 90,   /* with the line behind it: below RULES_NAME_BYTES_MAX */
    SHOWN_BYTES_MAX = 200, /* of a line, in the list of what was not taken over */
    UNIQUE_BYTES = 32,     /* " (line 10000)" */
};

/* --------------------------------------------------------------------------------------- texts */

/* What a comment or a name of a rules file can hold; cut off at `bytes_max`. To be freed. */
static char *readable(struct bytes text, size_t bytes_max)
{
    const size_t len_bytes = text.len_bytes < bytes_max ? text.len_bytes : bytes_max;
    char *const out = allocate_zeroed(1, len_bytes + sizeof "...");
    for (size_t i = 0; i < len_bytes; i++) {
        const uint8_t byte = text.at[i];
        out[i] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
    }
    if (len_bytes < text.len_bytes) { strcat(out, "..."); }
    return out;
}

static void write_quoted(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'') { fputc('\'', out); }
        fputc(*text, out);
    }
    fputc('\'', out);
}

/* --------------------------------------------------------------------------------------- rules */

static struct imported_rule *add_rule(struct rules_import *import, size_t line_number,
                                      struct bytes line)
{
    import->rules = allocate_again(import->rules, import->count + 1, sizeof import->rules[0]);
    struct imported_rule *const rule = &import->rules[import->count++];
    *rule = (struct imported_rule){.line = line_number, .from = readable(line, SHOWN_BYTES_MAX)};
    return rule;
}

static void refuse_rule(struct rules_import *import, struct imported_rule *rule, const char *reason)
{
    rule->reason = allocate_text(reason);
    import->refused++;
}

static void add_pattern(struct imported_rule *rule, const char *text, bool negated)
{
    rule->patterns =
        allocate_again(rule->patterns, rule->pattern_count + 1, sizeof rule->patterns[0]);
    rule->patterns[rule->pattern_count++] =
        (struct imported_pattern){.text = allocate_text(text), .negated = negated};
}

/* The line's number makes a name unique that is not: no other name has that number in it. */
static void name_rule(struct imported_rule *rule, const char *name)
{
    char *const shown = readable(bytes_of_text(name), NAME_BYTES_MAX);
    const size_t room = strlen(shown) + UNIQUE_BYTES;
    rule->name = allocate_zeroed(1, room);
    snprintf(rule->name, room, "%s%sline %zu", shown, shown[0] != '\0' ? ", " : "", rule->line);
    free(shown);
}

void rules_import_grep(struct rules_import *import, size_t line_number, struct bytes line,
                       enum grep_syntax syntax, bool ignore_case)
{
    const char *reason;
    struct imported_rule *const rule = add_rule(import, line_number, line);
    char *const pattern = grep_pattern(line, syntax, ignore_case, &reason);
    if (pattern == NULL) {
        refuse_rule(import, rule, reason);
        return;
    }
    name_rule(rule, "");
    add_pattern(rule, pattern, false);
    free(pattern);
}

void rules_import_suricata(struct rules_import *import, size_t line_number, struct bytes line)
{
    struct suricata_rule signature;
    const enum suricata_result result = suricata_rule_parse(line, &signature);
    if (result != SURICATA_NOTHING) {
        struct imported_rule *const rule = add_rule(import, line_number, line);
        if (result == SURICATA_REFUSED) {
            refuse_rule(import, rule, signature.reason);
        } else {
            char name[NAME_BYTES_MAX];
            snprintf(name, sizeof name, "%s%s%s", signature.sid,
                     signature.sid[0] != '\0' && signature.name[0] != '\0' ? " " : "",
                     signature.name);
            name_rule(rule, name);
            rule->left_out = readable(bytes_of_text(signature.way), SHOWN_BYTES_MAX);
        }
        for (size_t i = 0; result == SURICATA_RULE && i < signature.pattern_count; i++) {
            add_pattern(rule, signature.patterns[i].text, signature.patterns[i].negated);
        }
    }
    suricata_rule_deinit(&signature);
}

/* ------------------------------------------------------------------------------------- writing */

static void write_pattern(const struct imported_pattern *pattern, FILE *out)
{
    if (pattern->negated) { fputs("{ not: ", out); }
    write_quoted(pattern->text, out);
    if (pattern->negated) { fputs(" }", out); }
}

/* One line: the loader's complaints name lines, and so rules. */
static void write_rule(const struct rules_import *import, const struct imported_rule *rule,
                       FILE *out)
{
    fputs("  - { name: ", out);
    write_quoted(rule->name, out);
    fputs(", when: ", out);
    if (rule->pattern_count > 1) { fputs("{ all: [ ", out); }
    for (size_t i = 0; i < rule->pattern_count; i++) {
        if (i > 0) { fputs(", ", out); }
        write_pattern(&rule->patterns[i], out);
    }
    if (rule->pattern_count > 1) { fputs(" ] }", out); }
    if (import->topic != NULL) {
        fputs(", do: { route: ", out);
        write_quoted(import->topic, out);
        fputs(" }", out);
    } else {
        fputs(", do: drop", out);
    }
    fputs(import->shadow ? ", mode: shadow }" : " }", out);
    if (rule->left_out != NULL) { fprintf(out, " # not asked: %s", rule->left_out); }
    fputc('\n', out);
}

/* The rules in force, each on the line that stands in `lines` (NULL: nobody asks), then the
 * default. */
static void write_rules(const struct rules_import *import, FILE *out)
{
    fputs(import->count > import->refused ? "rules:\n" : "rules: []\n", out);
    for (size_t i = 0; i < import->count; i++) {
        if (import->rules[i].reason == NULL) { write_rule(import, &import->rules[i], out); }
    }
    if (!import->has_default) { return; }
    if (import->default_topic == NULL) {
        fputs("default: drop\n", out);
        return;
    }
    fputs("default: { route: ", out);
    write_quoted(import->default_topic, out);
    fputs(" }\n", out);
}

void rules_import_write(const struct rules_import *import, const char *source, FILE *out)
{
    char *const shown = readable(bytes_of_text(source), SHOWN_BYTES_MAX);
    fprintf(out, "# Imported from %s: %zu rules of %zu%s.\n", shown,
            import->count - import->refused, import->count,
            import->refused > 0 ? ", see the end for the others" : "");
    free(shown);
    write_rules(import, out);
    if (import->refused > 0) { fputs("\n# Not taken over:\n", out); }
    for (size_t i = 0; i < import->count; i++) {
        const struct imported_rule *const rule = &import->rules[i];
        if (rule->reason == NULL) { continue; }
        fprintf(out, "#   line %zu: %s\n#     %s\n", rule->line, rule->reason, rule->from);
    }
}

void rules_import_report(const struct rules_import *import, const char *source, FILE *out)
{
    for (size_t i = 0; i < import->count; i++) {
        if (import->rules[i].reason == NULL) { continue; }
        fprintf(out, "%s:%zu: not taken over: %s\n", source, import->rules[i].line,
                import->rules[i].reason);
    }
}

/* ------------------------------------------------------------------------------------ checking */

/* The rule that stands on this line of what write_rules writes; NULL: none does. */
static struct imported_rule *rule_on_line(struct rules_import *import, uint32_t line)
{
    uint32_t at = 1; /* "rules:" */
    for (size_t i = 0; i < import->count; i++) {
        if (import->rules[i].reason != NULL) { continue; }
        at++;
        if (at == line) { return &import->rules[i]; }
    }
    return NULL;
}

/* Takes out the rules that errors speak of; false: there was none. */
static bool take_out_refused(struct rules_import *import, const struct diagnostics *found)
{
    /* By what they were before the first is taken out: lines move then. */
    struct imported_rule **const rules =
        allocate_zeroed(diagnostics_count(found), sizeof(struct imported_rule *));
    bool any = false;
    for (size_t i = 0; i < diagnostics_count(found); i++) {
        const struct diagnostic *const item = diagnostics_at(found, i);
        if (item->severity == DIAGNOSTIC_ERROR) {
            rules[i] = rule_on_line(import, item->place.line);
        }
    }
    for (size_t i = 0; i < diagnostics_count(found); i++) {
        if (rules[i] == NULL || rules[i]->reason != NULL) { continue; }
        refuse_rule(import, rules[i], diagnostics_at(found, i)->text);
        any = true;
    }
    free((void *)rules);
    return any;
}

/* The rules as text, read back. */
static bool is_accepted(const struct rules_import *import, struct diagnostics *found)
{
    char *text = NULL;
    size_t len_bytes = 0;
    FILE *const memory = open_memstream(&text, &len_bytes);
    if (memory == NULL) {
        diagnostics_error(found, (struct file_place){"imported", 0, 0}, "no memory");
        return false;
    }
    write_rules(import, memory);
    fclose(memory);
    const char *topics[2];
    size_t topic_count = 0;
    if (import->topic != NULL) { topics[topic_count++] = import->topic; }
    const bool other = import->default_topic != NULL &&
                       (topic_count == 0 || strcmp(topics[0], import->default_topic) != 0);
    if (other) { topics[topic_count++] = import->default_topic; }
    const struct rules_world world = {.topics = topics, .topic_count = topic_count};
    struct rule_set *const rules = rules_load_text(text, len_bytes, "imported", &world, found);
    const bool accepted = rules != NULL;
    rule_set_destroy(rules);
    free(text);
    return accepted;
}

static void pass_on(const struct diagnostics *from, struct diagnostics *to)
{
    for (size_t i = 0; i < diagnostics_count(from); i++) {
        const struct diagnostic *const item = diagnostics_at(from, i);
        if (item->severity == DIAGNOSTIC_ERROR) {
            diagnostics_error(to, item->place, "%s", item->text);
        }
    }
}

bool rules_import_check(struct rules_import *import, struct diagnostics *diagnostics)
{
    /* Each turn but the last takes out a rule. */
    for (size_t turns = import->count + 1; turns > 0; turns--) {
        struct diagnostics *const found = diagnostics_create();
        const bool accepted = is_accepted(import, found);
        const bool goes_on = !accepted && take_out_refused(import, found);
        if (!accepted && !goes_on) { pass_on(found, diagnostics); }
        diagnostics_destroy(found);
        if (!goes_on) { return accepted; }
    }
    return false;
}

void rules_import_deinit(struct rules_import *import)
{
    for (size_t i = 0; i < import->count; i++) {
        struct imported_rule *const rule = &import->rules[i];
        for (size_t j = 0; j < rule->pattern_count; j++) { free(rule->patterns[j].text); }
        free(rule->patterns);
        free(rule->name);
        free(rule->from);
        free(rule->left_out);
        free(rule->reason);
    }
    free(import->rules);
    *import = (struct rules_import){0};
}
