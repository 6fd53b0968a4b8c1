// client/lane.h against a strict model appliance over a link with faults, in virtual time.
#include "lane_world.h"

namespace lane_test {
namespace {

void ExpectAll(World &world, const Options &options)
{
    EXPECT_TRUE(world.Run(10 * 3600 * S))
        << "no end: told " << world.told << " of " << options.records << ", held "
        << lane_held(world.Lane()) << " at " << world.now_ns;
    EXPECT_EQ(world.told, options.records);
    EXPECT_EQ(world.failed_code, UINT32_MAX);
}

Content Sizes(size_t smallest, size_t largest)
{
    Content out;
    out.size = [=](uint64_t sequence) {
        struct random random = random_seed(sequence * 77);
        return smallest + random_below(&random, largest - smallest + 1);
    };
    return out;
}

// ------------------------------------------------------------------------------ a link that works

TEST(Lane, TakesEveryRecordToItsFateAndCloses)
{
    Options options;
    options.records = 5000;
    World world(options);

    ExpectAll(world, options);

    EXPECT_TRUE(world.closed);
    EXPECT_EQ(world.appliance.closes, 1u);
    EXPECT_EQ(world.appliance.duplicates, 0u);
    EXPECT_EQ(world.Stats().records_sent, options.records);
    EXPECT_EQ(world.Stats().records_resent, 0u);
    EXPECT_EQ(world.Stats().packets_lost, 0u);
    EXPECT_EQ(world.Stats().datagrams_dropped, 0u);
    EXPECT_EQ(world.Stats().fates_stored + world.Stats().fates_dropped +
                  world.Stats().fates_refused,
              options.records);
    EXPECT_GT(world.Stats().fates_refused, 0u);
}

TEST(Lane, FillsDatagramsWhileRecordsCome)
{
    Options options;
    options.records = 2000;
    options.records_max = 2048;
    Content content;
    content.size = [](uint64_t) { return 100; };
    World world(options, content);

    ExpectAll(world, options);

    // 125 bytes a record: nine fit.
    EXPECT_LT(world.Stats().datagrams_sent, options.records / 9 + 150);
}

TEST(Lane, HoldsALoneRecordForItsLingerAndNoLonger)
{
    Options options;
    options.records = 1;
    options.close = false;
    options.linger_ns = 50 * MS;
    World world(options);
    world.RunUntil([&] { return world.appliance.accepts > 0; });
    const uint64_t sent = world.sent_up;

    EXPECT_TRUE(world.RunUntil([&] { return world.sent_up > sent; }));

    EXPECT_EQ(world.now_ns, S + 50 * MS);
}

TEST(Lane, SendsAtOnceWhatIsFlushed)
{
    Options options;
    options.records = 1;
    options.close = false;
    options.linger_ns = 60 * S;
    World world(options);
    world.At(S + 20 * MS, [&] { lane_flush(world.Lane(), world.now_ns); });

    EXPECT_TRUE(world.RunUntil([&] { return world.told == 1; }, S));
}

TEST(Lane, ClosesAtOnceWhenItWasNeverOpened)
{
    Options options;
    options.records = 0;
    World world(options);

    EXPECT_TRUE(world.Run());

    EXPECT_EQ(world.sent_up, 0u);
}

TEST(Lane, RefusesRecordsThatAreTooLargeOrCloseBehind)
{
    struct lane_options options = {};
    options.epoch = 1;
    options.oldest_held = 1;
    options.records_max = 2;
    options.datagram_bytes_max = 1200;
    struct lane *lane = nullptr;
    ASSERT_EQ(lane_create(&options, &lane), STATUS_OK);
    const std::vector<uint8_t> large(LANE_RECORD_BYTES_MAX);
    struct native_record record = {};
    record.value = bytes_of(large.data(), large.size());
    uint64_t sequence = 0;

    EXPECT_EQ(lane_send(lane, &record, 1, &sequence), STATUS_INVALID);
    record.value.len_bytes = 1;
    record.header_count = NATIVE_HEADERS_MAX + 1;
    EXPECT_EQ(lane_send(lane, &record, 1, &sequence), STATUS_INVALID);
    record.header_count = 0;
    EXPECT_EQ(lane_send(lane, &record, 1, &sequence), STATUS_OK);
    EXPECT_EQ(sequence, 1u);
    EXPECT_EQ(lane_send(lane, &record, 1, &sequence), STATUS_OK);
    EXPECT_EQ(lane_send(lane, &record, 1, &sequence), STATUS_FULL);
    lane_close(lane, 1);
    EXPECT_EQ(lane_send(lane, &record, 1, &sequence), STATUS_CLOSED);
    EXPECT_EQ(lane_begin_again(lane, 1), STATUS_INVALID);
    lane_destroy(lane);
}

TEST(Lane, GoesOnWithSequencesUpToTheLastValidOne)
{
    Options options;
    options.first = NATIVE_SEQUENCE_MAX - 299;
    options.records = 300;
    options.close = false;
    World world(options);

    ExpectAll(world, options);

    struct native_record record = {};
    uint64_t sequence = 0;
    EXPECT_EQ(lane_send(world.Lane(), &record, world.now_ns, &sequence), STATUS_CLOSED);
}

TEST(Lane, KeepsAnIdleSessionOpenIfAsked)
{
    Options options;
    options.records = 1;
    options.close = false;
    options.keep_open = true;
    World world(options);
    ExpectAll(world, options);
    const uint64_t sent = world.sent_up;

    world.RunUntil([] { return false; }, 60 * S);

    EXPECT_GE(world.sent_up - sent, 5u); // a third of 30 s apart
    EXPECT_LE(world.sent_up - sent, 7u);
}

// --------------------------------------------------------------------------------- faulty links

class LaneOverABadLink : public testing::TestWithParam<uint64_t> {};

TEST_P(LaneOverABadLink, TakesEveryRecordToItsFateOnce)
{
    struct random random = random_seed(GetParam());
    Options options;
    options.seed = GetParam();
    options.records = 400;
    options.records_max = 16u << random_below(&random, 6);
    options.delay_ns = MS / 20 << random_below(&random, 10);
    options.datagram_bytes_max = random_chance(&random, 1, 2) ? 1200 : 8972;
    options.faults = {static_cast<unsigned>(random_below(&random, 31)),
                      static_cast<unsigned>(random_below(&random, 31)),
                      static_cast<unsigned>(random_below(&random, 31)),
                      static_cast<unsigned>(random_below(&random, 31))};
    const bool large = random_chance(&random, 1, 3);
    World world(options, large ? Sizes(0, 6000) : Sizes(0, 400));
    world.appliance.credit = 3000u << random_below(&random, 8);
    world.appliance.keep_ahead_records = 4u << random_below(&random, 8);

    ExpectAll(world, options);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LaneOverABadLink, testing::Range<uint64_t>(1, 201));

Options Short()
{
    Options options;
    options.records = 30;
    options.records_max = 32;
    options.pace_ns = MS;
    return options;
}

TEST(Lane, SurvivesTheLossOfAnyOneDatagram)
{
    for (uint64_t nth = 0; nth < 40; nth++) {
        SCOPED_TRACE(nth);
        Options up = Short();
        up.drop_up = {nth};
        World first(up);
        ExpectAll(first, up);
        EXPECT_EQ(first.opened, 1U) << "what one datagram held is sent again in the same session";

        Options down = Short();
        down.drop_down = {nth};
        World second(down);
        ExpectAll(second, down);
        EXPECT_EQ(second.opened, 1U);
        ASSERT_FALSE(HasFailure());
    }
}

TEST(Lane, SendsAllThatALostDatagramHeldInTheSameSession)
{
    for (uint64_t nth = 2; nth < 20; nth++) {
        SCOPED_TRACE(nth);
        Options options;
        options.records = 400;
        options.drop_up = {nth};
        World world(options, Sizes(50, 150)); // several a datagram

        ExpectAll(world, options);

        EXPECT_EQ(world.opened, 1U);
        EXPECT_LT(world.now_ns, 2 * S) << "begins at 1 s; 2.5 s more is what a doubt takes";
        ASSERT_FALSE(HasFailure());
    }
}

TEST(Lane, SurvivesTheLossOfAnyTwoEarlyDatagrams)
{
    for (uint64_t first = 0; first < 24; first++) {
        for (uint64_t second = first + 1; second < 24; second++) {
            SCOPED_TRACE(testing::Message() << first << " and " << second);
            Options options = Short();
            (first < 12 ? options.drop_up : options.drop_down).insert(first % 12);
            (second < 12 ? options.drop_up : options.drop_down).insert(second % 12);
            World world(options);
            ExpectAll(world, options);
            ASSERT_FALSE(HasFailure());
        }
    }
}

TEST(Lane, ComesBackAfterABlackout)
{
    for (const uint64_t dark_ns : {100 * MS, S, 10 * S, 60 * S}) {
        SCOPED_TRACE(dark_ns);
        Options options;
        options.records = 2000;
        options.pace_ns = MS;
        options.blackouts = {{S + 200 * MS, S + 200 * MS + dark_ns}};
        World world(options);

        ExpectAll(world, options);

        // Silence of 10 s opens anew.
        if (dark_ns != 10 * S) { EXPECT_EQ(world.opened > 1, dark_ns > 10 * S); }
    }
}

TEST(Lane, DrainsWhenFaultsEndWhateverWentBefore)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        SCOPED_TRACE(seed);
        Options options;
        options.seed = seed;
        options.records = 300;
        options.faults = {90, 10, 30, 30};
        options.faults_end_ns = S + 30 * S;
        World world(options);

