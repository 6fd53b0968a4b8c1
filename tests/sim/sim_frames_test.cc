#include "tests/sim/sim_frames.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/endian.h"
#include "nic/arp.h"
#include "nic/neighbour.h"

namespace {

constexpr struct sim_address kClient = {0xc0000201, 40000};
constexpr uint16_t kPort = 4650;

class SimFrames : public testing::Test {
  protected:
    SimFrames()
    {
        interface_.mac = {{2, 0, 0, 0, 0, 0x0a}};
        interface_.address = 0xc000020a;
        interface_.netmask = 0xffffff00;
        interface_.mtu_bytes = 1500;
    }
    struct sim_datagram Datagram(const char *payload) const
    {
        struct sim_datagram datagram = {};
        datagram.source = kClient;
        datagram.target = {interface_.address, kPort};
        datagram.payload = bytes_of_text(payload);
        return datagram;
    }
    struct packet Wrapped(const struct sim_datagram &datagram)
    {
        frame_.resize(SIM_FRAME_BYTES_MAX);
        frame_.resize(sim_frame_wrap(&interface_, &datagram, frame_.data()));
        struct packet packet = {};
        packet.frame = bytes_of(frame_.data(), frame_.size());
        return packet;
    }
    // The frame as the node would send it: the other way round.
    void TurnRound(const struct sim_datagram &datagram)
    {
        struct interface other = interface_;
        other.mac = sim_frame_mac(datagram.target.host);
        frame_.resize(SIM_FRAME_BYTES_MAX);
        frame_.resize(sim_frame_wrap(&other, &datagram, frame_.data()));
        memcpy(frame_.data() + MAC_BYTES, interface_.mac.bytes, MAC_BYTES);
    }
    enum sim_frame_kind Unwrap(struct sim_datagram *out)
    {
        return sim_frame_unwrap(&interface_, bytes_of(frame_.data(), frame_.size()), out);
    }

    struct interface interface_ = {};
    std::vector<uint8_t> frame_;
};

TEST_F(SimFrames, WrapsADatagramThatTheParserTakes)
{
    for (const char *const payload : {"", "x", "odd", "four", "a line\nand one more"}) {
        const struct packet packet = Wrapped(Datagram(payload));
        struct datagram parsed;

        ASSERT_EQ(frame_parse(&interface_, &packet, &parsed), FRAME_UDP) << payload;
        EXPECT_EQ(parsed.source_address, kClient.host);
        EXPECT_EQ(parsed.source_port, kClient.port);
        EXPECT_EQ(parsed.target_port, kPort);
        EXPECT_EQ(std::string(reinterpret_cast<const char *>(parsed.payload.at),
                              parsed.payload.len_bytes),
                  payload);
    }
}

TEST_F(SimFrames, WrapsWithTheTagOfTheInterface)
{
    interface_.vlan_tagged = true;
    interface_.vlan_id = 7;
    const struct packet packet = Wrapped(Datagram("tagged"));
    struct datagram parsed;

    EXPECT_EQ(frame_parse(&interface_, &packet, &parsed), FRAME_UDP);
}

TEST_F(SimFrames, ABadChecksumIsFound)
{
    struct sim_datagram datagram = Datagram("damaged");
    datagram.checksum_is_bad = true;
    const struct packet packet = Wrapped(datagram);
    struct datagram parsed;

    EXPECT_EQ(frame_parse(&interface_, &packet, &parsed), FRAME_UDP_BAD_CHECKSUM);
}

TEST_F(SimFrames, UnwrapsWhatTheInterfaceSent)
{
    struct sim_datagram sent = {};
    sent.source = {interface_.address, kPort};
    sent.target = kClient;
    sent.payload = bytes_of_text("an answer");
    struct sim_datagram unwrapped;
    TurnRound(sent);

    ASSERT_EQ(Unwrap(&unwrapped), SIM_FRAME_DATAGRAM);

    EXPECT_EQ(unwrapped.target.host, kClient.host);
    EXPECT_EQ(unwrapped.target.port, kClient.port);
    EXPECT_EQ(unwrapped.source.port, kPort);
    EXPECT_TRUE(bytes_equal(unwrapped.payload, sent.payload));
}

TEST_F(SimFrames, RefusesToUnwrapWhatNoHostMaySend)
{
    struct sim_datagram sent = {};
    sent.source = {interface_.address, kPort};
    sent.target = kClient;
    sent.payload = bytes_of_text("an answer that is wrong in one byte");
    TurnRound(sent);
    const std::vector<uint8_t> right = frame_;

    const size_t end = right.size();
    for (size_t i = 0; i < end; i++) { // every byte is covered by an address or a checksum
        struct sim_datagram unwrapped;
        frame_ = right;
        frame_[i] ^= 0x10;
        EXPECT_NE(Unwrap(&unwrapped), SIM_FRAME_DATAGRAM) << "byte " << i;
    }
}

TEST_F(SimFrames, AnswersTheQuestionOfARealNeighbour)
{
    auto neighbour = std::make_unique<struct neighbour>();
    neighbour_init(neighbour.get(), &interface_);
    struct mac found;
    EXPECT_FALSE(neighbour_find(neighbour.get(), kClient.host, 1, &found));

    bool asked = false;
    for (uint64_t now_ns = 1; now_ns < 20'000'000'000 && !asked; now_ns += 100'000'000) {
        uint8_t request[NEIGHBOUR_FRAME_BYTES_MAX];
        uint8_t reply[SIM_FRAME_BYTES_MAX];
        const size_t len = neighbour_tick(neighbour.get(), now_ns, request, sizeof request);
        struct sim_datagram unused;
        if (len == 0) { continue; }
        const struct bytes frame = bytes_of(request, len);
        if (sim_frame_unwrap(&interface_, frame, &unused) != SIM_FRAME_ARP_REQUEST) { continue; }
        asked = true;
        struct packet packet = {};
        packet.frame = bytes_of(reply, sim_frame_answer(&interface_, frame, reply));
        uint8_t room[NEIGHBOUR_FRAME_BYTES_MAX];
        EXPECT_EQ(neighbour_receive(neighbour.get(), &packet, FRAME_ARP, now_ns, room, sizeof room),
                  0U);
        ASSERT_TRUE(neighbour_find(neighbour.get(), kClient.host, now_ns, &found));
    }

    ASSERT_TRUE(asked);
    const struct mac expected = sim_frame_mac(kClient.host);
    EXPECT_TRUE(mac_equal(&found, &expected));
}

TEST_F(SimFrames, SpreadsFlowsOverAllQueuesAndKeepsEachWhereItIs)
{
    std::set<size_t> queues;
    for (uint16_t port = 1; port < 200; port++) {
        const struct sim_address source = {kClient.host, port};
        const size_t queue = sim_frame_queue(1, source, {interface_.address, kPort}, 4);
        EXPECT_EQ(queue, sim_frame_queue(1, source, {interface_.address, kPort}, 4));
        queues.insert(queue);
    }

    EXPECT_EQ(queues, (std::set<size_t>{0, 1, 2, 3}));
}

} // namespace
