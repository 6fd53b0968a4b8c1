#include "base/timer_wheel.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/random.h"

namespace {

using Items = std::vector<uint32_t>;

constexpr uint64_t tick_ns = 1000;
constexpr uint64_t start_ns = 5'000'000'123; /* inside a tick */
constexpr uint64_t day_ns = UINT64_C(24) * 3600 * NS_PER_S;

class Wheel {
  public:
    explicit Wheel(uint32_t item_count, uint64_t tick = tick_ns, uint64_t now_ns = start_ns)
    {
        const timer_wheel_options options = {item_count, tick, now_ns};
        timer_wheel *wheel = nullptr;
        EXPECT_EQ(timer_wheel_create(&options, &wheel), STATUS_OK);
        wheel_.reset(wheel);
    }

    void Set(uint32_t item, uint64_t deadline_ns)
    {
        timer_wheel_set(wheel_.get(), item, deadline_ns);
    }

    void Cancel(uint32_t item) { timer_wheel_cancel(wheel_.get(), item); }

    bool IsArmed(uint32_t item) const { return timer_wheel_is_armed(wheel_.get(), item); }

    uint64_t NextNs() const { return timer_wheel_next_ns(wheel_.get()); }

    Items Advance(uint64_t now_ns, size_t capacity = 1024)
    {
        Items out(capacity);
        out.resize(timer_wheel_advance(wheel_.get(), now_ns, out.data(), capacity));
        return out;
    }

    /* Call after call until nothing is held back; sorted. `calls` says how many it took. */
    Items Drain(uint64_t now_ns, size_t capacity = 1024, size_t *calls = nullptr)
    {
        Items out;
        size_t count = 0;
        while (NextNs() <= now_ns) {
            const Items some = Advance(now_ns, capacity);
            out.insert(out.end(), some.begin(), some.end());
            count++;
        }
        std::sort(out.begin(), out.end());
        if (calls != nullptr) { *calls = count; }
        return out;
    }

