/* rule_plan.h - from checked rules to what will be asked of a record, without Hyperscan.
 *
 * Purpose  Finds what is looked at, gives equal claims one atom, turns trees into steps, and
 * chooses by which atoms a rule is triggered. The patterns are left over: rules_compile.c makes
 *          databases of them, answers the questions about listeners, and finishes the plan.
 * Owns     The rule set until it is taken; translations of the patterns. Borrows from the source.
 * Threads  Cold; one owner. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rule_set.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

enum { RULE_ATOM_NONE = UINT32_MAX >> 1 };

/* An expression to be compiled: one a field and pattern, whoever asks for it. */
struct rule_pattern {
    const char *written; /* as in the file, where it is asked for first */
    struct file_place place;
    char *translated; /* pattern.h */
    uint32_t look;
    uint32_t atom;
};

/* A test on the listener's name: as many answers as there are listeners, and no more. */
struct rule_question {
    const struct rule_condition *test;
    uint32_t atom; /* of RULE_TEST_MATCH */
};

struct rule_plan {
    const struct rules_source *source;
    struct rule_set *rules;
    struct rule_pattern *patterns;
    size_t pattern_count;
    struct rule_question *questions;

    /* while planning */
    struct rule_table looks;          /* kind and name; the number is the look */
    struct rule_table atoms;          /* look, test and what it says; the number is the atom */
    struct rule_table question_names; /* the number is the question */
    uint32_t *atom_uses;              /* by atom: steps that ask it */
    size_t atom_room;
    size_t step_room;
};

/* Patterns were checked (pattern_check). Out of memory ends the process. */
void rule_plan_init(struct rule_plan *plan, const struct rules_source *source);
void rule_plan_deinit(struct rule_plan *plan); /* the set too, unless it was taken */

/* When rules->answers holds: which rules are candidates always, by listener. */
void rule_plan_finish(struct rule_plan *plan);

END_C_DECLS
