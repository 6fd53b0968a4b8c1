#include <algorithm>

#include "tests/serve/node.h"

namespace {

using namespace serve_test;

constexpr uint64_t kMs = 1000 * 1000;

struct FetchTest : testing::Test {
    Node node;

    FetchTest()
    {
        fake_reader_set_partitions(node.reader, 3);
        fake_reader_add_topic(node.reader, "events", Id(1));
    }

    // Ten records a batch, in one of the partitions.
    void Append(uint32_t partition, size_t value_bytes, bool in_ring = true)
    {
        fake_reader_append(node.reader, 0, partition, 10, 1000, 1, value_bytes, in_ring);
    }
    Bytes Batch(uint32_t partition, uint64_t offset)
    {
        return Copy(fake_reader_batch(node.reader, 0, partition, offset));
    }
    std::vector<Fetched> FetchNow(const std::vector<Wanted> &wanted, FetchOptions options = {})
    {
        Request request(node, Fetch("events", wanted, options));
        request.Finish();
        EXPECT_EQ(request.turn, KAFKA_TURN_DONE);
        return ReadFetched(request.Answer(), options.version);
    }
};

Bytes operator+(Bytes left, const Bytes &right)
{
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

TEST_F(FetchTest, SendsTheBatchThatHoldsTheOffsetAndAllBehindIt)
{
    Append(0, 50);
    Append(0, 50);
    Append(0, 50);

    const auto fetched = FetchNow({{0, 13}});

    ASSERT_EQ(fetched.size(), 1U);
    EXPECT_EQ(fetched[0].records, Batch(0, 10) + Batch(0, 20));
    EXPECT_EQ(fetched[0].high_watermark, 30);
}

TEST_F(FetchTest, SendsTheFirstBatchWholeHoweverSmallTheLimits)
{
    Append(0, 5000);
    Append(0, 5000);
    FetchOptions options;
    options.bytes_max = 10;

    const auto fetched = FetchNow({{0, 0, 10}}, options);

    EXPECT_EQ(fetched[0].records, Batch(0, 0));
}

TEST_F(FetchTest, SendsNoBatchThatPassesThePartitionsLimitBehindTheFirst)
{
    Append(0, 500);
    Append(0, 500);
    Append(0, 500);
    const int32_t two_batches = int32_t(Batch(0, 0).size() + Batch(0, 10).size());

    EXPECT_EQ(FetchNow({{0, 0, two_batches}})[0].records, Batch(0, 0) + Batch(0, 10));
    EXPECT_EQ(FetchNow({{0, 0, two_batches - 1}})[0].records, Batch(0, 0));
}

TEST_F(FetchTest, ListsPartitionsThatNoLongerFitWithTheirWatermarkAndNoRecords)
{
    Append(0, 500);
    Append(1, 500);
    FetchOptions options;
    options.bytes_max = int32_t(Batch(0, 0).size());

    const auto fetched = FetchNow({{0, 0}, {1, 0}, {2, 0}}, options);

    ASSERT_EQ(fetched.size(), 3U);
    EXPECT_EQ(fetched[0].records, Batch(0, 0));
    EXPECT_TRUE(fetched[1].records.empty());
    EXPECT_EQ(fetched[1].high_watermark, 10);
    EXPECT_EQ(fetched[2].high_watermark, 0);
}

TEST_F(FetchTest, ParksUntilThereIsDataAndThenAnswers)
{
    FetchOptions options;
    options.wait_ms = 500;
    Request request(node, Fetch("events", {{0, 0}}, options), /*now_ns=*/100 * kMs);
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);
    EXPECT_EQ(request.request.deadline_ns, 600 * kMs);
    request.Resume(200 * kMs);
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);

    Append(0, 50);
    request.Resume(300 * kMs);

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    EXPECT_EQ(ReadFetched(request.Answer())[0].records, Batch(0, 0));
}

TEST_F(FetchTest, AnswersWithoutRecordsWhenItsTimeIsOver)
{
    FetchOptions options;
    options.wait_ms = 500;
    Request request(node, Fetch("events", {{0, 0}}, options), 100 * kMs);
    request.Resume(600 * kMs - 1);
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);

    request.Resume(600 * kMs);

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    const auto fetched = ReadFetched(request.Answer());
    EXPECT_TRUE(fetched[0].records.empty());
    EXPECT_EQ(fetched[0].high_watermark, 0);
}

