#include "dataplane/sessions.h"

#include <algorithm>
#include <numeric>

#include "tests/dataplane/native_producer.h"

namespace {

class Sessions : public NativeTest {
  protected:
    // "1" .. "count".
    static Values Numbers(uint64_t first, uint64_t last)
    {
        Values out;
        for (uint64_t i = first; i <= last; i++) { out.push_back(std::to_string(i)); }
        return out;
    }

    static Bytes BigRecord(size_t value_bytes)
    {
        std::string value(value_bytes, ' ');
        for (size_t i = 0; i < value_bytes; i++) {
            value[i] = static_cast<char>('a' + (i * 7 + i / 1024) % 26);
        }
        return RecordBytes(value);
    }

    static std::string ValueOf(const Bytes &record)
    {
        struct native_header headers[NATIVE_HEADERS_MAX];
        struct native_record out;
        EXPECT_TRUE(native_record_decode(ViewOf(record), headers, &out));
        return {reinterpret_cast<const char *>(out.value.at), out.value.len_bytes};
    }
};

// ------------------------------------------------------------------------------- DATA in order

TEST_F(Sessions, RecordsAreStoredOnceInOrderAndTheirFatesTold)
{
    Start();
    Producer producer = Opened(1);

    producer.SendData(1, Values{"1", "healthz", "svc=pay"});
    producer.SendData(4, Values{"4"});
    const Ack ack = producer.WaitForDurable(4);

    EXPECT_EQ(ack.wire.received, 4U);
    EXPECT_EQ(ack.fates, (Fates{{NATIVE_STORED, 1}, {NATIVE_DROPPED, 1}, {NATIVE_STORED, 2}}));
    Settle();
    EXPECT_EQ(Stored(), (Values{"1", "4"}));
    EXPECT_EQ(Stored("payments"), (Values{"svc=pay"}));
}

TEST_F(Sessions, ADatagramOf256RecordsAndAllOfThemTwice)
{
    Start();
    Producer producer = Opened(1);
    const Values values = Numbers(1, 256);

    producer.SendData(1, values);
    producer.SendData(1, values);
    producer.WaitForDurable(256);

    Settle();
    EXPECT_EQ(Stored(), values);
    EXPECT_EQ(Counter(STATS_records_duplicate), 256U);
    EXPECT_EQ(Counter(STATS_records_in), 512U);
}

TEST_F(Sessions, EveryOverlapOfTwoDatagramsStoresEachRecordOnce)
{
    Start();
    Producer producer = Opened(1);
    uint64_t base = 0;
    Values expected;
    for (uint64_t first = 1; first <= 5; first++) {
        for (uint64_t count = 1; count <= 6; count++) {
            producer.SendData(base + 1, Numbers(base + 1, base + 4));
            producer.SendData(base + first, Numbers(base + first, base + first + count - 1));
            const uint64_t last = std::max<uint64_t>(4, first + count - 1);
            for (uint64_t i = 1; i <= last; i++) { expected.push_back(std::to_string(base + i)); }
            base += last;
        }
    }

    producer.WaitForDurable(base);

    Settle();
    EXPECT_EQ(Stored(), expected);
}

struct BadRecord {
    const char *name;
    Record record;
    uint8_t fate;
    enum stats_counter counter;
};

class SessionsRefuse : public Sessions, public testing::WithParamInterface<BadRecord> {};

TEST_P(SessionsRefuse, ARecordAloneAndItsNeighboursAreStored)
{
    Start();
    Producer producer = Opened(1);

    producer.SendData(1, {Record{"before"}, GetParam().record, Record{"behind"}});
    const Ack ack = producer.WaitForDurable(3);

    EXPECT_EQ(ack.fates, (Fates{{NATIVE_STORED, 1}, {GetParam().fate, 1}, {NATIVE_STORED, 1}}));
    EXPECT_EQ(Counter(GetParam().counter), 1U);
    Settle();
    EXPECT_EQ(Stored(), (Values{"before", "behind"}));
}

INSTANTIATE_TEST_SUITE_P(
    Each, SessionsRefuse,
    testing::Values(BadRecord{"UnknownTopic", Record{"x", "nobody-has-it"}, NATIVE_NO_TOPIC,
                              STATS_records_refused_no_topic},
                    BadRecord{"ReservedAttributes", RawRecord({0x80, 0, 0, 0}),
                              NATIVE_MALFORMED_RECORD, STATS_records_refused_malformed},
                    BadRecord{"LongVarint", RawRecord({0, 0x80, 0, 0, 0}), NATIVE_MALFORMED_RECORD,
                              STATS_records_refused_malformed},
                    BadRecord{"TooManyHeaders", RawRecord({0, 0, 25, 0}), NATIVE_MALFORMED_RECORD,
                              STATS_records_refused_malformed},
                    BadRecord{"BytesBehindTheValue", RawRecord({0, 0, 0, 1, 7}),
                              NATIVE_MALFORMED_RECORD, STATS_records_refused_malformed},
                    BadRecord{"OneByte", RawRecord({0}), NATIVE_MALFORMED_RECORD,
                              STATS_records_refused_malformed}),
    [](const testing::TestParamInfo<BadRecord> &info) { return info.param.name; });

TEST_F(Sessions, ARecordForATopicThatIsThereGoesThere)
{
    Start();
    Producer producer = Opened(1);

    producer.SendData(1, {Record{"a", "payments"}, Record{"healthz", "payments"}});

    EXPECT_EQ(producer.WaitForDurable(2).fates, (Fates{{NATIVE_STORED, 1}, {NATIVE_DROPPED, 1}}));
    Settle();
    EXPECT_EQ(Stored("payments"), (Values{"a"}));
}

TEST_F(Sessions, FatesOfRecordsThatAreAllDroppedWaitForTheirCommitToo)
{
    Start();
    Producer producer = Opened(1);
    Settle();
    sim_disk_hold(native_rig_disk(world_->Rig()), true);

    producer.SendData(1, Values{"healthz", "healthz"});
    world_->Run(200 * kMs);
    for (const Ack &ack : producer.TakeAcks()) {
        EXPECT_EQ(ack.wire.received, 2U);
        EXPECT_EQ(ack.wire.durable, 0U);
        EXPECT_TRUE(ack.fates.empty());
    }

    sim_disk_hold(native_rig_disk(world_->Rig()), false);
    EXPECT_EQ(producer.WaitForDurable(2).fates, (Fates{{NATIVE_DROPPED, 2}}));
}

TEST_F(Sessions, RecordsThatDoNotFillTheDatagramAreDroppedUnnamed)
{
    Start();
    Producer producer = Opened(1);
    Bytes one_too_many = producer.Data(1, Records({"1", "2"}));
    one_too_many[4] = 3;
    Seal(&one_too_many);
    Bytes one_too_few = producer.Data(1, Records({"1", "2"}));
    one_too_few[4] = 1;
    Seal(&one_too_few);
    producer.Send(one_too_many);
    producer.Send(one_too_few);
    world_->Run(20 * kMs);
    EXPECT_TRUE(producer.TakeAcks().empty());
    EXPECT_EQ(Counter(STATS_native_records_malformed), 2U);

    const Ack ack = producer.Ask();
    EXPECT_EQ(ack.ranges, (std::vector<std::pair<uint64_t, uint64_t>>{{2, 2}}));
    EXPECT_EQ(ack.wire.received, 0U);
}

// ------------------------------------------------------------------------------- out of order

TEST_F(Sessions, EveryOrderOfFiveDatagramsIsStoredInOrder)
{
    Start();
    Producer producer = Opened(1);
    std::vector<uint64_t> order = {0, 1, 2, 3, 4};
    uint64_t base = 0;
    do {
        for (const uint64_t at : order) {
            producer.SendData(base + 2 * at + 1, Numbers(base + 2 * at + 1, base + 2 * at + 2));
            if (base % 3 == 0) { world_->Turn(); } // sometimes in one burst, sometimes not
        }
        base += 10;
    } while (std::next_permutation(order.begin(), order.end()));

    producer.WaitForDurable(base, 10 * kSecond);

    Settle();
    EXPECT_EQ(Stored(), Numbers(1, base));
    EXPECT_EQ(Counter(STATS_native_ahead_dropped), 0U);
}

TEST_F(Sessions, AGapAtEveryPositionIsNamedAndClosed)
{
    Start();
    Producer producer = Opened(1);
    constexpr uint64_t kDatagrams = 8;
    for (uint64_t lost = 0; lost < kDatagrams; lost++) {
        const uint64_t base = lost * kDatagrams;
        const uint64_t packets = producer.packet_number_;
        for (uint64_t i = 0; i < kDatagrams; i++) {
            const Bytes datagram =
                producer.Data(base + i + 1, Records({std::to_string(base + i + 1)}));
            if (i != lost) { producer.Send(datagram); }
        }
        const Ack with_gap = producer.Ask();
        EXPECT_EQ(with_gap.wire.received, base + lost);
        ASSERT_FALSE(with_gap.ranges.empty());
        EXPECT_EQ(with_gap.ranges[0].first, packets + lost + 1);

        producer.SendData(base + lost + 1, Values{std::to_string(base + lost + 1)});
        EXPECT_EQ(producer.WaitForDurable(base + kDatagrams).wire.received, base + kDatagrams);
        producer.confirmed_ = base + kDatagrams;
    }
    Settle();
    EXPECT_EQ(Stored(), Numbers(1, kDatagrams * kDatagrams));
}

TEST_F(Sessions, WhatWaitedIsReceivedAsSoonAsTheGapClosesNotWithTheNextCommit)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(2, Values{"2"});
    producer.SendData(3, Values{"3"});
    world_->Turn(2);
    producer.TakeAcks();
    sim_disk_hold(native_rig_disk(world_->Rig()), true);

