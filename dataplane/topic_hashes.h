/* topic_hashes.h - the topic that a native record names by the CRC-32C of its name.
 *
 * Made from the configuration before workers start; then read-only and shared by all of them.
 * Loading refuses two topics with the same hash. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/status.h"

BEGIN_C_DECLS

enum { TOPIC_HASHES_SLOTS = 2048 }; /* at most half full: CONFIG_TOPICS_MAX */

struct topic_hashes {
    struct {
        uint32_t hash;
        int32_t topic; /* index in the configuration, -1: an empty slot */
    } slots[TOPIC_HASHES_SLOTS];
};

void topic_hashes_init(struct topic_hashes *hashes, const struct config *config);

/* -1: no topic has this hash. */
static inline int32_t topic_hashes_find(const struct topic_hashes *hashes, uint32_t hash)
{
    uint32_t slot = hash % TOPIC_HASHES_SLOTS;
    while (hashes->slots[slot].topic >= 0 && hashes->slots[slot].hash != hash) {
        slot = (slot + 1) % TOPIC_HASHES_SLOTS;
    }
    return hashes->slots[slot].topic;
}

END_C_DECLS
