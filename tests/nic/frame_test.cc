#include "nic/frame.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "tests/nic/frames.h"

namespace {

using namespace frames;

enum frame_result ParsePacket(const struct packet &packet,
                              const struct interface &interface = Interface())
{
    struct datagram out = {};
    return frame_parse(&interface, &packet, &out);
}

enum frame_result Parse(const Bytes &frame, const struct interface &interface = Interface())
{
    return ParsePacket(Packet(frame), interface);
}

Ip IpWith(void (*change)(Ip &))
{
    Ip out;
    change(out);
    return out;
}

Ethernet To(const struct mac &target, uint16_t ethertype = ETHERTYPE_IPV4)
{
    Ethernet out;
    out.target = target;
    out.ethertype = ethertype;
    return out;
}

Ethernet Tagged(std::vector<uint32_t> tags)
{
    Ethernet out;
    out.tags = std::move(tags);
    return out;
}

// ---- what is passed on

TEST(Frame, HandsOutADatagramForUs)
{
    const Bytes frame = UdpFrame({'a', 'b', 'c'});
    const struct packet packet = Packet(frame);
    const struct interface interface = Interface();
    struct datagram out = {};

    ASSERT_EQ(frame_parse(&interface, &packet, &out), FRAME_UDP);

    EXPECT_EQ(out.source_address, THEIR_ADDRESS);
    EXPECT_EQ(out.target_address, OUR_ADDRESS);
    EXPECT_EQ(out.source_port, 40000);
    EXPECT_EQ(out.target_port, 5140);
    EXPECT_TRUE(bytes_equal_text(out.payload, "abc"));
    EXPECT_EQ(out.payload.at, frame.data() + 14 + 20 + 8);
}

TEST(Frame, TakesAnEmptyDatagram) { EXPECT_EQ(Parse(UdpFrame({})), FRAME_UDP); }

TEST(Frame, LeavesEthernetPaddingOutOfThePayload)
{
    Bytes frame = UdpFrame({'a'});
    frame.resize(60, 0xee);
    const struct packet packet = Packet(frame);
    const struct interface interface = Interface();
    struct datagram out = {};

    ASSERT_EQ(frame_parse(&interface, &packet, &out), FRAME_UDP);

    EXPECT_TRUE(bytes_equal_text(out.payload, "a"));
}

TEST(Frame, LeavesIpBytesBehindTheDatagramOutOfThePayload)
{
    Bytes udp = InUdp({'a'});
    udp.push_back(0xee);
    const Bytes frame = InEthernet(InIp(udp));
    const struct packet packet = Packet(frame);
    const struct interface interface = Interface();
    struct datagram out = {};

    ASSERT_EQ(frame_parse(&interface, &packet, &out), FRAME_UDP);

    EXPECT_TRUE(bytes_equal_text(out.payload, "a"));
}

class FrameOptions : public testing::TestWithParam<size_t> {};

TEST_P(FrameOptions, AreSkipped)
{
    Ip ip;
    ip.options.assign(GetParam() * 4, 1); // "no operation"
    const Bytes frame = UdpFrame({'a'}, {}, ip);
    const struct packet packet = Packet(frame);
    const struct interface interface = Interface();
    struct datagram out = {};

    ASSERT_EQ(frame_parse(&interface, &packet, &out), FRAME_UDP);

    EXPECT_TRUE(bytes_equal_text(out.payload, "a"));
}

INSTANTIATE_TEST_SUITE_P(Words, FrameOptions, testing::Range<size_t>(0, 11));

TEST(Frame, PassesArpToEverybodyAndToUs)
{
    EXPECT_EQ(Parse(ArpFrame()), FRAME_ARP);
    EXPECT_EQ(Parse(ArpFrame({}, OUR_MAC)), FRAME_ARP);
}

TEST(Frame, PassesAnEchoRequest) { EXPECT_EQ(Parse(EchoRequest(56)), FRAME_ICMP_ECHO); }

// ---- Ethernet

TEST(FrameEthernet, WantsItsWholeHeader)
{
    Bytes frame = UdpFrame({'a'});
    frame.resize(13);

    EXPECT_EQ(Parse(frame), FRAME_ETHERNET_TRUNCATED);
    EXPECT_EQ(Parse({}), FRAME_ETHERNET_TRUNCATED);
}

TEST(FrameEthernet, AsksForTheMacBeforeAnythingElse)
{
    const Bytes broken = UdpFrame({'a'}, {}, IpWith([](Ip &ip) { ip.version = 9; }), To(OTHER_MAC));

    EXPECT_EQ(Parse(broken), FRAME_OTHER_MAC);
    EXPECT_EQ(Parse(broken, TaggedInterface(5)), FRAME_OTHER_MAC);
}

TEST(FrameEthernet, TakesNoIpFromAGroup)
{
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, To(BROADCAST_MAC))), FRAME_OTHER_IPV4);
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, To(LLDP_MAC))), FRAME_OTHER_IPV4);
}

