#include "tests/dataplane/native_producer.h"

namespace {

class Acknowledge : public NativeTest {
  protected:
    // Milliseconds until the first ACK comes, at turns of 100 us; -1: none within `most_ms`.
    double WaitForAck(Producer *producer, double most_ms)
    {
        for (double ms = 0; ms <= most_ms; ms += 0.1) {
            world_->Turn();
            if (!producer->TakeAcks().empty()) { return ms; }
        }
        return -1;
    }

    // Commits take longer than any ACK: what comes is not for durability's sake.
    void StartWithSlowCommits()
    {
        options_.commit_linger_ns = 200 * kMs;
        Start();
    }
};

// ------------------------------------------------------------------------------- when, 6.1

TEST_F(Acknowledge, WithinTheAckDelayAndNotSooner)
{
    StartWithSlowCommits();
    Producer producer(world_.get(), {0xc0000201, 40001}, 1);
    ASSERT_EQ(producer.Open(kSecond), NATIVE_ACCEPT);

    producer.SendData(1, Values{"1"});
    const double ms = WaitForAck(&producer, 10);

    EXPECT_GE(ms, 4.5);
    EXPECT_LE(ms, 5.5);
}

TEST_F(Acknowledge, AtOnceForTheEighthDatagram)
{
    StartWithSlowCommits();
    Producer producer(world_.get(), {0xc0000201, 40001}, 1);
    ASSERT_EQ(producer.Open(kSecond), NATIVE_ACCEPT);
    for (uint64_t i = 1; i <= 7; i++) { producer.SendData(i, Values{"x"}); }
    EXPECT_EQ(WaitForAck(&producer, 1), -1);

    producer.SendData(8, Values{"x"});

    EXPECT_EQ(WaitForAck(&producer, 1), 0);
}

TEST_F(Acknowledge, AtOnceForASequenceOutOfOrder)
{
    StartWithSlowCommits();
    Producer producer(world_.get(), {0xc0000201, 40001}, 1);
    ASSERT_EQ(producer.Open(kSecond), NATIVE_ACCEPT);

    producer.SendData(2, Values{"x"});

    EXPECT_EQ(WaitForAck(&producer, 1), 0);
}

TEST_F(Acknowledge, AtOnceForAPacketNumberOutOfOrder)
{
    StartWithSlowCommits();
    Producer producer(world_.get(), {0xc0000201, 40001}, 1);
    ASSERT_EQ(producer.Open(kSecond), NATIVE_ACCEPT);
    producer.SendData(1, Values{"x"});
    EXPECT_GE(WaitForAck(&producer, 10), 0);

    producer.packet_number_++; // lost
    producer.SendData(2, Values{"x"});
    EXPECT_EQ(WaitForAck(&producer, 1), 0);

    producer.packet_number_ -= 2; // here it is
    producer.SendData(3, Values{"x"});
    EXPECT_EQ(WaitForAck(&producer, 1), 0);
}

TEST_F(Acknowledge, AtOnceForAPingHoweverLong)
{
    StartWithSlowCommits();
    Producer producer(world_.get(), {0xc0000201, 40001}, 1);
    ASSERT_EQ(producer.Open(kSecond), NATIVE_ACCEPT);
    for (const size_t len_bytes : {size_t{44}, size_t{45}, size_t{1200}, size_t{1472}}) {
        producer.SendPing(len_bytes);
        EXPECT_EQ(WaitForAck(&producer, 1), 0);
    }
}

TEST_F(Acknowledge, AtOnceWhenDurableMoves)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(1, Values{"x"});
    sim_disk_hold(native_rig_disk(world_->Rig()), true);
    world_->Run(50 * kMs);
    producer.TakeAcks();

    sim_disk_hold(native_rig_disk(world_->Rig()), false);
    world_->Turn(4);

    const auto acks = producer.TakeAcks();
    ASSERT_EQ(acks.size(), 1U);
    EXPECT_EQ(acks[0].wire.durable, 1U);
}

TEST_F(Acknowledge, NothingIsSaidUnasked)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(1, Values{"x"});
    producer.WaitForDurable(1);
    world_->Run(20 * kMs);
    producer.TakeAcks();

    world_->Run(5 * kSecond, 5 * kMs);

    EXPECT_TRUE(producer.TakeAcks().empty());
}

