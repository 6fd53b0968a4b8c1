#include "pipeline/rule_spans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"

namespace {

using Spans = std::vector<struct rule_span>;

std::string Overwritten(const Spans &list, size_t len_bytes)
{
    const auto spans = std::make_unique<struct rule_spans>();
    rule_spans_init(spans.get());
    for (const struct rule_span span : list) { rule_spans_add(spans.get(), span); }
    std::string field(len_bytes, '.');
    rule_spans_overwrite(spans.get(), (uint8_t *)field.data(), field.size(), '*');
    EXPECT_EQ(rule_spans_any(spans.get()), field.find('*') != std::string::npos);
    return field;
}

std::string Union(const Spans &list, size_t len_bytes) // a byte at a time
{
    std::string field(len_bytes, '.');
    for (const struct rule_span span : list) {
        for (size_t i = span.begin; i < span.end; i++) { field[i] = '*'; }
    }
    return field;
}

Spans Random(struct random *random, size_t count, uint32_t len_bytes)
{
    Spans list;
    for (size_t i = 0; i < count; i++) {
        const auto begin = (uint32_t)random_below(random, len_bytes);
        const auto end =
            begin + (uint32_t)random_below(random, std::min(12U, len_bytes - begin) + 1);
        list.push_back({begin, end});
    }
    return list;
}

TEST(RuleSpans, OverwriteNothingWhenThereAreNone)
{
    EXPECT_EQ(Overwritten({}, 3), "...");
    EXPECT_EQ(Overwritten({{1, 1}, {3, 3}}, 3), "...");
}

TEST(RuleSpans, OverwriteTheirUnionInWhateverOrderTheyCome)
{
    struct random random = random_seed(2);
    for (int i = 0; i < 3000; i++) {
        const auto len_bytes = (uint32_t)(1 + random_below(&random, 200));
        Spans list = Random(&random, random_below(&random, 40), len_bytes);
        ASSERT_EQ(Overwritten(list, len_bytes), Union(list, len_bytes)) << i;

        std::reverse(list.begin(), list.end());
        ASSERT_EQ(Overwritten(list, len_bytes), Union(list, len_bytes)) << i;
    }
}

TEST(RuleSpans, ByRisingEndTakeNoMoreRoomThanThereAreRuns)
{
    struct random random = random_seed(3);
    const uint32_t len_bytes = 20000; // of 100,000 spans, far fewer runs than the bound
    Spans list = Random(&random, 100000, len_bytes);
    std::sort(list.begin(), list.end(), [](auto left, auto right) { return left.end < right.end; });

    EXPECT_EQ(Overwritten(list, len_bytes), Union(list, len_bytes));
}

TEST(RuleSpans, BeyondTheBoundOverwriteTooMuchAndNeverTooLittle)
{
    struct random random = random_seed(4);
    const uint32_t len_bytes = 100000;
    for (int i = 0; i < 20; i++) {
        const Spans list = Random(&random, 3 * RULE_SPANS_MAX, len_bytes);
        const std::string overwritten = Overwritten(list, len_bytes);
        const std::string wanted = Union(list, len_bytes);
        size_t missed = 0;
        for (size_t at = 0; at < len_bytes; at++) {
            missed += wanted[at] == '*' && overwritten[at] != '*' ? 1 : 0;
        }
        ASSERT_EQ(missed, 0U) << i;
        ASSERT_NE(overwritten, wanted) << i; // it was beyond the bound
    }
}

TEST(RuleSpans, BeyondTheBoundLeaveWhatStandsInFront)
{
    Spans list;
    for (uint32_t i = 0; i < RULE_SPANS_MAX; i++) { list.push_back({3 * i + 10, 3 * i + 11}); }
    const uint32_t len_bytes = 3 * RULE_SPANS_MAX + 10;
    EXPECT_EQ(Overwritten(list, len_bytes), Union(list, len_bytes));

    list.push_back({len_bytes - 1, len_bytes});
    EXPECT_EQ(Overwritten(list, len_bytes), Union(list, len_bytes));

    list.push_back({4, 6}); // in front of all others, and last
    EXPECT_EQ(Overwritten(list, len_bytes), "...." + std::string(len_bytes - 4, '*'));
}

} // namespace