TEST_F(FetchTest, WaitsForMinBytesOverAllPartitions)
{
    FetchOptions options;
    options.wait_ms = 500;
    Append(0, 100);
    const int32_t batch_bytes = int32_t(Batch(0, 0).size());
    options.bytes_min = 2 * batch_bytes;
    Request request(node, Fetch("events", {{0, 0}, {1, 0}}, options));
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);

    Append(1, 100);
    request.Resume(1);

    EXPECT_EQ(request.turn, KAFKA_TURN_DONE);
}

TEST_F(FetchTest, AnErrorInOnePartitionIsToldAtOnce)
{
    FetchOptions options;
    options.wait_ms = 500;

    Request request(node, Fetch("events", {{0, 0}, {7, 0}}, options));

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    const auto fetched = ReadFetched(request.Answer());
    EXPECT_EQ(fetched[0].error, KAFKA_NONE);
    EXPECT_EQ(fetched[1].error, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}

TEST_F(FetchTest, AnOffsetOutsideTheLogIsOutOfRangeAndItsEndsAreNot)
{
    Append(0, 50);
    Append(0, 50);
    fake_reader_set_log_start(node.reader, 0, 0, 10);

    const auto fetched = FetchNow({{0, 9}, {0, 10}, {0, 20}, {0, 21}, {0, -1}});

    EXPECT_EQ(fetched[0].error, KAFKA_OFFSET_OUT_OF_RANGE);
    EXPECT_EQ(fetched[1].error, KAFKA_NONE);
    EXPECT_EQ(fetched[2].error, KAFKA_NONE);
    EXPECT_EQ(fetched[3].error, KAFKA_OFFSET_OUT_OF_RANGE);
    EXPECT_EQ(fetched[4].error, KAFKA_OFFSET_OUT_OF_RANGE);
    EXPECT_EQ(node.Count(SERVE_fetches_out_of_range), 3U);
}

TEST_F(FetchTest, BeyondAnEndThatCannotBeSeenIsNeverOutOfRange)
{
    Append(0, 50);
    fake_reader_set_complete(node.reader, false);

    EXPECT_EQ(FetchNow({{0, 11}})[0].error, KAFKA_NOT_LEADER_OR_FOLLOWER);
    EXPECT_EQ(FetchNow({{0, 10}})[0].error, KAFKA_NONE);
}

TEST_F(FetchTest, SkipsAGapToTheNextBatch)
{
    Append(0, 50);
    fake_reader_skip_to(node.reader, 0, 0, 100);
    Append(0, 50);

    const auto fetched = FetchNow({{0, 10}});

    EXPECT_EQ(fetched[0].records, Batch(0, 100));
    EXPECT_EQ(fetched[0].high_watermark, 110);
}

TEST_F(FetchTest, GoesOnOverColdAndRingBatchesInOneAnswer)
{
    Append(0, 50, /*in_ring=*/false);
    Append(0, 50, false);
    Append(0, 50, true);

    Request request(node, Fetch("events", {{0, 0}, {0, 0}}));
    ASSERT_EQ(request.turn, KAFKA_TURN_READING);
    request.Finish();

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    const auto fetched = ReadFetched(request.Answer());
    const Bytes all = Batch(0, 0) + Batch(0, 10) + Batch(0, 20);
    EXPECT_EQ(fetched[0].records, all);
    EXPECT_EQ(fetched[1].records, all);
    EXPECT_EQ(fake_reader_cold_reads(node.reader), 2U); // the second partition's from the cache
    EXPECT_EQ(node.Count(SERVE_batches_from_cache), 2U);
}

TEST_F(FetchTest, ReadsABatchFromDiskThatJustLeftTheRing)
{
    Append(0, 50);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_STALE, STATUS_OK);

    EXPECT_EQ(FetchNow({{0, 0}})[0].records, Batch(0, 0));
    EXPECT_EQ(node.Count(SERVE_ring_reads_stale), 1U);
    EXPECT_EQ(fake_reader_cold_reads(node.reader), 1U);
}

