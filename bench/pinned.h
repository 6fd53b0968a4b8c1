/* pinned.h - something to run on one CPU, without DPDK.
 *
 * Threads  The caller sleeps meanwhile, so that with two CPUs the other one is the helpers'. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

/* The last CPU that we may use, and the first (the same one when there is no other). */
uint32_t pinned_core_last(void);
uint32_t pinned_core_first(void);

/* Runs `body` on a thread of its own, pinned to `core`, and waits for its end. */
MUST_CHECK enum status pinned_run(uint32_t core, int (*body)(void *argument), void *argument);

END_C_DECLS