TEST_F(Acknowledge, NumbersRiseAndTheDelayIsThatOfTheLargest)
{
    StartWithSlowCommits();
    Producer producer(world_.get(), {0xc0000201, 40001}, 1);
    ASSERT_EQ(producer.Open(kSecond), NATIVE_ACCEPT);
    uint64_t last_number = 0;
    for (uint64_t i = 0; i < 5; i++) {
        producer.SendData(1 + i, Values{"x"});
        world_->Run(6 * kMs, 100 * NS_PER_US);
        const auto acks = producer.TakeAcks();
        ASSERT_EQ(acks.size(), 1U);
        if (i > 0) { EXPECT_GT(acks[0].wire.ack_number, last_number); }
        last_number = acks[0].wire.ack_number;
        EXPECT_GE(acks[0].wire.ack_delay_us, 4900U);
        EXPECT_LE(acks[0].wire.ack_delay_us, 5100U);
        EXPECT_EQ(acks[0].ranges[0].second, i);
    }
}

TEST_F(Acknowledge, RangesAreThePacketNumbersThatCameAtMost32)
{
    Start();
    Producer producer = Opened(1);
    for (uint64_t i = 0; i < 100; i++) {
        producer.packet_number_ = 3 * i; // every third
        producer.SendPing();
    }
    world_->Turn(10);
    const auto acks = producer.TakeAcks();
    ASSERT_FALSE(acks.empty());

    ASSERT_EQ(acks.back().ranges.size(), size_t{NATIVE_RANGES_MAX});
    for (uint64_t i = 0; i < NATIVE_RANGES_MAX; i++) {
        EXPECT_EQ(acks.back().ranges[i], (std::pair<uint64_t, uint64_t>{297 - 3 * i, 297 - 3 * i}));
    }
}

TEST_F(Acknowledge, PacketNumbersOfAnySizeDoNoHarm)
{
    Start();
    Producer producer = Opened(1);
    for (const uint64_t number : {UINT64_MAX, uint64_t{0}, UINT64_MAX - 1, UINT64_MAX}) {
        producer.packet_number_ = number;
        producer.SendPing();
        world_->Turn(2);
    }
    const auto acks = producer.TakeAcks();
    ASSERT_FALSE(acks.empty());
    EXPECT_EQ(acks.back().ranges[0], (std::pair<uint64_t, uint64_t>{UINT64_MAX - 1, UINT64_MAX}));
    producer.packet_number_ = 5;
    producer.SendData(1, Values{"too old a number, and a record all the same"});
    EXPECT_EQ(producer.WaitForDurable(1).wire.received, 1U);
}

// ------------------------------------------------------------------------------- fates

TEST_F(Acknowledge, FatesThatDoNotFitComeWhenTheFirstOnesAreConfirmed)
{
    options_.commit_bytes = 1 << 20;
    options_.segment_bytes = 16 << 20;
    Start();
    Producer producer = Opened(1);
    uint64_t sequence = 1;
    for (int datagram = 0; datagram < 3; datagram++) { // 768 runs: more than 1,200 bytes hold
        std::vector<Record> records;
        for (int i = 0; i < 256; i++, sequence++) {
            records.push_back(sequence % 2 == 0 ? RawRecord({0, 0, 0, 1}) : RawRecord({0}));
        }
        producer.SendData(records.empty() ? 0 : sequence - 256, records);
        world_->Run(20 * kMs);
    }
    const uint64_t last = sequence - 1;
    uint64_t told = 0;
    int acks = 0;
    while (told < last && acks < 10) {
        const Ack ack = producer.Ask();
        acks++;
        EXPECT_EQ(ack.wire.received, last);
        EXPECT_EQ(ack.wire.fates_first, told + 1);
        ASSERT_GT(ack.wire.durable, told);
        uint64_t at = told;
        for (const auto &[fate, count] : ack.fates) {
            at++;
            EXPECT_EQ(count, 1U);
            EXPECT_EQ(fate, at % 2 == 0 ? NATIVE_STORED : NATIVE_MALFORMED_RECORD);
        }
        EXPECT_EQ(at, ack.wire.durable);
        told = ack.wire.durable;
        producer.confirmed_ = told;
    }
    EXPECT_EQ(told, last);
    EXPECT_EQ(acks, 2);
}