    producer.SendData(1, Values{"1"});
    world_->Turn(100);

    const std::vector<Ack> acks = producer.TakeAcks();
    ASSERT_FALSE(acks.empty());
    EXPECT_EQ(acks.back().wire.received, 3U);
    EXPECT_EQ(acks.back().wire.durable, 0U);
    sim_disk_hold(native_rig_disk(world_->Rig()), false);
    producer.WaitForDurable(3);
}

TEST_F(Sessions, FramesThatWaitAreBoundedAndWhatIsDroppedIsNotNamed)
{
    Start();
    Producer producer = Opened(1);
    constexpr uint64_t kAhead = 400; // more than frames may wait
    for (uint64_t i = 0; i < kAhead; i++) {
        producer.SendData(2 + i, Values{std::to_string(2 + i)});
        if (i % 32 == 0) { world_->Turn(); }
    }
    const Ack ack = producer.Ask();
    const uint64_t kept = Counter(STATS_native_ahead_kept);
    EXPECT_LT(kept, kAhead);
    EXPECT_GE(kept, 64U);
    EXPECT_EQ(kept + Counter(STATS_native_ahead_dropped), kAhead);
    uint64_t named = 0;
    for (const auto &[first, last] : ack.ranges) { named += last - first + 1; }
    EXPECT_LE(named, kept + 1); // the PING
    EXPECT_LE(sim_packets_out(native_rig_packets(world_->Rig(), 0)), options_.buffer_count / 2);

    for (uint64_t i = 0; i <= kAhead; i++) {
        producer.SendData(1 + i, Values{std::to_string(1 + i)});
        if (i % 32 == 0) { world_->Turn(); }
    }
    producer.WaitForDurable(kAhead + 1);
    Settle();
    EXPECT_EQ(Stored(), Numbers(1, kAhead + 1));
}

