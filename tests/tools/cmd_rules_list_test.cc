#include "tools/cmd_rules_list.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <chrono>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "tests/tools/command_run.h"
#include "tests/tools/runtime_pages.h"
#include "tests/wire/rules_page_image.h"

namespace {

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

bool Contains(const std::string &text, const std::string &part)
{
    return text.find(part) != std::string::npos;
}

CommandRun Look(const struct command &command, const RuntimePages &pages,
                std::vector<std::string> words = {})
{
    words.insert(words.end(), {"--runtime", pages.Folder()});
    return RunCommand(command, words);
}

// The words of the line that begins with this one.
std::vector<std::string> LineOf(const std::string &text, const std::string &name)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::vector<std::string> out;
        for (std::string word; words >> word;) { out.push_back(word); }
        if (!out.empty() && out[0] == name) { return out; }
    }
    return {};
}

// "a b c": the first words of the table's lines.
std::string Order(const std::string &text)
{
    std::istringstream lines(text);
    std::string out;
    std::string line;
    std::getline(lines, line); // the title
    std::getline(lines, line); // the columns
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        std::string name;
        words >> name;
        out += (out.empty() ? "" : " ") + name;
    }
    return out;
}

RulesPageImage ThreeRules()
{
    RulesPageImage page({{"beta"}, {"alpha", /*is_shadow=*/true}, {"gamma"}}, 2, 2, 64);
    page.Worker(0).judged = 3000;
    page.Worker(1).judged = 1000;
    page.Counts(0, 0).matches = 10;
    page.Counts(0, 0).match_bytes = 4096;
    page.Counts(0, 1).matches = 900;
    page.Counts(1, 1).matches = 100;
    page.Counts(1, 1).sampled_out = 990;
    page.Counts(1, 2).matches = 500;
    page.Counts(1, 2).dropped = 500;
    page.Counts(1, 2).limited = 1;
    page.Counts(1, 2).redacted = 2;
    return page;
}

TEST(RulesList, ShowsEachRuleInFileOrder)
{
    RuntimePages pages(2);
    ThreeRules().Write(pages.Folder());

    const CommandRun run = Look(command_rules_list, pages);

    EXPECT_EQ(run.code, 0) << run.errors;
    EXPECT_TRUE(Contains(run.out, "edge-17: running; 3 rules, epoch fedcba9876543210, loaded "
                                  "2026-01-01T00:00:00.123Z\n"))
        << run.out;
    EXPECT_EQ(Order(run.out), "beta alpha gamma");
    EXPECT_EQ(LineOf(run.out, "beta"),
              (std::vector<std::string>{"beta", "enforce", "10", "0.25%", "4.00", "KiB", "0", "0",
                                        "0", "0"}));
    EXPECT_EQ(LineOf(run.out, "alpha"),
              (std::vector<std::string>{"alpha", "shadow", "1.00", "k", "25.00%", "0", "B", "0",
                                        "990", "0", "0"}));
    EXPECT_EQ(LineOf(run.out, "gamma"),
              (std::vector<std::string>{"gamma", "enforce", "500", "12.50%", "0", "B", "500", "0",
                                        "1", "2"}));
}

TEST(RulesList, SortsByWhatIsAsked)
{
    RuntimePages pages(2);
    ThreeRules().Write(pages.Folder());

    EXPECT_EQ(Order(Look(command_rules_list, pages, {"--sort", "matches"}).out),
              "alpha gamma beta");
    EXPECT_EQ(Order(Look(command_rules_list, pages, {"--sort", "dropped"}).out),
              "alpha gamma beta");
    EXPECT_EQ(Order(Look(command_rules_list, pages, {"--sort", "bytes"}).out), "beta alpha gamma");
    EXPECT_EQ(Order(Look(command_rules_list, pages, {"--sort", "name"}).out), "alpha beta gamma");
    EXPECT_EQ(Order(Look(command_rules_list, pages, {"--sort", "file"}).out), "beta alpha gamma");
    EXPECT_EQ(Look(command_rules_list, pages, {"--sort", "colour"}).code, 64);
}

TEST(RulesList, ShowsTheLastPageOfAStoppedNode)
{
    RuntimePages pages(2);
    pages.Root().state = ROOT_STATE_STOPPED;
    ThreeRules().Write(pages.Folder());

    const CommandRun run = Look(command_rules_list, pages);

    EXPECT_EQ(run.code, 0);
    EXPECT_TRUE(Contains(run.out, "edge-17: stopped; 3 rules")) << run.out;
    EXPECT_EQ(Order(run.out), "beta alpha gamma");
}

