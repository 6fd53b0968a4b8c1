/* sim_random.h - the simulator's one source of chance: splitmix64, a state a stream.
 *
 * Each simulated thing draws from a stream of its own, so that one more draw in one of them changes
 * nothing in another. Not for secrets. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { SIM_PPM = 1000 * 1000 }; /* chances are in parts per million */

struct sim_random {
    uint64_t state; /* any value is a seed */
};

static inline uint64_t sim_random_next(struct sim_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* 0 to count - 1; the bias of a modulo does no harm here. */
static inline uint64_t sim_random_below(struct sim_random *random, uint64_t count)
{
    assert(count > 0);
    return sim_random_next(random) % count;
}

/* min to max, both included. */
static inline uint64_t sim_random_between(struct sim_random *random, uint64_t min, uint64_t max)
{
    assert(min <= max && max - min < UINT64_MAX);
    return min + sim_random_below(random, max - min + 1);
}

/* Draws also where the answer is certain: a fault that is switched off shifts no stream. */
static inline bool sim_random_chance(struct sim_random *random, uint32_t ppm)
{
    return sim_random_below(random, SIM_PPM) < ppm;
}

END_C_DECLS
