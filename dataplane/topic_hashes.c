#include "dataplane/topic_hashes.h"

#include <assert.h>

#include "wire/native.h"

static_assert((int)CONFIG_TOPICS_MAX <= TOPIC_HASHES_SLOTS / 2, "probing ends at an empty slot");

void topic_hashes_init(struct topic_hashes *hashes, const struct config *config)
{
    for (size_t i = 0; i < TOPIC_HASHES_SLOTS; i++) { hashes->slots[i].topic = -1; }
    for (size_t i = 0; i < config->topic_count; i++) {
        const uint32_t hash = native_topic_hash(bytes_of_text(config->topics[i].name));
        uint32_t slot = hash % TOPIC_HASHES_SLOTS;
        while (hashes->slots[slot].topic >= 0) { slot = (slot + 1) % TOPIC_HASHES_SLOTS; }
        hashes->slots[slot].hash = hash;
        hashes->slots[slot].topic = (int32_t)i;
    }
}