TEST_F(Acknowledge, ConfirmingForgetsFatesAndNeverMoreThanIsDurable)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(1, Values{"1", "2", "healthz", "4"});
    producer.WaitForDurable(4);

    producer.confirmed_ = 2;
    EXPECT_EQ(producer.Ask().fates, (Fates{{NATIVE_DROPPED, 1}, {NATIVE_STORED, 1}}));
    producer.confirmed_ = 1; // going back changes nothing
    EXPECT_EQ(producer.Ask().wire.fates_first, 3U);
    producer.confirmed_ = UINT64_MAX; // what is not durable cannot be confirmed
    EXPECT_EQ(producer.Ask().wire.fates_first, 5U);
    producer.SendData(5, Values{"5"});
    EXPECT_EQ(producer.WaitForDurable(5).fates, (Fates{{NATIVE_STORED, 1}}));
}

TEST_F(Acknowledge, ALaneWhoseRunsAreUsedUpWaitsUntilSomeAreConfirmed)
{
    Start();
    Producer producer = Opened(1);
    uint64_t next = 1;
    for (int i = 0; i < 20; i++) { // without confirming anything
        std::vector<Record> records;
        for (int k = 0; k < 100; k++) {
            records.push_back(k % 2 == 0 ? RawRecord({0, 0, 0, 1}) : RawRecord({0}));
        }
        producer.SendData(next, records);
        world_->Run(10 * kMs);
        next = producer.Ask().wire.received + 1;
    }
    EXPECT_LT(next, 1500U);
    EXPECT_GT(next, 200U);
    EXPECT_GT(Counter(STATS_native_over_share), 0U);
    producer.SendData(next, Values{"must wait"});
    EXPECT_EQ(producer.Ask().wire.received, next - 1 + 1); // one record has room still
    const uint64_t received = next;

    for (int i = 0; i < 5; i++) { producer.confirmed_ = producer.Ask().wire.durable; }
    producer.SendData(received + 1, Values(200, "goes on"));
    EXPECT_EQ(producer.WaitForDurable(received + 200).wire.received, received + 200);
}

TEST_F(Acknowledge, LanesThatNeverConfirmDoNotStopTheOthers)
{
    options_.lanes_max = 256;
    options_.session_timeout_ns = 60 * kSecond;
    Start();
    Producer honest = Opened(1);
    std::vector<Record> alternating;
    for (int k = 0; k < 256; k++) {
        alternating.push_back(k % 2 == 0 ? RawRecord({0, 0, 0, 1}) : RawRecord({0}));
    }
    for (uint32_t lane = 1; lane <= 250; lane++) { // each hoards all the runs that it gets
        Producer hoarder(world_.get(), {0xc0000203, static_cast<uint16_t>(1000 + lane)}, 7, lane);
        ASSERT_EQ(hoarder.Open(), NATIVE_ACCEPT);
        for (uint64_t i = 0; i < 2; i++) { hoarder.SendData(1 + 256 * i, alternating); }
        world_->Run(5 * kMs);
    }

    for (uint64_t i = 1; i <= 100; i++) {
        honest.SendData(10 * i - 9, Values(10, "honest"));
        const Ack ack = honest.WaitForDurable(10 * i);
        if (ack.wire.durable < 10 * i) { break; }
        honest.confirmed_ = ack.wire.durable;
    }

    EXPECT_EQ(Counter(STATS_native_fates_given_up), 0U);
    world_->Run(12 * kSecond, kMs); // a producer that still wants its fates has asked by then
    EXPECT_GT(Counter(STATS_native_fates_given_up), 50U);
    honest.SendData(1001, Values{"after"});
    EXPECT_EQ(honest.WaitForDurable(1001).wire.durable, 1001U);
}

// ------------------------------------------------------------------------------- credit