TEST(RulesList, AsJsonHasTheExactCounts)
{
    RuntimePages pages(2);
    ThreeRules().Write(pages.Folder());

    const CommandRun run = Look(command_rules_list, pages, {"--json"});
    const Json report(json_loads(run.out.c_str(), 0, nullptr), json_decref);
    ASSERT_NE(report, nullptr) << run.out;
    const json_t *const rules = json_object_get(report.get(), "rules");
    const json_t *const alpha = json_array_get(rules, 1);

    EXPECT_STREQ(json_string_value(json_object_get(report.get(), "epoch")), "fedcba9876543210");
    EXPECT_TRUE(json_is_true(json_object_get(report.get(), "running")));
    ASSERT_EQ(json_array_size(rules), 3U);
    EXPECT_STREQ(json_string_value(json_object_get(alpha, "name")), "alpha");
    EXPECT_STREQ(json_string_value(json_object_get(alpha, "mode")), "shadow");
    EXPECT_EQ(json_integer_value(json_object_get(alpha, "matches")), 1000);
    EXPECT_EQ(json_integer_value(json_object_get(alpha, "sampled_out")), 990);
    EXPECT_EQ(json_integer_value(json_object_get(alpha, "judged")), 4000);
}

TEST(RulesList, ANameDoesNotMoveTheCursor)
{
    RuntimePages pages(1);
    RulesPageImage({{"red\x1b[31m"}}).Write(pages.Folder());

    const CommandRun run = Look(command_rules_list, pages);

    EXPECT_TRUE(Contains(run.out, "red?[31m")) << run.out;
    EXPECT_FALSE(Contains(run.out, "\x1b"));
}

TEST(RulesList, WithoutAPageOrANodeSaysSo)
{
    RuntimePages pages(1);

    const CommandRun run = Look(command_rules_list, pages);

    EXPECT_EQ(run.code, 69);
    EXPECT_TRUE(Contains(run.errors, "there are no counts of rules")) << run.errors;
    EXPECT_EQ(RunCommand(command_rules_list, {"--runtime", "/nonexistent"}).code, 69);
}

TEST(RulesList, RefusesAPageThatReachesPastItsEnd)
{
    RuntimePages pages(1);
    RulesPageImage page({{"a"}});
    page.Header().facts.rule_count = 1000;
    page.Write(pages.Folder());

    EXPECT_EQ(Look(command_rules_list, pages).code, 69);
}

TEST(RulesList, BelievesNoNamesThatLieOnEachOther)
{
    RuntimePages pages(1);
    RulesPageImage page({{"abcdef"}, {"b"}, {"c"}});
    page.Row(1).name_position = 0;
    page.Row(1).name_bytes = 8; // all of them
    page.Write(pages.Folder());

    const CommandRun run = Look(command_rules_list, pages);

    EXPECT_EQ(run.code, 0);
    EXPECT_TRUE(Contains(run.out, "abcdef")) << run.out;
    EXPECT_FALSE(Contains(run.out, "abcdefbc")) << run.out;
}

// ---------------------------------------------------------------------------------------- top

// Counts that grow while the command looks.
TEST(RulesTop, ShowsWhatHappensEachSecondTheBusiestFirst)
{
    RuntimePages pages(2);
    RulesPageImage before = ThreeRules();
    before.Write(pages.Folder());
    RulesPageImage after = ThreeRules();
    after.Worker(0).judged += 100000;
    after.Counts(0, 0).matches += 50000;
    after.Counts(0, 2).matches += 20000;
    std::thread writer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(150));
        after.Write(pages.Folder());
        pages.Root().heartbeat_ns = clock_mono_ns();
    });

    const CommandRun run = Look(command_rules_top, pages, {"--once", "--interval", "500ms"});
    writer.join();

    EXPECT_EQ(run.code, 0) << run.errors;
    EXPECT_EQ(Order(run.out), "beta gamma alpha");
    EXPECT_TRUE(Contains(run.out, "matches/s")) << run.out;
    EXPECT_EQ(LineOf(run.out, "beta")[4], "50.00%") << run.out;
    EXPECT_EQ(LineOf(run.out, "gamma")[4], "20.00%") << run.out;
    EXPECT_EQ(LineOf(run.out, "alpha")[2], "0") << run.out;
    const double each_second = std::stod(LineOf(run.out, "beta")[2]); // in thousands
    EXPECT_GT(each_second, 50);
    EXPECT_LE(each_second, 100.5);
}

