#include "storage/lane_recovery.h"

#include <gtest/gtest.h>

#include <vector>

#include "storage/recovery.h"
#include "tests/storage/lane_builder.h"
#include "tests/storage/log_builder.h"

namespace {

using namespace penstock_test;

constexpr int S = NATIVE_STORED;
constexpr int D = NATIVE_DROPPED;
constexpr int L = NATIVE_LOST;

struct Finding {
    enum lane_finding finding;
    uint64_t number;
    uint64_t value;
    bool operator==(const Finding &other) const
    {
        return finding == other.finding && number == other.number && value == other.value;
    }
};

class LaneRecovery : public ::testing::Test {
  protected:
    ~LaneRecovery() override { lane_resume_set_deinit(&lanes_); }

    // As a start does it: first the log, then its lanes.
    void Recover()
    {
        const struct lane_recovery_report report = {OnFinding, &findings_};
        struct recovery_witness witness = {};
        ASSERT_EQ(recovery_run(sim_disk_files(disk_.get()), 0, &witness, nullptr, resume_.get()),
                  STATUS_OK);
        ASSERT_EQ(
            lane_recovery_run(sim_disk_files(disk_.get()), 0, &report, resume_.get(), &lanes_),
            STATUS_OK);
    }
    static void OnFinding(void *context, uint32_t, enum lane_finding finding, uint64_t number,
                          uint64_t value, uint64_t)
    {
        static_cast<std::vector<Finding> *>(context)->push_back({finding, number, value});
    }
    void ExpectLane(uint64_t producer, uint64_t last_sequence, const FateRuns &fates)
    {
        const struct lane_key key = LaneKey(producer);
        const struct lane_resume *const lane = lane_resume_set_find(&lanes_, &key);
        ASSERT_NE(lane, nullptr) << "lane " << producer;
        EXPECT_EQ(lane->state.last_sequence, last_sequence);
        EXPECT_EQ(FatesOf(*lane), fates);
    }

    SimDisk disk_ = MakeDisk();
    LogBuilder log_{disk_};
    std::unique_ptr<struct log_resume> resume_ = std::make_unique<struct log_resume>();
    struct lane_resume_set lanes_ = {};
    std::vector<Finding> findings_;
};

TEST_F(LaneRecovery, OfALogThatNeverHadLanesReadsNothing)
{
    log_.OpenSegment();
    log_.Commit({{0, 3}});
    log_.Seal();

    Recover();

    EXPECT_EQ(lanes_.count, 0U);
    EXPECT_EQ(resume_->lane_floor, 0U);
}

TEST_F(LaneRecovery, PutsLanesTogetherOverSegments)
{
    log_.OpenSegment();
    log_.Commit({{0, 3}});
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}}), LaneItem(2, 0, 1, {{D, 1}})}).Commit({{0, 3}});
    log_.Seal();
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 4, {{S, 2}})}).Commit({});

    Recover();

    ExpectLane(1, 5, {{S, 5}});
    ExpectLane(2, 1, {{D, 1}});
    EXPECT_EQ(resume_->lane_floor, 1U);
    EXPECT_EQ(findings_, std::vector<Finding>{});
}

TEST_F(LaneRecovery, TheNextStartFindsTheSameByTheFooterOfThisOne)
{
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    Recover();
    lane_resume_set_deinit(&lanes_);
    *resume_ = {};

    Recover();

    EXPECT_EQ(resume_->lane_checkpoint, 1U);
    ExpectLane(1, 3, {{S, 3}});
}

TEST_F(LaneRecovery, ReadsNothingBeforeTheCheckpoint)
{
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}}), LaneItem(2, 0, 1, {{S, 1}})}).Commit({{0, 1}});
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}}, LANE_CHECKPOINT)});
    const uint64_t began = log_.NextCommit();
    log_.LaneCheckpoint(began).Commit({{0, 1}});

    Recover();

    ExpectLane(1, 3, {{S, 3}});
    EXPECT_EQ(lanes_.count, 1U) << "lane 2 is not in the checkpoint";
}

TEST_F(LaneRecovery, DoesNotMissSegmentsThatRetentionTookBeforeTheCheckpoint)
{
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    log_.Seal();
    log_.OpenSegment();
    log_.LaneCheckpoint(log_.NextCommit());
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}}, LANE_CHECKPOINT)}).Commit({{0, 1}});
    ASSERT_EQ(files_remove(sim_disk_files(disk_.get()), SegmentName(1).c_str()), STATUS_OK);

    Recover();

    ExpectLane(1, 3, {{S, 3}});
    EXPECT_EQ(findings_, std::vector<Finding>{});
    EXPECT_EQ(resume_->lane_floor, 2U);
}

TEST_F(LaneRecovery, TellsOfASegmentThatIsMissingAndKeepsTheRest)
{
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    log_.Seal();
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 4, {{D, 1}})}).Commit({{0, 1}});
    log_.Seal();
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 5, {{S, 2}})}).Commit({{0, 1}});
    ASSERT_EQ(files_remove(sim_disk_files(disk_.get()), SegmentName(2).c_str()), STATUS_OK);

    Recover();

    ExpectLane(1, 6, {{S, 3}, {L, 1}, {S, 2}});
    EXPECT_EQ(findings_, (std::vector<Finding>{{LANES_MISSING_SEGMENT, 3, 1}, {LANES_GAPS, 0, 1}}));
}

