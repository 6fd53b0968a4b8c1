#include "storage/lane_table.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using Runs = std::vector<std::pair<int, uint64_t>>; // fate, how many

struct lane_key KeyOf(uint64_t producer, uint32_t number = 0)
{
    struct lane_key key = {};
    std::memcpy(key.producer.bytes, &producer, sizeof producer);
    key.number = number;
    return key;
}

struct lane_state StateOf(uint64_t producer, uint64_t last_sequence = 0)
{
    struct lane_state state = {};
    state.key = KeyOf(producer);
    state.epoch = 1;
    state.last_sequence = last_sequence;
    return state;
}

class LaneTable : public ::testing::Test {
  protected:
    void TearDown() override { lane_table_destroy(table_); }

    void Make(uint32_t lanes_max, uint32_t lane_runs_max, uint32_t pool_runs_max)
    {
        const struct lane_table_options options = {lanes_max, lane_runs_max, pool_runs_max, 77};
        ASSERT_EQ(lane_table_create(&options, &table_), STATUS_OK);
    }
    uint32_t Add(uint64_t producer, uint64_t last_sequence = 0)
    {
        const struct lane_state state = StateOf(producer, last_sequence);
        return lane_table_add(table_, &state);
    }
    uint32_t Find(uint64_t producer, uint32_t number = 0) const
    {
        const struct lane_key key = KeyOf(producer, number);
        return lane_table_find(table_, &key);
    }
    struct lane &Lane(uint32_t lane) { return lane_table_lanes(table_)[lane]; }
    void MakeDurable(uint32_t lane)
    {
        Lane(lane).durable_sequence = Lane(lane).state.last_sequence;
    }

    Runs Told(uint32_t lane) const
    {
        Runs runs;
        struct lane_fate_walk walk = {};
        struct lane_fates fates;
        while (lane_fates_next(table_, lane, &walk, &fates)) {
            runs.emplace_back(fates.fate, fates.count);
        }
        return runs;
    }
    Runs Appended(uint32_t lane) const
    {
        Runs runs;
        struct lane_fate_walk walk = {};
        struct lane_fates fates;
        while (lane_fates_next_appended(table_, lane, &walk, &fates)) {
            runs.emplace_back(fates.fate, fates.count);
        }
        return runs;
    }

    struct lane_table *table_ = nullptr;
};

TEST_F(LaneTable, FindsWhatWasAddedAndNothingElse)
{
    Make(4, 8, 8);
    const uint32_t first = Add(10, 41);
    const uint32_t second = Add(11);

    EXPECT_EQ(Find(10), first);
    EXPECT_EQ(Find(11), second);
    EXPECT_EQ(Find(12), LANE_NONE);
    EXPECT_EQ(Find(10, 1), LANE_NONE) << "another lane of the same producer";
    EXPECT_EQ(Lane(first).state.last_sequence, 41U);
    EXPECT_EQ(Lane(first).state.confirmed, 41U);
    EXPECT_EQ(Lane(first).durable_sequence, 41U);
    EXPECT_EQ(lane_table_count(table_), 2U);
}

TEST_F(LaneTable, RefusesALaneMoreThanItHoldsAndTakesItOnceOneIsRemoved)
{
    Make(2, 8, 8);
    const uint32_t first = Add(1);
    Add(2);

    EXPECT_EQ(Add(3), LANE_NONE);
    lane_table_remove(table_, first);

    EXPECT_EQ(Find(1), LANE_NONE);
    EXPECT_EQ(Add(3), first);
    EXPECT_EQ(Find(3), first);
}

TEST_F(LaneTable, MergesFatesInARowAndStartsARunWithAnother)
{
    Make(1, 8, 8);
    const uint32_t lane = Add(1, 100);

    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 1));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 2));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_DROPPED, 1));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 4));

    EXPECT_EQ(Appended(lane), (Runs{{NATIVE_STORED, 3}, {NATIVE_DROPPED, 1}, {NATIVE_STORED, 4}}));
    EXPECT_EQ(Lane(lane).state.last_sequence, 108U);
}

TEST_F(LaneTable, TellsNoFateThatIsNotDurable)
{
    Make(1, 8, 8);
    const uint32_t lane = Add(1);
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 3));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_DROPPED, 2));

    EXPECT_EQ(Told(lane), Runs{});
    Lane(lane).durable_sequence = 4;

    EXPECT_EQ(Told(lane), (Runs{{NATIVE_STORED, 3}, {NATIVE_DROPPED, 1}}));
}

TEST_F(LaneTable, ForgetsConfirmedFatesInTheMidstOfARun)
{
    Make(1, 8, 8);
    const uint32_t lane = Add(1);
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 3));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_DROPPED, 3));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 3));
    MakeDurable(lane);

    lane_fates_confirm(table_, lane, 5);

    EXPECT_EQ(Told(lane), (Runs{{NATIVE_DROPPED, 1}, {NATIVE_STORED, 3}}));
    EXPECT_EQ(Lane(lane).state.confirmed, 5U);
}

