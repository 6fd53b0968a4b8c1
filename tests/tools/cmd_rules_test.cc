// The verbs of `penstock rules` that judge records: check, test, explain, bench, import.
#include <gtest/gtest.h>
#include <jansson.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/storage/temporary_directory.h"
#include "tests/tools/command_run.h"
#include "tools/rules_command.h"

namespace {

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

const char *const kRules =
    "rules:\n"
    "  - { name: health, when: 'GET /healthz', do: drop }\n"
    "  - name: card\n"
    "    when: '\\d{16}'\n"
    "    do: { redact: { match: '\\d{16}' }, add: { pci: 'yes' } }\n"
    "    continue: true\n"
    "  - { name: quiet, when: 'svc=', do: drop, mode: shadow }\n"
    "  - name: pay\n"
    "    when: { all: [ 'svc=pay', { not: 'level=debug' } ] }\n"
    "    do: { route: [payments, audit] }\n"
    "  - { name: js, when: { field: 'json:.level', equals: error }, do: { route: alerts, set_key: "
    "'json:.id' } }\n"
    "  - { name: net, when: { field: source, in: 10.0.0.0/8 }, do: { route: audit } }\n"
    "default: { route: events }\n";

class CmdRules : public testing::Test {
  protected:
    std::string File(const std::string &name, const std::string &text)
    {
        WriteFile(folder_ / name, text);
        return folder_ / name;
    }
    // Of a command line without a configuration.
    int Run(std::vector<std::string> arguments)
    {
        if (arguments[0] != "import") { arguments.push_back("--no-config"); }
        const CommandRun run = RunCommand(command_rules, arguments);
        out_ = run.out;
        errors_ = run.errors;
        return run.code;
    }
    // `rules test` of these records; the lines of its output.
    std::vector<std::string> Test(const std::string &records, std::vector<std::string> options = {})
    {
        std::vector<std::string> words = {"test", File("rules.yaml", rules_),
                                          File("records", records)};
        words.insert(words.end(), options.begin(), options.end());
        code_ = Run(words);
        std::vector<std::string> lines;
        std::istringstream in(out_);
        for (std::string line; std::getline(in, line);) { lines.push_back(line); }
        return lines;
    }
    static Json Parse(const std::string &text)
    {
        return {json_loads(text.c_str(), JSON_ALLOW_NUL, nullptr), json_decref};
    }
    static std::string Dump(const Json &object, const char *member)
    {
        char *const text =
            json_dumps(json_object_get(object.get(), member), JSON_COMPACT | JSON_ENCODE_ANY);
        const std::string out = text == nullptr ? "nothing" : text;
        free(text);
        return out;
    }

