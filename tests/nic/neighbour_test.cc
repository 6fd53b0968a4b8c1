#include "nic/neighbour.h"

#include <gtest/gtest.h>

#include "nic/icmp.h"
#include "tests/nic/frames.h"

namespace {

using namespace frames;

constexpr uint64_t SECOND = 1000000000;
constexpr size_t ROOM_BYTES = 2048;

// A neighbour with the room it writes to, and what it wrote last.
class Neighbour : public testing::Test {
  protected:
    void SetUp() override { Start(Interface()); }

    void Start(const struct interface &interface)
    {
        interface_ = interface;
        neighbour_init(&neighbour_, &interface_);
    }

    size_t Receive(const Bytes &frame, uint64_t now = 0, size_t room = ROOM_BYTES)
    {
        const struct packet packet = Packet(frame);
        struct datagram datagram = {};
        const enum frame_result kind = frame_parse(&interface_, &packet, &datagram);
        EXPECT_TRUE(kind == FRAME_ARP || kind == FRAME_ICMP_ECHO) << frame_result_name(kind);
        return Keep(neighbour_receive(&neighbour_, &packet, kind, now, room_, room));
    }

    size_t Tick(uint64_t now)
    {
        return Keep(neighbour_tick(&neighbour_, now, room_, sizeof room_));
    }

    // All that is due now; how many frames that were. Bounded, as the header promises.
    size_t TickAll(uint64_t now)
    {
        size_t frames = 0;
        while (frames < 1000 && Tick(now) > 0) { frames++; }
        return frames;
    }

    // Without a gateway, and with the announcements behind it: quiet from 3 s on.
    void Settle()
    {
        interface_.gateway = 0;
        TickAll(0);
        TickAll(3 * SECOND);
    }

    bool Find(uint32_t address, uint64_t now)
    {
        return neighbour_find(&neighbour_, address, now, &found_);
    }

    struct arp_packet LastArp()
    {
        struct ethernet_header ethernet = {};
        struct arp_packet arp = {};
        EXPECT_EQ(ethernet_parse(bytes_of(last_.data(), last_.size()), &ethernet), ETHERNET_OK);
        last_target_ = ethernet.target;
        EXPECT_TRUE(mac_equal(&ethernet.source, &OUR_MAC));
        EXPECT_EQ(ethernet.ethertype, ETHERTYPE_ARP);
        EXPECT_EQ(arp_parse(ethernet.payload, &arp), ARP_OK);
        return arp;
    }

    size_t Keep(size_t len_bytes)
    {
        if (len_bytes > 0) { last_.assign(room_, room_ + len_bytes); }
        return len_bytes;
    }

