/* random.h - numbers that look random and are the same in every run of a seed.
 *
 * For tests, simulators and jitter. Whoever sees a few can say the next: a secret comes from
 * entropy.h. splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
 * 2014): 64 bits of state, a period of 2^64, and every seed is as good as another.
 *
 * Threads  One owner; nothing here is atomic. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

struct random {
    uint64_t state;
};

struct random random_seed(uint64_t seed);

uint64_t random_u64(struct random *random);

/* 0 .. limit - 1, each equally likely; `limit` > 0 is asserted. */
uint64_t random_below(struct random *random, uint64_t limit);

/* True `numerator` times in `denominator`; never for 0, always from `denominator` on. */
bool random_chance(struct random *random, uint64_t numerator, uint64_t denominator);

END_C_DECLS
