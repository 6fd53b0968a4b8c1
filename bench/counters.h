/* counters.h - instructions and cycles of this thread alone, in user mode, from the CPU's counters.
 *
 * What another process took of the core is not in them: the figures of a busy machine that can be
 * compared from run to run. Zero where the kernel gives no counters (perf_event_paranoid, most
 * virtual machines). Owns two descriptors. Threads: the one that calls begin also calls end. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

struct counters {
    int instructions_file; /* -1: there is none */
    int cycles_file;
};

struct counted {
    uint64_t instructions;
    uint64_t cycles;
};

void counters_begin(struct counters *counters);
/* Since begin; a system call. */
struct counted counters_now(const struct counters *counters);
struct counted counters_end(struct counters *counters);

END_C_DECLS
