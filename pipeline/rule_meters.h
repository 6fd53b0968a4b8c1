/* rule_meters.h - all rate limits of one worker, kept while rule sets come and go.
 *
 * Purpose  A limit that the old and the new rule set have (same rule name, same parameters) goes on
 *          where it was: a reload is no way to a full bucket. Creating, preparing, trimming and
 *          destroying are declared in rules.h.
 * Owns     The meters. One that rule_meters_find answered stays where it is until
 *          rule_meters_trim with a rule set that does not have its limit.
 * Threads  One owner at a time; rule_meter_take is all that a polling core calls. */
#pragma once

#include "base/compiler.h"
#include "pipeline/rule_meter.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

/* The rule's limit, of shadow rules too; false: it has none. The engine's (rules*.c): the set's
 * layout is its own. */
bool rule_set_limit(const struct rule_set *rules, size_t rule, struct rule_limit *out);

/* The meter of this rule's limit; NULL: it has none. rule_meters_prepare was called with the set:
 * asserted. Cold: to be kept beside the rule. */
struct rule_meter *rule_meters_find(struct rule_meters *meters, const struct rule_set *rules,
                                    size_t rule);

END_C_DECLS
