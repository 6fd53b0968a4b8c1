#include "pipeline/batch.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "wire/record_batch.h"

namespace {

using Text = std::optional<std::string>; // nullopt: null

struct Header {
    std::string name;
    Text value;
    bool operator==(const Header &other) const
    {
        return name == other.name && value == other.value;
    }
};

struct Record {
    int64_t timestamp_ms = 0;
    Text key;
    Text value;
    std::vector<Header> headers;
    bool operator==(const Record &other) const
    {
        return timestamp_ms == other.timestamp_ms && key == other.key && value == other.value &&
               headers == other.headers;
    }
};

Record Value(const std::string &value, int64_t timestamp_ms = 1700000000000)
{
    return {timestamp_ms, std::nullopt, value, {}};
}

struct bytes View(const std::string &text) { return bytes_of(text.data(), text.size()); }
struct bytes View(const Text &text) { return text ? View(*text) : bytes_null(); }

Text TextOf(struct bytes bytes)
{
    if (bytes_are_null(bytes)) { return std::nullopt; }
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

struct BatchDeleter {
    void operator()(struct batch *batch) const { batch_destroy(batch); }
};

// A batch borrows its records' bytes: here they live beside it.
struct Batch {
    std::unique_ptr<struct batch, BatchDeleter> batch;
    std::unique_ptr<std::deque<Record>> records = std::make_unique<std::deque<Record>>();

    struct batch *get() const { return batch.get(); }
};

struct batch_options Roomy()
{
    struct batch_options options = {};
    options.topic_count = 200;
    options.records_max = 1000;
    options.headers_max = 3000;
    options.encoded_bytes_max = 1 << 20;
    return options;
}

Batch Create(const struct batch_options &options = Roomy())
{
    struct batch *batch = nullptr;
    EXPECT_EQ(batch_create(&options, &batch), STATUS_OK);
    Batch out;
    out.batch.reset(batch);
    return out;
}

// The caller's header array is gone when this returns: the batch must have kept its own.
enum status Add(const Batch &batch, const Record &record, const std::vector<uint16_t> &topics)
{
    batch.records->push_back(record);
    const Record &kept = batch.records->back();
    std::vector<struct record_header> headers;
    for (const Header &header : kept.headers) {
        headers.push_back({View(header.name), View(header.value)});
    }
    struct record in = {};
    in.key = View(kept.key);
    in.value = View(kept.value);
    in.timestamp_ms = record.timestamp_ms;
    in.headers = headers.empty() ? nullptr : headers.data();
    in.header_count = static_cast<uint16_t>(headers.size());
    return batch_add(batch.get(), &in, topics.data(), topics.size());
}

std::vector<uint16_t> Topics(const Batch &batch)
{
    std::vector<uint16_t> out(Roomy().topic_count);
    out.resize(batch_topics(batch.get(), out.data()));
    return out;
}

struct Encoded {
    std::vector<uint8_t> bytes;
    struct batch_encoded told;
};

Encoded Encode(const Batch &batch, uint16_t topic, uint64_t base_offset = 0,
               uint32_t leader_epoch = 0)
{
    Encoded out;
    out.bytes.resize(batch_encoded_bytes(batch.get()));
    struct sink sink = sink_into(out.bytes.data(), out.bytes.size());
    out.told = batch_encode(batch.get(), topic, base_offset, leader_epoch, &sink);
    out.bytes.resize(sink_used_bytes(&sink));
    return out;
}

struct record_batch_header HeaderOf(const Encoded &encoded)
{
    struct record_batch_header header = {};
    EXPECT_EQ(
        record_batch_header_decode(bytes_of(encoded.bytes.data(), encoded.bytes.size()), &header),
        STATUS_OK);
    return header;
}

// Decodes all of it, and expects every sum to hold and the offsets to be base_offset and on.
std::vector<Record> Decode(const Encoded &encoded, uint64_t base_offset = 0)
{
    const struct bytes all = bytes_of(encoded.bytes.data(), encoded.bytes.size());
    EXPECT_TRUE(record_batch_crc_holds(all));
    EXPECT_EQ(crc32c(all), encoded.told.crc32c);
    EXPECT_EQ(all.len_bytes, encoded.told.length_bytes);
    const struct record_batch_header header = HeaderOf(encoded);
    std::vector<Record> out;
    struct record_batch_walk walk;
    record_batch_walk_begin(&walk, all, &header);
    struct record_batch_record record;
    enum status status;
    while ((status = record_batch_next(&walk, &record)) == STATUS_OK) {
        EXPECT_EQ(record.offset, static_cast<int64_t>(base_offset + out.size()));
        Record one = {record.timestamp_ms, TextOf(record.key), TextOf(record.value), {}};
        struct bytes name;
        struct bytes value;
        while ((status = record_batch_next_header(&record, &name, &value)) == STATUS_OK) {
            one.headers.push_back({*TextOf(name), TextOf(value)});
        }
        EXPECT_EQ(status, STATUS_NOT_FOUND);
        out.push_back(one);
    }
    EXPECT_EQ(status, STATUS_NOT_FOUND);
    return out;
}

TEST(Batch, IsEmptyAtFirst)
{
    const Batch batch = Create();

    EXPECT_TRUE(batch_is_empty(batch.get()));
    EXPECT_EQ(batch_record_count(batch.get()), 0U);
    EXPECT_EQ(batch_encoded_bytes(batch.get()), 0U);
    EXPECT_TRUE(Topics(batch).empty());
}

TEST(Batch, GivesEachTopicItsRecordsInTheOrderAdded)
{
    const Batch batch = Create();
    const Record a = Value("a"), b = Value("b"), c = Value("c");

    ASSERT_EQ(Add(batch, a, {7}), STATUS_OK);
    ASSERT_EQ(Add(batch, b, {199}), STATUS_OK);
    ASSERT_EQ(Add(batch, c, {7}), STATUS_OK);

    EXPECT_EQ(Topics(batch), (std::vector<uint16_t>{7, 199}));
    EXPECT_EQ(Decode(Encode(batch, 7)), (std::vector<Record>{a, c}));
    EXPECT_EQ(Decode(Encode(batch, 199)), (std::vector<Record>{b}));
}

TEST(Batch, ARecordForTwoTopicsIsWholeInBothAndCountsTwice)
{
    const Batch batch = Create();
    const Record record = {5, "key", "value", {{"h", "1"}, {"null", std::nullopt}, {"", ""}}};

    ASSERT_EQ(Add(batch, record, {3, 0}), STATUS_OK);

    EXPECT_EQ(batch_record_count(batch.get()), 2U);
    EXPECT_EQ(Topics(batch), (std::vector<uint16_t>{0, 3}));
    EXPECT_EQ(Decode(Encode(batch, 0)), (std::vector<Record>{record}));
    EXPECT_EQ(Decode(Encode(batch, 3)), (std::vector<Record>{record}));
}

TEST(Batch, KeepsANullValueApartFromAnEmptyOne)
{
    const Batch batch = Create();
    const Record tombstone = {5, "key", std::nullopt, {}};
    const Record empty = {5, "key", "", {}};

    ASSERT_EQ(Add(batch, tombstone, {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, empty, {0}), STATUS_OK);

    EXPECT_EQ(Decode(Encode(batch, 0)), (std::vector<Record>{tombstone, empty}));
}

TEST(Batch, WritesOffsetEpochAndTimestampsInTheHeader)
{
    const Batch batch = Create();
    ASSERT_EQ(Add(batch, Value("first", 1000), {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, Value("latest", 5000), {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, Value("earliest", 10), {0}), STATUS_OK);

    const Encoded encoded = Encode(batch, 0, /*base_offset=*/1234567890123, /*leader_epoch=*/7);

    const struct record_batch_header header = HeaderOf(encoded);
    EXPECT_EQ(header.base_offset, 1234567890123);
    EXPECT_EQ(header.leader_epoch, 7);
    EXPECT_EQ(header.base_timestamp_ms, 1000); // the first one's, not the earliest
    EXPECT_EQ(header.max_timestamp_ms, 5000);
    EXPECT_EQ(header.last_offset_delta, 2);
    EXPECT_EQ(header.record_count, 3);
    EXPECT_EQ(header.producer_id, -1);
    EXPECT_EQ(encoded.told.record_count, 3U);
    EXPECT_EQ(encoded.told.max_timestamp_ms, 5000);
}

TEST(Batch, TimestampsOfEitherEndOfTimeComeBack)
{
    const Batch batch = Create();
    const Record greatest = Value("a", INT64_MAX), least = Value("b", INT64_MIN);

    ASSERT_EQ(Add(batch, greatest, {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, least, {0}), STATUS_OK);

    EXPECT_EQ(Decode(Encode(batch, 0)), (std::vector<Record>{greatest, least}));
}

TEST(Batch, AValueThatPointsNowhereIsATombstone)
{
    const Batch batch = Create();
    struct record nowhere = {};
    const uint16_t topic = 0;

    ASSERT_EQ(batch_add(batch.get(), &nowhere, &topic, 1), STATUS_OK);

    EXPECT_EQ(Decode(Encode(batch, 0)), (std::vector<Record>{{0, std::nullopt, std::nullopt, {}}}));
}

TEST(Batch, ClearForgetsTheRecordsAndTheirTimestamps)
{
    const Batch batch = Create();
    ASSERT_EQ(Add(batch, Value("old", 9000), {4, 5}), STATUS_OK);

    batch_clear(batch.get());

    EXPECT_TRUE(batch_is_empty(batch.get()));
    EXPECT_EQ(batch_encoded_bytes(batch.get()), 0U);
    EXPECT_TRUE(Topics(batch).empty());
    ASSERT_EQ(Add(batch, Value("new", 10), {4}), STATUS_OK);
    EXPECT_EQ(Decode(Encode(batch, 4)), (std::vector<Record>{Value("new", 10)}));
    EXPECT_EQ(HeaderOf(Encode(batch, 4)).max_timestamp_ms, 10);
}

TEST(BatchRoom, TakesARecordThatFitsExactlyAndNotOneByteMore)
{
    struct batch_options options = Roomy();
    options.encoded_bytes_max = RECORD_BATCH_HEADER_BYTES + 7 + 10; // 7: a record of no bytes
    const Batch batch = Create(options);

    EXPECT_EQ(Add(batch, Value(std::string(11, 'x')), {0}), STATUS_INVALID);
    EXPECT_EQ(Add(batch, Value(std::string(10, 'x')), {0}), STATUS_OK);
    EXPECT_EQ(batch_encoded_bytes(batch.get()), options.encoded_bytes_max);
    EXPECT_EQ(Add(batch, Value(""), {0}), STATUS_FULL);
}

TEST(BatchRoom, IsAllOrNoneOverTheTopics)
{
    struct batch_options options = Roomy();
    options.encoded_bytes_max = 3 * (RECORD_BATCH_HEADER_BYTES + 7 + 10);
    const Batch batch = Create(options);
    ASSERT_EQ(Add(batch, Value("12345"), {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, Value("12345"), {1}), STATUS_OK);
    const size_t before_bytes = batch_encoded_bytes(batch.get());

    // Room for one more in topic 0, which has its header; none for topic 2.
    EXPECT_EQ(Add(batch, Value(std::string(11, 'x')), {0, 2}), STATUS_FULL);

    EXPECT_EQ(batch_record_count(batch.get()), 2U);
    EXPECT_EQ(batch_encoded_bytes(batch.get()), before_bytes);
    EXPECT_EQ(Decode(Encode(batch, 0)).size(), 1U);
    EXPECT_EQ(Topics(batch), (std::vector<uint16_t>{0, 1}));
}

TEST(BatchRoom, IsFullByRecordsAndByHeadersToo)
{
    struct batch_options options = Roomy();
    options.records_max = 2;
    options.headers_max = 1;
    const Batch batch = Create(options);
    const Record one_header = {0, std::nullopt, "v", {{"a", "1"}}};
    const Record two_headers = {0, std::nullopt, "v", {{"a", "1"}, {"b", "2"}}};

    EXPECT_EQ(Add(batch, two_headers, {0}), STATUS_INVALID);
    EXPECT_EQ(Add(batch, Value("v"), {0, 1, 2}), STATUS_INVALID);
    EXPECT_EQ(Add(batch, one_header, {0}), STATUS_OK);
    EXPECT_EQ(Add(batch, one_header, {0}), STATUS_FULL);
    EXPECT_EQ(Add(batch, Value("v"), {0, 1}), STATUS_FULL);
    EXPECT_EQ(Add(batch, Value("v"), {0}), STATUS_OK);
    EXPECT_EQ(Add(batch, Value("v"), {0}), STATUS_FULL);
}

TEST(BatchRoom, ARecordForTwoTopicsThatFitsOnlyOnceIsInvalid)
{
    struct batch_options options = Roomy();
    options.encoded_bytes_max = 2 * (RECORD_BATCH_HEADER_BYTES + 7 + 10) - 1;
    const Batch batch = Create(options);

    EXPECT_EQ(Add(batch, Value(std::string(10, 'x')), {0, 1}), STATUS_INVALID);
    EXPECT_EQ(Add(batch, Value(std::string(9, 'x')), {0, 1}), STATUS_OK);
}

TEST(BatchOptions, RefuseABatchThatKafkaCannotCount)
{
    struct batch_options options = Roomy();
    options.encoded_bytes_max = size_t{1} << 31;
    struct batch *batch = nullptr;

    EXPECT_EQ(batch_create(&options, &batch), STATUS_INVALID);
    EXPECT_EQ(batch, nullptr);
}

// Values long enough that their sums take several steps, and a batch of many.
TEST(Batch, SumsHoldOverValuesLargerThanOneStep)
{
    const Batch batch = Create();
    const Record large = Value(std::string(100000, 'L')), small = Value("s");

    ASSERT_EQ(Add(batch, small, {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, large, {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, small, {0}), STATUS_OK);
    ASSERT_EQ(Add(batch, large, {0}), STATUS_OK);

    EXPECT_EQ(Decode(Encode(batch, 0)), (std::vector<Record>{small, large, small, large}));
}

class RandomBatch : public testing::TestWithParam<uint32_t> {
  protected:
    std::mt19937 random{GetParam()};

    size_t Below(size_t limit) { return random() % limit; }

    std::string Bytes(size_t most)
    {
        std::string out(Below(most + 1), '\0');
        for (char &byte : out) { byte = static_cast<char>(random()); }
        return out;
    }

    Record RandomRecord()
    {
        static const size_t lengths[] = {0, 1, 20, 63, 64, 200, 3000};
        Record out;
        out.timestamp_ms = 1700000000000 + static_cast<int64_t>(Below(200000)) - 100000;
        if (Below(3) == 0) { out.key = Bytes(80); }
        out.value = Bytes(lengths[Below(7)]);
        for (size_t i = Below(4); i > 0; i--) {
            out.headers.push_back({Bytes(20), Below(4) == 0 ? Text() : Text(Bytes(70))});
        }
        return out;
    }

    std::vector<uint16_t> RandomTopics()
    {
        const auto first = static_cast<uint16_t>(Below(100));
        if (Below(4) != 0) { return {first}; }
        return {first, static_cast<uint16_t>(first + 100), static_cast<uint16_t>(first + 50)};
    }
};

TEST_P(RandomBatch, EncodesToThePromisedBytesAndDecodesToTheSameRecords)
{
    struct batch_options options = Roomy();
    options.encoded_bytes_max = 1 << 16;
    const Batch batch = Create(options);
    std::vector<std::vector<Record>> expected(options.topic_count);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        const Record record = RandomRecord();
        const std::vector<uint16_t> topics = RandomTopics();
        status = Add(batch, record, topics);
        for (const uint16_t topic : topics) {
            if (status == STATUS_OK) { expected[topic].push_back(record); }
        }
    }
    ASSERT_EQ(status, STATUS_FULL);

    size_t encoded_bytes = 0;
    size_t records = 0;
    for (const uint16_t topic : Topics(batch)) {
        const Encoded encoded = Encode(batch, topic, 1000 + topic);
        EXPECT_EQ(Decode(encoded, 1000 + topic), expected[topic]);
        encoded_bytes += encoded.bytes.size();
        records += expected[topic].size();
    }
    EXPECT_EQ(encoded_bytes, batch_encoded_bytes(batch.get()));
    EXPECT_EQ(records, batch_record_count(batch.get()));
    EXPECT_LE(encoded_bytes, options.encoded_bytes_max);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomBatch, testing::Range(1U, 41U));

} // namespace
