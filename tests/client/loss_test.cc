#include "client/loss.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace {

constexpr uint64_t MS = 1000 * 1000;
constexpr uint64_t ACK_DELAY_MAX = 25 * MS;
constexpr uint64_t RTT = 40 * MS;
constexpr uint32_t SIZE = 1000;
constexpr uint64_t NEVER = UINT64_MAX;

struct Destroy {
    void operator()(struct loss *loss) const { loss_destroy(loss); }
};

using Numbers = std::vector<uint64_t>;
using Ranges = std::vector<struct loss_range>;

// One packet number space, and what its last call reported.
class Space {
  public:
    explicit Space(uint32_t capacity = 64, uint64_t initial_rtt_ns = 0)
    {
        const struct loss_options options = {capacity, initial_rtt_ns, ACK_DELAY_MAX};
        struct loss *loss = nullptr;
        EXPECT_EQ(loss_create(&options, &loss), STATUS_OK);
        loss_.reset(loss);
    }

    enum status Send(uint64_t number, uint64_t now_ns, bool ack_eliciting = true)
    {
        const struct loss_packet packet = {
            number, /*cookie=*/number + 7000, now_ns, SIZE, ack_eliciting, false};
        return loss_sent(loss_.get(), &packet);
    }

    // Numbers first..last, `gap_ns` apart; returns when the last left.
    uint64_t SendRun(uint64_t first, uint64_t last, uint64_t begin_ns, uint64_t gap_ns)
    {
        for (uint64_t number = first; number <= last; number++) {
            EXPECT_EQ(Send(number, begin_ns + (number - first) * gap_ns), STATUS_OK);
        }
        return begin_ns + (last - first) * gap_ns;
    }

    enum status Ack(const Ranges &ranges, uint64_t now_ns, uint64_t delay_ns = 0)
    {
        const struct loss_ack ack = {ranges.data(), ranges.size(), delay_ns};
        return loss_acked(loss_.get(), &ack, now_ns, &report);
    }

    enum loss_timer OnTimer(uint64_t now_ns) { return loss_on_timer(loss_.get(), now_ns, &report); }

    // Calls the timer whenever it is due, until it has nothing more to say before `end_ns`.
    Numbers LostByTimerUntil(uint64_t end_ns)
    {
        Numbers lost;
        while (TimerNs() <= end_ns) {
            OnTimer(TimerNs());
            lost.insert(lost.end(), Lost().begin(), Lost().end());
        }
        return lost;
    }

    Numbers Acked() const
    {
        Numbers out;
        for (size_t i = 0; i < report.acked_count; i++) { out.push_back(report.acked[i].number); }
        return out;
    }

    const Numbers &Lost()
    {
        lost_.clear();
        for (size_t i = 0; i < report.lost_count; i++) { lost_.push_back(report.lost[i].number); }
        return lost_;
    }

    void Restart(uint64_t ack_delay_ns) { loss_restart(loss_.get(), ack_delay_ns); }

    uint64_t TimerNs() const { return loss_timer_ns(loss_.get()); }
    uint64_t InFlight() const { return loss_in_flight_bytes(loss_.get()); }
    uint32_t Eighths() const { return loss_time_eighths(loss_.get()); }
    uint32_t Threshold() const { return loss_packet_threshold(loss_.get()); }
    bool IsFull() const { return loss_is_full(loss_.get()); }
    const struct rtt &Rtt() const { return *loss_rtt(loss_.get()); }
    uint32_t ProbeTimeouts() const { return loss_probe_timeouts(loss_.get()); }

    struct loss_report report = {};

  private:
    std::unique_ptr<struct loss, Destroy> loss_;
    Numbers lost_;
};

// With one sample of 40 ms: time threshold 45 ms, probe timeout 40 + 4 * 20 + 25 = 145 ms.
Space SampledSpace(uint32_t capacity = 64)
{
    Space space(capacity);
    EXPECT_EQ(space.Send(0, 0), STATUS_OK);
    EXPECT_EQ(space.Ack({{0, 0}}, RTT), STATUS_OK);
    return space;
}

// ---- round trips -------------------------------------------------------------------------------