TEST_F(Sessions, AHoarderOfWaitingFramesLeavesOthersTheirPart)
{
    Start();
    Producer hoarder = Opened(1);
    Producer honest = Opened(2);
    for (uint64_t i = 0; i < 600; i++) {
        hoarder.SendData(2 + i, Values{"x"});
        if (i % 32 == 0) { world_->Turn(); }
    }

    for (uint64_t i = 8; i >= 1; i--) { honest.SendData(i, Values{std::to_string(i)}); }

    EXPECT_EQ(honest.WaitForDurable(8).wire.received, 8U);
}

TEST_F(Sessions, FarAheadIsDropped)
{
    Start();
    Producer producer = Opened(1);

    producer.SendData(1 + 65536, Values{"kept"});
    producer.SendData(1 + 65537, Values{"dropped"});
    world_->Run(5 * kMs);

    EXPECT_EQ(Counter(STATS_native_ahead_kept), 1U);
    EXPECT_EQ(Counter(STATS_native_ahead_dropped), 1U);
}

TEST_F(Sessions, WaitingFramesWhoseFatesNeedMoreRunsThanALaneHasDoNotEndTheWorker)
{
    Start();
    Producer producer = Opened(1);
    std::vector<Record> alternating; // each record a run of its own
    for (int i = 0; i < 256; i++) {
        alternating.push_back(i % 2 == 0 ? RawRecord({0, 0, 0, 1}) : RawRecord({0}));
    }
    constexpr uint64_t kFrames = 8;
    for (uint64_t i = 1; i <= kFrames; i++) { producer.SendData(2 + 256 * (i - 1), alternating); }
    world_->Turn(10);
    EXPECT_GE(Counter(STATS_native_ahead_kept), 5U);

    producer.SendData(1, Values{"fills the gap"});

    // It goes on as far as it may, and further whenever some are confirmed; nothing named is lost.
    uint64_t durable = 0;
    for (int round = 0; round < 100 && durable < 1 + 256 * kFrames; round++) {
        producer.TakeAcks();
        world_->Run(20 * kMs);
        const Ack ack = producer.Ask();
        durable = ack.wire.durable;
        producer.confirmed_ = durable;
        if (round == 50) { // what had not been named comes again
            for (uint64_t i = 1; i <= kFrames; i++) {
                producer.SendData(2 + 256 * (i - 1), alternating);
            }
        }
    }
    EXPECT_EQ(durable, 1 + 256 * kFrames);
}

