/* record_digest.h - what a producer's running hash takes of a record, from the record as stored.
 *
 * Source   docs/protocol.md, section 3; docs/log-format.md, "Lanes".
 * Owns     One buffer, which grows to the largest record. Threads: one at a time; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wire/native.h"
#include "wire/record_batch.h"

BEGIN_C_DECLS

struct record_digest {
    uint8_t *body; /* a record's, encoded */
    size_t body_bytes;
};

void record_digest_deinit(struct record_digest *digest); /* {0} is empty */

/* d of the record. Takes its headers. False: headers that no producer can have sent. */
MUST_CHECK bool record_digest_of(struct record_digest *digest, struct record_batch_record *record,
                                 uint32_t *out);

/* hash -> hash * factor + sum, over some records in a row. */
struct hash_fold {
    uint64_t factor;
    uint64_t sum;
};

static inline struct hash_fold hash_fold_none(void)
{
    const struct hash_fold fold = {1, 0};
    return fold;
}

/* One more record; `share` is d + 1, or 0 for one whose share is added otherwise. */
static inline void hash_fold_add(struct hash_fold *fold, uint64_t share)
{
    fold->factor *= NATIVE_HASH_FACTOR;
    fold->sum = fold->sum * NATIVE_HASH_FACTOR + share;
}

static inline uint64_t hash_fold_apply(struct hash_fold fold, uint64_t hash)
{
    return hash * fold.factor + fold.sum;
}

END_C_DECLS
