#include "wire/index_chunk.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "wire/live_index.h"

namespace {

struct index_entry Entry(uint64_t base_offset, uint32_t records, uint64_t position,
                         int64_t timestamp_ms = 1000, uint32_t length = 200)
{
    struct index_entry entry = {};
    entry.record_count = records;
    entry.base_offset = base_offset;
    entry.max_timestamp_ms = timestamp_ms;
    entry.position = position;
    entry.length_bytes = length;
    entry.check = static_cast<uint16_t>(position * 7 + length);
    return entry;
}

std::vector<uint8_t> Encode(const std::vector<struct index_entry> &entries,
                            uint64_t base_offset = 0)
{
    struct index_anchor anchor = {};
    anchor.base_offset = base_offset;
    struct index_state state = index_chunk_begin(&anchor);
    std::vector<uint8_t> bytes(entries.size() * INDEX_LINE_BYTES_MAX);
    struct sink out = sink_into(bytes.data(), bytes.size());
    for (const struct index_entry &entry : entries) { index_line_encode(&state, &entry, &out); }
    EXPECT_FALSE(out.overflowed);
    bytes.resize(sink_used_bytes(&out));
    return bytes;
}

std::vector<struct index_entry> Decode(const std::vector<uint8_t> &bytes, enum status *end,
                                       uint64_t base_offset = 0)
{
    struct index_anchor anchor = {};
    anchor.base_offset = base_offset;
    struct index_state state = index_chunk_begin(&anchor);
    struct cursor in = cursor_over(bytes_of(bytes.data(), bytes.size()));
    std::vector<struct index_entry> entries;
    struct index_entry entry = {};
    while ((*end = index_line_decode(&state, &in, &entry)) == STATUS_OK) {
        entries.push_back(entry);
    }
    return entries;
}

void ExpectSame(const std::vector<struct index_entry> &found,
                const std::vector<struct index_entry> &written)
{
    ASSERT_EQ(found.size(), written.size());
    for (size_t i = 0; i < found.size(); i++) {
        EXPECT_EQ(found[i].record_count, written[i].record_count) << i;
        EXPECT_EQ(found[i].base_offset, written[i].base_offset) << i;
        EXPECT_EQ(found[i].max_timestamp_ms, written[i].max_timestamp_ms) << i;
        EXPECT_EQ(found[i].position, written[i].position) << i;
        EXPECT_EQ(found[i].length_bytes, written[i].length_bytes) << i;
        EXPECT_EQ(found[i].check, written[i].check) << i;
    }
}

TEST(IndexLine, GivesBackWhatWasWrittenAtEveryBound)
{
    const uint64_t last_position = INT64_MAX - INT64_MAX % INDEX_POSITION_UNIT_BYTES;
    const std::vector<struct index_entry> written = {
        Entry(0, 1, 0, INT64_MIN, 1),
        Entry(1, 1, last_position, INT64_MAX, LOG_COMMIT_BYTES_MAX),
        Entry(2, INT32_MAX, 8, INT64_MIN, 61),
        Entry(uint64_t{1} << 62, 1, 4096, 0, 62),
        Entry(INT64_MAX - 1, 1, last_position, -1, LOG_COMMIT_BYTES_MAX),
    };
    enum status end;

    ExpectSame(Decode(Encode(written), &end), written);
    EXPECT_EQ(end, STATUS_NOT_FOUND);
}

TEST(IndexLine, GivesBackWhateverAWriterMayWrite)
{
    std::mt19937_64 random(1);
    for (int round = 0; round < 2000; round++) {
        std::vector<struct index_entry> written;
        uint64_t offset = random() >> (4 + random() % 60);
        const uint64_t base_offset = offset;
        for (int i = 0; i < 20; i++) {
            offset += random() % 3 == 0 ? random() % 100000 : 0;
            const auto records = static_cast<uint32_t>(1 + (random() >> (34 + random() % 29)));
            if (offset > uint64_t{INT64_MAX} - records) { break; }
            written.push_back(Entry(offset, records, random() >> 5 << 3,
                                    static_cast<int64_t>(random()),
                                    1 + static_cast<uint32_t>(random() % LOG_COMMIT_BYTES_MAX)));
            offset += records;
        }
        enum status end;
        ExpectSame(Decode(Encode(written, base_offset), &end, base_offset), written);
        ASSERT_EQ(end, STATUS_NOT_FOUND);
    }
}

TEST(IndexLine, TakesEightBytesWhereATopicGoesOnAsItDid)
{
    std::vector<struct index_entry> steady;
    for (uint64_t i = 0; i < INDEX_CHUNK_LINES_MAX; i++) {
        const uint32_t records = 5 + i % 3;
        steady.push_back(Entry(i * 7, records, 4096 + i * 1048576 + (i % 5) * 800,
                               1'700'000'000'000 + static_cast<int64_t>(i) * 570,
                               61 + records * 161));
    }
    for (size_t i = 1; i < steady.size(); i++) {
        steady[i].base_offset = steady[i - 1].base_offset + steady[i - 1].record_count;
    }

    EXPECT_LE(Encode(steady).size(), 8 * steady.size());
}

TEST(IndexLine, RefusesEveryCut)
{
    const std::vector<uint8_t> whole = Encode({Entry(100, 3, 8192, -5, 5000)}, 7);
    for (size_t cut = 1; cut < whole.size(); cut++) {
        enum status end;
        const std::vector<uint8_t> part(whole.begin(), whole.begin() + static_cast<long>(cut));
        EXPECT_TRUE(Decode(part, &end, 7).empty());
        EXPECT_EQ(end, STATUS_CORRUPT) << cut;
    }
}

TEST(IndexLine, RefusesWhatNoBatchCanBe)
{
    const auto line = [](uint64_t count_and_gap, uint64_t gap, int64_t length, int64_t position) {
        std::vector<uint8_t> bytes(64);
        struct sink out = sink_into(bytes.data(), bytes.size());
        sink_uvarint64(&out, count_and_gap);
        if ((count_and_gap & 1) != 0) { sink_uvarint64(&out, gap); }
        sink_varint64(&out, length);
        sink_varint64(&out, position);
        sink_varint64(&out, 0);
        sink_zeros(&out, 2);
        bytes.resize(sink_used_bytes(&out));
        enum status end;
        return Decode(bytes, &end).size();
    };
    EXPECT_EQ(line(2, 0, 100, 1), 1U) << "one that can";
    EXPECT_EQ(line(0, 0, 100, 1), 0U) << "no records";
    EXPECT_EQ(line(UINT64_C(1) << 33, 0, 100, 1), 0U) << "too many records";
    EXPECT_EQ(line(3, UINT64_MAX, 100, 1), 0U) << "offsets beyond the last";
    EXPECT_EQ(line(3, INT64_MAX, 100, 1), 0U) << "the record itself beyond the last";
    EXPECT_EQ(line(2, 0, 0, 1), 0U) << "no bytes";
    EXPECT_EQ(line(2, 0, -1, 1), 0U) << "fewer than none";
    EXPECT_EQ(line(2, 0, LOG_COMMIT_BYTES_MAX + 1, 1), 0U) << "longer than a commit";
    EXPECT_EQ(line(2, 0, INT64_MIN, 1), 0U);
    EXPECT_EQ(line(2, 0, 100, -1), 0U) << "in front of the file";
    EXPECT_EQ(line(2, 0, 100, INT64_MAX), 0U) << "behind any file";
}

TEST(IndexAnchor, LiesInTheFileAsDocumented)
{
    const struct index_anchor anchor = {3, 128, 16, 700, 0xC4C3C2C1, 10, 500, -2, 480, 9999};
    struct index_anchor_wire wire;
    struct index_anchor read;
    index_anchor_encode(&anchor, &wire);

    const auto *const at = reinterpret_cast<const uint8_t *>(&wire);
    EXPECT_EQ(at[0], 3);
    EXPECT_EQ(at[4], 128);
    EXPECT_EQ(at[8], 16);
    EXPECT_EQ(load_le32(at + 12), 700U);
    EXPECT_EQ(at[16], 0xC1);
    EXPECT_EQ(load_le64(at + 24), 10U);
    EXPECT_EQ(load_le64(at + 32), 500U);
    EXPECT_EQ(load_le64(at + 40), UINT64_MAX - 1);
    EXPECT_EQ(load_le64(at + 48), 480U);
    EXPECT_EQ(load_le64(at + 56), 9999U);
    ASSERT_EQ(index_anchor_decode(&wire, 716, &read), STATUS_OK);
    EXPECT_EQ(read.max_timestamp_ms, -2);
    EXPECT_EQ(read.batch_bytes, 9999U);
}

TEST(IndexAnchor, RefusesWhatNoChunkCanBe)
{
    const struct index_anchor good = {3, 2, 16, 700, 1, 10, 500, -2, 480, 9999};
    const auto decodes = [](const struct index_anchor &anchor, uint64_t index_bytes = 716) {
        struct index_anchor_wire wire;
        struct index_anchor read;
        index_anchor_encode(&anchor, &wire);
        return index_anchor_decode(&wire, index_bytes, &read) == STATUS_OK;
    };
    EXPECT_TRUE(decodes(good));
    EXPECT_FALSE(decodes(good, 715)) << "leaves the index";
    struct index_anchor bad = good;
    bad.topic = LOG_TOPICS_MAX;
    EXPECT_FALSE(decodes(bad));
    bad = good;
    bad.line_count = 0;
    EXPECT_FALSE(decodes(bad));
    bad.line_count = INDEX_CHUNK_LINES_MAX + 1;
    EXPECT_FALSE(decodes(bad));
    bad = good;
    bad.next_offset = bad.base_offset;
    EXPECT_FALSE(decodes(bad));
    bad = good;
    bad.record_count = 491;
    EXPECT_FALSE(decodes(bad)) << "more records than offsets";
    bad = good;
    bad.batch_bytes = 2 * uint64_t{LOG_COMMIT_BYTES_MAX} + 1;
    EXPECT_FALSE(decodes(bad));
}

// ------------------------------------------------------------------------------- live index

class LiveIndex : public testing::Test {
  protected:
    static constexpr uint32_t kCapacity = 4096;

