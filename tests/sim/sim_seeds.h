/* sim_seeds.h - which seeds a simulation runs: PENSTOCK_SIM_SEEDS=first..last, or those that every
 * build runs. ./tools/sim sets it. */
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

inline std::vector<uint64_t> SimSeeds(uint64_t count)
{
    uint64_t first = 0;
    uint64_t last = count - 1;
    const char *const asked = std::getenv("PENSTOCK_SIM_SEEDS");
    if (asked != nullptr) {
        char *end;
        first = std::strtoull(asked, &end, 10);
        last = std::strncmp(end, "..", 2) == 0 ? std::strtoull(end + 2, nullptr, 10) : first;
    }
    std::vector<uint64_t> seeds;
    for (uint64_t seed = first; seed <= last; seed++) { seeds.push_back(seed); }
    return seeds;
}
