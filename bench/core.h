/* core.h - the worker's core: something to run on it, and what others took of it.
 *
 * Threads  The main lcore. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    /* Completing the worker's own durable writes takes 1 to 4 % of its core here: that is its own.
     */
    CORE_AWAY_PERCENT_MAX = 5,
};

/* Runs `body` on worker 0's core and waits. */
MUST_CHECK enum status core_run(int (*body)(void *argument), void *argument);

/* Steal time of a CPU, ever. */
uint64_t core_stolen_ns(uint32_t core);

END_C_DECLS
