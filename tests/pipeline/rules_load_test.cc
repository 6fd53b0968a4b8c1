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
    std::string text; // a default is added
    Errors errors;
};

void PrintTo(const Mistake &mistake, std::ostream *out) { *out << mistake.text; }

class RulesMistake : public testing::TestWithParam<Mistake> {};

TEST_P(RulesMistake, IsRefusedWithItsPlace)
{
    const WasRead read = Read(GetParam().text + "default: drop\n");

    EXPECT_EQ(read.errors, GetParam().errors);
    EXPECT_EQ(read.document, nullptr);
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
     {"1:1: no such key of a rules file: 'xyzzy'; there are rules, default, examples, limits"}},
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
     {"2:31: no such field: 'colour'; there are value, key, listener, source, header:NAME, "
      "json:.PATH, syslog.facility, syslog.severity, syslog.version, syslog.timestamp, "
      "syslog.hostname, syslog.app, syslog.procid, syslog.msgid, "
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
     {"2:22: a condition that asks nothing; it needs match, equals, present, below, above, "
      "at_least, at_most, size_above, size_below or in"}},
    {"ActionIsNoAction",
     "rules:\n  - { name: a, when: x, do: events }\n",
     {"2:29: must be drop, or a map with any of route, keep, limit, redact, set_key, add: "
      "{ route: TOPIC }"}},
    {"RulesAreNoList", "rules: x\n", {"1:8: must be a list of rules"}},
    {"RuleIsNoMap",
     "rules:\n  - drop\n",
     {"2:5: must be a rule: { name: ..., when: ..., do: ... }"}},
    {"ConditionIsAList",
     "rules:\n  - { name: a, when: [x], do: drop }\n",
     {"2:22: must be a pattern, { field: NAME, match: PATTERN }, or { all: [...] }, { any: "
      "[...] }, { not: ... } of such"}},
    {"DropAndContinue",
     "rules:\n  - { name: a, when: x, do: drop, continue: true }\n",
     {"2:45: a record that is dropped is not shown to later rules: 'continue' and drop do not go "
      "together"}},
    {"ContinueIsNoTruth",
     "rules:\n  - { name: a, when: x, do: { route: audit }, continue: yes }\n",
     {"2:57: 'continue' must be true or false"}},
    {"UnknownMode",
     "rules:\n  - { name: a, when: x, do: drop, mode: shadw }\n",
     {"2:41: no such mode: 'shadw'; did you mean 'shadow'?"}},
    {"LongName",
     "rules:\n  - { name: " + std::string(129, 'n') + ", when: x, do: drop }\n",
     {"2:13: a name of 129 bytes; at most 128 are possible"}},
    {"UnionOfRoutes",
     "rules:\n"
     "  - { name: a, when: a, do: { route: [events, payments, audit, topic-3] }, continue: true }\n"
     "  - { name: s, when: s, do: { route: [topic-8] }, continue: true, mode: shadow }\n"
     "  - { name: b, when: b, do: { route: [audit, topic-4, topic-5, topic-6] } }\n"
     "  - { name: c, when: c, do: { route: [topic-4, topic-5, topic-6, topic-7, topic-8] } }\n",
     {"5:29: with the rules in front that continue, a record could be routed to 9 topics; at most "
      "8 are possible"}},

    {"TreeKeyBesideOthers",
     "rules:\n  - { name: a, when: { all: [x], field: key }, do: drop }\n",
     {"2:22: 'all' stands alone in its map; write { all: [...] } around what must hold together"}},
    {"TreeWithoutAList",
     "rules:\n  - { name: a, when: { any: x }, do: drop }\n",
     {"2:29: 'any' needs a list of conditions"}},
    {"EmptyTree",
     "rules:\n  - { name: a, when: { not: { all: [] } }, do: drop }\n",
     {"2:36: 'all' needs a list of conditions"}},
    {"MisspeltTest",
     "rules:\n  - { name: a, when: { field: key, equal: x }, do: drop }\n",
     {"2:36: no such key of a condition: 'equal'; did you mean 'equals'?"}},
    {"NumberIsNone",
     "rules:\n  - { name: a, when: { field: syslog.severity, below: warning }, do: drop }\n",
     {"2:55: 'below' is 'warning'; a decimal number is expected: 5, -3 or 0.25"}},
    {"NumberTooLarge",
     "rules:\n  - { name: a, when: { at_most: 1e999 }, do: drop }\n",
     {"2:33: 'at_most' is '1e999'; a decimal number is expected: 5, -3 or 0.25"}},
    {"SizeIsNone",
     "rules:\n  - { name: a, when: { size_above: 4 KB }, do: drop }\n",
     {"2:36: 'size_above' is '4 KB'; a size from 0B to 1TiB is expected"}},
    {"PresentIsNoTruth",
     "rules:\n  - { name: a, when: { field: key, present: 1 }, do: drop }\n",
     {"2:45: 'present' must be true or false"}},
    {"EqualsNothing",
     "rules:\n  - { name: a, when: { field: key, equals: }, do: drop }\n",
     {"2:44: must be a text; '' is the empty one"}},
    {"EqualsAnEmptyList",
     "rules:\n  - { name: a, when: { field: key, equals: [] }, do: drop }\n",
     {"2:44: an empty list, which nothing can be in"}},
    {"EqualsAListOfLists",
     "rules:\n  - { name: a, when: { field: key, equals: [x, [y]] }, do: drop }\n",
     {"2:48: must be a text; '' is the empty one"}},
    {"UnknownListener",
     "rules:\n  - { name: a, when: { field: listener, equals: [lines:5140, lines:514] }, do: drop "
     "}\n",
     {"2:62: no such listener: 'lines:514'; did you mean 'lines:5140'?"}},
    {"ListenerAsNumber",
     "rules:\n  - { name: a, when: { field: listener, below: 5 }, do: drop }\n",
     {"2:41: a listener is a text like syslog:514, never a number"}},
    {"SourceAsText",
     "rules:\n  - { name: a, when: { field: source, match: '^10' }, do: drop }\n",
     {"2:39: 'match' is not for the sender's address: { field: source, in: 10.0.0.0/8 }"}},
    {"NetworkOfAValue",
     "rules:\n  - { name: a, when: { in: 10.0.0.0/8 }, do: drop }\n",
     {"2:24: 'in' asks for the sender's network: { field: source, in: 10.0.0.0/8 }"}},
    {"HostBits",
     "rules:\n  - { name: a, when: { field: source, in: [10.1.2.3/8, 10.0.0.128/25, "
     "'2001:db8::1/32', "
     "'2001:db8:ffff::/33'] }, do: drop }\n",
     {"2:44: '10.1.2.3/8' has bits behind its prefix; the network is 10.0.0.0/8, one address alone "
      "has /32",
      "2:71: '2001:db8::1/32' has bits behind its prefix; the network is 2001:db8::/32, one "
      "address alone has /128",
      "2:89: '2001:db8:ffff::/33' has bits behind its prefix; the network is 2001:db8:8000::/33, "
      "one address alone has /128"}},
    {"NoPrefixLength",
     "rules:\n  - { name: a, when: { field: source, in: [10.0.0.1, 10.0.0.0/33, 10.0.0.0/08, "
     "'::/129', "
     "10.0.0.0/] }, do: drop }\n",
     {"2:44: '10.0.0.1' has no prefix length; one address alone is 10.0.0.1/32",
      "2:54: '10.0.0.0/33' has no prefix length from 0 to 32 behind the '/'",
      "2:67: '10.0.0.0/08' has no prefix length from 0 to 32 behind the '/'",
      "2:80: '::/129' has no prefix length from 0 to 128 behind the '/'",
      "2:90: '10.0.0.0/' has no prefix length from 0 to 32 behind the '/'"}},
    {"NoNetwork",
     "rules:\n  - { name: a, when: { field: source, in: rack7 }, do: drop }\n",
     {"2:43: 'rack7' is no network; write 10.0.0.0/8 or 2001:db8::/32, say"}},
    {"HeaderWithoutAName",
     "rules:\n  - { name: a, when: { field: 'header:', match: x }, do: drop }\n",
     {"2:31: a header's name has 1 to 255 bytes: header:trace-id"}},
    {"NoJsonPath",
     "rules:\n  - { name: a, when: { field: 'json:level', match: x }, do: drop }\n",
     {"2:31: 'level' is no JSON path; write .http.status, .items[0].id or .\"odd name\": up to 16 "
      "steps and 256 bytes"}},
    {"FieldIsAList",
     "rules:\n  - { name: a, when: { field: [key], match: x }, do: drop }\n",
     {"2:31: must be the name of a field"}},

    {"UnknownActionKey",
     "rules:\n  - { name: a, when: x, do: { rout: audit } }\n",
     {"2:31: no such action: 'rout'; did you mean 'route'?"}},
    {"KeepTwoInThree",
     "rules:\n  - { name: a, when: x, do: { keep: 2/3 } }\n",
     {"2:37: 'keep' is '2/3'; one in so many is expected, from 1/1 to 1/2147483648"}},
    {"KeepOneInNothing",
     "rules:\n  - { name: a, when: x, do: { keep: 1/0 } }\n"
     "  - { name: b, when: x, do: { keep: 1/2147483649 } }\n",
     {"2:37: 'keep' is '1/0'; one in so many is expected, from 1/1 to 1/2147483648",
      "3:37: 'keep' is '1/2147483649'; one in so many is expected, from 1/1 to 1/2147483648"}},
    {"KeepByTheMoon",
     "rules:\n  - { name: a, when: x, do: { keep: 1/2, by: kee } }\n"
     "  - { name: b, when: x, do: { by: key } }\n",
     {"2:46: no such way to choose: 'kee'; did you mean 'key'?",
      "3:35: 'by' goes with 'keep': { keep: 1/100, by: key }"}},
    {"LimitOfNothing",
     "rules:\n  - { name: a, when: x, do: { limit: { burst: 5 } } }\n"
     "  - { name: b, when: x, do: { limit: { records: 1/s, bytes: 1/s } } }\n",
     {"2:38: a limit is of records or of bytes: { records: 1000/s } or { bytes: 10MiB/s }",
      "3:38: a limit is of records or of bytes: { records: 1000/s } or { bytes: 10MiB/s }"}},
    {"LimitWithoutAUnit",
     "rules:\n  - { name: a, when: x, do: { limit: { records: 1000 } } }\n"
     "  - { name: b, when: x, do: { limit: { bytes: 1000/m } } }\n",
     {"2:49: '1000' is no rate; write 1000/s, so much a second",
      "3:47: '1000/m' is no rate; write 10MiB/s, so much a second"}},
    {"LimitOutOfRange",
     "rules:\n  - { name: a, when: x, do: { limit: { records: 0/s } } }\n"
     "  - { name: b, when: x, do: { limit: { records: 1000000001/s } } }\n"
     "  - { name: c, when: x, do: { limit: { bytes: 2TiB/s } } }\n"
     "  - { name: d, when: x, do: { limit: { records: 5/s, burst: 0 } } }\n"
     "  - { name: e, when: x, do: { limit: { bytes: 5/s, burst: 3 potatoes } } }\n",
     {"2:49: a rate of '0/s'; it must be from 1/s to 1000000000/s",
      "3:49: a rate of '1000000001/s'; it must be from 1/s to 1000000000/s",
      "4:47: a rate of '2TiB/s'; it must be from 1/s to 1TiB/s",
      "5:61: 'burst' is '0'; a whole number from 1 to 1000000000 is expected",
      "6:59: 'burst' is '3 potatoes'; a size from 1B to 1TiB is expected"}},
    {"Buckets",
     "rules:\n  - { name: a, when: x, do: { limit: { records: 5/s, by: key, buckets: 1000 } } }\n"
     "  - { name: b, when: x, do: { limit: { records: 5/s, buckets: 1024 } } }\n"
     "  - { name: c, when: x, do: { limit: { records: 5/s, by: key, buckets: 2 } } }\n"
     "  - { name: d, when: x, do: { limit: { records: 5/s, by: key, buckets: 1048576 } } }\n"
     "  - { name: e, when: x, do: { limit: { records: 5/s, by: source } } }\n",
     {"2:72: 'buckets' is 1000; it must be a power of two: 1024, say",
      "3:63: 'buckets' are for a limit by a field: { records: 1000/s, by: key }",
      "4:72: 'buckets' is '2'; a whole number from 4 to 1048576 is expected",
      "6:58: with this limit all rules together have more than 1048576 buckets; give some fewer"}},
    {"RedactWithoutAPattern",
     "rules:\n  - { name: a, when: x, do: { redact: { field: key } } }\n",
     {"2:39: a redaction without 'match': what is overwritten"}},
    {"RedactElsewhere",
     "rules:\n  - { name: a, when: x, do: { redact: { field: 'json:.a', match: x } } }\n"
     "  - { name: b, when: x, do: { redact: { field: listener, match: x } } }\n",
     {"2:48: a JSON member cannot be redacted alone; say field: value, and match its name with it",
      "3:48: 'listener' is not stored with a record: value, key and header:NAME can be redacted"}},
    {"RedactWithTwoBytes",
     "rules:\n  - { name: a, when: x, do: { redact: { match: x, with: 'ä' } } }\n"
     "  - { name: b, when: x, do: { redact: { match: x, with: '' } } }\n",
     {"2:57: 'with' is 'ä', of 2 bytes; every byte is overwritten by one: '*', say",
      "3:57: 'with' is '', of 0 bytes; every byte is overwritten by one: '*', say"}},
    {"SetKeyToKey",
     "rules:\n  - { name: a, when: x, do: { set_key: key } }\n",
     {"2:40: the key is what it is; name another field"}},
    {"AddTooMuch",
     "rules:\n  - { name: a, when: x, do: { add: { a: 1, b: 2, c: 3, d: 4, e: 5 } } }\n"
     "  - { name: b, when: x, do: { add: {} } }\n"
     "  - { name: c, when: x, do: { add: { '': 1, b: [2] } } }\n",
     {"2:36: 5 headers; a rule adds at most 4", "3:36: must be headers: { NAME: TEXT }",
      "4:38: a header's name has 1 to 255 bytes", "4:48: must be a text; '' is the empty one"}},

    {"ExamplesOutOfRange",
     "examples: { keep: 17, bytes: 15 }\n",
     {"1:19: 'keep' is '17'; a whole number from 1 to 16 is expected"}},
    {"ExampleTooLong",
     "examples: { keep: 1, bytes: 2KiB }\n",
     {"1:29: 'bytes' is '2KiB'; a size from 16B to 1KiB is expected"}},
    {"ExamplesOfNone",
     "examples: { bytes: 64 }\n",
     {"1:11: examples without 'keep': how many of each rule"}},
    {"LimitsOutOfRange",
     "limits: { matches: 0, database: 1KiB, compile: 1500ms }\n",
     {"1:20: 'matches' is '0'; a whole number from 1 to 1000000 is expected",
      "1:33: 'database' is '1KiB'; a size from 1MiB to 64GiB is expected",
      "1:48: 'compile' is '1500ms'; whole seconds from 1s to 1h are expected"}},
    {"UnknownLimit",
     "limits: { matchs: 5 }\n",
     {"1:11: no such key of limits: 'matchs'; did you mean 'matches'?"}},
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
                ElementsAre("3:3: 16385 rules; at most 16384 are possible"));
}

} // namespace
