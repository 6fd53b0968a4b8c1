#include "pipeline/rules_compile.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"
#include "pipeline/pattern.h"
#include "pipeline/rule_databases.h"
#include "pipeline/rule_flags.h"
#include "pipeline/rule_number.h"
#include "pipeline/rule_plan.h"

enum { REASON_BYTES = 512 };

/* ------------------------------------------------------------------------------ beside databases
 */

static bool create_json_paths(struct rule_set *rules, struct file_place file,
                              struct diagnostics *diagnostics)
{
    if (rules->json_names.count == 0) { return true; }
    const enum status status =
        json_paths_create(rules->json_names.keys, rules->json_names.count, &rules->json_paths);
    if (status == STATUS_OK) { return true; }
    diagnostics_error(diagnostics, file, "the JSON paths do not go together: %s",
                      status_text(status));
    return false;
}

static bool create_redactors(struct rule_plan *plan, struct diagnostics *diagnostics)
{
    bool good = true;
    size_t deed = 0;
    for (size_t i = 0; i < plan->source->rule_count; i++) {
        if (plan->rules->lines[i].deed == NULL) { continue; }
        struct rule_deed *const out = &plan->rules->deeds[deed++];
        const struct rule_action *const action = &plan->source->rules[i].action;
        char why[REASON_BYTES];
        if (action->redact_pattern == NULL) { continue; }
        const enum status status =
            rule_redactor_create(action->redact_pattern, why, sizeof why, &out->redactor);
        if (status == STATUS_OK) { continue; }
        diagnostics_error(diagnostics, action->redact_place, "redact: %s",
                          status == STATUS_INVALID ? why : status_text(status));
        good = false;
    }
    return good;
}

/* ------------------------------------------------------------------ questions about the listener
 */

static int on_answer(unsigned atom, unsigned long long from, unsigned long long to, unsigned flags,
                     void *context)
{
    (void)from, (void)to, (void)flags;
    bool *const holds = context; /* by atom */
    holds[atom] = true;
    return 0;
}

static bool answer_of(const struct rule_question *question, struct bytes name, const bool *holds)
{
    const struct rule_condition *const test = question->test;
    double number = 0;
    switch (test->test) {
    case RULE_TEST_MATCH: return holds[question->atom];
    case RULE_TEST_EQUALS: return bytes_equal(name, test->literal);
    case RULE_TEST_PRESENT: return true;
    case RULE_TEST_NUMBER:
        return rule_number_parse(name, &number) &&
               rule_compares(test->comparison, number, test->number);
    case RULE_TEST_SIZE:
        return rule_compares(test->comparison, (double)name.len_bytes, test->number);
    case RULE_TEST_NETWORK: break;
    }
    return false;
}

/* All questions for one listener; `holds` has a place an atom. */
static void answer_for(struct rule_plan *plan, size_t listener, hs_scratch_t *scratch, bool *holds)
{
    struct rule_set *const rules = plan->rules;
    const struct hs_database *const database = rules->looks[rules->listener_look].database;
    const struct bytes name = bytes_of_text(rules->listener_names[listener]);
    memset(holds, 0, rules->atom_count * sizeof *holds);
    if (database != NULL) {
        const hs_error_t error = hs_scan(database, (const char *)name.at, (unsigned)name.len_bytes,
                                         0, scratch, on_answer, holds);
        assert(error == HS_SUCCESS);
    }
    for (size_t i = 0; i < rules->question_count; i++) {
        rules->answers[i * rules->listener_count + listener] =
            answer_of(&plan->questions[i], name, holds);
    }
}

/* False: no memory. */
static bool answer_questions(struct rule_plan *plan)
{
    struct rule_set *const rules = plan->rules;
    if (rules->question_count == 0) { return true; }
    struct rule_look *const look = &rules->looks[rules->listener_look];
    hs_scratch_t *scratch = NULL;
    if (look->database != NULL && hs_alloc_scratch(look->database, &scratch) != HS_SUCCESS) {
        return false;
    }
    bool *const holds = allocate_zeroed(rules->atom_count, sizeof *holds);
    for (size_t i = 0; i < rules->listener_count; i++) { answer_for(plan, i, scratch, holds); }
    free(holds);
    (void)hs_free_scratch(scratch); /* both refuse only what is in use; NULL is fine */
    (void)hs_free_database(look->database);
    look->database = NULL; /* nobody asks again */
    return true;
}

/* ------------------------------------------------------------------------------------- the whole
 */

static bool compile(struct rule_plan *plan, struct file_place file, struct diagnostics *diagnostics)
{
    if (!create_json_paths(plan->rules, file, diagnostics)) { return false; }
    if (!rule_databases_fill(plan, file, diagnostics)) { return false; }
    if (!create_redactors(plan, diagnostics)) { return false; }
    if (!answer_questions(plan)) {
        diagnostics_error(diagnostics, file, "%s", status_text(STATUS_NO_MEMORY));
        return false;
    }
    rule_plan_finish(plan);
    return true;
}

struct rule_set *rules_compile(const struct rules_source *source, struct file_place file,
                               struct diagnostics *diagnostics)
{
    struct rule_plan plan;
    struct rule_set *rules = NULL;
    rule_plan_init(&plan, source);
    if (compile(&plan, file, diagnostics)) {
        rules = plan.rules;
        plan.rules = NULL;
    }
    rule_plan_deinit(&plan);
    return rules;
}
