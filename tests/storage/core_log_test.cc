#include "storage/core_log.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/storage/log_rig.h"

namespace {

constexpr uint64_t kForever = UINT64_MAX;

/* ------------------------------------------------------------------------------------- layout */

TEST(CoreLog, WritesASegmentHeaderAndACommitThatTheDecodersAccept)
{
    LogRig rig;

    const uint64_t number = rig.MustWrite();
    rig.Settle();

    const LogWalk walk = rig.Walk();
    ASSERT_EQ(walk.segments.size(), 1U);
    const FoundSegment &segment = walk.segments.at(1);
    EXPECT_EQ(segment.header.partition, LogRig::kPartition);
    EXPECT_EQ(segment.header.first_commit_number, 1U);
    EXPECT_EQ(segment.header.predecessor_commit_number, 0U);
    EXPECT_EQ(segment.header.tail_records_max, 1000U * 4U);
    ASSERT_EQ(walk.chain.size(), 1U);
    EXPECT_EQ(walk.chain[0].header.number, number);
    EXPECT_EQ(walk.chain[0].header.rules_epoch, 3U);
    EXPECT_EQ(walk.chain[0].header.length_bytes % LOG_BLOCK_BYTES, 0U);
    EXPECT_EQ(walk.Records(), rig.written);
}

TEST(CoreLog, TheFirstCommitOfASegmentDeclaresEveryTopicAndEveryCommitHasTotals)
{
    LogRig rig;

    rig.MustWrite();
    rig.MustWrite();
    rig.Settle();

    const LogWalk walk = rig.Walk();
    ASSERT_EQ(walk.chain.size(), 2U);
    ASSERT_EQ(walk.chain[0].topics.size(), 2U);
    EXPECT_EQ(walk.chain[0].topics[0].base_offset, 0U);
    EXPECT_EQ(walk.chain[0].topics[0].next_offset, 0U);
    EXPECT_TRUE(walk.chain[1].topics.empty());
    EXPECT_EQ(walk.chain[1].totals.size(), size_t{STATS_COUNTER_COUNT});
}

TEST(CoreLog, TotalsCountTheCommitThatCarriesThemAndThoseBeforeIt)
{
    LogRig rig;
    sim_disk_hold(rig.disk, true); /* nothing is durable when the second is closed */

    rig.MustWrite(/*records=*/3);
    rig.MustWrite(/*records=*/5);
    sim_disk_hold(rig.disk, false);
    rig.Settle();

    const LogWalk walk = rig.Walk();
    ASSERT_EQ(walk.chain.size(), 2U);
    const auto &totals = walk.chain[1].totals;
    EXPECT_EQ(totals[STATS_records_stored], 4U + 6U);
    EXPECT_EQ(totals[STATS_batches_stored], 4U);
    EXPECT_EQ(totals[STATS_commits_durable], 2U);
    EXPECT_EQ(totals[STATS_records_stored], rig.Counter(STATS_records_stored));
    EXPECT_EQ(totals[STATS_records_stored_bytes], rig.Counter(STATS_records_stored_bytes));
    EXPECT_EQ(totals[STATS_commits_durable_bytes], rig.Counter(STATS_commits_durable_bytes));
    EXPECT_EQ(rig.stats->records_in_flight, 0U);
}

TEST(CoreLog, ANewTopicIsWrittenDownWithoutAnyRecord)
{
    LogRig rig;

    rig.Turns(5);

    const LogWalk walk = rig.Walk();
    ASSERT_EQ(walk.chain.size(), 1U);
    EXPECT_EQ(walk.chain[0].header.flags, uint32_t{COMMIT_FLAG_WATERMARK});
    EXPECT_EQ(walk.chain[0].topics.size(), 2U);
    EXPECT_EQ(rig.Index(1)->topic_count, 2U);
}

TEST(CoreLog, ABatchMayFillTheWholeRoom)
{
    LogRig rig;
    rig.Turns(5);
    struct commit_draft draft;
    ASSERT_EQ(rig.Begin(&draft), STATUS_OK);

    rig.AddBatch(&draft, 0, 1, core_log_commit_room(rig.log, 2));
    rig.Submit(&draft);
    rig.Settle();

    EXPECT_EQ(rig.Walk().Records(), rig.written);
}

/* --------------------------------------------------------------------------------- watermark */

TEST(CoreLog, TheWatermarkWaitsForEveryEarlierCommit)
{
    LogRig rig;
    rig.Turns(5);
    const uint64_t before = core_log_durable_number(rig.log);
    sim_disk_swallow_write(rig.disk, sim_disk_write_count(rig.disk) + 1);

    rig.MustWrite();
    rig.MustWrite();
    rig.MustWrite();
    rig.Turns(10);
    EXPECT_EQ(core_log_durable_number(rig.log), before);
    EXPECT_EQ(rig.root->partitions[LogRig::kPartition].durable_number, before);
    sim_disk_release(rig.disk, STATUS_OK);
    rig.Turns(2);

    EXPECT_EQ(core_log_durable_number(rig.log), before + 3);
    EXPECT_EQ(rig.root->partitions[LogRig::kPartition].durable_number, before + 3);
}

TEST(CoreLog, NothingIsDurableBeforeItsSegmentsHeader)
{
    LogRig rig;
    sim_disk_swallow_write(rig.disk, 1); /* the header is the first write */

    rig.MustWrite();
    rig.Turns(10);
    EXPECT_EQ(core_log_durable_number(rig.log), 0U);
    sim_disk_release(rig.disk, STATUS_OK);
    rig.Turns(2);

    EXPECT_EQ(core_log_durable_number(rig.log), 1U);
}

TEST(CoreLog, KeepsSeveralInFlightAndNoMoreThanAllowed)
{
    LogRig rig;
    rig.Turns(5);
    sim_disk_hold(rig.disk, true);

    EXPECT_NE(rig.Write(), 0U);
    EXPECT_NE(rig.Write(), 0U);
    EXPECT_NE(rig.Write(), 0U);
    EXPECT_NE(rig.Write(), 0U);
    struct commit_draft draft;
    EXPECT_EQ(rig.Begin(&draft), STATUS_BUSY);
    EXPECT_EQ(core_log_in_flight(rig.log), 4U);
    EXPECT_EQ(rig.stats->commits_in_flight, 4U);

    sim_disk_hold(rig.disk, false);
    rig.Settle();
}

TEST(CoreLog, ACommitBehindThoseThatMayBeWrittenIsGatheredAndWaits)
{
    LogRig::Options options;
    options.in_flight_max = 3;
    options.at_disk_max = 2;
    LogRig rig(options);
    rig.Turns(5);
    const uint64_t written = sim_disk_write_count(rig.disk);
    sim_disk_hold(rig.disk, true);

    EXPECT_NE(rig.Write(), 0U);
    EXPECT_FALSE(core_log_disk_is_busy(rig.log));
    EXPECT_NE(rig.Write(), 0U);
    EXPECT_TRUE(core_log_disk_is_busy(rig.log));
    EXPECT_NE(rig.Write(), 0U);
    rig.Turns(5);
    struct commit_draft draft;
    EXPECT_EQ(rig.Begin(&draft), STATUS_BUSY);
    EXPECT_EQ(sim_disk_write_count(rig.disk), written + 2);

    sim_disk_hold(rig.disk, false);
    rig.Settle();
    EXPECT_EQ(sim_disk_write_count(rig.disk), written + 3);
    EXPECT_EQ(rig.Walk().Records(), rig.written);
}

TEST(CoreLog, ARingFullOfCommitsInFlightIsBusy)
{
    LogRig::Options options;
    options.in_flight_max = 64;
    options.ring_bytes = 64 * 1024; /* four of the largest */
    LogRig rig(options);
    rig.Turns(5);
    sim_disk_hold(rig.disk, true);

    int taken = 0;
    while (taken < 64 && rig.Write(1, 12 * 1024 / 2) != 0) { taken++; }

    EXPECT_GE(taken, 3);
    EXPECT_LE(taken, 5);
    sim_disk_hold(rig.disk, false);
    rig.Settle();
    EXPECT_EQ(rig.Walk().Records(), rig.written);
}

TEST(CoreLog, RingsTheDoorbellWhenSomethingBecameDurableAndOnlyThen)
{
    LogRig rig;
    rig.Turns(5);
    const uint64_t before = sim_disk_doorbells(rig.disk);

    rig.Turns(10);
    EXPECT_EQ(sim_disk_doorbells(rig.disk), before);
    rig.MustWrite();
    rig.Settle();

    EXPECT_EQ(sim_disk_doorbells(rig.disk), before + 1);
}

TEST(CoreLog, ABackwardWallClockDoesNotMoveCommitsBack)
{
    LogRig rig;
    rig.MustWrite();
    rig.now.wall_ms -= 3'600'000;
    rig.MustWrite();
    rig.Settle();

    const LogWalk walk = rig.Walk();
    EXPECT_GE(walk.chain[1].header.wall_ms, walk.chain[0].header.wall_ms);
}

/* --------------------------------------------------------------------------- live index, ring */

std::vector<struct live_index_line> LinesOf(const struct live_index_header *index)
{
    const auto reader = std::make_unique<struct live_index_reader>();
    std::vector<struct live_index_line> lines;
    struct live_index_line line;
    while (live_index_next(reader.get(), index, index->capacity_bytes, &line) == STATUS_OK) {
        lines.push_back(line);
    }
    EXPECT_FALSE(reader->broken);
    return lines;
}

TEST(CoreLog, TheLiveIndexSaysWhereTheBytesAreOnDiskAndInTheRing)
{
    LogRig rig;
    rig.MustWrite();
    rig.MustWrite();
    rig.Settle();

    struct live_index_header *const index = rig.Index(1);
    const std::vector<FoundEntry> records = rig.Walk().Records();
    const std::vector<struct live_index_line> lines = LinesOf(index);
    ASSERT_EQ(lines.size(), 4U);
    for (size_t i = 0; i < 4; i++) {
        const struct index_entry &indexed = lines[i].entry;
        EXPECT_EQ(indexed.topic, records[i].topic);
        EXPECT_EQ(indexed.base_offset, records[i].base_offset);
        EXPECT_EQ(indexed.position, records[i].position);
        EXPECT_EQ(indexed.check, index_check(records[i].crc32c));
        std::vector<uint8_t> copy(indexed.length_bytes);
        ASSERT_EQ(commit_ring_copy(rig.ring, rig.ring->capacity_bytes, lines[i].ring_position,
                                   copy.size(), copy.data()),
                  STATUS_OK);
        EXPECT_EQ(crc32c(bytes_of(copy.data(), copy.size())), records[i].crc32c);
        EXPECT_GT(lines[i].durable_ns, 0U);
    }
}

TEST(CoreLog, TheRingGivesTheRightBytesOrNoneForever)
{
    LogRig rig;
    for (int i = 0; i < 100; i++) { rig.MustWrite(1, 3000); }
    rig.Settle();

    size_t served = 0;
    for (uint64_t number = 1; number <= rig.Walk().segments.rbegin()->first; number++) {
        struct live_index_header *const index = rig.Index(number);
        for (const struct live_index_line &line : LinesOf(index)) {
            std::vector<uint8_t> copy(line.entry.length_bytes);
            if (commit_ring_copy(rig.ring, rig.ring->capacity_bytes, line.ring_position,
                                 copy.size(), copy.data()) != STATUS_OK) {
                continue;
            }
            EXPECT_EQ(index_check(crc32c(bytes_of(copy.data(), copy.size()))), line.entry.check);
            served++;
        }
    }
    EXPECT_GT(served, 10U);
    EXPECT_LT(served, 200U) << "the ring is smaller than what was written";
}

/* --------------------------------------------------------------------------- roll, seal, finish */

TEST(CoreLog, RollsAndSealsWithAFooterThatHasTheSegmentsIndex)
{
    LogRig rig;
    for (int i = 0; i < 40; i++) { rig.MustWrite(2, 8000); }
    rig.Settle();
    rig.Turns(10);

    const LogWalk walk = rig.Walk();
    ASSERT_GE(walk.segments.size(), 2U);
    EXPECT_EQ(walk.Records(), rig.written);
    const FoundSegment &first = walk.segments.at(1);
    ASSERT_EQ(first.trailer_status, STATUS_OK);
    const FoundCommit &footer = first.commits.back();
    EXPECT_EQ(footer.header.flags, uint32_t{COMMIT_FLAG_FOOTER});
    EXPECT_EQ(first.trailer.footer_position, footer.header.position);
    EXPECT_EQ(first.trailer.footer_number, footer.header.number);
    EXPECT_EQ(first.trailer.footer_length_bytes, footer.header.length_bytes);
    EXPECT_EQ(walk.segments.at(2).header.predecessor_commit_number, footer.header.number);
    EXPECT_EQ(walk.segments.at(2).header.predecessor_commit_crc32c, footer.header.crc32c);
    EXPECT_EQ(footer.topics[0].next_offset, walk.segments.at(2).commits[0].topics[0].base_offset);
    EXPECT_EQ(rig.Counter(STATS_segments_sealed), walk.segments.size() - 1);
}

TEST(CoreLog, AFooterListsEveryBatchOfItsSegmentAtItsOffsetAndPlace)
{
    LogRig rig;
    for (int i = 0; i < 40; i++) { rig.MustWrite(2, 8000); }
    rig.Settle();
    rig.Turns(10);

    const LogWalk walk = rig.Walk();
    std::vector<FoundEntry> stored;
    for (const FoundCommit &commit : walk.segments.at(1).commits) {
        stored.insert(stored.end(), commit.records.begin(), commit.records.end());
    }
    const auto &index = walk.segments.at(1).commits.back().index;
    ASSERT_EQ(index.size(), stored.size());
    for (size_t i = 0; i < index.size(); i++) {
        EXPECT_EQ(index[i].topic, stored[i].topic) << i;
        EXPECT_EQ(index[i].base_offset, stored[i].base_offset) << i;
        EXPECT_EQ(index[i].record_count, stored[i].record_count) << i;
        EXPECT_EQ(index[i].check, index_check(stored[i].crc32c)) << i;
        EXPECT_EQ(index[i].position, stored[i].position) << i;
    }
}

TEST(CoreLog, TheLiveIndexOfASealedSegmentEqualsItsFooter)
{
    LogRig rig;
    for (int i = 0; i < 40; i++) { rig.MustWrite(2, 8000); }
    rig.Settle();
    rig.Turns(10);

    const LogWalk walk = rig.Walk();
    struct live_index_header *const index = rig.Index(1);
    const auto &footer = walk.segments.at(1).commits.back().index;
    EXPECT_EQ(index->state, uint32_t{LIVE_INDEX_SEALED});
    const std::vector<struct live_index_line> lines = LinesOf(index);
    ASSERT_EQ(lines.size(), footer.size());
    for (size_t i = 0; i < footer.size(); i++) {
        const struct index_entry &live = lines[i].entry;
        EXPECT_EQ(live.topic, footer[i].topic) << i;
        EXPECT_EQ(live.base_offset, footer[i].base_offset) << i;
        EXPECT_EQ(live.record_count, footer[i].record_count) << i;
        EXPECT_EQ(live.max_timestamp_ms, footer[i].max_timestamp_ms) << i;
        EXPECT_EQ(live.position, footer[i].position) << i;
        EXPECT_EQ(live.length_bytes, footer[i].length_bytes) << i;
        EXPECT_EQ(live.check, footer[i].check) << i;
    }
}

TEST(CoreLog, RollsWhenTheLiveIndexIsFull)
{
    LogRig::Options options;
    options.index_bytes = 10 * INDEX_BUILDER_LINE_BYTES;
    options.segment_bytes = 4 * 1024 * 1024; /* of which 200 commits fill a fifth */
    options.in_flight_max = 2;
    LogRig rig(options);

    for (int i = 0; i < 200; i++) { rig.MustWrite(1, 100); }
    rig.Settle();
    rig.Turns(10);

    const LogWalk walk = rig.Walk();
    EXPECT_GE(walk.segments.size(), 3U);
    EXPECT_EQ(walk.Records(), rig.written);
}

TEST(CoreLog, RollsByAgeOnceItHoldsRecords)
{
    LogRig::Options options;
    options.segment_age_ns = 50 * uint64_t{NS_PER_MS};
    LogRig rig(options);
    rig.Turns(100);
    EXPECT_EQ(rig.Counter(STATS_segments_sealed), 0U) << "no records: nothing to age";

    rig.MustWrite();
    rig.Settle();
    rig.Turns(5);

    EXPECT_EQ(rig.Counter(STATS_segments_sealed), 1U);
    EXPECT_EQ(rig.root->partitions[LogRig::kPartition].open_segment_number, 0U);
}

TEST(CoreLog, AnIdleLogWritesOneWatermark)
{
    LogRig::Options options;
    options.idle_watermark_ns = 20 * uint64_t{NS_PER_MS};
    LogRig rig(options);
    const uint64_t number = rig.MustWrite();
    rig.Settle();

    rig.Turns(200);

    const LogWalk walk = rig.Walk();
    ASSERT_EQ(walk.LastNumber(), number + 1);
    EXPECT_EQ(walk.chain.back().header.flags, uint32_t{COMMIT_FLAG_WATERMARK});
    EXPECT_EQ(walk.chain.back().header.durable_number, number);
}

TEST(CoreLog, FinishSealsWhatIsOpen)
{
    LogRig rig;
    rig.MustWrite();

    rig.Finish();

    const LogWalk walk = rig.Walk();
    EXPECT_EQ(walk.Records(), rig.written);
    EXPECT_EQ(walk.segments.at(1).trailer_status, STATUS_OK);
    EXPECT_EQ(rig.root->partitions[LogRig::kPartition].open_segment_number, 0U);
    EXPECT_EQ(rig.root->partitions[LogRig::kPartition].durable_number, walk.LastNumber());
}

TEST(CoreLog, FinishWithoutAnythingOpenIsDoneAtOnce)
{
    LogRig::Options options;
    options.topics = {};
    LogRig rig(options);

    core_log_finish(rig.log);

    EXPECT_TRUE(core_log_is_finished(rig.log));
}

TEST(CoreLog, ASupplyThatIsLateIsBusyAndCounted)
{
    LogRig rig;
    rig.Turns(5);
    int written = 0;
    /* Without the helper there is the open segment and one prepared. */
    for (int i = 0; i < 200; i++) {
        if (rig.Write(1, 8000) != 0) { written++; }
        rig.now.mono_ns += NS_PER_MS;
        core_log_turn(rig.log, rig.now);
    }

    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_OK);
    EXPECT_LT(written, 60);
    EXPECT_EQ(rig.Counter(STATS_segments_starved), 1U);
    EXPECT_EQ(rig.Notes()[NOTE_SEGMENT_STARVED], 1);
    EXPECT_NE(rig.MustWrite(), 0U) << "goes on when the helper does";
    rig.Settle();
    EXPECT_EQ(rig.Walk().Records(), rig.written);
}