TEST_F(Sessions, FramesThatWaitedDoNotMakeTheirSessionOlder)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(2, Values{"2"});
    world_->Run(8 * kSecond, 10 * kMs);
    producer.SendPing();
    world_->Run(kSecond, 10 * kMs);
    producer.SendData(1, Values{"1"});
    world_->Turn(5);

    Producer stranger(world_.get(), {0xc0000202, 5}, 1);
    stranger.open_.epoch = 2;
    ASSERT_EQ(stranger.Open(), NATIVE_REJECT); // it spoke just now
    EXPECT_EQ(stranger.reject_.code, NATIVE_REJECT_LANE_BUSY);
}

// ------------------------------------------------------------------------------- fragments

TEST_F(Sessions, EveryOrderOfFragmentsGivesTheRecord)
{
    Start();
    Producer producer = Opened(1);
    std::vector<size_t> order = {0, 1, 2, 3};
    Values expected;
    uint64_t sequence = 0;
    do {
        const Bytes record = BigRecord(3 * 1024 + 100 + sequence);
        sequence++;
        for (const size_t chunk : order) { producer.SendChunk(sequence, record, chunk); }
        producer.WaitForDurable(sequence);
        expected.push_back(ValueOf(record));
    } while (std::next_permutation(order.begin(), order.end()));

    Settle();
    EXPECT_EQ(Stored(), expected);
}

