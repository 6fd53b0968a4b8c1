#include "wire/commit_ring.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace {

constexpr uint64_t CAPACITY = 4 * LOG_BLOCK_BYTES;
constexpr size_t MAPPING = sizeof(struct commit_ring_header) + CAPACITY;

struct FreeDeleter {
    void operator()(void *at) const { std::free(at); }
};
using Ring = std::unique_ptr<struct commit_ring_header, FreeDeleter>;

// A mapping of exactly that size: a byte behind it is found by the address sanitizer.
Ring MakeRing()
{
    Ring ring(static_cast<struct commit_ring_header *>(std::aligned_alloc(4096, MAPPING)));
    std::memset(static_cast<void *>(ring.get()), 0, MAPPING);
    commit_ring_init(ring.get(), 0, {}, 1, CAPACITY);
    return ring;
}

TEST(CommitRing, SaysWhatTheMappingHolds)
{
    const Ring ring = MakeRing();
    uint64_t capacity = 0;

    EXPECT_EQ(commit_ring_check(ring.get(), MAPPING, &capacity), STATUS_OK);
    EXPECT_EQ(capacity, CAPACITY);
}

TEST(CommitRing, RefusesACapacityThatReachesPastTheMapping)
{
    const Ring ring = MakeRing();
    uint64_t capacity = 0;

    EXPECT_EQ(commit_ring_check(ring.get(), MAPPING - 1, &capacity), STATUS_TRUNCATED);
}

TEST(CommitRing, CopiesNothingBehindTheMappingWhateverItsWriterClaimsLater)
{
    const Ring ring = MakeRing();
    uint64_t capacity = 0;
    ASSERT_EQ(commit_ring_check(ring.get(), MAPPING, &capacity), STATUS_OK);
    ring->capacity_bytes = CAPACITY * 1024;
    ring->reserved_end = CAPACITY * 1024;
    std::vector<uint8_t> out(2 * LOG_BLOCK_BYTES);

    EXPECT_EQ(
        commit_ring_copy(ring.get(), capacity, CAPACITY - LOG_BLOCK_BYTES, out.size(), out.data()),
        STATUS_INVALID);
    EXPECT_EQ(commit_ring_copy(ring.get(), capacity, CAPACITY, LOG_BLOCK_BYTES, out.data()),
              STATUS_STALE);
}

TEST(CommitRing, CopiesWhatIsThereAndSaysWhenItIsGone)
{
    const Ring ring = MakeRing();
    std::memset(commit_ring_data(ring.get()), 7, CAPACITY);
    ring->reserved_end = CAPACITY;
    std::vector<uint8_t> out(LOG_BLOCK_BYTES);

    EXPECT_EQ(commit_ring_copy(ring.get(), CAPACITY, 0, out.size(), out.data()), STATUS_OK);
    EXPECT_EQ(out, std::vector<uint8_t>(LOG_BLOCK_BYTES, 7));
    ring->reserved_end = CAPACITY + 1;
    EXPECT_EQ(commit_ring_copy(ring.get(), CAPACITY, 0, out.size(), out.data()), STATUS_STALE);
}

// The copy lands on the ring's own mark and moves it, as a writer does who overtakes a slow reader.
TEST(CommitRing, SaysThatItIsGoneWhenItsWriterCameByDuringTheCopy)
{
    const Ring ring = MakeRing();
    const uint64_t moved_end = CAPACITY + 1;
    std::memcpy(commit_ring_data(ring.get()), &moved_end, sizeof moved_end);
    ring->reserved_end = CAPACITY;
    uint8_t *const mark = reinterpret_cast<uint8_t *>(&ring->reserved_end);

    EXPECT_EQ(commit_ring_copy(ring.get(), CAPACITY, 0, sizeof moved_end, mark), STATUS_STALE);
}

} // namespace
