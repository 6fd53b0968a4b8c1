#include "tools/log_command.h"

#include <gtest/gtest.h>
#include <jansson.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "tests/storage/kept_log.h"
#include "tests/storage/lane_builder.h"
#include "tests/tools/log_fixture.h"

namespace {

using namespace penstock_test;

TEST_F(CmdLog, VerifiesASealedLogToTheLastRecord)
{
    log_.Seal();
    log_.OpenSegment();
    log_.Commit({{0, 1}});
    Save(2);

    EXPECT_EQ(Run({"verify", storage_.path()}), 0) << output_;
    EXPECT_NE(output_.find("ok: 3 commits, 9 records, sealed"), std::string::npos) << output_;
}

TEST_F(CmdLog, VerifiesLogsThatVersion1Wrote)
{
    for (const char *const name : {"log-v1/worker", "log-v1/chunks"}) {
        const KeptLog kept(name);
        const TemporaryDirectory storage;
        mkdir((storage / "part-0000").c_str(), 0755);
        for (size_t i = 0; i < kept.segments.size(); i++) {
            std::ofstream(storage / SegmentName(i + 1), std::ios::binary) << kept.segments[i];
        }

        ASSERT_GT(kept.segments.size(), 0U) << name;
        EXPECT_EQ(Run({"verify", storage.path()}), 0) << name << "\n" << output_;
    }
}

TEST_F(CmdLog, SaysWhichVersionOfTheFormatItDoesNotKnow)
{
    store_le32(SegmentBytes(disk_, 1) + 8, 77);
    std::memset(SegmentBytes(disk_, 1) + LOG_BLOCK_BYTES, 0x5a, LOG_BLOCK_BYTES);
    Save(1);

    testing::internal::CaptureStderr();
    EXPECT_NE(Run({"verify", storage_.path()}), 0);
    const std::string told = testing::internal::GetCapturedStderr();

    EXPECT_NE(told.find("format version 77"), std::string::npos) << told << output_;
}

TEST_F(CmdLog, TakesTheEndOfAnOpenSegmentForNoDamage)
{
    const BuiltCommit torn = log_.Commit({{0, 4}});
    SegmentBytes(disk_, 1)[torn.position + 20] ^= 1;
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 0) << output_;
    EXPECT_NE(output_.find("not sealed"), std::string::npos) << output_;
}

TEST_F(CmdLog, NamesTheExactBytesOfADamagedBatch)
{
    const struct index_entry batch = log_.Index()[2];
    log_.Seal();
    SegmentBytes(disk_, 1)[batch.position + 70] ^= 1;
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 1);
    const std::string range =
        std::to_string(batch.position) + ".." + std::to_string(batch.position + batch.length_bytes);
    EXPECT_NE(output_.find("DAMAGE at bytes " + range), std::string::npos) << output_;
}

// A lane whose first record went to topic 0 at this offset, and whose second was dropped.
std::string PlacedLane(uint64_t base_offset)
{
    const struct lane_run runs[] = {{1, NATIVE_STORED, 0, base_offset},
                                    {1, NATIVE_DROPPED, LOG_NO_TOPIC, 0}};
    struct lane_item item = {};
    item.state.key = LaneKey(0x1f);
    item.state.epoch = 4;
    item.state.last_sequence = 9;
    item.state.hash = UINT64_MAX;
    item.first_sequence = 8;
    item.run_count = 2;
    std::string out(lane_item_bytes(2), '\0');
    struct sink sink = sink_into(out.data(), out.size());
    lane_item_encode(&item, runs, &sink);
    return out;
}

TEST_F(CmdLog, VerifiesLanesWhoseRecordsAreInTheirCommit)
{
    log_.Lanes({PlacedLane(log_.NextOffset(0) + 1)}).Commit({{0, 2}});
    log_.Lanes({LaneItem(3, 0, 1, {{NATIVE_STORED, 5}}, LANE_CHECKPOINT)}).Commit({});
    log_.Seal();
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 0) << output_;
}

