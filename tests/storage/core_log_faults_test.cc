/* What a core_log does when its disk refuses, forgets, cuts short or is full: every row of the
 * reaction table of docs/failure-modes.md, with the fault at every place where it can be. */
#include <gtest/gtest.h>

#include <random>

#include "storage/core_log.h"
#include "tests/storage/log_rig.h"

namespace {

constexpr uint64_t kForever = UINT64_MAX;
constexpr uint64_t kLateNs = 30 * uint64_t{NS_PER_S};

/* A log that is fed until `commits` were taken. When nothing moves, time does: to where a write is
 * late, a probe or the helper's next try is due. */
class FedLog : public LogRig {
  public:
    explicit FedLog(const Options &options = Options()) : LogRig(options) {}
    ~FedLog() /* every write has to be reaped first */
    {
        sim_disk_calm(disk);
        for (int i = 0; i < 100 && sim_disk_in_flight(disk) > 0; i++) { Turn(); }
    }

    void Feed(int commits, size_t bytes = 6000)
    {
        int idle = 0;
        for (int taken = 0; taken < commits && idle < kIdleMax;) {
            const bool took = Write(2, bytes) != 0;
            taken += took;
            Wait(took ? 0 : ++idle);
        }
        EXPECT_LT(idle, kIdleMax) << "the log takes nothing";
        Quiet();
    }
    /* Until all is durable and the log is open. */
    void Quiet()
    {
        int idle = 0;
        while (idle < kIdleMax && (core_log_in_flight(log) > 0 || Closed())) { Wait(++idle); }
        EXPECT_LT(idle, kIdleMax) << "it does not heal";
    }
    void End()
    {
        core_log_finish(log);
        int idle = 0;
        while (idle < kIdleMax && !core_log_is_finished(log)) { Wait(++idle); }
        EXPECT_LT(idle, kIdleMax) << "it does not end";
    }
    bool Closed() const { return core_log_closed_why(log) != STATUS_OK; }
    /* All that the disk holds, as long as nothing is in flight, is what was written. */
    void ExpectAllThere()
    {
        const LogWalk walk = Walk();
        walk.ExpectChainHolds();
        EXPECT_EQ(walk.Records(), written);
        EXPECT_EQ(Counter(STATS_records_in), Counter(STATS_records_stored));
        EXPECT_EQ(stats->records_in_flight, 0U);
    }