TEST_F(Acknowledge, CreditIsZeroWhileTheLogIsClosedAndComesBackUnasked)
{
    Start();
    Producer producer = Opened(1);
    EXPECT_GT(producer.accept_.credit_bytes, 0U);
    sim_disk_fail_writes(native_rig_disk(world_->Rig()), 1, UINT64_MAX, STATUS_IO);
    producer.SendData(1, Values{"under way"});
    world_->Run(2 * kSecond);

    const auto closed = producer.TakeAcks();
    ASSERT_FALSE(closed.empty());
    EXPECT_EQ(closed.back().wire.credit_bytes, 0U);
    EXPECT_EQ(closed.back().wire.status, NATIVE_CLOSED_IO);
    EXPECT_EQ(closed.back().wire.durable, 0U);
    EXPECT_EQ(closed.back().wire.received, 1U);

    sim_disk_fail_writes(native_rig_disk(world_->Rig()), 0, 0, STATUS_OK);
    const Ack open = producer.WaitForDurable(1, 5 * kSecond);
    EXPECT_EQ(open.fates, (Fates{{NATIVE_STORED, 1}}));
    world_->Run(300 * kMs);
    const auto after = producer.TakeAcks();
    const Ack newest = after.empty() ? open : after.back();
    EXPECT_GT(newest.wire.credit_bytes, 0U);
    EXPECT_EQ(newest.wire.status, NATIVE_WELL);
}

TEST_F(Acknowledge, WhoWasToldZeroHearsOfCreditThoughItHasNothingUnderWay)
{
    Start();
    Producer busy = Opened(1);
    Producer idle = Opened(2);
    sim_disk_fail_writes(native_rig_disk(world_->Rig()), 1, UINT64_MAX, STATUS_IO);
    busy.SendData(1, Values{"closes the log"});
    world_->Run(kSecond);
    EXPECT_EQ(idle.Ask().wire.credit_bytes, 0U); // told

    sim_disk_fail_writes(native_rig_disk(world_->Rig()), 0, 0, STATUS_OK);
    world_->Run(3 * kSecond);

    const auto acks = idle.TakeAcks();
    ASSERT_FALSE(acks.empty());
    EXPECT_GT(acks.back().wire.credit_bytes, 0U);
}

TEST_F(Acknowledge, NoSpaceIsToldAsSuch)
{
    Start();
    Producer producer = Opened(1);
    sim_disk_fail_writes(native_rig_disk(world_->Rig()), 1, UINT64_MAX, STATUS_NO_SPACE);
    producer.SendData(1, Values{"1"});
    world_->Run(2 * kSecond);

    const Ack ack = producer.Ask();
    EXPECT_EQ(ack.wire.status, NATIVE_CLOSED_NO_SPACE);
    EXPECT_EQ(ack.wire.credit_bytes, 0U);
    sim_disk_fail_writes(native_rig_disk(world_->Rig()), 0, 0, STATUS_OK);
    producer.WaitForDurable(1, 5 * kSecond);
}

TEST_F(Acknowledge, CreditIsSharedByTheLanesThatSend)
{
    options_.commit_bytes = 256 * 1024;
    options_.segment_bytes = 16 << 20;
    Start();
    std::vector<Producer> producers;
    for (uint8_t id = 1; id <= 8; id++) { producers.push_back(Opened(id)); }
    producers[0].SendData(1, Values{"alone"});
    producers[0].WaitForDurable(1);
    world_->Run(300 * kMs);
    const uint32_t alone = producers[0].Ask().wire.credit_bytes;

    for (int round = 0; round < 30; round++) {
        for (Producer &producer : producers) {
            producer.SendData(producer.Ask().wire.received + 1, Values{std::string(700, 't')});
        }
        world_->Run(10 * kMs);
    }
    const uint32_t together = producers[0].Ask().wire.credit_bytes;

    EXPECT_NEAR(together, alone / 8, alone / 80);
}

