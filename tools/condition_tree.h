/* condition_tree.h - a rule's condition taken apart: which of its tests hold for a record.
 *
 * Purpose  Every test of every rule becomes a rule of its own that only counts; the engine of the
 *          data path judges them, so a test holds here exactly when it holds there.
 * Owns     The compiled sets of tests. Borrows the source. Threads: one; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/record.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

struct condition_trees; /* opaque */

/* NULL: `diagnostics` says why (a set of tests does not compile, or there is no memory). */
MUST_CHECK struct condition_trees *condition_trees_create(const struct rules_source *source,
                                                          struct diagnostics *diagnostics);
void condition_trees_destroy(struct condition_trees *trees); /* NULL is fine */

/* Judges all tests of all rules by this record. */
void condition_trees_ask(struct condition_trees *trees, const struct record *record);

/* Of what was asked last. */
bool condition_trees_hold(const struct condition_trees *trees, size_t rule);

/* The tree of a rule, a line a node, indented: what it asks, and whether that holds. */
void condition_trees_print(const struct condition_trees *trees, size_t rule, FILE *out);

/* "syslog.severity below 5": a test in words; no newline. */
void condition_test_print(const struct rule_condition *test, FILE *out);

/* "value", "header:NAME", "json:.level", ... */
void condition_field_print(const struct rule_field *field, FILE *out);

END_C_DECLS
