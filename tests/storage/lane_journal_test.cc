#include "storage/lane_journal.h"

#include <gtest/gtest.h>

#include <memory>
#include <tuple>
#include <vector>

#include "tests/storage/log_rig.h"

namespace {

constexpr size_t ENTRY_BYTES = 2048;
constexpr size_t SLICE_BYTES = 300; // three lanes without fates
constexpr uint32_t LANE_RUNS = 8;
constexpr struct lane_place NOT_STORED = {LOG_NO_TOPIC, 0};

struct lane_state StateOf(uint8_t producer, uint64_t last_sequence = 0)
{
    struct lane_state state = {};
    state.key.producer.bytes[0] = producer;
    state.key.number = 7;
    state.epoch = 3;
    state.last_sequence = last_sequence;
    return state;
}

// Of each run: count, fate, topic, base offset.
using Runs = std::vector<std::tuple<uint32_t, int, int32_t, uint64_t>>;

Runs RunsOf(const FoundLane &lane)
{
    Runs runs;
    for (const struct lane_run &run : lane.runs) {
        runs.emplace_back(run.count, run.fate, run.topic, run.base_offset);
    }
    return runs;
}

class LaneJournal : public ::testing::Test {
  protected:
    static LogRig::Options RigOptions()
    {
        LogRig::Options options;
        options.lanes_bytes_max = ENTRY_BYTES;
        return options;
    }
    void SetUp() override { Make(RigOptions()); }
    void TearDown() override
    {
        if (rig_ != nullptr) { Settle(); }
        lane_journal_destroy(journal_);
        lane_table_destroy(table_);
    }
    void Make(const LogRig::Options &options)
    {
        if (rig_ != nullptr) { TearDown(); }
        rig_ = std::make_unique<LogRig>(options);
        const struct lane_table_options table = {64, LANE_RUNS, 256, 1};
        ASSERT_EQ(lane_table_create(&table, &table_), STATUS_OK);
        const struct lane_journal_options journal = {rig_->log, table_, ENTRY_BYTES, SLICE_BYTES};
        ASSERT_EQ(lane_journal_create(&journal, &journal_), STATUS_OK);
    }
    uint32_t Add(uint8_t producer, uint64_t last_sequence = 0)
    {
        const struct lane_state state = StateOf(producer, last_sequence);
        return lane_table_add(table_, &state);
    }
    struct lane &Lane(uint32_t lane) { return lane_table_lanes(table_)[lane]; }
    bool Stored(uint32_t lane, int32_t topic, uint32_t index, uint32_t digest = 5)
    {
        return lane_journal_record(journal_, lane, NATIVE_STORED, {topic, index}, digest, 1000);
    }
    bool Dropped(uint32_t lane, uint32_t digest = 5)
    {
        return lane_journal_record(journal_, lane, NATIVE_DROPPED, NOT_STORED, digest, 1000);
    }
    // Turns until it is taken. `records`: of each of the two topics, 0 none.
    uint64_t Close(uint32_t records = 0)
    {
        struct commit_draft draft;
        for (int i = 0; i < 2000 && rig_->Begin(&draft) != STATUS_OK; i++) { Turn(); }
        struct commit_facts facts = {};
        lane_journal_close(journal_, &draft, &facts);
        for (int32_t topic = 0; topic < 2 && records > 0; topic++) {
            rig_->AddBatch(&draft, topic, records, 100);
        }
        const uint64_t number = rig_->Submit(&draft, facts);
        lane_journal_submitted(journal_, number);
        return number;
    }
    // The first commit in segment `number`; `lanes` are added just before it.
    uint64_t CloseUntilSegment(uint64_t number, uint8_t lanes)
    {
        uint64_t last = 0;
        while (core_log_open_segment_number(rig_->log) < number) {
            last = Close(1);
            Settle();
            // A begin that no submit follows rolls, if it has to.
            struct commit_draft draft;
            for (int i = 0; i < 2000 && rig_->Begin(&draft) != STATUS_OK; i++) { Turn(); }
        }
        for (uint8_t i = 0; i < lanes; i++) { Add(i, 20 + i); }
        EXPECT_GT(last, 0U);
        return Close(1);
    }
    void Turn()
    {
        uint32_t lanes[4];
        const uint64_t durable = rig_->Turn();
        size_t count;
        do {
            count = lane_journal_reap(journal_, durable, lanes, 4);
            reaped_.insert(reaped_.end(), lanes, lanes + count);
        } while (count == 4);
    }
    void Settle()
    {
        for (int i = 0; i < 2000 && core_log_in_flight(rig_->log) > 0; i++) { Turn(); }
        ASSERT_EQ(core_log_in_flight(rig_->log), 0U);
    }
    FoundCommit Commit(uint64_t number)
    {
        const LogWalk walk = rig_->Walk();
        walk.ExpectChainHolds();
        for (const FoundCommit &commit : walk.chain) {
            if (commit.header.number == number) { return commit; }
        }
        ADD_FAILURE() << "no commit " << number;
        return {};
    }
    // The items of a commit that are no part of a checkpoint.
    std::vector<FoundLane> Deltas(uint64_t number)
    {
        std::vector<FoundLane> out;
        for (const FoundLane &lane : Commit(number).lanes) {
            if ((lane.item.flags & LANE_CHECKPOINT) == 0) { out.push_back(lane); }
        }
        return out;
    }