    std::string rules_ = kRules;
    TemporaryDirectory folder_;
    std::string out_;
    std::string errors_;
    int code_ = -1;
};

TEST_F(CmdRules, TestSaysWhereEachGoesAndWhy)
{
    const auto lines = Test("GET /healthz\nsvc=pay 1234567890123456\nhello\n");

    EXPECT_EQ(code_, 0) << errors_;
    EXPECT_EQ(lines, (std::vector<std::string>{
                         "1: drop  by health; held: health",
                         "2: store payments, audit  by pay; held: card, quiet (shadow), pay; value "
                         "redacted: svc=pay ****************; header added: pci=yes",
                         "3: store events  default"}));
}

TEST_F(CmdRules, TestGivesAnObjectARecord)
{
    const auto lines =
        Test("GET /healthz\nsvc=pay 1234567890123456\n{\"level\":\"error\",\"id\":\"k7\"}\n",
             {"--json"});
    ASSERT_EQ(lines.size(), 3U) << errors_;

    const Json dropped = Parse(lines[0]);
    const Json redacted = Parse(lines[1]);
    const Json keyed = Parse(lines[2]);
    EXPECT_EQ(Dump(dropped, "record"), "\"GET /healthz\"");
    EXPECT_EQ(Dump(dropped, "verdict"), "\"drop\"");
    EXPECT_EQ(Dump(dropped, "why"), "\"drop\"");
    EXPECT_EQ(Dump(dropped, "topics"), "[]");
    EXPECT_EQ(Dump(redacted, "verdict"), "\"store\"");
    EXPECT_EQ(Dump(redacted, "topics"), "[\"payments\",\"audit\"]");
    EXPECT_EQ(Dump(redacted, "rules"), "[\"card\",\"quiet\",\"pay\"]");
    EXPECT_EQ(Dump(redacted, "record"), "\"svc=pay 1234567890123456\"");
    EXPECT_EQ(Dump(redacted, "value"), "\"svc=pay ****************\"");
    EXPECT_EQ(Dump(redacted, "headers"), "[{\"name\":\"pci\",\"value\":\"yes\"}]");
    EXPECT_EQ(Dump(keyed, "key"), "\"k7\"");
}

TEST_F(CmdRules, TestIsBinarySafe)
{
    const auto lines = Test(std::string("a\0b\xff\n", 5), {"--json"});
    ASSERT_EQ(lines.size(), 1U);

    EXPECT_EQ(Dump(Parse(lines[0]), "record_base64"), "\"YQBi/w==\"");
    EXPECT_EQ(Dump(Parse(lines[0]), "record"), "nothing");
}

TEST_F(CmdRules, TestTakesALineOfAMegabyte)
{
    const std::string large(1024 * 1024, 'x');

    const auto lines = Test(large + "svc=pay\n", {"--json"});

    ASSERT_EQ(lines.size(), 1U) << errors_;
    EXPECT_EQ(Dump(Parse(lines[0]), "rules"), "[\"quiet\",\"pay\"]");
}

TEST_F(CmdRules, TestReadsObjectsWithSourceListenerAndHeaders)
{
    const auto lines = Test("{\"value\":\"x\",\"source\":\"10.1.2.3\"}\n\n"
                            "{\"value\":\"x\",\"source\":\"192.0.2.1\"}\n",
                            {"--json", "--format", "ndjson"});
    ASSERT_EQ(lines.size(), 2U) << errors_;

    EXPECT_EQ(Dump(Parse(lines[0]), "rules"), "[\"net\"]");
    EXPECT_EQ(Dump(Parse(lines[1]), "rules"), "[]");
}

TEST_F(CmdRules, TestReadsDatagramsOfSyslog)
{
    rules_ =
        "rules: [{ name: urgent, when: { field: syslog.severity, below: 4 }, do: { route: a } }]\n"
        "default: drop\n";

    const auto lines = Test("<11>x\n<12>x\n", {"--json", "--format", "syslog"});
    ASSERT_EQ(lines.size(), 2U) << errors_;

    EXPECT_EQ(Dump(Parse(lines[0]), "verdict"), "\"store\"");
    EXPECT_EQ(Dump(Parse(lines[1]), "verdict"), "\"drop\"");
}

TEST_F(CmdRules, TestRefusesWhatIsNoRecordWithItsLine)
{
    Test("{\"value\":\"x\"}\n{\"valeu\":\"x\"}\n", {"--format", "ndjson"});

    EXPECT_EQ(code_, 65);
    EXPECT_NE(errors_.find("records:2: no member of a record: 'valeu'"), std::string::npos)
        << errors_;
}

TEST_F(CmdRules, ExpectationsThatAreMetAreSilent)
{
    const std::string expect =
        File("expect", "{\"verdict\":\"drop\",\"rules\":[\"health\"]}\n\n{}\n"
                       "{\"topics\":[\"events\"],\"key\":null,\"why\":null}\n");

    const auto lines = Test("GET /healthz\nanything\nhello\n", {"--expect", expect});

    EXPECT_EQ(code_, 0) << out_;
    EXPECT_TRUE(lines.empty()) << out_;
}

TEST_F(CmdRules, ExpectationsThatAreNotMetAreToldAndFail)
{
    const std::string expect = File("expect", "{\"verdict\":\"store\"}\n{\"value\":\"h\"}\n{}\n");

    const auto lines = Test("GET /healthz\nhello\n", {"--expect", expect});

    EXPECT_EQ(code_, 1);
    ASSERT_EQ(lines.size(), 3U) << out_;
    EXPECT_NE(lines[0].find("records:1: verdict: expected \"store\", found \"drop\""),
              std::string::npos);
    EXPECT_NE(lines[1].find("records:2: value: expected \"h\", found \"hello\""),
              std::string::npos);
    EXPECT_NE(lines[2].find("more is expected"), std::string::npos);
}

TEST_F(CmdRules, MoreRecordsThanExpectedFail)
{
    Test("a\nb\n", {"--expect", File("expect", "{}\n")});

    EXPECT_EQ(code_, 1);
    EXPECT_NE(out_.find("nothing is expected of this record"), std::string::npos) << out_;
}

TEST_F(CmdRules, AMisspeltExpectationIsAnError)
{
    Test("a\n", {"--expect", File("expect", "{\"verdikt\":\"drop\"}\n")});

    EXPECT_EQ(code_, 65);
    EXPECT_NE(errors_.find("'verdikt'"), std::string::npos) << errors_;
}

TEST_F(CmdRules, RateLimitsGoByTimestampsSoThatResultsRepeat)
{
    rules_ = "rules: [{ name: l, when: '.*', do: { limit: { records: 1/s, burst: 1 } } }]\n"
             "default: { route: events }\n";

    const auto lines =
        Test("{\"value\":\"a\",\"timestamp\":1000}\n{\"value\":\"b\",\"timestamp\":1001}\n"
             "{\"value\":\"c\",\"timestamp\":3000}\n",
             {"--json", "--format", "ndjson"});
    ASSERT_EQ(lines.size(), 3U) << errors_;

    EXPECT_EQ(Dump(Parse(lines[0]), "verdict"), "\"store\"");
    EXPECT_EQ(Dump(Parse(lines[1]), "why"), "\"limited\"");
    EXPECT_EQ(Dump(Parse(lines[2]), "verdict"), "\"store\"");
}

TEST_F(CmdRules, AFileWithoutDefaultLeavesWhereItGoesToTheListener)
{
    rules_ = "rules: [{ name: a, when: 'a', do: drop }]\n";

    const auto lines = Test("b\n");

    ASSERT_EQ(lines.size(), 1U) << errors_;
    EXPECT_EQ(lines[0], "1: store (its listener's topic)  its listener's topic");
}

TEST_F(CmdRules, CheckSaysErrorsWithTheirPlaces)
{
    const std::string path =
        File("bad.yaml", "rules:\n  - { name: a, when: '(', do: drop }\n"
                         "  - { name: a, when: x, do: dorp }\ndefault: drop\n");

    EXPECT_EQ(Run({"check", path}), 1);
    EXPECT_NE(errors_.find("bad.yaml:2:"), std::string::npos) << errors_;
    EXPECT_NE(errors_.find("bad.yaml:3:"), std::string::npos) << errors_;
    EXPECT_EQ(out_, "");
    EXPECT_EQ(Run({"check", folder_ / "none.yaml"}), 66);
}

TEST_F(CmdRules, CheckCountsWarningsWhenStrict)
{
    const std::string lax = File("lax.yaml", "rules:\n  - { name: all, when: '.*', do: drop }\n"
                                             "  - { name: never, when: 'x', do: drop }\n"
                                             "default: drop\n");
    const std::string good = File("good.yaml", kRules);

    EXPECT_EQ(Run({"check", lax}), 0);
    EXPECT_NE(errors_.find("lax.yaml:3:"), std::string::npos) << errors_;
    EXPECT_EQ(Run({"check", lax, "--strict"}), 2);
    EXPECT_EQ(Run({"check", good, "--strict"}), 0) << errors_;
    EXPECT_NE(out_.find("good.yaml: ok: 6 rules"), std::string::npos);
}

TEST_F(CmdRules, CheckInJsonHasDiagnostics)
{
    EXPECT_EQ(Run({"check", "--json", File("bad.yaml", "rules: 7\n")}), 1);
    const Json bad = Parse(out_);
    ASSERT_NE(bad, nullptr) << out_;
    EXPECT_EQ(Dump(bad, "ok"), "false");
    EXPECT_GE(json_array_size(json_object_get(bad.get(), "diagnostics")), 1U);

    EXPECT_EQ(Run({"check", "--json", File("good.yaml", kRules)}), 0);
    EXPECT_EQ(Dump(Parse(out_), "rules"), "6");
}

TEST_F(CmdRules, CheckTakesTopicsFromAConfiguration)
{
    const std::string config =
        File("penstock.yaml", "node: a\nworkers: { cores: [0] }\n"
                              "ports: [{ device: net_null0, address: 192.0.2.10/24 }]\n"
                              "topics: [{ name: events }]\n"
                              "listeners: [{ protocol: lines, port: 5140, topic: events }]\n"
                              "storage: { paths: [/data] }\nrules: rules.yaml\n");
    File("rules.yaml", "rules: [{ name: a, when: x, do: { route: evnts } }]\n");

    const CommandRun named = RunCommand(command_rules, {"check", config});
    const CommandRun beside =
        RunCommand(command_rules, {"check", "-c", config, folder_ / "rules.yaml"});
    File("rules.yaml", "rules: [{ name: a, when: x, do: { route: events } }]\n");
    const CommandRun good = RunCommand(command_rules, {"check", "-c", config});

    EXPECT_EQ(named.code, 1);
    EXPECT_NE(named.errors.find("did you mean 'events'"), std::string::npos) << named.errors;
    EXPECT_EQ(beside.errors, named.errors);
    EXPECT_EQ(good.code, 0) << good.errors;
}

TEST_F(CmdRules, ExplainShowsWhichTestFailed)
{
    const std::string rules = File("rules.yaml", kRules);

    ASSERT_EQ(Run({"explain", "svc=pay level=debug", rules}), 0) << errors_;
    EXPECT_NE(out_.find("rule pay (" + rules +
                        ":8): does not hold\n"
                        "    - all of\n"
                        "      + value match 'svc=pay'\n"
                        "      - not\n"
                        "        + value match 'level=debug'\n"),
              std::string::npos)
        << out_;
    EXPECT_NE(out_.find("verdict\n  1: store events  default"), std::string::npos) << out_;
}

TEST_F(CmdRules, ExplainShowsFieldsAsRulesSeeThemAndWhoDecided)
{
    const std::string rules = File("rules.yaml", kRules);

    ASSERT_EQ(Run({"explain", R"({"value":"{\"level\":\"error\"}","source":"10.0.0.9"})", rules,
                   "--format", "ndjson"}),
              0)
        << errors_;
    EXPECT_NE(out_.find("json:.level        'error' (5 bytes)"), std::string::npos) << out_;
    EXPECT_NE(out_.find("json:.id           (none)"), std::string::npos) << out_;
    EXPECT_NE(out_.find("source             10.0.0.9"), std::string::npos) << out_;
    EXPECT_NE(out_.find("): holds; not asked: js decided\n    + source in 10.0.0.0/8"),
              std::string::npos)
        << out_;
}

