#include "pipeline/rule_keep.h"

#include <gtest/gtest.h>

#include <string>

namespace {

struct bytes BytesOf(const std::string &text) { return bytes_of(text.data(), text.size()); }

// What FNV-1a itself is for the text: the folding is undone, as its upper half stays.
uint64_t Fnv1aOf(const std::string &text)
{
    const uint64_t hash = rule_keep_hash(BytesOf(text));
    return hash ^ hash >> 32;
}

size_t KeptOf(uint32_t one_in, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        kept += rule_keep(one_in, BytesOf("user-" + std::to_string(i))) ? 1 : 0;
    }
    return kept;
}

TEST(RuleKeep, HashesAsThePublishedVectorsSay) // Fowler, Noll, Vo: test_fnv.c, fnv1a_64
{
    EXPECT_EQ(Fnv1aOf(""), 0xcbf29ce484222325U);
    EXPECT_EQ(Fnv1aOf("a"), 0xaf63dc4c8601ec8cU);
    EXPECT_EQ(Fnv1aOf("b"), 0xaf63df4c8601f1a5U);
    EXPECT_EQ(Fnv1aOf("foobar"), 0x85944171f73967e8U);
}

TEST(RuleKeep, FoldsTheUpperHalfIntoTheLower)
{
    EXPECT_EQ(rule_keep_hash(BytesOf("")), 0xcbf29ce4cbf29ce4U ^ 0x84222325U);
}

TEST(RuleKeep, KeepsAllForNoneAndForOne)
{
    EXPECT_EQ(KeptOf(0, 1000), 1000U);
    EXPECT_EQ(KeptOf(1, 1000), 1000U);
}

TEST(RuleKeep, KeepsAboutOneInN)
{
    EXPECT_NEAR((double)KeptOf(2, 100000), 50000, 800);
    EXPECT_NEAR((double)KeptOf(10, 100000), 10000, 500);
    EXPECT_NEAR((double)KeptOf(64, 100000), 1562, 200);
    EXPECT_NEAR((double)KeptOf(1000, 100000), 100, 50);
}

TEST(RuleKeep, KeepsWhoseHashIsAMultiple)
{
    EXPECT_EQ(rule_keep(100, BytesOf("abc")), rule_keep_hash(BytesOf("abc")) % 100 == 0);
    EXPECT_TRUE(rule_keep(5, bytes_null()) == rule_keep(5, BytesOf("")));
}

} // namespace