TEST(LossRtt, TakesTheFirstSampleAsItIs)
{
    Space space;
    ASSERT_EQ(space.Send(0, 5 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{0, 0}}, 45 * MS, /*delay_ns=*/10 * MS), STATUS_OK);

    EXPECT_EQ(space.Rtt().latest_ns, 40 * MS);
    EXPECT_EQ(space.Rtt().min_ns, 40 * MS);
    EXPECT_EQ(space.Rtt().smoothed_ns, 40 * MS);
    EXPECT_EQ(space.Rtt().variation_ns, 20 * MS);
}

TEST(LossRtt, TakesTheAckDelayOffALaterSample)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{1, 1}}, 160 * MS, /*delay_ns=*/10 * MS), STATUS_OK);

    EXPECT_EQ(space.Rtt().latest_ns, 60 * MS);
    EXPECT_EQ(space.Rtt().smoothed_ns, 41250000u);  // 7/8 * 40 + 1/8 * 50
    EXPECT_EQ(space.Rtt().variation_ns, 17500000u); // 3/4 * 20 + 1/4 * |40 - 50|
}

TEST(LossRtt, BelievesAnAckDelayUpToThePeersPromise)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{1, 1}}, 205 * MS, /*delay_ns=*/UINT64_MAX), STATUS_OK);

    EXPECT_EQ(space.Rtt().smoothed_ns, 45 * MS); // 7/8 * 40 + 1/8 * (105 - 25)
}

TEST(LossRtt, NeverTakesAnAckDelayThatWouldUndercutTheMinimum)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{1, 1}}, 148 * MS, /*delay_ns=*/9 * MS), STATUS_OK);

    EXPECT_EQ(space.Rtt().smoothed_ns, 41 * MS); // 7/8 * 40 + 1/8 * 48
}

TEST(LossRtt, TakesNoSampleWhereTheLargestNumberIsNoNews)
{
    Space space = SampledSpace();
    space.SendRun(1, 2, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{2, 2}}, 140 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{1, 2}}, 144 * MS), STATUS_OK);

    EXPECT_EQ(space.Acked(), Numbers{1});
    EXPECT_EQ(space.Rtt().latest_ns, 40 * MS);
}

TEST(LossRtt, TakesNoSampleFromPacketsThatElicitNoAck)
{
    Space space;
    ASSERT_EQ(space.Send(0, 0, /*ack_eliciting=*/false), STATUS_OK);

    ASSERT_EQ(space.Ack({{0, 0}}, 900 * MS), STATUS_OK);

    EXPECT_FALSE(space.Rtt().sampled);
    EXPECT_EQ(space.Rtt().smoothed_ns, 100 * MS);
}

TEST(LossRtt, SurvivesAClockThatJumpsByCenturies)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{1, 1}}, UINT64_MAX - 5), STATUS_OK);

    EXPECT_EQ(space.Rtt().latest_ns, RTT_NS_MAX);
    ASSERT_EQ(space.Send(2, UINT64_MAX - 5), STATUS_OK);
    EXPECT_EQ(space.TimerNs(), NEVER);
    EXPECT_EQ(space.OnTimer(UINT64_MAX), LOSS_TIMER_NOTHING);
}

// ---- what is lost ------------------------------------------------------------------------------

TEST(Loss, GivesBackWhatWasSent)
{
    Space space;
    ASSERT_EQ(space.Send(0, 3 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{0, 0}}, RTT), STATUS_OK);

    ASSERT_EQ(space.report.acked_count, 1u);
    EXPECT_EQ(space.report.acked[0].cookie, 7000u);
    EXPECT_EQ(space.report.acked[0].sent_ns, 3 * MS);
    EXPECT_EQ(space.report.acked[0].size_bytes, SIZE);
    EXPECT_FALSE(space.report.acked[0].was_lost);
    EXPECT_EQ(space.report.in_flight_before_bytes, SIZE);
    EXPECT_EQ(space.report.acked_bytes, SIZE);
    EXPECT_EQ(space.InFlight(), 0u);
}