        EXPECT_TRUE(world.Run(50 * S)) << world.told;
        ASSERT_FALSE(HasFailure());
    }
}

// -------------------------------------------------------------------------------------- fragments

TEST(Lane, SendsRecordsOfAnySizeInFragments)
{
    for (const size_t size : {1100, 1160, 4096, 65536, 300000, 900 * 1024 - 40}) {
        SCOPED_TRACE(size);
        Options options;
        options.records = 6;
        World world(options, Sizes(size, size));
        world.appliance.credit = 4 << 20;

        ExpectAll(world, options);

        EXPECT_EQ(world.appliance.fragments > 0, size > 1130);
        EXPECT_EQ(world.Stats().records_resent, 0u);
    }
}

TEST(Lane, SendsFragmentsOverALossyLink)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        SCOPED_TRACE(seed);
        Options options;
        options.seed = seed;
        options.records = seed % 4 == 0 ? 3 : 30;
        options.faults = {static_cast<unsigned>(seed * 2), 5, 5, 2};
        World world(options, seed % 4 == 0 ? Sizes(300000, 900 * 1024 - 40) : Sizes(100, 20000));
        world.appliance.credit = seed % 2 == 0 ? 2 << 20 : 30000;

        ExpectAll(world, options);
        ASSERT_FALSE(HasFailure());
    }
}

