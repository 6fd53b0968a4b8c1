#include "tests/dataplane/native_producer.h"

namespace {

constexpr struct sim_address kHere = {0xc0000201, 40001};
constexpr struct sim_address kThere = {0xc0000202, 40002};

class Handshake : public NativeTest {
  protected:
    Producer At(struct sim_address address, uint8_t id = 1) { return {world_.get(), address, id}; }

    void ExpectReject(Producer *producer, uint32_t code)
    {
        EXPECT_EQ(producer->Open(), NATIVE_REJECT);
        EXPECT_EQ(producer->reject_.code, code);
    }
};

// ------------------------------------------------------------------------------- no session

TEST_F(Handshake, AHelloIsAnsweredByAShorterChallengeAndNothingIsKept)
{
    Start();
    Producer producer = At(kHere);

    producer.GetCookie();

    EXPECT_EQ(native_rig_stats(world_->Rig(), 0)->sessions_live, 0U);
    EXPECT_EQ(Counter(STATS_native_hellos), 1U);
    EXPECT_EQ(native_rig_stats(world_->Rig(), 0)->lanes_known, 0U);
}

TEST_F(Handshake, ALaneBeginsAtTheSequenceThatTheProducerSays)
{
    Start();
    Producer producer = At(kHere);
    producer.open_.oldest_held = 100;

    ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);

    EXPECT_NE(producer.accept_.session, 0U);
    EXPECT_EQ(producer.accept_.next, 100U);
    EXPECT_EQ(producer.accept_.durable, 99U);
    EXPECT_EQ(producer.accept_.lost_first, 0U);
    EXPECT_GT(producer.accept_.credit_bytes, 0U);
    EXPECT_EQ(producer.accept_.max_record_bytes, options_.max_record_bytes);
    EXPECT_EQ(producer.accept_.datagram_bytes, 1472U);
    EXPECT_EQ(producer.accept_.ack_delay_us, 5000U);
    EXPECT_EQ(producer.accept_.session_timeout_ms, 10000U);
    EXPECT_EQ(producer.accept_.remember_s, 60U);
    EXPECT_EQ(producer.accept_.partition, 0U);
    EXPECT_EQ(producer.accept_.status, NATIVE_WELL);
}

TEST_F(Handshake, ANewLaneIsAcceptedOnlyWhenItIsDurable)
{
    Start();
    sim_disk_hold(native_rig_disk(world_->Rig()), true);
    Producer producer = At(kHere);

    EXPECT_EQ(producer.Open(/*wait_ns=*/300 * kMs), 0);

    sim_disk_hold(native_rig_disk(world_->Rig()), false);
    EXPECT_EQ(producer.WaitForOpen(), NATIVE_ACCEPT);
}

TEST_F(Handshake, ACookieOfAnotherNonceAddressOrPortIsRefused)
{
    Start();
    Producer right = At(kHere);
    right.GetCookie();

    Producer other_address = At({kHere.host + 1, kHere.port});
    other_address.open_ = right.open_;
    other_address.nonce_ = right.nonce_;
    Producer other_port = At({kHere.host, kHere.port + 1});
    other_port.open_ = right.open_;
    other_port.nonce_ = right.nonce_;
    Producer other_nonce = right;
    other_nonce.nonce_++;
    for (Producer *wrong : {&other_address, &other_port, &other_nonce}) {
        wrong->SendOpen();
        ASSERT_EQ(wrong->WaitForOpen(), NATIVE_REJECT);
        EXPECT_EQ(wrong->reject_.code, NATIVE_REJECT_COOKIE);
    }

    right.SendOpen();
    EXPECT_EQ(right.WaitForOpen(), NATIVE_ACCEPT);
}

TEST_F(Handshake, ACookieHoldsTenSecondsAndIsGoneAfterTwenty)
{
    Start();
    Producer in_time = At(kHere);
    in_time.GetCookie();
    Producer too_late = At(kThere, 2);
    too_late.GetCookie();

    world_->Run(9 * kSecond, 100 * kMs);
    in_time.SendOpen();
    EXPECT_EQ(in_time.WaitForOpen(), NATIVE_ACCEPT);

    world_->Run(11 * kSecond, 100 * kMs);
    too_late.SendOpen();
    ASSERT_EQ(too_late.WaitForOpen(), NATIVE_REJECT);
    EXPECT_EQ(too_late.reject_.code, NATIVE_REJECT_COOKIE);
}

