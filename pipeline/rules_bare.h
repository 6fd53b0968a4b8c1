/* rules_bare.h - a rule set's databases without its rules: how large they are, and how long
 * searching alone takes.
 *
 * Purpose  `penstock rules check` and bench: what Hyperscan does, held against what judging does.
 *          Value, key and headers are searched, each record by itself; members of JSON are not, for
 *          they would have to be found first.
 * Owns     A scratch; the set stays the caller's. Threads: one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "pipeline/record.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

/* Of all databases together. */
uint64_t rules_bare_database_bytes(const struct rule_set *rules);

struct rules_bare; /* opaque */

/* STATUS_NO_MEMORY. */
MUST_CHECK enum status rules_bare_create(const struct rule_set *rules, struct rules_bare **out);
void rules_bare_destroy(struct rules_bare *bare); /* NULL is fine */

/* Searches `count` records; answers how many matches there were. */
uint64_t rules_bare_search(struct rules_bare *bare, const struct record *records, size_t count);

END_C_DECLS