TEST(Loss, DeclaresAPacketThreeBehindTheLargestAcked)
{
    Space space = SampledSpace();
    space.SendRun(1, 4, 100 * MS, 0);

    ASSERT_EQ(space.Ack({{4, 4}}, 140 * MS), STATUS_OK);

    EXPECT_EQ(space.Lost(), Numbers{1});
    EXPECT_EQ(space.report.lost_bytes, SIZE);
    EXPECT_EQ(space.report.newest_lost_sent_ns, 100 * MS);
    EXPECT_EQ(space.InFlight(), 2 * SIZE);
}

TEST(Loss, DeclaresTheOthersNineEighthsOfARoundTripAfterTheyLeft)
{
    Space space = SampledSpace();
    space.SendRun(1, 4, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{4, 4}}, 140 * MS), STATUS_OK);

    EXPECT_EQ(space.TimerNs(), 145 * MS);
    EXPECT_EQ(space.OnTimer(145 * MS - 1), LOSS_TIMER_NOTHING);
    EXPECT_EQ(space.OnTimer(145 * MS), LOSS_TIMER_LOST);
    EXPECT_EQ(space.Lost(), (Numbers{2, 3}));
    EXPECT_EQ(space.TimerNs(), NEVER);
}

TEST(Loss, WaitsAtLeastTheGranularityOnAShortPath)
{
    Space space;
    ASSERT_EQ(space.Send(0, 0), STATUS_OK);
    ASSERT_EQ(space.Ack({{0, 0}}, MS / 20), STATUS_OK);
    space.SendRun(1, 2, 10 * MS, 0);

    ASSERT_EQ(space.Ack({{2, 2}}, 10 * MS + MS / 20), STATUS_OK);

    EXPECT_EQ(space.TimerNs(), 11 * MS);
}

TEST(Loss, NeverDeclaresAPacketAboveTheLargestAcked)
{
    Space space = SampledSpace();
    space.SendRun(1, 9, 100 * MS, 0);

    ASSERT_EQ(space.Ack({{1, 1}}, 10000 * MS), STATUS_OK);

    EXPECT_EQ(space.report.lost_count, 0u);
    EXPECT_EQ(space.InFlight(), 8 * SIZE);
}

TEST(Loss, KeepsPacketsThatElicitNoAckOutOfTheFlight)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS, /*ack_eliciting=*/false), STATUS_OK);
    EXPECT_EQ(space.InFlight(), 0u);
    EXPECT_EQ(space.TimerNs(), NEVER);
    space.SendRun(2, 4, 100 * MS, 0);

    ASSERT_EQ(space.Ack({{2, 4}}, 140 * MS), STATUS_OK);

    EXPECT_EQ(space.Lost(), Numbers{1});
    EXPECT_EQ(space.report.lost_bytes, 0u);
    EXPECT_EQ(space.InFlight(), 0u);
}

constexpr uint64_t RUN = 20; // packets 1..20, a millisecond apart, each acked alone

class LossOfOne : public testing::TestWithParam<uint64_t> {};

// Everything but `missing` is acked in order; the timer is served whenever it is due.
Numbers LostInARunWithout(uint64_t missing, Space *space)
{
    Numbers lost;
    space->SendRun(1, RUN, 100 * MS, MS);
    for (uint64_t number = 1; number <= RUN; number++) {
        const uint64_t now_ns = (100 + number - 1) * MS + RTT;
        const Numbers timed = space->LostByTimerUntil(now_ns);
        lost.insert(lost.end(), timed.begin(), timed.end());
        if (number == missing) { continue; }
        EXPECT_EQ(space->Ack({{number, number}}, now_ns), STATUS_OK);
        lost.insert(lost.end(), space->Lost().begin(), space->Lost().end());
    }
    return lost;
}

TEST_P(LossOfOne, IsFoundAtEveryPosition)
{
    const uint64_t missing = GetParam();
    Space space = SampledSpace();

    Numbers lost = LostInARunWithout(missing, &space);
    ASSERT_EQ(space.Send(RUN + 1, 400 * MS), STATUS_OK); // a probe, at the latest
    ASSERT_EQ(space.Ack({{RUN + 1, RUN + 1}}, 440 * MS), STATUS_OK);
    lost.insert(lost.end(), space.Lost().begin(), space.Lost().end());

    EXPECT_EQ(lost, Numbers{missing});
    EXPECT_EQ(space.InFlight(), 0u);
    EXPECT_EQ(space.TimerNs(), NEVER);
    EXPECT_FALSE(space.report.persistent_congestion);
}