TEST_F(FetchTest, ABatchThatIsSpoiltInTheRingIsReadFromDisk)
{
    Append(0, 50);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_CORRUPT, STATUS_OK);

    const auto fetched = FetchNow({{0, 0}});

    EXPECT_EQ(fetched[0].records, Batch(0, 0));
    EXPECT_EQ(node.Count(SERVE_reads_corrupt), 1U);
    EXPECT_EQ(node.Count(SERVE_fenced_batches), 0U);
}

TEST_F(FetchTest, PassesOverRotAndServesWhatLiesBeforeAndBehindIt)
{
    Append(0, 50, false);
    Append(0, 50, false);
    Append(0, 50, false);
    fake_reader_set_fault(node.reader, 0, 0, 10, STATUS_OK, STATUS_CORRUPT);

    const auto from_before = FetchNow({{0, 0}});
    const auto from_inside = FetchNow({{0, 13}});

    EXPECT_EQ(from_before[0].error, KAFKA_NONE);
    EXPECT_EQ(from_before[0].records, Batch(0, 0) + Batch(0, 20));
    EXPECT_EQ(from_before[0].high_watermark, 30);
    EXPECT_EQ(from_inside[0].records, Batch(0, 20));
}

TEST_F(FetchTest, ReadsRotTwiceAndThenNamesItAndCountsItOnce)
{
    Append(0, 50, false);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_CORRUPT);
    const std::string bytes = std::to_string(Batch(0, 0).size());
    testing::internal::CaptureStderr();

    FetchNow({{0, 0}});
    FetchNow({{0, 0}});

    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("part-0000 segment 1 is damaged: the " + bytes + " bytes at 0 "),
              std::string::npos)
        << said;
    EXPECT_NE(said.find("offsets 0 to 9 of topic events"), std::string::npos) << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);
    EXPECT_EQ(node.Count(SERVE_fenced_batches), 1U);
    EXPECT_EQ(fake_reader_cold_reads(node.reader), 2U);
}

TEST_F(FetchTest, RotWithNothingBehindItWaitsForWhatComesNext)
{
    Append(0, 50, false);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_CORRUPT);
    FetchOptions options;
    options.wait_ms = 500;
    Request request(node, Fetch("events", {{0, 3}, {1, 0}}, options), 100 * kMs);
    request.Finish();
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);
    EXPECT_EQ(request.request.deadline_ns, 600 * kMs);
    request.Resume(200 * kMs);
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);

    Append(0, 50);
    request.Resume(300 * kMs);

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    const auto fetched = ReadFetched(request.Answer());
    ASSERT_EQ(fetched.size(), 2U);
    EXPECT_EQ(fetched[0].records, Batch(0, 10));
    EXPECT_EQ(fetched[0].high_watermark, 20);
}

TEST_F(FetchTest, RotWithNothingBehindItIsAnEmptyAnswerWhenTheTimeIsOver)
{
    Append(0, 50, false);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_CORRUPT);
    FetchOptions options;
    options.wait_ms = 500;
    Request request(node, Fetch("events", {{0, 0}}, options), 100 * kMs);
    request.Finish();
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);

    request.Resume(600 * kMs);

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    const auto fetched = ReadFetched(request.Answer());
    EXPECT_EQ(fetched[0].error, KAFKA_NONE);
    EXPECT_TRUE(fetched[0].records.empty());
    EXPECT_EQ(fetched[0].high_watermark, 10);
}

TEST_F(FetchTest, MoreRotThanIsRememberedIsStillPassedOver)
{
    for (int i = 0; i < FENCES_MAX + 2; i++) {
        Append(0, 1, false);
        fake_reader_set_fault(node.reader, 0, 0, uint64_t(i) * 10, STATUS_OK, STATUS_CORRUPT);
    }
    Append(0, 50, false);
    testing::internal::CaptureStderr(); // a line a batch

    const auto fetched = FetchNow({{0, 0}});

    testing::internal::GetCapturedStderr();
    EXPECT_EQ(fetched[0].records, Batch(0, (FENCES_MAX + 2) * 10));
    EXPECT_EQ(node.Count(SERVE_fenced_batches), uint64_t{FENCES_MAX} + 2);
}