// Otherwise many lanes that hardly send would leave next to nothing for one that does.
TEST_F(Acknowledge, LanesThatSendLittleTakeNoCreditFromOthers)
{
    options_.commit_bytes = 256 * 1024;
    options_.segment_bytes = 16 << 20;
    Start();
    std::vector<Producer> producers;
    for (uint8_t id = 1; id <= 8; id++) { producers.push_back(Opened(id)); }
    const uint32_t alone = producers[0].Ask().wire.credit_bytes;
    for (int round = 0; round < 30; round++) {
        for (Producer &producer : producers) {
            producer.SendData(producer.Ask().wire.received + 1, Values{"little"});
        }
        world_->Run(10 * kMs);
    }
    EXPECT_EQ(producers[0].Ask().wire.credit_bytes, alone);
}

// A line may wait for company; who came after it does not wait with it.
TEST_F(Acknowledge, IsForNoLongerThanTheLingerWhenALineWaitsInTheSameCommit)
{
    options_.commit_linger_unacked_ns = kSecond;
    Start();
    Producer producer = Opened(1);
    const std::string line = "a line";
    native_rig_put_to(world_->Rig(), {0xc0000209, 50000}, NATIVE_RIG_LINES_PORT,
                      bytes_of(line.data(), line.size()));
    world_->Run(10 * kMs);
    EXPECT_EQ(Counter(STATS_records_stored), 0U) << "it waits alone";

    producer.SendData(1, Values{"awaited"});
    producer.WaitForDurable(1, 10 * kMs);

    EXPECT_EQ(Counter(STATS_records_stored), 2U) << "and went along";
}

TEST_F(Acknowledge, ALaneThatIgnoresCreditIsHeldToItsShareAndTheOthersGoOn)
{
    options_.commit_linger_ns = 5 * kMs;
    options_.segment_bytes = 16 << 20;
    Start();
    Producer greedy = Opened(1);
    std::vector<Producer> honest;
    for (uint8_t id = 2; id <= 9; id++) { honest.push_back(Opened(id)); }
    sim_disk_set_latency(native_rig_disk(world_->Rig()), 2 * kMs, 4 * kMs);
    std::vector<uint64_t> next(honest.size(), 1);
    uint64_t greedy_next = 1;
    const std::string filling(1100, 'g');
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 60; i++) {
            greedy.SendData(greedy_next + static_cast<uint64_t>(i), Values{filling});
        }
        for (size_t i = 0; i < honest.size(); i++) {
            honest[i].SendData(next[i], Values{"honest"});
        }
        world_->Turn(10, 100 * NS_PER_US);
        for (const Ack &ack : greedy.TakeAcks()) {
            greedy_next = ack.wire.received + 1;
            greedy.confirmed_ = ack.wire.durable;
        }
        for (size_t i = 0; i < honest.size(); i++) {
            for (const Ack &ack : honest[i].TakeAcks()) {
                next[i] = ack.wire.received + 1;
                honest[i].confirmed_ = ack.wire.durable;
            }
        }
    }
    EXPECT_GT(Counter(STATS_native_over_share) + Counter(STATS_native_ahead_dropped), 0U);
    for (size_t i = 0; i < honest.size(); i++) {
        EXPECT_GT(honest[i].WaitForDurable(next[i] - 1).wire.durable, 30U) << i;
    }
}

TEST_F(Acknowledge, WhatALanesShareOfACommitHasNoRoomForIsNotNamed)
{
    options_.commit_linger_ns = 20 * kMs;
    Start();
    std::vector<Producer> producers;
    for (uint8_t id = 1; id <= 16; id++) { producers.push_back(Opened(id)); }
    for (Producer &producer : producers) { producer.SendData(1, Values{std::string(1100, 'h')}); }
    world_->Turn(2, 2 * kMs); // shares are of 16 lanes now
    Producer &greedy = producers[0];

    const std::string filling(1100, 'g');
    for (uint64_t i = 2; i <= 20; i++) { greedy.SendData(i, Values{filling}); }
    const Ack ack = greedy.Ask();

    const uint64_t dropped = Counter(STATS_native_over_share) + Counter(STATS_native_ahead_dropped);
    EXPECT_GT(Counter(STATS_native_over_share), 0U);
    uint64_t named = 0;
    for (const auto &[first, last] : ack.ranges) { named += last - first + 1; }
    EXPECT_EQ(named, 21 - dropped);
}

} // namespace