TEST_F(Sessions, FragmentsMayComeTwiceOverlapAndBeOfOtherSizes)
{
    Start();
    options_.seed = 2;
    Producer producer = Opened(1);
    const Bytes record = BigRecord(8 * 1024 + 1);

    producer.SendChunk(1, record, 2, 3);
    producer.SendChunk(1, record, 2, 3);
    producer.SendChunk(1, record, 0, 4);
    producer.SendChunk(1, record, 7);
    producer.SendChunk(1, record, 8);
    world_->Run(20 * kMs);
    EXPECT_EQ(producer.Ask().wire.received, 0U); // chunks 5 and 6 are missing
    producer.SendChunk(1, record, 4, 5);

    EXPECT_EQ(producer.WaitForDurable(1).fates, (Fates{{NATIVE_STORED, 1}}));
    producer.SendChunk(1, record, 4, 5); // a duplicate of what is stored: named, and nothing more
    world_->Run(20 * kMs);
    Settle();
    EXPECT_EQ(Stored(), (Values{ValueOf(record)}));
}

TEST_F(Sessions, FragmentsAheadOfNextAreNotNamed)
{
    Start();
    Producer producer = Opened(1);
    const Bytes record = BigRecord(2000);

    producer.SendChunk(2, record, 0); // packet 0
    const Ack ack = producer.Ask();   // packet 1

    EXPECT_EQ(ack.ranges, (std::vector<std::pair<uint64_t, uint64_t>>{{1, 1}}));
}

TEST_F(Sessions, AFragmentThatSaysAnotherLengthIsNotMixedIn)
{
    Start();
    Producer producer = Opened(1);
    const Bytes record = BigRecord(4000);
    const Bytes other = BigRecord(4500);

    producer.SendChunk(1, record, 0);
    producer.SendChunk(1, other, 1);
    const Ack ack = producer.Ask();
    EXPECT_EQ(ack.ranges.size(), 2U); // packet 1 is not named

    for (size_t chunk = 1; chunk < 4; chunk++) { producer.SendChunk(1, record, chunk); }
    producer.WaitForDurable(1);
    Settle();
    EXPECT_EQ(Stored(), (Values{ValueOf(record)}));
}

TEST_F(Sessions, ChunksOfARecordThatWasRefusedAreNotFoundInTheNextOne)
{
    Start();
    Producer producer = Opened(1);
    const Bytes first = BigRecord(3000);
    const Bytes second(first.size(), 0x55);
    producer.SendChunk(1, first, 0);

    Bytes too_large = first;
    too_large.resize(options_.max_record_bytes + 1);
    producer.SendChunk(1, too_large, 0);
    EXPECT_EQ(producer.WaitForDurable(1).fates, (Fates{{NATIVE_TOO_LARGE, 1}}));

    const Bytes record = BigRecord(3001);
    const Bytes same_length(record.begin(), record.begin() + static_cast<ptrdiff_t>(first.size()));
    producer.SendChunk(2, second, 1);
    producer.SendChunk(2, second, 2);
    world_->Run(20 * kMs);
    EXPECT_EQ(producer.Ask().wire.received, 1U) << "a chunk of record 1 was taken for record 2";
}

TEST_F(Sessions, ARecordOverTheLimitIsTooLargeByItsFirstFragment)
{
    Start();
    Producer producer = Opened(1);
    const Bytes at_limit = BigRecord(options_.max_record_bytes - 8);
    ASSERT_LE(at_limit.size(), options_.max_record_bytes);
    const Bytes over(options_.max_record_bytes + 1, 0x33);

    producer.SendChunk(1, over, 5);
    producer.SendData(2, Values{"behind"});
    EXPECT_EQ(producer.WaitForDurable(2).fates, (Fates{{NATIVE_TOO_LARGE, 1}, {NATIVE_STORED, 1}}));

    for (size_t chunk = 0; chunk * 1024 < at_limit.size(); chunk++) {
        producer.SendChunk(3, at_limit, chunk);
        world_->Turn();
    }
    producer.WaitForDurable(3);
    Settle();
    EXPECT_EQ(Stored(), (Values{"behind", ValueOf(at_limit)}));
    EXPECT_EQ(Counter(STATS_records_refused_too_large), 1U);
}

