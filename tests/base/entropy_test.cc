#include "base/entropy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

TEST(Entropy, NeverGivesTheSameSecretTwice)
{
    std::vector<uint8_t> first(32, 0);
    std::vector<uint8_t> second(32, 0);

    ASSERT_EQ(entropy_fill(first.data(), first.size()), STATUS_OK);
    ASSERT_EQ(entropy_fill(second.data(), second.size()), STATUS_OK);

    EXPECT_NE(first, second);
}

TEST(Entropy, FillsAllOfWhatTheKernelGivesInPiecesAndNothingBehindIt)
{
    const size_t asked_bytes = size_t{1} << 20;
    std::vector<uint8_t> memory(asked_bytes + 64, 0xa5);

    ASSERT_EQ(entropy_fill(memory.data(), asked_bytes), STATUS_OK);

    /* 64 bytes that stayed as they were: one chance in 2^512. */
    const std::vector<uint8_t> untouched(64, 0xa5);
    const auto found =
        std::search(memory.begin(), memory.end(), untouched.begin(), untouched.end());
    EXPECT_EQ(static_cast<size_t>(found - memory.begin()), asked_bytes);
}

TEST(Entropy, NothingIsFilledWithNothing) { EXPECT_EQ(entropy_fill(nullptr, 0), STATUS_OK); }

} // namespace