TEST(Loss, OfTheLastPacketIsLeftToAProbe)
{
    Space space = SampledSpace();

    const Numbers lost = LostInARunWithout(RUN, &space);

    EXPECT_TRUE(lost.empty());
    EXPECT_EQ(space.OnTimer(space.TimerNs()), LOSS_TIMER_PROBE);
}

INSTANTIATE_TEST_SUITE_P(EveryPosition, LossOfOne, testing::Range<uint64_t>(1, RUN + 1));

// ---- what was late only ------------------------------------------------------------------------

TEST(LossLate, IsSaidWhenALostPacketIsAckedAfterAll)
{
    Space space = SampledSpace();
    space.SendRun(1, 5, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{2, 4}}, 140 * MS), STATUS_OK);
    ASSERT_EQ(space.Lost(), Numbers{1});

    ASSERT_EQ(space.Ack({{1, 5}}, 141 * MS), STATUS_OK);

    EXPECT_EQ(space.Acked(), (Numbers{1, 5}));
    EXPECT_TRUE(space.report.acked[0].was_lost);
    EXPECT_FALSE(space.report.acked[1].was_lost);
    EXPECT_EQ(space.report.acked_bytes, SIZE);
    EXPECT_EQ(space.InFlight(), 0u);
}

TEST(LossLate, RaisesThePacketThresholdToWhatWouldHaveWaited)
{
    Space space = SampledSpace();
    space.SendRun(1, 20, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{2, 8}}, 140 * MS), STATUS_OK);
    ASSERT_EQ(space.Lost(), Numbers{1});
    ASSERT_EQ(space.Ack({{1, 8}}, 140 * MS), STATUS_OK);
    ASSERT_EQ(space.Threshold(), 8u);
    ASSERT_EQ(space.Eighths(), static_cast<uint32_t>(LOSS_TIME_EIGHTHS));

    ASSERT_EQ(space.Ack({{10, 16}}, 140 * MS), STATUS_OK);
    EXPECT_EQ(space.report.lost_count, 0u); // 9 is 7 behind
    ASSERT_EQ(space.Ack({{17, 17}}, 140 * MS), STATUS_OK);
    EXPECT_EQ(space.Lost(), Numbers{9}); // and now 8
}

TEST(LossLate, RaisesThePacketThresholdToItsBoundOnly)
{
    Space space = SampledSpace(256);
    space.SendRun(1, 200, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{2, 200}}, 140 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{1, 1}}, 140 * MS), STATUS_OK);

    EXPECT_EQ(space.Threshold(), static_cast<uint32_t>(LOSS_PACKET_THRESHOLD_MAX));
}

TEST(LossLate, RaisesTheTimeThresholdByAnEighthWhereTimeHadBeenCrossed)
{
    Space space = SampledSpace();
    space.SendRun(1, 3, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{3, 3}}, 140 * MS), STATUS_OK);
    ASSERT_EQ(space.OnTimer(145 * MS), LOSS_TIMER_LOST);
    ASSERT_EQ(space.Ack({{1, 3}}, 146 * MS), STATUS_OK);
    EXPECT_EQ(space.Eighths(), 10u); // one step for both
    EXPECT_EQ(space.Threshold(), static_cast<uint32_t>(LOSS_PACKET_THRESHOLD));

    space.SendRun(4, 5, 200 * MS, 0);
    ASSERT_EQ(space.Ack({{5, 5}}, 240 * MS), STATUS_OK);

    EXPECT_EQ(space.TimerNs(), 250 * MS); // 10/8 * 40 ms
}

TEST(LossLate, RaisesTheTimeThresholdToTwoRoundTripsOnly)
{
    Space space = SampledSpace();
    for (uint64_t round = 1; round <= 20; round++) {
        const uint64_t begin_ns = round * 1000 * MS;
        space.SendRun(2 * round, 2 * round + 1, begin_ns, 0);
        ASSERT_EQ(space.Ack({{2 * round + 1, 2 * round + 1}}, begin_ns + RTT), STATUS_OK);
        ASSERT_EQ(space.OnTimer(begin_ns + 2 * RTT), LOSS_TIMER_LOST);
        ASSERT_EQ(space.Ack({{2 * round, 2 * round}}, begin_ns + 2 * RTT), STATUS_OK);
    }

    EXPECT_EQ(space.Eighths(), static_cast<uint32_t>(LOSS_TIME_EIGHTHS_MAX));
}

