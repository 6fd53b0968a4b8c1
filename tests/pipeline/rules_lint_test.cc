#include "pipeline/rules_lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "pipeline/rules_cost.h"
#include "tests/pipeline/rules_builder.h"

namespace {

using Warnings = std::vector<std::string>;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Something goes to every topic, so that only rules are spoken of.
const char *const all_topics =
    "  - { name: zz, when: zzzz, do: { route: [events, payments, audit, topic-3, topic-4, topic-5, "
    "topic-6, topic-7] } }\n  - { name: zy, when: zyzy, do: { route: topic-8 } }\n";

Warnings Lint(const std::string &text)
{
    const WasRead read = Read(text);
    EXPECT_THAT(read.errors, IsEmpty());
    if (read.source == nullptr) { return {"not read"}; }
    struct diagnostics *const diagnostics = diagnostics_create();
    rules_lint(read.source, diagnostics);
    const Warnings out = ErrorsOf(diagnostics);
    EXPECT_EQ(diagnostics_error_count(diagnostics), 0U);
    diagnostics_destroy(diagnostics);
    return out;
}

Warnings LintRules(const std::string &rules)
{
    return Lint("default: drop\nrules:\n" + std::string(all_topics) + rules);
}

struct Pair {
    const char *earlier;
    const char *later;
};

void PrintTo(const Pair &pair, std::ostream *out) { *out << pair.earlier << " / " << pair.later; }

Warnings LintPair(const Pair &pair)
{
    return LintRules("  - { name: a, do: drop, when: " + std::string(pair.earlier) +
                     " }\n  - { name: b, do: drop, when: " + pair.later + " }\n");
}

class RulesCovered : public testing::TestWithParam<Pair> {};
TEST_P(RulesCovered, IsNeverAsked)
{
    EXPECT_THAT(LintPair(GetParam()), ElementsAre(HasSubstr("6:5: rule 'b' is never asked: ")));
}

INSTANTIATE_TEST_SUITE_P(
    Each, RulesCovered,
    testing::ValuesIn(std::initializer_list<Pair>{
        {"'.*'", "x"},
        {"{ present: true }", "{ field: key, present: true }"},
        {"err", "error"},
        {"'a\\.b'", "'xa\\.bx'"},
        {"'^GET'", "'^GET /'"},
        {"'x$'", "'^abcx$'"},
        {"'^(a|b)+$'", "'^(a|b)+$'"},
        {"{ field: key, match: '^p' }", "{ field: key, equals: payd }"},
        {"{ field: key, equals: [a, b, c] }", "{ field: key, equals: [c, a] }"},
        {"{ field: key, match: '.*' }", "{ field: key, match: '^x+$', size_above: 1 }"},
        {"{ field: key, below: 10 }", "{ field: key, at_least: 2, below: 5 }"},
        {"{ field: key, at_most: 10 }", "{ field: key, equals: ['10', '9.5'] }"},
        {"{ size_above: 2 }", "abc"},
        {"{ size_below: 5 }", "{ size_below: 4 }"},
        {"{ field: source, in: 10.0.0.0/8 }", "{ field: source, in: 10.1.0.0/16 }"},
        {"{ field: source, in: '::/0' }", "{ field: source, in: 10.1.0.0/16 }"},
        {"{ any: [x, y] }", "y"},
        {"x", "{ all: [{ field: key, match: z }, x] }"},
        {"{ not: xy }", "{ not: x }"},
        {"{ not: { field: key, equals: a } }", "{ field: key, equals: b }"},
        {"{ any: [x, { not: x }] }", "{ field: key, match: q }"},
    }));

class RulesOpen : public testing::TestWithParam<Pair> {};
TEST_P(RulesOpen, IsAsked) { EXPECT_THAT(LintPair(GetParam()), IsEmpty()); }

INSTANTIATE_TEST_SUITE_P(
    Each, RulesOpen,
    testing::ValuesIn(std::initializer_list<Pair>{
        {"error", "err"},
        {"x", "{ field: key, match: x }"},
        {"{ field: header:a, match: x }", "{ field: header:b, match: x }"},
        {"'^GET'", "'GET'"},
        {"'^GET$'", "'^GET /'"},
        {"'a.b'", "'xa.bx'"},
        {"'(?i)err'", "err"},
        {"{ field: key, equals: a }", "{ field: key, match: a }"},
        {"{ field: key, below: 10 }", "{ field: key, at_most: 10 }"},
        {"{ field: key, below: 10 }", "{ field: key, equals: x }"},
        {"{ size_above: 3 }", "abc"},
        {"{ field: source, in: 10.1.0.0/16 }", "{ field: source, in: 10.0.0.0/8 }"},
        {"{ field: source, in: 10.0.0.0/8 }", "{ field: source, in: 11.0.0.0/8 }"},
        {"{ all: [x, y] }", "x"},
        {"{ not: x }", "{ not: xy }"},
        {"{ field: key, match: '.*' }", "x"},
    }));

TEST(RulesLint, OnlyEnforcedRulesThatDoNotContinueHideOthers)
{
    EXPECT_THAT(LintRules("  - { name: a, do: drop, when: x, mode: shadow }\n"
                          "  - { name: b, do: { keep: 1/2 }, when: x, continue: true }\n"
                          "  - { name: c, do: drop, when: x }\n"
                          "  - { name: d, do: drop, when: xy, mode: shadow }\n"),
                ElementsAre("8:5: shadow rule 'd' is never asked: what has its text has that of "
                            "'c' at line 7, which does not continue"));
}

class RulesNever : public testing::TestWithParam<const char *> {};
TEST_P(RulesNever, IsSaid)
{
    EXPECT_THAT(LintRules("  - { name: a, do: drop, when: " + std::string(GetParam()) + " }\n"),
                ElementsAre(HasSubstr("5:32: this condition can never hold")));
}

INSTANTIATE_TEST_SUITE_P(
    Each, RulesNever,
    testing::ValuesIn({
        "{ all: [x, { not: x }] }",
        "{ all: [error, { not: err }] }",
        "{ field: syslog.severity, at_least: 5, below: 3 }",
        "{ field: key, at_least: 5, below: 5 }",
        "{ size_above: 3, size_below: 4 }",
        "{ field: key, equals: a, size_above: 1 }",
        "{ field: key, equals: [a, b], match: '^c' }",
        "{ field: key, equals: '7', above: 7 }",
        "{ all: [{ field: source, in: 10.0.0.0/8 }, { field: source, in: 11.0.0.0/8 }] }",
        "{ all: [{ field: key, present: false }, { field: key, match: x }] }",
        "{ all: ['^a', { any: ['^b', '^c'] }] }",
        "{ not: { any: ['.*', x] } }",
        "{ all: [y, { not: '.*' }] }",
    }));

TEST(RulesLint, ConditionsThatCanHoldAreLeftAlone)
{
    EXPECT_THAT(LintRules("  - { name: a, do: drop, when: { all: [err, { not: error }] } }\n"
                          "  - { name: b, do: drop, when: { field: key, above: 3, below: 4 } }\n"
                          "  - { name: c, do: drop, when: { size_above: 3, size_below: 5 } }\n"
                          "  - { name: d, do: drop, when: { all: ['b$', '^a'] } }\n"),
                IsEmpty());
}

TEST(RulesLint, APartThatCanNeverHoldIsSaidAtItsPlace)
{
    EXPECT_THAT(LintRules("  - name: a\n    do: drop\n    when:\n      any:\n        - x\n"
                          "        - { size_above: 9, size_below: 3 }\n"),
                ElementsAre("10:11: this part can never hold: it excludes itself"));
}

TEST(RulesLint, SaysWhichRoutesOverlap)
{
    EXPECT_THAT(LintRules("  - { name: a, when: errors, do: { route: audit } }\n"
                          "  - { name: b, when: err, do: { route: payments } }\n"
                          "  - { name: c, when: '^err', do: { route: payments } }\n"
                          "  - { name: rest, when: '.*', do: { route: events } }\n"),
                ElementsAre("6:5: routes overlap: records that both 'b' and 'a' at line 5 hold for "
                            "go where the one at line 5 says, and not here",
                            HasSubstr("7:5: rule 'c' is never asked")));
    EXPECT_THAT(LintRules("  - { name: a, when: errors, do: { route: audit } }\n"
                          "  - { name: b, when: err, do: { route: audit } }\n"),
                IsEmpty());
}

TEST(RulesLint, WarnsOfWhatMatchesTheEmptyField)
{
    EXPECT_THAT(LintRules("  - { name: a, do: drop, when: '^\\s*$' }\n"
                          "  - { name: b, do: drop, when: { field: key, match: '^$' } }\n"),
                ElementsAre(HasSubstr("5:32: the pattern also matches a field that is there and "
                                      "empty")));
}

TEST(RulesLint, NamesTopicsThatNothingGoesTo)
{
    EXPECT_THAT(Lint("rules:\n  - { name: a, when: x, do: { route: [events, topic-3, topic-4, "
                     "topic-5, topic-6, topic-7, topic-8] } }\ndefault: drop\n"),
                ElementsAre("0:0: nothing goes to topic 'payments', but what a producer sends "
                            "there by name"));
}

TEST(RulesLint, ComparesTenThousandRulesInNoTime)
{
    std::string rules;
    for (size_t i = 0; i < 10000; i++) {
        rules += "  - { name: r" + std::to_string(i) +
                 ", do: drop, when: 'id=" + std::to_string(100000 + i * 7) + " service' }\n";
    }
    const uint64_t began_ns = clock_mono_ns();

    EXPECT_THAT(LintRules(rules + "  - { name: b, do: drop, when: 'xid=100007 servicex' }\n"),
                ElementsAre(HasSubstr("rule 'b' is never asked: what has its text has that of "
                                      "'r1' at line 6")));
    EXPECT_LT(clock_mono_ns() - began_ns, UINT64_C(60) * NS_PER_S);
}

TEST(RulesCost, RanksTheDearestPatternFirst)
{
    const WasRead read =
        Read("default: drop\nrules:\n"
             "  - { name: text, do: drop, when: abc }\n"
             "  - { name: dear, do: drop, when: { all: ['x.{200,300}y.*z', abcd] } }\n"
             "  - { name: none, do: drop, when: { size_above: 5 } }\n");
    ASSERT_THAT(read.errors, IsEmpty());
    struct rule_cost *costs = nullptr;

    ASSERT_EQ(rules_cost(read.source, clock_mono_ns() + UINT64_C(20) * NS_PER_S, &costs), 3U);

    EXPECT_EQ(costs[0].rule, 1U);
    EXPECT_STREQ(costs[0].pattern, "x.{200,300}y.*z");
    EXPECT_EQ(costs[0].width_min, 203U);
    EXPECT_EQ(costs[0].width_max, (uint32_t)RULE_COST_WIDTH_ANY);
    EXPECT_GT(costs[0].database_bytes, costs[1].database_bytes);
    EXPECT_TRUE(costs[2].is_measured);
    EXPECT_EQ(costs[2].width_min, costs[2].width_max);
    free(costs);
}

TEST(RulesCost, ADeadlineThatIsPastLeavesAllUnmeasured)
{
    const WasRead read = Read("default: drop\nrules:\n  - { name: a, do: drop, when: abc }\n");
    struct rule_cost *costs = nullptr;

    ASSERT_EQ(rules_cost(read.source, clock_mono_ns(), &costs), 1U);

    EXPECT_FALSE(costs[0].is_measured);
    free(costs);
}

} // namespace
