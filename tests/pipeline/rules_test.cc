#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <unistd.h>

#include "tests/pipeline/rules_builder.h"

namespace {

// A record whose parts live as long as the test's full expression.
struct Record {
    std::string value;
    uint16_t listener = WITHOUT_TOPIC;
    std::vector<std::pair<std::string, std::string>> headers = {};
    const char *key = nullptr;
    bool value_is_null = false;
};

struct verdict Judge(const Loaded &loaded, const Record &record)
{
    EXPECT_NE(loaded.rules, nullptr) << testing::PrintToString(loaded.errors);
    struct rule_scratch *scratch = nullptr;
    EXPECT_EQ(rule_scratch_create(loaded.rules.get(), &kScratchOptions, &scratch), STATUS_OK);
    const RuleScratch owner(scratch);
    std::vector<struct record_header> headers;
    for (const auto &[name, value] : record.headers) {
        headers.push_back({bytes_of_text(name.c_str()), bytes_of_text(value.c_str())});
    }
    struct record in = {};
    in.topic = RECORD_NO_TOPIC;
    in.value =
        record.value_is_null ? bytes_null() : bytes_of(record.value.data(), record.value.size());
    in.key = record.key == nullptr ? bytes_null() : bytes_of_text(record.key);
    in.headers = headers.data();
    in.header_count = static_cast<uint16_t>(headers.size());
    in.listener = record.listener;
    struct verdict verdict = {};
    rules_judge(loaded.rules.get(), scratch, &in, 1, 0, &verdict);
    return verdict;
}

std::vector<uint16_t> TopicsOf(const struct verdict &verdict)
{
    return std::vector<uint16_t>(verdict.topics, verdict.topics + verdict.topic_count);
}

using Topics = std::vector<uint16_t>;

const char example[] = "rules:\n"
                       "  - name: health-checks\n"
                       "    when: 'GET /healthz'\n"
                       "    do: drop\n"
                       "  - name: payments\n"
                       "    when: 'svc=payments'\n"
                       "    do: { route: [payments, audit] }\n"
                       "  - name: anything-with-svc\n"
                       "    when: 'svc='\n"
                       "    do: { route: audit }\n"
                       "default: { route: events }\n";

TEST(Rules, DropWhatTheySayToDrop)
{
    const struct verdict verdict = Judge(Load(example), {"10.0.0.1 GET /healthz 200"});

    EXPECT_EQ(verdict.fate, VERDICT_DROP);
    EXPECT_EQ(verdict.topic_count, 0);
    EXPECT_EQ(verdict.rule, 0);
}

TEST(Rules, RouteToSeveralTopicsInTheOrderWritten)
{
    const struct verdict verdict = Judge(Load(example), {"svc=payments amount=3"});

    EXPECT_EQ(verdict.fate, VERDICT_STORE);
    EXPECT_EQ(TopicsOf(verdict), (Topics{PAYMENTS, AUDIT}));
    EXPECT_EQ(verdict.rule, 1);
}

TEST(Rules, TheFirstMatchInFileOrderWins)
{
    EXPECT_EQ(Judge(Load(example), {"svc=payments GET /healthz"}).rule, 0); // matches all three
    EXPECT_EQ(Judge(Load(example), {"svc=search"}).rule, 2);
}

TEST(Rules, WithoutAMatchTheListenersTopicCountsBeforeTheDefault)
{
    const struct verdict by_default = Judge(Load(example), {"other", WITHOUT_TOPIC});
    const struct verdict by_listener = Judge(Load(example), {"other", WITH_TOPIC_AUDIT});

    EXPECT_EQ(TopicsOf(by_default), Topics{EVENTS});
    EXPECT_EQ(TopicsOf(by_listener), Topics{AUDIT});
    EXPECT_EQ(by_default.rule, RULES_NONE);
    EXPECT_EQ(by_listener.rule, RULES_NONE);
}

TEST(Rules, ARuleCountsBeforeTheListenersTopic)
{
    EXPECT_TRUE(Judge(Load(example), {"GET /healthz", WITH_TOPIC_AUDIT}).fate == VERDICT_DROP);
}

TEST(Rules, TheDefaultMayBeDrop)
{
    const struct verdict verdict = Judge(Load("default: drop\n"), {"x", WITHOUT_TOPIC});

    EXPECT_EQ(verdict.fate, VERDICT_DROP);
    EXPECT_EQ(verdict.rule, RULES_NONE);
}

TEST(Rules, JudgeEachRecordOfABurstByItself)
{
    const Loaded loaded = Load(example);
    struct rule_scratch *scratch = nullptr;
    ASSERT_EQ(rule_scratch_create(loaded.rules.get(), &kScratchOptions, &scratch), STATUS_OK);
    const RuleScratch owner(scratch);
    struct record records[3] = {};
    for (struct record &record : records) { record.topic = RECORD_NO_TOPIC; }
    records[0].value = bytes_of_text("GET /healthz");
    records[1].value = bytes_of_text("nothing");
    records[2].value = bytes_of_text("svc=payments");
    struct verdict verdicts[3] = {};

    rules_judge(loaded.rules.get(), scratch, records, 3, 0, verdicts);

    EXPECT_EQ(verdicts[0].rule, 0);
    EXPECT_EQ(verdicts[1].rule, RULES_NONE);
    EXPECT_EQ(verdicts[2].rule, 1);
}

TEST(Rules, NumbersBeyondOneWordOfBitsAreFound)
{
    std::string text = "default: drop\nrules:\n";
    for (int i = 0; i < 200; i++) {
        text += "  - { name: r" + std::to_string(i) + ", when: '<" + std::to_string(i) +
                ">', do: { route: events } }\n";
    }
    const Loaded loaded = Load(text);

    EXPECT_EQ(Judge(loaded, {"<199>"}).rule, 199);
    EXPECT_EQ(Judge(loaded, {"<199><64>"}).rule, 64);
    EXPECT_EQ(Judge(loaded, {"<130><199><63>"}).rule, 63);
    EXPECT_EQ(Judge(loaded, {"<200>"}).rule, RULES_NONE);
}

// ------------------------------------------------------------------------------------- fields

Loaded LookingIn(const std::string &field, const std::string &pattern)
{
    return Load("rules:\n  - name: r\n    when: { field: " + field + ", match: '" + pattern +
                "' }\n    do: drop\ndefault: { route: events }\n");
}

TEST(RuleField, ASyslogHeaderIsScannedByItsName)
{
    const Loaded loaded = LookingIn("syslog.hostname", "^edge-");

    EXPECT_TRUE(
        Judge(loaded, {"m", 0, {{"syslog.app", "x"}, {"syslog.hostname", "edge-1"}}}).fate ==
        VERDICT_DROP);
    EXPECT_FALSE(Judge(loaded, {"m", 0, {{"syslog.app", "edge-1"}}}).fate == VERDICT_DROP);
    EXPECT_FALSE(Judge(loaded, {"edge-1", 0, {{"syslog.hostname", "core-1"}}}).fate ==
                 VERDICT_DROP);
}

TEST(RuleField, AFieldThatTheRecordHasNotMatchesNothing)
{
    EXPECT_FALSE(Judge(LookingIn("syslog.msgid", ".*"), {"m"}).fate == VERDICT_DROP);
    EXPECT_FALSE(Judge(LookingIn("key", ".*"), {"m"}).fate == VERDICT_DROP);
}

TEST(RuleField, AnEmptyKeyIsThereAndEmpty)
{
    Record record = {"value"};
    record.key = "";

    EXPECT_TRUE(Judge(LookingIn("key", "^$"), record).fate == VERDICT_DROP);
}

TEST(RuleField, TheKeyIsScanned)
{
    Record record = {"value"};
    record.key = "dbg-7";

    EXPECT_TRUE(Judge(LookingIn("key", "^dbg-"), record).fate == VERDICT_DROP);
    EXPECT_FALSE(Judge(LookingIn("value", "^dbg-"), record).fate == VERDICT_DROP);
}

TEST(RuleField, RulesOnDifferentFieldsKeepTheFilesOrder)
{
    const Loaded loaded = Load("rules:\n"
                               "  - { name: h, when: { field: syslog.app, match: a }, do: drop }\n"
                               "  - { name: v, when: b, do: drop }\n"
                               "  - { name: i, when: { field: syslog.app, match: c }, do: drop }\n"
                               "default: { route: events }\n");

    EXPECT_EQ(Judge(loaded, {"b", 0, {{"syslog.app", "a"}}}).rule, 0);
    EXPECT_EQ(Judge(loaded, {"b", 0, {{"syslog.app", "c"}}}).rule, 1);
    EXPECT_EQ(Judge(loaded, {"x", 0, {{"syslog.app", "c"}}}).rule, 2);
}

// ----------------------------------------------------------------------------------- patterns

bool Matches(const std::string &pattern, const std::string &value)
{
    return Judge(LookingIn("value", pattern), {value}).fate == VERDICT_DROP;
}

TEST(RulePattern, DollarIsTheVeryEnd)
{
    EXPECT_TRUE(Matches("a$", "xa"));
    EXPECT_FALSE(Matches("a$", "xa\n")); // plain PCRE says yes
    EXPECT_FALSE(Matches("a$", "xa\nb"));
    EXPECT_TRUE(Matches("a\\n$", "xa\n"));
    EXPECT_TRUE(Matches("(a|b)$", "b"));
    EXPECT_FALSE(Matches("(?i)A$", "a\n"));
    EXPECT_TRUE(Matches("[[:]$", ":"));
    EXPECT_FALSE(Matches("[[:]$", ":\n"));
}

TEST(RulePattern, CaretIsTheVeryBeginning)
{
    EXPECT_TRUE(Matches("^a", "ab"));
    EXPECT_FALSE(Matches("^a", "b\na"));
}

TEST(RulePattern, ADotIsAnyByte)
{
    EXPECT_TRUE(Matches("a.b", "a\nb"));
    EXPECT_TRUE(Matches("^.$", "\xff"));
    EXPECT_TRUE(Matches("a.b", std::string("a\0b", 3)));
    EXPECT_FALSE(Matches("^.$", "\xc3\xa4")); // two bytes are two
}

TEST(RulePattern, JudgesTheEmptyRecord)
{
    EXPECT_TRUE(Matches("^$", ""));
    EXPECT_TRUE(Matches("^", ""));
    EXPECT_TRUE(Matches("$", ""));
    EXPECT_TRUE(Matches("a*", ""));
    EXPECT_TRUE(Matches(".*", ""));
    EXPECT_TRUE(Matches("a|^$", ""));
    EXPECT_TRUE(Matches("\\Aa?\\z", ""));
    EXPECT_FALSE(Matches("a", ""));
    EXPECT_FALSE(Matches(".", ""));
    EXPECT_FALSE(Matches("\\b", ""));
}

TEST(RulePattern, TakesANullValueForAnEmptyOne)
{
    Record tombstone = {""};
    tombstone.value_is_null = true;

    EXPECT_TRUE(Judge(LookingIn("value", "^$"), tombstone).fate == VERDICT_DROP);
    EXPECT_FALSE(Judge(LookingIn("value", "."), tombstone).fate == VERDICT_DROP);
}

TEST(RulePattern, OnlyTheEmptyRecordIsEmpty)
{
    EXPECT_FALSE(Matches("^$", "\n"));
    EXPECT_FALSE(Matches("^$", "a"));
    EXPECT_FALSE(Matches("^$", std::string(1, '\0')));
}

TEST(RulePattern, FindsAMatchAtTheFarEndOfALargeRecord)
{
    EXPECT_TRUE(Matches("needle$", std::string(900000, 'x') + "needle"));
    EXPECT_FALSE(Matches("^needle", std::string(900000, 'x') + "needle"));
}

// ------------------------------------------------------------- the same answers as grep -E -a

class Grep {
  public:
    explicit Grep(const std::vector<std::string> &lines)
        : path_(testing::TempDir() + "penstock_rules_grep_" + std::to_string(getpid()))
    {
        std::ofstream out(path_, std::ios::binary);
        for (const std::string &line : lines) { out << line << '\n'; }
    }
    ~Grep() { std::remove(path_.c_str()); }