TEST(LossLate, IsForgottenAfterSixProbeTimeouts)
{
    Space space = SampledSpace();
    space.SendRun(1, 4, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{2, 4}}, 140 * MS), STATUS_OK);
    ASSERT_EQ(space.Lost(), Numbers{1});
    ASSERT_EQ(space.Send(5, 9000 * MS), STATUS_OK);
    ASSERT_EQ(space.Ack({{5, 5}}, 9040 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{1, 1}}, 9040 * MS), STATUS_OK);

    EXPECT_EQ(space.report.acked_count, 0u);
    EXPECT_EQ(space.Threshold(), static_cast<uint32_t>(LOSS_PACKET_THRESHOLD));
}

// ---- the probe timeout -------------------------------------------------------------------------

TEST(LossProbe, IsDueAfterTheInitialEstimateBeforeAnySample)
{
    Space space;
    ASSERT_EQ(space.Send(0, 10 * MS), STATUS_OK);

    EXPECT_EQ(space.TimerNs(), (10 + 100 + 4 * 50 + 25) * MS);
}

TEST(LossProbe, TakesTheInitialEstimateThatItIsGiven)
{
    Space space(64, /*initial_rtt_ns=*/10 * MS);
    ASSERT_EQ(space.Send(0, 0), STATUS_OK);

    EXPECT_EQ(space.TimerNs(), (10 + 4 * 5 + 25) * MS);
}

TEST(LossProbe, CountsFromTheLastPacketThatElicitsAnAck)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(2, 110 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(3, 120 * MS, /*ack_eliciting=*/false), STATUS_OK);

    EXPECT_EQ(space.TimerNs(), (110 + 145) * MS);
}

TEST(LossProbe, BacksOffTwofoldUntilAnAckComes)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    ASSERT_EQ(space.OnTimer(245 * MS), LOSS_TIMER_PROBE);
    EXPECT_EQ(space.report.lost_count, 0u);
    ASSERT_EQ(space.Send(2, 245 * MS), STATUS_OK);
    EXPECT_EQ(space.TimerNs(), (245 + 2 * 145) * MS);
    ASSERT_EQ(space.OnTimer(535 * MS), LOSS_TIMER_PROBE);
    EXPECT_EQ(space.ProbeTimeouts(), 2u);
    EXPECT_EQ(space.TimerNs(), (535 + 4 * 145) * MS);

    ASSERT_EQ(space.Ack({{2, 2}}, 540 * MS), STATUS_OK);

    EXPECT_EQ(space.ProbeTimeouts(), 0u);
    EXPECT_EQ(space.Lost(), Numbers{1});
}

TEST(LossProbe, WaitsAMinuteAtMost)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    uint64_t now_ns = 0;
    for (int timeout = 0; timeout < 100; timeout++) {
        now_ns = space.TimerNs();
        ASSERT_EQ(space.OnTimer(now_ns), LOSS_TIMER_PROBE);
    }

    EXPECT_EQ(space.TimerNs() - now_ns, LOSS_BACKOFF_NS_MAX);
}

TEST(LossProbe, ComesOnceHoweverLongTheCallerSlept)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    const uint64_t woken_ns = 3600 * 1000 * MS;

    EXPECT_EQ(space.OnTimer(woken_ns), LOSS_TIMER_PROBE);
    EXPECT_EQ(space.OnTimer(woken_ns), LOSS_TIMER_NOTHING);
    EXPECT_EQ(space.TimerNs(), woken_ns + 2 * 145 * MS);
}

TEST(LossProbe, IsNotDueWhileNothingIsInFlight)
{
    Space space = SampledSpace();

    EXPECT_EQ(space.TimerNs(), NEVER);
    EXPECT_EQ(space.OnTimer(3600 * 1000 * MS), LOSS_TIMER_NOTHING);
    ASSERT_EQ(space.Send(1, 3600 * 1000 * MS), STATUS_OK);
    EXPECT_EQ(space.TimerNs(), 3600 * 1000 * MS + 145 * MS);
}

