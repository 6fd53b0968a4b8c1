#include "pipeline/rule_network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/random.h"

namespace {

using Address = std::array<uint8_t, 16>;

Address AddressOf(const std::string &text)
{
    Address address = {};
    const bool ipv4 = text.find(':') == std::string::npos;
    EXPECT_EQ(inet_pton(AF_INET6, (ipv4 ? "::ffff:" + text : text).c_str(), address.data()), 1);
    return address;
}

bool Has(const std::string &network, uint8_t prefix_bits, const std::string &address)
{
    struct rule_network in = {};
    memcpy(in.address, AddressOf(network).data(), 16);
    in.prefix_bits = prefix_bits;
    return rule_network_has(&in, AddressOf(address).data());
}

TEST(RuleNetwork, HoldsTheAddressesThatShareItsPrefix)
{
    EXPECT_TRUE(Has("10.0.0.0", 104, "10.255.255.255"));
    EXPECT_FALSE(Has("10.0.0.0", 104, "11.0.0.0"));
    EXPECT_TRUE(Has("192.0.2.128", 121, "192.0.2.255"));
    EXPECT_FALSE(Has("192.0.2.128", 121, "192.0.2.127"));
    EXPECT_TRUE(Has("2001:db8::", 32, "2001:db8:ffff::1"));
    EXPECT_FALSE(Has("2001:db8::", 32, "2001:db9::1"));
    EXPECT_TRUE(Has("2001:db8::1", 128, "2001:db8::1"));
    EXPECT_FALSE(Has("2001:db8::1", 128, "2001:db8::"));
    EXPECT_TRUE(Has("::", 0, "255.255.255.255"));
}

TEST(RuleNetwork, TellsIpv4FromIpv6)
{
    EXPECT_TRUE(Has("0.0.0.0", 96, "1.2.3.4"));
    EXPECT_FALSE(Has("0.0.0.0", 96, "2001:db8::1"));
}

// How many bits in front are the same, a bit at a time.
unsigned CommonBits(const Address &left, const Address &right)
{
    unsigned bits = 0;
    while (bits < 128 && ((left[bits / 8] ^ right[bits / 8]) >> (7 - bits % 8) & 1) == 0) {
        bits++;
    }
    return bits;
}

TEST(RuleNetwork, AgreesWithABitwiseComparisonForEveryPrefix)
{
    struct random random = random_seed(1);
    for (int i = 0; i < 2000; i++) {
        struct rule_network network = {};
        for (uint8_t &byte : network.address) { byte = (uint8_t)random_u64(&random); }
        Address address;
        memcpy(address.data(), network.address, 16);
        address[random_below(&random, 16)] ^= (uint8_t)(1U << random_below(&random, 8));
        Address own;
        memcpy(own.data(), network.address, 16);
        for (unsigned bits = 0; bits <= 128; bits++) {
            network.prefix_bits = (uint8_t)bits;
            ASSERT_EQ(rule_network_has(&network, address.data()), CommonBits(own, address) >= bits);
        }
    }
}

} // namespace