TEST_F(LaneRecovery, TellsWhenTheSegmentOfTheCheckpointIsGone)
{
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    log_.Seal();
    log_.OpenSegment();
    log_.Lanes({LaneItem(2, 0, 1, {{D, 1}})}).Commit({{0, 1}});
    ASSERT_EQ(files_remove(sim_disk_files(disk_.get()), SegmentName(1).c_str()), STATUS_OK);

    Recover();

    ExpectLane(2, 1, {{D, 1}});
    EXPECT_EQ(lanes_.count, 1U);
    EXPECT_EQ(findings_, (std::vector<Finding>{{LANES_MISSING_SEGMENT, 2, 1}}));
}

TEST_F(LaneRecovery, GoesOnBehindARottenCommit)
{
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    const BuiltCommit rotten = log_.Lanes({LaneItem(1, 0, 4, {{D, 1}})}).Commit({{0, 1}});
    log_.Lanes({LaneItem(1, 0, 5, {{S, 2}})}).Commit({{0, 1}});
    log_.Commit({{0, 1}});
    log_.Seal();
    SegmentBytes(disk_, 1)[rotten.position + 20] ^= 1;

    Recover();

    ExpectLane(1, 6, {{S, 3}, {L, 1}, {S, 2}});
    EXPECT_EQ(findings_,
              (std::vector<Finding>{{LANES_UNREADABLE, 1, rotten.position}, {LANES_GAPS, 0, 1}}));
}

TEST_F(LaneRecovery, TakesNothingOfACommitThatAnotherSegmentHadInItsPlace)
{
    SimDisk other_disk = MakeDisk();
    LogBuilder other{other_disk}; // the same commits, in a segment of another nonce
    other.Spare().OpenSegment();
    other.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    const BuiltCommit stale = other.Lanes({LaneItem(1, 0, 4, {{D, 1}})}).Commit({{0, 1}});
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    const BuiltCommit rotten = log_.Lanes({LaneItem(1, 0, 4, {{S, 1}})}).Commit({{0, 1}});
    log_.Lanes({LaneItem(1, 0, 5, {{S, 2}})}).Commit({{0, 1}});
    log_.Commit({{0, 1}});
    log_.Seal();
    ASSERT_EQ(stale.position, rotten.position);
    ASSERT_EQ(stale.length_bytes, rotten.length_bytes);
    std::memcpy(SegmentBytes(disk_, 1) + rotten.position,
                SegmentBytes(other_disk, 2) + stale.position, stale.length_bytes);

    Recover();

    ExpectLane(1, 6, {{S, 3}, {L, 1}, {S, 2}});
}

TEST_F(LaneRecovery, TakesNothingOfAnEntryWhoseBytesRotted)
{
    log_.OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    const BuiltCommit rotten = log_.Lanes({LaneItem(1, 0, 4, {{D, 1}})}).Commit({{0, 1}});
    log_.Seal();
    uint8_t *const commit = SegmentBytes(disk_, 1) + rotten.position;
    const struct entry lanes = entry_decode(bytes_of(commit, rotten.length_bytes), 0);
    ASSERT_EQ(lanes.type, ENTRY_LANES);
    commit[lanes.position + 40] ^= 1;

    Recover();

    ExpectLane(1, 3, {{S, 3}});
    EXPECT_EQ(findings_, (std::vector<Finding>{{LANES_UNREADABLE, 1, rotten.position}}));
}

TEST_F(LaneRecovery, TakesNothingThatRecoveryCut)
{
    log_.InFlight(3).OpenSegment();
    log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}});
    const BuiltCommit torn = log_.Lanes({LaneItem(1, 0, 4, {{S, 1}})}).Commit({{0, 1}});
    log_.Lanes({LaneItem(1, 0, 5, {{S, 1}})}).Commit({{0, 1}});
    SegmentBytes(disk_, 1)[torn.position + 20] ^= 1;

    Recover();

    ExpectLane(1, 3, {{S, 3}});
    EXPECT_EQ(findings_, std::vector<Finding>{});
}

TEST_F(LaneRecovery, TakesNothingOfCommitsThatTheNextSegmentDoesNotContinue)
{
    log_.OpenSegment();
    const BuiltCommit kept = log_.Lanes({LaneItem(1, 0, 1, {{S, 3}})}).Commit({{0, 1}, {1, 1}});
    log_.Lanes({LaneItem(1, 0, 4, {{S, 7}})}).Commit({{0, 1}});
    log_.ContinueBehind(kept, {1, 1}).Incarnation(2).OpenSegment();
    log_.Lanes({LaneItem(1, 0, 4, {{D, 1}})}).Commit({{0, 1}});

    Recover();

    ExpectLane(1, 4, {{S, 3}, {D, 1}});
    EXPECT_EQ(findings_, std::vector<Finding>{});
}

TEST_F(LaneRecovery, FindsTheLanesOfLongCommits)
{
    LogBuilder log(disk_, /*capacity_bytes=*/4 << 20);
    log.OpenSegment();
    for (uint64_t i = 0; i < 8; i++) {
        log.Lanes({LaneItem(1, 0, i + 1, {{S, 1}})}).Commit({{0, 1, 200'000}});
    }
    log.Seal();

    Recover();

    ExpectLane(1, 8, {{S, 8}});
}

} // namespace
