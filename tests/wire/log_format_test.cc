#include "wire/log_format.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/endian.h"

namespace {

struct log_id IdOf(uint8_t fill)
{
    struct log_id id;
    std::memset(id.bytes, fill, sizeof id.bytes);
    return id;
}

struct segment_header Header()
{
    struct segment_header header = {};
    header.cluster_id = IdOf(1);
    header.log_id = IdOf(2);
    header.nonce = IdOf(3);
    header.partition = 7;
    header.leader_epoch = 9;
    header.number = 23;
    header.capacity_bytes = 1 << 20;
    header.incarnation = 5;
    header.first_commit_number = 1000;
    header.predecessor_nonce = IdOf(4);
    header.predecessor_commit_number = 999;
    header.predecessor_commit_crc32c = 0xABCD;
    header.created_wall_ms = -1;
    header.tail_records_max = 4096;
    return header;
}

// One commit of one entry, 100 bytes of 'x', in a block.
class Commit {
  public:
    Commit()
    {
        std::memset(bytes + 176, 'x', 100);
        struct entry entry = {};
        entry.type = ENTRY_RECORDS;
        entry.topic = 1;
        entry.base_offset = 50;
        entry.record_count = 3;
        entry.position = 176;
        entry.length_bytes = 100;
        entry.crc32c = crc32c(bytes_of(bytes + 176, 100));
        entry_encode(&entry, bytes, 0);
        Close(4096, 1);
    }
    void Close(uint32_t length_bytes, uint32_t entry_count)
    {
        struct commit_header header = {};
        header.log_id = IdOf(2);
        header.nonce = IdOf(3);
        header.number = 12;
        header.previous_crc32c = 0x1234;
        header.entry_count = entry_count;
        header.length_bytes = length_bytes;
        header.durable_number = 11;
        header.wall_ms = 1700;
        header.position = 8192;
        header.lane_checkpoint = 9;
        crc = commit_header_encode(&header, bytes);
    }
    // Changes a directory line and mends the commit's checksum.
    void SetEntry(const struct entry &entry)
    {
        entry_encode(&entry, bytes, 0);
        Close(4096, 1);
    }
    enum status Decode(size_t len_bytes = 4096)
    {
        return commit_header_decode(bytes_of(bytes, len_bytes), &header);
    }

