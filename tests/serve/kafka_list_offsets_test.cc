#include "tests/serve/node.h"

namespace {

using namespace serve_test;

constexpr int64_t kMaxTimestamp = -3;

struct Listed {
    int16_t error;
    int64_t timestamp_ms;
    int64_t offset;
};

struct ListOffsetsTest : testing::Test {
    Node node;

    ListOffsetsTest() { fake_reader_add_topic(node.reader, "events", Id(1)); }

    // Four records a batch, a millisecond apart.
    void Append(int64_t first_ms, int64_t step_ms = 1, bool in_ring = true)
    {
        fake_reader_append(node.reader, 0, 0, 4, first_ms, step_ms, 20, in_ring);
    }

    // Version 4: not flexible, with a leader epoch.
    Listed List(int64_t timestamp_ms, int16_t version = 4)
    {
        Frame frame(KAFKA_LIST_OFFSETS, version);
        frame.I32(-1);
        if (version >= 2) { frame.I8(0); }
        frame.I32(1).Text("events").I32(1).I32(0);
        if (version >= 4) { frame.I32(-1); }
        Request request(node, frame.I64(timestamp_ms).bytes);
        request.Finish();
        EXPECT_EQ(request.turn, KAFKA_TURN_DONE);

        const Bytes answer = request.Answer();
        struct cursor in = cursor_over(View(answer));
        cursor_skip(&in, version >= 2 ? 12 : 8); // length, correlation id, throttle
        cursor_skip(&in, 4 + 2 + 6 + 4 + 4);     // one topic, its name, one partition, its index
        Listed out;
        out.error = int16_t(cursor_be16(&in));
        out.timestamp_ms = int64_t(cursor_be64(&in));
        out.offset = int64_t(cursor_be64(&in));
        EXPECT_FALSE(in.overran);
        return out;
    }

    // The greatest timestamp, asked for as version 7 (flexible).
    Listed ListMax()
    {
        Frame frame(KAFKA_LIST_OFFSETS, 7);
        frame.I8(0).I32(-1).I8(0);
        frame.I8(2).I8(7);
        for (const char c : std::string("events")) { frame.I8(c); }
        frame.I8(2).I32(0).I32(-1).I64(kMaxTimestamp).I8(0).I8(0).I8(0);
        Request request(node, frame.bytes);
        request.Finish();
        EXPECT_EQ(request.turn, KAFKA_TURN_DONE);

        const Bytes answer = request.Answer();
        struct cursor in = cursor_over(View(answer));
        cursor_skip(&in, 8 + 1 + 4 + 1 + 7 + 1 + 4);
        Listed out;
        out.error = int16_t(cursor_be16(&in));
        out.timestamp_ms = int64_t(cursor_be64(&in));
        out.offset = int64_t(cursor_be64(&in));
        return out;
    }
};

TEST_F(ListOffsetsTest, ATimestampIsExactToTheRecord)
{
    Append(1000);
    Append(2000);

    EXPECT_EQ(List(999).offset, 0);
    EXPECT_EQ(List(1000).offset, 0);
    EXPECT_EQ(List(1001).offset, 1);
    EXPECT_EQ(List(1003).offset, 3);
    EXPECT_EQ(List(1004).offset, 4);
    EXPECT_EQ(List(1004).timestamp_ms, 2000);
    EXPECT_EQ(List(2003).offset, 7);
    EXPECT_EQ(List(2004).offset, -1);
    EXPECT_EQ(List(2004).timestamp_ms, -1);
    EXPECT_EQ(List(2004).error, KAFKA_NONE);
}

TEST_F(ListOffsetsTest, TimestampsThatGoBackAreSearchedByOffset)
{
    Append(5000);
    Append(1000);

    EXPECT_EQ(List(1000).offset, 0);
    EXPECT_EQ(List(5003).offset, 3);
    EXPECT_EQ(List(5004).offset, -1);
}

TEST_F(ListOffsetsTest, ATimestampInAColdBatchIsReadFromDisk)
{
    Append(1000, 1, /*in_ring=*/false);

    EXPECT_EQ(List(1002).offset, 2);
    EXPECT_EQ(fake_reader_cold_reads(node.reader), 1U);
}

TEST_F(ListOffsetsTest, ABatchThatCannotBeReadIsAStorageError)
{
    Append(1000, 1, false);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_IO);

