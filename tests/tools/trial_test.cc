#include "tools/trial.h"

#include <gtest/gtest.h>

#include <string>

#include "base/clock.h"

namespace {

TEST(RecordCopy, WhatLiesInTheValueStaysInIt)
{
    const std::string value = "host text";
    const std::string apart = "4";
    struct record_header headers[] = {{bytes_of_text("a"), bytes_of(value.data(), 4)},
                                      {bytes_of_text("b"), bytes_of(apart.data(), 1)}};
    struct record record = {};
    record.value = bytes_of(value.data(), value.size());
    record.headers = headers;
    record.header_count = 2;
    struct record_copy copy = {};

    record_copy_take(&copy, &record);

    EXPECT_EQ(copy.record.headers[0].value.at, copy.record.value.at);
    EXPECT_NE(copy.record.headers[1].value.at, headers[1].value.at);
    EXPECT_TRUE(bytes_equal(copy.record.headers[1].value, headers[1].value));
    EXPECT_TRUE(bytes_equal(copy.record.value, record.value));
    EXPECT_TRUE(bytes_are_null(copy.record.key));
    record_copy_deinit(&copy);
}

TEST(RecordCopy, ATombstoneStaysNullAndAnEmptyKeyDoesNotBecomeOne)
{
    struct record record = {};
    record.key = bytes_of("", 0);
    struct record_copy copy = {};

    record_copy_take(&copy, &record);

    EXPECT_TRUE(bytes_are_null(copy.record.value));
    EXPECT_FALSE(bytes_are_null(copy.record.key));
    record_copy_deinit(&copy);
}

TEST(TrialClock, GoesByTimestampsAndNeverBack)
{
    struct trial_clock clock = {};

    const uint64_t first = trial_clock_at(&clock, true, 5000);

    EXPECT_EQ(trial_clock_at(&clock, true, 5010) - first, UINT64_C(10) * NS_PER_MS);
    EXPECT_EQ(trial_clock_at(&clock, true, 1) - first, UINT64_C(10) * NS_PER_MS);
    EXPECT_EQ(trial_clock_at(&clock, false, 0) - first, UINT64_C(10) * NS_PER_MS);
    EXPECT_GT(trial_clock_at(&clock, true, INT64_MAX), first);
}

} // namespace
