/* siphash.h - SipHash-2-4: a keyed 64-bit sum of bytes that an attacker chooses.
 *
 * For hash tables whose keys come from the network and for short authenticators (handshake
 * cookies): whoever does not hold the key can neither aim for collisions nor guess a sum. After
 * Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). Against rot, crc32c.h
 * costs a fraction of it. Any thread. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum { SIPHASH_KEY_BYTES = 16 };

/* A secret: fill it by entropy_fill. */
struct siphash_key {
    uint8_t bytes[SIPHASH_KEY_BYTES];
};

uint64_t siphash24(const struct siphash_key *key, struct bytes bytes);

END_C_DECLS
