#include "base/random.h"

#include "base/invariant.h"

struct random random_seed(uint64_t seed)
{
    const struct random random = {seed};
    return random;
}

uint64_t random_u64(struct random *random)
{
    uint64_t mixed = random->state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

/* Lemire, "Fast random integer generation in an interval" (2019): the high half of number * limit.
 * Of the 2^64 numbers, 2^64 % limit are drawn again, so that each answer has equally many. */
uint64_t random_below(struct random *random, uint64_t limit)
{
    assert(limit > 0);
    const uint64_t surplus = (0 - limit) % limit;
    unsigned __int128 product;
    do {
        product = (unsigned __int128)random_u64(random) * limit;
    } while ((uint64_t)product < surplus);
    return (uint64_t)(product >> 64);
}

bool random_chance(struct random *random, uint64_t numerator, uint64_t denominator)
{
    return random_below(random, denominator) < numerator;
}