TEST(Lane, KeepsMoreRecordsInFragmentsThanItHasAssemblies)
{
    Options options;
    options.records = 400;
    options.records_max = 512;
    options.faults = {3, 0, 0, 0};
    World world(options, Sizes(1500, 1500));
    world.appliance.credit = 4 << 20;

    ExpectAll(world, options);
}

TEST(Lane, SendsFragmentsAheadWhileNothingIsMissing)
{
    Options options;
    options.records = 200;
    options.delay_ns = 5 * MS;
    World world(options, Sizes(4096, 4096));
    world.appliance.credit = 4 << 20;

    ExpectAll(world, options);

    EXPECT_LT(world.now_ns, S + S / 2); // one at a time: 10 ms for each of 200
}

TEST(Lane, KeepsAnAssemblyForTheRecordThatHasToGoFirst)
{
    for (uint64_t at_ms = 60; at_ms < 110; at_ms += 3) {
        SCOPED_TRACE(at_ms);
        Options options;
        options.records = 1500;
        options.records_max = 2048;
        options.delay_ns = 5 * MS;
        options.datagram_bytes_max = 8972;
        Content content;
        content.size = [](uint64_t sequence) { return sequence % 2 == 0 ? 5000 : 20000; };
        World world(options, content);
        world.appliance.credit = 16 << 20;
        // What went whole has to go in fragments now, before others that hold the assemblies.
        world.At(S + at_ms * MS, [&] { world.mtu = 1200; });

        ExpectAll(world, options);
        ASSERT_FALSE(HasFailure());
    }
}