TEST(FrameEthernet, TakesNoArpFromAGroupThatIsNotEverybody)
{
    EXPECT_EQ(Parse(ArpFrame({}, LLDP_MAC)), FRAME_OTHER_MAC);
}

TEST(FrameEthernet, KnowsWhatItDoesNotSpeak)
{
    EXPECT_EQ(Parse(InEthernet({}, To(LLDP_MAC, 0x88cc))), FRAME_OTHER_ETHERTYPE);
    EXPECT_EQ(Parse(InEthernet({}, To(LLDP_MAC, 0x0026))), FRAME_OTHER_ETHERTYPE); // 802.3: STP
    EXPECT_EQ(Parse(InEthernet({}, To(OUR_MAC, ETHERTYPE_IPV6))), FRAME_IPV6);
}

// ---- VLAN

TEST(FrameVlan, TakesItsOwnTag)
{
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x81000005})), TaggedInterface(5)), FRAME_UDP);
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x8100e005})), TaggedInterface(5)), FRAME_UDP);
}

TEST(FrameVlan, RefusesOtherTagsNoTagAndTwoTags)
{
    const struct interface tagged = TaggedInterface(5);

    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x81000004})), tagged), FRAME_OTHER_VLAN);
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x81000000})), tagged), FRAME_OTHER_VLAN);
    EXPECT_EQ(Parse(UdpFrame({'a'}), tagged), FRAME_OTHER_VLAN);
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x81000005, 0x81000005})), tagged),
              FRAME_OTHER_VLAN);
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x88a80005, 0x81000005})), tagged),
              FRAME_OTHER_VLAN);
}

TEST(FrameVlan, UntaggedTakesAPriorityTagButNoVlan)
{
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x8100e000}))), FRAME_UDP);
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x81000001}))), FRAME_OTHER_VLAN);
    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, {}, Tagged({0x88a80000}))), FRAME_OTHER_VLAN);
}

TEST(FrameVlan, ReadsATagThatTheNicStripped)
{
    const Bytes frame = UdpFrame({'a'});
    struct packet packet = Packet(frame);
    packet.vlan_stripped = true;
    packet.vlan_tci = 0xe005;

    EXPECT_EQ(ParsePacket(packet, TaggedInterface(5)), FRAME_UDP);
    EXPECT_EQ(ParsePacket(packet, TaggedInterface(6)), FRAME_OTHER_VLAN);
    EXPECT_EQ(ParsePacket(packet), FRAME_OTHER_VLAN);
}

TEST(FrameVlan, RefusesASecondTagBehindAStrippedOne)
{
    const Bytes frame = UdpFrame({'a'}, {}, {}, Tagged({0x81000005}));
    struct packet packet = Packet(frame);
    packet.vlan_stripped = true;
    packet.vlan_tci = 5;

    EXPECT_EQ(ParsePacket(packet, TaggedInterface(5)), FRAME_OTHER_VLAN);
}

TEST(FrameVlan, SaysThatATagIsCut)
{
    Bytes frame = UdpFrame({'a'}, {}, {}, Tagged({0x81000005}));
    frame.resize(17);

    EXPECT_EQ(Parse(frame, TaggedInterface(5)), FRAME_ETHERNET_TRUNCATED);
}

// ---- one buffer

TEST(FrameChained, IsRefusedWhenItIsOursOnly)
{
    const Bytes ours = UdpFrame({'a'});
    const Bytes others = UdpFrame({'a'}, {}, {}, To(OTHER_MAC));
    const Bytes ipv6 = InEthernet({}, To(OUR_MAC, ETHERTYPE_IPV6));
    const Bytes arp = ArpFrame();
    struct packet packet = Packet(ours);
    packet.chained = true;

    EXPECT_EQ(ParsePacket(packet), FRAME_CHAINED);
    packet.frame = bytes_of(arp.data(), arp.size());
    EXPECT_EQ(ParsePacket(packet), FRAME_CHAINED);
    packet.frame = bytes_of(others.data(), others.size());
    EXPECT_EQ(ParsePacket(packet), FRAME_OTHER_MAC);
    packet.frame = bytes_of(ipv6.data(), ipv6.size());
    EXPECT_EQ(ParsePacket(packet), FRAME_IPV6);
}

