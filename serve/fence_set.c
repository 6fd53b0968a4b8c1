#include "serve/fence_set.h"

#include <assert.h>
#include <inttypes.h>

#include "base/logger.h"
#include "serve/block_cache.h"

bool fence_set_holds(const struct fence_set *set, const struct batch_location *location)
{
    for (size_t i = 0; i < set->count; i++) {
        if (batch_location_equal(&set->fences[i], location)) { return true; }
    }
    return false;
}

void fence_set_add(struct fence_set *set, const struct batch_location *location, const char *topic)
{
    assert(!fence_set_holds(set, location));
    if (set->count < FENCES_MAX) {
        set->fences[set->count++] = *location;
    } else {
        set->fences[set->oldest] = *location;
        set->oldest = (set->oldest + 1) % FENCES_MAX;
    }
    log_error("part-%04u segment %" PRIu64 " is damaged: the %u bytes at %" PRIu64
              " do not match their checksum, read twice; offsets %" PRIu64 " to %" PRIu64
              " of topic %s are passed over and all others served; check the disk (smartctl) and "
              "run `penstock log verify`",
              location->partition, location->segment_number, location->length_bytes,
              location->position, location->base_offset, location->next_offset - 1, topic);
}
