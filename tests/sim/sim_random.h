/* sim_random.h - the simulator's one source of chance: splitmix64, a state a stream.
 *
 * Each simulated thing draws from a stream of its own, so that one more draw in one of them changes
 * nothing in another. Not for secrets. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/random.h"

BEGIN_C_DECLS

enum { SIM_PPM = 1000 * 1000 }; /* chances are in parts per million */

/* 0 to count - 1; the bias of a modulo does no harm here. */
static inline uint64_t sim_random_below(struct random *random, uint64_t count)
{
    assert(count > 0);
    return random_u64(random) % count;
}

/* min to max, both included. */
static inline uint64_t sim_random_between(struct random *random, uint64_t min, uint64_t max)
{
    assert(min <= max && max - min < UINT64_MAX);
    return min + sim_random_below(random, max - min + 1);
}

/* Draws also where the answer is certain: a fault that is switched off shifts no stream. */
static inline bool sim_random_chance(struct random *random, uint32_t ppm)
{
    return sim_random_below(random, SIM_PPM) < ppm;
}

END_C_DECLS