// ---- persistent congestion: 7.6 ----------------------------------------------------------------

// The ack that shows the losses is a second sample of 40 ms: 3 * (40 + 4 * 15 + 25).
constexpr uint64_t PERSISTENT = 375 * MS;

TEST(LossPersistent, IsALongStretchWithoutOneAck)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(2, 300 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(3, 100 * MS + PERSISTENT + 1), STATUS_OK);
    space.SendRun(4, 6, 600 * MS, 0);

    ASSERT_EQ(space.Ack({{6, 6}}, 640 * MS), STATUS_OK);

    EXPECT_EQ(space.Lost(), (Numbers{1, 2, 3}));
    EXPECT_TRUE(space.report.persistent_congestion);
}

TEST(LossPersistent, IsNoStretchOfExactlyThatLength)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(2, 100 * MS + PERSISTENT), STATUS_OK);
    space.SendRun(3, 5, 600 * MS, 0);

    ASSERT_EQ(space.Ack({{5, 5}}, 640 * MS), STATUS_OK);

    EXPECT_EQ(space.Lost(), (Numbers{1, 2}));
    EXPECT_FALSE(space.report.persistent_congestion);
}

TEST(LossPersistent, IsBrokenByOneAckInBetween)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(2, 300 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(3, 900 * MS), STATUS_OK);
    space.SendRun(4, 6, 1000 * MS, 0);

    ASSERT_EQ(space.Ack({{2, 2}, {6, 6}}, 1040 * MS), STATUS_OK);

    EXPECT_EQ(space.Lost(), (Numbers{1, 3}));
    EXPECT_FALSE(space.report.persistent_congestion);
}

TEST(LossPersistent, NeedsASampleFromBeforeTheLosses)
{
    Space space;
    ASSERT_EQ(space.Send(0, 0), STATUS_OK);
    ASSERT_EQ(space.Send(1, 5000 * MS), STATUS_OK);
    space.SendRun(2, 4, 5100 * MS, 0);

    ASSERT_EQ(space.Ack({{4, 4}}, 5140 * MS), STATUS_OK);

    EXPECT_EQ(space.Lost(), (Numbers{0, 1}));
    EXPECT_FALSE(space.report.persistent_congestion);
}

TEST(LossPersistent, IsSaidOnceForAStretch)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);
    ASSERT_EQ(space.Send(2, 900 * MS), STATUS_OK);
    space.SendRun(3, 5, 1000 * MS, 0);
    ASSERT_EQ(space.Ack({{5, 5}}, 1040 * MS), STATUS_OK);
    ASSERT_TRUE(space.report.persistent_congestion);

    ASSERT_EQ(space.OnTimer(space.TimerNs()), LOSS_TIMER_LOST);

    EXPECT_EQ(space.Lost(), (Numbers{3, 4}));
    EXPECT_FALSE(space.report.persistent_congestion);
}

// ---- the ring ----------------------------------------------------------------------------------

TEST(LossRing, RefusesAPacketBehindItsCapacity)
{
    Space space(4);
    space.SendRun(0, 2, 0, 0);
    EXPECT_FALSE(space.IsFull());
    ASSERT_EQ(space.Send(3, 0), STATUS_OK);

    EXPECT_TRUE(space.IsFull());
    EXPECT_EQ(space.Send(4, 0), STATUS_FULL);
    EXPECT_EQ(space.InFlight(), 4 * SIZE);
}

TEST(LossRing, HasRoomAgainOnceItsOldestIsAcked)
{
    Space space(4);
    space.SendRun(0, 3, 0, 0);

    ASSERT_EQ(space.Ack({{1, 3}}, 0), STATUS_OK);
    EXPECT_EQ(space.Lost(), Numbers{0}); // remembered, but in nobody's way
    EXPECT_FALSE(space.IsFull());
    EXPECT_EQ(space.Send(4, 0), STATUS_OK);
}

TEST(LossRing, StaysFullWhileItsOldestIsInFlight)
{
    Space space(4);
    space.SendRun(0, 3, 0, 0);

    ASSERT_EQ(space.Ack({{1, 2}}, 0), STATUS_OK);

    EXPECT_TRUE(space.IsFull());
}

