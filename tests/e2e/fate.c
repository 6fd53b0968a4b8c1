#include "tests/e2e/fate.h"

#include <stddef.h>

/* Behind those that decide whether a fault happens, one for each fault. */
enum draw {
    DRAW_OVERTAKERS = FAULT_COUNT,
    DRAW_CORRUPT_BIT,
    DRAW_COUNT,
};

/* splitmix64 (Steele, Lea, Flood, 2014) read at one place of its sequence. */
static uint64_t random_at(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool happens(uint64_t random, double share)
{
    return (double)(random >> 11) * 0x1p-53 < share; /* 53 bits: what a double holds */
}

struct fate fate_of(const struct impairment *impairment, uint64_t seed, uint64_t number)
{
    uint64_t random[DRAW_COUNT];
    for (uint64_t draw = 0; draw < DRAW_COUNT; draw++) {
        random[draw] = random_at(seed, number * DRAW_COUNT + draw);
    }
    bool faults[FAULT_COUNT];
    for (size_t fault = 0; fault < FAULT_COUNT; fault++) {
        faults[fault] = happens(random[fault], impairment->share[fault]);
    }
    return (struct fate){
        .is_dropped = faults[FAULT_DROP],
        .is_repeated = faults[FAULT_REPEAT],
        .is_corrupted = faults[FAULT_CORRUPT],
        .overtakers = faults[FAULT_REORDER]
                          ? 1 + (uint32_t)(random[DRAW_OVERTAKERS] % FATE_OVERTAKERS_MAX)
                          : 0,
        .corrupt_draw = (uint32_t)random[DRAW_CORRUPT_BIT],
    };
}