TEST(CoreLog, OnIoUringAndARealFileSystemTheSameBytesComeToLie)
{
    LogRig::Options options;
    options.on_real_disk = true;
    options.in_flight_max = 8;
    LogRig rig(options);

    for (int i = 0; i < 100; i++) { rig.MustWrite(2, 8000); }
    rig.Settle();
    rig.Finish();

    const LogWalk walk = rig.Walk();
    EXPECT_EQ(walk.Records(), rig.written);
    walk.ExpectChainHolds();
    EXPECT_EQ(walk.segments.rbegin()->second.trailer_status, STATUS_OK);
    EXPECT_GE(rig.Counter(STATS_segments_sealed), 4U);
    EXPECT_EQ(rig.Counter(STATS_log_write_errors), 0U);
}

/* -------------------------------------------------------------------------------------- errors */

TEST(CoreLog, CommitsInFlightAreWrittenAgainAfterARefusedWrite)
{
    LogRig rig;
    rig.Turns(5);
    const uint64_t acknowledged = rig.MustWrite();
    rig.Settle();
    sim_disk_fail_writes(rig.disk, sim_disk_write_count(rig.disk) + 2, 1, STATUS_IO);

    rig.MustWrite(); /* comes back good, but in the same turn: the segment is not believed any more
                      */
    rig.MustWrite(); /* refused */
    rig.MustWrite();
    rig.MustWrite();
    rig.Settle();

    const LogWalk walk = rig.Walk();
    EXPECT_EQ(walk.Records(), rig.written) << "no gap, no repeat, the same numbers";
    EXPECT_EQ(walk.segments.at(2).header.predecessor_commit_number, acknowledged);
    EXPECT_EQ(rig.Counter(STATS_segments_failed), 1U);
    EXPECT_EQ(rig.Counter(STATS_commits_rewritten), 4U);
    EXPECT_EQ(rig.Counter(STATS_log_write_errors), 1U);
    EXPECT_EQ(rig.Index(1)->state, uint32_t{LIVE_INDEX_FAILED});
    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_OK);
    EXPECT_EQ(walk.segments.at(2).commits[0].topics.size(), 2U);
}