    std::unique_ptr<LogRig> rig_;
    struct lane_table *table_ = nullptr;
    struct lane_journal *journal_ = nullptr;
    std::vector<uint32_t> reaped_;
};

TEST_F(LaneJournal, WritesWhereRecordsWentOnceOffsetsAreKnown)
{
    Close(/*records=*/10);
    const uint32_t lane = Add(1, 40);
    ASSERT_TRUE(Stored(lane, 0, 0));
    ASSERT_TRUE(Stored(lane, 0, 1));
    ASSERT_TRUE(Dropped(lane));
    ASSERT_TRUE(Stored(lane, 1, 5));
    ASSERT_TRUE(Stored(lane, 0, 2));
    ASSERT_TRUE(Stored(lane, 0, 4)); // 3 is another producer's
    const uint64_t number = Close(10);
    Settle();

    const std::vector<FoundLane> deltas = Deltas(number);
    ASSERT_EQ(deltas.size(), 1U);
    EXPECT_EQ(RunsOf(deltas[0]), (Runs{{2, NATIVE_STORED, 0, 10},
                                       {1, NATIVE_DROPPED, LOG_NO_TOPIC, 0},
                                       {1, NATIVE_STORED, 1, 15},
                                       {1, NATIVE_STORED, 0, 12},
                                       {1, NATIVE_STORED, 0, 14}}));
    EXPECT_EQ(deltas[0].item.first_sequence, 41U);
    EXPECT_EQ(deltas[0].item.state.last_sequence, 46U);
    EXPECT_EQ(deltas[0].item.state.epoch, 3U);
    EXPECT_EQ(deltas[0].item.state.active_wall_ms, 1000);
}

TEST_F(LaneJournal, AnAuditorGetsFromOneHashToTheNextByStoredRecordsAlone)
{
    const uint32_t lane = Add(1);
    ASSERT_TRUE(Stored(lane, 0, 0, 111));
    Close(1);
    const uint64_t before = Lane(lane).state.hash;
    ASSERT_TRUE(Stored(lane, 0, 0, 11));
    ASSERT_TRUE(Dropped(lane, 22));
    ASSERT_TRUE(lane_journal_skip(journal_, lane, 5));
    ASSERT_TRUE(Stored(lane, 0, 1, 33));
    const uint64_t number = Close(2);
    Settle();

    const std::vector<FoundLane> deltas = Deltas(number);
    ASSERT_EQ(deltas.size(), 1U);
    const uint64_t factor = NATIVE_HASH_FACTOR;
    const uint64_t stored = 12 * factor * factor + 34;
    EXPECT_EQ(deltas[0].item.unstored, 23 * factor);
    EXPECT_EQ(deltas[0].item.state.hash,
              before * factor * factor * factor + stored + deltas[0].item.unstored);
}

TEST_F(LaneJournal, SaysWhichLanesMovedWhenTheirCommitIsDurable)
{
    const uint32_t first = Add(1);
    const uint32_t second = Add(2);
    ASSERT_TRUE(Dropped(first));
    ASSERT_TRUE(lane_journal_touch(journal_, second, 0));
    Close();

    EXPECT_TRUE(lane_journal_is_empty(journal_));
    EXPECT_EQ(Lane(first).durable_sequence, 0U);
    EXPECT_EQ(Lane(first).in_flight, 1U);
    Settle();

    EXPECT_EQ(reaped_, (std::vector<uint32_t>{first, second}));
    EXPECT_EQ(Lane(first).durable_sequence, 1U);
    EXPECT_EQ(Lane(first).in_flight, 0U);
}

TEST_F(LaneJournal, HandsOutMoreLanesThanFitOneCall)
{
    std::vector<uint32_t> lanes;
    for (uint8_t i = 0; i < 10; i++) {
        lanes.push_back(Add(i));
        ASSERT_TRUE(Dropped(lanes.back()));
    }
    Close();
    Settle();

    EXPECT_EQ(reaped_, lanes);
}

TEST_F(LaneJournal, ChangesNothingWhenTheLanesRunsAreUsedUp)
{
    const uint32_t lane = Add(1);
    for (uint32_t i = 0; i < LANE_RUNS / 2; i++) {
        ASSERT_TRUE(Stored(lane, 0, i));
        ASSERT_TRUE(Dropped(lane));
    }
    Close(LANE_RUNS / 2);
    const struct lane_state before = Lane(lane).state;

    EXPECT_FALSE(Stored(lane, 0, 0));
    EXPECT_TRUE(lane_journal_is_empty(journal_));
    EXPECT_EQ(Lane(lane).state.last_sequence, before.last_sequence);
    EXPECT_EQ(Lane(lane).state.hash, before.hash);
}

TEST_F(LaneJournal, SaysWhenTheCommitIsFullAndHasRoomAgainInTheNext)
{
    uint8_t producer = 0;
    while (lane_journal_has_room(journal_)) { ASSERT_TRUE(Dropped(Add(producer++))); }

    const size_t slice = std::max(SLICE_BYTES, lane_item_bytes(LANE_RUNS));
    EXPECT_EQ(producer, (ENTRY_BYTES - slice) / lane_item_bytes(1));
    const uint64_t number = Close();
    Settle();

    EXPECT_TRUE(lane_journal_has_room(journal_));
    EXPECT_EQ(Deltas(number).size(), producer);
}

TEST_F(LaneJournal, ForgetsALaneInTheTableAndInTheLog)
{
    const uint32_t lane = Add(1, 9);
    const struct lane_key key = Lane(lane).state.key;
    ASSERT_TRUE(lane_journal_touch(journal_, lane, 0));
    lane_journal_forget(journal_, lane);
    const uint32_t again = Add(1, 0);
    ASSERT_TRUE(Dropped(again));
    const uint64_t number = Close();
    Settle();

    EXPECT_EQ(again, lane) << "the place is given again at once";
    EXPECT_EQ(lane_table_find(table_, &key), again);
    const std::vector<FoundLane> deltas = Deltas(number);
    ASSERT_EQ(deltas.size(), 2U);
    EXPECT_EQ(deltas[0].item.flags, uint32_t{LANE_FORGOTTEN});
    EXPECT_EQ(deltas[0].item.state.last_sequence, 9U);
    EXPECT_EQ(deltas[1].item.state.last_sequence, 1U) << "newer than the one forgotten";
}

TEST_F(LaneJournal, WritesAnImportedLaneWithAllItsFates)
{
    const uint32_t lane = Add(1, 10);
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_STORED, 4));
    ASSERT_TRUE(lane_fates_append(table_, lane, NATIVE_DROPPED, 2));
    Lane(lane).state.home = 5;
    ASSERT_TRUE(lane_journal_touch(journal_, lane, LANE_IMPORTED));
    const uint64_t number = Close();
    Settle();

    const std::vector<FoundLane> deltas = Deltas(number);
    ASSERT_EQ(deltas.size(), 1U);
    EXPECT_EQ(deltas[0].item.flags, uint32_t{LANE_IMPORTED});
    EXPECT_EQ(deltas[0].item.state.home, 5U);
    EXPECT_EQ(deltas[0].item.first_sequence, 11U);
    EXPECT_EQ(RunsOf(deltas[0]),
              (Runs{{4, NATIVE_STORED, LOG_NO_TOPIC, 0}, {2, NATIVE_DROPPED, LOG_NO_TOPIC, 0}}));
}