TEST_F(Sessions, ALaneThatDiesBetweenItsFragmentsGivesTheBufferBack)
{
    Start();
    const Bytes record = BigRecord(3000);
    for (uint8_t id = 1; id <= 12; id++) { // more than there are buffers
        Producer producer = Opened(id);
        producer.SendChunk(1, record, 0);
        world_->Turn(5);
        EXPECT_EQ(producer.Ask().ranges[0].first, 0U) << "no buffer for lane " << int{id};
        producer.SendClose();
        world_->Turn(5);
    }
}

TEST_F(Sessions, BuffersUsedUpHoldOthersBackUntilOneIsFree)
{
    Start();
    const Bytes record = BigRecord(2500);
    std::vector<Producer> producers;
    for (uint8_t id = 1; id <= 9; id++) {
        producers.push_back(Opened(id));
        producers.back().SendChunk(1, record, 0);
        world_->Turn(2);
    }
    EXPECT_EQ(producers[8].Ask().ranges[0].first, 1U); // chunk 0 was not taken

    producers[0].SendChunk(1, record, 1);
    producers[0].SendChunk(1, record, 2);
    producers[0].WaitForDurable(1);
    for (size_t chunk = 0; chunk < 3; chunk++) { producers[8].SendChunk(1, record, chunk); }
    producers[8].WaitForDurable(1);
    for (size_t i = 1; i < 8; i++) {
        producers[i].SendChunk(1, record, 1);
        producers[i].SendChunk(1, record, 2);
        producers[i].WaitForDurable(1);
    }
}

TEST_F(Sessions, LanesThatHoldBuffersAndDoNotGoOnGiveThemToWhoDoes)
{
    Start();
    const Bytes record = BigRecord(2500);
    std::vector<Producer> hoarders;
    for (uint8_t id = 1; id <= 8; id++) {
        hoarders.push_back(Opened(id));
        hoarders.back().SendChunk(1, record, 0);
    }
    Producer honest = Opened(9);
    Ack ack;
    for (int second = 0; second < 15 && ack.wire.durable == 0; second++) {
        for (Producer &hoarder : hoarders) { hoarder.SendPing(); }
        for (size_t chunk = 0; chunk < 3; chunk++) { honest.SendChunk(1, record, chunk); }
        world_->Run(kSecond, 5 * kMs);
        ack = honest.Ask();
    }

    EXPECT_EQ(ack.wire.durable, 1U);
}

// ------------------------------------------------------------------------------- ends

TEST_F(Sessions, CloseIsAnsweredWithItsReasonAndEndsTheSessionNotTheLane)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(1, Values{"1"});
    producer.WaitForDurable(1);

    producer.SendClose(NATIVE_CLOSE_FAILED);
    world_->Turn(3);
    const auto close = producer.Take(NATIVE_CLOSE);
    ASSERT_TRUE(close);
    EXPECT_EQ(close->datagram.close.reason, uint32_t{NATIVE_CLOSE_FAILED});
    EXPECT_EQ(close->datagram.close.sequence, 1U);
    EXPECT_EQ(native_rig_stats(world_->Rig(), 0)->sessions_live, 0U);
    EXPECT_EQ(native_rig_stats(world_->Rig(), 0)->lanes_known, 1U);

    producer.SendClose();
    world_->Turn(3);
    const auto reject = producer.Take(NATIVE_REJECT);
    ASSERT_TRUE(reject);
    EXPECT_EQ(reject->datagram.reject.code, NATIVE_REJECT_SESSION_UNKNOWN);
}

TEST_F(Sessions, CloseConfirmsFates)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(1, Values{"1", "2"});
    producer.WaitForDurable(2);
    producer.confirmed_ = 2;
    producer.SendClose();
    world_->Turn(3);

    producer.open_.durable = NATIVE_UNKNOWN;
    ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);
    const Ack ack = producer.Ask();
    EXPECT_EQ(ack.wire.fates_first, 3U);
    EXPECT_TRUE(ack.fates.empty());
}