// ---- ARP

TEST(FrameArp, SaysMalformed)
{
    Bytes cut = ArpFrame();
    cut.pop_back();
    Arp reverse;
    reverse.operation = 3;

    EXPECT_EQ(Parse(cut), FRAME_ARP_MALFORMED);
    EXPECT_EQ(Parse(ArpFrame(reverse)), FRAME_ARP_MALFORMED);
}

// ---- IPv4

TEST(FrameIpv4, SaysWhatIsWrongWithTheHeader)
{
    const auto udp = InUdp({'a'}); // 9 bytes; the packet has 29

    EXPECT_EQ(Parse(InEthernet(InIp(udp, IpWith([](Ip &ip) { ip.version = 6; })))),
              FRAME_IPV4_BAD_VERSION);
    EXPECT_EQ(Parse(InEthernet(InIp(udp, IpWith([](Ip &ip) { ip.header_words = 4; })))),
              FRAME_IPV4_BAD_HEADER_LENGTH);
    EXPECT_EQ(Parse(InEthernet(InIp(udp, IpWith([](Ip &ip) { ip.total_bytes = 19; })))),
              FRAME_IPV4_BAD_TOTAL_LENGTH);
    EXPECT_EQ(Parse(InEthernet(InIp(udp, IpWith([](Ip &ip) { ip.total_bytes = 30; })))),
              FRAME_IPV4_TRUNCATED);
    EXPECT_EQ(Parse(InEthernet(InIp({}, IpWith([](Ip &ip) {
                                        ip.header_words = 6;
                                        ip.total_bytes = 24;
                                    })))),
              FRAME_IPV4_TRUNCATED);
    EXPECT_EQ(Parse(InEthernet(InIp(udp, IpWith([](Ip &ip) { ip.checksum_off = 1; })))),
              FRAME_IPV4_BAD_CHECKSUM);
}

TEST(FrameIpv4, BelievesTheNicOnTheHeaderChecksum)
{
    const Bytes wrong = UdpFrame({'a'}, {}, IpWith([](Ip &ip) { ip.checksum_off = 1; }));
    const Bytes right = UdpFrame({'a'});
    struct packet called_good = Packet(wrong);
    struct packet called_bad = Packet(right);
    called_good.ip_checksum = PACKET_CHECKSUM_GOOD;
    called_bad.ip_checksum = PACKET_CHECKSUM_BAD;

    EXPECT_EQ(ParsePacket(called_good), FRAME_UDP);
    EXPECT_EQ(ParsePacket(called_bad), FRAME_IPV4_BAD_CHECKSUM);
}

class FrameTarget : public testing::TestWithParam<uint32_t> {};

TEST_P(FrameTarget, IsNotOurs)
{
    Ip ip;
    ip.target = GetParam();

    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, ip)), FRAME_OTHER_IPV4);
}

INSTANTIATE_TEST_SUITE_P(Addresses, FrameTarget,
                         testing::Values(OTHER_ADDRESS, OUR_ADDRESS - 1, OUR_ADDRESS + 1,
                                         0xffffffff, SUBNET_BROADCAST, 0xe0000001, 0x7f000001, 0));

class FrameBadSource : public testing::TestWithParam<uint32_t> {};

TEST_P(FrameBadSource, IsRefused)
{
    Ip ip;
    ip.source = GetParam();

    EXPECT_EQ(Parse(UdpFrame({'a'}, {}, ip)), FRAME_IPV4_BAD_SOURCE);
}

INSTANTIATE_TEST_SUITE_P(Addresses, FrameBadSource,
                         testing::Values(OUR_ADDRESS, SUBNET_BROADCAST, 0xffffffff, 0xe0000000,
                                         0xefffffff, 0x7f000000, 0x7fffffff, 0, 0x00ffffff));

class FrameGoodSource : public testing::TestWithParam<uint32_t> {};

TEST_P(FrameGoodSource, IsTaken)
{
    Ip ip;
    Udp udp;
    ip.source = udp.source = GetParam();

    EXPECT_EQ(Parse(UdpFrame({'a'}, udp, ip)), FRAME_UDP);
}

