#include "nic/steering.h"

#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"

/* Where the parts of a flow lie in what is hashed. */
enum {
    SOURCE_ADDRESS_BIT = 0,
    TARGET_ADDRESS_BIT = 32,
    SOURCE_PORT_BIT = 64,
    TARGET_PORT_BIT = 80,
};

bool steering_init(struct steering *steering, struct bytes key, const uint16_t *queues,
                   size_t entry_count)
{
    if (key.len_bytes < STEERING_KEY_BYTES) { return false; }
    if (entry_count == 0 || entry_count > STEERING_ENTRIES_MAX) { return false; }
    if ((entry_count & (entry_count - 1)) != 0) { return false; }

    memset(steering, 0, sizeof *steering);
    memcpy(steering->key, key.at, STEERING_KEY_BYTES);
    memcpy(steering->queues, queues, entry_count * sizeof *queues);
    steering->entry_count = entry_count;
    return true;
}

/* The 32 bits of the key from bit `first` on: what a bit of the input there adds to the hash. */
static uint32_t key_window(const uint8_t *key, size_t first)
{
    return (uint32_t)(load_be64(key + first / 8) << (first % 8) >> 32);
}

/* What `width` bits of input at bit `first` add. The hash is linear: the whole one is the XOR of
 * its parts', so a search hashes the port alone again. */
static uint32_t hash_of_part(const uint8_t *key, size_t first, uint32_t value, size_t width)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < width; i++) {
        if ((value >> (width - 1 - i) & 1) != 0) { hash ^= key_window(key, first + i); }
    }
    return hash;
}

static uint32_t hash_of_source_port(const struct steering *steering, uint16_t port)
{
    return hash_of_part(steering->key, SOURCE_PORT_BIT, port, 16);
}

uint32_t steering_hash(const struct steering *steering, const struct udp_flow *flow)
{
    return hash_of_part(steering->key, SOURCE_ADDRESS_BIT, flow->source_address, 32) ^
           hash_of_part(steering->key, TARGET_ADDRESS_BIT, flow->target_address, 32) ^
           hash_of_source_port(steering, flow->source_port) ^
           hash_of_part(steering->key, TARGET_PORT_BIT, flow->target_port, 16);
}

static uint16_t queue_of_hash(const struct steering *steering, uint32_t hash)
{
    assert_hot(steering->entry_count > 0);
    return steering->queues[hash & (steering->entry_count - 1)];
}

uint16_t steering_queue(const struct steering *steering, const struct udp_flow *flow)
{
    return queue_of_hash(steering, steering_hash(steering, flow));
}

bool steering_find_source_port(const struct steering *steering, const struct udp_flow *flow,
                               uint16_t wanted_queue, uint16_t *out_port)
{
    if (steering == NULL) { return false; }
    const uint32_t hash = steering_hash(steering, flow);
    if (queue_of_hash(steering, hash) == wanted_queue) {
        *out_port = flow->source_port;
        return true;
    }

    const uint32_t rest = hash ^ hash_of_source_port(steering, flow->source_port);
    for (uint32_t i = 0; i < STEERING_TRIES_MAX; i++) {
        /* STEERING_PORT_MIN is a multiple of STEERING_PORTS: a dynamic port starts at itself. */
        const uint16_t port =
            (uint16_t)(STEERING_PORT_MIN + (flow->source_port + i) % STEERING_PORTS);
        if (queue_of_hash(steering, rest ^ hash_of_source_port(steering, port)) == wanted_queue) {
            *out_port = port;
            return true;
        }
    }
    return false;
}
