#include "wire/record_batch.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/crc32c.h"

namespace {

using Bytes = std::vector<uint8_t>;

Bytes FromHex(const std::string &hex)
{
    Bytes out;
    for (size_t i = 0; i < hex.size(); i += 2) {
        out.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    }
    return out;
}

struct bytes View(const Bytes &bytes) { return bytes_of(bytes.data(), bytes.size()); }
struct bytes View(const std::string &text) { return bytes_of(text.data(), text.size()); }

using Text = std::optional<std::string>; // nullopt: null

Text TextOf(struct bytes bytes)
{
    if (bytes_are_null(bytes)) { return std::nullopt; }
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

struct bytes ViewOf(const Text &text) { return text ? View(*text) : bytes_null(); }

struct Record {
    int64_t offset;
    int64_t timestamp_ms;
    Text key;
    Text value;
    std::vector<std::pair<std::string, Text>> headers;

    bool operator==(const Record &other) const
    {
        return offset == other.offset && timestamp_ms == other.timestamp_ms && key == other.key &&
               value == other.value && headers == other.headers;
    }
};

void PrintTo(const Record &record, std::ostream *out)
{
    *out << record.offset << " at " << record.timestamp_ms << " key " << record.key.value_or("-")
         << " value " << record.value.value_or("-") << " headers " << record.headers.size();
}

// A batch of 90 bytes, laid out by hand from Kafka's protocol guide: two records, the second
// with a key and a header.
const char by_hand_hex[] = "0000000000000007" // base offset
                           "0000004e"         // 78 bytes behind this
                           "00000000"         // leader epoch
                           "02"               // magic
                           "a7246e45"         // CRC-32C from the next byte on
                           "0000"             // attributes
                           "00000001"         // last offset delta
                           "0000018bcfe56800" // base timestamp 1700000000000
                           "0000018bcfe56805" // max timestamp
                           "ffffffffffffffff" // producer id -1
                           "ffff"             // producer epoch -1
                           "ffffffff"         // base sequence -1
                           "00000002"         // records
                           "16"
                           "00"
                           "00"
                           "00"
                           "01"
                           "0a68656c6c6f"
                           "00"
                           "20"
                           "00"
                           "0a"
                           "02"
                           "026b"
                           "0a776f726c64"
                           "02"
                           "0268"
                           "0231";

const std::vector<Record> by_hand_records = {
    {7, 1700000000000, std::nullopt, "hello", {}},
    {8, 1700000000005, "k", "world", {{"h", "1"}}},
};

// Written by kafka-python 2.0.2 (DefaultRecordBatchBuilder): negative timestamp deltas, a null and
// an empty key, an empty value, a null and an empty header, two-byte lengths.
const char kafka_python_hex[] =
    "0000000000000000000000b000000000026fbc63180000000000020000018bcfe5687b0000018bcfe6ee9fffffffff"
    "ffffffffffffffffffff0000000316000000010a6669727374003c002d02026b0004147379736c6f672e6170700873"
    "7368640a656d70747901a40100c8980c04008c01787878787878787878787878787878787878787878787878787878"
    "787878787878787878787878787878787878787878787878787878787878787878787878787878787878780202680"
    "0";

const std::vector<Record> kafka_python_records = {
    {0, 1700000000123, std::nullopt, "first", {}},
    {1, 1700000000100, "k", "", {{"syslog.app", "sshd"}, {"empty", std::nullopt}}},
    {2, 1700000099999, "", std::string(70, 'x'), {{"h", ""}}},
};

size_t HeadersBytes(const Record &record)
{
    size_t bytes = 0;
    for (const auto &[name, value] : record.headers) {
        bytes += record_batch_record_header_bytes(View(name), ViewOf(value));
    }
    return bytes;
}

Bytes EncodeRecord(const Record &record, int64_t base_timestamp_ms, int64_t base_offset)
{
    struct record_batch_parts parts = {};
    parts.timestamp_delta_ms = record.timestamp_ms - base_timestamp_ms;
    parts.offset_delta = record.offset - base_offset;
    parts.key = ViewOf(record.key);
    parts.value = ViewOf(record.value);
    parts.header_count = record.headers.size();
    parts.body_bytes = record_batch_body_bytes(
        parts.timestamp_delta_ms, parts.offset_delta,
        record_batch_payload_bytes(record.key ? static_cast<int64_t>(record.key->size()) : -1,
                                   ViewOf(record.value).len_bytes, record.headers.size(),
                                   HeadersBytes(record)));
    Bytes out(record_batch_record_bytes(parts.body_bytes));
    uint8_t *at = record_batch_record_encode(&parts, out.data());
    for (const auto &[name, value] : record.headers) {
        at = record_batch_record_header_encode(View(name), ViewOf(value), at);
    }
    EXPECT_EQ(at, out.data() + out.size()) << "the sizes promised other than what was written";
    return out;
}

Bytes Encode(const std::vector<Record> &records, int64_t max_timestamp_ms)
{
    Bytes out(RECORD_BATCH_HEADER_BYTES);
    for (const Record &record : records) {
        const Bytes one = EncodeRecord(record, records[0].timestamp_ms, records[0].offset);
        out.insert(out.end(), one.begin(), one.end());
    }
    struct record_batch_header header = {};
    header.base_offset = records[0].offset;
    header.length_bytes = static_cast<int32_t>(out.size());
    header.last_offset_delta = static_cast<int32_t>(records.size()) - 1;
    header.base_timestamp_ms = records[0].timestamp_ms;
    header.max_timestamp_ms = max_timestamp_ms;
    header.producer_id = -1;
    header.producer_epoch = -1;
    header.base_sequence = -1;
    header.record_count = static_cast<int32_t>(records.size());
    record_batch_header_encode(&header, out.data());
    record_batch_crc_patch(out.data(), crc32c(bytes_of(out.data() + RECORD_BATCH_CRC_BEGIN,
                                                       out.size() - RECORD_BATCH_CRC_BEGIN)));
    return out;
}

enum status DecodeHeader(const Bytes &batch)
{
    struct record_batch_header header;
    return record_batch_header_decode(View(batch), &header);
}

// Walks all of it; the status that ended the walk comes out of `ending`.
std::vector<Record> Decode(const Bytes &batch, enum status *ending)
{
    std::vector<Record> out;
    struct record_batch_header header;
    *ending = record_batch_header_decode(View(batch), &header);
    if (*ending != STATUS_OK) { return out; }
    struct record_batch_walk walk;
    record_batch_walk_begin(&walk, View(batch), &header);
    struct record_batch_record record;
    while ((*ending = record_batch_next(&walk, &record)) == STATUS_OK) {
        out.push_back(
            {record.offset, record.timestamp_ms, TextOf(record.key), TextOf(record.value), {}});
        struct bytes name;
        struct bytes value;
        while ((*ending = record_batch_next_header(&record, &name, &value)) == STATUS_OK) {
            out.back().headers.emplace_back(*TextOf(name), TextOf(value));
        }
        if (*ending != STATUS_NOT_FOUND) { return out; }
    }
    return out;
}

enum status WalkEnding(const Bytes &batch)
{
    enum status ending;
    (void)Decode(batch, &ending);
    return ending;
}

// The batch with one byte replaced; its CRC no longer holds, which header and walk do not look at.
Bytes Patched(Bytes batch, size_t position, uint8_t value)
{
    batch.at(position) = value;
    return batch;
}

enum { FIRST_RECORD = RECORD_BATCH_HEADER_BYTES, SECOND_RECORD = FIRST_RECORD + 12 };

TEST(RecordBatch, EncodesTheBytesThatTheProtocolGuideAsksFor)
{
    EXPECT_EQ(Encode(by_hand_records, 1700000000005), FromHex(by_hand_hex));
}

TEST(RecordBatch, EncodesTheSameBytesAsKafkaPython)
{
    EXPECT_EQ(Encode(kafka_python_records, 1700000099999), FromHex(kafka_python_hex));
}

TEST(RecordBatch, DecodesWhatKafkaPythonWrote)
{
    enum status ending;

    EXPECT_EQ(Decode(FromHex(kafka_python_hex), &ending), kafka_python_records);
    EXPECT_EQ(ending, STATUS_NOT_FOUND);
    EXPECT_TRUE(record_batch_crc_holds(View(FromHex(kafka_python_hex))));
}

TEST(RecordBatch, ATombstonesValueHasTheLengthMinusOne)
{
    const Record tombstone = {0, 1700000000000, "k", std::nullopt, {}};

    EXPECT_EQ(EncodeRecord(tombstone, 1700000000000, 0), FromHex("0e000000026b0100"));
    enum status ending;
    EXPECT_EQ(Decode(Encode({tombstone}, 1700000000000), &ending), (std::vector{tombstone}));
}

TEST(RecordBatch, DecodesEveryHeaderField)
{
    const Bytes batch = FromHex(by_hand_hex);
    struct record_batch_header header;

    ASSERT_EQ(record_batch_header_decode(View(batch), &header), STATUS_OK);

    EXPECT_EQ(header.base_offset, 7);
    EXPECT_EQ(header.length_bytes, 90);
    EXPECT_EQ(header.leader_epoch, 0);
    EXPECT_EQ(header.crc32c, 0xa7246e45U);
    EXPECT_EQ(header.attributes, 0);
    EXPECT_EQ(header.last_offset_delta, 1);
    EXPECT_EQ(header.base_timestamp_ms, 1700000000000);
    EXPECT_EQ(header.max_timestamp_ms, 1700000000005);
    EXPECT_EQ(header.producer_id, -1);
    EXPECT_EQ(header.producer_epoch, -1);
    EXPECT_EQ(header.base_sequence, -1);
    EXPECT_EQ(header.record_count, 2);
}

TEST(RecordBatch, TheCrcFailsOnAnyBitBehindIt)
{
    const Bytes good = FromHex(by_hand_hex);
    ASSERT_TRUE(record_batch_crc_holds(View(good)));

    EXPECT_FALSE(record_batch_crc_holds(View(Patched(good, RECORD_BATCH_CRC_BEGIN, 1))));
    EXPECT_FALSE(record_batch_crc_holds(View(Patched(good, good.size() - 1, '2'))));
    EXPECT_FALSE(record_batch_crc_holds(View(Bytes(good.begin(), good.end() - 1))));
}

TEST(RecordBatch, OffsetAndEpochMayBePatchedWithoutTouchingTheCrc)
{
    const Bytes other_offset = Patched(FromHex(by_hand_hex), 7, 9);
    const Bytes other_epoch = Patched(FromHex(by_hand_hex), 15, 3);

    EXPECT_TRUE(record_batch_crc_holds(View(other_offset)));
    EXPECT_TRUE(record_batch_crc_holds(View(other_epoch)));
}

TEST(RecordBatchHeader, IsTruncatedOneByteShortOfTheHeaderAndOfTheBatch)
{
    const Bytes good = FromHex(by_hand_hex);

    EXPECT_EQ(DecodeHeader(Bytes()), STATUS_TRUNCATED);
    EXPECT_EQ(DecodeHeader(Bytes(good.begin(), good.begin() + RECORD_BATCH_HEADER_BYTES - 1)),
              STATUS_TRUNCATED);
    EXPECT_EQ(DecodeHeader(Bytes(good.begin(), good.end() - 1)), STATUS_TRUNCATED);
    EXPECT_EQ(DecodeHeader(good), STATUS_OK);
}

TEST(RecordBatchHeader, BytesBehindTheBatchAreNotItsOwn)
{
    Bytes two = FromHex(by_hand_hex);
    two.push_back(0xee);

    EXPECT_EQ(WalkEnding(two), STATUS_NOT_FOUND);
}

TEST(RecordBatchHeader, RefusesOtherMagicsAndEveryAttribute)
{
    const Bytes good = FromHex(by_hand_hex);

    EXPECT_EQ(DecodeHeader(Patched(good, 16, 1)), STATUS_UNSUPPORTED);
    EXPECT_EQ(DecodeHeader(Patched(good, 22, 1)), STATUS_UNSUPPORTED);    // gzip
    EXPECT_EQ(DecodeHeader(Patched(good, 22, 2)), STATUS_UNSUPPORTED);    // snappy
    EXPECT_EQ(DecodeHeader(Patched(good, 22, 5)), STATUS_UNSUPPORTED);    // nothing yet
    EXPECT_EQ(DecodeHeader(Patched(good, 22, 0x0b)), STATUS_UNSUPPORTED); // lz4, LogAppendTime
    EXPECT_EQ(DecodeHeader(Patched(good, 21, 1)), STATUS_UNSUPPORTED);
    EXPECT_EQ(DecodeHeader(Patched(good, 22, 0x20)), STATUS_UNSUPPORTED); // control
}

TEST(RecordBatchHeader, RefusesALengthBelowItsOwnHeaderOrBeyondInt32)
{
    const Bytes good = FromHex(by_hand_hex);

    EXPECT_EQ(DecodeHeader(Patched(good, 11, 48)), STATUS_CORRUPT);
    EXPECT_EQ(DecodeHeader(Patched(good, 8, 0xff)), STATUS_CORRUPT); // negative
    Bytes greatest = good;
    greatest[8] = 0x7f;
    greatest[9] = greatest[10] = greatest[11] = 0xff;
    EXPECT_EQ(DecodeHeader(greatest), STATUS_CORRUPT);
}

TEST(RecordBatchHeader, RefusesCountsThatCannotBe)
{
    const Bytes good = FromHex(by_hand_hex);

    EXPECT_EQ(DecodeHeader(Patched(good, 60, 5)), STATUS_CORRUPT);    // 29 bytes hold 4 at most
    EXPECT_EQ(DecodeHeader(Patched(good, 57, 0xff)), STATUS_CORRUPT); // negative
    EXPECT_EQ(DecodeHeader(Patched(good, 26, 0)), STATUS_CORRUPT);    // 2 records, last delta 0
    EXPECT_EQ(DecodeHeader(Patched(good, 0, 0x80)), STATUS_CORRUPT);  // a negative offset
}

TEST(RecordBatchHeader, RefusesOffsetsThatRunOverTheEnd)
{
    Bytes batch = FromHex(by_hand_hex);
    batch[0] = 0x7f;
    std::fill(batch.begin() + 1, batch.begin() + 8, uint8_t{0xff});

    EXPECT_EQ(DecodeHeader(batch), STATUS_CORRUPT);
}

TEST(RecordBatchWalk, EndsAtARecordThatReachesPastTheBatch)
{
    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), SECOND_RECORD, 0x22)), STATUS_CORRUPT);
}

