#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "tests/pipeline/rules_builder.h"

namespace {

using Errors = std::vector<std::string>;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr struct file_place kNamedAt = {"penstock.yaml", 14, 8};

TEST(RulesLoad, KeepsNamesAndCountInFileOrder)
{
    const Loaded loaded = Load("rules:\n"
                               "  - { name: zebra, when: z, do: drop }\n"
                               "  - { name: ant, when: a, do: { route: [events, audit] } }\n"
                               "default: { route: events }\n");

    ASSERT_THAT(loaded.errors, IsEmpty());
    ASSERT_EQ(rule_set_rule_count(loaded.rules.get()), 2U);
    EXPECT_STREQ(rule_set_rule_name(loaded.rules.get(), 0), "zebra");
    EXPECT_STREQ(rule_set_rule_name(loaded.rules.get(), 1), "ant");
}

TEST(RulesLoad, TakesAnEmptyListAndNoListAtAll)
{
    EXPECT_THAT(Load("rules: []\ndefault: drop\n").errors, IsEmpty());
    EXPECT_THAT(Load("default: drop\n").errors, IsEmpty());
    EXPECT_THAT(Load("", {EVENTS}).errors, IsEmpty());
}

TEST(RulesLoad, TheEpochIsTheFrontOfTheSourcesSha256)
{
    // printf 'default: drop\n' | sha256sum
    const Loaded loaded = Load("default: drop\n");
    const Loaded other = Load("default:  drop\n");

    ASSERT_THAT(loaded.errors, IsEmpty());
    EXPECT_EQ(rule_set_epoch(loaded.rules.get()), UINT64_C(0x7a9983472a916c70));
    EXPECT_NE(rule_set_epoch(other.rules.get()), rule_set_epoch(loaded.rules.get()));
}

TEST(RulesLoad, ReadsAFile)
{
    const std::string path = testing::TempDir() + "penstock_rules_load_test.yaml";
    std::ofstream(path) << "default: drop\n";
    const std::vector<int32_t> listeners = {-1};
    const struct rules_world world = World(listeners);
    struct diagnostics *const diagnostics = diagnostics_create();

    const RuleSet rules(rules_load(path.c_str(), kNamedAt, &world, diagnostics));

    EXPECT_THAT(ErrorsOf(diagnostics), IsEmpty());
    ASSERT_NE(rules, nullptr);
    EXPECT_EQ(rule_set_epoch(rules.get()), rule_set_epoch(Load("default: drop\n").rules.get()));
    diagnostics_destroy(diagnostics);
    std::remove(path.c_str());
}

Errors WarningsOfPattern(const std::string &pattern)
{
    const Loaded loaded =
        Load("rules:\n  - { name: a, when: '" + pattern + "', do: drop }\ndefault: drop\n");
    EXPECT_NE(loaded.rules, nullptr) << pattern;
    return loaded.errors;
}

TEST(RulesLoad, WarnsOfAPatternThatMatchesEveryRecord)
{
    const auto warning = ElementsAre("2:22: the pattern matches every record, as it also matches "
                                     "nothing at all; say '.*' if that is meant");

    EXPECT_THAT(WarningsOfPattern("x*"), warning);
    EXPECT_THAT(WarningsOfPattern("^x?"), warning);
    EXPECT_THAT(WarningsOfPattern("GET|"), warning);
}

TEST(RulesLoad, WarnsNotOfTheEmptyRecordAloneNorOfDotStar)
{
    EXPECT_THAT(WarningsOfPattern("^$"), IsEmpty());
    EXPECT_THAT(WarningsOfPattern("^x*$"), IsEmpty());
    EXPECT_THAT(WarningsOfPattern("x+"), IsEmpty());
    EXPECT_THAT(WarningsOfPattern(".*"), IsEmpty());
}

TEST(RulesLoad, SaysThatAFileIsNotThere)
{
    const std::vector<int32_t> listeners = {EVENTS};
    const struct rules_world world = World(listeners);
    struct diagnostics *const diagnostics = diagnostics_create();

    EXPECT_EQ(rules_load("/nowhere/rules.yaml", kNamedAt, &world, diagnostics), nullptr);
    EXPECT_THAT(ErrorsOf(diagnostics),
                ElementsAre("14:8: rules: /nowhere/rules.yaml cannot be opened: No such file or "
                            "directory"));
    diagnostics_destroy(diagnostics);
}

TEST(RulesLoad, WithoutAFileTheEpochIsZeroAndEveryListenerNeedsATopic)
{
    const std::vector<int32_t> good = {EVENTS};
    const std::vector<int32_t> bad = {EVENTS, -1};
    const struct rules_world good_world = World(good);
    const struct rules_world bad_world = World(bad);
    struct diagnostics *const diagnostics = diagnostics_create();

    const RuleSet rules(rules_load(nullptr, kNamedAt, &good_world, diagnostics));
    ASSERT_NE(rules, nullptr);
    EXPECT_EQ(rule_set_epoch(rules.get()), 0U);
    EXPECT_EQ(rule_set_rule_count(rules.get()), 0U);

    EXPECT_EQ(rules_load(nullptr, kNamedAt, &bad_world, diagnostics), nullptr);
    EXPECT_THAT(ErrorsOf(diagnostics),
                ElementsAre(HasSubstr("listeners[1] has no topic, and there is no rules file")));
    diagnostics_destroy(diagnostics);
}

TEST(RulesLoad, AListenerWithoutATopicNeedsADefault)
{
    EXPECT_THAT(Load("rules: []\n", {AUDIT, -1, -1}).errors,
                ElementsAre(HasSubstr("listeners[1] has no topic, and there is no 'default'"),
                            HasSubstr("listeners[2] has no topic")));
}

struct Mistake {
    const char *name;
    const char *text; // a default is added
    Errors errors;
};

void PrintTo(const Mistake &mistake, std::ostream *out) { *out << mistake.text; }

class RulesMistake : public testing::TestWithParam<Mistake> {};

TEST_P(RulesMistake, IsRefusedWithItsPlace)
{
    const Loaded loaded = Load(std::string(GetParam().text) + "default: drop\n");

    EXPECT_EQ(loaded.errors, GetParam().errors);
    EXPECT_EQ(loaded.rules, nullptr);
}

const Mistake mistakes[] = {
    {"MissingKeys",
     "rules:\n  - {}\n",
     {"2:5: a rule without 'name'", "2:5: a rule without 'when'", "2:5: a rule without 'do'"}},
    {"UnknownKey",
     "rules:\n  - { nane: a, name: b, when: x, do: drop }\n",
     {"2:7: no such key of a rule: 'nane'; did you mean 'name'?"}},
    {"UnknownTopLevelKey",
     "rulez: []\n",
     {"1:1: no such key of a rules file: 'rulez'; did you mean 'rules'?"}},
    {"NothingNear",
     "xyzzy: 1\n",
     {"1:1: no such key of a rules file: 'xyzzy'; there are rules, default"}},
    {"UnknownTopic",
     "rules:\n  - { name: a, when: x, do: { route: payment } }\n",
     {"2:38: no such topic: 'payment'; did you mean 'payments'?"}},
    {"FieldCutShort",
     "rules:\n  - { name: a, when: { field: syslog.host, match: x }, do: drop }\n",
     {"2:31: no such field: 'syslog.host'; did you mean 'syslog.hostname'?"}},
    {"MisspeltField",
     "rules:\n  - { name: a, when: { field: syslog.hostnam, match: x }, do: drop }\n",
     {"2:31: no such field: 'syslog.hostnam'; did you mean 'syslog.hostname'?"}},
    {"FieldTooLong",
     "rules:\n  - { name: a, when: { field: syslog.appname, match: x }, do: drop }\n",
     {"2:31: no such field: 'syslog.appname'; did you mean 'syslog.app'?"}},
    {"UnknownField",
     "rules:\n  - { name: a, when: { field: colour, match: x }, do: drop }\n",
     {"2:31: no such field: 'colour'; there are value, key, syslog.facility, syslog.severity, "
      "syslog.version, syslog.timestamp, syslog.hostname, syslog.app, syslog.procid, syslog.msgid, "
      "syslog.sd"}},
    {"RepeatedKeyHidesNothing",
     "rules:\n  - { name: a, name: b, when: x, do: { route: payment } }\n",
     {"2:16: key 'name' a second time; the first is on line 2",
      "2:47: no such topic: 'payment'; did you mean 'payments'?"}},
    {"TopicTwiceInARoute",
     "rules:\n  - { name: a, when: x, do: { route: [events, audit, events] } }\n",
     {"2:54: topic 'events' is in this route already"}},
    {"EmptyRoute",
     "rules:\n  - { name: a, when: x, do: { route: [] } }\n",
     {"2:38: a route to no topic; say drop if that is meant"}},
    {"RouteTooLong",
     "rules:\n  - name: a\n    when: x\n    do:\n      route: [events, payments, audit, topic-3, "
     "topic-4, topic-5, topic-6, topic-7, topic-8]\n",
     {"5:14: a route to 9 topics; at most 8 are possible"}},
    {"DuplicateName",
     "rules:\n  - { name: a, when: x, do: drop }\n  - { name: b, when: x, do: drop }\n"
     "  - { name: a, when: y, do: drop }\n",
     {"4:13: the name 'a' is taken by the rule at line 2"}},
    {"EmptyName", "rules:\n  - { name: '', when: x, do: drop }\n", {"2:13: must be a name"}},
    {"EmptyPattern",
     "rules:\n  - { name: a, when: '', do: drop }\n",
     {"2:22: an empty pattern; say '.*' if every record is meant"}},
    {"BadPatterns",
     "rules:\n  - { name: a, when: 'a$(b', do: drop }\n  - { name: b, when: '(b)\\1', do: drop }\n",
     {"2:22: bad pattern: Missing close parenthesis for group started at index 2.",
      "3:22: bad pattern: Back-references are unsupported."}},
    {"BadPatternInAMap",
     "rules:\n  - name: a\n    when: { field: key, match: '[z-a]' }\n    do: drop\n",
     {"3:32: bad pattern: Range out of order in character class at index 3."}},
    {"MultilineFlag",
     "rules:\n  - { name: a, when: '(?m)^a$', do: drop }\n",
     {"2:22: bad pattern: (?m) is not supported: ^ and $ are the record's ends; write \\n for a "
      "line's"}},
    {"Utf8Verb",
     "rules:\n  - { name: a, when: '(*UTF8)a', do: drop }\n",
     {"2:22: bad pattern: (*...) is not supported: a record is bytes, of no encoding"}},
    {"MatchMissing",
     "rules:\n  - { name: a, when: { field: key }, do: drop }\n",
     {"2:22: 'match' is missing: the pattern"}},
    {"LaterRuleKeys",
     "rules:\n  - { name: a, when: x, do: drop, continue: true, mode: shadow }\n",
     {"2:35: 'continue' is not in this version", "2:51: 'mode' is not in this version"}},
    {"LaterConditions",
     "rules:\n  - { name: a, when: { all: [x, { not: y }] }, do: drop }\n",
     {"2:24: 'all' is not in this version"}},
    {"LaterComparison",
     "rules:\n  - { name: a, when: { field: syslog.severity, below: 5 }, do: drop }\n",
     {"2:48: 'below' is not in this version"}},
    {"LaterAction",
     "rules:\n  - { name: a, when: x, do: { keep: 1/100 } }\n",
     {"2:31: 'keep' is not in this version"}},
    {"ActionIsNoAction",
     "rules:\n  - { name: a, when: x, do: events }\n",
     {"2:29: must be drop or { route: TOPIC } or { route: [TOPIC, TOPIC] }"}},
    {"RulesAreNoList", "rules: x\n", {"1:8: must be a list of rules"}},
    {"RuleIsNoMap",
     "rules:\n  - drop\n",
     {"2:5: must be a rule: { name: ..., when: ..., do: ... }"}},
    {"ConditionIsAList",
     "rules:\n  - { name: a, when: [x], do: drop }\n",
     {"2:22: must be a pattern or { field: NAME, match: PATTERN }"}},
    {"AllAtOnce",
     "rules:\n  - { name: a, when: '(', do: drop }\n  - { name: a, when: x, do: { route: nope } }\n"
     "  - { when: x, do: drop }\n",
     {"2:22: bad pattern: Missing close parenthesis for group started at index 0.",
      "3:13: the name 'a' is taken by the rule at line 2",
      "3:38: no such topic: 'nope'; there are events, payments, audit, topic-3, topic-4, topic-5, "
      "topic-6, topic-7, topic-8",
      "4:5: a rule without 'name'"}},
};

std::string NameOf(const testing::TestParamInfo<Mistake> &info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Each, RulesMistake, testing::ValuesIn(mistakes), NameOf);

TEST(RulesLoad, RefusesARootThatIsNoMap)
{
    EXPECT_THAT(Load("- a\n").errors,
                testing::Contains(HasSubstr("must be a map with 'rules' and 'default'")));
}

std::string RulesText(size_t count)
{
    std::string out = "default: drop\nrules:\n";
    for (size_t i = 0; i < count; i++) {
        out += "  - { name: r" + std::to_string(i) + ", when: x" + std::to_string(i) +
               "y, do: drop }\n";
    }
    return out;
}

TEST(RulesLoad, TakesAsManyRulesAsItPromises)
{
    const Loaded loaded = Load(RulesText(RULES_MAX));

    EXPECT_THAT(loaded.errors, IsEmpty());
    EXPECT_EQ(rule_set_rule_count(loaded.rules.get()), size_t{RULES_MAX});
}

TEST(RulesLoad, RefusesOneRuleTooMany)
{
    EXPECT_THAT(Load(RulesText(RULES_MAX + 1)).errors,
                ElementsAre("3:3: 10001 rules; at most 10000 are possible"));
}

} // namespace
