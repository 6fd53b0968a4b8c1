#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "base/random.h"

namespace {

TEST(Crc32c, KnowsTheVectorsOfRfc3720)
{
    const std::vector<uint8_t> zeros(32, 0);
    const std::vector<uint8_t> ones(32, 0xff);
    std::vector<uint8_t> rising(32);
    std::iota(rising.begin(), rising.end(), 0);

    EXPECT_EQ(crc32c(bytes_of(zeros.data(), zeros.size())), 0x8a9136aaU);
    EXPECT_EQ(crc32c(bytes_of(ones.data(), ones.size())), 0x62a8ab43U);
    EXPECT_EQ(crc32c(bytes_of(rising.data(), rising.size())), 0x46dd794eU);
    EXPECT_EQ(crc32c(bytes_of_text("123456789")), 0xe3069283U);
}

TEST(Crc32c, ExtendingEqualsSummingAtOnce)
{
    EXPECT_EQ(crc32c_extend(crc32c(bytes_of_text("1234")), bytes_of_text("56789")), 0xe3069283U);
    EXPECT_EQ(crc32c_extend(0xe3069283U, bytes_null()), 0xe3069283U);
}

TEST(Crc32c, CombiningEqualsSummingAtOnceAtEverySplit)
{
    std::vector<uint8_t> bytes(1000);
    std::iota(bytes.begin(), bytes.end(), 0);
    const uint32_t whole = crc32c(bytes_of(bytes.data(), bytes.size()));

    for (size_t split = 0; split <= bytes.size(); split++) {
        const uint32_t left = crc32c(bytes_of(bytes.data(), split));
        const uint32_t right = crc32c(bytes_of(bytes.data() + split, bytes.size() - split));
        ASSERT_EQ(crc32c_combine(left, right, bytes.size() - split), whole) << split;
    }
}

/* Every table entry of the short lengths, both sides of the switch to the long ones, and beyond. */
TEST(Crc32c, CombiningEqualsSummingAtOnceForLengthsOfEverySize)
{
    struct random random = random_seed(20);
    std::vector<uint8_t> bytes(3 << 18);
    for (uint8_t &byte : bytes) { byte = static_cast<uint8_t>(random_u64(&random)); }
    const uint32_t left = static_cast<uint32_t>(random_u64(&random));

    std::vector<size_t> lengths = {(1 << 18) - 1, 1 << 18, (1 << 18) + 1, bytes.size()};
    for (size_t digit = 1; digit < 64; digit++) {
        lengths.insert(lengths.end(), {digit, digit << 6, digit << 12});
    }
    for (const size_t length : lengths) {
        const struct bytes right = bytes_of(bytes.data(), length);
        ASSERT_EQ(crc32c_combine(left, crc32c(right), length), crc32c_extend(left, right))
            << length;
    }
}

TEST(Crc32c, CombiningEqualsSummingAtOnceAtRandom)
{
    struct random random = random_seed(21);
    std::vector<uint8_t> bytes(70000);
    for (int round = 0; round < 2000; round++) {
        const size_t length = random_below(&random, 1 + random_below(&random, bytes.size()));
        bytes[random_below(&random, bytes.size())] = static_cast<uint8_t>(random_u64(&random));
        const uint32_t left = static_cast<uint32_t>(random_u64(&random));
        const struct bytes right = bytes_of(bytes.data(), length);
        ASSERT_EQ(crc32c_combine(left, crc32c(right), length), crc32c_extend(left, right))
            << length;
    }
}

} // namespace