TEST(RecordBatchWalk, EndsAtANegativeRecordLength)
{
    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), FIRST_RECORD, 0x01)), STATUS_CORRUPT);
}

TEST(RecordBatchWalk, RefusesBytesLeftBehindTheLastRecord)
{
    Bytes one_less = Patched(FromHex(by_hand_hex), 60, 1);

    EXPECT_EQ(WalkEnding(one_less), STATUS_CORRUPT);
}

TEST(RecordBatchWalk, RefusesLengthsBelowNull)
{
    enum { FIRST_KEY_LENGTH = FIRST_RECORD + 4, FIRST_VALUE_LENGTH = FIRST_RECORD + 5 };

    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), FIRST_KEY_LENGTH, 0x03)), STATUS_CORRUPT);
    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), FIRST_VALUE_LENGTH, 0x03)), STATUS_CORRUPT);
}

TEST(RecordBatchWalk, RefusesOffsetsThatDoNotRiseOrPassTheLast)
{
    enum { SECOND_OFFSET_DELTA = SECOND_RECORD + 3 };

    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), SECOND_OFFSET_DELTA, 0x00)), STATUS_CORRUPT);
    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), SECOND_OFFSET_DELTA, 0x04)), STATUS_CORRUPT);
}

TEST(RecordBatchWalk, RefusesHeadersThatDoNotFillTheRecord)
{
    enum { FIRST_HEADER_COUNT = FIRST_RECORD + 11, SECOND_HEADER_COUNT = SECOND_RECORD + 12 };

    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), FIRST_HEADER_COUNT, 0x02)), STATUS_CORRUPT);
    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), SECOND_HEADER_COUNT, 0x00)), STATUS_CORRUPT);
    EXPECT_EQ(WalkEnding(Patched(FromHex(by_hand_hex), SECOND_HEADER_COUNT, 0x04)), STATUS_CORRUPT);
}

