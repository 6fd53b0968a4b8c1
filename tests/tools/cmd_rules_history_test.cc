#include <gtest/gtest.h>
#include <jansson.h>

#include "tests/tools/log_fixture.h"
#include "tools/rules_command.h"
#include "tools/rules_kept.h"

namespace {

using namespace penstock_test;

constexpr uint64_t kFirst = 0x1111;
constexpr uint64_t kSecond = 0x2222;

// Spans of a listing: "TOPIC FIRST..LAST EPOCH".
class History : public CmdLog {
  protected:
    int Run_(std::vector<std::string> arguments)
    {
        arguments.insert(arguments.begin(), {"history", storage_.path(), "--json"});
        const CommandRun run = RunCommand(command_rules, arguments);
        output_ = run.out;
        errors_ = run.errors;
        return run.code;
    }
    std::vector<std::string> Spans()
    {
        std::vector<std::string> out;
        json_t *const list = json_loads(output_.c_str(), 0, nullptr);
        EXPECT_NE(list, nullptr) << output_;
        for (size_t i = 0; i < json_array_size(list); i++) {
            json_t *const span = json_array_get(list, i);
            const char *const file = json_string_value(json_object_get(span, "file"));
            out.push_back(
                std::string(json_string_value(json_object_get(span, "topic"))) + " " +
                std::to_string(json_integer_value(json_object_get(span, "first_offset"))) + ".." +
                std::to_string(json_integer_value(json_object_get(span, "last_offset"))) + " " +
                json_string_value(json_object_get(span, "epoch")) +
                (file != nullptr ? std::string(" ") + file : ""));
        }
        json_decref(list);
        return out;
    }
    using List = std::vector<std::string>;
};

TEST_F(History, JoinsCommitsOfOneEpochByTopicAcrossSegments)
{
    // In the first segment: events 0..6, payments 0..1, without rules.
    log_.Seal();
    log_.RulesEpoch(kFirst).OpenSegment();
    log_.Commit({{0, 2}, {1, 1}});
    log_.RulesEpoch(kSecond);
    log_.Commit({{0, 1}});
    log_.Seal();
    log_.OpenSegment();
    log_.Commit({{0, 4}});
    log_.RulesEpoch(kFirst);
    log_.Commit({{0, 1}});
    Save(3);

    EXPECT_EQ(Run_({}), 0) << errors_;
    EXPECT_EQ(Spans(), (List{"events 0..6 0000000000000000", "payments 0..1 0000000000000000",
                             "events 7..8 0000000000001111", "payments 2..2 0000000000001111",
                             "events 9..13 0000000000002222", "events 14..14 0000000000001111"}));
}

TEST_F(History, TakesOneTopicAndATime)
{
    log_.RulesEpoch(kFirst);
    log_.Commit({{0, 2}}, 5000);
    Save(1);

    EXPECT_EQ(Run_({"--topic", "payments"}), 0);
    EXPECT_EQ(Spans(), List{"payments 0..1 0000000000000000"});
    EXPECT_EQ(Run_({"--from", "2000"}), 0);
    EXPECT_EQ(Spans(), List{"events 7..8 0000000000001111"});
    EXPECT_EQ(Run_({"--to", "2000", "--topic", "events"}), 0);
    EXPECT_EQ(Spans(), List{"events 0..6 0000000000000000"});
    EXPECT_EQ(Run_({"--topic", "none"}), 66);
    EXPECT_EQ(Run_({"--from", "yesterday"}), 64);
}

TEST_F(History, NamesTheKeptCopy)
{
    log_.RulesEpoch(kFirst);
    log_.Commit({{0, 2}});
    Save(1);
    const std::string rules = storage_ / "rules";
    ASSERT_EQ(mkdir(rules.c_str(), 0755), 0);
    WriteFile(rules + "/0000000000001111.yaml", "rules: []\n");

    EXPECT_EQ(Run_({"--topic", "events", "--cache", storage_.path()}), 0);
    EXPECT_EQ(Spans().back(), "events 7..8 0000000000001111 " + rules + "/0000000000001111.yaml");
}

TEST_F(History, GoesAroundARottenHeaderAndSaysSo)
{
    log_.RulesEpoch(kFirst);
    const BuiltCommit rotten = log_.Commit({{0, 2}});
    log_.Commit({{0, 1}});
    log_.Seal();
    SegmentBytes(disk_, 1)[rotten.position + 60] ^= 0x20;
    Save(1);

    EXPECT_EQ(Run_({"--topic", "events"}), 1);
    EXPECT_EQ(Spans(), (List{"events 0..6 0000000000000000", "events 9..9 0000000000001111"}));
    EXPECT_NE(errors_.find("commit headers that do not hold"), std::string::npos) << errors_;
}

TEST_F(History, LeavesOutWhatALaterSegmentAbandoned)
{
    log_.RulesEpoch(kFirst);
    const BuiltCommit kept = log_.Commit({{0, 2}});
    log_.RulesEpoch(kSecond);
    log_.Commit({{0, 2}});
    log_.RulesEpoch(kFirst).ContinueBehind(kept, {9, 2}).OpenSegment();
    log_.Commit({{0, 1}});
    Save(2);

    EXPECT_EQ(Run_({"--topic", "events"}), 0) << errors_;
    EXPECT_EQ(Spans(), (List{"events 0..6 0000000000000000", "events 7..9 0000000000001111"}));
}

TEST(RulesKept, AnEpochIsTheFirstEightBytesOfTheHash)
{
    char text[RULES_EPOCH_TEXT_BYTES];

    /* sha256("") = e3b0c442 98fc1c14 ..., little-endian */
    EXPECT_STREQ(rules_epoch_text(rules_epoch_of("", 0), text), "141cfc9842c4b0e3");
}

} // namespace
