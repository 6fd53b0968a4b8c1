#include "tools/condition_tree.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"
#include "base/units.h"
#include "pipeline/rules_compile.h"
#include "tools/trial.h"
#include "tools/trial_input.h"
#include "tools/trial_report.h"

enum {
    TESTS_OF_A_SET = 4096, /* below RULES_MAX */
    TEST_NAME_BYTES = 16,
};

/* Some tests, as a rule set. */
struct test_set {
    struct rule_set *rules;
    struct trial *trial;
};

struct condition_trees {
    const struct rules_source *source;
    const struct rule_condition **tests; /* every leaf, rule by rule, left to right */
    bool *holds;                         /* by test */
    size_t test_count;
    size_t *first_test; /* by rule */
    struct test_set *sets;
    size_t set_count;
};

/* --------------------------------------------------------------------------------- taking apart */

static size_t count_tests(const struct rule_condition *condition)
{
    if (condition->kind == RULE_CONDITION_TEST) { return 1; }
    size_t count = 0;
    for (size_t i = 0; i < condition->child_count; i++) {
        count += count_tests(&condition->children[i]);
    }
    return count;
}

static void collect_tests(struct condition_trees *trees, const struct rule_condition *condition)
{
    if (condition->kind == RULE_CONDITION_TEST) {
        trees->tests[trees->test_count++] = condition;
        return;
    }
    for (size_t i = 0; i < condition->child_count; i++) {
        collect_tests(trees, &condition->children[i]);
    }
}

/* Tests [begin, end) as shadow rules: all are asked, and none does anything. */
static bool set_compile(struct condition_trees *trees, size_t begin, size_t end,
                        struct diagnostics *diagnostics)
{
    struct test_set *const set = &trees->sets[trees->set_count++];
    struct rule_source *const rules = allocate_zeroed(end - begin, sizeof *rules);
    char(*const names)[TEST_NAME_BYTES] = allocate_zeroed(end - begin, sizeof names[0]);
    for (size_t i = begin; i < end; i++) {
        snprintf(names[i - begin], sizeof names[0], "%zu", i);
        rules[i - begin] = (struct rule_source){
            .name = names[i - begin],
            .place = trees->tests[i]->place,
            .when = *trees->tests[i],
            .action = {.drop = true},
            .goes_on = true,
            .shadow = true,
        };
    }
    struct rules_source source = *trees->source;
    source.rules = rules;
    source.rule_count = end - begin;
    source.example_count = 0;
    source.limits.matches_max = UINT32_MAX; /* a storm would hide what holds */
    set->rules = rules_compile(&source, trees->source->file, diagnostics);
    free(rules);
    free(names);
    if (set->rules == NULL) { return false; }
    if (trial_create(set->rules, &set->trial) == STATUS_OK) { return true; }
    diagnostics_error(diagnostics, trees->source->file, "no memory to judge with");
    return false;
}

struct condition_trees *condition_trees_create(const struct rules_source *source,
                                               struct diagnostics *diagnostics)
{
    struct condition_trees *const trees = allocate_zeroed(1, sizeof *trees);
    size_t count = 0;
    for (size_t i = 0; i < source->rule_count; i++) {
        count += count_tests(&source->rules[i].when);
    }
    trees->source = source;
    trees->tests = allocate_zeroed(count, sizeof(struct rule_condition *));
    trees->holds = allocate_zeroed(count, sizeof trees->holds[0]);
    trees->first_test = allocate_zeroed(source->rule_count + 1, sizeof(size_t));
    trees->sets = allocate_zeroed(count / TESTS_OF_A_SET + 1, sizeof trees->sets[0]);
    for (size_t i = 0; i < source->rule_count; i++) {
        trees->first_test[i] = trees->test_count;
        collect_tests(trees, &source->rules[i].when);
    }
    trees->first_test[source->rule_count] = trees->test_count;
    bool good = true;
    for (size_t begin = 0; good && begin < count; begin += TESTS_OF_A_SET) {
        const size_t end = count - begin < TESTS_OF_A_SET ? count : begin + TESTS_OF_A_SET;
        good = set_compile(trees, begin, end, diagnostics);
    }
    if (good) { return trees; }
    condition_trees_destroy(trees);
    return NULL;
}

void condition_trees_destroy(struct condition_trees *trees)
{
    if (trees == NULL) { return; }
    for (size_t i = 0; i < trees->set_count; i++) {
        trial_destroy(trees->sets[i].trial);
        rule_set_destroy(trees->sets[i].rules);
    }
    free(trees->sets);
    free((void *)trees->tests);
    free(trees->holds);
    free(trees->first_test);
    free(trees);
}

void condition_trees_ask(struct condition_trees *trees, const struct record *record)
{
    memset(trees->holds, 0, trees->test_count * sizeof trees->holds[0]);
    for (size_t i = 0; i < trees->set_count; i++) {
        struct trial_outcome outcome;
        trial_judge(trees->sets[i].trial, record, 0, &outcome);
        for (size_t j = 0; j < outcome.matched_count; j++) {
            trees->holds[i * TESTS_OF_A_SET + (size_t)outcome.matched[j]] = true;
        }
    }
}

