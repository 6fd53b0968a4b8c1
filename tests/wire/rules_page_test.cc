#include "wire/rules_page.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "tests/wire/rules_page_image.h"

namespace {

std::string Text(struct bytes bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.at), bytes.len_bytes);
}

std::vector<struct rules_example> Examples(const RulesPageImage &page, size_t rule,
                                           size_t capacity = 64)
{
    std::vector<struct rules_example> out(capacity);
    const struct rules_view view = page.View();
    out.resize(rules_view_examples(&view, rule, out.data(), capacity));
    return out;
}

TEST(RulesPage, SaysNamesAndModesInFileOrder)
{
    const RulesPageImage page({{"payments"}, {"noisy", true}, {u8"gesch\u00e4ft"}});
    const struct rules_view view = page.View();

    EXPECT_EQ(Text(rules_view_name(&view, 0)), "payments");
    EXPECT_EQ(Text(rules_view_name(&view, 1)), "noisy");
    EXPECT_EQ(Text(rules_view_name(&view, 2)), u8"gesch\u00e4ft");
    EXPECT_FALSE(rules_view_is_shadow(&view, 0));
    EXPECT_TRUE(rules_view_is_shadow(&view, 1));
    EXPECT_EQ(rules_view_find(&view, bytes_of_text("noisy")), 1U);
    EXPECT_EQ(rules_view_find(&view, bytes_of_text("nois")), view.facts.rule_count);
}

TEST(RulesPage, ATotalIsWhatWasCarriedAndWhatAllWorkersCounted)
{
    RulesPageImage page({{"a"}, {"b"}, {"c"}}, /*worker_count=*/2);
    page.Row(1).carried.matches = 1000;
    page.Row(1).carried.headers_full = 4;
    page.Row(1).carried_judged = 5000;
    page.Counts(0, 1).matches = 20;
    page.Counts(1, 1).matches = 3;
    page.Counts(1, 1).dropped = 2;
    page.Worker(0).judged = 70;
    page.Worker(1).judged = 7;
    const struct rules_view view = page.View();

    const struct rule_counts counts = rules_view_counts(&view, 1);

    EXPECT_EQ(counts.matches, 1023U);
    EXPECT_EQ(counts.dropped, 2U);
    EXPECT_EQ(counts.headers_full, 4U);
    EXPECT_EQ(rules_view_judged(&view, 1), 5077U);
    EXPECT_EQ(rules_view_counts(&view, 0).matches, 0U);
    EXPECT_EQ(rules_view_counts(&view, 2).matches, 0U);
    EXPECT_EQ(rules_view_judged(&view, 2), 77U);
}

TEST(RulesPage, WorkersNeverShareALine)
{
    RulesPageImage page({{"a"}}, /*worker_count=*/2);

    EXPECT_EQ(page.Layout().counts % CACHE_PAIR_BYTES, 0U);
    EXPECT_EQ(page.Layout().counts_stride % CACHE_PAIR_BYTES, 0U);
    EXPECT_EQ(page.Layout().workers % CACHE_PAIR_BYTES, 0U);
}

TEST(RulesPage, AnEmptySetHasAPageToo)
{
    const RulesPageImage page({});
    const struct rules_view view = page.View();

    EXPECT_EQ(view.facts.rule_count, 0U);
    EXPECT_EQ(rules_view_find(&view, bytes_of_text("")), 0U);
}

TEST(RulesPage, RefusesWhatIsNoPageOrNoWholeOne)
{
    struct rules_view view;
    RulesPageImage page({{"a"}}, 2, 2, 64);
    std::vector<uint8_t> &bytes = page.Bytes();

    EXPECT_EQ(rules_view_open(bytes.data(), bytes.size() - 1, &view), STATUS_TRUNCATED);
    EXPECT_EQ(rules_view_open(bytes.data(), sizeof(struct rules_page_header) - 1, &view),
              STATUS_TRUNCATED);
    page.Header().version++;
    EXPECT_EQ(page.Open(&view), STATUS_UNSUPPORTED);
    page.Header().magic[3] ^= 1;
    EXPECT_EQ(page.Open(&view), STATUS_CORRUPT);
}

TEST(RulesPage, RefusesFactsThatReachPastTheFile)
{
    struct rules_view view;
    for (uint32_t rules_page_facts::*const fact :
         {&rules_page_facts::rule_count, &rules_page_facts::worker_count,
          &rules_page_facts::names_bytes, &rules_page_facts::example_count}) {
        RulesPageImage page({{"a"}}, 2, 2, 64);
        page.Header().facts.*fact += 1;
        EXPECT_EQ(page.Open(&view), STATUS_TRUNCATED);
        page.Header().facts.*fact = UINT32_MAX;
        EXPECT_EQ(page.Open(&view), STATUS_CORRUPT);
    }
}

TEST(RulesPage, ANameThatLiesOutsideIsEmpty)
{
    RulesPageImage page({{"abc"}, {"def"}});
    page.Row(0).name_position = 4;
    page.Row(1).name_position = UINT32_MAX;
    const struct rules_view view = page.View();

    EXPECT_EQ(rules_view_name(&view, 0).len_bytes, 0U);
    EXPECT_EQ(rules_view_name(&view, 1).len_bytes, 0U);
}

// ----------------------------------------------------------------------------------- examples

