#include "wire/uvarint.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/sink.h"

namespace {

using Bytes = std::vector<uint8_t>;

Bytes Encode(uint64_t value)
{
    Bytes out(10);
    struct sink sink = sink_into(out.data(), out.size());
    sink_uvarint64(&sink, value);
    out.resize(sink_used_bytes(&sink));
    return out;
}

struct Taken {
    bool ok;
    uint64_t value;
    size_t left_bytes;
};

Taken Take(const Bytes &bytes)
{
    struct bytes in = bytes_of(bytes.data(), bytes.size());
    uint64_t value = 0;
    const bool ok = uvarint_take(&in, &value);
    return {ok, value, in.len_bytes};
}

class UvarintEdge : public testing::TestWithParam<unsigned> {};

TEST_P(UvarintEdge, ComesBackAndLeavesWhatStandsBehind)
{
    const uint64_t edge = UINT64_C(1) << GetParam();
    for (const uint64_t value : {edge - 1, edge, edge + 1}) {
        Bytes bytes = Encode(value);
        bytes.push_back(0x77);

        const Taken taken = Take(bytes);

        EXPECT_TRUE(taken.ok);
        EXPECT_EQ(taken.value, value);
        EXPECT_EQ(taken.left_bytes, 1U);
    }
}

TEST_P(UvarintEdge, CutShortIsRefusedAndNothingIsTaken)
{
    Bytes bytes = Encode(UINT64_C(1) << GetParam());
    bytes.pop_back();

    EXPECT_FALSE(Take(bytes).ok);
    EXPECT_EQ(Take(bytes).left_bytes, bytes.size());
}

TEST_P(UvarintEdge, WithAGroupTooManyIsRefused)
{
    Bytes bytes = Encode(UINT64_C(1) << GetParam());
    bytes.back() |= 0x80;
    bytes.push_back(0);

    EXPECT_FALSE(Take(bytes).ok);
}

INSTANTIATE_TEST_SUITE_P(Bits, UvarintEdge, testing::Range(0U, 64U));

TEST(Uvarint, TakesTheGreatestAndNothingGreater)
{
    const Bytes greatest = Encode(UINT64_MAX);
    Bytes greater = greatest;
    greater.back() = 2;

    EXPECT_EQ(Take(greatest).value, UINT64_MAX);
    EXPECT_FALSE(Take(greater).ok);
    EXPECT_FALSE(Take(Bytes(11, 0x80)).ok);
}

} // namespace