TEST_F(CmdRules, BenchMeasuresTheSetAndItsRules)
{
    std::string records;
    for (int i = 0; i < 500; i++) { records += "svc=pay " + std::to_string(i) + "\n"; }

    ASSERT_EQ(Run({"bench", File("rules.yaml", kRules), File("records", records), "--json",
                   "--worst", "2"}),
              0)
        << errors_;
    const Json report = Parse(out_);

    ASSERT_NE(report, nullptr) << out_;
    EXPECT_EQ(Dump(report, "records"), "500");
    EXPECT_EQ(Dump(report, "matches"), "1000"); // quiet and pay
    EXPECT_GT(json_real_value(json_object_get(report.get(), "ns_a_record")), 0);
    EXPECT_EQ(json_array_size(json_object_get(report.get(), "worst")), 2U);
    EXPECT_EQ(Run({"bench", File("rules.yaml", kRules), File("records", "")}), 65);
}

TEST_F(CmdRules, ImportGivesAFileThatCheckAccepts)
{
    const std::string patterns = File("patterns", "it's: #x\na\\(b\\|c\\)\n\\(x\\)\\1\n\n");

    EXPECT_EQ(Run({"import", "--from", "grep", patterns, "--do", "events", "--default", "drop"}),
              1);
    const std::string imported = File("imported.yaml", out_);
    EXPECT_NE(errors_.find("patterns:3: not taken over: a back-reference"), std::string::npos);
    EXPECT_NE(out_.find("#   line 3: a back-reference"), std::string::npos) << out_;
    EXPECT_EQ(Run({"check", imported}), 0) << errors_;
    rules_ = out_;
}