    // Line numbers from 0.
    std::set<size_t> Matching(const std::string &pattern) const
    {
        const std::string command =
            "LC_ALL=C grep -n -E -a -e '" + pattern + "' '" + path_ + "' | cut -d: -f1";
        std::set<size_t> out;
        FILE *const pipe = popen(command.c_str(), "r");
        char number[32];
        while (fgets(number, sizeof number, pipe) != nullptr) {
            out.insert(std::stoul(number) - 1);
        }
        pclose(pipe);
        return out;
    }

  private:
    std::string path_;
};

class Generator {
  public:
    explicit Generator(uint32_t seed) : random_(seed) {}

    std::string Line()
    {
        static const char letters[] = "aab bc.$x1[(\xff";
        std::string out;
        for (size_t i = Below(9); i > 0; i--) { out += letters[Below(sizeof letters - 1)]; }
        return out;
    }

    // What both dialects agree on: no quantifier on an anchor or on nothing.
    std::string Pattern()
    {
        std::string out = Below(4) == 0 ? "^" : "";
        out += Alternatives(2);
        return Below(4) == 0 ? out + "$" : out;
    }

  private:
    size_t Below(size_t limit) { return random_() % limit; }

    std::string Alternatives(size_t depth)
    {
        std::string out = Sequence(depth);
        if (Below(4) == 0) { out += "|" + Sequence(depth); }
        return out;
    }

