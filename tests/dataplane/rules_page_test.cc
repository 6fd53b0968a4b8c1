#include "dataplane/rules_page.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/mapped_file.h"
#include "pipeline/record.h"
#include "pipeline/rules_load.h"
#include "tests/wire/rules_page_image.h"

namespace {

struct Deleter {
    void operator()(struct rules_page *page) const { rules_page_destroy(page); }
    void operator()(struct rule_set *rules) const { rule_set_destroy(rules); }
};
using Page = std::unique_ptr<struct rules_page, Deleter>;
using Rules = std::unique_ptr<struct rule_set, Deleter>;

// A set of rules of these names, which match nothing of interest.
Rules RulesNamed(const std::vector<std::string> &names)
{
    std::string text = "rules:\n";
    for (const std::string &name : names) {
        text += "  - { name: '" + name + "', when: 'x', do: drop }\n";
    }
    text += "default: drop\n";
    static const char *const topics[] = {"events"};
    static const int32_t listener_topics[] = {-1};
    const struct rules_world world = {topics, 1, listener_topics, 1, nullptr, nullptr};
    struct diagnostics *const diagnostics = diagnostics_create();
    Rules rules(rules_load_text(text.data(), text.size(), "rules.yaml", &world, diagnostics));
    diagnostics_destroy(diagnostics);
    EXPECT_NE(rules, nullptr);
    return rules;
}

class RulesPageFile : public testing::Test {
  protected:
    void SetUp() override
    {
        char path[] = "/dev/shm/penstock-rules-page-XXXXXX";
        ASSERT_NE(mkdtemp(path), nullptr);
        path_ = path;
    }
    void TearDown() override { std::filesystem::remove_all(path_); }

    Page Create(const struct rule_set *rules, const struct rules_page *previous = nullptr,
                uint32_t worker_count = 2, uint32_t example_count = 0, uint32_t example_bytes = 0)
    {
        struct rules_page_options options = {};
        options.directory = path_.c_str();
        options.rules = rules;
        options.previous = previous;
        options.worker_count = worker_count;
        options.example_count = example_count;
        options.example_bytes = example_bytes;
        options.loaded_wall_ms = 1700000000000;
        struct rules_page *page = nullptr;
        EXPECT_EQ(rules_page_create(&options, &page), STATUS_OK);
        return Page(page);
    }
    // As a node does at its start.
    Page Start(const struct rule_set *rules, uint32_t worker_count = 2)
    {
        Page page = Create(rules, nullptr, worker_count);
        rules_page_carry(page.get(), nullptr);
        EXPECT_EQ(rules_page_publish(page.get()), STATUS_OK);
        return page;
    }
    static struct rule_counts *Counts(const Page &page, size_t worker)
    {
        struct rule_scratch_options scratch = {};
        rules_page_seat_scratch(page.get(), worker, &scratch);
        return scratch.counts;
    }
    // What a reader sees now: total matches of a rule by its name, -1: there is no such rule.
    int64_t Seen(const char *name, uint64_t *out_judged = nullptr)
    {
        struct mapped_file file = {};
        struct rules_view view = {};
        const std::string path = path_ + "/" RULES_PAGE_FILE_NAME;
        if (mapped_file_open(path.c_str(), false, 1, &file) != STATUS_OK) { return -1; }
        EXPECT_EQ(rules_view_open(file.at, file.size_bytes, &view), STATUS_OK);
        const size_t rule = rules_view_find(&view, bytes_of_text(name));
        int64_t matches = -1;
        if (rule < view.facts.rule_count) {
            matches = static_cast<int64_t>(rules_view_counts(&view, rule).matches);
            if (out_judged != nullptr) { *out_judged = rules_view_judged(&view, rule); }
        }
        facts_ = view.facts;
        mapped_file_close(&file);
        return matches;
    }