/* ------------------------------------------------------------------------------------ the trees */

/* `*test`: the next leaf; moves past this condition's. */
static bool condition_holds(const struct condition_trees *trees,
                            const struct rule_condition *condition, size_t *test)
{
    bool any = false;
    bool all = true;
    if (condition->kind == RULE_CONDITION_TEST) { return trees->holds[(*test)++]; }
    for (size_t i = 0; i < condition->child_count; i++) {
        const bool holds = condition_holds(trees, &condition->children[i], test);
        any |= holds;
        all &= holds;
    }
    switch (condition->kind) {
    case RULE_CONDITION_ALL: return all;
    case RULE_CONDITION_ANY: return any;
    case RULE_CONDITION_NOT: return !any;
    case RULE_CONDITION_TEST: break;
    }
    return false;
}

bool condition_trees_hold(const struct condition_trees *trees, size_t rule)
{
    assert(rule < trees->source->rule_count);
    size_t test = trees->first_test[rule];
    return condition_holds(trees, &trees->source->rules[rule].when, &test);
}

static void print_node(const struct condition_trees *trees, const struct rule_condition *condition,
                       size_t test, int depth, FILE *out)
{
    static const char *const words[] = {[RULE_CONDITION_ALL] = "all of",
                                        [RULE_CONDITION_ANY] = "any of",
                                        [RULE_CONDITION_NOT] = "not"};
    size_t after = test;
    const bool holds = condition_holds(trees, condition, &after);
    fprintf(out, "%*s%s ", 4 + 2 * depth, "", holds ? "+" : "-");
    if (condition->kind == RULE_CONDITION_TEST) {
        condition_test_print(condition, out);
    } else {
        fputs(words[condition->kind], out);
    }
    fputc('\n', out);
    for (size_t i = 0; i < condition->child_count; i++) {
        print_node(trees, &condition->children[i], test, depth + 1, out);
        test += count_tests(&condition->children[i]);
    }
}

void condition_trees_print(const struct condition_trees *trees, size_t rule, FILE *out)
{
    print_node(trees, &trees->source->rules[rule].when, trees->first_test[rule], 0, out);
}

/* ------------------------------------------------------------------------------------ in words */

void condition_field_print(const struct rule_field *field, FILE *out)
{
    static const struct {
        enum rule_field_kind kind;
        const char *text;
    } plain[] = {{RULE_FIELD_VALUE, "value"},
                 {RULE_FIELD_KEY, "key"},
                 {RULE_FIELD_LISTENER, "listener"},
                 {RULE_FIELD_SOURCE, "source"}};
    for (size_t i = 0; i < ARRAY_COUNT(plain); i++) {
        if (plain[i].kind == field->kind) { fputs(plain[i].text, out); }
    }
    char shown[TRIAL_SHOWN_BYTES + 4];
    if (field->kind == RULE_FIELD_JSON) {
        fprintf(out, "json:%s", trial_shown(field->name, shown));
    }
    if (field->kind == RULE_FIELD_HEADER) {
        const bool syslog = field->name.len_bytes > 7 && memcmp(field->name.at, "syslog.", 7) == 0;
        fprintf(out, "%s%s", syslog ? "" : "header:", trial_shown(field->name, shown));
    }
}

void condition_test_print(const struct rule_condition *test, FILE *out)
{
    static const char *const comparisons[] = {[RULE_BELOW] = "below",
                                              [RULE_AT_MOST] = "at_most",
                                              [RULE_AT_LEAST] = "at_least",
                                              [RULE_ABOVE] = "above"};
    char shown[TRIAL_SHOWN_BYTES + 4];
    char address[TRIAL_ADDRESS_BYTES];
    condition_field_print(&test->field, out);
    switch (test->test) {
    case RULE_TEST_MATCH:
        fprintf(out, " match '%s'", trial_shown(bytes_of_text(test->pattern), shown));
        break;
    case RULE_TEST_EQUALS: fprintf(out, " equals '%s'", trial_shown(test->literal, shown)); break;
    case RULE_TEST_PRESENT: fputs(" present", out); break;
    case RULE_TEST_NUMBER:
        fprintf(out, " %s %.17g", comparisons[test->comparison], test->number);
        break;
    case RULE_TEST_SIZE:
        fprintf(out, " size %s %.0f bytes", comparisons[test->comparison], test->number);
        break;
    case RULE_TEST_NETWORK: {
        static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        const bool is_ipv4 = memcmp(test->network.address, mapped, sizeof mapped) == 0 &&
                             test->network.prefix_bits >= 96;
        const int bits = test->network.prefix_bits - (is_ipv4 ? 96 : 0);
        if (inet_ntop(is_ipv4 ? AF_INET : AF_INET6, test->network.address + (is_ipv4 ? 12 : 0),
                      address, sizeof address) == NULL) {
            strcpy(address, "?");
        }
        fprintf(out, " in %s/%d", address, bits);
        break;
    }
    }
}