TEST_F(FetchTest, ABatchThatTheDiskRefusesIsAStorageErrorOfThatPartitionAlone)
{
    Append(0, 50, false);
    Append(1, 50);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_IO);

    const auto fetched = FetchNow({{0, 0}, {1, 0}});

    EXPECT_EQ(fetched[0].error, KAFKA_STORAGE_ERROR);
    EXPECT_EQ(fetched[0].high_watermark, -1);
    EXPECT_TRUE(fetched[0].records.empty());
    EXPECT_EQ(fetched[1].records, Batch(1, 0));
    EXPECT_EQ(node.Count(SERVE_reads_failed), 1U);
}

TEST_F(FetchTest, BeforeAnUnreadableBatchTheGoodOnesAreSent)
{
    Append(0, 50, false);
    Append(0, 50, false);
    fake_reader_set_fault(node.reader, 0, 0, 10, STATUS_OK, STATUS_IO);

    const auto first = FetchNow({{0, 0}});
    const auto second = FetchNow({{0, 10}});

    EXPECT_EQ(first[0].error, KAFKA_NONE);
    EXPECT_EQ(first[0].records, Batch(0, 0));
    EXPECT_EQ(second[0].error, KAFKA_STORAGE_ERROR);
}

TEST_F(FetchTest, OldVersionsHearNotLeaderInsteadOfAStorageError)
{
    Append(0, 50, false);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_IO);
    FetchOptions options;
    options.version = 5;

    EXPECT_EQ(FetchNow({{0, 0}}, options)[0].error, KAFKA_NOT_LEADER_OR_FOLLOWER);
}

TEST_F(FetchTest, ASegmentThatRetentionTookMeanwhileIsOutOfRange)
{
    Append(0, 50, false);
    Append(0, 50, false);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_NOT_FOUND);
    Request request(node, Fetch("events", {{0, 0}}));
    ASSERT_EQ(request.turn, KAFKA_TURN_READING);

    fake_reader_set_log_start(node.reader, 0, 0, 10);
    request.Finish();

    EXPECT_EQ(ReadFetched(request.Answer())[0].error, KAFKA_OFFSET_OUT_OF_RANGE);
}

TEST_F(FetchTest, RetentionBetweenWatermarkAndLookupIsOutOfRangeAndNoSilentSkip)
{
    Append(0, 50);
    Append(0, 50);
    fake_reader_retire_at_find(node.reader, 10);

    const auto fetched = FetchNow({{0, 5}});

    EXPECT_EQ(fetched[0].error, KAFKA_OFFSET_OUT_OF_RANGE);
    EXPECT_TRUE(fetched[0].records.empty());
}

TEST_F(FetchTest, RecordsThatBecomeVisibleWhileItReadsAreLeftToTheNextFetch)
{
    Append(0, 50, false);
    Request request(node, Fetch("events", {{0, 0}}));
    ASSERT_EQ(request.turn, KAFKA_TURN_READING);

    Append(0, 50);
    request.Finish();

    const auto fetched = ReadFetched(request.Answer());
    EXPECT_EQ(fetched[0].high_watermark, 10);
    EXPECT_EQ(fetched[0].records, Batch(0, 0));
}

TEST_F(FetchTest, AnEndedRequestLeavesItsColdReadToTheCache)
{
    Append(0, 50, false);
    {
        Request request(node, Fetch("events", {{0, 0}}));
        ASSERT_EQ(request.turn, KAFKA_TURN_READING);
    }
    void *owner = this;
    ASSERT_TRUE(cold_reader_step(node.catalog.cold));
    ASSERT_TRUE(catalog_take_finished(&node.catalog, &owner));

    EXPECT_EQ(owner, nullptr);
    EXPECT_EQ(node.stats.answer_bytes_held, 0U);
}