    std::string path_;
    struct rules_page_facts facts_ = {}; // of the page seen last
};

TEST_F(RulesPageFile, OfAFirstStartBeginsAtZero)
{
    const Rules rules = RulesNamed({"a", "b"});

    const Page page = Start(rules.get());

    EXPECT_EQ(Seen("a"), 0);
    EXPECT_EQ(Seen("b"), 0);
    EXPECT_EQ(facts_.epoch, rule_set_epoch(rules.get()));
    EXPECT_EQ(facts_.generation, 1U);
    EXPECT_EQ(facts_.loaded_wall_ms, 1700000000000);
    EXPECT_EQ(facts_.worker_count, 2U);
}

TEST_F(RulesPageFile, WhatWorkersCountIsSeenAtOnce)
{
    const Rules rules = RulesNamed({"a", "b"});
    const Page page = Start(rules.get());

    Counts(page, 0)[1].matches = 3;
    Counts(page, 1)[1].matches = 4;
    rules_page_count_judged(rules_page_worker(page.get(), 1), 10, 0);

    uint64_t judged = 0;
    EXPECT_EQ(Seen("b", &judged), 7);
    EXPECT_EQ(judged, 10U);
    EXPECT_EQ(Seen("a"), 0);
}

TEST_F(RulesPageFile, AReloadCarriesTotalsByNameWhereverTheRuleStands)
{
    const Rules before = RulesNamed({"gone", "kept", "moved"});
    const Rules after = RulesNamed({"moved", "new", "kept"});
    const Page old_page = Start(before.get());
    const Page page = Create(after.get(), old_page.get());
    Counts(old_page, 0)[1].matches = 100; // the old set judges until the swap
    Counts(old_page, 1)[2].matches = 50;
    rules_page_count_judged(rules_page_worker(old_page.get(), 0), 1000, 0);

    EXPECT_EQ(Seen("kept"), 100) << "the old page until the new one is whole";
    rules_page_carry(page.get(), old_page.get());
    ASSERT_EQ(rules_page_publish(page.get()), STATUS_OK);
    Counts(page, 0)[2].matches = 1;
    rules_page_count_judged(rules_page_worker(page.get(), 0), 10, 0);

    uint64_t judged_kept = 0;
    uint64_t judged_new = 0;
    EXPECT_EQ(Seen("kept", &judged_kept), 101);
    EXPECT_EQ(Seen("moved"), 50);
    EXPECT_EQ(Seen("new", &judged_new), 0);
    EXPECT_EQ(Seen("gone"), -1);
    EXPECT_EQ(judged_kept, 1010U);
    EXPECT_EQ(judged_new, 10U);
    EXPECT_EQ(facts_.generation, 2U);
}

TEST_F(RulesPageFile, TotalsNeverFallOverManyReloads)
{
    const Rules rules = RulesNamed({"a"});
    Page page = Start(rules.get());
    int64_t seen = 0;
    for (int i = 0; i < 50; i++) {
        Page next = Create(rules.get(), page.get());
        Counts(page, i % 2)[0].matches += 5;
        EXPECT_GE(Seen("a"), seen);
        rules_page_carry(next.get(), page.get());
        EXPECT_GE(Seen("a"), seen);
        ASSERT_EQ(rules_page_publish(next.get()), STATUS_OK);
        page = std::move(next);
        seen = Seen("a");
        EXPECT_EQ(seen, 5 * (i + 1));
    }
}

TEST_F(RulesPageFile, ARestartGoesOnFromWhatTheDeadRunLeft)
{
    const Rules rules = RulesNamed({"a", "b"});
    const Rules changed = RulesNamed({"b", "c"});
    {
        const Page page = Start(rules.get(), /*worker_count=*/2);
        Counts(page, 0)[1].matches = 20;
        Counts(page, 1)[1].matches = 22;
    }

    const Page page = Start(changed.get(), /*worker_count=*/1);

    EXPECT_EQ(Seen("b"), 42);
    EXPECT_EQ(Seen("c"), 0);
    EXPECT_EQ(facts_.generation, 2U);
    EXPECT_EQ(facts_.worker_count, 1U);
}

TEST_F(RulesPageFile, ARuleOfAnotherModeIsAnotherRule)
{
    RulesPageImage last({{"a", /*is_shadow=*/true}, {"b", false}});
    last.Row(0).carried.matches = 7;
    last.Row(1).carried.matches = 8;
    last.Write(path_);
    const Rules rules = RulesNamed({"a", "b"});

    const Page page = Start(rules.get());

    EXPECT_EQ(Seen("a"), 0);
    EXPECT_EQ(Seen("b"), 8);
}

TEST_F(RulesPageFile, ADamagedPageOfTheLastRunIsNotBelieved)
{
    RulesPageImage last({{"a"}});
    last.Row(0).carried.matches = 7;
    last.Header().facts.rule_count = 1 << 19;
    last.Write(path_);
    const Rules rules = RulesNamed({"a"});

    const Page page = Start(rules.get());

    EXPECT_EQ(Seen("a"), 0);
    EXPECT_EQ(facts_.generation, 1U);
}

TEST_F(RulesPageFile, ASwapThatDoesNotHappenLeavesNothing)
{
    const Rules rules = RulesNamed({"a"});
    const Page page = Start(rules.get());
    Counts(page, 0)[0].matches = 5;

    Create(rules.get(), page.get()).reset();

    EXPECT_EQ(Seen("a"), 5);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 1);
}

