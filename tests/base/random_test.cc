#include "base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

namespace {

TEST(Random, IsSplitmix64)
{
    struct random random = random_seed(1234567);

    EXPECT_EQ(random_u64(&random), 6457827717110365317U);
    EXPECT_EQ(random_u64(&random), 3203168211198807973U);
    EXPECT_EQ(random_u64(&random), 9817491932198370423U);
    EXPECT_EQ(random_u64(&random), 4593380528125082431U);
    EXPECT_EQ(random_u64(&random), 16408922859458223821U);
}

TEST(Random, BelowReachesEveryValueEquallyOften)
{
    struct random random = random_seed(1);
    std::array<int, 7> seen = {};

    for (int i = 0; i < 70000; i++) { seen.at(random_below(&random, seen.size()))++; }

    for (const int count : seen) { EXPECT_NEAR(count, 10000, 400); } /* 4 deviations of 93 */
}

/* Of a limit of 3 * 2^62, plain scaling of 64 bits would hit every third value twice as often. */
TEST(Random, BelowHasNoBiasForLimitsNear2To64)
{
    const uint64_t limit = 3 * (UINT64_C(1) << 62);
    struct random random = random_seed(2);
    std::array<int, 3> seen = {};

    for (int i = 0; i < 30000; i++) { seen.at(random_below(&random, limit) % 3)++; }

    for (const int count : seen) { EXPECT_NEAR(count, 10000, 400); }
}

TEST(Random, BelowOneIsZeroAndBelowTheLargestStaysBelowIt)
{
    struct random random = random_seed(3);
    for (int i = 0; i < 1000; i++) {
        ASSERT_EQ(random_below(&random, 1), 0U);
        ASSERT_LT(random_below(&random, UINT64_MAX), UINT64_MAX);
    }
}

TEST(Random, ChanceKeepsItsOdds)
{
    struct random random = random_seed(4);
    int hits = 0;

    for (int i = 0; i < 80000; i++) { hits += random_chance(&random, 3, 8) ? 1 : 0; }

    EXPECT_NEAR(hits, 30000, 600);
}

TEST(Random, ChanceOfNothingNeverComesAndOfAllAlways)
{
    struct random random = random_seed(5);
    for (int i = 0; i < 1000; i++) {
        ASSERT_FALSE(random_chance(&random, 0, 8));
        ASSERT_TRUE(random_chance(&random, 8, 8));
    }
}

} // namespace