TEST_F(Sessions, EndWithTheirFramesInSilenceAndNotBefore)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(3, Values{"waits"});
    world_->Run(options_.session_timeout_ns - 200 * kMs, 10 * kMs);
    EXPECT_EQ(native_rig_stats(world_->Rig(), 0)->sessions_live, 1U);
    EXPECT_EQ(sim_packets_out(native_rig_packets(world_->Rig(), 0)), 1U);

    world_->Run(400 * kMs, 10 * kMs);

    EXPECT_EQ(native_rig_stats(world_->Rig(), 0)->sessions_live, 0U);
    EXPECT_EQ(sim_packets_out(native_rig_packets(world_->Rig(), 0)), 0U);
    EXPECT_EQ(Counter(STATS_sessions_timed_out), 1U);
}

TEST_F(Sessions, AreOfOneAddressPair)
{
    Start();
    Producer producer = Opened(1);
    Producer thief = producer;
    thief.address_ = {0xc0000203, 40001};

    thief.SendData(1, Values{"forged"});
    world_->Turn(3);

    const auto reject = thief.Take(NATIVE_REJECT);
    ASSERT_TRUE(reject);
    EXPECT_EQ(reject->datagram.reject.code, NATIVE_REJECT_SESSION_UNKNOWN);
    EXPECT_EQ(producer.Ask().wire.received, 0U);
    EXPECT_EQ(Counter(STATS_native_unknown_session), 1U);
}

TEST_F(Sessions, WhatOnlyAnApplianceSaysIsCountedAndNotAnswered)
{
    Start();
    Producer producer = Opened(1);
    for (const uint8_t type : {NATIVE_CHALLENGE, NATIVE_ACCEPT, NATIVE_REJECT}) {
        Bytes datagram = producer.OpenBytes();
        datagram[1] = type;
        datagram[16] = 1; // ACCEPT's session is not 0
        Seal(&datagram);
        producer.Send(datagram);
    }
    world_->Turn(3);

    EXPECT_TRUE(world_->Inbox(producer.Address()).empty());
    EXPECT_EQ(Counter(STATS_native_misdirected), 3U);
}

TEST_F(Sessions, AStopMakesDurableTellsAndClosesEverySession)
{
    Start();
    std::vector<Producer> producers;
    for (uint8_t id = 1; id <= 3; id++) { producers.push_back(Opened(id)); }
    for (Producer &producer : producers) { producer.SendData(1, Values{"last words"}); }
    world_->Turn();

    native_rig_stop(world_->Rig());
    world_->Run(500 * kMs);

    EXPECT_TRUE(native_rig_is_done(world_->Rig()));
    for (Producer &producer : producers) {
        const auto close = producer.Take(NATIVE_CLOSE);
        ASSERT_TRUE(close);
        EXPECT_EQ(close->datagram.close.reason, uint32_t{NATIVE_CLOSE_DRAINING});
        EXPECT_EQ(close->datagram.close.sequence, 1U);
        EXPECT_EQ(close->datagram.token, producer.Session());
    }
    EXPECT_EQ(Stored().size(), 3U);
}

TEST_F(Sessions, AStopClosesSessionsAlsoWhenTheLogIsClosed)
{
    Start();
    Producer producer = Opened(1);
    sim_disk_fail_writes(native_rig_disk(world_->Rig()), 1, UINT64_MAX, STATUS_IO);
    producer.SendData(1, Values{"1"});
    world_->Run(500 * kMs);

    native_rig_stop(world_->Rig());
    world_->Run(3 * kSecond);

    EXPECT_TRUE(native_rig_is_done(world_->Rig()));
    const auto close = producer.Take(NATIVE_CLOSE);
    ASSERT_TRUE(close);
    EXPECT_EQ(close->datagram.close.sequence, 0U);
}

} // namespace