TEST_F(LaneJournal, RefusesAnImportThatDoesNotFitAndTakesItInTheNextCommit)
{
    const uint32_t many = Add(100);
    for (uint32_t i = 0; i < LANE_RUNS; i++) {
        ASSERT_TRUE(lane_fates_append(table_, many, i % 2, 1));
    }
    for (uint8_t i = 0; i < 13; i++) { ASSERT_TRUE(Dropped(Add(i))); }

    ASSERT_TRUE(lane_journal_has_room(journal_));
    EXPECT_FALSE(lane_journal_touch(journal_, many, LANE_IMPORTED));
    Close();

    EXPECT_TRUE(lane_journal_touch(journal_, many, LANE_IMPORTED));
}

// -------------------------------------------------------------------------------- checkpoint

TEST_F(LaneJournal, WithoutLanesACheckpointIsCompleteAtOnce)
{
    const uint64_t number = Close(1);
    Settle();

    EXPECT_EQ(Commit(number).header.lane_checkpoint, number);
    EXPECT_TRUE(Commit(number).lanes.empty());
}

TEST_F(LaneJournal, SpreadsACheckpointOverCommitsAndNamesItOnceItIsComplete)
{
    const uint64_t first = Close(1);
    const uint64_t began = CloseUntilSegment(2, 7); // three a slice
    Close(1);
    const uint64_t completed = Close(1);
    const uint64_t later = Close(1);
    Settle();

    std::vector<uint64_t> sequences;
    for (uint64_t number = began; number <= completed; number++) {
        for (const FoundLane &lane : Commit(number).lanes) {
            EXPECT_EQ(lane.item.flags, uint32_t{LANE_CHECKPOINT});
            sequences.push_back(lane.item.state.last_sequence);
        }
    }
    EXPECT_EQ(sequences, (std::vector<uint64_t>{20, 21, 22, 23, 24, 25, 26}));
    EXPECT_EQ(Commit(completed - 1).header.lane_checkpoint, first);
    EXPECT_EQ(Commit(completed).header.lane_checkpoint, began);
    EXPECT_EQ(Commit(later).header.lane_checkpoint, began);
    EXPECT_TRUE(Commit(later).lanes.empty());
}