INSTANTIATE_TEST_SUITE_P(Addresses, FrameGoodSource,
                         testing::Values(THEIR_ADDRESS, SUBNET_BROADCAST - 1, SUBNET_BROADCAST + 1,
                                         0xdfffffff, 0xf0000000, 0x7effffff, 0x80000000,
                                         0x01000000));

TEST(FrameIpv4, KnowsNoBroadcastOnALinkOfTwo)
{
    struct interface link_of_two = Interface();
    link_of_two.netmask = 0xfffffffe;
    Ip ip;
    Udp udp;
    ip.source = udp.source = OUR_ADDRESS + 1;

    EXPECT_EQ(Parse(UdpFrame({'a'}, udp, ip), link_of_two), FRAME_UDP);
}

TEST(FrameIpv4, RefusesEveryFragment)
{
    const auto fragment = [](uint16_t flags_and_offset) {
        Ip ip;
        ip.fragment = flags_and_offset;
        return Parse(UdpFrame({'a'}, {}, ip));
    };

    EXPECT_EQ(fragment(0x2000), FRAME_IPV4_FRAGMENT); // the first
    EXPECT_EQ(fragment(0x0001), FRAME_IPV4_FRAGMENT); // the last
    EXPECT_EQ(fragment(0x3fff), FRAME_IPV4_FRAGMENT);
    EXPECT_EQ(fragment(0x0000), FRAME_UDP); // may be fragmented, is not
    EXPECT_EQ(fragment(0x8000), FRAME_UDP); // the reserved bit is ignored
}

TEST(FrameIpv4, TellsAFragmentBeforeItsUdpHeader)
{
    const Bytes frame = InEthernet(InIp({1, 2, 3}, IpWith([](Ip &ip) { ip.fragment = 0x0001; })));

    EXPECT_EQ(Parse(frame), FRAME_IPV4_FRAGMENT);
}

TEST(FrameIpv4, TakesNoOtherProtocol)
{
    EXPECT_EQ(Parse(InEthernet(InIp({1, 2}, IpWith([](Ip &ip) { ip.protocol = 6; })))),
              FRAME_OTHER_PROTOCOL);
}

// ---- ICMP

TEST(FrameIcmp, TellsOtherMessagesFromMalformedOnes)
{
    const auto icmp = [](const Bytes &message) {
        return Parse(InEthernet(InIp(message, IpWith([](Ip &ip) { ip.protocol = 1; }))));
    };

    EXPECT_EQ(icmp(Icmp(8, 0, {0, 1, 0, 1})), FRAME_ICMP_ECHO);
    EXPECT_EQ(icmp(Icmp(8, 0, {0, 1, 0})), FRAME_ICMP_MALFORMED);
    EXPECT_EQ(icmp(Icmp(8, 0, {0, 1, 0, 1}, /*checksum_off=*/1)), FRAME_ICMP_MALFORMED);
    EXPECT_EQ(icmp(Icmp(8, 1, {0, 1, 0, 1})), FRAME_ICMP_MALFORMED);
    EXPECT_EQ(icmp(Icmp(0, 0, {0, 1, 0, 1})), FRAME_ICMP_OTHER);
    EXPECT_EQ(icmp(Icmp(3, 3, {0, 0, 0, 0})), FRAME_ICMP_OTHER);
}

// ---- UDP

TEST(FrameUdp, SaysWhatIsWrongWithTheHeader)
{
    const auto claims = [](int len_bytes) {
        Udp udp;
        udp.len_bytes = len_bytes;
        return Parse(UdpFrame({'a'}, udp)); // 9 bytes
    };

    EXPECT_EQ(claims(7), FRAME_UDP_BAD_LENGTH);
    EXPECT_EQ(claims(0), FRAME_UDP_BAD_LENGTH);
    EXPECT_EQ(claims(10), FRAME_UDP_TRUNCATED);
    EXPECT_EQ(Parse(InEthernet(InIp(Bytes(7)))), FRAME_UDP_TRUNCATED);
}

TEST(FrameUdp, DoesNotTakePaddingForPayload)
{
    Udp udp;
    udp.len_bytes = 10;
    Bytes frame = UdpFrame({'a'}, udp);
    frame.resize(60);

    EXPECT_EQ(Parse(frame), FRAME_UDP_TRUNCATED);
}

TEST(FrameUdp, ComputesTheChecksumThatTheNicDidNot)
{
    Udp wrong;
    wrong.checksum_off = 1;

    EXPECT_EQ(Parse(UdpFrame({'a', 'b', 'c'}, wrong)), FRAME_UDP_BAD_CHECKSUM);
}