TEST_F(CmdRules, ImportLeavesOutWhatTheLoaderRefusesWithItsReason)
{
    const std::string signatures =
        File("s.rules", "alert tcp any any -> any any (msg:\"a\"; pcre:\"/(a)\\1/s\"; sid:1;)\n"
                        "alert tcp any any -> any any (msg:\"b\"; content:\"b\"; sid:2;)\n"
                        "alert tcp any any -> any any (msg:\"c\"; \\\n  content:\"c\"; sid:3;)\n");

    EXPECT_EQ(Run({"import", "--from", "suricata-pcre", signatures}), 1);
    EXPECT_NE(errors_.find("s.rules:1: not taken over: "), std::string::npos) << errors_;
    EXPECT_NE(out_.find("'2 b, line 2', when: 'b', do: drop, mode: shadow"), std::string::npos)
        << out_;
    EXPECT_NE(out_.find("'3 c, line 3', when: 'c'"), std::string::npos) << out_;
    EXPECT_EQ(Run({"check", File("imported.yaml", out_)}), 0) << errors_;
}

TEST_F(CmdRules, ImportOfNothingIsAnEmptyFile)
{
    EXPECT_EQ(Run({"import", "--from", "grep", File("none", "")}), 0) << errors_;
    EXPECT_EQ(Run({"check", File("imported.yaml", out_)}), 0) << errors_;
}

TEST_F(CmdRules, MisuseHasItsOwnCode)
{
    EXPECT_EQ(RunCommand(command_rules, {}).code, 64);
    EXPECT_EQ(RunCommand(command_rules, {"chekc"}).code, 64);
    EXPECT_NE(RunCommand(command_rules, {"chekc"}).errors.find("did you mean 'check'"),
              std::string::npos);
    EXPECT_EQ(RunCommand(command_rules, {"import", "file"}).code, 64);
    EXPECT_EQ(RunCommand(command_rules, {"import", "--from", "suricata-pcre", "-i"}).code, 64);
    EXPECT_EQ(RunCommand(command_rules, {"explain"}).code, 64);
    EXPECT_EQ(RunCommand(command_rules, {"test", "--format", "xml"}).code, 64);
    EXPECT_EQ(RunCommand(command_rules, {"replay"}).code, 64);
    EXPECT_EQ(RunCommand(command_rules, {"check", "--help"}).code, 0);
}

} // namespace
