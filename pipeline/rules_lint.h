/* rules_lint.h - what a rules file says that is allowed, but hardly meant.
 *
 * Purpose  Warnings for whoever writes rules: rules that no record reaches, conditions that hold
 *          never or always, routes that get in each other's way, topics that nothing goes to. Only
 *          what can be proved from the file alone (rules_proof.h) is said.
 * Bounds   RULES_LINT_STEPS_MAX of proving, a second or so; where they end is said, too.
 * Threads  Cold; any but a polling core. Allocates. */
#pragma once

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

enum { RULES_LINT_STEPS_MAX = 100000000 };

void rules_lint(const struct rules_source *source, struct diagnostics *diagnostics);

END_C_DECLS
