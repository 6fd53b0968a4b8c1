/* rules_compile.h - from checked rules to databases that Hyperscan can run.
 *
 * Purpose  The cold half that knows Hyperscan. rules_load.c, which knows YAML, gives it plain
 * structs. Owns     The set that it returns is the caller's; it keeps nothing of the source.
 * Threads  Cold; any but a polling core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rules.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

/* All patterns were checked without an error. NULL when Hyperscan refuses nevertheless ("too
 * large"), or when memory is out: `diagnostics` says so, `file` where no pattern is to blame. */
MUST_CHECK struct rule_set *rules_compile(const struct rules_source *source, struct file_place file,
                                          struct diagnostics *diagnostics);

END_C_DECLS
