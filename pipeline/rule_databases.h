/* rule_databases.h - a rule set's patterns as databases: out of a cache, or compiled within limits.
 *
 * Purpose  One database a look, all of one set serialised one behind the other: that is what the
 *          jailed child answers, what the cache keeps, and what is read back here.
 * Threads  Cold; any but a polling core. hs.h stays in the .c file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rule_plan.h"

BEGIN_C_DECLS

/* Fills `database` of every look that has patterns. False: refused, and `diagnostics` says why,
 * with the dearest patterns where it was too much altogether; `file` where no pattern is to blame.
 */
MUST_CHECK bool rule_databases_fill(struct rule_plan *plan, struct file_place file,
                                    struct diagnostics *diagnostics);

END_C_DECLS
