#include "base/allocate.h"

#include <stdlib.h>
#include <string.h>

#include "base/logger.h"

static void *present(void *memory)
{
    if (memory != NULL) { return memory; }
    log_error("out of memory");
    abort();
}

void *allocate_zeroed(size_t count, size_t item_bytes)
{
    return present(calloc(count > 0 ? count : 1, item_bytes > 0 ? item_bytes : 1));
}

void *allocate_again(void *old, size_t count, size_t item_bytes)
{
    return present(reallocarray(old, count > 0 ? count : 1, item_bytes));
}

char *allocate_text(const char *text) { return present(strdup(text)); }
