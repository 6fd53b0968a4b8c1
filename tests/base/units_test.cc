#include "base/units.h"

#include <gtest/gtest.h>

namespace {

uint64_t Size(const char *text)
{
    uint64_t bytes = 0;
    EXPECT_TRUE(units_parse_size(text, &bytes)) << text;
    return bytes;
}

TEST(Units, SizesInBothFamiliesAndBare)
{
    EXPECT_EQ(Size("0"), 0U);
    EXPECT_EQ(Size("4096"), 4096U);
    EXPECT_EQ(Size("1GiB"), 1073741824U);
    EXPECT_EQ(Size("1GB"), 1000000000U);
    EXPECT_EQ(Size("18446744073709551615"), UINT64_MAX);
}

class RefusedSize : public testing::TestWithParam<const char *> {};

TEST_P(RefusedSize, IsRefused)
{
    uint64_t bytes;
    EXPECT_FALSE(units_parse_size(GetParam(), &bytes));
}

INSTANTIATE_TEST_SUITE_P(Spellings, RefusedSize,
                         testing::Values("", "-1", "1.5GiB", "1 GiB", "GiB", "1gib", "1K", " 1",
                                         "18446744073709551616", "99999999TiB", "1GiBx"));

TEST(Units, ADurationNeedsAUnit)
{
    uint64_t ns;
    EXPECT_TRUE(units_parse_duration("2ms", &ns));
    EXPECT_EQ(ns, 2000000U);
    EXPECT_TRUE(units_parse_duration("72h", &ns));
    EXPECT_EQ(ns, UINT64_C(259200000000000));
    EXPECT_FALSE(units_parse_duration("2", &ns));
    EXPECT_FALSE(units_parse_duration("300000d", &ns)); // overflows
}

TEST(Units, FormatsTheShortestExactSpelling)
{
    char text[UNITS_TEXT_BYTES];
    EXPECT_STREQ(units_format_size(UINT64_C(1) << 30, text, sizeof text), "1GiB");
    EXPECT_STREQ(units_format_size(1500, text, sizeof text), "1500B");
    EXPECT_STREQ(units_format_size(0, text, sizeof text), "0B");
    EXPECT_STREQ(units_format_duration(1500000000, text, sizeof text), "1500ms");
}

} // namespace
