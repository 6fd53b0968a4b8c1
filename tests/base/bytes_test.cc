#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/cursor.h"
#include "base/sink.h"

namespace {

TEST(Cursor, OverrunIsStickyAndYieldsZeros)
{
    const uint8_t three[3] = {1, 2, 3};
    struct cursor cursor = cursor_over(bytes_of(three, sizeof three));

    EXPECT_EQ(cursor_be16(&cursor), 0x0102);
    EXPECT_EQ(cursor_be16(&cursor), 0);
    EXPECT_TRUE(cursor.overran);
    EXPECT_EQ(cursor_u8(&cursor), 0); // though one byte had been left
}

TEST(Cursor, ReadsUpToTheLastByteWithoutOverrun)
{
    const uint8_t eight[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct cursor cursor = cursor_over(bytes_of(eight, sizeof eight));

    EXPECT_EQ(cursor_be64(&cursor), 0x0102030405060708U);
    EXPECT_FALSE(cursor.overran);
    EXPECT_EQ(cursor_left_bytes(&cursor), 0U);
}

TEST(Cursor, RefusesAVarintOfMoreThan64Bits)
{
    const uint8_t eleven[11] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    const uint8_t tenth_too_big[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    struct cursor too_long = cursor_over(bytes_of(eleven, sizeof eleven));
    struct cursor too_big = cursor_over(bytes_of(tenth_too_big, sizeof tenth_too_big));

    EXPECT_EQ(cursor_uvarint64(&too_long), 0U);
    EXPECT_TRUE(too_long.overran);
    EXPECT_EQ(cursor_uvarint64(&too_big), 0U);
    EXPECT_TRUE(too_big.overran);
}

class VarintRoundTrip : public testing::TestWithParam<int64_t> {};

TEST_P(VarintRoundTrip, ComesBackAndTakesTheBytesPromised)
{
    uint8_t memory[16];
    struct sink sink = sink_into(memory, sizeof memory);

    sink_varint64(&sink, GetParam());

    struct cursor cursor = cursor_over(sink_written(&sink));
    EXPECT_EQ(sink_used_bytes(&sink), varint64_bytes(GetParam()));
    EXPECT_EQ(cursor_varint64(&cursor), GetParam());
    EXPECT_FALSE(cursor.overran);
}

INSTANTIATE_TEST_SUITE_P(Edges, VarintRoundTrip,
                         testing::Values(0, -1, 1, 63, 64, -64, -65, 8191, 8192,
                                         std::numeric_limits<int32_t>::max(),
                                         std::numeric_limits<int64_t>::max(),
                                         std::numeric_limits<int64_t>::min()));

TEST(Sink, WritesNothingOfWhatDoesNotFit)
{
    uint8_t memory[4] = {9, 9, 9, 9};
    struct sink sink = sink_into(memory, 3);

    sink_be16(&sink, 0x0102);
    sink_be16(&sink, 0x0304);
    sink_u8(&sink, 5); // sticky: the byte that would fit is refused too

    EXPECT_TRUE(sink.overflowed);
    EXPECT_EQ(sink_used_bytes(&sink), 2U);
    EXPECT_EQ(memory[2], 9);
    EXPECT_EQ(memory[3], 9);
}

} // namespace
