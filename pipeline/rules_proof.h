/* rules_proof.h - what can be proved of two conditions without seeing any record.
 *
 * Purpose  For the lint: whether one condition covers another, or excludes it. True is proved;
 *          false says nothing: a proof that would have to understand patterns is not tried, but for
 *          those that are nothing but a text.
 * Bounds   Every step of a proof is paid for; what can no longer be paid is not proved.
 * Owns     Nothing. Threads: any; cold. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

struct rules_proof {
    uint64_t steps_left;
};

/* Whenever `left` holds, `right` does, too. */
bool rule_condition_implies(struct rules_proof *proof, const struct rule_condition *left,
                            const struct rule_condition *right);

/* They never hold for the same record. */
bool rule_condition_excludes(struct rules_proof *proof, const struct rule_condition *left,
                             const struct rule_condition *right);

/* There are records for which both hold. */
bool rule_condition_overlaps(struct rules_proof *proof, const struct rule_condition *left,
                             const struct rule_condition *right);

/* It holds for every record; for none. */
bool rule_condition_is_always(struct rules_proof *proof, const struct rule_condition *condition);
bool rule_condition_is_never(struct rules_proof *proof, const struct rule_condition *condition);

END_C_DECLS
