#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

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

} // namespace
