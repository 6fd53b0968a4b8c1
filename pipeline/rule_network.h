/* rule_network.h - whether an address lies in a network: `{ field: source, in: 10.0.0.0/8 }`.
 *
 * Threads  Any; plain values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

/* Whether the first prefix_bits of both are the same. IPv4 addresses are mapped in both. */
bool rule_network_has(const struct rule_network *network, const uint8_t address[16]);

END_C_DECLS