TEST(CoreLog, ClosesWhenTheNextSegmentFailsTooAndReopensByItself)
{
    LogRig rig;
    rig.Turns(5);
    sim_disk_fail_writes(rig.disk, sim_disk_write_count(rig.disk) + 1, kForever, STATUS_NO_SPACE);
    rig.MustWrite();
    rig.MustWrite();
    rig.Turns(50);

    struct commit_draft draft;
    EXPECT_EQ(rig.Begin(&draft), STATUS_CLOSED);
    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_NO_SPACE);
    const struct root_partition &slot = rig.root->partitions[LogRig::kPartition];
    EXPECT_EQ(slot.state, uint32_t{ROOT_LOG_CLOSED});
    EXPECT_EQ(slot.why, uint32_t{STATUS_NO_SPACE});
    EXPECT_EQ(core_log_durable_number(rig.log), 1U);
    EXPECT_EQ(rig.Notes()[NOTE_LOG_CLOSED], 1);

    rig.Turns(3000); /* three probes, all refused */
    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_NO_SPACE);
    sim_disk_fail_writes(rig.disk, 0, 0, STATUS_OK);
    rig.Turns(1100);

    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_OK);
    EXPECT_EQ(slot.state, uint32_t{ROOT_LOG_OPEN});
    EXPECT_EQ(rig.Notes()[NOTE_LOG_REOPENED], 1);
    rig.MustWrite();
    rig.Settle();
    EXPECT_EQ(rig.Walk().Records(), rig.written);
    EXPECT_LE(rig.Walk().segments.size(), 3U) << "probes that failed leave no files";
}