TEST(RulesTop, ShowsAsManyAsAreAskedFor)
{
    RuntimePages pages(2);
    ThreeRules().Write(pages.Folder());

    const CommandRun run =
        Look(command_rules_top, pages, {"--once", "--interval", "100ms", "--rows", "1"});

    EXPECT_EQ(LineOf(run.out, "2"), (std::vector<std::string>{"2", "more"})) << run.out;
    EXPECT_EQ(LineOf(run.out, "alpha").size(), 0U);
}

TEST(RulesTop, EndsWhenIngestDoesNotRun)
{
    RuntimePages pages(2);
    pages.Root().state = ROOT_STATE_STOPPED;
    ThreeRules().Write(pages.Folder());

    EXPECT_EQ(Look(command_rules_top, pages, {"--interval", "100ms"}).code, 1);
}

TEST(RulesTop, RefusesWhatIsNoIntervalOrCount)
{
    RuntimePages pages(1);
    for (const char *bad : {"1", "99ms", "-1s", "soon"}) {
        EXPECT_EQ(Look(command_rules_top, pages, {"--interval", bad}).code, 64) << bad;
    }
    for (const char *bad : {"0", "-1", "1x", "100001", "99999999999999999999"}) {
        EXPECT_EQ(Look(command_rules_top, pages, {"--rows", bad}).code, 64) << bad;
    }
}

// ----------------------------------------------------------------------------------- examples

TEST(RulesExamples, AreShownOnLinesOfTheirOwn)
{
    RuntimePages pages(1);
    RulesPageImage page = ThreeRules();
    page.Store(0, 0, 1767225600500, "key-1", "GET /healthz\x1b[0m\n");
    page.Store(1, 0, 1767225601500, std::nullopt, std::string(200, 'v'));
    page.Write(pages.Folder());

    const CommandRun run = Look(command_rules_examples, pages, {"beta"});

    EXPECT_EQ(run.code, 0) << run.errors;
    EXPECT_EQ(run.out, "2026-01-01T00:00:01.500Z  worker 1, 200 bytes, cut off here\n"
                       "  value  " +
                           std::string(64, 'v') +
                           "\n"
                           "2026-01-01T00:00:00.500Z  worker 0, 22 bytes\n"
                           "  key    key-1\n"
                           "  value  GET /healthz\\x1b[0m\\n\n");
}

TEST(RulesExamples, AsJsonAreAsTheAdminPortTellsThem)
{
    RuntimePages pages(1);
    RulesPageImage page = ThreeRules();
    page.Store(0, 0, 1767225600500, "key-1", "\xff");
    page.Write(pages.Folder());

    const CommandRun run = Look(command_rules_examples, pages, {"beta", "--json"});

    EXPECT_EQ(run.out,
              "{\"rule\":\"beta\",\"mode\":\"enforce\",\"epoch\":\"fedcba9876543210\",\"examples\":"
              "[{\"time\":\"2026-01-01T00:00:00.500Z\",\"worker\":0,\"record_bytes\":6,\"cut\":"
              "false,\"key\":\"key-1\",\"value_base64\":\"/w==\"}]}\n");
}

TEST(RulesExamples, OfNoRuleNameTheNearest)
{
    RuntimePages pages(1);
    ThreeRules().Write(pages.Folder());

    const CommandRun run = Look(command_rules_examples, pages, {"alpah"});

    EXPECT_EQ(run.code, 1);
    EXPECT_TRUE(Contains(run.errors, "no rule in force is named 'alpah'; did you mean 'alpha'?"))
        << run.errors;
    EXPECT_EQ(Look(command_rules_examples, pages).code, 64);
    EXPECT_TRUE(Contains(Look(command_rules_examples, pages, {"alpha"}).out, "no record yet"));
}

TEST(RulesExamples, WhereNoneAreKeptSayHowToHaveSome)
{
    RuntimePages pages(1);
    RulesPageImage({{"a"}}).Write(pages.Folder());

    const CommandRun run = Look(command_rules_examples, pages, {"a"});

    EXPECT_EQ(run.code, 1);
    EXPECT_TRUE(Contains(run.errors, "examples: { keep: 4, bytes: 256 }")) << run.errors;
}

} // namespace
