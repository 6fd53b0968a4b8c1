/* allocate.h - memory for cold start-up code: there, being out of memory ends the process.
 *
 * Reading a configuration has no sensible answer to a failed malloc of a few bytes, and a branch
 * that no test can reach is worth less than a clear last line. Nothing on a polling core, and
 * nothing whose size an outsider chooses, allocates through here. Everything returned goes to
 * free(). */
#pragma once

#include <stddef.h>

#include "base/compiler.h"

BEGIN_C_DECLS

/* Zeroed; never NULL, also for 0 bytes. */
MUST_CHECK void *allocate_zeroed(size_t count, size_t item_bytes);

/* realloc for `count` items; what is new is not zeroed. */
MUST_CHECK void *allocate_again(void *old, size_t count, size_t item_bytes);

MUST_CHECK char *allocate_text(const char *text);

END_C_DECLS