TEST(Lane, SendsAgainWhatTheApplianceNamedAndThenLost)
{
    Options options;
    options.records = 10;
    World world(options, Sizes(9000, 9000));
    world.appliance.lose_assembly = true;

    ExpectAll(world, options);

    EXPECT_EQ(world.opened, 1u);
    EXPECT_LT(world.now_ns, S + 10 * S);
}

// ----------------------------------------------------------------------------------------- credit

TEST(Lane, WaitsWhileCreditIsZeroAndGoesOnWhenItReturns)
{
    Options options;
    options.records = 1000;
    World world(options);
    world.At(S + 5 * MS, [&] { world.appliance.SetCredit(0); });
    world.At(S + 5 * S, [&] { world.appliance.SetCredit(100000); });

    world.RunUntil([] { return false; }, 4 * S);
    EXPECT_LT(world.told, options.records);

    ExpectAll(world, options);
    EXPECT_EQ(world.opened, 1u);
}

TEST(Lane, AsksAgainWhenTheWordThatCreditReturnedIsLost)
{
    Options options;
    options.records = 10;
    options.close = false;
    World world(options);
    world.appliance.credit = 0;
    world.At(S + 3 * S, [&] { world.appliance.credit = 5000; }); // not a word

    EXPECT_TRUE(world.Run(5 * S));
}

TEST(Lane, SendsALoneRecordThatIsLargerThanTheCredit)
{
    Options options;
    options.records = 10;
    World world(options, Sizes(5000, 5000));
    world.appliance.credit = 1;

    ExpectAll(world, options);
}

TEST(Lane, TakesFatesThatFillManyAcks)
{
    Options options;
    options.records = 20000;
    options.records_max = 16384;
    World world(options, Sizes(0, 0));

    ExpectAll(world, options);

    EXPECT_LT(world.now_ns, S + 100 * MS);
}

// ---------------------------------------------------------------------------------------- opening

TEST(Lane, FollowsRedirectsToTheNamedPort)
{
    Options options;
    World world(options);
    world.appliance.home_port = 50123;

    ExpectAll(world, options);

    EXPECT_EQ(world.moves, 1u);
    EXPECT_EQ(world.port, 50123);
}

TEST(Lane, TriesPortsUntilOneLeadsHome)
{
    Options options;
    World world(options);
    world.appliance.home_port = 40100;
    world.appliance.names_home = false;

    ExpectAll(world, options);

    EXPECT_EQ(world.moves, 100u);
    EXPECT_EQ(world.Stats().redirects, 100u);
    EXPECT_GT(world.retryings, 0u); // behind the 64th it takes its time
}

class LaneRefused : public testing::TestWithParam<uint32_t> {};

TEST_P(LaneRefused, ComesAgainAfterTheTimeThatTheApplianceNames)
{
    Options options;
    World world(options);
    world.appliance.reject_opens = 3;
    world.appliance.reject_code = GetParam();
    world.appliance.retry_after_ms = 2000;

    ExpectAll(world, options);

    EXPECT_EQ(world.retryings, 3u);
    EXPECT_GT(world.now_ns, S + 6 * S);
    EXPECT_LT(world.now_ns, S + 7 * S);
}

INSTANTIATE_TEST_SUITE_P(Codes, LaneRefused,
                         testing::Values(NATIVE_REJECT_LANE_BUSY, NATIVE_REJECT_LANES_FULL,
                                         NATIVE_REJECT_DRAINING, NATIVE_REJECT_OVERLOADED));

TEST(Lane, HurriesOnceWhenTheCookieIsStaleAndThenTakesItsTime)
{
    Options options;
    World world(options);
    world.appliance.reject_opens = 5;
    world.appliance.reject_code = NATIVE_REJECT_COOKIE;

    ExpectAll(world, options);

    EXPECT_EQ(world.retryings, 4u);
}

class LaneFailed : public testing::TestWithParam<uint32_t> {};

TEST_P(LaneFailed, GivesUpForGood)
{
    Options options;
    World world(options);
    world.appliance.reject_opens = 1;
    world.appliance.reject_code = GetParam();
    struct lane_event failed = {};
    world.on_event = [&](const struct lane_event &event) { failed = event; };

    world.Run(100 * S);

    EXPECT_EQ(world.failed_code, GetParam());
    EXPECT_EQ(failed.detail, 99u);
    EXPECT_EQ(lane_timer_ns(world.Lane()), UINT64_MAX);
    EXPECT_EQ(world.told, 0u);
    const bool unknown = GetParam() == NATIVE_REJECT_LANE_UNKNOWN;
    EXPECT_EQ(lane_begin_again(world.Lane(), world.now_ns), unknown ? STATUS_OK : STATUS_INVALID);
}