TEST_F(Handshake, ALaneThatIsNotKnownNeedsBegin)
{
    Start();
    Producer producer = At(kHere);
    producer.open_.begin = false;

    ExpectReject(&producer, NATIVE_REJECT_LANE_UNKNOWN);
    EXPECT_EQ(Counter(STATS_lanes_begun), 0U);
}

TEST_F(Handshake, AFullTableRefusesNewLanesAndKeepsItsOwn)
{
    options_.lanes_max = 2;
    Start();
    Producer first = Opened(1);
    Producer second = Opened(2);
    Producer third = At(kThere, 3);

    ExpectReject(&third, NATIVE_REJECT_LANES_FULL);
    EXPECT_GT(third.reject_.retry_after_ms, 0U);
    EXPECT_EQ(third.reject_.detail, 2U);

    first.SendData(1, Values{"still here"});
    EXPECT_EQ(first.WaitForDurable(1).fates, (Fates{{NATIVE_STORED, 1}}));
    EXPECT_EQ(Counter(STATS_native_lanes_full), 1U);
}

struct InvalidOpen {
    const char *name;
    void (*spoil)(struct native_open *open);
};

class HandshakeRefuses : public Handshake, public testing::WithParamInterface<InvalidOpen> {};

TEST_P(HandshakeRefuses, WhatNoProducerMaySay)
{
    Start();
    Producer producer = At(kHere);
    GetParam().spoil(&producer.open_);

    ExpectReject(&producer, NATIVE_REJECT_INVALID);
    EXPECT_EQ(Counter(STATS_lanes_begun), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Each, HandshakeRefuses,
    testing::Values(
        InvalidOpen{"Epoch0", [](struct native_open *open) { open->epoch = 0; }},
        InvalidOpen{"ProducerOfZeros",
                    [](struct native_open *open) { open->producer = native_producer_id{}; }},
        InvalidOpen{"SmallDatagrams",
                    [](struct native_open *open) { open->datagram_bytes = 1199; }},
        InvalidOpen{"OldestHeld0", [](struct native_open *open) { open->oldest_held = 0; }},
        InvalidOpen{"OldestHeldTooHigh",
                    [](struct native_open *open) { open->oldest_held = UINT64_C(1) << 63; }},
        InvalidOpen{"DurableTooHigh",
                    [](struct native_open *open) { open->durable = UINT64_C(1) << 63; }},
        InvalidOpen{"NothingIsLeftToNumber",
                    [](struct native_open *open) {
                        open->durable = NATIVE_SEQUENCE_MAX;
                        open->oldest_held = NATIVE_UNKNOWN;
                    }}),
    [](const testing::TestParamInfo<InvalidOpen> &info) { return info.param.name; });

TEST_F(Handshake, TheHighestSequenceMayStillBeSent)
{
    Start();
    Producer producer = At(kHere);
    producer.open_.oldest_held = NATIVE_SEQUENCE_MAX;
    ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);

    producer.SendData(NATIVE_SEQUENCE_MAX, Values{"the last one"});

    EXPECT_EQ(producer.WaitForDurable(NATIVE_SEQUENCE_MAX).wire.durable, NATIVE_SEQUENCE_MAX);
    native_rig_crash(world_->Rig());
    native_rig_start(world_->Rig(), 1);
    producer.open_.begin = false;
    producer.open_.oldest_held = NATIVE_UNKNOWN;
    producer.open_.durable = NATIVE_UNKNOWN;
    ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);
    EXPECT_EQ(producer.accept_.next, NATIVE_SEQUENCE_MAX + 1);
}

// ------------------------------------------------------------------------------- OPENING, LIVE

