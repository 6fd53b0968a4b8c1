/* cookie.h - proof that a producer receives at the address it claims, without keeping state.
 *
 * Format   24 bytes: u32 slot | u32 zero | u64 u64 SipHash-2-4 under two keys, over slot, nonce,
 * both addresses and ports (docs/protocol.md, 4.1). A slot is 10 seconds; a cookie holds in its own
 * and the next one. Threads  Any; the key is immutable. Time comes in as an argument. Source   The
 * idea is RFC 9000's Retry token (8.1.2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/siphash.h"
#include "nic/udp_path.h"
#include "wire/native.h"

BEGIN_C_DECLS

struct cookie_key {
    struct siphash_key halves[2];
};

struct native_cookie cookie_mint(const struct cookie_key *key, const struct udp_path *path,
                                 uint64_t nonce, uint64_t now_ns);

bool cookie_is_good(const struct cookie_key *key, const struct udp_path *path, uint64_t nonce,
                    const struct native_cookie *cookie, uint64_t now_ns);

END_C_DECLS
