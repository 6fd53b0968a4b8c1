#include "nic/udp.h"

#include <gtest/gtest.h>

#include "tests/nic/frames.h"

namespace {

using namespace frames;

struct bytes Over(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }

TEST(UdpParse, FindsThePayload)
{
    const Bytes bytes = InUdp({'a', 'b'});
    struct udp_datagram out = {};

    ASSERT_EQ(udp_parse(Over(bytes), &out), UDP_OK);

    EXPECT_EQ(out.source_port, 40000);
    EXPECT_EQ(out.target_port, 5140);
    EXPECT_TRUE(bytes_equal_text(out.payload, "ab"));
}

TEST(UdpParse, RefusesALengthThatReachesPastThePacket)
{
    Udp udp;
    udp.len_bytes = 8 + 3;
    const Bytes bytes = InUdp({'a', 'b'}, udp);
    struct udp_datagram out = {};

    EXPECT_EQ(udp_parse(Over(bytes), &out), UDP_TRUNCATED);
}

TEST(UdpParse, RefusesALengthBelowItsHeader)
{
    Udp udp;
    udp.len_bytes = 7;
    const Bytes bytes = InUdp({}, udp);
    struct udp_datagram out = {};

    EXPECT_EQ(udp_parse(Over(bytes), &out), UDP_BAD_LENGTH);
}

// Made by another implementation: a query from 192.0.2.1:53 to 192.0.2.10:53, payload "abc".
TEST(UdpChecksum, AgreesWithAHandMadeDatagram)
{
    // 0xc000+0x0201+0xc000+0x020a+0x0011+0x000b + 0x0035+0x0035+0x000b+0x6162+0x6300 = 0x248fe
    const Bytes bytes = {0, 53, 0, 53, 0, 11, 0xb6, 0xff, 'a', 'b', 'c'};
    struct udp_datagram out = {};

    ASSERT_EQ(udp_parse(Over(bytes), &out), UDP_OK);

    EXPECT_TRUE(udp_checksum_is_good(&out, THEIR_ADDRESS, OUR_ADDRESS));
    EXPECT_FALSE(udp_checksum_is_good(&out, THEIR_ADDRESS + 1, OUR_ADDRESS));
}

TEST(UdpChecksum, IsGoodWhereThereIsNone)
{
    const Bytes bytes = {0, 53, 0, 53, 0, 9, 0, 0, 'a'};
    struct udp_datagram out = {};

    ASSERT_EQ(udp_parse(Over(bytes), &out), UDP_OK);

    EXPECT_FALSE(out.has_checksum);
    EXPECT_TRUE(udp_checksum_is_good(&out, THEIR_ADDRESS, OUR_ADDRESS));
}

} // namespace
