#include "tests/sim/sim_clock.h"

#include <gtest/gtest.h>

namespace {

constexpr int64_t kWallMs = 1'700'000'000'000;

class SimClock : public testing::Test {
  protected:
    SimClock() { sim_clock_init(&clock_, NS_PER_S, kWallMs); }
    void Advance(uint64_t by_ms) { sim_clock_advance(&clock_, clock_.mono_ns + by_ms * NS_PER_MS); }
    int64_t WallMs() const { return sim_clock_now(&clock_).wall_ms; }

    struct sim_clock clock_ = {};
};

TEST_F(SimClock, MovesBothClocksTogether)
{
    Advance(1500);

    EXPECT_EQ(sim_clock_now(&clock_).mono_ns, 2500ULL * NS_PER_MS);
    EXPECT_EQ(WallMs(), kWallMs + 1500);
}

TEST_F(SimClock, NeverGoesBackToAnEventThatIsOverdue)
{
    sim_clock_advance(&clock_, 5);

    EXPECT_EQ(sim_clock_now(&clock_).mono_ns, uint64_t{NS_PER_S});
}

TEST_F(SimClock, StepsTheWallClockAlone)
{
    sim_clock_set_wall(&clock_, 0); // 1970
    Advance(7);

    EXPECT_EQ(WallMs(), 7);
    EXPECT_EQ(sim_clock_now(&clock_).mono_ns, 1007ULL * NS_PER_MS);

    sim_clock_step_wall(&clock_, -10);

    EXPECT_EQ(WallMs(), -3);
}

TEST_F(SimClock, GoesOnFromWhereTheWallClockStood)
{
    sim_clock_stop_wall(&clock_, true);
    Advance(1000);
    EXPECT_EQ(WallMs(), kWallMs);

    sim_clock_stop_wall(&clock_, false);
    Advance(1);

    EXPECT_EQ(WallMs(), kWallMs + 1);
}

} // namespace