TEST_F(RulesPageFile, ASetWithoutRulesHasAPage)
{
    const Rules rules = RulesNamed({"a"});
    Rules none;
    {
        static const char text[] = "default: drop\nrules: []\n";
        static const char *const topics[] = {"events"};
        static const int32_t listener_topics[] = {-1};
        const struct rules_world world = {topics, 1, listener_topics, 1, nullptr, nullptr};
        struct diagnostics *const diagnostics = diagnostics_create();
        none.reset(rules_load_text(text, sizeof text - 1, "rules.yaml", &world, diagnostics));
        diagnostics_destroy(diagnostics);
    }
    ASSERT_NE(none, nullptr);

    const Page page = Start(none.get());

    EXPECT_EQ(Seen("a"), -1);
    EXPECT_EQ(facts_.rule_count, 0U);
}

// ----------------------------------------------------------------------------------- examples

TEST_F(RulesPageFile, KeepsExamplesOfEachRuleAndWorkerApart)
{
    const Rules rules = RulesNamed({"a", "b"});
    const Page page = Create(rules.get(), nullptr, 2, /*example_count=*/2, /*example_bytes=*/32);
    rules_page_carry(page.get(), nullptr);
    ASSERT_EQ(rules_page_publish(page.get()), STATUS_OK);
    struct record record = {};
    for (size_t worker = 0; worker < 2; worker++) {
        struct rule_scratch_options scratch = {};
        rules_page_seat_scratch(page.get(), worker, &scratch);
        rules_page_count_judged(rules_page_worker(page.get(), worker), 1,
                                1000 + static_cast<int64_t>(worker));
        record.value = bytes_of_text(worker == 0 ? "of worker 0" : "of worker 1");
        scratch.on_example(scratch.context, 1, &record);
    }

    struct mapped_file file = {};
    struct rules_view view = {};
    ASSERT_EQ(mapped_file_open((path_ + "/rules").c_str(), false, 1, &file), STATUS_OK);
    ASSERT_EQ(rules_view_open(file.at, file.size_bytes, &view), STATUS_OK);
    struct rules_example examples[8];

    ASSERT_EQ(rules_view_examples(&view, 1, examples, 8), 2U);
    EXPECT_EQ(examples[0].wall_ms, 1001);
    EXPECT_EQ(examples[0].worker, 1U);
    EXPECT_TRUE(bytes_equal_text(rules_example_value(&examples[0]), "of worker 1"));
    EXPECT_TRUE(bytes_equal_text(rules_example_value(&examples[1]), "of worker 0"));
    EXPECT_EQ(rules_view_examples(&view, 0, examples, 8), 0U);
    mapped_file_close(&file);
}

TEST_F(RulesPageFile, WithoutExamplesThereIsNoRoomForThem)
{
    const Rules rules = RulesNamed({"a"});
    const Page page = Start(rules.get());
    struct rule_scratch_options scratch = {};
    rules_page_seat_scratch(page.get(), 1, &scratch);
    struct record record = {};
    record.value = bytes_of_text("secret");

    scratch.on_example(scratch.context, 0, &record);

    EXPECT_EQ(Seen("a"), 0);
    EXPECT_EQ(facts_.example_count, 0U);
}

TEST_F(RulesPageFile, ExamplesAreBoundedInAll)
{
    std::vector<std::string> names;
    for (int i = 0; i < 3000; i++) { names.push_back("rule-" + std::to_string(i)); }
    const Rules rules = RulesNamed(names);

    const Page page = Create(rules.get(), nullptr, /*worker_count=*/4, 16, 1024);
    rules_page_carry(page.get(), nullptr);
    ASSERT_EQ(rules_page_publish(page.get()), STATUS_OK);

    EXPECT_EQ(Seen("rule-2999"), 0);
    EXPECT_EQ(facts_.example_count, 4U); // 64 MiB / (3000 * 4 * (1024 + 40, rounded to lines))
    EXPECT_LT(std::filesystem::file_size(path_ + "/rules"), uint64_t{66} << 20);
}

} // namespace
