#include "base/cycles.h"

#include "base/clock.h"

uint64_t cycles_per_second(void)
{
    enum { SAMPLE_NS = 20 * NS_PER_MS };
    const uint64_t began_ns = clock_mono_ns();
    const uint64_t began = cycles_now();
    uint64_t now_ns = began_ns;
    while (now_ns - began_ns < SAMPLE_NS) { now_ns = clock_mono_ns(); }
    const uint64_t spent = cycles_now() - began;
    return (uint64_t)((double)spent * 1e9 / (double)(now_ns - began_ns));
}