    struct interface interface_;
    struct neighbour neighbour_;
    uint8_t room_[ROOM_BYTES] = {};
    Bytes last_;
    struct mac last_target_ = {};
    struct mac found_ = {};
};

Arp ArpOf(unsigned operation, uint32_t sender, const struct mac &mac, uint32_t target = OUR_ADDRESS)
{
    Arp out;
    out.operation = operation;
    out.sender = sender;
    out.sender_mac = mac;
    out.target = target;
    return out;
}

Bytes Answer(uint32_t sender, const struct mac &mac)
{
    return ArpFrame(ArpOf(ARP_REPLY, sender, mac));
}
Bytes Question(uint32_t sender, const struct mac &mac)
{
    return ArpFrame(ArpOf(ARP_REQUEST, sender, mac));
}

// ---- ARP answered

TEST_F(Neighbour, AnswersAQuestionForOurAddress)
{
    ASSERT_EQ(Receive(Question(THEIR_ADDRESS, THEIR_MAC)), 60U);

    const struct arp_packet reply = LastArp();
    EXPECT_EQ(reply.operation, ARP_REPLY);
    EXPECT_TRUE(mac_equal(&last_target_, &THEIR_MAC));
    EXPECT_TRUE(mac_equal(&reply.sender_mac, &OUR_MAC));
    EXPECT_EQ(reply.sender_address, OUR_ADDRESS);
    EXPECT_TRUE(mac_equal(&reply.target_mac, &THEIR_MAC));
    EXPECT_EQ(reply.target_address, THEIR_ADDRESS);
}

TEST_F(Neighbour, LeavesQuestionsForOthersAlone)
{
    EXPECT_EQ(Receive(ArpFrame(ArpOf(ARP_REQUEST, THEIR_ADDRESS, THEIR_MAC, OTHER_ADDRESS))), 0U);
    EXPECT_FALSE(Find(THEIR_ADDRESS, 0));
}

TEST_F(Neighbour, AnswersAProbeAndLearnsNothing)
{
    EXPECT_EQ(Receive(Question(0, THEIR_MAC)), 60U);
    EXPECT_FALSE(Find(THEIR_ADDRESS, 0));
}

TEST_F(Neighbour, DoesNotAnswerAnAnswer)
{
    EXPECT_EQ(Receive(Answer(THEIR_ADDRESS, THEIR_MAC)), 0U);
}

TEST_F(Neighbour, WritesNothingWhereTheReplyDoesNotFit)
{
    EXPECT_EQ(Receive(Question(THEIR_ADDRESS, THEIR_MAC), 0, 59), 0U);
    EXPECT_EQ(Receive(Question(THEIR_ADDRESS, THEIR_MAC), 0, 60), 60U);
}

TEST_F(Neighbour, TagsWhatItSendsOnAVlan)
{
    Start(TaggedInterface(5));
    Ethernet tagged;
    tagged.target = BROADCAST_MAC;
    tagged.tags = {0x81000005};
    tagged.ethertype = ETHERTYPE_ARP;

    ASSERT_EQ(Receive(InEthernet(ArpPacket(), tagged)), 64U);

    EXPECT_EQ(load_be32(last_.data() + 12), 0x81000005U);
}

// ---- the table

TEST_F(Neighbour, RemembersWhoAskedForIt)
{
    Receive(Question(OTHER_ADDRESS, OTHER_MAC), 1 * SECOND);

    ASSERT_TRUE(Find(OTHER_ADDRESS, 2 * SECOND));
    EXPECT_TRUE(mac_equal(&found_, &OTHER_MAC));
}

TEST_F(Neighbour, DoesNotRememberHostsOfOtherNetworks)
{
    Receive(Question(0x0a000001, OTHER_MAC));

    EXPECT_FALSE(Find(0x0a000001, 0));
}

TEST_F(Neighbour, AsksForWhatWasLookedForAndLearnsTheAnswer)
{
    Settle();
    EXPECT_FALSE(Find(OTHER_ADDRESS, 4 * SECOND));

    ASSERT_EQ(Tick(4 * SECOND), 60U);
    const struct arp_packet question = LastArp();
    EXPECT_EQ(question.operation, ARP_REQUEST);
    EXPECT_TRUE(mac_is_broadcast(&last_target_));
    EXPECT_EQ(question.target_address, OTHER_ADDRESS);
    EXPECT_TRUE(mac_is_zero(&question.target_mac));
    Receive(Answer(OTHER_ADDRESS, OTHER_MAC), 4 * SECOND + 1);

    EXPECT_TRUE(Find(OTHER_ADDRESS, 4 * SECOND + 2));
}

TEST_F(Neighbour, KeepsALiveEntryAgainstAnUnaskedAnswerAndAsks)
{
    Settle();
    Receive(Question(OTHER_ADDRESS, OTHER_MAC), 10 * SECOND);

    Receive(Answer(OTHER_ADDRESS, THEIR_MAC), 11 * SECOND);

    ASSERT_TRUE(Find(OTHER_ADDRESS, 11 * SECOND));
    EXPECT_TRUE(mac_equal(&found_, &OTHER_MAC));
    ASSERT_EQ(TickAll(11 * SECOND), 1U);
    Receive(Answer(OTHER_ADDRESS, THEIR_MAC), 11 * SECOND + 1);
    ASSERT_TRUE(Find(OTHER_ADDRESS, 11 * SECOND + 2));
    EXPECT_TRUE(mac_equal(&found_, &THEIR_MAC)); // asked for now
}

TEST_F(Neighbour, KeepsALiveEntryAgainstAQuestionWithAnotherMac)
{
    Receive(Question(OTHER_ADDRESS, OTHER_MAC), 10 * SECOND);

    Receive(Question(OTHER_ADDRESS, THEIR_MAC), 11 * SECOND);

    ASSERT_TRUE(Find(OTHER_ADDRESS, 11 * SECOND));
    EXPECT_TRUE(mac_equal(&found_, &OTHER_MAC));
}

TEST_F(Neighbour, AsksAtOnceAfterAGratuitousClaimToALiveEntry)
{
    Settle();
    Receive(Question(OTHER_ADDRESS, OTHER_MAC), 10 * SECOND);

    Receive(ArpFrame(ArpOf(ARP_REQUEST, OTHER_ADDRESS, THEIR_MAC, OTHER_ADDRESS)), 11 * SECOND);

    EXPECT_EQ(TickAll(11 * SECOND), 1U);
    EXPECT_EQ(LastArp().target_address, OTHER_ADDRESS);
}

TEST_F(Neighbour, AsksAtMostOnceASecondHoweverManyClaimsCome)
{
    Settle();
    Receive(Question(OTHER_ADDRESS, OTHER_MAC), 10 * SECOND);
    size_t questions = 0;

    for (uint64_t now = 11 * SECOND; now < 12 * SECOND; now += SECOND / 100) {
        Receive(Answer(OTHER_ADDRESS, THEIR_MAC), now);
        Receive(Answer(OTHER_ADDRESS, OTHER_MAC), now);
        questions += TickAll(now);
    }

    EXPECT_EQ(questions, 1U);
}

TEST_F(Neighbour, RefreshesAnEntryInUseAndForgetsItWithoutAnswer)
{
    Settle();
    Receive(Question(OTHER_ADDRESS, OTHER_MAC), 10 * SECOND);

    EXPECT_TRUE(Find(OTHER_ADDRESS, 39 * SECOND));
    EXPECT_EQ(TickAll(39 * SECOND), 0U);
    EXPECT_TRUE(Find(OTHER_ADDRESS, 40 * SECOND));
    EXPECT_EQ(TickAll(40 * SECOND), 1U);
    EXPECT_TRUE(Find(OTHER_ADDRESS, 130 * SECOND - 1));
    EXPECT_FALSE(Find(OTHER_ADDRESS, 130 * SECOND));
}

TEST_F(Neighbour, AsksEverMoreRarelyAndAtLastNoMore)
{
    Settle();
    std::vector<uint64_t> asked;
    Find(OTHER_ADDRESS, 10 * SECOND);

    for (uint64_t now = 10; now < 400; now++) {
        if (TickAll(now * SECOND) > 0) { asked.push_back(now); }
    }

    EXPECT_EQ(asked, (std::vector<uint64_t>{10, 11, 13, 17, 25, 41}));
}

TEST_F(Neighbour, GivesUpTheOldestEntryWhenFull)
{
    interface_.netmask = 0xffff0000;
    interface_.gateway = 0;
    const uint32_t first = 0xc0000300;

    for (uint32_t i = 1; i <= NEIGHBOUR_CAPACITY + 1; i++) {
        Receive(Question(first + i, OTHER_MAC), i * SECOND / 100);
    }

    EXPECT_FALSE(Find(first + 1, 10 * SECOND));
    EXPECT_TRUE(Find(first + 3, 10 * SECOND)); // the second went for the look-up of the first
    EXPECT_TRUE(Find(first + NEIGHBOUR_CAPACITY + 1, 10 * SECOND));
}

TEST_F(Neighbour, NeverGivesUpTheGateway)
{
    interface_.netmask = 0xffff0000;
    Receive(Question(THEIR_ADDRESS, THEIR_MAC), 0);

    for (uint32_t i = 1; i <= 3 * NEIGHBOUR_CAPACITY; i++) {
        Receive(Question(0xc0000300 + i, OTHER_MAC), i);
    }

    EXPECT_TRUE(Find(THEIR_ADDRESS, SECOND));
}

// ---- the gateway

TEST_F(Neighbour, AsksForTheGatewayAtStartAndAgainBeforeItAges)
{
    TickAll(0);
    Receive(Answer(THEIR_ADDRESS, THEIR_MAC), SECOND / 2);
    TickAll(3 * SECOND);

    EXPECT_TRUE(Find(0x08080808, 4 * SECOND)); // off the link: by the gateway
    EXPECT_TRUE(mac_equal(&found_, &THEIR_MAC));
    EXPECT_EQ(TickAll(30 * SECOND), 0U);
    EXPECT_EQ(TickAll(31 * SECOND), 1U);
    EXPECT_EQ(LastArp().target_address, THEIR_ADDRESS);
}

TEST_F(Neighbour, GoesOnAskingForAGatewayThatIsGone)
{
    size_t questions = 0;

    for (uint64_t now = 0; now < 1000; now++) { questions += TickAll(now * SECOND); }

    EXPECT_GT(questions, 1000U / 33);
    EXPECT_LT(questions, 1000U / 10);
}

TEST_F(Neighbour, FindsNothingOffTheLinkWithoutAGateway)
{
    interface_.gateway = 0;

    EXPECT_FALSE(Find(0x08080808, 0));
    EXPECT_EQ(TickAll(0), 1U); // the announcement alone
}

TEST_F(Neighbour, NeverAsksForAddressesThatAreNoHosts)
{
    Settle();

    EXPECT_FALSE(Find(OUR_ADDRESS, 4 * SECOND));
    EXPECT_FALSE(Find(SUBNET_BROADCAST, 4 * SECOND));
    EXPECT_FALSE(Find(0xffffffff, 4 * SECOND));
    EXPECT_FALSE(Find(0xe0000001, 4 * SECOND));
    EXPECT_EQ(TickAll(5 * SECOND), 0U);
}

// ---- announcements and conflicts

TEST_F(Neighbour, AnnouncesItselfTwiceAtStart)
{
    interface_.gateway = 0;
    ASSERT_EQ(Tick(0), 60U);
    const struct arp_packet announcement = LastArp();
    EXPECT_EQ(announcement.operation, ARP_REQUEST);
    EXPECT_EQ(announcement.sender_address, OUR_ADDRESS);
    EXPECT_EQ(announcement.target_address, OUR_ADDRESS);

    EXPECT_EQ(Tick(0), 0U);
    EXPECT_EQ(Tick(2 * SECOND - 1), 0U);
    EXPECT_EQ(Tick(2 * SECOND + SECOND / 10), 60U);
    EXPECT_EQ(Tick(60 * SECOND), 0U);
}

TEST_F(Neighbour, DefendsItsAddressOnceInTenSeconds)
{
    Settle();

    Receive(Question(OUR_ADDRESS, OTHER_MAC), 20 * SECOND);
    Receive(Question(OUR_ADDRESS, OTHER_MAC), 21 * SECOND);

    EXPECT_EQ(neighbour_.conflicts, 2U);
    EXPECT_EQ(TickAll(21 * SECOND), 1U);
    Receive(Question(OUR_ADDRESS, OTHER_MAC), 22 * SECOND);
    EXPECT_EQ(TickAll(22 * SECOND), 0U);
    Receive(Question(OUR_ADDRESS, OTHER_MAC), 32 * SECOND);
    EXPECT_EQ(TickAll(32 * SECOND), 1U);
}

TEST_F(Neighbour, DoesNotTakeItsOwnAnnouncementForAConflict)
{
    EXPECT_EQ(Receive(Question(OUR_ADDRESS, OUR_MAC)), 0U);
    EXPECT_EQ(neighbour_.conflicts, 0U);
}

// ---- ping

class NeighbourEcho : public Neighbour, public testing::WithParamInterface<size_t> {};

TEST_P(NeighbourEcho, AnswersWithTheSameBytesAndRightChecksums)
{
    Bytes request = EchoRequest(GetParam());

    const size_t len_bytes = Receive(request);

    ASSERT_EQ(len_bytes, request.size());
    struct ethernet_header ethernet = {};
    struct ipv4_packet ip = {};
    ASSERT_EQ(ethernet_parse(bytes_of(last_.data(), last_.size()), &ethernet), ETHERNET_OK);
    EXPECT_TRUE(mac_equal(&ethernet.target, &THEIR_MAC));
    EXPECT_TRUE(mac_equal(&ethernet.source, &OUR_MAC));
    ASSERT_EQ(ipv4_parse(ethernet.payload, &ip), IPV4_OK);
    EXPECT_TRUE(ipv4_checksum_is_good(&ip));
    EXPECT_EQ(ip.source_address, OUR_ADDRESS);
    EXPECT_EQ(ip.target_address, THEIR_ADDRESS);
    struct icmp_echo echo = {};
    EXPECT_EQ(icmp_parse(ip.payload, &echo), ICMP_OTHER); // checksum right, type no request
    EXPECT_EQ(ip.payload.at[0], 0);                       // echo reply
    EXPECT_EQ(memcmp(ip.payload.at + 4, request.data() + 14 + 20 + 4, GetParam() + 4), 0);
}

INSTANTIATE_TEST_SUITE_P(Sizes, NeighbourEcho,
                         testing::Values(0, 1, 2, 17, 18, 56, 57, 1471, 1472));

TEST_F(Neighbour, AnswersNoPingAboveItsMtu) { EXPECT_EQ(Receive(EchoRequest(1473)), 0U); }

TEST_F(Neighbour, AnswersAPingWithoutTheOptions)
{
    Ip ip;
    ip.options.assign(8, 1);

    EXPECT_EQ(Receive(EchoRequest(56, ip)), EchoRequest(56).size());
}

TEST_F(Neighbour, PadsAnAnswerLikeItsRequest)
{
    Bytes request = EchoRequest(1);
    request.resize(60);

    EXPECT_EQ(Receive(request), 60U);
}

TEST_F(Neighbour, AnswersNoPingThatNamesAGroupAsItsSource)
{
    Ethernet ethernet;
    ethernet.source = BROADCAST_MAC;

    EXPECT_EQ(Receive(EchoRequest(8, {}, ethernet)), 0U);
}

TEST_F(Neighbour, WritesNoPartOfAnEchoThatDoesNotFit)
{
    const Bytes request = EchoRequest(56);

    EXPECT_EQ(Receive(request, 0, request.size() - 1), 0U);
    EXPECT_EQ(Receive(request, 0, request.size()), request.size());
}

} // namespace