  private:
    struct Destroy {
        void operator()(timer_wheel *wheel) const { timer_wheel_destroy(wheel); }
    };
    std::unique_ptr<timer_wheel, Destroy> wheel_;
};

Items UpTo(uint32_t count)
{
    Items out(count);
    for (uint32_t i = 0; i < count; i++) { out[i] = i; }
    return out;
}

TEST(TimerWheel, AnEmptyOneHasNothingToDoEver)
{
    Wheel wheel(10);

    EXPECT_EQ(wheel.NextNs(), UINT64_MAX);
    EXPECT_EQ(wheel.Advance(UINT64_MAX), Items{});
}

TEST(TimerWheel, MayHaveNoItems)
{
    Wheel wheel(0);

    EXPECT_EQ(wheel.Advance(start_ns + day_ns), Items{});
}

TEST(TimerWheel, HandsAnItemOutOnceAndDisarmed)
{
    Wheel wheel(10);
    wheel.Set(7, start_ns + 3 * tick_ns);
    EXPECT_TRUE(wheel.IsArmed(7));

    EXPECT_EQ(wheel.Drain(start_ns + 10 * tick_ns), Items{7});

    EXPECT_FALSE(wheel.IsArmed(7));
    EXPECT_EQ(wheel.Drain(start_ns + day_ns), Items{});
}

TEST(TimerWheel, IsNeverEarlyAndAtMostOneTickLateAtAnyDistance)
{
    for (uint64_t distance_ns = 1; distance_ns < UINT64_MAX / 4;
         distance_ns += 1 + distance_ns / 3) {
        Wheel wheel(1);
        const uint64_t deadline_ns = start_ns + distance_ns;
        wheel.Set(0, deadline_ns);

        ASSERT_EQ(wheel.Drain(deadline_ns - 1), Items{}) << distance_ns;
        ASSERT_EQ(wheel.Drain(deadline_ns + tick_ns - 1), Items{0}) << distance_ns;
    }
}

TEST(TimerWheel, ADeadlineOnATicksEdgeIsNotLateAtAll)
{
    const uint64_t deadline_ns = 5'009'000'000;
    Wheel wheel(1);
    wheel.Set(0, deadline_ns);

    EXPECT_EQ(wheel.Drain(deadline_ns - 1), Items{});
    EXPECT_EQ(wheel.Drain(deadline_ns), Items{0});
}

TEST(TimerWheel, WhatHasPassedAlreadyIsDueAtOnce)
{
    Wheel wheel(3);
    wheel.Advance(start_ns + day_ns);
    wheel.Set(0, 0);
    wheel.Set(1, start_ns);
    wheel.Set(2, start_ns + day_ns - tick_ns);

    EXPECT_EQ(wheel.Drain(start_ns + day_ns), UpTo(3));
}

TEST(TimerWheel, SettingAgainMovesTheDeadlineBothWays)
{
    Wheel wheel(2);
    wheel.Set(0, start_ns + 10 * tick_ns);
    wheel.Set(1, start_ns + day_ns);

    wheel.Set(0, start_ns + day_ns);
    wheel.Set(1, start_ns + 10 * tick_ns);

    EXPECT_EQ(wheel.Drain(start_ns + day_ns - 1), Items{1});
    EXPECT_EQ(wheel.Drain(start_ns + day_ns + tick_ns), Items{0});
}

TEST(TimerWheel, ACancelledItemStaysAwayAndItsNeighboursComeAllTheSame)
{
    Wheel wheel(5);
    for (uint32_t item = 0; item < 5; item++) { wheel.Set(item, start_ns + 100 * tick_ns); }

    wheel.Cancel(0);
    wheel.Cancel(2);
    wheel.Cancel(2);
    wheel.Cancel(4);

    EXPECT_FALSE(wheel.IsArmed(2));
    EXPECT_EQ(wheel.Drain(start_ns + 200 * tick_ns), (Items{1, 3}));
}

TEST(TimerWheel, CancellingTheLastItemLeavesNothingToWakeUpFor)
{
    Wheel wheel(1);
    wheel.Set(0, start_ns + 100 * tick_ns);

    wheel.Cancel(0);

    EXPECT_EQ(wheel.Drain(start_ns + day_ns), Items{});
    EXPECT_EQ(wheel.NextNs(), UINT64_MAX);
}

TEST(TimerWheel, AStepBackInTimeFindsNothing)
{
    Wheel wheel(1);
    wheel.Advance(start_ns + day_ns);
    wheel.Set(0, start_ns + day_ns + 5 * tick_ns);

    EXPECT_EQ(wheel.Advance(start_ns), Items{});
    EXPECT_EQ(wheel.Drain(start_ns + day_ns + 7 * tick_ns), Items{0});
}

/* Ten years of nanoseconds are 3 * 10^17 ticks: a loop over them would not come back. */
TEST(TimerWheel, AJumpOverYearsOfEmptyTicksCostsNothing)
{
    const uint64_t ten_years_ns = 3650 * day_ns;
    Wheel wheel(2, /*tick=*/1);
    wheel.Set(0, start_ns + 1);
    wheel.Set(1, start_ns + ten_years_ns);

    size_t calls = 0;
    EXPECT_EQ(wheel.Drain(start_ns + ten_years_ns, 1, &calls), UpTo(2));

    EXPECT_LE(calls, 3U);
}

TEST(TimerWheel, TheEndOfTimeIsADeadlineLikeAnyOther)
{
    Wheel coarse(1);
    Wheel fine(1, /*tick=*/1);
    coarse.Set(0, UINT64_MAX);
    fine.Set(0, UINT64_MAX);

    EXPECT_EQ(coarse.Advance(UINT64_MAX - 1), Items{});
    EXPECT_TRUE(coarse.IsArmed(0));
    for (int call = 0; call < 20; call++) { EXPECT_EQ(fine.Advance(UINT64_MAX - 1), Items{}); }
    EXPECT_EQ(fine.Advance(UINT64_MAX), Items{0});
}

TEST(TimerWheel, HoldsBackWhatCapacityHasNoRoomForAndSaysSo)
{
    const uint64_t now_ns = start_ns + 500 * tick_ns;
    Wheel wheel(10);
    for (uint32_t item = 0; item < 10; item++) { wheel.Set(item, start_ns + item * 40 * tick_ns); }

    Items out;
    for (const size_t expected : {4U, 4U, 2U}) {
        EXPECT_LE(wheel.NextNs(), now_ns);
        const Items some = wheel.Advance(now_ns, 4);
        EXPECT_EQ(some.size(), expected);
        out.insert(out.end(), some.begin(), some.end());
    }

    EXPECT_EQ(out, UpTo(10));
    EXPECT_EQ(wheel.NextNs(), UINT64_MAX);
}

TEST(TimerWheel, ACallMovesABoundedNumberOfItemsTowardsTheirDeadline)
{
    const uint32_t slot_items = 3 * TIMER_WHEEL_SINKS_MAX + 1;
    Wheel wheel(slot_items, tick_ns, /*now_ns=*/0);
    for (uint32_t item = 0; item < slot_items; item++) { wheel.Set(item, (64 + 63) * tick_ns); }

    for (int call = 0; call < 3; call++) { /* the slot of ticks 64 .. 127 has begun */
        EXPECT_EQ(wheel.Advance(64 * tick_ns), Items{});
        EXPECT_LE(wheel.NextNs(), 64 * tick_ns);
    }
    EXPECT_EQ(wheel.Advance(64 * tick_ns), Items{});
    EXPECT_EQ(wheel.NextNs(), (64 + 63) * tick_ns);
    EXPECT_EQ(wheel.Drain((64 + 63) * tick_ns), UpTo(slot_items));
}

/* Every lane of a node remembered for seven days from one second on: the worst slot there is. */
TEST(TimerWheel, AHundredThousandDeadlinesOfOneSecondTakeBoundedCalls)
{
    const uint32_t lanes = 100'000;
    const size_t capacity = 64;
    const uint64_t deadline_ns = start_ns + 7 * day_ns;
    Wheel wheel(lanes, NS_PER_MS);
    for (uint32_t lane = 0; lane < lanes; lane++) {
        wheel.Set(lane, deadline_ns + lane * (NS_PER_S / lanes));
    }

    EXPECT_EQ(wheel.Drain(deadline_ns - 1), Items{});
    size_t calls = 0;
    EXPECT_EQ(wheel.Drain(deadline_ns + UINT64_C(2) * NS_PER_S, capacity, &calls), UpTo(lanes));

    EXPECT_LE(calls, lanes / capacity + 1); /* all are due: none has to sink first */
}

TEST(TimerWheel, ACoreThatSleepsUntilTheNextWakeUpMissesNothing)
{
    const uint32_t count = 200;
    struct random random = random_seed(6);
    Wheel wheel(count);
    std::map<uint32_t, uint64_t> deadlines;
    for (uint32_t item = 0; item < count; item++) {
        deadlines[item] = start_ns + (random_u64(&random) >> (12 + random_below(&random, 50)));
        wheel.Set(item, deadlines[item]);
    }

    size_t wake_ups = 0;
    size_t seen = 0;
    for (; wheel.NextNs() != UINT64_MAX; wake_ups++) {
        const uint64_t now_ns = wheel.NextNs();
        for (const uint32_t item : wheel.Advance(now_ns)) {
            ASSERT_GE(now_ns, deadlines[item]);
            ASSERT_LT(now_ns, deadlines[item] + tick_ns);
            seen++;
        }
    }

    EXPECT_EQ(seen, size_t{count});
    EXPECT_LE(wake_ups, size_t{count} * 11); /* at most one a level */
}

TEST(TimerWheel, NoPageIsTouchedFirstAfterCreate)
{
    const uint32_t count = 1'000'000; /* 16 MB, 3,900 pages */
    Wheel wheel(count);
    struct rusage before;
    struct rusage after;

    ASSERT_EQ(getrusage(RUSAGE_THREAD, &before), 0);
    for (uint32_t item = 0; item < count; item++) { wheel.Set(item, start_ns + item * tick_ns); }
    ASSERT_EQ(getrusage(RUSAGE_THREAD, &after), 0);

    EXPECT_LT(after.ru_minflt - before.ru_minflt, 100);
}

/* The wheel in the words of its header. */
class Model {
  public:
    explicit Model(uint64_t tick) : tick_(tick) {}