TEST(LossRing, ForgetsPacketsThatElicitNoAckBeforeItIsFull)
{
    Space space(4);
    for (uint64_t number = 0; number < 100; number++) {
        ASSERT_EQ(space.Send(number, number, /*ack_eliciting=*/false), STATUS_OK);
    }

    EXPECT_FALSE(space.IsFull());
    EXPECT_EQ(space.Ack({{0, 99}}, 100), STATUS_OK);
    EXPECT_EQ(space.Acked(), (Numbers{96, 97, 98, 99}));
}

TEST(LossRing, LetsGoOfATimerWhosePacketMadeRoom)
{
    Space space(4);
    ASSERT_EQ(space.Send(0, 0, /*ack_eliciting=*/false), STATUS_OK);
    space.SendRun(1, 3, 0, 0);
    ASSERT_EQ(space.Ack({{1, 1}}, RTT), STATUS_OK);
    ASSERT_EQ(space.TimerNs(), 45 * MS);
    ASSERT_EQ(space.Send(4, RTT), STATUS_OK);

    EXPECT_EQ(space.OnTimer(45 * MS), LOSS_TIMER_NOTHING);
    EXPECT_EQ(space.TimerNs(), RTT + 145 * MS);
}

TEST(LossRing, GivesUpItsOldestSoThatProbesCanLeave)
{
    Space space(4);
    space.SendRun(0, 3, 0, 0);

    ASSERT_EQ(space.OnTimer(space.TimerNs()), LOSS_TIMER_PROBE);

    EXPECT_EQ(space.Lost(), (Numbers{0, 1}));
    EXPECT_EQ(space.report.lost_bytes, 2 * SIZE);
    EXPECT_EQ(space.Send(4, 400 * MS), STATUS_OK);
    EXPECT_EQ(space.Send(5, 400 * MS), STATUS_OK);
    EXPECT_EQ(space.InFlight(), 4 * SIZE);
    EXPECT_EQ(space.Ack({{0, 5}}, 440 * MS), STATUS_OK);
    EXPECT_EQ(space.Acked(), (Numbers{2, 3, 4, 5}));
}

TEST(LossRing, TakesNumbersThatSkip)
{
    Space space(4);
    ASSERT_EQ(space.Send(0, 0), STATUS_OK);
    EXPECT_EQ(space.Send(4, 0), STATUS_FULL);
    ASSERT_EQ(space.Send(3, 0), STATUS_OK);
    ASSERT_EQ(space.Ack({{0, 0}, {3, 3}}, 0), STATUS_OK);

    EXPECT_EQ(space.Send(UINT64_MAX - 1, 0), STATUS_OK);
    EXPECT_EQ(space.Ack({{UINT64_MAX - 1, UINT64_MAX - 1}}, 0), STATUS_OK);
    EXPECT_EQ(space.InFlight(), 0u);
}

// ---- hostile and untidy acks -------------------------------------------------------------------

class HostileAck : public testing::TestWithParam<Ranges> {};

TEST_P(HostileAck, IsRefusedAndChangesNothing)
{
    Space space = SampledSpace();
    space.SendRun(1, 5, 100 * MS, 0);
    ASSERT_EQ(space.Send(7, 100 * MS), STATUS_OK); // 6 was never sent
    const uint64_t timer_ns = space.TimerNs();

    EXPECT_EQ(space.Ack(GetParam(), 140 * MS), STATUS_INVALID);

    EXPECT_EQ(space.report.acked_count, 0u);
    EXPECT_EQ(space.report.lost_count, 0u);
    EXPECT_EQ(space.InFlight(), 6 * SIZE);
    EXPECT_EQ(space.TimerNs(), timer_ns);
    EXPECT_EQ(space.Ack({{1, 5}, {7, 7}}, 141 * MS), STATUS_OK);
    EXPECT_EQ(space.Acked(), (Numbers{1, 2, 3, 4, 5, 7}));
}

