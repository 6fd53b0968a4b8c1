#include "dataplane/outbox.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "tests/sim/sim_packets.h"

namespace {

class Outbox : public testing::Test {
  protected:
    void SetUp() override
    {
        const struct packets ports[2] = {sim_packets_port(first_.get()),
                                         sim_packets_port(second_.get())};
        memset(outbox_.get(), 0, sizeof *outbox_);
        outbox_init(outbox_.get(), ports, 2);
    }

    bool Push(size_t port, uint8_t byte)
    {
        struct packet_room room;
        if (!outbox_reserve(outbox_.get(), port, &room)) { return false; }
        room.at[0] = byte;
        outbox_push(outbox_.get(), port, room.handle, 1);
        return true;
    }

    struct Destroy {
        void operator()(struct sim_packets *packets) const { sim_packets_destroy(packets); }
    };
    using Packets = std::unique_ptr<struct sim_packets, Destroy>;
    Packets first_{sim_packets_create(PACKETS_BURST_MAX + 8)};
    Packets second_{sim_packets_create(4)};
    std::unique_ptr<struct outbox> outbox_ = std::make_unique<struct outbox>();
};

TEST_F(Outbox, FramesGoToTheirPortInOrderWhenItIsFlushed)
{
    ASSERT_TRUE(Push(0, 1));
    ASSERT_TRUE(Push(1, 2));
    ASSERT_TRUE(Push(0, 3));
    EXPECT_EQ(sim_packets_sent_count(first_.get()), 0U);

    EXPECT_EQ(outbox_flush(outbox_.get()), 3U);

    ASSERT_EQ(sim_packets_sent_count(first_.get()), 2U);
    EXPECT_EQ(sim_packets_sent(first_.get(), 0).at[0], 1);
    EXPECT_EQ(sim_packets_sent(first_.get(), 1).at[0], 3);
    ASSERT_EQ(sim_packets_sent_count(second_.get()), 1U);
    EXPECT_EQ(outbox_flush(outbox_.get()), 0U);
    EXPECT_EQ(outbox_->sent_count, 3U);
}

TEST_F(Outbox, AFullBurstGoesWithoutAFlushAndIsCountedOnce)
{
    for (size_t i = 0; i < PACKETS_BURST_MAX; i++) { ASSERT_TRUE(Push(0, 1)); }
    EXPECT_EQ(sim_packets_sent_count(first_.get()), size_t{PACKETS_BURST_MAX});
    ASSERT_TRUE(Push(0, 1));

    outbox_flush(outbox_.get());

    EXPECT_EQ(sim_packets_sent_count(first_.get()), size_t{PACKETS_BURST_MAX} + 1);
    EXPECT_EQ(outbox_->sent_count, uint64_t{PACKETS_BURST_MAX} + 1);
}

TEST_F(Outbox, ACancelledReservationGivesItsBufferBack)
{
    struct packet_room room;
    ASSERT_TRUE(outbox_reserve(outbox_.get(), 1, &room));
    EXPECT_EQ(sim_packets_out(second_.get()), 1U);

    outbox_cancel(outbox_.get(), 1, room.handle);

    EXPECT_EQ(sim_packets_out(second_.get()), 0U);
}

TEST_F(Outbox, WithoutBuffersThereIsNoRoomOnThisPortAlone)
{
    for (int i = 0; i < 4; i++) { ASSERT_TRUE(Push(1, 1)); }

    EXPECT_FALSE(Push(1, 1));
    EXPECT_TRUE(Push(0, 1));
    outbox_flush(outbox_.get());
    EXPECT_TRUE(Push(1, 1));
    outbox_flush(outbox_.get());
}

} // namespace
