#include "nic/ip.h"

#include <gtest/gtest.h>

#include "tests/nic/frames.h"

namespace {

using namespace frames;

enum ipv4_result Parse(const Bytes &bytes, struct ipv4_packet *out)
{
    return ipv4_parse(bytes_of(bytes.data(), bytes.size()), out);
}

TEST(Ipv4, ReadsWhatItWrote)
{
    uint8_t memory[64] = {};
    struct sink sink = sink_into(memory, sizeof memory);
    struct ipv4_packet packet = {};

    ipv4_write(&sink, OUR_ADDRESS, THEIR_ADDRESS, IPV4_PROTOCOL_UDP, 3);
    sink_bytes(&sink, bytes_of_text("abc"));

    ASSERT_EQ(ipv4_parse(sink_written(&sink), &packet), IPV4_OK);
    EXPECT_TRUE(ipv4_checksum_is_good(&packet));
    EXPECT_EQ(packet.source_address, OUR_ADDRESS);
    EXPECT_EQ(packet.target_address, THEIR_ADDRESS);
    EXPECT_EQ(packet.protocol, IPV4_PROTOCOL_UDP);
    EXPECT_FALSE(packet.fragment);
    EXPECT_TRUE(bytes_equal_text(packet.payload, "abc"));
}

TEST(Ipv4, WritesNothingWhereTheHeaderDoesNotFit)
{
    uint8_t memory[19] = {};
    struct sink sink = sink_into(memory, sizeof memory);

    ipv4_write(&sink, OUR_ADDRESS, THEIR_ADDRESS, IPV4_PROTOCOL_UDP, 0);

    EXPECT_TRUE(sink.overflowed);
    EXPECT_EQ(sink_used_bytes(&sink), 0U);
}

TEST(Ipv4, CoversItsOptionsWithTheChecksum)
{
    Ip ip;
    ip.options = {1, 1, 1, 1};
    Bytes bytes = InIp({'a'}, ip);
    struct ipv4_packet packet = {};

    ASSERT_EQ(Parse(bytes, &packet), IPV4_OK);
    EXPECT_EQ(packet.header.len_bytes, 24U);
    EXPECT_TRUE(ipv4_checksum_is_good(&packet));
    bytes[20] = 0;
    EXPECT_FALSE(ipv4_checksum_is_good(&packet));
}

TEST(Ipv4, TakesTheLongestHeaderWithNothingBehindIt)
{
    Ip ip;
    ip.options.assign(40, 0);
    struct ipv4_packet packet = {};

    ASSERT_EQ(Parse(InIp({}, ip), &packet), IPV4_OK);
    EXPECT_EQ(packet.payload.len_bytes, 0U);
}

TEST(Ipv4, RefusesATotalLengthOneOff)
{
    Ip one_less;
    Ip one_more;
    one_less.total_bytes = 19;
    one_more.total_bytes = 24;
    struct ipv4_packet packet = {};

    EXPECT_EQ(Parse(InIp({1, 2, 3}, one_less), &packet), IPV4_BAD_TOTAL_LENGTH);
    EXPECT_EQ(Parse(InIp({1, 2, 3}, one_more), &packet), IPV4_TRUNCATED);
}

} // namespace
