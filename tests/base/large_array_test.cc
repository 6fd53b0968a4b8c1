#include <cstdint>
#include <cstdlib>
#include <memory>

#include <gtest/gtest.h>

#include "base/large_array.h"

namespace {

struct Freed {
    void operator()(void *at) const { std::free(at); }
};

using Array = std::unique_ptr<unsigned char, Freed>;

Array Create(std::size_t count, std::size_t item_bytes)
{
    return Array(static_cast<unsigned char *>(large_array_create(count, item_bytes)));
}

TEST(LargeArray, IsZeroToItsLastByteWhateverItsSize)
{
    const std::size_t over_a_large_page = (2U << 20) + 1;

    const Array small = Create(3, 5);
    const Array large = Create(over_a_large_page, 1);

    EXPECT_EQ(small.get()[14], 0);
    EXPECT_EQ(large.get()[over_a_large_page - 1], 0);
}

TEST(LargeArray, IsAlignedToAPairOfLines)
{
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(Create(1, 1).get()) % CACHE_PAIR_BYTES, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(Create(1, 3U << 20).get()) % CACHE_PAIR_BYTES, 0U);
}

TEST(LargeArray, RefusesASizeThatWraps) { EXPECT_EQ(Create(SIZE_MAX / 2, 4), nullptr); }

} // namespace
