#include "tools/human.h"

#include <gtest/gtest.h>

#include <string>

namespace {

std::string Bytes(uint64_t bytes)
{
    char out[HUMAN_TEXT_BYTES];
    return human_bytes(bytes, out);
}

std::string Duration(uint64_t ns)
{
    char out[HUMAN_TEXT_BYTES];
    return human_duration(ns, out);
}

std::string Count(uint64_t count)
{
    char out[HUMAN_TEXT_BYTES];
    return human_count(count, out);
}

TEST(Human, BytesGoUpInStepsOf1024)
{
    EXPECT_EQ(Bytes(0), "0 B");
    EXPECT_EQ(Bytes(1023), "1023 B");
    EXPECT_EQ(Bytes(1536), "1.50 KiB");
    EXPECT_EQ(Bytes(UINT64_C(23) << 30), "23.0 GiB");
    EXPECT_EQ(Bytes(UINT64_MAX), "16384 PiB");
}

TEST(Human, DurationsGoFromNanosecondsToDays)
{
    EXPECT_EQ(Duration(999), "999 ns");
    EXPECT_EQ(Duration(1500000), "1.50 ms");
    EXPECT_EQ(Duration(UINT64_C(59) * 1000000000), "59.0 s");
    EXPECT_EQ(Duration(UINT64_C(307) * 1000000000), "5m 07s");
    EXPECT_EQ(Duration(UINT64_C(11520) * 1000000000), "3h 12m");
    EXPECT_EQ(Duration(UINT64_C(86400) * 9 * 1000000000), "9d 0h");
}

TEST(Human, CountsGoUpInStepsOf1000)
{
    EXPECT_EQ(Count(999), "999");
    EXPECT_EQ(Count(1000), "1.00 k");
    EXPECT_EQ(Count(23400000), "23.4 M");
}

} // namespace
