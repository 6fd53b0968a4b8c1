/* fate.h - what a bad wire does to a frame: chance, but the same chance for the same seed.
 *
 * The fate of a frame depends on the seed and on the frame's number alone: not on what became of
 * the frames before it, nor on what else the wire does wrong. Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { FATE_OVERTAKERS_MAX = 16 };

enum fault {
    FAULT_DROP,
    FAULT_REPEAT,
    FAULT_REORDER,
    FAULT_CORRUPT,
    FAULT_COUNT,
};

struct impairment {
    double share[FAULT_COUNT]; /* of all frames, from 0 to 1, each independent of the others */
    uint64_t delay_ns;         /* of every frame */
};

struct fate {
    bool is_dropped; /* then nothing else happens to it */
    bool is_repeated;
    bool is_corrupted;
    uint32_t overtakers;   /* so many following frames go first; 0: it is not held back */
    uint32_t corrupt_draw; /* chooses the bit that flips */
};

struct fate fate_of(const struct impairment *impairment, uint64_t seed, uint64_t number);
