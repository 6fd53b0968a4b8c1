/* rules_compile.h - from checked rules to a rule set that can judge.
 *
 * Purpose  The cold half of the engine; rules_load.c, which knows YAML, gives it plain structs.
 *          Trees are planned (rule_plan.h), patterns compiled within the source's limits, or taken
 *          from its cache (rule_databases.h).
 * Owns     The set that it returns is the caller's; it keeps nothing of the source.
 * Threads  Cold; any but a polling core. Forks children, which live no longer than the call. */
#pragma once

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rules.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

/* All patterns were checked without an error (pattern_check.h). NULL when they are refused
 * nevertheless (too large, too dear, past a limit), or when memory is out: `diagnostics` says so,
 * `file` where no pattern is to blame. A cache that cannot be written is a warning. */
MUST_CHECK struct rule_set *rules_compile(const struct rules_source *source, struct file_place file,
                                          struct diagnostics *diagnostics);

END_C_DECLS