    EXPECT_EQ(List(1002).error, KAFKA_STORAGE_ERROR);
    EXPECT_EQ(List(1002).offset, -1);
}

TEST_F(ListOffsetsTest, ATimestampInRotIsFoundBehindIt)
{
    Append(1000, 1, false);
    Append(2000, 1, false);
    Append(500, 1, false);
    Append(3000, 1, false);
    const int64_t rotten = List(2000).offset;
    const int64_t behind = List(3000).offset;
    fake_reader_set_fault(node.reader, 0, 0, uint64_t(rotten), STATUS_OK, STATUS_CORRUPT);
    block_cache_destroy(node.catalog.cache);
    node.catalog.cache = block_cache_create(0);

    EXPECT_EQ(List(2000).error, KAFKA_NONE);
    EXPECT_EQ(List(2000).offset, behind);
    EXPECT_EQ(List(2000).timestamp_ms, 3000);
    EXPECT_EQ(List(1000).offset, 0);
    EXPECT_EQ(node.Count(SERVE_fenced_batches), 1U);
}

TEST_F(ListOffsetsTest, ATimestampInTheLastBatchIsNowhereWhenThatIsRot)
{
    Append(1000, 1, false);
    fake_reader_set_fault(node.reader, 0, 0, 0, STATUS_OK, STATUS_CORRUPT);

    EXPECT_EQ(List(1000).error, KAFKA_NONE);
    EXPECT_EQ(List(1000).offset, -1);
}

TEST_F(ListOffsetsTest, TheGreatestTimestampInRotIsTheIndexs)
{
    Append(1000, 1, false);
    Append(2000, 0, false);
    const int64_t rotten = List(2000).offset;
    fake_reader_set_fault(node.reader, 0, 0, uint64_t(rotten), STATUS_OK, STATUS_CORRUPT);
    block_cache_destroy(node.catalog.cache);
    node.catalog.cache = block_cache_create(0);

    EXPECT_EQ(ListMax().timestamp_ms, 2000);
    EXPECT_EQ(ListMax().offset, rotten);
    EXPECT_EQ(ListMax().error, KAFKA_NONE);
}

TEST_F(ListOffsetsTest, LatestIsNotToldWhileTheEndCannotBeSeen)
{
    Append(1000);
    fake_reader_set_complete(node.reader, false);

    EXPECT_EQ(List(-1, 4).error, KAFKA_LEADER_NOT_AVAILABLE);
    EXPECT_EQ(List(-1, 5).error, KAFKA_OFFSET_NOT_AVAILABLE);
    EXPECT_EQ(List(-2).error, KAFKA_NONE);
}

TEST_F(ListOffsetsTest, TheGreatestTimestampIsFoundWhereTimeGoesBack)
{
    Append(1000);
    Append(9000);
    Append(9003, 0);
    Append(3000);
    Append(8000);

    EXPECT_EQ(ListMax().timestamp_ms, 9003);
    EXPECT_EQ(ListMax().offset, 7);
}

TEST_F(ListOffsetsTest, AnEmptyPartitionHasNoGreatestTimestamp)
{
    EXPECT_EQ(ListMax().offset, -1);
    EXPECT_EQ(ListMax().error, KAFKA_NONE);
}

TEST_F(ListOffsetsTest, AGreatestTimestampAtTheEndOfTimeEndsTheSearch)
{
    Append(INT64_MAX, 0);

    EXPECT_EQ(ListMax().timestamp_ms, INT64_MAX);
    EXPECT_EQ(ListMax().offset, 0);
}

TEST_F(ListOffsetsTest, LooksIntoCompressedBatches)
{
    for (enum record_codec codec : {RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD}) {
        const int64_t first_ms = 1000 * codec;
        fake_reader_set_codec(node.reader, codec);
        fake_reader_append(node.reader, 0, 0, 4, first_ms, 10, 200, true);
        const Listed listed = List(first_ms + 11);
        EXPECT_EQ(listed.error, KAFKA_NONE);
        EXPECT_EQ(listed.timestamp_ms, first_ms + 20);
        EXPECT_EQ(listed.offset, codec == RECORD_CODEC_LZ4 ? 2 : 6);
    }
}

} // namespace