TEST(RuleExamples, ComeTheNewestFirstOfAllWorkers)
{
    RulesPageImage page({{"a"}, {"b"}}, /*worker_count=*/2, /*example_count=*/2, 64);
    page.Store(0, 1, 1000, "k", "first");
    page.Store(1, 1, 3000, std::nullopt, "third");
    page.Store(0, 1, 2000, std::nullopt, std::nullopt);

    const std::vector<struct rules_example> examples = Examples(page, 1);

    ASSERT_EQ(examples.size(), 3U);
    EXPECT_EQ(Text(rules_example_value(&examples[0])), "third");
    EXPECT_EQ(examples[0].worker, 1U);
    EXPECT_TRUE(bytes_are_null(rules_example_key(&examples[0])));
    EXPECT_TRUE(bytes_are_null(rules_example_value(&examples[1])));
    EXPECT_EQ(Text(rules_example_key(&examples[2])), "k");
    EXPECT_EQ(Text(rules_example_value(&examples[2])), "first");
    EXPECT_EQ(examples[2].wall_ms, 1000);
    EXPECT_EQ(examples[2].record_bytes, 6U);
    EXPECT_EQ(Examples(page, 0).size(), 0U);
    EXPECT_EQ(Examples(page, 1, /*capacity=*/1).size(), 1U);
    EXPECT_EQ(Examples(page, 1, /*capacity=*/1)[0].wall_ms, 3000);
}

TEST(RuleExamples, TheRingKeepsTheLastOnes)
{
    RulesPageImage page({{"a"}}, 1, /*example_count=*/3, 64);
    for (int i = 1; i <= 8; i++) { page.Store(0, 0, i, std::nullopt, std::to_string(i)); }

    const std::vector<struct rules_example> examples = Examples(page, 0);

    ASSERT_EQ(examples.size(), 3U);
    EXPECT_EQ(examples[0].wall_ms, 8);
    EXPECT_EQ(examples[1].wall_ms, 7);
    EXPECT_EQ(examples[2].wall_ms, 6);
}

TEST(RuleExamples, AreCutWhereTheirRoomEndsAndSaySo)
{
    RulesPageImage page({{"a"}}, 1, 1, /*example_bytes=*/16);
    page.Store(0, 0, 1, std::string(16, 'k'), std::string(100, 'v'));

    const std::vector<struct rules_example> examples = Examples(page, 0);

    ASSERT_EQ(examples.size(), 1U);
    EXPECT_EQ(Text(rules_example_key(&examples[0])), "kkkk");
    EXPECT_EQ(Text(rules_example_value(&examples[0])), std::string(12, 'v'));
    EXPECT_EQ(examples[0].record_bytes, 116U);
    EXPECT_NE(examples[0].flags & RULES_EXAMPLE_CUT, 0U);
}

TEST(RuleExamples, ThatFitExactlyAreNotCut)
{
    RulesPageImage page({{"a"}}, 1, 1, /*example_bytes=*/16);
    page.Store(0, 0, 1, "kkkk", std::string(12, 'v'));

    EXPECT_EQ(Examples(page, 0)[0].flags & RULES_EXAMPLE_CUT, 0U);
    EXPECT_EQ(Text(rules_example_value(&Examples(page, 0)[0])), std::string(12, 'v'));
}

TEST(RuleExamples, TextIsNotCutInsideACharacter)
{
    RulesPageImage page({{"a"}}, 1, 1, /*example_bytes=*/16);
    page.Store(0, 0, 1, std::nullopt, std::string(14, 'v') + u8"\u20ac and more");

    EXPECT_EQ(Text(rules_example_value(&Examples(page, 0)[0])), std::string(14, 'v'));
}

TEST(RuleExamples, ASlotThatSpeaksNonsenseIsPassedOver)
{
    RulesPageImage page({{"a"}}, 1, 1, 64);
    page.Store(0, 0, 1, std::nullopt, "v");
    auto *const slot = reinterpret_cast<struct rules_page_slot *>(page.Slots(0, 0));

    slot->value_bytes = 65;
    EXPECT_EQ(Examples(page, 0).size(), 0U);
    slot->value_bytes = UINT32_MAX;
    slot->key_bytes = 1;
    EXPECT_EQ(Examples(page, 0).size(), 0U);
    slot->value_bytes = 1;
    EXPECT_EQ(Examples(page, 0).size(), 1U);
    slot->rule = 1;
    EXPECT_EQ(Examples(page, 0).size(), 0U);
    slot->rule = 0;
    slot->turn |= 1; // being written, for ever
    EXPECT_EQ(Examples(page, 0).size(), 0U);
}

// A value is one byte repeated, its time says which: a torn copy would mix two.
TEST(RuleExamples, AreNeverSeenTorn)
{
    RulesPageImage page({{"a"}}, 1, /*example_count=*/2, /*example_bytes=*/512);
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        for (int64_t i = 0; !stop; i++) {
            page.Store(0, 0, i, std::nullopt, std::string(512, static_cast<char>('a' + i % 26)));
        }
    });

    size_t torn = 0;
    size_t seen = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (seen < 20000 && std::chrono::steady_clock::now() < deadline) {
        for (const struct rules_example &example : Examples(page, 0, 2)) {
            const std::string wanted(512, static_cast<char>('a' + example.wall_ms % 26));
            seen++;
            if (Text(rules_example_value(&example)) != wanted) { torn++; }
        }
    }
    stop = true;
    writer.join();

    EXPECT_EQ(torn, 0U);
    EXPECT_GE(seen, 20000U);
}

} // namespace