TEST(CoreLog, ClosesWhenNoSegmentCanBeMadeAndReopensWhenThereIsSpace)
{
    LogRig rig;
    rig.MustWrite();
    rig.Settle();
    sim_disk_refuse_creates(rig.disk, STATUS_NO_SPACE);
    for (int i = 0; i < 400; i++) {
        rig.Write(1, 8000);
        rig.Turn();
    }
    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_NO_SPACE);

    sim_disk_refuse_creates(rig.disk, STATUS_OK);
    rig.Turns(2500);

    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_OK);
    rig.MustWrite();
    rig.Settle();
    EXPECT_EQ(rig.Walk().Records(), rig.written);
}

TEST(CoreLog, StaysClosedThoughOlderCommitsBecomeDurable)
{
    LogRig rig;
    rig.Turns(5);
    sim_disk_refuse_creates(rig.disk, STATUS_NO_SPACE);
    struct commit_draft draft;
    enum status status = STATUS_OK;
    for (int i = 0; i < 400 && status != STATUS_CLOSED; i++) {
        sim_disk_hold(rig.disk, i % 8 != 0); /* some are always in flight */
        rig.Write(1, 8000);
        rig.Turn();
        status = rig.Begin(&draft);
    }
    ASSERT_EQ(status, STATUS_CLOSED);
    ASSERT_GT(core_log_in_flight(rig.log), 0U);

    sim_disk_hold(rig.disk, false);
    rig.Turns(20);

    EXPECT_EQ(core_log_in_flight(rig.log), 0U);
    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_NO_SPACE);
    EXPECT_EQ(rig.Notes()[NOTE_LOG_REOPENED], 0);
}

