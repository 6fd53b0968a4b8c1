/* trial_batch.h - what judging costs: records in bursts, as a worker has them, and a clock around
 * rules_judge alone.
 *
 * Owns     A scratch and a burst's copies; the set stays the caller's. Threads: one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "pipeline/rules.h"
#include "tools/trial.h"

BEGIN_C_DECLS

enum { TRIAL_BATCH_RECORDS = 64 };

struct trial_batch; /* opaque */

MUST_CHECK enum status trial_batch_create(const struct rule_set *rules, struct trial_batch **out);
void trial_batch_destroy(struct trial_batch *batch); /* NULL is fine */

/* Judges copies of `count` records, at most TRIAL_BATCH_RECORDS; answers how long rules_judge took,
 * in ns. Copying is not in it. */
uint64_t trial_batch_judge(struct trial_batch *batch, const struct record *records, size_t count,
                           uint64_t now_ns);

END_C_DECLS
