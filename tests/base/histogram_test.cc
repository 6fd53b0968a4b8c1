#include "base/histogram.h"

#include <gtest/gtest.h>

namespace {

TEST(Histogram, EveryValueLiesInItsBucketsRange)
{
    for (unsigned shift = 0; shift < 44; shift++) {
        for (const int64_t step : {-1, 0, 1}) {
            const uint64_t value = (UINT64_C(1) << shift) + static_cast<uint64_t>(step);
            const uint32_t bucket = histogram_bucket_of(value);
            ASSERT_LT(value, histogram_bucket_end_ns(bucket)) << value;
            ASSERT_GE(value, bucket == 0 ? 0 : histogram_bucket_end_ns(bucket - 1)) << value;
        }
    }
}

TEST(Histogram, TooLongCountsInTheLastBucket)
{
    EXPECT_EQ(histogram_bucket_of(UINT64_MAX), static_cast<uint32_t>(HISTOGRAM_BUCKET_COUNT - 1));
}

TEST(Histogram, QuantilesAreWithinABucketOfTheTruth)
{
    struct histogram histogram = {};
    for (uint64_t value = 1; value <= 10000; value++) { histogram_add(&histogram, value, 1); }

    EXPECT_NEAR(static_cast<double>(histogram_quantile_ns(&histogram, 0.5)), 5000, 5000 * 0.07);
    EXPECT_NEAR(static_cast<double>(histogram_quantile_ns(&histogram, 0.99)), 9900, 9900 * 0.07);
    EXPECT_EQ(histogram_quantile_ns(&histogram, 1.0), 10000U);
}

TEST(Histogram, AnEmptyOneAnswersZero)
{
    const struct histogram histogram = {};
    EXPECT_EQ(histogram_quantile_ns(&histogram, 0.99), 0U);
}

TEST(Histogram, MergingAddsUp)
{
    struct histogram left = {};
    struct histogram right = {};
    histogram_add(&left, 100, 3);
    histogram_add(&right, 7000, 1);

    histogram_merge(&left, &right);

    EXPECT_EQ(left.count, 4U);
    EXPECT_EQ(left.sum_ns, 7300U);
    EXPECT_EQ(left.max_ns, 7000U);
}

} // namespace