TEST(FrameUdp, BelievesTheNic)
{
    Udp wrong;
    wrong.checksum_off = 1;
    const Bytes wrong_frame = UdpFrame({'a'}, wrong);
    const Bytes right_frame = UdpFrame({'a'});
    struct packet called_good = Packet(wrong_frame);
    struct packet called_bad = Packet(right_frame);
    called_good.l4_checksum = PACKET_CHECKSUM_GOOD;
    called_bad.l4_checksum = PACKET_CHECKSUM_BAD;

    EXPECT_EQ(ParsePacket(called_good), FRAME_UDP);
    EXPECT_EQ(ParsePacket(called_bad), FRAME_UDP_BAD_CHECKSUM);
}

TEST(FrameUdp, TakesNoChecksumForNoneWhateverTheNicSays)
{
    Udp none;
    none.has_checksum = false;
    const Bytes frame = UdpFrame({'a'}, none);
    struct packet called_bad = Packet(frame);
    called_bad.l4_checksum = PACKET_CHECKSUM_BAD;

    EXPECT_EQ(Parse(frame), FRAME_UDP);
    EXPECT_EQ(ParsePacket(called_bad), FRAME_UDP);
}

// ---- properties

// Exactly sized memory, so that the address sanitizer sees one byte too far.
enum frame_result ParseCut(const Bytes &frame, size_t len_bytes, const struct interface &interface)
{
    const std::unique_ptr<uint8_t[]> exact(new uint8_t[len_bytes]);
    struct packet packet = {};
    if (len_bytes > 0) { memcpy(exact.get(), frame.data(), len_bytes); }
    packet.frame = bytes_of(exact.get(), len_bytes);
    return ParsePacket(packet, interface);
}

TEST(FrameProperty, EachCutOfADatagramIsCalledTruncated)
{
    const Bytes frame = UdpFrame({'a', 'b', 'c'});

    for (size_t cut = 0; cut < 14; cut++) {
        EXPECT_EQ(ParseCut(frame, cut, Interface()), FRAME_ETHERNET_TRUNCATED) << cut;
    }
    for (size_t cut = 14; cut < frame.size(); cut++) {
        EXPECT_EQ(ParseCut(frame, cut, Interface()), FRAME_IPV4_TRUNCATED) << cut;
    }
    EXPECT_EQ(ParseCut(frame, frame.size(), Interface()), FRAME_UDP);
}

TEST(FrameProperty, EachCutOfATaggedDatagramIsCalledTruncated)
{
    const Bytes frame = UdpFrame({'a', 'b', 'c'}, {}, {}, Tagged({0x81000005}));

    for (size_t cut = 0; cut < 18; cut++) {
        EXPECT_EQ(ParseCut(frame, cut, TaggedInterface(5)), FRAME_ETHERNET_TRUNCATED) << cut;
    }
    for (size_t cut = 18; cut < frame.size(); cut++) {
        EXPECT_EQ(ParseCut(frame, cut, TaggedInterface(5)), FRAME_IPV4_TRUNCATED) << cut;
    }
}

TEST(FrameProperty, EachCutOfAnArpFrameIsCalledMalformed)
{
    const Bytes frame = ArpFrame();

    for (size_t cut = 14; cut < frame.size(); cut++) {
        EXPECT_EQ(ParseCut(frame, cut, Interface()), FRAME_ARP_MALFORMED) << cut;
    }
}

TEST(FrameProperty, EachFlippedBitOfADatagramIsNoticed)
{
    Ip no_slack;
    const Bytes frame = UdpFrame({'a', 'b', 'c'}, {}, no_slack);

    for (size_t bit = 8 * 14; bit < 8 * frame.size(); bit++) {
        Bytes flipped = frame;
        flipped[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
        EXPECT_NE(Parse(flipped), FRAME_UDP) << "bit " << bit;
    }
}

TEST(FrameResult, HasANameOfItsOwn)
{
    std::set<std::string> names;
    for (int i = 0; i < FRAME_RESULT_COUNT; i++) {
        names.insert(frame_result_name(static_cast<enum frame_result>(i)));
    }

    EXPECT_EQ(names.size(), static_cast<size_t>(FRAME_RESULT_COUNT));
    EXPECT_STREQ(frame_result_name(FRAME_UDP_BAD_CHECKSUM), "udp_bad_checksum");
}

} // namespace
