#include "dataplane/cookie.h"

#include <string.h>

#include "base/clock.h"
#include "base/endian.h"

static const uint64_t slot_ns = UINT64_C(10) * NS_PER_S;

static struct native_cookie cookie_of(const struct cookie_key *key, const struct udp_path *path,
                                      uint64_t nonce, uint32_t slot)
{
    uint8_t covered[24];
    store_le32(covered, slot);
    store_le64(covered + 4, nonce);
    store_le32(covered + 12, path->peer_address);
    store_le32(covered + 16, path->our_address);
    store_le16(covered + 20, path->peer_port);
    store_le16(covered + 22, path->our_port);

    struct native_cookie out = {{0}};
    const struct bytes input = bytes_of(covered, sizeof covered);
    store_le32(out.bytes, slot);
    store_le64(out.bytes + 8, siphash24(&key->halves[0], input));
    store_le64(out.bytes + 16, siphash24(&key->halves[1], input));
    return out;
}

struct native_cookie cookie_mint(const struct cookie_key *key, const struct udp_path *path,
                                 uint64_t nonce, uint64_t now_ns)
{
    return cookie_of(key, path, nonce, (uint32_t)(now_ns / slot_ns));
}

bool cookie_is_good(const struct cookie_key *key, const struct udp_path *path, uint64_t nonce,
                    const struct native_cookie *cookie, uint64_t now_ns)
{
    const uint32_t now_slot = (uint32_t)(now_ns / slot_ns);
    const uint32_t slot = load_le32(cookie->bytes);
    if (now_slot - slot > 1) { return false; }
    const struct native_cookie right = cookie_of(key, path, nonce, slot);
    uint8_t difference = 0; /* in constant time: how far a guess was right is nobody's affair */
    for (size_t i = 0; i < NATIVE_COOKIE_BYTES; i++) {
        difference |= (uint8_t)(right.bytes[i] ^ cookie->bytes[i]);
    }
    return difference == 0;
}
