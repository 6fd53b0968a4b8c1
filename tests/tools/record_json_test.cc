#include "tools/record_json.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using Maybe = std::optional<std::string>;

struct Record {
    Maybe key;
    Maybe value;
    std::vector<std::pair<std::string, Maybe>> headers;
    int64_t timestamp_ms = 1700000000123;
    bool operator==(const Record &other) const
    {
        return key == other.key && value == other.value && headers == other.headers &&
               timestamp_ms == other.timestamp_ms;
    }
};

struct bytes BytesOf(const Maybe &maybe)
{
    return maybe ? bytes_of(maybe->data(), maybe->size()) : bytes_null();
}

Maybe MaybeOf(struct bytes bytes)
{
    if (bytes_are_null(bytes)) { return std::nullopt; }
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

std::string Line(const Record &from, enum record_encoding encoding)
{
    std::string headers(65536, '\0');
    auto *const begin = reinterpret_cast<uint8_t *>(headers.data());
    uint8_t *at = begin;
    for (const auto &[name, value] : from.headers) {
        at = record_batch_record_header_encode(bytes_of(name.data(), name.size()), BytesOf(value),
                                               at);
    }
    struct record_batch_record record = {};
    record.offset = 7;
    record.timestamp_ms = from.timestamp_ms;
    record.key = BytesOf(from.key);
    record.value = BytesOf(from.value);
    record.headers = bytes_of(begin, static_cast<size_t>(at - begin));
    record.header_count = static_cast<uint32_t>(from.headers.size());
    json_t *const object = json_object();
    EXPECT_TRUE(record_json_encode(&record, encoding, object));
    char *const text = json_dumps(object, JSON_COMPACT);
    const std::string line = text;
    free(text);
    json_decref(object);
    return line;
}

// Empty: refused.
std::optional<Record> Parsed(const std::string &line)
{
    json_t *const object =
        json_loadb(line.data(), line.size(), JSON_DECODE_ANY | JSON_ALLOW_NUL, nullptr);
    EXPECT_NE(object, nullptr) << line;
    struct record_json record;
    const char *const wrong = record_json_decode(object, line.size(), &record);
    std::optional<Record> out;
    if (wrong == nullptr) {
        out.emplace();
        out->key = MaybeOf(record.key);
        out->value = MaybeOf(record.value);
        out->timestamp_ms = record.timestamp_ms;
        for (uint32_t i = 0; i < record.header_count; i++) {
            out->headers.emplace_back(record.headers[i].name, MaybeOf(record.headers[i].value));
        }
        record_json_release(&record);
    }
    json_decref(object);
    return out;
}

std::string EveryByte()
{
    std::string out;
    for (int i = 0; i < 256; i++) { out += static_cast<char>(i); }
    return out;
}

class RecordJson : public ::testing::TestWithParam<enum record_encoding> {};

TEST_P(RecordJson, GivesEveryRecordBackToTheByte)
{
    const std::vector<Record> records = {
        {"key", "a value", {}},
        {std::nullopt, "no key", {}},
        {"", "", {}},
        {"tombstone", std::nullopt, {}},
        {EveryByte(), EveryByte(), {{"h", EveryByte()}, {"h", std::nullopt}, {"", ""}}},
        {std::string("\0a\0", 3), "\xff", {{"\xc3\x28", "not utf-8"}}},
        {"\xe2\x82\xac", "{\"json\": \"in \\\"json\\\"\"}\n\r\t", {}},
        {std::nullopt, std::string(100, '\x01'), {}, INT64_MAX},
        {std::nullopt, "before 1970", {}, -1},
    };

    for (const Record &record : records) {
        const std::string line = Line(record, GetParam());
        const auto again = Parsed(line);
        ASSERT_TRUE(again.has_value()) << line;
        EXPECT_EQ(*again, record) << line;
    }
}

INSTANTIATE_TEST_SUITE_P(Encodings, RecordJson, ::testing::Values(RECORD_UTF8, RECORD_BASE64));

TEST(RecordJson, WritesTextAsText)
{
    EXPECT_EQ(Line({"k", "v", {{"trace", "1"}}, 5}, RECORD_UTF8),
              R"({"offset":7,"timestamp":5,"key":"k","value":"v",)"
              R"("headers":[{"name":"trace","value":"1"}]})");
    EXPECT_EQ(Line({"k", "\xff", {}, 5}, RECORD_UTF8),
              R"({"offset":7,"timestamp":5,"key":"k","value_base64":"/w=="})");
    EXPECT_EQ(Line({std::nullopt, std::nullopt, {}, 5}, RECORD_BASE64),
              R"({"offset":7,"timestamp":5,"value":null})");
}

TEST(RecordJson, RefusesWhatItDidNotWrite)
{
    for (const char *line :
         {"1", "{}", "{\"value\":1}", "{\"value\":\"a\",\"value_base64\":\"YQ==\"}",
          "{\"value_base64\":\"YQ\"}", "{\"value_base64\":\"YQ=a\"}", "{\"value_base64\":\"====\"}",
          "{\"value_base64\":\" YQ==\"}", "{\"value_base64\":7}",
          "{\"value\":\"a\",\"timestamp\":\"now\"}", "{\"value\":\"a\",\"headers\":{}}",
          "{\"value\":\"a\",\"headers\":[{\"value\":\"b\"}]}",
          "{\"value\":\"a\",\"headers\":[{\"name\":\"a\\u0000\",\"value\":\"b\"}]}"}) {
        EXPECT_FALSE(Parsed(line).has_value()) << line;
    }
}

} // namespace