TEST_F(Handshake, WhileItIsBeingOpenedTheSameOpenGetsNothingAndAnotherLaneBusy)
{
    Start();
    sim_disk_hold(native_rig_disk(world_->Rig()), true);
    Producer producer = At(kHere);
    EXPECT_EQ(producer.Open(20 * kMs), 0);

    producer.SendOpen();
    EXPECT_EQ(producer.WaitForOpen(20 * kMs), 0);

    Producer other = At(kThere);
    ExpectReject(&other, NATIVE_REJECT_LANE_BUSY);
    other.open_.epoch = 2;
    ExpectReject(&other, NATIVE_REJECT_LANE_BUSY);
    EXPECT_EQ(Counter(STATS_native_takeovers_refused), 2U);

    sim_disk_hold(native_rig_disk(world_->Rig()), false);
    EXPECT_EQ(producer.WaitForOpen(), NATIVE_ACCEPT);
    world_->Turn(10);
    EXPECT_FALSE(producer.Take(NATIVE_ACCEPT)); // one, though it was asked twice
}

TEST_F(Handshake, TheSameOpenGetsTheSameAcceptAgain)
{
    Start();
    Producer producer = Opened(1);
    const struct native_accept first = producer.accept_;

    producer.SendOpen();

    ASSERT_EQ(producer.WaitForOpen(), NATIVE_ACCEPT);
    EXPECT_EQ(memcmp(&first, &producer.accept_, sizeof first), 0);
    EXPECT_EQ(native_rig_stats(world_->Rig(), 0)->sessions_live, 1U);
}

TEST_F(Handshake, ALowerEpochIsFencedWithTheLanesOwn)
{
    Start();
    Producer producer = At(kHere);
    producer.open_.epoch = 7;
    ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);

    Producer old = At(kThere);
    old.open_.epoch = 6;
    ExpectReject(&old, NATIVE_REJECT_FENCED);
    EXPECT_EQ(old.reject_.detail, 7U);

    producer.SendClose();
    world_->Turn(20);
    ExpectReject(&old, NATIVE_REJECT_FENCED);
}

TEST_F(Handshake, TheSameEpochWithThePreviousSessionTakesOverAtOnce)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(1, Values{"a"});
    producer.WaitForDurable(1);

    Producer again = At(kThere);
    again.open_.previous_session = producer.Session();
    again.open_.durable = 1;
    again.open_.oldest_held = 2;
    ASSERT_EQ(again.Open(), NATIVE_ACCEPT);
    EXPECT_EQ(again.accept_.next, 2U);

    producer.SendPing();
    world_->Turn(10);
    const auto reject = producer.Take(NATIVE_REJECT);
    ASSERT_TRUE(reject);
    EXPECT_EQ(reject->datagram.reject.code, NATIVE_REJECT_SESSION_UNKNOWN);
    EXPECT_EQ(reject->datagram.token, producer.Session());
}

TEST_F(Handshake, WhatTheSessionBeforeStillSendsFromTheSameAddressIsNotTaken)
{
    Start();
    Producer producer = Opened(1);
    const Bytes late = producer.Data(1, Records({"of the session before"}));
    Producer again = At(producer.Address());
    again.nonce_ = producer.Nonce();
    again.open_.epoch = 2;
    ASSERT_EQ(again.Open(), NATIVE_ACCEPT);
    ASSERT_NE(again.Session(), producer.Session());

    producer.Send(late);
    world_->Turn(10);
    const auto reject = producer.Take(NATIVE_REJECT);
    ASSERT_TRUE(reject);
    EXPECT_EQ(reject->datagram.reject.code, NATIVE_REJECT_SESSION_UNKNOWN);
    EXPECT_EQ(reject->datagram.token, producer.Session());
    again.SendData(1, Values{"of this one"});
    again.WaitForDurable(1);
    Settle();
    EXPECT_EQ(Stored(), (Values{"of this one"}));
}

TEST_F(Handshake, ANewerEpochFromTheSameHostTakesOverAtOnceAndAnotherHostWaits)
{
    Start();
    Producer producer = Opened(1);

    Producer stranger = At(kThere);
    stranger.open_.epoch = 2;
    ExpectReject(&stranger, NATIVE_REJECT_LANE_BUSY);
    EXPECT_EQ(stranger.reject_.detail, 1U); // the lane's epoch

    Producer successor = At({kHere.host, 50000});
    successor.open_.epoch = 2;
    EXPECT_EQ(successor.Open(), NATIVE_ACCEPT);
    ExpectReject(&producer, NATIVE_REJECT_FENCED);
}

