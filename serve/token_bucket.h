/* token_bucket.h - reads that are paid for later: one may overdraw the balance, the next waits
 * until it is positive again. A quarter of a second may be saved up. Threads: one a bucket. */
#pragma once

#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"

BEGIN_C_DECLS

struct token_bucket {
    uint64_t bytes_per_s; /* 0: no limit */
    int64_t balance_bytes;
    uint64_t refilled_ns;
};

static inline void token_bucket_init(struct token_bucket *bucket, uint64_t bytes_per_s,
                                     uint64_t now_ns)
{
    *bucket = (struct token_bucket){.bytes_per_s = bytes_per_s, .refilled_ns = now_ns};
}

static inline void token_bucket_take(struct token_bucket *bucket, uint64_t bytes)
{
    bucket->balance_bytes -= (int64_t)bytes;
}

/* How long until the next read may start; 0: now. */
static inline uint64_t token_bucket_wait_ns(struct token_bucket *bucket, uint64_t now_ns)
{
    if (bucket->bytes_per_s == 0) { return 0; }
    const uint64_t elapsed_ns = now_ns - bucket->refilled_ns;
    const double gained = (double)elapsed_ns * (double)bucket->bytes_per_s / NS_PER_S;
    const double most = (double)bucket->bytes_per_s / 4;
    const double balance = (double)bucket->balance_bytes + gained;
    bucket->balance_bytes = (int64_t)(balance < most ? balance : most);
    bucket->refilled_ns = now_ns;
    if (bucket->balance_bytes >= 0) { return 0; }
    const double owed = -(double)bucket->balance_bytes;
    return (uint64_t)(owed * NS_PER_S / (double)bucket->bytes_per_s) + 1;
}

END_C_DECLS
