/* cycles.h - the core's own cycle counter: what a stage costs, never what time it is.
 *
 * x86: the TSC; AArch64: the generic timer. Both tick at a constant rate on the machines we run on;
 * cycles_per_second measures it against CLOCK_MONOTONIC. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

static inline uint64_t cycles_now(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
#error "no cycle counter known for this machine"
#endif
}

/* Takes about 20 ms: cold. */
uint64_t cycles_per_second(void);

END_C_DECLS