TEST_F(Handshake, AStrangerGetsALaneThatWasSilentForTakeoverAfter)
{
    Start();
    Producer producer = Opened(1);
    Producer stranger = At(kThere);
    stranger.open_.epoch = 2;

    world_->Run(2900 * kMs, 10 * kMs);
    ExpectReject(&stranger, NATIVE_REJECT_LANE_BUSY);
    producer.SendPing(); // it is alive
    world_->Run(2900 * kMs, 10 * kMs);
    ExpectReject(&stranger, NATIVE_REJECT_LANE_BUSY);

    world_->Run(200 * kMs, 10 * kMs);
    EXPECT_EQ(stranger.Open(), NATIVE_ACCEPT);
}

TEST_F(Handshake, ANewEpochIsDurableBeforeItsAcceptThoughOlderCommitsOfTheLaneAreInFlight)
{
    Start();
    Producer producer = Opened(1);
    sim_disk_hold(native_rig_disk(world_->Rig()), true);
    producer.SendData(1, Values{"in flight when the epoch rises"});
    world_->Turn(50); // its commit is written, and held
    const uint64_t with_record = sim_disk_write_count(native_rig_disk(world_->Rig()));
    sim_disk_swallow_write(native_rig_disk(world_->Rig()), with_record + 1);

    Producer successor = At({kHere.host, 50000});
    successor.open_.epoch = 2;
    EXPECT_EQ(successor.Open(20 * kMs), 0);
    EXPECT_EQ(sim_disk_write_count(native_rig_disk(world_->Rig())), with_record + 1);

    sim_disk_hold(native_rig_disk(world_->Rig()), false);
    EXPECT_EQ(successor.WaitForOpen(200 * kMs), 0); // the record is durable, the epoch is not

    sim_disk_release(native_rig_disk(world_->Rig()), STATUS_OK);
    EXPECT_EQ(successor.WaitForOpen(), NATIVE_ACCEPT);
    EXPECT_EQ(successor.accept_.durable, 1U);
}

TEST_F(Handshake, AnOpenIsNotAcceptedBeforeItIsDurableHoweverLongThatTakesAndHoweverOftenItComes)
{
    Start();
    sim_disk_hold(native_rig_disk(world_->Rig()), true);
    Producer producer = At(kHere);
    EXPECT_EQ(producer.Open(20 * kMs), 0);
    world_->Run(2 * options_.session_timeout_ns, 10 * kMs);

    EXPECT_EQ(producer.Open(200 * kMs), 0); // its begin is still not durable

    sim_disk_hold(native_rig_disk(world_->Rig()), false);
    EXPECT_EQ(producer.WaitForOpen(), NATIVE_ACCEPT);
}

// ------------------------------------------------------------------------------- resuming, 6.4

class Resume : public Handshake {
  protected:
    // A lane with `count` durable records, and no session.
    void LaneWith(uint64_t count)
    {
        Start();
        Producer producer = Opened(1);
        Values values;
        for (uint64_t i = 1; i <= count; i++) { values.push_back("record " + std::to_string(i)); }
        producer.SendData(1, values);
        producer.WaitForDurable(count);
        producer.SendClose();
        world_->Turn(20);
    }

    Producer Reopen(uint64_t durable, uint64_t oldest_held)
    {
        Producer producer = At(kThere);
        producer.open_.begin = false;
        producer.open_.durable = durable;
        producer.open_.oldest_held = oldest_held;
        EXPECT_EQ(producer.Open(), NATIVE_ACCEPT);
        return producer;
    }
};

TEST_F(Resume, OldestHeldBelowNextGoesOnAtNext)
{
    LaneWith(5);
    Producer producer = Reopen(/*durable=*/2, /*oldest_held=*/3);

    EXPECT_EQ(producer.accept_.next, 6U);
    EXPECT_EQ(producer.accept_.durable, 5U);
    EXPECT_EQ(producer.accept_.lost_first, 0U);
    EXPECT_EQ(producer.Ask().fates, (Fates{{NATIVE_STORED, 3}})); // 3..5, which it had not heard
}

TEST_F(Resume, WithEverythingUnknownItGoesOnAtNext)
{
    LaneWith(5);
    Producer producer = Reopen(NATIVE_UNKNOWN, NATIVE_UNKNOWN);

    EXPECT_EQ(producer.accept_.next, 6U);
    EXPECT_EQ(producer.accept_.lost_first, 0U);
    EXPECT_EQ(producer.Ask().fates, (Fates{{NATIVE_STORED, 5}}));
}