TEST_F(FetchTest, AFullColdQueueIsAStorageErrorAndNotAHang)
{
    Node small(/*cache_bytes=*/0, /*queue_max=*/1);
    fake_reader_add_topic(small.reader, "events", Id(1));
    fake_reader_append(small.reader, 0, 0, 1, 0, 0, 10, false);
    Request first(small, Fetch("events", {{0, 0}}));
    ASSERT_EQ(first.turn, KAFKA_TURN_READING);

    Request second(small, Fetch("events", {{0, 0}}));

    ASSERT_EQ(second.turn, KAFKA_TURN_DONE);
    EXPECT_EQ(ReadFetched(second.Answer())[0].error, KAFKA_STORAGE_ERROR);
}

TEST_F(FetchTest, WaitsWhileTheMemoryOfAllAnswersIsUsedUp)
{
    Append(0, 50);
    FetchOptions options;
    options.wait_ms = 500;
    node.stats.answer_bytes_held = KAFKA_ANSWERS_BYTES_MAX;
    Request request(node, Fetch("events", {{0, 0}}, options));
    ASSERT_EQ(request.turn, KAFKA_TURN_PARKED);

    node.stats.answer_bytes_held -= KAFKA_ANSWERS_BYTES_MAX;
    request.Resume(1);

    ASSERT_EQ(request.turn, KAFKA_TURN_DONE);
    EXPECT_EQ(ReadFetched(request.Answer())[0].records, Batch(0, 0));
    EXPECT_EQ(node.Count(SERVE_fetches_held_for_memory), 1U);
}

TEST_F(FetchTest, NoAnswerHoldsMoreRecordsThanTheServersCap)
{
    for (int i = 0; i < 24; i++) {
        fake_reader_append(node.reader, 0, 0, 1, 1000, 1, (1 << 20) - 200, true);
    }
    FetchOptions options;
    options.bytes_max = INT32_MAX;

    const auto fetched = FetchNow({{0, 0, INT32_MAX}}, options);

    EXPECT_LE(fetched[0].records.size(), size_t{KAFKA_FETCH_BYTES_MAX});
    EXPECT_GT(fetched[0].records.size(), size_t{KAFKA_FETCH_BYTES_MAX} - (1 << 20));
}

TEST_F(FetchTest, RefusesMorePartitionsThanAnyNodeHas)
{
    const std::vector<Wanted> wanted(16385, Wanted{0, 0});

    Request request(node, Fetch("events", wanted));

    EXPECT_EQ(request.turn, KAFKA_TURN_CLOSE);
}

TEST_F(FetchTest, ZstdNeedsVersion10AndAllElseIsSentToEveryVersion)
{
    fake_reader_set_codec(node.reader, RECORD_CODEC_LZ4);
    Append(0, 200);
    fake_reader_set_codec(node.reader, RECORD_CODEC_ZSTD);
    Append(1, 200);
    for (int16_t version : {4, 9}) {
        FetchOptions options;
        options.version = version;
        const auto fetched = FetchNow({{0, 0}, {1, 0}}, options);

        ASSERT_EQ(fetched.size(), 2U);
        EXPECT_EQ(fetched[0].error, KAFKA_NONE) << version;
        EXPECT_EQ(fetched[0].records, Batch(0, 0)) << version;
        EXPECT_EQ(fetched[1].error, KAFKA_UNSUPPORTED_COMPRESSION_TYPE) << version;
        EXPECT_TRUE(fetched[1].records.empty()) << version;
    }
    for (int16_t version : {10, 11}) {
        FetchOptions options;
        options.version = version;
        const auto fetched = FetchNow({{1, 0}}, options);

        ASSERT_EQ(fetched.size(), 1U);
        EXPECT_EQ(fetched[0].error, KAFKA_NONE) << version;
        EXPECT_EQ(fetched[0].records, Batch(1, 0)) << version;
    }
}

TEST_F(FetchTest, AnOldClientGetsWhatStandsBeforeZstdAndThenTheError)
{
    Append(0, 200);
    fake_reader_set_codec(node.reader, RECORD_CODEC_ZSTD);
    Append(0, 200);

    EXPECT_EQ(FetchNow({{0, 0}})[0].records, Batch(0, 0));
    EXPECT_EQ(FetchNow({{0, 0}})[0].error, KAFKA_NONE);
    EXPECT_EQ(FetchNow({{0, 10}})[0].error, KAFKA_UNSUPPORTED_COMPRESSION_TYPE);
}

} // namespace
