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

BEGIN_C_DECLS

enum {
    RULES_MAX = 10000,
    RULES_ROUTE_TOPICS_MAX = 8, /* topics of one verdict */
    RULES_NONE = -1,
};

struct rule_set;     /* opaque, immutable */
struct rule_scratch; /* opaque, one a worker */

struct verdict {
    bool drop;
    uint8_t topic_count;                     /* 0 only with drop */
    uint16_t topics[RULES_ROUTE_TOPICS_MAX]; /* indexes into the configuration's topics */
    int32_t rule; /* index of the rule that decided, RULES_NONE: the listener's topic or default */
};

MUST_CHECK enum status rule_scratch_create(const struct rule_set *rules, struct rule_scratch **out);
void rule_scratch_destroy(struct rule_scratch *scratch);

/* Judges `count` records; verdicts[i] is for records[i]. First match in file order wins. Without a
 * match: the topic that the record names, else its listener's, else the file's default. */
void rules_judge(const struct rule_set *rules, struct rule_scratch *scratch,
                 const struct record *records, size_t count, struct verdict *verdicts);

/* The set's identity: the first 8 bytes of the SHA-256 of its source, little-endian; kept in every
 * commit. 0: no rules file. */
uint64_t rule_set_epoch(const struct rule_set *rules);
size_t rule_set_rule_count(const struct rule_set *rules);
/* "health-checks"; lives as long as the set. */
const char *rule_set_rule_name(const struct rule_set *rules, size_t index);

void rule_set_destroy(struct rule_set *rules);

END_C_DECLS