TEST_F(CmdLog, FindsALaneWhoseRecordsAreElsewhere)
{
    log_.Lanes({PlacedLane(log_.NextOffset(0) + 2)}).Commit({{0, 2}});
    log_.Seal();
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 1);
    EXPECT_NE(output_.find("lane's records are not in this commit"), std::string::npos) << output_;
}

TEST_F(CmdLog, FindsACheckpointThatLacksFates)
{
    log_.Lanes({LaneItem(3, 0, 4, {{NATIVE_STORED, 5}}, LANE_CHECKPOINT)}).Commit({});
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 1);
    EXPECT_NE(output_.find("lane without all its fates"), std::string::npos) << output_;
}

TEST_F(CmdLog, FindsALanesEntryThatRotted)
{
    const BuiltCommit commit = log_.Lanes({PlacedLane(log_.NextOffset(0))}).Commit({{0, 2}});
    log_.Seal();
    const struct entry lanes =
        entry_decode(bytes_of(SegmentBytes(disk_, 1) + commit.position, commit.length_bytes), 0);
    SegmentBytes(disk_, 1)[commit.position + lanes.position + 30] ^= 1;
    Save(1);

    EXPECT_EQ(Run({"verify", storage_.path()}), 1);
    EXPECT_NE(output_.find("DAMAGE at bytes " + std::to_string(commit.position + lanes.position)),
              std::string::npos)
        << output_;
}

TEST_F(CmdLog, ShowsLanesWithTheirFatesAndPlaces)
{
    log_.Lanes({PlacedLane(log_.NextOffset(0))}).Commit({{0, 2}});
    Save(1);

    ASSERT_EQ(Run({"inspect", "--entries", storage_.path()}), 0) << output_;
    EXPECT_NE(output_.find("lane 1f000000000000000000000000000000/7: home 0, epoch 4, "
                           "confirmed 0, last 9\n"
                           "      sequences 8..8 stored, topic 0 from offset 7\n"
                           "      sequences 9..9 dropped\n"),
              std::string::npos)
        << output_;

    ASSERT_EQ(Run({"inspect", "--json", storage_.path()}), 0) << output_;
    json_t *const segments = json_loads(output_.c_str(), 0, nullptr);
    ASSERT_NE(segments, nullptr);
    json_t *const commit =
        json_array_get(json_object_get(json_array_get(segments, 0), "commits"), 2);
    EXPECT_EQ(json_integer_value(json_object_get(commit, "lane_checkpoint")), 3);
    json_t *const lane = json_array_get(
        json_object_get(json_array_get(json_object_get(commit, "entries"), 0), "lanes"), 0);
    EXPECT_STREQ(json_string_value(json_object_get(lane, "hash")), "ffffffffffffffff");
    EXPECT_EQ(json_array_size(json_object_get(lane, "fates")), 2U);
    json_decref(segments);
}

// Whichever byte is under a checksum, or says something: verify never calls it good. Padding,
// reserved bytes and what is behind the footer say nothing.
TEST_F(CmdLog, FindsAFlippedBitInEveryBatchHeaderAndDirectory)
{
    log_.Seal();
    uint64_t size = 0;
    uint8_t *const bytes = SegmentBytes(disk_, 1, &size);
    std::vector<uint64_t> positions;
    for (uint64_t i = 0; i < 152; i += 7) { positions.push_back(i); }
    for (uint64_t i = 0; i < 112 + 48 * 3; i += 5) { positions.push_back(LOG_BLOCK_BYTES + i); }
    for (uint64_t i = 0; i < log_.Index()[0].length_bytes; i += 3) {
        positions.push_back(log_.Index()[0].position + i);
    }
    for (uint64_t i = 0; i < 52; i += 3) { positions.push_back(size - LOG_BLOCK_BYTES + i); }

    for (const uint64_t position : positions) {
        bytes[position] ^= 2;
        Save(1);
        bytes[position] ^= 2;
        ASSERT_EQ(Run({"verify", storage_.path()}), 1) << "byte " << position << "\n" << output_;
    }
}

