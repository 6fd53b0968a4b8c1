#include "base/packet_window.h"

#include <gtest/gtest.h>

#include <ostream>
#include <set>
#include <vector>

#include "base/random.h"

bool operator==(const packet_range &left, const packet_range &right)
{
    return left.first == right.first && left.last == right.last;
}

std::ostream &operator<<(std::ostream &out, const packet_range &range)
{
    return out << '[' << range.first << ", " << range.last << ']';
}

namespace {

using Ranges = std::vector<packet_range>;

constexpr uint64_t kWindow = PACKET_WINDOW_PACKETS;

Ranges RangesOf(const packet_window &window, size_t capacity = PACKET_WINDOW_RANGES_MAX)
{
    Ranges out(capacity);
    out.resize(packet_window_ranges(&window, out.data(), capacity));
    return out;
}

packet_window WindowWith(const std::vector<uint64_t> &numbers)
{
    packet_window window = {};
    for (const uint64_t number : numbers) {
        EXPECT_EQ(packet_window_add(&window, number), PACKET_WINDOW_NEW) << number;
    }
    return window;
}

TEST(PacketWindow, AnEmptyOneHasNoRanges) { EXPECT_EQ(RangesOf(packet_window{}), Ranges{}); }

TEST(PacketWindow, NumberZeroIsNewOnce)
{
    packet_window window = {};

    EXPECT_EQ(packet_window_add(&window, 0), PACKET_WINDOW_NEW);
    EXPECT_EQ(packet_window_add(&window, 0), PACKET_WINDOW_DUPLICATE);
    EXPECT_EQ(RangesOf(window), (Ranges{{0, 0}}));
}

TEST(PacketWindow, TheLargestNumberIsNewOnce)
{
    packet_window window = WindowWith({0, UINT64_MAX});

    EXPECT_EQ(packet_window_add(&window, UINT64_MAX), PACKET_WINDOW_DUPLICATE);
    EXPECT_EQ(packet_window_add(&window, 0), PACKET_WINDOW_TOO_OLD);
    EXPECT_EQ(packet_window_add(&window, UINT64_MAX - kWindow), PACKET_WINDOW_TOO_OLD);
    EXPECT_EQ(packet_window_add(&window, UINT64_MAX - kWindow + 1), PACKET_WINDOW_NEW);
    EXPECT_EQ(RangesOf(window), (Ranges{{UINT64_MAX, UINT64_MAX},
                                        {UINT64_MAX - kWindow + 1, UINT64_MAX - kWindow + 1}}));
}

TEST(PacketWindow, ReachesExactly256Back)
{
    packet_window window = WindowWith({1000});

    EXPECT_EQ(packet_window_add(&window, 1000 - kWindow), PACKET_WINDOW_TOO_OLD);
    EXPECT_EQ(packet_window_add(&window, 1000 - kWindow + 1), PACKET_WINDOW_NEW);
    EXPECT_EQ(packet_window_add(&window, 1000 - kWindow + 1), PACKET_WINDOW_DUPLICATE);
}

TEST(PacketWindow, AJumpOf255KeepsTheOldNumberAndOneOf256ForgetsIt)
{
    packet_window near = WindowWith({7, 7 + kWindow - 1});
    packet_window far = WindowWith({7, 7 + kWindow});

    EXPECT_EQ(packet_window_add(&near, 7), PACKET_WINDOW_DUPLICATE);
    EXPECT_EQ(packet_window_add(&far, 7), PACKET_WINDOW_TOO_OLD);
    EXPECT_EQ(RangesOf(far), (Ranges{{7 + kWindow, 7 + kWindow}}));
}

TEST(PacketWindow, AFullWindowIsOneRange)
{
    packet_window window = {};
    for (uint64_t number = 0; number < 1000; number++) { packet_window_add(&window, number); }

    EXPECT_EQ(RangesOf(window), (Ranges{{1000 - kWindow, 999}}));
}

TEST(PacketWindow, EveryOtherPacketMakesTheMostRanges)
{
    packet_window window = {};
    for (uint64_t number = 0; number < 1000; number += 2) { packet_window_add(&window, number); }

    const Ranges ranges = RangesOf(window, 2 * PACKET_WINDOW_RANGES_MAX);

    ASSERT_EQ(ranges.size(), size_t{PACKET_WINDOW_RANGES_MAX});
    EXPECT_EQ(ranges.front(), (packet_range{998, 998}));
    EXPECT_EQ(ranges.back(), (packet_range{998 - kWindow + 2, 998 - kWindow + 2}));
}

TEST(PacketWindow, DropsTheOldestRangesWhenCapacityIsShort)
{
    const packet_window window = WindowWith({1, 2, 3, 10, 20, 21});

    EXPECT_EQ(RangesOf(window, 0), Ranges{});
    EXPECT_EQ(RangesOf(window, 2), (Ranges{{20, 21}, {10, 10}}));
    EXPECT_EQ(RangesOf(window, 3), (Ranges{{20, 21}, {10, 10}, {1, 3}}));
}

/* The window in the words of its header: a set, cut off 256 below its largest. */
class Model {
  public:
    packet_window_result Add(uint64_t number)
    {
        if (!numbers_.empty() && *numbers_.rbegin() >= number &&
            *numbers_.rbegin() - number >= kWindow) {
            return PACKET_WINDOW_TOO_OLD;
        }
        if (!numbers_.insert(number).second) { return PACKET_WINDOW_DUPLICATE; }
        while (*numbers_.rbegin() - *numbers_.begin() >= kWindow) {
            numbers_.erase(numbers_.begin());
        }
        return PACKET_WINDOW_NEW;
    }

