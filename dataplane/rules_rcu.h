/* rules_rcu.h - which generation of the rules is in force, and when the one before may go.
 *
 * Purpose  A worker changes over between two records, without a lock and without waiting; the old
 *          generation is freed when no worker can still look at it. Read-copy-update, by the
 *          quiescent states of DPDK's rte_rcu_qsbr.h (which needs no EAL).
 * Owns     The generation in force and the one before it, if that is still held.
 * Worker   joins, then judges by what join answered. When it is asked (one load, once a turn), and
 *          no record that it judged waits, and no commit is open, it takes the newest: from then on
 *          it must not look at the one before. A worker that sleeps leaves: nobody waits for it;
 *          what join answers afterwards is the newest again.
 * Cold     One thread publishes; it calls rules_rcu_settle until that says yes before it publishes
 *          again: so at most two generations are there at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "dataplane/rules_generation.h"

BEGIN_C_DECLS

struct rules_rcu; /* opaque */

/* For as many workers as `first` has scratches; it is the rcu's from now on, unless this fails. */
MUST_CHECK enum status rules_rcu_create(struct rules_generation *first, struct rules_rcu **out);
/* Every worker has left. NULL is fine. */
void rules_rcu_destroy(struct rules_rcu *rcu);

/* ---- a worker, on its thread */

const struct rules_generation *rules_rcu_join(struct rules_rcu *rcu, size_t worker);
void rules_rcu_leave(struct rules_rcu *rcu, size_t worker);
/* Another generation is in force, or the cold side waits to hear that this worker has taken it. */
bool rules_rcu_is_asked(const struct rules_rcu *rcu, size_t worker);
/* Lets go of what this worker held, and answers the newest. */
const struct rules_generation *rules_rcu_take(struct rules_rcu *rcu, size_t worker);

/* ---- the cold side, one thread */

/* In force from now on; rcu's own. Settled: asserted. */
void rules_rcu_publish(struct rules_rcu *rcu, struct rules_generation *generation);
/* True once nobody holds the generation before, which is freed then. Does not wait. */
bool rules_rcu_settle(struct rules_rcu *rcu);
/* This one has not taken the newest yet, and does not sleep. */
bool rules_rcu_worker_is_behind(const struct rules_rcu *rcu, size_t worker);
/* What is in force: the publisher may look until it publishes again. */
const struct rules_generation *rules_rcu_newest(const struct rules_rcu *rcu);

END_C_DECLS