TEST_F(CmdLogPlaces, TakesRetiredSegmentsForNoDamage)
{
    Save(4);
    ASSERT_EQ(unlink(PathOf(1).c_str()), 0);

    EXPECT_EQ(Run({"verify", storage_.path()}), 0) << output_;
}

TEST_F(CmdLogPlaces, FindsAGapBetweenSegments)
{
    Save(4);
    ASSERT_EQ(unlink(PathOf(2).c_str()), 0);

    ExpectDamage("the segment before it is missing");
}

TEST_F(CmdLogPlaces, FindsATrailerThatIsGone)
{
    memset(SegmentBytes(disk_, 3) + log_.Capacity() - LOG_BLOCK_BYTES, 0, LOG_BLOCK_BYTES);
    Save(4);

    ExpectDamage("trailer is missing");
}

TEST_F(CmdLogPlaces, FindsASealThatIsGone)
{
    memset(SegmentBytes(disk_, 3) + footer_.position, 0, log_.Capacity() - footer_.position);
    Save(4);

    ExpectDamage("commits that the next one continues");
}

TEST_F(CmdLogPlaces, FindsAFileOfAnotherLength)
{
    Save(4);
    ASSERT_EQ(truncate(PathOf(2).c_str(), static_cast<off_t>(log_.Capacity()) + LOG_BLOCK_BYTES),
              0);
    ExpectDamage("file is longer than its header says");

    ASSERT_EQ(truncate(PathOf(2).c_str(), static_cast<off_t>(log_.Capacity()) - LOG_BLOCK_BYTES),
              0);
    ExpectDamage("file is cut short");
}

TEST_F(CmdLogPlaces, NamesBothOfTwoSwappedFiles)
{
    Save(4);
    const std::string aside = PathOf(9);
    ASSERT_EQ(rename(PathOf(2).c_str(), aside.c_str()), 0);
    ASSERT_EQ(rename(PathOf(3).c_str(), PathOf(2).c_str()), 0);
    ASSERT_EQ(rename(aside.c_str(), PathOf(3).c_str()), 0);

    ExpectDamage("this is " + SegmentName(3) + " under another name");
    ExpectDamage("this is " + SegmentName(2) + " under another name");
}

TEST_F(CmdLogPlaces, FindsAnotherPartitionsSegment)
{
    Save(4);
    mkdir((storage_ / "part-0007").c_str(), 0755);
    ASSERT_EQ(rename(PathOf(4).c_str(), (storage_ / "part-0007/0000000000000004.segment").c_str()),
              0);

    ExpectDamage("this is " + SegmentName(4) + " under another name");
}

TEST_F(CmdLog, SaysInJsonWhatIsInASegment)
{
    log_.Seal();
    Save(1);

    ASSERT_EQ(Run({"inspect", storage_ / SegmentName(1), "--json"}), 0);

    json_t *const segments = json_loads(output_.c_str(), 0, nullptr);
    ASSERT_EQ(json_array_size(segments), 1U) << output_;
    const json_t *const commits = json_object_get(json_array_get(segments, 0), "commits");
    ASSERT_EQ(json_array_size(commits), 3U);
    EXPECT_EQ(json_integer_value(json_object_get(json_array_get(commits, 0), "records")), 5);
    EXPECT_TRUE(json_is_true(json_object_get(json_array_get(commits, 2), "footer")));
    json_decref(segments);
}

TEST_F(CmdLog, PrintsTopicsByName)
{
    Save(1);

    EXPECT_EQ(Run({"inspect", "--entries", storage_ / "part-0000"}), 0);
    EXPECT_NE(output_.find("topic 1 is payments"), std::string::npos) << output_;
    EXPECT_NE(output_.find("topic 0: offsets 3..6"), std::string::npos) << output_;
}

TEST_F(CmdLog, SaysWhatItCannotRead)
{
    EXPECT_EQ(Run({"verify", storage_ / "nothing-here"}), 66);
    EXPECT_EQ(Run({"verify"}), 64);
    EXPECT_EQ(Run({"burn", storage_.path()}), 64);
}

} // namespace
