#include "storage/lane_resume.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/storage/lane_builder.h"

namespace {

using namespace penstock_test;

constexpr int S = NATIVE_STORED;
constexpr int D = NATIVE_DROPPED;
constexpr int L = NATIVE_LOST;

class LaneResume : public ::testing::Test {
  protected:
    void TearDown() override { lane_resume_set_deinit(&set_); }

    void Take(const std::string &item) { ASSERT_EQ(TakeItem(&set_, item), STATUS_OK); }
    const struct lane_resume &Lane(uint64_t producer = 1) const
    {
        const struct lane_key key = LaneKey(producer);
        const struct lane_resume *const lane = lane_resume_set_find(&set_, &key);
        EXPECT_NE(lane, nullptr);
        return *lane;
    }
    bool Has(uint64_t producer) const
    {
        const struct lane_key key = LaneKey(producer);
        return lane_resume_set_find(&set_, &key) != nullptr;
    }

    struct lane_resume_set set_ = {};
};

TEST_F(LaneResume, AppendsFatesOfADeltaThatGoesOn)
{
    Take(LaneItem(1, 0, 1, {{S, 3}, {D, 1}}));
    Take(LaneItem(1, 0, 5, {{D, 2}, {S, 1}}));

    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{S, 3}, {D, 3}, {S, 1}}));
    EXPECT_EQ(Lane().state.last_sequence, 7U);
    EXPECT_EQ(Lane().state.hash, 7U * 31);
    EXPECT_FALSE(Lane().gap);
}

TEST_F(LaneResume, DropsWhatTheProducerConfirmed)
{
    Take(LaneItem(1, 0, 1, {{S, 3}, {D, 4}}));
    Take(LaneItem(1, 5, 8, {{S, 2}}));

    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{D, 2}, {S, 2}}));
    EXPECT_EQ(Lane().state.confirmed, 5U);
}

TEST_F(LaneResume, AStateWithoutRecordsKeepsTheFates)
{
    Take(LaneItem(1, 0, 1, {{S, 3}}));
    Take(LaneItem(1, 0, 4, {}));

    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{S, 3}}));
}

TEST_F(LaneResume, ACheckpointReplacesAllThatWasKnown)
{
    Take(LaneItem(1, 0, 1, {{S, 3}}));
    Take(LaneItem(1, 2, 3, {{D, 5}}, LANE_CHECKPOINT));

    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{D, 5}}));
    EXPECT_EQ(Lane().state.last_sequence, 7U);
}

TEST_F(LaneResume, TellsLostFatesWhereAnEntryIsMissing)
{
    Take(LaneItem(1, 0, 1, {{S, 3}}));
    Take(LaneItem(1, 1, 10, {{S, 1}}));

    EXPECT_TRUE(Lane().gap);
    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{S, 2}, {L, 6}, {S, 1}}));
}

TEST_F(LaneResume, AGapBelowWhatIsConfirmedIsNone)
{
    Take(LaneItem(1, 0, 1, {{S, 3}}));
    Take(LaneItem(1, 9, 10, {{S, 1}}));

    EXPECT_FALSE(Lane().gap);
    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{S, 1}}));
}

TEST_F(LaneResume, ADeltaOfAnUnknownLaneLeavesAGapUntilItsCheckpointComes)
{
    Take(LaneItem(1, 4, 8, {{S, 2}}));
    EXPECT_TRUE(Lane().gap);
    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{L, 3}, {S, 2}}));

    Take(LaneItem(1, 4, 5, {{D, 3}, {S, 2}}, LANE_CHECKPOINT));

    EXPECT_FALSE(Lane().gap);
    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{D, 3}, {S, 2}}));
}

TEST_F(LaneResume, AGapThatNoRunCanCountIsTakenForConfirmed)
{
    Take(LaneItem(1, 0, 1, {{S, 3}}));
    Take(LaneItem(1, 0, UINT64_C(1) << 40, {{S, 1}}));

    EXPECT_TRUE(Lane().gap);
    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{S, 1}}));
    EXPECT_EQ(Lane().state.confirmed, (UINT64_C(1) << 40) - 1);
}

TEST_F(LaneResume, NewerEntriesWinWhereTheyGoBack)
{
    Take(LaneItem(1, 0, 1, {{S, 9}}));
    Take(LaneItem(1, 0, 6, {{D, 2}}));

    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{S, 5}, {D, 2}}));
    EXPECT_EQ(Lane().state.last_sequence, 7U);
}

TEST_F(LaneResume, ForgetsALaneAndTakesItAnew)
{
    Take(LaneItem(1, 0, 1, {{S, 9}}));
    Take(LaneItem(1, 0, 10, {}, LANE_FORGOTTEN));
    EXPECT_FALSE(Has(1));
    Take(LaneItem(1, 0, 1, {{D, 1}}));

    EXPECT_EQ(FatesOf(Lane()), (FateRuns{{D, 1}}));
}

TEST_F(LaneResume, RefusesAnItemThatConfirmsMoreThanThereIs)
{
    EXPECT_EQ(TakeItem(&set_, LaneItem(1, 4, 1, {{S, 3}})), STATUS_CORRUPT);
    EXPECT_EQ(set_.count, 0U);
}

TEST_F(LaneResume, FindsEveryLaneOfManyWhileOthersAreRemoved)
{
    for (uint64_t i = 1; i <= 5000; i++) { Take(LaneItem(i, 0, 1, {{S, 1}})); }
    for (uint64_t i = 3; i <= 5000; i += 3) { Take(LaneItem(i, 0, 2, {}, LANE_FORGOTTEN)); }

    EXPECT_EQ(set_.count, 5000U - 5000 / 3);
    for (uint64_t i = 1; i <= 5000; i++) { ASSERT_EQ(Has(i), i % 3 != 0) << "lane " << i; }
}

TEST_F(LaneResume, RestoresATableThatTellsTheSameFates)
{
    Take(LaneItem(1, 2, 3, {{S, 3}, {D, 4}, {S, 1}}, LANE_CHECKPOINT));
    Take(LaneItem(2, 0, 1, {{S, 1}}));
    struct lane_table *table;
    const struct lane_table_options options = {2, 8, 1, 5};
    ASSERT_EQ(lane_table_create(&options, &table), STATUS_OK);

    ASSERT_EQ(lane_table_restore(table, &set_), STATUS_OK);

    const struct lane_key key = LaneKey(1);
    const uint32_t lane = lane_table_find(table, &key);
    ASSERT_NE(lane, LANE_NONE);
    FateRuns told;
    struct lane_fate_walk walk = {};
    struct lane_fates fates;
    while (lane_fates_next(table, lane, &walk, &fates)) {
        told.emplace_back(fates.fate, fates.count);
    }
    EXPECT_EQ(told, FatesOf(Lane()));
    EXPECT_EQ(lane_table_lanes(table)[lane].state.hash, 10U * 31);
    EXPECT_EQ(lane_table_lanes(table)[lane].durable_sequence, 10U);
    EXPECT_EQ(lane_table_lanes(table)[lane].state.confirmed, 2U);
    lane_table_destroy(table);
}

TEST_F(LaneResume, SaysWhenATableIsTooSmallForAllLanes)
{
    Take(LaneItem(1, 0, 1, {{S, 1}}));
    Take(LaneItem(2, 0, 1, {{S, 1}}));
    struct lane_table *table;
    const struct lane_table_options options = {1, 8, 0, 5};
    ASSERT_EQ(lane_table_create(&options, &table), STATUS_OK);

    EXPECT_EQ(lane_table_restore(table, &set_), STATUS_FULL);
    lane_table_destroy(table);
}

} // namespace