INSTANTIATE_TEST_SUITE_P(Absurd, HostileAck,
                         testing::Values(Ranges{{8, 8}},                   // not sent yet
                                         Ranges{{0, UINT64_MAX}},          // everything
                                         Ranges{{UINT64_MAX, UINT64_MAX}}, // the end of numbers
                                         Ranges{{6, 6}},                   // skipped
                                         Ranges{{0, 7}},                   // over a skipped one
                                         Ranges{{5, 1}},                   // backwards
                                         Ranges{{UINT64_MAX, 0}},          // backwards, all of it
                                         Ranges{{1, 3}, {3, 5}},           // overlapping
                                         Ranges{{1, 2}, {1, 2}},           // twice
                                         Ranges{{1, 5}, {2, 3}},           // one in the other
                                         Ranges{{3, 3}, {5, 5}, {1, 1}},   // without an order
                                         Ranges{{1, 2}, {4, 9}}));         // a lie at the end

TEST(LossAck, OfTheNextNumberIsRefusedThoughItsSlotHeldAnAckedOne)
{
    Space space(4);
    space.SendRun(0, 3, 0, 0);
    ASSERT_EQ(space.Ack({{0, 3}}, RTT), STATUS_OK);

    EXPECT_EQ(space.Ack({{4, 4}}, RTT), STATUS_INVALID);
    EXPECT_EQ(space.Ack({{3, 4}}, RTT), STATUS_INVALID);
}

TEST(LossAck, MayNameItsRangesFalling)
{
    Space space = SampledSpace();
    space.SendRun(1, 6, 100 * MS, 0);

    ASSERT_EQ(space.Ack({{5, 6}, {3, 4}, {0, 1}}, 140 * MS), STATUS_OK);

    EXPECT_EQ(space.Acked(), (Numbers{5, 6, 3, 4, 1}));
    EXPECT_EQ(space.Lost(), Numbers{2});
}

TEST(LossAck, ThatComesTwiceChangesNothing)
{
    Space space = SampledSpace();
    space.SendRun(1, 6, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{4, 5}}, 140 * MS), STATUS_OK);
    const uint64_t timer_ns = space.TimerNs();

    ASSERT_EQ(space.Ack({{4, 5}}, 143 * MS), STATUS_OK);

    EXPECT_EQ(space.report.acked_count, 0u);
    EXPECT_EQ(space.report.lost_count, 0u);
    EXPECT_EQ(space.TimerNs(), timer_ns);
    EXPECT_EQ(space.Rtt().latest_ns, RTT);
}

TEST(LossAck, ThatOvertookAnEarlierOneLeavesItNothingToSay)
{
    Space space = SampledSpace();
    space.SendRun(1, 2, 100 * MS, 0);
    ASSERT_EQ(space.Ack({{0, 2}}, 140 * MS), STATUS_OK);

    ASSERT_EQ(space.Ack({{0, 1}}, 141 * MS), STATUS_OK);

    EXPECT_EQ(space.report.acked_count, 0u);
}

TEST(LossRestart, BeginsANumberSpaceAsCreateDoes)
{
    Space space = SampledSpace();
    EXPECT_EQ(space.Send(1, RTT), STATUS_OK);

    space.Restart(/*ack_delay_ns=*/3 * MS);

    EXPECT_EQ(space.InFlight(), 0u);
    EXPECT_EQ(space.TimerNs(), NEVER);
    EXPECT_FALSE(space.Rtt().sampled);
    EXPECT_EQ(space.Rtt().ack_delay_ns_max, 3 * MS);
    EXPECT_EQ(space.Ack({{1, 1}}, RTT), STATUS_INVALID); // of the numbers before
    EXPECT_EQ(space.Send(0, RTT), STATUS_OK);
    EXPECT_EQ(space.Ack({{0, 0}}, 2 * RTT), STATUS_OK);
    EXPECT_EQ(space.Acked(), Numbers({0}));
}

TEST(LossAck, WithoutRangesIsEmptyNews)
{
    Space space = SampledSpace();
    ASSERT_EQ(space.Send(1, 100 * MS), STATUS_OK);

    EXPECT_EQ(space.Ack({}, 140 * MS), STATUS_OK);
    EXPECT_EQ(space.report.acked_count, 0u);
    EXPECT_EQ(space.InFlight(), SIZE);
}

} // namespace