    void Set(uint32_t item, uint64_t deadline_ns) { deadlines_[item] = deadline_ns; }
    void Cancel(uint32_t item) { deadlines_.erase(item); }
    bool IsArmed(uint32_t item) const { return deadlines_.count(item) != 0; }

    /* Due: its first tick at or after the deadline has begun. */
    Items Drain(uint64_t now_ns)
    {
        Items out;
        for (auto at = deadlines_.begin(); at != deadlines_.end();) {
            const uint64_t due_tick = at->second / tick_ + (at->second % tick_ != 0 ? 1 : 0);
            if (due_tick <= now_ns / tick_) {
                out.push_back(at->first);
                at = deadlines_.erase(at);
            } else {
                ++at;
            }
        }
        return out;
    }

  private:
    uint64_t tick_;
    std::map<uint32_t, uint64_t> deadlines_;
};

class TimerWheelWalk : public testing::TestWithParam<uint64_t> {};

/* Distances and jumps of every magnitude from below a tick to days. */
TEST_P(TimerWheelWalk, AgreesWithAModelOverSetsCancelsAndJumps)
{
    const uint32_t count = 300;
    struct random random = random_seed(GetParam());
    const auto any_magnitude = [&] {
        return random_u64(&random) >> (16 + random_below(&random, 48));
    };
    const uint64_t tick = 1 + random_below(&random, 5000);
    uint64_t now_ns = any_magnitude();
    Wheel wheel(count, tick, now_ns);
    Model model(tick);

    for (int step = 0; step < 20000; step++) {
        const auto item = static_cast<uint32_t>(random_below(&random, count));
        if (random_chance(&random, 1, 8)) {
            wheel.Cancel(item);
            model.Cancel(item);
        } else {
            const uint64_t back_ns = std::min(now_ns, random_below(&random, 4) * tick);
            const uint64_t deadline_ns = now_ns - back_ns + any_magnitude();
            wheel.Set(item, deadline_ns);
            model.Set(item, deadline_ns);
        }
        if (random_chance(&random, 1, 10)) {
            now_ns += any_magnitude() >> random_below(&random, 24);
            const size_t capacity = 1 + random_below(&random, 40);
            ASSERT_EQ(wheel.Drain(now_ns, capacity), model.Drain(now_ns)) << step;
        }
        const auto other = static_cast<uint32_t>(random_below(&random, count));
        ASSERT_EQ(wheel.IsArmed(other), model.IsArmed(other)) << step;
    }
}

/* Calls that end at their bounds, with sets and cancels between them: never early, and what is due
 * comes as soon as nothing is held back. */
TEST_P(TimerWheelWalk, KeepsItsWordBetweenCallsThatEndAtTheirBounds)
{
    const uint32_t count = 4000;
    struct random random = random_seed(GetParam());
    uint64_t now_ns = start_ns;
    Wheel wheel(count);
    std::vector<uint64_t> deadlines(count, 0);

    for (int step = 0; step < 3000; step++) {
        for (int sets = 0; sets < 20; sets++) {
            const auto item = static_cast<uint32_t>(random_below(&random, count));
            deadlines[item] = now_ns + 4096 * tick_ns + random_below(&random, 8192 * tick_ns);
            wheel.Set(item, deadlines[item]);
        }
        wheel.Cancel(static_cast<uint32_t>(random_below(&random, count)));
        now_ns += random_below(&random, 400 * tick_ns);
        for (const uint32_t item : wheel.Advance(now_ns, 8)) {
            ASSERT_LE(deadlines[item], now_ns) << step;
        }
    }
    for (const uint32_t item : wheel.Drain(now_ns, 8)) { ASSERT_LE(deadlines[item], now_ns); }

    for (uint32_t item = 0; item < count; item++) {
        ASSERT_TRUE(!wheel.IsArmed(item) || deadlines[item] + tick_ns > now_ns) << item;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TimerWheelWalk, testing::Range(uint64_t{1}, uint64_t{13}));

} // namespace
