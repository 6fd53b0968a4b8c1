/* rule_actions.h - what a rule does when its condition holds.
 *
 * Purpose  Two steps. rule_actions_decide while rules are asked: keep, limit, drop, route. It only
 *          reads, so that whatever is asked later sees the record as it came. rule_actions_change
 *          when all have been asked: redact, set the key, add headers, rule by rule in that order,
 *          and last the examples, which thus show nothing that was redacted.
 * Private  To rules.c.
 * Threads  The scratch's owner; no lock, allocation or system call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "pipeline/record.h"
#include "pipeline/rule_scratch.h"
#include "pipeline/rule_set.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

/* Rule `rule` holds: counts it, and takes down in `verdict` what follows. A shadow rule's verdict
 * is counted only. True: no rule behind it is asked. */
bool rule_actions_decide(const struct rule_set *rules, struct rule_scratch *scratch, size_t rule,
                         uint64_t now_ns, struct verdict *verdict);

/* What the rules that held change of the record, the number `index` of this call. */
void rule_actions_change(const struct rule_set *rules, struct rule_scratch *scratch, size_t index,
                         struct record *record);

END_C_DECLS