    std::string Sequence(size_t depth)
    {
        std::string out;
        for (size_t i = 1 + Below(3); i > 0; i--) { out += Atom(depth) + Quantifier(); }
        return out;
    }

    std::string Atom(size_t depth)
    {
        static const char *const atoms[] = {
            "a",   "b",    "c",     "1",   ".",   "\\.",         "\\$",          "[ab]", "[^a]",
            "[$]", "[]x]", "[a-c]", "\\[", "\\(", "[[:digit:]]", "[[:alpha:]$]", " "};
        if (depth > 0 && Below(5) == 0) { return "(" + Alternatives(depth - 1) + ")"; }
        return atoms[Below(std::size(atoms))];
    }

    std::string Quantifier()
    {
        static const char *const quantifiers[] = {"", "", "", "", "*", "+", "?", "{2}", "{1,2}"};
        return quantifiers[Below(std::size(quantifiers))];
    }

    std::mt19937 random_;
};

TEST(RulePattern, AnswersAsGrepDoes)
{
    Generator generator(/*seed=*/20240301);
    std::vector<std::string> lines = {""};
    for (int i = 0; i < 300; i++) { lines.push_back(generator.Line()); }
    const Grep grep(lines);

    size_t matches = 0;
    for (int i = 0; i < 80; i++) {
        const std::string pattern = generator.Pattern();
        const Loaded loaded = LookingIn("value", pattern);
        std::set<size_t> ours;
        for (size_t line = 0; line < lines.size(); line++) {
            if (Judge(loaded, {lines[line]}).fate == VERDICT_DROP) { ours.insert(line); }
        }
        EXPECT_EQ(ours, grep.Matching(pattern)) << pattern;
        matches += ours.size();
    }
    EXPECT_GT(matches, 1000U); // else the patterns say nothing
}

} // namespace
