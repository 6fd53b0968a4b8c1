#include "nic/arp.h"

#include <gtest/gtest.h>

#include "tests/nic/frames.h"

namespace {

using namespace frames;

enum arp_result Parse(void (*change)(Arp &))
{
    Arp arp;
    change(arp);
    const Bytes bytes = ArpPacket(arp);
    struct arp_packet out = {};
    return arp_parse(bytes_of(bytes.data(), bytes.size()), &out);
}

TEST(Arp, ReadsWhatItWrote)
{
    const struct arp_packet written = {ARP_REPLY, OUR_MAC, OUR_ADDRESS, THEIR_MAC, THEIR_ADDRESS};
    uint8_t memory[ARP_PACKET_BYTES];
    struct sink sink = sink_into(memory, sizeof memory);
    struct arp_packet read = {};

    arp_write(&sink, &written);

    ASSERT_FALSE(sink.overflowed);
    ASSERT_EQ(arp_parse(sink_written(&sink), &read), ARP_OK);
    EXPECT_EQ(read.operation, ARP_REPLY);
    EXPECT_TRUE(mac_equal(&read.sender_mac, &OUR_MAC));
    EXPECT_EQ(read.sender_address, OUR_ADDRESS);
    EXPECT_TRUE(mac_equal(&read.target_mac, &THEIR_MAC));
    EXPECT_EQ(read.target_address, THEIR_ADDRESS);
}

TEST(Arp, RefusesWhatIsNotEthernetAndIpv4)
{
    EXPECT_EQ(Parse([](Arp &arp) { arp.hardware = 6; }), ARP_OTHER_HARDWARE);
    EXPECT_EQ(Parse([](Arp &arp) { arp.hardware_bytes = 8; }), ARP_OTHER_HARDWARE);
    EXPECT_EQ(Parse([](Arp &arp) { arp.protocol = ETHERTYPE_IPV6; }), ARP_OTHER_PROTOCOL);
    EXPECT_EQ(Parse([](Arp &arp) { arp.protocol_bytes = 16; }), ARP_OTHER_PROTOCOL);
}

TEST(Arp, RefusesOperationsBesideRequestAndReply)
{
    EXPECT_EQ(Parse([](Arp &arp) { arp.operation = 0; }), ARP_BAD_OPERATION);
    EXPECT_EQ(Parse([](Arp &arp) { arp.operation = 3; }), ARP_BAD_OPERATION);
}

TEST(Arp, RefusesSendersThatAreNoHost)
{
    EXPECT_EQ(Parse([](Arp &arp) { arp.sender_mac = BROADCAST_MAC; }), ARP_BAD_SENDER);
    EXPECT_EQ(Parse([](Arp &arp) { arp.sender_mac = {}; }), ARP_BAD_SENDER);
    EXPECT_EQ(Parse([](Arp &arp) { arp.sender = 0xe0000001; }), ARP_BAD_SENDER);
    EXPECT_EQ(Parse([](Arp &arp) { arp.sender = 0xffffffff; }), ARP_BAD_SENDER);
    EXPECT_EQ(Parse([](Arp &arp) { arp.sender = 0x00000001; }), ARP_BAD_SENDER);
}

TEST(Arp, TakesAProbe)
{
    EXPECT_EQ(Parse([](Arp &arp) { arp.sender = 0; }), ARP_OK);
}

} // namespace