TEST_F(LaneTable, BelievesNoConfirmationBeyondWhatIsDurableNorOneThatGoesBack)
{
    Make(1, 8, 8);
    const uint32_t lane = Add(1);
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 9));
    Lane(lane).durable_sequence = 4;

    lane_fates_confirm(table_, lane, 1000);
    EXPECT_EQ(Lane(lane).state.confirmed, 4U);
    lane_fates_confirm(table_, lane, 2);

    EXPECT_EQ(Lane(lane).state.confirmed, 4U);
    EXPECT_EQ(Appended(lane), (Runs{{NATIVE_STORED, 5}}));
}

TEST_F(LaneTable, RefusesARunMoreThanALaneMayHave)
{
    Make(1, 3, 100);
    const uint32_t lane = Add(1);
    ASSERT_TRUE(lane_fates_append(table_, lane, 0, 1));
    ASSERT_TRUE(lane_fates_append(table_, lane, 1, 1));
    ASSERT_TRUE(lane_fates_append(table_, lane, 0, 1));

    EXPECT_FALSE(lane_fates_append(table_, lane, 1, 1));
    EXPECT_EQ(Lane(lane).state.last_sequence, 3U);
    EXPECT_TRUE(lane_fates_append(table_, lane, 0, 1)) << "the youngest run goes on";
    MakeDurable(lane);
    lane_fates_confirm(table_, lane, 1);

    EXPECT_TRUE(lane_fates_append(table_, lane, 1, 1));
}

TEST_F(LaneTable, RefusesARunWhenThePoolIsUsedUpAndGetsItBackFromARemovedLane)
{
    Make(2, 8, 1);
    const uint32_t greedy = Add(1);
    const uint32_t other = Add(2);
    for (uint8_t fate : {0, 1, 0}) { ASSERT_TRUE(lane_fates_append(table_, greedy, fate, 1)); }
    ASSERT_TRUE(lane_fates_append(table_, other, 0, 1));
    ASSERT_TRUE(lane_fates_append(table_, other, 1, 1));

    EXPECT_FALSE(lane_fates_append(table_, other, 0, 1));
    lane_table_remove(table_, greedy);

    EXPECT_TRUE(lane_fates_append(table_, other, 0, 1));
}

TEST_F(LaneTable, BeginsARunWhereACountWouldNotFit)
{
    Make(1, 8, 8);
    const uint32_t lane = Add(1);

    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_LOST, UINT32_MAX));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_LOST, 1));

    EXPECT_EQ(Appended(lane), (Runs{{NATIVE_LOST, UINT32_MAX}, {NATIVE_LOST, 1}}));
}

// What a lane's fates should be, in the plainest way.
struct ModelLane {
    uint64_t confirmed = 0;
    std::deque<int> fates;

    Runs AsRuns() const
    {
        Runs runs;
        for (int fate : fates) {
            if (runs.empty() || runs.back().first != fate) { runs.emplace_back(fate, 0); }
            runs.back().second++;
        }
        return runs;
    }
};

TEST_F(LaneTable, AgreesWithAModelThroughManyRandomSteps)
{
    Make(64, 12, 200);
    std::map<uint64_t, ModelLane> model;
    std::mt19937_64 random(4);
    for (int step = 0; step < 60'000; step++) {
        const uint64_t producer = random() % 100;
        const uint32_t lane = Find(producer);
        ASSERT_EQ(lane != LANE_NONE, model.count(producer) == 1) << "step " << step;
        if (lane == LANE_NONE) {
            if (Add(producer) != LANE_NONE) { model[producer] = {}; }
            continue;
        }
        ModelLane &expected = model[producer];
        const auto what = random() % 16;
        if (what == 0) {
            lane_table_remove(table_, lane);
            model.erase(producer);
        } else if (what < 4) {
            MakeDurable(lane);
            const uint64_t count = random() % (expected.fates.size() + 1);
            lane_fates_confirm(table_, lane, expected.confirmed + count);
            expected.confirmed += count;
            expected.fates.erase(expected.fates.begin(),
                                 expected.fates.begin() + static_cast<ptrdiff_t>(count));
            ASSERT_EQ(Told(lane), expected.AsRuns()) << "step " << step;
        } else {
            const auto fate = static_cast<uint8_t>(random() % 2);
            const auto count = static_cast<uint32_t>(1 + random() % 4);
            if (!lane_fates_append(table_, lane, fate, count)) { continue; }
            expected.fates.insert(expected.fates.end(), count, fate);
            ASSERT_EQ(Appended(lane), expected.AsRuns()) << "step " << step;
        }
    }
    EXPECT_EQ(lane_table_count(table_), model.size());
}

} // namespace