TEST_F(LaneJournal, ALogsFirstCheckpointIsNamedAtOnceAsThereIsNothingBeforeIt)
{
    for (uint8_t i = 0; i < 7; i++) { Add(i); }
    const uint64_t first = Close(1);
    Settle();

    EXPECT_EQ(Commit(first).header.lane_checkpoint, first);
    EXPECT_EQ(Commit(first).lanes.size(), 3U);
    EXPECT_EQ(rig_->root->partitions[LogRig::kPartition].lane_floor, 1U);
}

TEST_F(LaneJournal, ACheckpointHoldsTheLaneAsItIsBehindItsCommit)
{
    const uint32_t lane = Add(1, 10);
    ASSERT_TRUE(Stored(lane, 0, 0));
    ASSERT_TRUE(Dropped(lane));
    const uint64_t number = Close(1);
    Settle();

    const std::vector<FoundLane> lanes = Commit(number).lanes;
    ASSERT_EQ(lanes.size(), 2U);
    EXPECT_EQ(lanes[0].item.flags, 0U);
    EXPECT_EQ(lanes[1].item.flags, uint32_t{LANE_CHECKPOINT});
    EXPECT_EQ(lanes[1].item.state.last_sequence, 12U);
    EXPECT_EQ(lanes[1].item.first_sequence, 11U);
    EXPECT_EQ(RunsOf(lanes[1]),
              (Runs{{1, NATIVE_STORED, LOG_NO_TOPIC, 0}, {1, NATIVE_DROPPED, LOG_NO_TOPIC, 0}}));
}

TEST_F(LaneJournal, ALaneWithMoreRunsThanASliceStillGetsIntoTheCheckpoint)
{
    const uint32_t lane = Add(1);
    for (uint32_t i = 0; i < LANE_RUNS; i++) {
        ASSERT_TRUE(lane_fates_append(table_, lane, i % 2, 1));
    }
    lane_journal_destroy(journal_);
    const struct lane_journal_options options = {rig_->log, table_, ENTRY_BYTES,
                                                 /*slice_bytes_max=*/1};
    ASSERT_EQ(lane_journal_create(&options, &journal_), STATUS_OK);
    const uint64_t number = Close(1);
    Settle();

    EXPECT_EQ(Commit(number).header.lane_checkpoint, number);
    EXPECT_EQ(Commit(number).lanes[0].runs.size(), size_t{LANE_RUNS});
}

TEST_F(LaneJournal, EverySegmentBeginsACheckpointOfItsOwn)
{
    Add(1, 5);
    uint64_t number = 0;
    for (int i = 0; i < 60; i++) { number = Close(1); }
    Settle();

    const LogWalk walk = rig_->Walk();
    ASSERT_GE(walk.segments.size(), 2U);
    for (const auto &[segment_number, segment] : walk.segments) {
        const struct commit_header &first = segment.commits.at(0).header;
        EXPECT_EQ(first.lane_checkpoint, first.number) << "segment " << segment_number;
        for (const FoundCommit &commit : segment.commits) {
            EXPECT_EQ(commit.header.lane_checkpoint, first.number) << "its footer too";
        }
    }
    EXPECT_GT(number, 0U);
}