INSTANTIATE_TEST_SUITE_P(Codes, LaneFailed,
                         testing::Values(NATIVE_REJECT_FENCED, NATIVE_REJECT_LANE_UNKNOWN,
                                         NATIVE_REJECT_INVALID, NATIVE_REJECT_NOT_ALLOWED));

TEST(Lane, GivesUpWithoutACommonVersion)
{
    Options options;
    World world(options);
    world.appliance.speaks_version_1 = false;

    world.Run(100 * S);

    EXPECT_EQ(world.failed_code, 0u);
}

TEST(Lane, BacksOffWhileNobodyAnswers)
{
    Options options;
    options.blackouts = {{0, S + 100 * S}};
    World world(options);

    ExpectAll(world, options);

    EXPECT_GT(world.retryings, 20u); // 100 ms doubled up to 5 s, each ± 25 %
    EXPECT_LT(world.retryings, 40u);
}

TEST(Lane, OpensOverALinkThatLosesMostOfTheHandshake)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        SCOPED_TRACE(seed);
        Options options;
        options.seed = seed;
        options.records = 5;
        options.faults = {60, 30, 30, 0};
        World world(options);

        ExpectAll(world, options);
        ASSERT_FALSE(HasFailure());
    }
}

// --------------------------------------------------------------------------------------- resuming

TEST(Lane, GoesOnWhenTheApplianceRestarts)
{
    for (uint64_t at_ms = 1; at_ms < 200; at_ms += 13) {
        SCOPED_TRACE(at_ms);
        Options options;
        options.records = 300;
        options.pace_ns = MS / 2;
        World world(options);
        world.At(S + at_ms * MS, [&] { world.appliance.Restart(world.now_ns); });

        ExpectAll(world, options);
        EXPECT_EQ(world.lost.size(), 0u);
        ASSERT_FALSE(HasFailure());
    }
}

TEST(Lane, GoesOnOverABadLinkWhoseApplianceRestartsAgainAndAgain)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        SCOPED_TRACE(seed);
        Options options;
        options.seed = seed;
        options.records = 600;
        options.pace_ns = 5 * MS;
        options.faults = {15, 5, 10, 3};
        World world(options, seed % 2 == 0 ? Sizes(0, 300) : Sizes(0, 4000));
        for (uint64_t i = 1; i < 12; i++) {
            world.At(S + i * (200 + seed) * MS, [&] { world.appliance.Restart(world.now_ns); });
        }

        ExpectAll(world, options);
        EXPECT_EQ(world.lost.size(), 0u);
        ASSERT_FALSE(HasFailure());
    }
}

TEST(Lane, TellsExactlyWhatALostDiskTook)
{
    Options options;
    options.records = 400;
    options.pace_ns = MS;
    options.close = false;
    World world(options);
    uint64_t durable_before = 0;
    world.At(S + 200 * MS, [&] {
        durable_before = lane_durable(world.Lane());
        world.appliance.LoseDisk(world.appliance.durable - (durable_before - 20), world.now_ns);
    });

    ExpectAll(world, options);

    ASSERT_EQ(world.lost.size(), 1u);
    EXPECT_EQ(world.lost[0].sequence, durable_before - 19);
    EXPECT_GE(world.lost[0].sequence + world.lost[0].count - 1, durable_before);
    EXPECT_EQ(world.lost_fates, 0u); // what was told is not told again
}

TEST(Lane, FailsWhenItWasForgottenAndBeginsAgainIfTold)
{
    Options options;
    options.records = 400;
    options.pace_ns = MS;
    World world(options);
    world.At(S + 200 * MS, [&] { world.appliance.ForgetLane(world.now_ns); });

    world.RunUntil([&] { return world.failed_code != UINT32_MAX; }, 100 * S);
    EXPECT_EQ(world.failed_code, uint32_t{NATIVE_REJECT_LANE_UNKNOWN});
    EXPECT_LT(world.told, options.records);

    world.failed_code = UINT32_MAX;
    ASSERT_EQ(lane_begin_again(world.Lane(), world.now_ns), STATUS_OK);
    ExpectAll(world, options);
}