TEST_F(Resume, WhatTheProducerKnewDurableAndIsGoneIsNamedLost)
{
    LaneWith(5);
    Producer producer = Reopen(/*durable=*/8, /*oldest_held=*/9);

    EXPECT_EQ(producer.accept_.next, 9U);
    EXPECT_EQ(producer.accept_.lost_first, 6U);
    EXPECT_EQ(producer.accept_.lost_last, 8U);
    EXPECT_EQ(producer.accept_.durable, 8U); // LOST is a fate, and durable before ACCEPT
    EXPECT_EQ(Counter(STATS_native_sequences_lost), 3U);
}

TEST_F(Resume, WhatWasLostIsNamedAgainAfterARestartUntilADatagramCame)
{
    LaneWith(5);
    (void)Reopen(/*durable=*/8, /*oldest_held=*/9); // its ACCEPT is as good as lost
    native_rig_crash(world_->Rig());
    native_rig_start(world_->Rig(), 1);

    Producer producer = Reopen(/*durable=*/8, /*oldest_held=*/9);
    EXPECT_EQ(producer.accept_.next, 9U);
    EXPECT_EQ(producer.accept_.lost_first, 6U);
    EXPECT_EQ(producer.accept_.lost_last, 8U);

    producer.confirmed_ = 8;
    producer.SendData(9, Values{"nine"});
    producer.WaitForDurable(9);
    producer.SendClose();
    world_->Turn(20);
    EXPECT_EQ(Reopen(/*durable=*/9, /*oldest_held=*/10).accept_.lost_first, 0U);
}

TEST_F(Resume, LostWithOldestHeldUnknownEndsAtWhatWasDurable)
{
    LaneWith(5);
    Producer producer = Reopen(/*durable=*/8, NATIVE_UNKNOWN);

    EXPECT_EQ(producer.accept_.next, 9U);
    EXPECT_EQ(producer.accept_.lost_first, 6U);
    EXPECT_EQ(producer.accept_.lost_last, 8U);
}

TEST_F(Resume, AProducerThatNoLongerHasThemSkipsThem)
{
    LaneWith(5);
    Producer producer = Reopen(/*durable=*/3, /*oldest_held=*/9);

    EXPECT_EQ(producer.accept_.next, 9U);
    EXPECT_EQ(producer.accept_.lost_first, 0U); // it did not know them as durable
    EXPECT_EQ(producer.Ask().fates, (Fates{{NATIVE_STORED, 2}, {NATIVE_LOST, 3}}));
    producer.SendData(9, Values{"goes on"});
    EXPECT_EQ(producer.WaitForDurable(9).fates,
              (Fates{{NATIVE_STORED, 2}, {NATIVE_LOST, 3}, {NATIVE_STORED, 1}}));
}

TEST_F(Resume, TheLargestSkipIsTakenAndOneMoreIsRefusedWithTheLanesNext)
{
    LaneWith(5);
    Producer too_far = At(kHere);
    too_far.open_.durable = NATIVE_UNKNOWN;
    too_far.open_.oldest_held = 6 + (UINT64_C(1) << 32);
    ExpectReject(&too_far, NATIVE_REJECT_INVALID);
    EXPECT_EQ(too_far.reject_.detail, 6U);

    Producer far = Reopen(NATIVE_UNKNOWN, UINT64_C(6) + UINT32_MAX);
    EXPECT_EQ(far.accept_.next, UINT64_C(6) + UINT32_MAX);
    EXPECT_EQ(far.Ask().fates, (Fates{{NATIVE_STORED, 5}, {NATIVE_LOST, UINT32_MAX}}));
    far.SendClose();
    world_->Turn(10);
    Producer farther = Reopen(NATIVE_UNKNOWN, far.accept_.next + UINT32_MAX);
    EXPECT_EQ(farther.Ask().fates,
              (Fates{{NATIVE_STORED, 5}, {NATIVE_LOST, UINT32_MAX}, {NATIVE_LOST, UINT32_MAX}}));
}