    alignas(8) uint8_t bytes[8192] = {};
    uint32_t crc = 0;
    struct commit_header header = {};
};

TEST(SegmentHeader, ComesBackAsItWasWritten)
{
    uint8_t block[LOG_BLOCK_BYTES];
    const struct segment_header written = Header();
    struct segment_header read = {};

    segment_header_encode(&written, block);

    ASSERT_EQ(segment_header_decode(bytes_of(block, sizeof block), &read), STATUS_OK);
    EXPECT_EQ(read.partition, 7U);
    EXPECT_EQ(read.number, 23U);
    EXPECT_EQ(read.created_wall_ms, -1);
    EXPECT_EQ(read.tail_records_max, 4096U);
    EXPECT_EQ(read.predecessor_commit_crc32c, 0xABCDU);
    EXPECT_TRUE(log_id_equal(read.predecessor_nonce, IdOf(4)));
}

TEST(SegmentHeader, RefusesEveryFlippedBit)
{
    uint8_t block[LOG_BLOCK_BYTES];
    const struct segment_header written = Header();
    struct segment_header read;
    segment_header_encode(&written, block);

    for (size_t bit = 0; bit < 256 * 8; bit++) {
        block[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
        ASSERT_NE(segment_header_decode(bytes_of(block, sizeof block), &read), STATUS_OK) << bit;
        block[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
    }
}

TEST(SegmentHeader, TellsAPreparedSegmentAndANewerFormat)
{
    uint8_t block[LOG_BLOCK_BYTES] = {};
    struct segment_header read;
    EXPECT_EQ(segment_header_decode(bytes_of(block, sizeof block), &read), STATUS_NOT_FOUND);
    EXPECT_EQ(segment_header_decode(bytes_of(block, 255), &read), STATUS_TRUNCATED);

    const struct segment_header written = Header();
    segment_header_encode(&written, block);
    store_le32(block + 8, LOG_FORMAT_VERSION + 1);
    EXPECT_EQ(segment_header_decode(bytes_of(block, sizeof block), &read), STATUS_UNSUPPORTED);
}

// The tables of docs/log-format.md, held against the bytes.
TEST(SegmentHeader, LiesInTheFileAsDocumented)
{
    uint8_t block[LOG_BLOCK_BYTES];
    const struct segment_header written = Header();
    segment_header_encode(&written, block);

    EXPECT_EQ(std::memcmp(block, "PENSTSEG", 8), 0);
    EXPECT_EQ(load_le32(block + 12), crc32c(bytes_of(block + 16, 240)));
    EXPECT_EQ(block[48], 3);
    EXPECT_EQ(load_le64(block + 72), 23U);
    EXPECT_EQ(load_le64(block + 120), 999U);
    EXPECT_EQ(load_le64(block + 144), 4096U);
}

TEST(CommitHeader, ComesBackWithItsIdentity)
{
    Commit commit;

    ASSERT_EQ(commit.Decode(), STATUS_OK);
    EXPECT_EQ(commit.header.crc32c, commit.crc);
    EXPECT_EQ(commit.header.number, 12U);
    EXPECT_EQ(commit.header.previous_crc32c, 0x1234U);
    EXPECT_EQ(commit.header.position, 8192U);
    EXPECT_EQ(commit.header.lane_checkpoint, 9U);
    const struct entry entry = entry_decode(bytes_of(commit.bytes, 4096), 0);
    EXPECT_EQ(entry.base_offset, 50U);
    struct bytes payload;
    EXPECT_EQ(entry_bytes(bytes_of(commit.bytes, 4096), &entry, &payload), STATUS_OK);
    EXPECT_EQ(payload.len_bytes, 100U);
}

TEST(CommitHeader, RefusesEveryFlippedBitOfHeaderAndDirectory)
{
    Commit commit;

    for (size_t bit = 0; bit < 176 * 8; bit++) {
        commit.bytes[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
        ASSERT_NE(commit.Decode(), STATUS_OK) << bit;
        commit.bytes[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
    }
}

TEST(CommitHeader, WantsTheWholeDirectory)
{
    Commit commit;

    EXPECT_EQ(commit.Decode(127), STATUS_TRUNCATED);
    EXPECT_EQ(commit.Decode(175), STATUS_TRUNCATED);
    EXPECT_EQ(commit.Decode(176), STATUS_OK);
}

TEST(CommitHeader, BoundsEveryEntryInsideTheCommit)
{
    Commit commit;
    struct entry entry = entry_decode(bytes_of(commit.bytes, 4096), 0);

    entry.position = 4096 - 100;
    commit.SetEntry(entry);
    EXPECT_EQ(commit.Decode(), STATUS_OK) << "up to the last byte";
    entry.position++;
    commit.SetEntry(entry);
    EXPECT_EQ(commit.Decode(), STATUS_CORRUPT) << "one beyond";
    entry.position = 175;
    commit.SetEntry(entry);
    EXPECT_EQ(commit.Decode(), STATUS_CORRUPT) << "inside the directory";
    entry.position = UINT32_MAX;
    entry.length_bytes = UINT32_MAX;
    commit.SetEntry(entry);
    EXPECT_EQ(commit.Decode(), STATUS_CORRUPT) << "wrapping around";
}

TEST(EntryBytes, RefusesADamagedPayload)
{
    Commit commit;
    const struct entry entry = entry_decode(bytes_of(commit.bytes, 4096), 0);
    struct bytes payload;
    commit.bytes[200] ^= 1;

    EXPECT_EQ(entry_bytes(bytes_of(commit.bytes, 4096), &entry, &payload), STATUS_CORRUPT);
    EXPECT_EQ(entry_bytes(bytes_of(commit.bytes, 275), &entry, &payload), STATUS_TRUNCATED);
}

std::vector<uint8_t> Declarations(const std::vector<std::string> &names)
{
    std::vector<uint8_t> out(4096);
    struct sink sink = sink_into(out.data(), out.size());
    for (size_t i = 0; i < names.size(); i++) {
        struct topic_declaration topic = {};
        topic.topic = static_cast<int32_t>(i);
        topic.base_offset = 10;
        topic.next_offset = 10 + i;
        topic.name = bytes_of_text(names[i].c_str());
        topic_declaration_encode(&topic, &sink);
    }
    out.resize(sink_used_bytes(&sink));
    return out;
}

TEST(TopicDeclaration, ComesBackOneAfterTheOther)
{
    const std::vector<uint8_t> encoded = Declarations({"a", "payments"});
    struct bytes entry = bytes_of(encoded.data(), encoded.size());
    struct topic_declaration topic;

    ASSERT_EQ(topic_declaration_decode(&entry, &topic), STATUS_OK);
    EXPECT_TRUE(bytes_equal_text(topic.name, "a"));
    ASSERT_EQ(topic_declaration_decode(&entry, &topic), STATUS_OK);
    EXPECT_TRUE(bytes_equal_text(topic.name, "payments"));
    EXPECT_EQ(topic.next_offset, 11U);
    EXPECT_EQ(topic_declaration_decode(&entry, &topic), STATUS_NOT_FOUND);
}

TEST(TopicDeclaration, IsTruncatedAtEveryShorterLength)
{
    const std::vector<uint8_t> encoded = Declarations({"payments"});
    struct topic_declaration topic;

    for (size_t len = 1; len < encoded.size(); len++) {
        struct bytes entry = bytes_of(encoded.data(), len);
        ASSERT_EQ(topic_declaration_decode(&entry, &topic), STATUS_TRUNCATED) << len;
    }
}

TEST(TopicDeclaration, RefusesNumbersAndOffsetsOutOfOrder)
{
    std::vector<uint8_t> encoded = Declarations({"payments"});
    struct topic_declaration topic;
    struct bytes entry = bytes_of(encoded.data(), encoded.size());

    store_le32(encoded.data(), LOG_TOPICS_MAX);
    EXPECT_EQ(topic_declaration_decode(&entry, &topic), STATUS_CORRUPT);
    store_le32(encoded.data(), 0);
    store_le64(encoded.data() + 24, 11);
    EXPECT_EQ(topic_declaration_decode(&entry, &topic), STATUS_CORRUPT);
}

TEST(TopicId, DependsOnClusterNameAndIncarnationAndIsAVersion4Uuid)
{
    const struct bytes name = bytes_of_text("events");
    const struct log_id id = topic_id_of(IdOf(1), name, 0);

    EXPECT_TRUE(log_id_equal(id, topic_id_of(IdOf(1), name, 0)));
    EXPECT_FALSE(log_id_equal(id, topic_id_of(IdOf(2), name, 0)));
    EXPECT_FALSE(log_id_equal(id, topic_id_of(IdOf(1), name, 1)));
    EXPECT_EQ(id.bytes[6] >> 4, 4);
    EXPECT_EQ(id.bytes[8] >> 6, 2);
}

TEST(SegmentTrailer, ComesBackAndRefusesEveryFlippedBit)
{
    uint8_t block[LOG_BLOCK_BYTES];
    struct segment_trailer written = {};
    written.nonce = IdOf(3);
    written.footer_position = 40960;
    written.footer_number = 77;
    written.footer_length_bytes = 8192;
    struct segment_trailer read = {};
    segment_trailer_encode(&written, block);

    ASSERT_EQ(segment_trailer_decode(bytes_of(block, sizeof block), &read), STATUS_OK);
    EXPECT_EQ(read.footer_position, 40960U);
    EXPECT_EQ(read.footer_length_bytes, 8192U);
    for (size_t bit = 0; bit < 64 * 8; bit++) {
        block[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
        ASSERT_NE(segment_trailer_decode(bytes_of(block, sizeof block), &read), STATUS_OK) << bit;
        block[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
    }
}

TEST(LogName, IsReadBackInOneSpellingOnly)
{
    char name[LOG_NAME_BYTES];
    uint64_t number = 0;
    uint32_t partition = 0;
    log_segment_name(3, 23, name);

    EXPECT_STREQ(name, "part-0003/0000000000000017.segment");
    EXPECT_TRUE(log_segment_name_parse("0000000000000017.segment", &number));
    EXPECT_EQ(number, 23U);
    EXPECT_FALSE(log_segment_name_parse("000000000000001G.segment", &number));
    EXPECT_FALSE(log_segment_name_parse("0000000000000017.segment.draft", &number));
    EXPECT_FALSE(log_segment_name_parse("17.segment", &number));
    EXPECT_TRUE(log_directory_name_parse("part-0003", &partition));
    EXPECT_EQ(partition, 3U);
    EXPECT_FALSE(log_directory_name_parse("part-3", &partition));
    EXPECT_FALSE(log_directory_name_parse("part-0003x", &partition));
}

} // namespace
