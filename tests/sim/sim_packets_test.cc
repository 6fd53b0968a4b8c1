#include "tests/sim/sim_packets.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr size_t kBuffers = 4;

class SimPackets : public testing::Test {
  protected:
    ~SimPackets() override { sim_packets_destroy(packets_); }

    size_t Send(const std::vector<std::string> &frames)
    {
        std::vector<void *> handles;
        std::vector<size_t> lens_bytes;
        for (const std::string &frame : frames) {
            struct packet_room room = {};
            EXPECT_TRUE(packets_reserve(Port(), &room));
            memcpy(room.at, frame.data(), frame.size());
            handles.push_back(room.handle);
            lens_bytes.push_back(frame.size());
        }
        return packets_transmit(Port(), handles.data(), lens_bytes.data(), handles.size());
    }
    std::string Sent(size_t index) const
    {
        const struct bytes frame = sim_packets_sent(packets_, index);
        return std::string(reinterpret_cast<const char *>(frame.at), frame.len_bytes);
    }
    std::string TakeSent()
    {
        char room[64];
        return std::string(room, sim_packets_take_sent(packets_, room, sizeof room));
    }
    void Put(const std::string &frame)
    {
        sim_packets_put(packets_, bytes_of(frame.data(), frame.size()));
    }
    struct packets Port() { return sim_packets_port(packets_); }

    struct sim_packets *packets_ = sim_packets_create(kBuffers);
};

TEST_F(SimPackets, KeepsWhatWasSentUntilItIsTakenAway)
{
    EXPECT_EQ(Send({"first", "second"}), 2U);

    EXPECT_EQ(sim_packets_sent_count(packets_), 2U);
    EXPECT_EQ(Sent(0), "first");
    EXPECT_EQ(Sent(1), "second");
    EXPECT_EQ(sim_packets_out(packets_), 0U);
}

TEST_F(SimPackets, TakesTheOldestAwayFirst)
{
    Send({"first", "second"});

    EXPECT_EQ(TakeSent(), "first");

    EXPECT_EQ(sim_packets_sent_count(packets_), 1U);
    EXPECT_EQ(Sent(0), "second");
    EXPECT_EQ(TakeSent(), "second");
    EXPECT_EQ(TakeSent(), "");
}

TEST_F(SimPackets, StaysInOrderWhileItIsFilledAndEmptiedForLong)
{
    size_t taken = 0;
    for (size_t sent = 0; sent < 10000; sent++) {
        Send({std::to_string(sent)});
        if (sent % 3 == 0) { continue; } // lags, so that the queue moves and grows
        ASSERT_EQ(TakeSent(), std::to_string(taken));
        taken++;
    }

    ASSERT_EQ(sim_packets_sent_count(packets_), 10000 - taken);
    for (; taken < 10000; taken++) { ASSERT_EQ(TakeSent(), std::to_string(taken)); }
    EXPECT_EQ(sim_packets_sent_count(packets_), 0U);
}

TEST_F(SimPackets, ReceivesNothingWhileAllBuffersAreHeldAndGoesOnWhenOneComesBack)
{
    struct packet held[kBuffers + 1] = {};
    for (int i = 0; i < 6; i++) { Put("frame " + std::to_string(i)); }
    ASSERT_EQ(packets_receive(Port(), held, kBuffers + 1), kBuffers);
    ASSERT_EQ(packets_buffers_free(Port()), 0U);
    struct packet next = {};

    EXPECT_EQ(packets_receive(Port(), &next, 1), 0U);
    packets_release(Port(), &held[2].handle, 1);
    ASSERT_EQ(packets_receive(Port(), &next, 1), 1U);

    EXPECT_TRUE(bytes_equal_text(next.frame, "frame 4"));
    EXPECT_TRUE(bytes_equal_text(held[3].frame, "frame 3")); // what is held stays as it was
    EXPECT_EQ(sim_packets_waiting(packets_), 1U);
    for (struct packet *packet : {&held[0], &held[1], &held[3], &next}) {
        packets_release(Port(), &packet->handle, 1);
    }
    EXPECT_EQ(packets_buffers_free(Port()), kBuffers);
}

} // namespace
