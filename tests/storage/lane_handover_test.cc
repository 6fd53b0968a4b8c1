#include "storage/lane_handover.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <vector>

#include "tests/storage/lane_builder.h"

namespace {

using namespace penstock_test;

constexpr int S = NATIVE_STORED;
constexpr size_t PARTITIONS = 2;

// A node as lanes see it: what its logs hold, and what a start makes of that.
class LaneHandover : public ::testing::Test {
  protected:
    ~LaneHandover() override { Forget(); }

    // Into the log of a partition, durable.
    void Write(size_t partition, const std::string &item) { logs_[partition].push_back(item); }

    // Reads all logs and judges; partitions below `workers` have one.
    void Start(size_t workers, int64_t forget_before_wall_ms = 0)
    {
        Forget();
        std::vector<struct lane_handover_partition> partitions;
        for (size_t i = 0; i < PARTITIONS; i++) {
            for (const std::string &item : logs_[i]) {
                ASSERT_EQ(TakeItem(&lanes_[i], item), STATUS_OK);
            }
            partitions.push_back({&lanes_[i], i < workers});
        }
        ASSERT_EQ(lane_handover_run(partitions.data(), PARTITIONS, forget_before_wall_ms, &result_),
                  STATUS_OK);
    }
    // The first commits of every worker: what was imported becomes durable where it now is.
    void MakeImportsDurable()
    {
        for (size_t i = 0; i < PARTITIONS; i++) {
            for (size_t k = 0; k < lanes_[i].count; k++) {
                const struct lane_resume &lane = lanes_[i].lanes[k];
                if (!lane.imported) { continue; }
                uint64_t producer;
                std::memcpy(&producer, lane.state.key.producer.bytes, sizeof producer);
                Write(i, LaneItem(producer, lane.state.confirmed, lane.state.confirmed + 1,
                                  FatesOf(lane), LANE_IMPORTED, lane.state.home,
                                  lane.state.active_wall_ms));
            }
        }
    }
    const struct lane_resume *Find(size_t partition, uint64_t producer) const
    {
        const struct lane_key key = LaneKey(producer);
        return lane_resume_set_find(&lanes_[partition], &key);
    }
    // The lane lives in this partition and in no other, and has come so far.
    void ExpectHome(uint64_t producer, size_t partition, uint64_t last_sequence)
    {
        for (size_t i = 0; i < PARTITIONS; i++) {
            const struct lane_resume *const lane = Find(i, producer);
            ASSERT_EQ(lane != nullptr, i == partition) << "partition " << i;
            if (lane != nullptr) { EXPECT_EQ(lane->state.last_sequence, last_sequence); }
        }
    }

    std::vector<std::string> logs_[PARTITIONS];
    struct lane_resume_set lanes_[PARTITIONS] = {};
    struct lane_handover result_ = {};