  private:
    static constexpr int kIdleMax = 20000;
    void Wait(int idle)
    {
        if (idle > 0 && idle % 100 == 0) { now.mono_ns += kLateNs / 20; }
        Turn();
    }
};

LogRigOptions Seeded(uint64_t seed, size_t paths = 1)
{
    LogRigOptions options;
    options.seed = seed;
    options.delay_reaps_max = 3;
    options.paths = paths;
    return options;
}

/* ------------------------------------------------------------------- a write that is refused */

class RefusedWrites : public testing::TestWithParam<std::tuple<enum status, uint64_t>> {};

/* The n-th write and those right behind it are refused, for n = 1, 2, 3... until a run passes
 * untouched. */
TEST_P(RefusedWrites, AtEveryPlaceNothingIsLostAndTheLogGoesOn)
{
    const auto [why, count] = GetParam();
    uint64_t n = 1;
    for (; n < 1000; n++) {
        SCOPED_TRACE(testing::Message() << "write " << n);
        FedLog log(Seeded(n));
        sim_disk_fail_writes(log.disk, n, count, why);

        log.Feed(40);
        log.End();

        log.ExpectAllThere();
        ASSERT_FALSE(HasFailure());
        if (sim_disk_write_count(log.disk) < n) { break; }
    }
    EXPECT_LT(n, 1000U);
    EXPECT_GT(n, 40U);
}

INSTANTIATE_TEST_SUITE_P(OneTwoFive, RefusedWrites,
                         testing::Combine(testing::Values(STATUS_IO, STATUS_NO_SPACE),
                                          testing::Values(1, 2, 5)));

class ShortWrites : public testing::TestWithParam<size_t> {};

/* Of the n-th write only some bytes reach the disk. */
TEST_P(ShortWrites, AreErrorsWhereverTheyEnd)
{
    uint64_t n = 1;
    for (; n < 1000; n++) {
        SCOPED_TRACE(testing::Message() << "write " << n);
        FedLog log(Seeded(n));
        sim_disk_shorten_write(log.disk, n, GetParam());

        log.Feed(25);
        log.End();

        log.ExpectAllThere();
        ASSERT_FALSE(HasFailure());
        if (sim_disk_write_count(log.disk) < n) { break; }
        ASSERT_EQ(log.Counter(STATS_log_write_errors), 1U);
        ASSERT_GE(log.Counter(STATS_segments_failed), 1U);
    }
    EXPECT_GT(n, 25U);
}

INSTANTIATE_TEST_SUITE_P(Bytes, ShortWrites, testing::Values(0, 1, 511, 512, 4096, SIZE_MAX));

/* ---------------------------------------------------------------- a write that does not end */

TEST(LateWrite, ItsCommitIsWrittenAgainAndTheLogStaysOpen)
{
    FedLog log;
    log.Turns(5);
    sim_disk_swallow_write(log.disk, sim_disk_write_count(log.disk) + 1);
    log.MustWrite();
    log.Turns(10);
    log.now.mono_ns += kLateNs;
    log.Turns(20);

    EXPECT_FALSE(log.Closed());
    EXPECT_EQ(core_log_in_flight(log.log), 0U);
    EXPECT_EQ(log.Counter(STATS_commits_rewritten), 1U);
    EXPECT_EQ(log.Counter(STATS_segments_failed), 1U);
    EXPECT_EQ(log.Counter(STATS_log_writes_late), 1U);
    auto notes = log.Notes();
    EXPECT_EQ(notes[NOTE_WRITE_LATE], 1);
    EXPECT_EQ(notes[NOTE_SEGMENT_FAILED], 1);
    EXPECT_EQ(notes[NOTE_LOG_CLOSED], 0);
    EXPECT_EQ(sim_disk_in_flight(log.disk), 1U) << "still out, and its bytes still whole";
    log.ExpectAllThere();

    sim_disk_release(log.disk, STATUS_OK);
    log.Feed(5);
    log.ExpectAllThere();
}

TEST(LateWrite, IsNotLateASecondEarlier)
{
    FedLog log;
    log.Turns(5);
    sim_disk_swallow_write(log.disk, sim_disk_write_count(log.disk) + 1);
    log.MustWrite();
    log.now.mono_ns += kLateNs - NS_PER_S;
    log.Turns(20);

    EXPECT_EQ(log.Counter(STATS_segments_failed), 0U);
    sim_disk_release(log.disk, STATUS_OK);
    log.Quiet();
}

class LateCompletions : public testing::TestWithParam<enum status> {};

TEST_P(LateCompletions, AreNotTakenForTheWriteThatReplacedThem)
{
    FedLog log;
    log.Turns(5);
    sim_disk_swallow_write(log.disk, sim_disk_write_count(log.disk) + 1);
    log.MustWrite();
    log.Turns(10);
    const uint64_t before = core_log_durable_number(log.log);
    sim_disk_set_latency(log.disk, NS_PER_S, NS_PER_S); /* the second write is under way for long */
    log.now.mono_ns += kLateNs;
    log.Turns(20);
    ASSERT_EQ(log.Counter(STATS_commits_rewritten), 1U);

    sim_disk_release(log.disk, GetParam());
    log.Turns(20);

    EXPECT_EQ(core_log_durable_number(log.log), before) << "only the second write may say so";
    EXPECT_EQ(log.Counter(STATS_segments_failed), 1U) << "nor does it fail the new segment";
    sim_disk_advance(log.disk, 2 * uint64_t{NS_PER_S});
    sim_disk_set_latency(log.disk, 0, 0);
    log.Quiet();
    EXPECT_EQ(core_log_durable_number(log.log), before + 1);
    log.ExpectAllThere();
}

INSTANTIATE_TEST_SUITE_P(Ends, LateCompletions, testing::Values(STATUS_OK, STATUS_IO));

/* The simulated disk looks at the bytes of every write when it ends. */
TEST(LateWrite, ItsBytesStayWholeForManyLapsOfTheRing)
{
    FedLog log;
    log.Feed(3);
    sim_disk_swallow_write(log.disk, sim_disk_write_count(log.disk) + 2);
    log.Feed(3);
    const uint64_t begin = log.ring->reserved_end;

    while (log.ring->reserved_end - begin < 5 * log.ring->capacity_bytes && !HasFailure()) {
        log.Feed(10);
    }
    EXPECT_EQ(sim_disk_in_flight(log.disk), 1U);
    sim_disk_release(log.disk, STATUS_OK);
    log.Feed(20);

    log.ExpectAllThere();
    EXPECT_EQ(log.Counter(STATS_segments_failed), 1U);
}

/* The n-th write ends late, for every n, with every end, and before or after the log is finished
 * with what replaced it. */
TEST_P(LateCompletions, AtEveryPlaceNothingIsLost)
{
    uint64_t n = 1;
    for (; n < 1000; n++) {
        SCOPED_TRACE(testing::Message() << "write " << n);
        FedLog log(Seeded(n));
        sim_disk_swallow_write(log.disk, n);

        log.Feed(20);
        if (n % 2 == 0) { sim_disk_release(log.disk, GetParam()); }
        log.Feed(15);
        sim_disk_release(log.disk, GetParam());
        sim_disk_swallow_write(log.disk, 0);
        log.End();

        log.ExpectAllThere();
        ASSERT_FALSE(HasFailure());
        if (sim_disk_write_count(log.disk) < n) { break; }
    }
    EXPECT_GT(n, 35U);
}

TEST(LateWrite, OneRefusedBesideItDoesNotHideIt)
{
    FedLog log;
    log.Turns(5);
    const uint64_t next = sim_disk_write_count(log.disk) + 1;
    sim_disk_fail_writes(log.disk, next, 1, STATUS_IO);
    sim_disk_swallow_write(log.disk, next + 1);
    log.MustWrite();
    log.MustWrite();
    log.Turns(10);
    EXPECT_EQ(core_log_in_flight(log.log), 2U) << "it waits for the second";

    log.now.mono_ns += kLateNs;
    log.Turns(20);

    EXPECT_EQ(core_log_in_flight(log.log), 0U);
    log.ExpectAllThere();
    sim_disk_release(log.disk, STATUS_OK);
    log.Quiet();
}

TEST(LateWrite, ADiskThatNeverAnswersClosesTheLogWithinBounds)
{
    FedLog log;
    log.Feed(3);
    const struct sim_disk_chances silent = {0, 0, 1'000'000, 0, 0};
    sim_disk_set_chances(log.disk, &silent);
    ASSERT_NE(log.Write(), 0U);
    ASSERT_NE(log.Write(), 0U);
    const uint64_t durable = core_log_durable_number(log.log);
    for (int second = 0; second < 600; second++) {
        log.now.mono_ns += NS_PER_S;
        log.Turns(5);
    }

    EXPECT_EQ(core_log_closed_why(log.log), STATUS_IO);
    EXPECT_EQ(log.Notes()[NOTE_LOG_CLOSED], 1);
    EXPECT_EQ(core_log_durable_number(log.log), durable);
    EXPECT_LE(sim_disk_in_flight(log.disk), 8U) << "it does not pile up writes";
    EXPECT_LE(log.Counter(STATS_segments_opened), 4U) << "nor segments";

    sim_disk_calm(log.disk);
    log.Feed(10);
    log.ExpectAllThere();
    EXPECT_EQ(log.Notes()[NOTE_LOG_REOPENED], 1);
}

/* ------------------------------------------------------------------------ the helper's calls */

class RefusedCalls
    : public testing::TestWithParam<std::tuple<enum sim_disk_call, enum status, uint64_t>> {};

/* The n-th segment cannot be made, or the n-th removed. */
TEST_P(RefusedCalls, AtEveryPlaceNothingIsLostAndTheLogGoesOn)
{
    const auto [call, why, count] = GetParam();
    uint64_t n = 1;
    for (; n < 200; n++) {
        SCOPED_TRACE(testing::Message() << "call " << n);
        FedLog log(Seeded(n));
        sim_disk_fail_calls(log.disk, call, n, count, why);
        sim_disk_fail_writes(log.disk, 20, 3, STATUS_IO); /* so that some segments are removed */

        log.Feed(60, 8000);
        log.End();

        log.ExpectAllThere();
        ASSERT_FALSE(HasFailure());
        if (sim_disk_call_count(log.disk, call) < n) { break; }
    }
    EXPECT_GT(n, 1U);
    EXPECT_LT(n, 200U);
}

INSTANTIATE_TEST_SUITE_P(Calls, RefusedCalls,
                         testing::Combine(testing::Values(SIM_DISK_CREATE, SIM_DISK_REMOVE),
                                          testing::Values(STATUS_IO, STATUS_NO_SPACE),
                                          testing::Values(1, 3)));

TEST(FullDisk, FillsAndGetsRoomTwentyTimes)
{
    FedLog log;
    log.Feed(10);
    for (int cycle = 0; cycle < 20; cycle++) {
        SCOPED_TRACE(cycle);
        sim_disk_refuse_creates(log.disk, STATUS_NO_SPACE);
        for (int i = 0; i < 2000 && !log.Closed(); i++) {
            (void)log.Write(1, 8000);
            log.Turn();
        }
        ASSERT_EQ(core_log_closed_why(log.log), STATUS_NO_SPACE);
        ASSERT_EQ(log.root->partitions[LogRig::kPartition].why, uint32_t{STATUS_NO_SPACE});

        sim_disk_refuse_creates(log.disk, STATUS_OK);
        for (int i = 0; i < 5000 && log.Closed(); i++) { log.Turn(); }
        ASSERT_FALSE(log.Closed()) << "within 5 s";
    }
    log.Quiet();
    log.ExpectAllThere();
    EXPECT_EQ(log.Notes()[NOTE_LOG_CLOSED], log.Counter(STATS_segments_opened) > 0 ? 20 : 0);
}

/* ------------------------------------------------------------------------------ several paths */

std::vector<size_t> PathsOf(const LogRig &log)
{
    std::vector<size_t> out;
    for (uint64_t number = 1; number < 100; number++) {
        char name[LOG_NAME_BYTES];
        log_segment_name(LogRig::kPartition, number, name);
        const size_t path = sim_disk_path_of(log.disk, name);
        if (path != SIZE_MAX) { out.push_back(path); }
    }
    return out;
}

TEST(SeveralPaths, ADiskThatFailsIsTriedTwiceAndThenLeftForTheNext)
{
    FedLog log(Seeded(1, /*paths=*/2));
    log.Feed(5);
    ASSERT_EQ(PathsOf(log).front(), 0U);
    sim_disk_fail_path(log.disk, 0, STATUS_IO);

    log.Feed(30);

    EXPECT_EQ(log.Counter(STATS_segments_failed), 2U);
    auto notes = log.Notes();
    EXPECT_EQ(notes[NOTE_PATH_CHANGED], 1);
    EXPECT_EQ(notes[NOTE_LOG_CLOSED], 0) << "a healthy disk is there: nobody is sent away";
    EXPECT_EQ(PathsOf(log).back(), 1U);
    log.ExpectAllThere();
}

TEST(SeveralPaths, OneRefusalAloneChangesNoPath)
{
    FedLog log(Seeded(1, /*paths=*/2));
    log.Feed(5);
    sim_disk_fail_writes(log.disk, sim_disk_write_count(log.disk) + 1, 1, STATUS_IO);

    log.Feed(30);

    EXPECT_EQ(log.Counter(STATS_segments_failed), 1U);
    EXPECT_EQ(log.Notes()[NOTE_PATH_CHANGED], 0);
    log.ExpectAllThere();
}

TEST(SeveralPaths, AFullOneIsLeftForTheNextWithoutClosing)
{
    FedLog log(Seeded(1, /*paths=*/2));
    log.Feed(5);
    sim_disk_fail_calls(log.disk, SIM_DISK_CREATE,
                        sim_disk_call_count(log.disk, SIM_DISK_CREATE) + 1, 1, STATUS_NO_SPACE);

    log.Feed(60);

    auto notes = log.Notes();
    EXPECT_EQ(notes[NOTE_LOG_CLOSED], 0);
    EXPECT_EQ(notes[NOTE_PATH_CHANGED], 1);
    EXPECT_EQ(log.Counter(STATS_segments_failed), 0U);
    log.ExpectAllThere();
}

TEST(SeveralPaths, OneThatDoesNotAnswerIsNotAskedAgain)
{
    FedLog log(Seeded(1, /*paths=*/2));
    log.Feed(5);
    sim_disk_swallow_write(log.disk, sim_disk_write_count(log.disk) + 1);
    log.MustWrite();
    log.Turns(10);
    log.now.mono_ns += kLateNs;
    log.Turns(50);

    EXPECT_EQ(core_log_in_flight(log.log), 0U);
    EXPECT_EQ(log.Notes()[NOTE_PATH_CHANGED], 1);
    EXPECT_EQ(PathsOf(log).back(), 1U);
    sim_disk_release(log.disk, STATUS_IO);
    log.Feed(5);
    log.ExpectAllThere();
}

class HealedPath : public testing::TestWithParam<size_t> {};

TEST_P(HealedPath, AllFailingCloseTheLogAndAnyThatHealsOpensIt)
{
    FedLog log(Seeded(1, /*paths=*/3));
    log.Feed(5);
    for (size_t path = 0; path < 3; path++) { sim_disk_fail_path(log.disk, path, STATUS_IO); }
    ASSERT_NE(log.Write(), 0U);
    log.Turns(10'000);
    EXPECT_EQ(core_log_closed_why(log.log), STATUS_IO);
    const uint64_t files = PathsOf(log).size();
    log.Turns(20'000);
    EXPECT_LE(PathsOf(log).size(), files + 1) << "probes that failed leave no files";

    sim_disk_fail_path(log.disk, GetParam(), STATUS_OK);
    log.Turns(6'000); /* one path a second */
    EXPECT_FALSE(log.Closed());
    log.Feed(30);

    EXPECT_EQ(PathsOf(log).back(), GetParam());
    log.ExpectAllThere();
}

INSTANTIATE_TEST_SUITE_P(Each, HealedPath, testing::Values(0, 1, 2));

/* ------------------------------------------------------------------------------------ property */

class CoreLogTroubles : public testing::TestWithParam<uint64_t> {};

/* Refusals, silence, short writes, full and broken paths in any order: at every turn all that is
 * said to be durable is on the disk once, and when the trouble ends the log heals by itself. */
TEST_P(CoreLogTroubles, NothingDurableIsEverMissing)
{
    std::mt19937_64 random(GetParam());
    const auto one_in = [&random](uint64_t n) { return random() % n == 0; };
    LogRig::Options options = Seeded(GetParam(), 1 + random() % 3);
    options.in_flight_max = 1 + static_cast<uint32_t>(random() % 8);
    options.idle_watermark_ns = (random() % 2) * 5 * NS_PER_MS;
    options.segment_age_ns = (random() % 3) * 2 * NS_PER_MS;
    options.disk_depth = 4 * (random() % 4); /* 0: no limit */
    FedLog log(options);

    for (int step = 0; step < 400; step++) {
        const uint64_t next = sim_disk_write_count(log.disk) + 1 + random() % 4;
        if (one_in(40)) { sim_disk_fail_writes(log.disk, next, 1 + random() % 3, STATUS_IO); }
        if (one_in(30)) { sim_disk_swallow_write(log.disk, next); }
        if (one_in(40)) { sim_disk_shorten_write(log.disk, next, random() % 9000); }
        if (one_in(60)) {
            sim_disk_fail_path(log.disk, random() % options.paths,
                               one_in(2) ? STATUS_OK : STATUS_NO_SPACE);
        }
        if (one_in(25)) { log.now.mono_ns += random() % (2 * kLateNs); }
        if (one_in(50)) { sim_disk_release(log.disk, one_in(2) ? STATUS_OK : STATUS_IO); }
        if (!one_in(3)) { log.Write(1 + static_cast<uint32_t>(random() % 9), 8 + random() % 9000); }
        const uint64_t durable = log.Turn();
        const LogWalk walk = log.Walk();
        ASSERT_GE(walk.LastNumber(), durable) << "seed " << GetParam() << " step " << step;
        ASSERT_EQ(walk.Records(durable), log.WrittenUpTo(durable)) << "seed " << GetParam();
    }

    const uint64_t durable = core_log_durable_number(log.log);
    struct sim_disk *const after = sim_disk_after_crash(log.disk, GetParam());
    EXPECT_EQ(LogWalk(after, LogRig::kPartition).Records(durable), log.WrittenUpTo(durable))
        << "seed " << GetParam();
    sim_disk_destroy(after);

    sim_disk_calm(log.disk);
    log.Feed(5);
    log.End();
    log.ExpectAllThere();
    EXPECT_EQ(sim_disk_in_flight(log.disk), 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CoreLogTroubles, testing::Range<uint64_t>(1, 201));

} // namespace
