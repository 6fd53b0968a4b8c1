#include "nic/ethernet.h"

#include <gtest/gtest.h>

#include "tests/nic/frames.h"

namespace {

using namespace frames;

TEST(Ethernet, ReadsWhatItWrote)
{
    uint8_t memory[64];
    struct sink sink = sink_into(memory, sizeof memory);
    struct ethernet_header header = {};
    struct ethernet_tag tag = {};

    ethernet_write(&sink, &OUR_MAC, &THEIR_MAC, {true, 0x0abc}, ETHERTYPE_ARP);

    ASSERT_EQ(sink_used_bytes(&sink), 18U);
    ASSERT_EQ(ethernet_parse(sink_written(&sink), &header), ETHERNET_OK);
    EXPECT_TRUE(mac_equal(&header.target, &OUR_MAC));
    EXPECT_TRUE(mac_equal(&header.source, &THEIR_MAC));
    ASSERT_EQ(header.ethertype, ETHERTYPE_VLAN);
    ASSERT_EQ(ethernet_parse_tag(header.payload, &tag), ETHERNET_OK);
    EXPECT_EQ(tag.vlan_id, 0x0abc);
    EXPECT_EQ(tag.ethertype, ETHERTYPE_ARP);
    EXPECT_EQ(tag.payload.len_bytes, 0U);
}

TEST(Ethernet, WantsFourteenBytes)
{
    const uint8_t frame[14] = {};
    struct ethernet_header header = {};

    EXPECT_EQ(ethernet_parse(bytes_of(frame, 13), &header), ETHERNET_TRUNCATED);
    EXPECT_EQ(ethernet_parse(bytes_of(frame, 14), &header), ETHERNET_OK);
}

TEST(Ethernet, WantsFourBytesOfATag)
{
    const uint8_t bytes[4] = {0xff, 0xff, 0, 0};
    struct ethernet_tag tag = {};

    EXPECT_EQ(ethernet_parse_tag(bytes_of(bytes, 3), &tag), ETHERNET_TRUNCATED);
    ASSERT_EQ(ethernet_parse_tag(bytes_of(bytes, 4), &tag), ETHERNET_OK);
    EXPECT_EQ(tag.vlan_id, 0x0fff); // without priority and drop bit
}

TEST(Ethernet, PadsUpToALengthAndNeverCuts)
{
    uint8_t memory[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    struct sink sink = sink_into(memory, sizeof memory);

    sink_u8(&sink, 1);
    ethernet_write_padding(&sink, 4);
    ethernet_write_padding(&sink, 3);

    EXPECT_EQ(sink_used_bytes(&sink), 4U);
    EXPECT_EQ(memory[3], 0);
    EXPECT_EQ(memory[4], 9);
}

TEST(Mac, TellsGroupsFromHosts)
{
    EXPECT_FALSE(mac_is_group(&OUR_MAC));
    EXPECT_TRUE(mac_is_group(&LLDP_MAC));
    EXPECT_FALSE(mac_is_broadcast(&LLDP_MAC));
    EXPECT_TRUE(mac_is_group(&BROADCAST_MAC));
    EXPECT_TRUE(mac_is_broadcast(&BROADCAST_MAC));
}

} // namespace