TEST(Lane, NeedNotSendWhatTheApplianceHasFromAnEarlierProcess)
{
    Options options;
    options.first = 101; // a state file: 1..100 are durable
    options.records = 300;
    World world(options);
    world.appliance.known = true;
    world.appliance.durable = 100;
    world.appliance.epoch = 4;
    world.appliance.Hold(101, 250);

    ExpectAll(world, options);

    EXPECT_EQ(world.Stats().records_sent, 150u);
}

TEST(Lane, LearnsFromTheApplianceWhereItsSequenceGoesOn)
{
    Options options;
    options.learn = true;
    options.records = 300;
    World world(options);
    world.appliance.known = true;
    world.appliance.durable = 100;
    world.appliance.epoch = 4;
    world.appliance.Hold(101, 250);

    ExpectAll(world, options);

    EXPECT_EQ(world.appliance.durable, 550u);
    EXPECT_EQ(lane_durable(world.Lane()), 550u);
}

Options ResumedFromDurable()
{
    Options options;
    options.from_durable = true;
    options.begin = false;
    options.records = 450; // the 101st and on
    return options;
}

void HoldUndurable(World &world)
{
    world.appliance.known = true;
    world.appliance.durable = 100;
    world.appliance.epoch = 4;
    world.appliance.Hold(101, 250, S + 500 * MS);
}

TEST(Lane, GivesAgainWhatIsNotDurableAndSendsWhatIsNotReceived)
{
    World world(ResumedFromDurable());
    HoldUndurable(world);

    ExpectAll(world, ResumedFromDurable());

    EXPECT_EQ(world.Stats().records_sent, 300u);
    EXPECT_EQ(world.appliance.durable, 550u);
}

TEST(Lane, LosesNothingWhenTheApplianceForgetsWhatItHadReceivedFromAnEarlierProcess)
{
    World world(ResumedFromDurable());
    HoldUndurable(world);
    world.At(S + 100 * MS, [&] { world.appliance.Restart(world.now_ns); });

    ExpectAll(world, ResumedFromDurable());

    EXPECT_EQ(world.lost_fates, 0u);
    EXPECT_EQ(world.appliance.durable, 550u);
}

TEST(Lane, GoesOnFromDurableAtItsFirstRecordWhereTheLaneIsNew)
{
    Options options = ResumedFromDurable();
    options.begin = true;
    World world(options);

    ExpectAll(world, options);

    EXPECT_EQ(world.appliance.durable, 450u);
}

TEST(Lane, GivesWayToANewerProcess)
{
    Options options;
    options.records = 1000;
    options.pace_ns = MS;
    World world(options);
    world.At(S + 200 * MS, [&] {
        world.appliance.Restart(world.now_ns);
        world.appliance.epoch = 6;
    });

    world.Run(100 * S);

    EXPECT_EQ(world.failed_code, uint32_t{NATIVE_REJECT_FENCED});
}

TEST(Lane, ComesBackToAnApplianceThatDrained)
{
    Options options;
    options.records = 300;
    options.pace_ns = MS;
    World world(options);
    world.At(S + 100 * MS, [&] { world.appliance.Drain(); });

    ExpectAll(world, options);

    EXPECT_EQ(world.opened, 2u);
}

// ------------------------------------------------------------------------------------------ trust

struct native_ack AckOf(uint64_t received, uint64_t durable, uint64_t fates_first, uint64_t packet)
{
    struct native_ack ack = {};
    ack.ack_number = 1000000;
    ack.received = received;
    ack.durable = durable;
    ack.fates_first = fates_first;
    ack.range_count = 1;
    ack.ranges[0] = {packet, packet};
    return ack;
}

Datagram Encode(const struct native_ack &ack, uint64_t session)
{
    Datagram out(1200);
    struct sink sink = native_ack_begin(out.data(), out.size(), session, &ack);
    if (ack.durable >= ack.fates_first) {
        native_fate_put(&sink, NATIVE_STORED, ack.durable - ack.fates_first + 1);
    }
    out.resize(native_ack_end(out.data(), &sink, ack.durable));
    return out;
}