    Ranges All() const
    {
        Ranges out;
        for (auto at = numbers_.rbegin(); at != numbers_.rend(); ++at) {
            if (!out.empty() && out.back().first - 1 == *at) {
                out.back().first = *at;
            } else {
                out.push_back({*at, *at});
            }
        }
        return out;
    }

  private:
    std::set<uint64_t> numbers_;
};

/* Every distance that a packet can have to the largest, on every fill of the words around it. */
TEST(PacketWindow, AgreesWithASetForEveryDistance)
{
    const uint64_t base = 1000;
    for (uint64_t pattern = 1; pattern <= 7; pattern++) {
        for (uint64_t number = base - 2 * kWindow; number <= base + 2 * kWindow; number++) {
            packet_window window = {};
            Model model;
            for (uint64_t at = base - kWindow + 1; at <= base; at++) {
                if (at % pattern == 0 || at == base) {
                    ASSERT_EQ(packet_window_add(&window, at), model.Add(at));
                }
            }
            ASSERT_EQ(packet_window_add(&window, number), model.Add(number)) << number;
            ASSERT_EQ(RangesOf(window), model.All()) << pattern << " " << number;
        }
    }
}

/* All orders of a few neighbours, at both ends of the number space and across a word's edge. */
TEST(PacketWindow, AgreesWithASetForEverySequenceOfSixPackets)
{
    const std::vector<uint64_t> choices = {0, 1, 63, 64, 255, 256, UINT64_MAX - 255, UINT64_MAX};
    const size_t length = 6;
    size_t sequences = 1;
    for (size_t i = 0; i < length; i++) { sequences *= choices.size(); }

    for (size_t sequence = 0; sequence < sequences; sequence++) {
        packet_window window = {};
        Model model;
        size_t rest = sequence;
        for (size_t i = 0; i < length; i++, rest /= choices.size()) {
            const uint64_t number = choices[rest % choices.size()];
            ASSERT_EQ(packet_window_add(&window, number), model.Add(number)) << sequence;
        }
        ASSERT_EQ(RangesOf(window), model.All()) << sequence;
    }
}

class PacketWindowWalk : public testing::TestWithParam<uint64_t> {};

TEST_P(PacketWindowWalk, AgreesWithASetOverLossReorderingAndJumps)
{
    struct random random = random_seed(GetParam());
    packet_window window = {};
    Model model;
    uint64_t next = random_u64(&random) / 2;

    for (int step = 0; step < 4000; step++) {
        if (random_chance(&random, 1, 200)) { next += random_below(&random, 600); }
        const uint64_t number = next++ - random_below(&random, 1 + random_below(&random, 300));
        ASSERT_EQ(packet_window_add(&window, number), model.Add(number)) << step;
        if (step % 16 == 0) { ASSERT_EQ(RangesOf(window), model.All()) << step; }
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PacketWindowWalk, testing::Range(uint64_t{1}, uint64_t{9}));

} // namespace
