/* fence_set.h - batches whose checksum does not hold on the disk: passed over, and named once.
 *
 * Purpose  Rot is fenced off to the exact batch, and what lies before and behind it is served.
 *          Remembering it saves the disk a read at every look, and the log a line.
 * Owns     The newest FENCES_MAX of them; an older one that is met again is named again.
 * Threads  The event loop. Zeroed memory is an empty set. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "storage/reader.h"

BEGIN_C_DECLS

enum { FENCES_MAX = 256 };

struct fence_set {
    struct batch_location fences[FENCES_MAX];
    size_t count;
    size_t oldest; /* the next one to go, once all are in use */
};

bool fence_set_holds(const struct fence_set *set, const struct batch_location *location);

/* Adds one that is not there yet, and says so to the operator. */
void fence_set_add(struct fence_set *set, const struct batch_location *location, const char *topic);

END_C_DECLS
