#include "tools/record_digest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

uint32_t DigestAsSent(const std::vector<struct native_header> &headers)
{
    struct native_record record = {};
    record.key = bytes_of_text("k");
    record.value = bytes_of_text("v");
    record.header_count = static_cast<uint32_t>(headers.size());
    record.headers = headers.data();
    std::string body(256, '\0');
    struct sink sink = sink_into(body.data(), body.size());
    native_body_encode(&sink, &record);
    return native_digest(sink_written(&sink));
}

uint32_t DigestAsStored(const std::vector<struct native_header> &headers)
{
    std::string encoded(256, '\0');
    auto *const begin = reinterpret_cast<uint8_t *>(encoded.data());
    uint8_t *at = begin;
    for (const auto &header : headers) {
        at = record_batch_record_header_encode(header.name, header.value, at);
    }
    struct record_batch_record record = {};
    record.key = bytes_of_text("k");
    record.value = bytes_of_text("v");
    record.headers = bytes_of(begin, static_cast<size_t>(at - begin));
    record.header_count = static_cast<uint32_t>(headers.size());
    struct record_digest digest = {};
    uint32_t out = 0;
    EXPECT_TRUE(record_digest_of(&digest, &record, &out));
    record_digest_deinit(&digest);
    return out;
}

TEST(RecordDigest, OfAStoredRecordIsThatOfTheOneSent)
{
    EXPECT_EQ(DigestAsStored({}), DigestAsSent({}));
}

TEST(RecordDigest, CoversEveryHeader)
{
    const std::vector<struct native_header> headers = {
        {bytes_of_text("trace"), bytes_of_text("1")},
        {bytes_of_text("host"), bytes_of_text("a")},
        {bytes_of_text("zone"), bytes_of_text("b")},
    };

    EXPECT_EQ(DigestAsStored(headers), DigestAsSent(headers));
}

} // namespace