TEST_F(Resume, ASkipSurvivesACrash)
{
    LaneWith(5);
    Producer producer = Reopen(/*durable=*/3, /*oldest_held=*/9);

    native_rig_crash(world_->Rig());
    native_rig_start(world_->Rig(), 1);

    Producer again = Reopen(/*durable=*/NATIVE_UNKNOWN, NATIVE_UNKNOWN);
    EXPECT_EQ(again.accept_.next, 9U);
    const Ack ack = again.Ask();
    ASSERT_FALSE(ack.fates.empty());
    EXPECT_EQ(ack.fates.back(), (std::pair<uint8_t, uint64_t>{NATIVE_LOST, 3}));
}

TEST_F(Resume, AnEpochIsRememberedOverACrash)
{
    Start();
    Producer producer = At(kHere);
    producer.open_.epoch = 9;
    ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);

    native_rig_crash(world_->Rig());
    native_rig_start(world_->Rig(), 1);

    producer.open_.epoch = 8;
    ExpectReject(&producer, NATIVE_REJECT_FENCED);
    EXPECT_EQ(producer.reject_.detail, 9U);
}

// ------------------------------------------------------------------------------- lanes, homes

TEST_F(Handshake, ALaneIsForgottenAfterRememberAndNotWhileItHasASession)
{
    Start();
    Producer producer = Opened(1);
    Producer silent = Opened(2);
    silent.SendClose();
    for (int i = 0; i < 62; i++) {
        producer.SendPing();
        world_->Run(kSecond, 5 * kMs);
    }

    EXPECT_EQ(Counter(STATS_lanes_forgotten), 1U);
    silent.open_.begin = false;
    ExpectReject(&silent, NATIVE_REJECT_LANE_UNKNOWN);
    producer.SendData(1, Values{"known"});
    producer.WaitForDurable(1);
    silent.open_.begin = true; // its place can be had again
    EXPECT_EQ(silent.Open(), NATIVE_ACCEPT);
}

TEST_F(Handshake, ALaneIsRememberedFromItsLastRecordOnNotFromItsOpen)
{
    Start();
    Producer producer = Opened(1);
    for (int i = 0; i < 50; i++) {
        producer.SendPing();
        world_->Run(kSecond, 5 * kMs);
    }
    producer.SendData(1, Values{"the last"});
    producer.WaitForDurable(1);
    producer.SendClose();

    world_->Run(30 * kSecond, 5 * kMs);
    EXPECT_EQ(Counter(STATS_lanes_forgotten), 0U);
    world_->Run(31 * kSecond, 5 * kMs);
    EXPECT_EQ(Counter(STATS_lanes_forgotten), 1U);
}

TEST_F(Handshake, AnotherWorkersLaneIsRedirectedAndOneOfTheTriedPortsLeadsHome)
{
    Start(2);
    size_t homes[2] = {0, 0};
    for (uint8_t id = 1; id <= 8; id++) {
        Producer producer = At({kHere.host, static_cast<uint16_t>(40000 + id * 100)}, id);
        int tries = 0;
        while (producer.Open() == NATIVE_REJECT) {
            ASSERT_EQ(producer.reject_.code, NATIVE_REJECT_REDIRECT);
            EXPECT_EQ(producer.reject_.source_port, 0U); // nothing is known of the device
            EXPECT_NE(producer.reject_.partition,
                      native_rig_queue(world_->Rig(), producer.address_));
            ASSERT_LT(++tries, 64);
            producer.address_.port++;
        }
        EXPECT_EQ(producer.accept_.partition, native_rig_queue(world_->Rig(), producer.address_));
        homes[producer.accept_.partition]++;
        producer.SendData(1, Values{"from " + std::to_string(id)});
        producer.WaitForDurable(1);
    }
    EXPECT_GT(homes[0], 0U);
    EXPECT_GT(homes[1], 0U);
    EXPECT_GT(Counter(STATS_native_redirects, 0) + Counter(STATS_native_redirects, 1), 0U);
}

TEST_F(Handshake, WhereTheDevicesHashIsKnownARedirectNamesThePortThatLeadsHome)
{
    options_.steering_known = true;
    Start(4);
    int redirected = 0;
    for (uint8_t id = 1; id <= 16; id++) {
        Producer producer = At({kHere.host, static_cast<uint16_t>(40000 + id * 100)}, id);
        if (producer.Open() == NATIVE_ACCEPT) { continue; }
        redirected++;
        ASSERT_EQ(producer.reject_.code, NATIVE_REJECT_REDIRECT);
        ASSERT_NE(producer.reject_.source_port, 0U);
        producer.address_.port = producer.reject_.source_port;
        EXPECT_EQ(producer.Open(), NATIVE_ACCEPT);
    }
    EXPECT_GT(redirected, 4);
}