    LiveIndex() : memory_(live_index_file_bytes(kCapacity))
    {
        live_index_init(Index(), kCapacity);
        live_index_writer_init(writer_.get(), Index());
    }
    struct live_index_header *Index()
    {
        return reinterpret_cast<struct live_index_header *>(memory_.data());
    }
    void Write(int32_t topic, uint64_t base_offset, uint64_t position, uint64_t ring_ahead)
    {
        struct index_entry entry = Entry(base_offset, 2, position);
        entry.topic = topic;
        live_index_group_begin(writer_.get());
        live_index_group_add(writer_.get(), &entry);
        live_index_group_end(writer_.get(), ring_ahead);
    }
    enum status Next() { return live_index_next(reader_.get(), Index(), kCapacity, &line_); }

    struct Aligned {
        explicit Aligned(size_t bytes)
            : at(static_cast<uint8_t *>(std::aligned_alloc(4096, (bytes / 4096 + 1) * 4096)))
        {
            std::memset(at, 0, (bytes / 4096 + 1) * 4096);
        }
        ~Aligned() { std::free(at); }
        uint8_t *data() const { return at; }
        uint8_t *at;
    } memory_;
    std::unique_ptr<struct live_index_writer> writer_ =
        std::make_unique<struct live_index_writer>();
    std::unique_ptr<struct live_index_reader> reader_ =
        std::make_unique<struct live_index_reader>();
    struct live_index_line line_ = {};
};

TEST_F(LiveIndex, ShowsALineOnceItIsPublishedAndNotBefore)
{
    Write(7, 10, 8192, 1000);
    Write(7, 12, 16384, 2000);
    EXPECT_EQ(Next(), STATUS_NOT_FOUND);

    live_index_publish(writer_.get(), 42);
    ASSERT_EQ(Next(), STATUS_OK);
    EXPECT_EQ(line_.entry.topic, 7);
    EXPECT_EQ(line_.entry.base_offset, 10U);
    EXPECT_EQ(line_.ring_position, 8192U + 1000);
    EXPECT_EQ(line_.durable_ns, 42U);
    EXPECT_EQ(Next(), STATUS_NOT_FOUND);

    live_index_publish(writer_.get(), 43);
    ASSERT_EQ(Next(), STATUS_OK);
    EXPECT_EQ(line_.entry.base_offset, 12U);
    EXPECT_EQ(line_.ring_position, 16384U + 2000);
}

TEST_F(LiveIndex, StopsForGoodWhereItMakesNoSense)
{
    Write(7, 10, 8192, 1000);
    live_index_publish(writer_.get(), 42);
    live_index_groups(Index())[sizeof(struct live_index_group)] = 0xFF; // the topic
    live_index_groups(Index())[sizeof(struct live_index_group) + 1] = 0xFF;

    EXPECT_EQ(Next(), STATUS_CORRUPT);
    EXPECT_EQ(Next(), STATUS_CORRUPT);
}

TEST_F(LiveIndex, NeverReadsBehindItsMapping)
{
    Index()->published_bytes = UINT64_MAX;
    auto *const group = reinterpret_cast<struct live_index_group *>(live_index_groups(Index()));
    group->line_count = UINT32_MAX;
    group->lines_bytes = UINT32_MAX;
    EXPECT_EQ(Next(), STATUS_CORRUPT);

    *reader_ = {};
    group->lines_bytes = kCapacity - sizeof *group;
    EXPECT_EQ(Next(), STATUS_CORRUPT) << "zeros are no line";
}

} // namespace