  private:
    void Forget()
    {
        for (struct lane_resume_set &lanes : lanes_) { lane_resume_set_deinit(&lanes); }
    }
};

TEST_F(LaneHandover, LeavesLanesWhereTheirWorkersAre)
{
    Write(0, LaneItem(1, 0, 1, {{S, 5}}));
    Write(1, LaneItem(2, 0, 1, {{S, 6}}));

    Start(2);

    ExpectHome(1, 0, 5);
    ExpectHome(2, 1, 6);
    EXPECT_FALSE(Find(1, 2)->imported);
    EXPECT_EQ(result_.moved + result_.outdated + result_.forgotten, 0U);
}

TEST_F(LaneHandover, MovesTheLanesOfAPartitionWithoutAWorkerWithAllTheirFates)
{
    Write(1, LaneItem(2, 3, 4, {{S, 6}}, LANE_CHECKPOINT));

    Start(1);

    ExpectHome(2, 0, 9);
    EXPECT_TRUE(Find(0, 2)->imported);
    EXPECT_EQ(Find(0, 2)->state.home, 1U);
    EXPECT_EQ(FatesOf(*Find(0, 2)), (FateRuns{{S, 6}}));
    EXPECT_EQ(result_.moved, 1U);
}

TEST_F(LaneHandover, MovesItAgainWhenTheImportWasNotDurable)
{
    Write(1, LaneItem(2, 0, 1, {{S, 6}}));
    Start(1);

    Start(1);

    ExpectHome(2, 0, 6);
    EXPECT_TRUE(Find(0, 2)->imported);
    EXPECT_EQ(Find(0, 2)->state.home, 1U);
}

TEST_F(LaneHandover, StaysWithItsOldWorkerWhenThatOneIsBackBeforeTheImportWasDurable)
{
    Write(1, LaneItem(2, 0, 1, {{S, 6}}));
    Start(1);

    Start(2);

    ExpectHome(2, 1, 6);
    EXPECT_FALSE(Find(1, 2)->imported);
}

TEST_F(LaneHandover, FromADurableImportOnTheNewHomeIsTheOnlyOne)
{
    Write(1, LaneItem(2, 0, 1, {{S, 6}}));
    Start(1);
    MakeImportsDurable();

    Start(1);

    ExpectHome(2, 0, 6);
    EXPECT_FALSE(Find(0, 2)->imported) << "its log knows it now";
    EXPECT_EQ(result_.outdated, 1U);
}

TEST_F(LaneHandover, FromTwoWorkersToOneAndBackTheLaneStaysWhereItWentAndGoesOn)
{
    Write(1, LaneItem(2, 0, 1, {{S, 6}}));
    Start(1);
    MakeImportsDurable();
    Write(0, LaneItem(2, 0, 7, {{S, 4}}, 0, /*home=*/1));

    Start(2);

    ExpectHome(2, 0, 10);
    EXPECT_EQ(FatesOf(*Find(0, 2)), (FateRuns{{S, 10}}));
    EXPECT_FALSE(Find(0, 2)->imported);
}

TEST_F(LaneHandover, TheHigherHomeWinsOverTheHigherSequence)
{
    Write(0, LaneItem(2, 0, 1, {{S, 3}}, LANE_IMPORTED, 2));
    Write(1, LaneItem(2, 0, 1, {{S, 900}}, 0, 1));

    Start(2);

    ExpectHome(2, 0, 3);
}

TEST_F(LaneHandover, OfTwoCopiesOfTheSameHomeTheOneThatCameFurtherWins)
{
    Write(0, LaneItem(2, 0, 1, {{S, 3}}));
    Write(1, LaneItem(2, 0, 1, {{S, 9}}));

    Start(2);

    ExpectHome(2, 1, 9);
}

TEST_F(LaneHandover, DoesNotBringBackALaneThatItsLastHomeForgot)
{
    Write(1, LaneItem(2, 0, 1, {{S, 6}}, 0, 0, /*active_wall_ms=*/1000));
    Start(1);
    MakeImportsDurable();
    Write(0, LaneItem(2, 0, 7, {}, LANE_FORGOTTEN, 1));

    Start(1, /*forget_before_wall_ms=*/1001);

    EXPECT_EQ(lanes_[0].count + lanes_[1].count, 0U);
    EXPECT_EQ(result_.forgotten, 1U);
}

TEST_F(LaneHandover, WithoutAnyWorkerNothingMoves)
{
    Write(1, LaneItem(2, 0, 1, {{S, 6}}));

    Start(0);

    ExpectHome(2, 1, 6);
    EXPECT_EQ(result_.moved, 0U);
}

// Four partitions; lanes move when theirs loses its worker, and once more when that one does.
TEST(LaneHandoverOfFour, ALaneThatMovesTwiceEndsUpOnceWithTwoHomesBehindIt)
{
    struct lane_resume_set lanes[4] = {};
    struct lane_handover result;
    for (uint64_t producer = 1; producer <= 200; producer++) {
        ASSERT_EQ(TakeItem(&lanes[3], LaneItem(producer, 0, 1, {{S, 1}})), STATUS_OK);
    }
    const struct lane_handover_partition three[] = {
        {&lanes[0], true}, {&lanes[1], true}, {&lanes[2], true}, {&lanes[3], false}};
    ASSERT_EQ(lane_handover_run(three, 4, 0, &result), STATUS_OK);
    const size_t moved_first = lanes[2].count;
    const struct lane_handover_partition one[] = {
        {&lanes[0], true}, {&lanes[1], false}, {&lanes[2], false}, {&lanes[3], false}};
    ASSERT_EQ(lane_handover_run(one, 4, 0, &result), STATUS_OK);

    EXPECT_EQ(lanes[0].count, 200U);
    size_t twice = 0;
    for (size_t i = 0; i < lanes[0].count; i++) { twice += lanes[0].lanes[i].state.home == 2; }
    EXPECT_EQ(twice, result.moved);
    EXPECT_GT(moved_first, 0U);
    for (struct lane_resume_set &set : lanes) { lane_resume_set_deinit(&set); }
}

TEST(LaneHome, SpreadsLanesEvenlyAndMovesFewWhenAPartitionComes)
{
    const uint32_t three[] = {0, 1, 2};
    const uint32_t four[] = {0, 1, 2, 3};
    std::map<uint32_t, int> homes;
    int moved = 0;
    for (uint64_t producer = 0; producer < 40'000; producer++) {
        const struct lane_key key = LaneKey(producer);
        const uint32_t home = lane_home_of_new(&key, four, 4);
        homes[home]++;
        if (lane_home_of_new(&key, three, 3) == home) { continue; }
        ASSERT_EQ(home, 3U) << "only to the new one";
        moved++;
    }

    for (const auto &[home, count] : homes) { EXPECT_NEAR(count, 10'000, 400) << home; }
    EXPECT_EQ(moved, homes[3]);
}

} // namespace
