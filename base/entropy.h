/* entropy.h - unpredictable bytes from the kernel, for secrets and identities.
 *
 * getrandom(2): a system call, and before the kernel has gathered entropy at boot it waits; so
 * start-up and helper threads only, never a polling core. What only has to look random, and the
 * same in every run of a seed, is random.h's. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

/* Fills all of `out`. On any other status than STATUS_OK (a kernel or seccomp filter without the
 * call) its content means nothing: refuse to start rather than go on without a secret. */
MUST_CHECK enum status entropy_fill(void *out, size_t len_bytes);

END_C_DECLS
