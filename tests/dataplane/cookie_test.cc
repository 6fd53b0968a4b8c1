#include "dataplane/cookie.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/clock.h"

namespace {

constexpr uint64_t kSlot = UINT64_C(10) * NS_PER_S;
constexpr uint64_t kNonce = 0x1234567890;

class Cookie : public testing::Test {
  protected:
    bool Holds(const struct native_cookie &cookie, uint64_t now_ns) const
    {
        return cookie_is_good(&key_, &path_, kNonce, &cookie, now_ns);
    }

    struct cookie_key key_ = {{{{1, 2, 3}}, {{4, 5, 6}}}};
    struct udp_path path_ = {
        .peer_mac = {},
        .our_mac = {},
        .vlan = {},
        .peer_address = 0xc0000201,
        .our_address = 0xc000020a,
        .peer_port = 40000,
        .our_port = 4650,
    };
};

TEST_F(Cookie, HoldsInItsSlotAndTheNextOne)
{
    const uint64_t minted_ns = 5 * kSlot;
    const struct native_cookie cookie = cookie_mint(&key_, &path_, kNonce, minted_ns);

    EXPECT_TRUE(Holds(cookie, minted_ns));
    EXPECT_TRUE(Holds(cookie, minted_ns + 2 * kSlot - 1));
    EXPECT_FALSE(Holds(cookie, minted_ns + 2 * kSlot));
    EXPECT_FALSE(Holds(cookie, minted_ns - 1)); // of the future
}

TEST_F(Cookie, MintedAtTheEndOfASlotHoldsTenSeconds)
{
    const uint64_t minted_ns = 6 * kSlot - 1;
    const struct native_cookie cookie = cookie_mint(&key_, &path_, kNonce, minted_ns);

    EXPECT_TRUE(Holds(cookie, minted_ns + kSlot));
    EXPECT_FALSE(Holds(cookie, minted_ns + kSlot + 1));
}

TEST_F(Cookie, EachBitOfItCounts)
{
    const struct native_cookie cookie = cookie_mint(&key_, &path_, kNonce, 0);
    for (size_t bit = 0; bit < 8 * sizeof cookie.bytes; bit++) {
        struct native_cookie wrong = cookie;
        wrong.bytes[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
        EXPECT_FALSE(Holds(wrong, 0)) << "bit " << bit;
    }
    EXPECT_TRUE(Holds(cookie, 0));
}

TEST_F(Cookie, IsForOnePairOfAddressesOneNonceAndOneKey)
{
    const struct native_cookie cookie = cookie_mint(&key_, &path_, kNonce, 0);
    const struct udp_path right = path_;

    path_.peer_address ^= 1;
    EXPECT_FALSE(Holds(cookie, 0));
    path_ = right;
    path_.our_address ^= 1;
    EXPECT_FALSE(Holds(cookie, 0));
    path_ = right;
    path_.peer_port ^= 1;
    EXPECT_FALSE(Holds(cookie, 0));
    path_ = right;
    path_.our_port ^= 1;
    EXPECT_FALSE(Holds(cookie, 0));
    path_ = right;
    EXPECT_FALSE(cookie_is_good(&key_, &path_, kNonce + 1, &cookie, 0));
    struct cookie_key other = key_;
    other.halves[0].bytes[15] ^= 1;
    EXPECT_FALSE(cookie_is_good(&other, &path_, kNonce, &cookie, 0));
    other = key_;
    other.halves[1].bytes[15] ^= 1;
    EXPECT_FALSE(cookie_is_good(&other, &path_, kNonce, &cookie, 0));
}

TEST_F(Cookie, TheRouterInBetweenMayChange)
{
    const struct native_cookie cookie = cookie_mint(&key_, &path_, kNonce, 0);
    path_.peer_mac.bytes[0] = 0x42;

    EXPECT_TRUE(Holds(cookie, 0));
}

} // namespace
