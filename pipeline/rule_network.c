#include "pipeline/rule_network.h"

#include <string.h>

#include "base/invariant.h"

bool rule_network_has(const struct rule_network *network, const uint8_t address[16])
{
    assert_hot(network->prefix_bits <= 128);
    const size_t whole_bytes = network->prefix_bits / 8;
    const unsigned rest_bits = network->prefix_bits % 8;
    if (memcmp(network->address, address, whole_bytes) != 0) { return false; }
    if (rest_bits == 0) { return true; }
    return (network->address[whole_bytes] ^ address[whole_bytes]) >> (8 - rest_bits) == 0;
}
