/* arena.h - many small pieces that go at once: the memory of one reading of one file.
 *
 * Owns     Every piece it gave out, until arena_deinit. Threads: one at a time; cold code only.
 * Errors   None: being out of memory ends the process (allocate.h). Whoever reads for an outsider
 *          bounds how much is taken. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"

BEGIN_C_DECLS

struct arena_block; /* in arena.c */

struct arena {
    struct arena_block *blocks; /* zeroes are an empty arena */
};

/* Zeroed, aligned for anything; never NULL, also for 0 bytes. */
MUST_CHECK void *arena_take(struct arena *arena, size_t count, size_t item_bytes);

/* A copy, with an end mark behind it. */
MUST_CHECK const char *arena_keep_text(struct arena *arena, const char *text, size_t len_bytes);

/* Empty again; what it gave out is gone. */
void arena_deinit(struct arena *arena);

END_C_DECLS
