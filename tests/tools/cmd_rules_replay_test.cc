#include <gtest/gtest.h>
#include <jansson.h>

#include "tests/tools/log_fixture.h"
#include "tools/rules_command.h"
#include "tools/rules_kept.h"

namespace {

using namespace penstock_test;

const char *const kInForce = "rules:\n"
                             "  - { name: old, when: 'old', do: drop }\n"
                             "  - { name: both, when: 'b', do: { route: payments } }\n";
const char *const kCandidate =
    "rules:\n"
    "  - { name: both, when: 'b', do: { route: events } }\n"
    "  - { name: new, when: 'new', do: drop }\n"
    "  - { name: net, when: { field: source, in: 10.0.0.0/8 }, do: drop }\n";

class Replay : public CmdLog {
  protected:
    void SetUp() override
    {
        const std::string text = kInForce;
        log_.RulesEpoch(rules_epoch_of(text.data(), text.size()));
        log_.Commit({{0, 4, 100, 2000, {"an old one", "a b", "a new one", "x"}}});
        Save(1);
        WriteFile(storage_ / "penstock.yaml",
                  "node: a\nworkers: { cores: [0] }\nruntime: " + storage_.path() +
                      "\nports: [{ device: net_null0, address: 192.0.2.10/24 }]\n"
                      "topics: [{ name: events }, { name: payments }]\n"
                      "listeners: [{ protocol: lines, port: 5140, topic: events }]\n"
                      "storage: { paths: [" +
                      storage_.path() + "] }\nrules: rules.yaml\n");
        WriteFile(storage_ / "rules.yaml", kInForce);
        WriteFile(storage_ / "candidate.yaml", kCandidate);
    }
    int Replay_(std::vector<std::string> arguments)
    {
        arguments.insert(arguments.begin(),
                         {"replay", storage_ / "candidate.yaml", "-c", storage_ / "penstock.yaml",
                          "--cache", storage_.path()});
        const CommandRun run = RunCommand(command_rules, arguments);
        output_ = run.out;
        errors_ = run.errors;
        return run.code;
    }
    std::string Member(const std::vector<std::string> &path)
    {
        json_t *const report = json_loads(output_.c_str(), 0, nullptr);
        EXPECT_NE(report, nullptr) << output_ << errors_;
        const json_t *at = report;
        for (const std::string &step : path) {
            at = isdigit(step[0]) != 0 ? json_array_get(at, std::stoul(step))
                                       : json_object_get(at, step.c_str());
        }
        char *const text = json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY);
        const std::string out = text == nullptr ? "nothing" : text;
        free(text);
        json_decref(report);
        return out;
    }
};

TEST_F(Replay, TellsNewAndLostHitsAndChangedVerdicts)
{
    ASSERT_EQ(Replay_({"--json", "--topic", "events", "--from", "1500"}), 0) << errors_;

    EXPECT_EQ(Member({"records"}), "4");
    EXPECT_EQ(Member({"changed"}), "3");
    EXPECT_EQ(Member({"rules", "0", "rule"}), "\"both\"");
    EXPECT_EQ(Member({"rules", "0", "new"}), "0");
    EXPECT_EQ(Member({"rules", "1", "rule"}), "\"new\"");
    EXPECT_EQ(Member({"rules", "1", "new"}), "1");
    EXPECT_EQ(Member({"rules", "1", "new_examples"}), "[\"events/0/9: a new one\"]");
    EXPECT_EQ(Member({"rules", "2", "rule"}), "\"old\"");
    EXPECT_EQ(Member({"rules", "2", "lost"}), "1");
    EXPECT_EQ(Member({"candidate", "not_judged"}), "[\"net\"]");
    EXPECT_EQ(Member({"changes", "1"}), R"({"from":"payments","to":"events","records":1})");
}

TEST_F(Replay, ForPeopleSaysWhatCannotBeJudged)
{
    ASSERT_EQ(Replay_({}), 0) << errors_;

    EXPECT_NE(output_.find("13 stored records"), std::string::npos) << output_;
    EXPECT_NE(output_.find("3 verdicts differ"), std::string::npos) << output_;
    EXPECT_NE(output_.find("not judged (candidate): net looks at source or listener"),
              std::string::npos);
    EXPECT_NE(output_.find("drop -> (by its listener or default)"), std::string::npos) << output_;
}

TEST_F(Replay, ComparesWithTheKeptCopyOfWhatWasInForce)
{
    char epoch[RULES_EPOCH_TEXT_BYTES];
    const std::string text = kInForce;
    WriteFile(storage_ / "rules.yaml", "rules: []\n"); // changed since
    EXPECT_EQ(Replay_({"--json"}), 66);
    EXPECT_NE(errors_.find("--against FILE"), std::string::npos) << errors_;

    ASSERT_EQ(mkdir((storage_ / "rules").c_str(), 0755), 0);
    WriteFile(storage_ /
                  (std::string("rules/") +
                   rules_epoch_text(rules_epoch_of(text.data(), text.size()), epoch) + ".yaml"),
              text);
    EXPECT_EQ(Replay_({"--json"}), 0) << errors_;
    EXPECT_EQ(Member({"changed"}), "3");
}

TEST_F(Replay, AgainstItselfNothingChanges)
{
    ASSERT_EQ(Replay_({"--json", "--against", storage_ / "candidate.yaml"}), 0) << errors_;

    EXPECT_EQ(Member({"changed"}), "0");
    EXPECT_EQ(Member({"contents_changed"}), "0");
    EXPECT_EQ(Member({"changes"}), "[]");
}

TEST_F(Replay, SeesContentsThatDiffer)
{
    WriteFile(storage_ / "candidate.yaml",
              "rules:\n"
              "  - { name: old, when: 'old', do: drop }\n"
              "  - { name: both, when: 'b', do: { route: payments, redact: { match: 'b' } } }\n");

    ASSERT_EQ(Replay_({"--json"}), 0) << errors_;

    EXPECT_EQ(Member({"changed"}), "0");
    EXPECT_EQ(Member({"contents_changed"}), "1");
}

TEST_F(Replay, TakesTheLastMinutesAlone)
{
    ASSERT_EQ(Replay_({"--json", "--last", "10m"}), 0) << errors_;

    EXPECT_EQ(Member({"records"}), "0");
    EXPECT_EQ(Replay_({"--last", "10"}), 64);
    EXPECT_EQ(Replay_({"--topic", "none"}), 66);
}

} // namespace