TEST_F(LaneJournal, PublishesTheSegmentFromWhichLanesAreRecoveredOnceTheCheckpointIsDurable)
{
    const struct root_partition &slot = rig_->root->partitions[LogRig::kPartition];
    EXPECT_EQ(slot.lane_floor, 0U) << "there are no lanes";
    CloseUntilSegment(2, 7);
    Settle();

    EXPECT_EQ(slot.lane_floor, 1U) << "the second segment's is not complete";
    Close(1);
    Close(1);
    Settle();

    EXPECT_EQ(slot.lane_floor, 2U);
}

TEST_F(LaneJournal, ACheckpointThatEndsInALaterSegmentNeedsTheOneInWhichItBegan)
{
    LogRig::Options options = RigOptions();
    options.segment_bytes = 96 * 1024;
    Make(options);
    const struct root_partition &slot = rig_->root->partitions[LogRig::kPartition];
    CloseUntilSegment(2, 60);
    Settle();
    for (int i = 0; i < 100 && slot.lane_floor == 1; i++) {
        Close(1);
        Settle();
    }

    EXPECT_EQ(slot.lane_floor, 2U);
    EXPECT_GT(core_log_open_segment_number(rig_->log), 2U);
}

// ------------------------------------------------------------------------- the log underneath

TEST_F(LaneJournal, ACommitOfLanesAloneIsFollowedByAWatermark)
{
    LogRig::Options options = RigOptions();
    options.idle_watermark_ns = 5 * NS_PER_MS;
    Make(options);
    ASSERT_TRUE(Dropped(Add(1)));
    const uint64_t number = Close();
    Settle();
    for (int i = 0; i < 50; i++) { Turn(); }

    const LogWalk walk = rig_->Walk();
    ASSERT_EQ(walk.LastNumber(), number + 1);
    EXPECT_EQ(walk.chain.back().header.flags, uint32_t{COMMIT_FLAG_WATERMARK});
    EXPECT_GE(walk.chain.back().header.durable_number, number);
    EXPECT_EQ(walk.chain.back().header.lane_checkpoint, number);
}

TEST_F(LaneJournal, LanesAreWrittenAgainWithTheirCommit)
{
    sim_disk_fail_writes(rig_->disk, sim_disk_write_count(rig_->disk) + 3, 1, STATUS_IO);
    std::vector<uint64_t> numbers;
    std::vector<uint32_t> lanes;
    for (uint8_t i = 0; i < 6; i++) {
        lanes.push_back(Add(i));
        ASSERT_TRUE(Stored(lanes.back(), 1, 0));
        numbers.push_back(Close(1));
    }
    Settle();

    EXPECT_GT(rig_->Counter(STATS_commits_rewritten), 0U);
    EXPECT_EQ(reaped_, lanes);
    for (size_t i = 0; i < numbers.size(); i++) {
        const std::vector<FoundLane> deltas = Deltas(numbers[i]);
        ASSERT_EQ(deltas.size(), 1U) << "commit " << numbers[i];
        EXPECT_EQ(deltas[0].item.state.key.producer.bytes[0], i);
        EXPECT_EQ(RunsOf(deltas[0]), (Runs{{1, NATIVE_STORED, 1, i}}));
    }
}

TEST_F(LaneJournal, TheLogLeavesRoomForTheLanesBesideTheRecords)
{
    const size_t room = core_log_commit_room(rig_->log, 1);
    while (lane_journal_has_room(journal_)) { ASSERT_TRUE(Dropped(Add(lane_table_count(table_)))); }
    struct commit_draft draft;
    ASSERT_EQ(core_log_begin(rig_->log, 1, &draft), STATUS_OK);
    struct commit_facts facts = {};
    lane_journal_close(journal_, &draft, &facts);

    rig_->AddBatch(&draft, 0, 1, room);
    lane_journal_submitted(journal_, rig_->Submit(&draft, facts));
    Settle();

    EXPECT_EQ(Commit(1).records.size(), 1U);
}

TEST_F(LaneJournal, RefusesAnEntryWithoutRoomForOneWholeLaneAndASlice)
{
    struct lane_journal *journal;
    struct lane_journal_options options = {rig_->log, table_, 2 * lane_item_bytes(LANE_RUNS) - 1,
                                           SLICE_BYTES};
    options.slice_bytes_max = 1;

    EXPECT_EQ(lane_journal_create(&options, &journal), STATUS_INVALID);
    options.entry_bytes_max++;

    ASSERT_EQ(lane_journal_create(&options, &journal), STATUS_OK);
    lane_journal_destroy(journal);
}

} // namespace