TEST(CoreLog, ALostTrailerFailsTheSegmentButNothingIsWrittenAgain)
{
    LogRig rig;
    rig.MustWrite();
    rig.Settle();
    sim_disk_fail_writes(rig.disk, sim_disk_write_count(rig.disk) + 2, 1, STATUS_IO);

    rig.Finish(); /* the footer, then the trailer */

    EXPECT_EQ(rig.Counter(STATS_segments_failed), 1U);
    EXPECT_EQ(rig.Counter(STATS_commits_rewritten), 0U);
    EXPECT_EQ(rig.Walk().Records(), rig.written);
}

TEST(CoreLog, ALostFooterIsReplacedSoThatNumbersStay)
{
    LogRig rig;
    uint64_t last = rig.MustWrite();
    rig.Settle();
    const uint64_t footer_write = sim_disk_write_count(rig.disk) + 1;
    sim_disk_fail_writes(rig.disk, footer_write, 1, STATUS_IO);

    rig.Finish();

    const LogWalk walk = rig.Walk();
    EXPECT_EQ(walk.Records(), rig.written);
    ASSERT_EQ(walk.LastNumber(), last + 2) << "the watermark in its place, and the next footer";
    EXPECT_EQ(walk.chain[walk.chain.size() - 2].header.flags, uint32_t{COMMIT_FLAG_WATERMARK});
    EXPECT_EQ(walk.chain.back().header.flags, uint32_t{COMMIT_FLAG_FOOTER});
    EXPECT_EQ(walk.segments.rbegin()->second.trailer_status, STATUS_OK);
}

