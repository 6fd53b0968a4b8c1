/* large_array.h - memory of many megabytes that is looked at here and there.
 *
 * On large pages where the kernel gives them (transparent_hugepage: madvise or always): a table of
 * 100,000 lanes on pages of 4 KiB is more pages than a TLB knows, and each look at it costs a walk
 * of page tables beside the miss, two of them in a virtual machine.
 *
 * Cold; any thread. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"

BEGIN_C_DECLS

/* Zeroed, every page touched, aligned to CACHE_PAIR_BYTES at least; NULL: no memory. Goes to
 * free(). */
MUST_CHECK void *large_array_create(size_t count, size_t item_bytes);

END_C_DECLS
