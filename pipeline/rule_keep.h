/* rule_keep.h - `keep: 1/N`: which records are among the kept ones, by a hash and nothing else.
 *
 * Purpose  The same bytes are always judged the same, on every worker, node and version: the hash
 *          is a promise (docs/rules.md, "Sampling") that a consumer may compute itself.
 * Threads  Any; plain values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

/* FNV-1a of 64 bits (offset 0xcbf29ce484222325, prime 0x100000001b3), then x ^= x >> 32: the low
 * bits of FNV-1a alone know little of the bytes in front. */
uint64_t rule_keep_hash(struct bytes bytes);

/* Whether these bytes are kept: rule_keep_hash % one_in == 0. All are for 0 and 1. */
bool rule_keep(uint32_t one_in, struct bytes bytes);

END_C_DECLS