TEST(RecordBatchWalk, TimestampsFarApartComeBack)
{
    const int64_t least = std::numeric_limits<int64_t>::min();
    struct record_batch_parts parts = {};
    parts.timestamp_delta_ms = -2; // from INT64_MIN + 1: over the edge
    parts.value = View(std::string());
    parts.body_bytes = record_batch_body_bytes(-2, 0, record_batch_payload_bytes(-1, 0, 0, 0));
    Bytes batch = Encode({{0, least + 1, std::nullopt, "", {}}}, least + 1);
    (void)record_batch_record_encode(&parts, batch.data() + RECORD_BATCH_HEADER_BYTES);

    enum status ending;
    const auto records = Decode(batch, &ending);

    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].timestamp_ms, std::numeric_limits<int64_t>::max());
}

class RecordSize : public testing::TestWithParam<size_t> {};

TEST_P(RecordSize, IsWhatTheSizesPromiseAtEveryVarintEdge)
{
    const Record record = {1,
                           2,
                           std::string(GetParam(), 'k'),
                           std::string(GetParam(), 'v'),
                           {{std::string(GetParam(), 'n'), std::string(GetParam(), 'w')}}};

    const Bytes encoded = EncodeRecord(record, 0, 0); // expects inside that the sizes agree

    EXPECT_GT(encoded.size(), 4 * GetParam());
}

INSTANTIATE_TEST_SUITE_P(Edges, RecordSize,
                         testing::Values(0, 1, 13, 14, 15, 63, 64, 2045, 2046, 2047, 8191, 8192));

TEST(RecordBatch, CompressedRecordsAreNotWalkedAsIfTheyWerePlain)
{
    for (uint8_t codec : {RECORD_CODEC_LZ4, RECORD_CODEC_ZSTD}) {
        const Bytes batch = Patched(FromHex(kafka_python_hex), 22, codec);
        struct record_batch_header header;
        ASSERT_EQ(record_batch_header_decode(View(batch), &header), STATUS_OK);
        EXPECT_EQ(record_batch_codec(&header), codec);
        struct record_batch_walk walk;
        struct record_batch_record record;
        record_batch_walk_begin(&walk, View(batch), &header);
        EXPECT_EQ(record_batch_next(&walk, &record), STATUS_CORRUPT);
    }
}

} // namespace
