#include "base/arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"

enum { ARENA_BLOCK_BYTES = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used_bytes;
    size_t capacity_bytes;
    max_align_t memory[];
};

void *arena_take(struct arena *arena, size_t count, size_t item_bytes)
{
    size_t len_bytes;
    const bool wraps = __builtin_mul_overflow(count, item_bytes, &len_bytes) ||
                       __builtin_add_overflow(len_bytes, sizeof(max_align_t) - 1, &len_bytes);
    assert(!wraps);
    const size_t whole_bytes = len_bytes & ~(sizeof(max_align_t) - 1);
    struct arena_block *block = arena->blocks;
    if (block == NULL || whole_bytes > block->capacity_bytes - block->used_bytes) {
        const size_t capacity_bytes =
            whole_bytes > ARENA_BLOCK_BYTES ? whole_bytes : ARENA_BLOCK_BYTES;
        block = allocate_zeroed(1, sizeof *block + capacity_bytes);
        block->capacity_bytes = capacity_bytes;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *const out = (char *)block->memory + block->used_bytes;
    block->used_bytes += whole_bytes;
    return out;
}

const char *arena_keep_text(struct arena *arena, const char *text, size_t len_bytes)
{
    char *const copy = arena_take(arena, len_bytes + 1, 1);
    memcpy(copy, text, len_bytes);
    return copy; /* what is taken is zeroed: the end mark is there */
}

void arena_deinit(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks; block != NULL;) {
        struct arena_block *const next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
}
