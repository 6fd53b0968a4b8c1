/* rule_meter.h - one rule's rate limit on one worker: a token bucket, or one for each key.
 *
 * Purpose  Says whether what comes now is within the limit. The bucket is DPDK's srTCM meter (RFC
 *          2697), colour-blind and with no excess burst: green is within, red is over.
 * By field A table of buckets, sets of four, found by the key's hash; of a full set the bucket that
 *          was used longest ago makes room. A key that is new, or came too late to find its bucket,
 *          starts with a full one: with more keys at a time than buckets the limit is lax, never
 *          too strict. All records without the field share one bucket, that of the empty key.
 * A worker's part  The node's rate and burst are split: worker i of n has the n-th part, the first
 *          ones one more each until nothing is left, and each at least 1.
 * Owns     Its buckets, and a copy of what the limit points to.
 * Threads  One worker owns a meter; nothing here is atomic.
 * Units    now_ns is monotonic; a clock that goes back stands still. Rates hold within 0.1 %. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

/* What a rule says of its limit. */
struct rule_limit {
    const char *rule; /* its name; lives as long as the rule set */
    enum rule_limit_unit unit;
    uint64_t rate;  /* of the node, a second; at least 1 */
    uint64_t burst; /* of the node; at least 1 */
    bool by_field;
    struct rule_field field; /* by_field: its content is the key; the name lives with the set */
    uint32_t buckets;        /* by_field: of each worker; 1..RULES_LIMIT_BUCKETS_MAX */
};

/* Whose part of a node's limit. */
struct rule_share {
    uint32_t worker;
    uint32_t worker_count; /* at least 1 */
};

struct rule_meter; /* opaque */

/* Cold: allocates all buckets, full. */
MUST_CHECK enum status rule_meter_create(const struct rule_limit *limit, struct rule_share share,
                                         struct rule_meter **out);

/* NULL is fine. */
void rule_meter_destroy(struct rule_meter *meter);

/* Whether it was created for this limit: same rule name, same parameters. */
bool rule_meter_is_for(const struct rule_meter *meter, const struct rule_limit *limit);

/* Hot. True: `amount` is within the limit and was taken from it; false: over, and nothing was
 * taken. A burst smaller than `amount` never lets it through.
 *
 * key     the field's content; not looked at without by_field
 * amount  1 for a limit of records, else bytes; less than 4 GiB */
bool rule_meter_take(struct rule_meter *meter, struct bytes key, uint64_t amount, uint64_t now_ns);

END_C_DECLS
