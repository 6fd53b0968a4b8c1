/* trial.h - one record before a rule set: what it was, what became of it, and which rules held.
 *
 * Purpose  The tools' way into rules_judge: copies the record into memory that actions may write
 *          to, judges it, and keeps what it was beside what it is.
 * Owns     The scratch, and memory for one record that grows to the largest.
 * Threads  One; cold, but for the call of rules_judge itself.
 * Time     Comes in: rate limits see what the caller says. A node's whole rate is one worker's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "pipeline/record.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

struct trial; /* opaque */

/* Borrows from the trial and from the record that was judged, until the next one. */
struct trial_outcome {
    const struct record *before; /* as received */
    struct record after;         /* as it would be stored */
    struct verdict verdict;
    const int32_t *matched; /* rules whose conditions held, in the order asked; shadow ones too */
    size_t matched_count;
    bool storm; /* so many matches that no rule decided */
};

/* STATUS_NO_MEMORY. The set stays the caller's. */
MUST_CHECK enum status trial_create(const struct rule_set *rules, struct trial **out);
void trial_destroy(struct trial *trial); /* NULL is fine */

void trial_judge(struct trial *trial, const struct record *record, uint64_t now_ns,
                 struct trial_outcome *out);

/* A copy of a record in memory of one's own: bytes that lie in the value stay in the value, for
 * what is overwritten there is overwritten in them. */
struct record_copy {
    uint8_t *memory;
    size_t capacity_bytes;
    struct record_header headers[RECORD_HEADERS_MAX];
    struct record record;
};
void record_copy_take(struct record_copy *copy, const struct record *from);
void record_copy_deinit(struct record_copy *copy); /* {0} is empty */

/* Times of records for rate limits: what a record's timestamp says, never back; without one, the
 * last one's. {0} is before the first. */
struct trial_clock {
    bool begun;
    int64_t first_ms;
    uint64_t now_ns;
};
uint64_t trial_clock_at(struct trial_clock *clock, bool has_timestamp, int64_t timestamp_ms);

END_C_DECLS
