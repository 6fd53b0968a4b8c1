#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pipeline/decode.h"

namespace {

std::vector<std::string> LinesOf(const std::string &payload)
{
    std::vector<std::string> out;
    struct bytes rest = bytes_of(payload.data(), payload.size());
    struct bytes line;
    while (decode_line(&rest, &line)) {
        out.emplace_back(reinterpret_cast<const char *>(line.at), line.len_bytes);
    }
    return out;
}

using Lines = std::vector<std::string>;

TEST(DecodeLine, TakesOneRecordALine)
{
    EXPECT_EQ(LinesOf("a\nbb\nccc"), (Lines{"a", "bb", "ccc"}));
}

TEST(DecodeLine, TheLastNewlineEndsALineAndBeginsNone)
{
    EXPECT_EQ(LinesOf("a\nb\n"), (Lines{"a", "b"}));
}

TEST(DecodeLine, AnEmptyLineIsARecordOfNoBytes)
{
    EXPECT_EQ(LinesOf("\n"), (Lines{""}));
    EXPECT_EQ(LinesOf("a\n\nb"), (Lines{"a", "", "b"}));
}

TEST(DecodeLine, AnEmptyPayloadHasNoLine) { EXPECT_EQ(LinesOf(""), Lines{}); }

TEST(DecodeLine, StripsNothingElse)
{
    const std::string odd("\r\0 \xff", 4);

    EXPECT_EQ(LinesOf("a\r\n" + odd + "\n"), (Lines{"a\r", odd}));
}

TEST(DecodeLine, AnEmptyLineIsNotNull)
{
    const std::string payload = "\n";
    struct bytes rest = bytes_of(payload.data(), payload.size());
    struct bytes line = bytes_null();

    ASSERT_TRUE(decode_line(&rest, &line));

    EXPECT_FALSE(bytes_are_null(line));
}

} // namespace
