#include "storage/segment_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace {

constexpr uint32_t BATCHES = 3 * INDEX_CHUNK_LINES_MAX + 7;
constexpr uint64_t BATCH_BYTES = 800;

// Two topics in turn, two records a batch with a hole of one behind every tenth; a group of one
// millisecond a pair.
class SegmentIndex : public ::testing::Test {
  protected:
    SegmentIndex()
    {
        segment_index_init(&index_, UINT64_C(1) << 30);
        uint64_t position = LOG_BLOCK_BYTES;
        uint64_t offset = 0;
        for (uint32_t i = 0; i < BATCHES; i++) {
            for (int32_t topic = 1; topic <= 2; topic++) {
                struct index_entry entry = {};
                entry.topic = topic;
                entry.record_count = 2;
                entry.base_offset = offset;
                entry.max_timestamp_ms = 1000 + (i * 37) % 100;
                entry.position = position;
                entry.length_bytes = BATCH_BYTES;
                EXPECT_EQ(segment_index_append(&index_, &entry, position + 4096, DurableNs(i)),
                          STATUS_OK);
                if (topic == 1) { written_.push_back(entry); }
                position += BATCH_BYTES;
            }
            offset += i % 10 == 9 ? 3 : 2;
        }
    }
    ~SegmentIndex() override { segment_index_deinit(&index_); }

    static uint64_t DurableNs(uint32_t batch) { return (batch + 1) * UINT64_C(1'000'000); }

    struct segment_index index_ = {};
    std::vector<struct index_entry> written_; // of topic 1
};

bool HasBytesBefore(const void *bytes, const struct batch_entry *, uint64_t bytes_before)
{
    return bytes_before >= *static_cast<const uint64_t *>(bytes);
}

bool IsDurableSince(const void *since_ns, const struct batch_entry *batch, uint64_t)
{
    return batch->durable_ns >= *static_cast<const uint64_t *>(since_ns);
}

TEST_F(SegmentIndex, AWalkMeetsEveryBatchOfTheTopicOnce)
{
    struct segment_index_walk walk = segment_index_walk_begin(&index_, 1, 0);
    struct batch_entry batch;
    for (size_t i = 0; i < written_.size(); i++) {
        ASSERT_TRUE(segment_index_walk_next(&walk, &batch)) << i;
        ASSERT_EQ(batch.base_offset, written_[i].base_offset);
        ASSERT_EQ(batch.position, written_[i].position);
        ASSERT_EQ(batch.durable_ns, DurableNs(static_cast<uint32_t>(i)));
        ASSERT_EQ(walk.bytes_before, (i + 1) * BATCH_BYTES);
    }
    EXPECT_FALSE(segment_index_walk_next(&walk, &batch));
    walk = segment_index_walk_begin(&index_, 1, written_.back().base_offset + 2);
    EXPECT_FALSE(segment_index_walk_next(&walk, &batch));
    walk = segment_index_walk_begin(&index_, 77, 0);
    EXPECT_FALSE(segment_index_walk_next(&walk, &batch));
}

TEST_F(SegmentIndex, AWalkFromAnOffsetMissesNothingBehindIt)
{
    for (const struct index_entry &wanted : written_) {
        struct segment_index_walk walk = segment_index_walk_begin(&index_, 1, wanted.base_offset);
        struct batch_entry batch;
        ASSERT_TRUE(segment_index_walk_next(&walk, &batch));
        ASSERT_LE(batch.base_offset, wanted.base_offset);
        while (batch.base_offset < wanted.base_offset) {
            ASSERT_TRUE(segment_index_walk_next(&walk, &batch));
        }
        ASSERT_EQ(batch.base_offset, wanted.base_offset);
    }
}

TEST_F(SegmentIndex, TheFirstThatIsThereIsFoundInWhicheverChunkItIs)
{
    struct batch_entry batch;
    for (uint32_t i = 0; i < BATCHES; i++) {
        const uint64_t bytes = i * BATCH_BYTES;
        ASSERT_TRUE(segment_index_find_first(&index_, 1, HasBytesBefore, &bytes, &batch));
        ASSERT_EQ(batch.base_offset, written_[i].base_offset) << i;
        const uint64_t since_ns = DurableNs(i) - 1;
        ASSERT_TRUE(segment_index_find_first(&index_, 1, IsDurableSince, &since_ns, &batch));
        ASSERT_EQ(batch.base_offset, written_[i].base_offset) << i;
    }
    const uint64_t beyond = BATCHES * BATCH_BYTES;
    EXPECT_FALSE(segment_index_find_first(&index_, 1, HasBytesBefore, &beyond, &batch));
    const uint64_t none = 0;
    EXPECT_FALSE(segment_index_find_first(&index_, 77, HasBytesBefore, &none, &batch));
}

TEST_F(SegmentIndex, TheLastIsTheOneThatWasAppendedLast)
{
    struct batch_entry batch;
    ASSERT_TRUE(segment_index_find_last(&index_, 1, &batch));
    EXPECT_EQ(batch.base_offset, written_.back().base_offset);
    EXPECT_FALSE(segment_index_find_last(&index_, 77, &batch));
}

TEST_F(SegmentIndex, ATimestampIsFoundInWhatEndsBehindTheOffset)
{
    for (size_t i = 0; i < written_.size(); i++) {
        const uint64_t offset = written_[i].base_offset + 1; // inside: this batch counts
        const struct index_chunk *const chunk = segment_index_chunk_of_offset(&index_, 1, offset);
        ASSERT_NE(chunk, nullptr);
        const auto expected = std::find_if(
            written_.begin() + static_cast<std::ptrdiff_t>(i), written_.end(),
            [](const struct index_entry &each) { return each.max_timestamp_ms >= 1090; });
        struct batch_entry batch;
        const bool found = segment_index_find_timestamp(&index_, chunk, offset, 1090, &batch);
        const bool is_here =
            expected != written_.end() && expected->base_offset < chunk->next_offset;
        ASSERT_EQ(found, is_here) << i;
        if (found) { ASSERT_EQ(batch.base_offset, expected->base_offset) << i; }
    }
}

} // namespace