TEST(Lane, DropsAndCountsWhatCannotBeTrue)
{
    Options options;
    options.records = 50;
    options.close = false;
    World world(options);
    ExpectAll(world, options);
    const uint64_t session = world.appliance.SessionId();
    Datagram torn = Encode(AckOf(50, 50, 51, 0), session);
    torn.back() ^= 1;
    const std::vector<Datagram> lies = {
        Encode(AckOf(50, 51, 51, 0), session),     // durable, never sent
        Encode(AckOf(51, 50, 51, 0), session),     // received, never sent
        Encode(AckOf(50, 50, 51, 999), session),   // a packet that was never sent
        Encode(AckOf(50, 50, 53, 0), session),     // fates are missing
        Encode(AckOf(50, 50, 51, 0), session + 2), // another session
        torn,
    };

    for (const Datagram &lie : lies) {
        const uint64_t dropped = world.Stats().datagrams_dropped;
        lane_receive(world.Lane(), bytes_of(lie.data(), lie.size()), world.now_ns);
        EXPECT_EQ(world.Stats().datagrams_dropped, dropped + 1) << &lie - lies.data();
    }
    struct lane_event event;
    EXPECT_FALSE(lane_next_event(world.Lane(), &event));
    EXPECT_EQ(lane_durable(world.Lane()), 50u);

    const Datagram truth = Encode(AckOf(50, 50, 51, 0), session);
    const uint64_t dropped = world.Stats().datagrams_dropped;
    lane_receive(world.Lane(), bytes_of(truth.data(), truth.size()), world.now_ns);
    EXPECT_EQ(world.Stats().datagrams_dropped, dropped);
}

TEST(Lane, TakesCreditOfTheNewestAckOnly)
{
    Options options;
    options.records = 50;
    options.close = false;
    World world(options);
    ExpectAll(world, options);
    const auto tell = [&](uint64_t number, uint32_t credit_bytes) {
        struct native_ack ack = AckOf(50, 50, 51, 0);
        ack.ack_number = number;
        ack.credit_bytes = credit_bytes;
        const Datagram datagram = Encode(ack, world.appliance.SessionId());
        lane_receive(world.Lane(), bytes_of(datagram.data(), datagram.size()), world.now_ns);
        return world.Stats().credit_bytes;
    };

    EXPECT_EQ(tell(1000000, 5000), 5000u);
    EXPECT_EQ(tell(999999, 70000), 5000u); // overtaken
    EXPECT_EQ(tell(1000000, 60000), 5000u);
    EXPECT_EQ(tell(1000001, 0), 0u);
}

// ------------------------------------------------------------------------------------- path MTU

TEST(Lane, RaisesTheDatagramToWhatBothEndsTake)
{
    Options options;
    options.records = 3000;
    options.datagram_bytes_max = 8972;
    World world(options);

    ExpectAll(world, options);

    EXPECT_EQ(world.Stats().datagram_bytes, 8972);
    EXPECT_EQ(world.Stats().packets_lost, 0u);
}

TEST(Lane, FindsTheSizeThatThePathCarries)
{
    Options options;
    options.records = 20000;
    options.pace_ns = MS / 10;
    options.datagram_bytes_max = 8972;
    World world(options);
    world.mtu = 4000;

    ExpectAll(world, options);

    EXPECT_GT(world.Stats().datagram_bytes, 4000 - 64);
    EXPECT_LE(world.Stats().datagram_bytes, 4000);
    EXPECT_EQ(world.Stats().packets_lost, 0u); // of probes the window knows nothing
}

TEST(Lane, LeavesABlackHoleThatSwallowsLargeDatagrams)
{
    for (const size_t size : {200, 3000, 20000}) {
        SCOPED_TRACE(size);
        Options options;
        options.records = size < 1000 ? 20000 : 2000;
        options.pace_ns = size < 1000 ? MS / 20 : MS;
        options.datagram_bytes_max = 8972;
        World world(options, Sizes(size / 2, size));
        world.At(S + 500 * MS, [&] {
            EXPECT_EQ(world.Stats().datagram_bytes, 8972);
            world.mtu = 1200;
        });

        ExpectAll(world, options);

        EXPECT_EQ(world.Stats().datagram_bytes, 1200);
        EXPECT_EQ(world.opened, 1u);
    }
}

} // namespace
} // namespace lane_test
