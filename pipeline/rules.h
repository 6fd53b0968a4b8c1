/* rules.h - what becomes of a record: dropped, or stored in which topics.
 *
 * Purpose  The hot half: judges records by a compiled rule set. Loading and compiling (cold) is
 *          rules_load.h and rules_compile.h. Hyperscan's hs.h stays inside rules*.c.
 * Owns     A rule set is immutable and shared by all workers; the scratch is one a worker.
 * Threads  rules_judge on the scratch's owner; no lock, allocation or system call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "pipeline/record.h"
#include "wire/rules_page.h"

BEGIN_C_DECLS

enum {
    RULES_MAX = 16384,
    RULES_ROUTE_TOPICS_MAX = 8, /* topics of one verdict */
    RULES_NONE = -1,
};

struct rule_set;     /* opaque, immutable */
struct rule_scratch; /* opaque, one a worker and rule set */
struct rule_meters;  /* opaque, one a worker: what rate limits remember; outlives rule sets */

enum verdict_fate {
    VERDICT_STORE,
    VERDICT_DROP,        /* by a rule, or by `default: drop` */
    VERDICT_SAMPLED_OUT, /* `keep: 1/N`, and it is not that one */
    VERDICT_LIMITED,     /* over a rule's rate limit */
};

struct verdict {
    uint8_t fate;                            /* enum verdict_fate */
    uint8_t topic_count;                     /* 0 only where it is not stored */
    uint16_t topics[RULES_ROUTE_TOPICS_MAX]; /* indexes into the configuration's topics */
    int32_t rule; /* index of the rule that decided, RULES_NONE: the listener's topic or default */
};

/* Counts of a worker that belong to no rule. */
struct rule_totals {
    uint64_t judged;
    uint64_t storms; /* records over rules_limits.matches_max: the fallback decided */
};

struct rule_scratch_options {
    size_t records_max;         /* of one call of rules_judge */
    struct rule_counts *counts; /* by rule (wire/rules_page.h); NULL: memory of its own */
    struct rule_meters *meters; /* NULL: memory of its own */
    uint32_t worker;            /* limits are split: this one of */
    uint32_t worker_count;      /* so many; at least 1 */
    /* Sampled examples (rules_source.example_count > 0): called on the scratch's thread for a
     * rule's first 16 matches and then one in 256, with the record as the actions left it, thus
     * redacted; NULL: never. Must not block. */
    void (*on_example)(void *context, size_t rule, const struct record *record);
    void *context;
};

/* Cold: allocates all that judging will ever need. */
MUST_CHECK enum status rule_scratch_create(const struct rule_set *rules,
                                           const struct rule_scratch_options *options,
                                           struct rule_scratch **out);
void rule_scratch_destroy(struct rule_scratch *scratch);

/* Cold. Buckets are found again by rule name and parameters: a limit that both sets have goes on
 * where it was. rule_meters_prepare adds what a new set needs, rule_meters_trim forgets what only
 * older sets needed. Scratches may judge meanwhile, if they were made for a set that stays: what
 * they have found does not move. */
MUST_CHECK enum status rule_meters_create(struct rule_meters **out);
MUST_CHECK enum status rule_meters_prepare(struct rule_meters *meters, const struct rule_set *rules,
                                           uint32_t worker, uint32_t worker_count);
void rule_meters_trim(struct rule_meters *meters, const struct rule_set *rules);
void rule_meters_destroy(struct rule_meters *meters);

/* Judges `count` records; verdicts[i] is for records[i]. Rules are asked in file order; conditions
 * see the record as it came, and so do sampling and limits, whatever actions do to it. Of a shadow
 * rule matches, drops, sampling and limits are counted. Without a decision: the topic
 * that the record names, else its listener's, else the file's default. Actions change records[i]:
 * its key and headers are replaced (header arrays hold until the next call), and redaction writes
 * into the bytes that it points to, which must be writable and its own. `now_ns`: monotonic, for
 * rate limits. */
void rules_judge(const struct rule_set *rules, struct rule_scratch *scratch, struct record *records,
                 size_t count, uint64_t now_ns, struct verdict *verdicts);

struct rule_totals rule_scratch_totals(const struct rule_scratch *scratch);

/* Which rules' conditions held for the record that was judged last, in the order asked; fills up
 * to `capacity` indexes and answers how many there were. For tools: costs nothing unless called. */
size_t rule_scratch_matched(const struct rule_scratch *scratch, int32_t *out, size_t capacity);

/* The set's identity: the first 8 bytes of the SHA-256 of its source, little-endian; kept in every
 * commit. 0: no rules file. */
uint64_t rule_set_epoch(const struct rule_set *rules);
size_t rule_set_rule_count(const struct rule_set *rules);
/* "health-checks"; lives as long as the set. */
const char *rule_set_rule_name(const struct rule_set *rules, size_t index);
bool rule_set_rule_is_shadow(const struct rule_set *rules, size_t index);
/* What `examples` asks for: of each rule and worker, and bytes of each. 0: none. */
uint32_t rule_set_example_count(const struct rule_set *rules);
uint32_t rule_set_example_bytes(const struct rule_set *rules);

/* Another owner: the set goes with the last rule_set_destroy. Any thread. */
struct rule_set *rule_set_share(struct rule_set *rules);
/* NULL is fine. */
void rule_set_destroy(struct rule_set *rules);

END_C_DECLS