/* Fails the n-th write for every n until a whole run passes untouched. */
TEST(CoreLog, SurvivesARefusalOfEverySingleWrite)
{
    uint64_t n = 1;
    for (; n < 1000; n++) {
        SCOPED_TRACE(testing::Message() << "write " << n);
        LogRig::Options options;
        options.seed = n;
        options.delay_reaps_max = 3;
        LogRig rig(options);
        sim_disk_fail_writes(rig.disk, n, 1, STATUS_IO);

        for (int i = 0; i < 60; i++) { rig.MustWrite(2, 6000); }
        rig.Settle();
        rig.Finish();

        const LogWalk walk = rig.Walk();
        walk.ExpectChainHolds();
        ASSERT_EQ(walk.Records(), rig.written);
        ASSERT_EQ(rig.Counter(STATS_records_stored), 60U * 3U);
        ASSERT_EQ(rig.stats->records_in_flight, 0U);
        if (sim_disk_write_count(rig.disk) < n) { break; }
    }
    EXPECT_LT(n, 1000U);
    EXPECT_GT(n, 60U);
}

/* ----------------------------------------------------------------------------------- property */

class CoreLogSeeds : public testing::TestWithParam<uint64_t> {};

/* Whatever the disk does, at every turn: all that is said to be durable is on the disk, in order,
 * once; and after a power cut it still is. */
