#include "base/large_array.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const size_t page_bytes = 2 << 20;

void *large_array_create(size_t count, size_t item_bytes)
{
    if (item_bytes > 0 && count > (SIZE_MAX - page_bytes) / item_bytes) { return NULL; }
    const size_t wanted_bytes = count * item_bytes;
    const bool large = wanted_bytes >= page_bytes;
    const size_t unit_bytes = large ? page_bytes : CACHE_PAIR_BYTES;
    const size_t bytes = (wanted_bytes / unit_bytes + 1) * unit_bytes;
    void *const at = aligned_alloc(unit_bytes, bytes);
    if (at == NULL) { return NULL; }
    if (large) { (void)madvise(at, bytes, MADV_HUGEPAGE); } /* a wish: small pages do, slower */
    memset(at, 0, bytes);
    return at;
}
