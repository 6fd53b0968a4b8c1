#include "nic/udp_path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/nic/frames.h"

namespace {

using namespace frames;

constexpr uint16_t PORT = 4650;

// A datagram from them to us, and the path back.
bool PathOf(const struct interface &interface, const Bytes &frame, struct udp_path *out)
{
    const struct packet packet = Packet(frame);
    struct datagram datagram = {};
    EXPECT_EQ(frame_parse(&interface, &packet, &datagram), FRAME_UDP);
    return udp_path_of(&interface, &packet, &datagram, out);
}

Bytes FrameFrom(const struct mac &mac, uint16_t source_port = 40000,
                const std::vector<uint32_t> &tags = {})
{
    Udp udp;
    udp.source_port = source_port;
    udp.target_port = PORT;
    Ethernet ethernet;
    ethernet.source = mac;
    ethernet.tags = tags;
    return UdpFrame({'?'}, udp, {}, ethernet);
}

struct udp_path Path()
{
    struct udp_path out = {};
    EXPECT_TRUE(PathOf(Interface(), FrameFrom(THEIR_MAC), &out));
    return out;
}

struct udp_path TaggedPath(uint16_t vlan_id)
{
    struct udp_path out = {};
    EXPECT_TRUE(PathOf(TaggedInterface(vlan_id),
                       FrameFrom(THEIR_MAC, 40000, {0x81000000U | vlan_id}), &out));
    return out;
}

// Room of just the size that the contract asks for, with rubbish in it.
Bytes Finish(const struct udp_path &path, const Bytes &payload)
{
    const size_t headers_bytes = udp_path_headers_bytes(&path);
    Bytes room(std::max<size_t>(UDP_PATH_FRAME_BYTES_MIN, headers_bytes + payload.size()), 0xee);
    std::copy(payload.begin(), payload.end(), room.begin() + static_cast<ptrdiff_t>(headers_bytes));
    room.resize(udp_path_finish(&path, room.data(), payload.size()));
    return room;
}

// The other end, which judges what it receives as any host does.
struct interface PeerInterface()
{
    struct interface out = Interface();
    out.mac = THEIR_MAC;
    out.address = THEIR_ADDRESS;
    return out;
}

// ---- reading

TEST(UdpPath, LeadsBackToWhereTheFrameCameFrom)
{
    const struct udp_path path = Path();

    EXPECT_TRUE(mac_equal(&path.peer_mac, &THEIR_MAC));
    EXPECT_TRUE(mac_equal(&path.our_mac, &OUR_MAC));
    EXPECT_FALSE(path.vlan.tagged);
    EXPECT_EQ(path.peer_address, THEIR_ADDRESS);
    EXPECT_EQ(path.our_address, OUR_ADDRESS);
    EXPECT_EQ(path.peer_port, 40000);
    EXPECT_EQ(path.our_port, PORT);
}

TEST(UdpPath, IsTheSameWhicheverRouterForwarded)
{
    struct udp_path through_another = {};
    const struct udp_path path = Path();

    ASSERT_TRUE(PathOf(Interface(), FrameFrom(OTHER_MAC), &through_another));

    EXPECT_TRUE(udp_path_equal(&path, &through_another));
    EXPECT_TRUE(mac_equal(&through_another.peer_mac, &OTHER_MAC));
}

TEST(UdpPath, IsAnotherWhenAnyAddressOrPortIs)
{
    const struct udp_path path = Path();
    struct udp_path others[4] = {path, path, path, path};
    others[0].peer_address++;
    others[1].our_address++;
    others[2].peer_port++;
    others[3].our_port++;

    EXPECT_TRUE(udp_path_equal(&path, &path));
    EXPECT_FALSE(udp_path_equal(&path, &others[0]));
    EXPECT_FALSE(udp_path_equal(&path, &others[1]));
    EXPECT_FALSE(udp_path_equal(&path, &others[2]));
    EXPECT_FALSE(udp_path_equal(&path, &others[3]));
}

TEST(UdpPath, NamesTheFlowThatThePeerSends)
{
    const struct udp_path path = Path();

    const struct udp_flow flow = udp_path_inbound(&path);

    EXPECT_EQ(flow.source_address, THEIR_ADDRESS);
    EXPECT_EQ(flow.target_address, OUR_ADDRESS);
    EXPECT_EQ(flow.source_port, 40000);
    EXPECT_EQ(flow.target_port, PORT);
}

TEST(UdpPath, LeadsNowhereFromASenderThatIsNoOtherHost)
{
    const struct mac zero = {};
    struct udp_path path = {};

    EXPECT_FALSE(PathOf(Interface(), FrameFrom(BROADCAST_MAC), &path));
    EXPECT_FALSE(PathOf(Interface(), FrameFrom(LLDP_MAC), &path));
    EXPECT_FALSE(PathOf(Interface(), FrameFrom(zero), &path));
    EXPECT_FALSE(PathOf(Interface(), FrameFrom(OUR_MAC), &path));
}

TEST(UdpPath, LeadsNowhereFromASenderWithoutAPort)
{
    struct udp_path path = {};

    EXPECT_FALSE(PathOf(Interface(), FrameFrom(THEIR_MAC, /*source_port=*/0), &path));
    EXPECT_TRUE(PathOf(Interface(), FrameFrom(THEIR_MAC, /*source_port=*/1), &path));
}

// ---- writing

// Byte by byte by hand: 0x4500+0x001f+0x4000+0x4011+0xc000+0x020a+0xc000+0x0201 and, of UDP,
// 0xc000+0x020a+0xc000+0x0201+0x0011+0x000b + 0x122a+0x9c40+0x000b+0x6162+0x6300.
TEST(UdpPathFinish, AgreesWithAHandMadeFrame)
{
    const Bytes expected = {
        0x02, 0,    0,    0,    0, 0x01, 0x02, 0,    0,   0,   0,    0x10, 0x08, 0x00, // Ethernet
        0x45, 0,    0,    31,   0, 0,    0x40, 0,    64,  17,  0xb6, 0xc2, 192,  0,    2,
        10,   192,  0,    2,    1,                                  // IPv4
        0x12, 0x2a, 0x9c, 0x40, 0, 11,   0x08, 0xff, 'a', 'b', 'c', // UDP
        0,    0,    0,    0,    0, 0,    0,    0,    0,   0,   0,    0,    0,    0,    0};

    EXPECT_EQ(Finish(Path(), {'a', 'b', 'c'}), expected);
}

class UdpPathFinishLengths : public testing::TestWithParam<size_t> {};

TEST_P(UdpPathFinishLengths, IsADatagramThatThePeerTakes)
{
    const Bytes payload(GetParam(), 0x5a);
    const struct interface peer = PeerInterface();

    const Bytes frame = Finish(Path(), payload);

    struct datagram datagram = {};
    const struct packet packet = Packet(frame);
    ASSERT_EQ(frame_parse(&peer, &packet, &datagram), FRAME_UDP);
    EXPECT_TRUE(bytes_equal(datagram.payload, bytes_of(payload.data(), payload.size())));
    EXPECT_EQ(datagram.source_port, PORT);
    EXPECT_EQ(datagram.target_port, 40000);
    EXPECT_EQ(frame.size(), std::max<size_t>(60, 42 + payload.size()));
}

INSTANTIATE_TEST_SUITE_P(RoundTheMinimumAndTheMtu, UdpPathFinishLengths,
                         testing::Values(0, 1, 17, 18, 19, 20, 1471, 1472));

TEST(UdpPathFinish, TagsTheFrameAndPadsItForWhoTakesTheTagOff)
{
    const struct udp_path path = TaggedPath(0x0abc);
    struct interface peer = PeerInterface();
    peer.vlan_tagged = true;
    peer.vlan_id = 0x0abc;

    const Bytes frame = Finish(path, {'a'});

    struct datagram datagram = {};
    const struct packet packet = Packet(frame);
    EXPECT_EQ(udp_path_headers_bytes(&path), 46U);
    ASSERT_EQ(frame_parse(&peer, &packet, &datagram), FRAME_UDP);
    EXPECT_TRUE(bytes_equal_text(datagram.payload, "a"));
    EXPECT_EQ(frame.size(), 64U);
}

TEST(UdpPathFinish, PadsWithZeros)
{
    const Bytes frame = Finish(Path(), {0xff});

    EXPECT_EQ(Bytes(frame.begin() + 43, frame.end()), Bytes(17, 0));
}

// RFC 768: a sum of zero is sent as all ones, for zero says that there is none.
TEST(UdpPathFinish, NeverSaysThatThereIsNoChecksum)
{
    const Bytes frame = Finish(Path(), {0, 0});
    const Bytes makes_it_zero = {frame[40], frame[41]};

    const Bytes sum_of_zero = Finish(Path(), makes_it_zero);

    EXPECT_EQ(sum_of_zero[40], 0xff);
    EXPECT_EQ(sum_of_zero[41], 0xff);
}

} // namespace