TEST_P(CoreLogSeeds, TheWatermarkNeverRunsAheadOfTheDisk)
{
    std::mt19937_64 random(GetParam());
    LogRig::Options options;
    options.seed = GetParam();
    options.delay_reaps_max = static_cast<uint32_t>(random() % 8);
    options.in_flight_max = 1 + static_cast<uint32_t>(random() % 8);
    options.idle_watermark_ns = (random() % 2) * 5 * NS_PER_MS;
    options.segment_age_ns = (random() % 3) * 2 * NS_PER_MS;
    options.disk_depth = random() % 4; /* 0: no limit */
    LogRig rig(options);

    for (int step = 0; step < 400; step++) {
        if (random() % 40 == 0) {
            sim_disk_fail_writes(rig.disk, sim_disk_write_count(rig.disk) + 1 + random() % 4,
                                 1 + random() % 3, random() % 2 ? STATUS_IO : STATUS_NO_SPACE);
        }
        if (random() % 80 == 0) {
            sim_disk_refuse_creates(rig.disk, random() % 2 ? STATUS_OK : STATUS_NO_SPACE);
        }
        if (random() % 3 != 0) {
            rig.Write(1 + static_cast<uint32_t>(random() % 9), 8 + random() % 9000);
        }
        const uint64_t durable = rig.Turn();
        const LogWalk walk = rig.Walk();
        ASSERT_GE(walk.LastNumber(), durable) << "seed " << GetParam() << " step " << step;
        ASSERT_EQ(walk.Records(durable), rig.WrittenUpTo(durable)) << "seed " << GetParam();
    }

    const uint64_t durable = core_log_durable_number(rig.log);
    struct sim_disk *const after = sim_disk_after_crash(rig.disk, GetParam());
    EXPECT_EQ(LogWalk(after, LogRig::kPartition).Records(durable), rig.WrittenUpTo(durable))
        << "seed " << GetParam();
    sim_disk_destroy(after);

    sim_disk_fail_writes(rig.disk, 0, 0, STATUS_OK);
    sim_disk_refuse_creates(rig.disk, STATUS_OK);
    rig.Turns(2500); /* a closed log probes, and so does the supply */
    rig.Settle();
    EXPECT_EQ(core_log_closed_why(rig.log), STATUS_OK);
    rig.Finish();
    const LogWalk walk = rig.Walk();
    EXPECT_EQ(walk.Records(), rig.written) << "seed " << GetParam();
    walk.ExpectChainHolds();
    EXPECT_EQ(sim_disk_in_flight(rig.disk), 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CoreLogSeeds, testing::Range<uint64_t>(1, 101));

} // namespace