TEST_F(Handshake, LanesLiveOnAfterARestartWithFewerWorkers)
{
    Start(2);
    std::vector<Producer> producers;
    for (uint8_t id = 1; id <= 6; id++) {
        Producer producer = At({kHere.host, static_cast<uint16_t>(40000 + id * 100)}, id);
        while (producer.Open() == NATIVE_REJECT) { producer.address_.port++; }
        producer.SendData(1, Values{"one", "healthz", "three"});
        producer.WaitForDurable(3);
        producers.push_back(producer);
    }
    native_rig_stop(world_->Rig());
    world_->Run(3 * kSecond, kMs);
    ASSERT_TRUE(native_rig_is_done(world_->Rig()));
    native_rig_close(world_->Rig());

    native_rig_start(world_->Rig(), 1);
    workers_ = 1;
    world_->Turn(100);
    for (Producer &producer : producers) {
        producer.open_.begin = false;
        producer.open_.durable = NATIVE_UNKNOWN;
        producer.open_.oldest_held = NATIVE_UNKNOWN;
        ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);
        EXPECT_EQ(producer.accept_.next, 4U);
        EXPECT_EQ(producer.accept_.partition, 0U);
        EXPECT_EQ(producer.Ask().fates,
                  (Fates{{NATIVE_STORED, 1}, {NATIVE_DROPPED, 1}, {NATIVE_STORED, 1}}));
        producer.SendData(4, Values{"four"});
        producer.WaitForDurable(4);
    }
    EXPECT_GT(Counter(STATS_lanes_imported), 0U);
}

TEST_F(Handshake, AfterACrashLanesAndTheirFatesAreBack)
{
    Start();
    Producer producer = Opened(1);
    producer.SendData(1, Values{"one", "healthz", "three"});
    producer.WaitForDurable(3);

    native_rig_crash(world_->Rig());
    native_rig_start(world_->Rig(), 1);

    producer.SendPing();
    world_->Turn(10);
    ASSERT_TRUE(producer.Take(NATIVE_REJECT)); // sessions are gone
    const uint64_t incarnation = producer.accept_.incarnation;
    producer.open_.begin = false;
    producer.open_.oldest_held = 2;
    producer.open_.durable = 0;
    producer.open_.previous_session = producer.Session();
    ASSERT_EQ(producer.Open(), NATIVE_ACCEPT);
    EXPECT_NE(producer.accept_.incarnation, incarnation);
    EXPECT_EQ(producer.accept_.next, 4U);
    EXPECT_EQ(producer.Ask().fates,
              (Fates{{NATIVE_STORED, 1}, {NATIVE_DROPPED, 1}, {NATIVE_STORED, 1}}));
}

// ------------------------------------------------------------------------------- versions

TEST_F(Handshake, AnotherVersionGetsAListAndVersion0OrShortOnesNothing)
{
    Start();
    Producer producer = At(kHere);
    Bytes other = producer.HelloBytes();
    other[0] = 9;
    producer.Send(other); // the trailer is wrong too: it may be another one in that version
    world_->Turn(5);
    const auto list = producer.Take(NATIVE_VERSIONS);
    EXPECT_TRUE(!list || list->datagram.token == producer.Nonce());
    Seal(&other);
    producer.Send(other);
    world_->Turn(5);
    const auto answer = producer.Take(NATIVE_VERSIONS);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->bytes->size(), size_t{NATIVE_VERSIONS_BYTES});
    EXPECT_EQ(answer->datagram.token, producer.Nonce());
    EXPECT_EQ(answer->datagram.versions.count, 1U);
    EXPECT_EQ(answer->datagram.versions.versions[0], 1U);

    other.resize(NATIVE_VERSIONS_BYTES - 1);
    Seal(&other);
    producer.Send(other);
    Bytes version0(*answer->bytes);
    producer.Send(version0);
    world_->Turn(5);
    EXPECT_TRUE(world_->Inbox(producer.Address()).empty());
}

} // namespace
