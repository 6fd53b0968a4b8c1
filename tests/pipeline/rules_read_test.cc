#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/pipeline/rules_builder.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Text(struct bytes bytes)
{
    return bytes_are_null(bytes) ? "null" : std::string((const char *)bytes.at, bytes.len_bytes);
}

std::string FieldText(const struct rule_field &field)
{
    static const char *const kinds[] = {"value", "key", "header:", "listener", "source", "json:"};
    return kinds[field.kind] + (field.name.at == nullptr ? "" : Text(field.name));
}

std::string NetworkText(const struct rule_network &network)
{
    std::string out;
    char digits[4];
    for (const uint8_t byte : network.address) {
        snprintf(digits, sizeof digits, "%02x", byte);
        out += digits;
    }
    return out + "/" + std::to_string(network.prefix_bits);
}

std::string TestText(const struct rule_condition &test)
{
    static const char *const comparisons[] = {"<", "<=", ">=", ">"};
    const std::string compared =
        std::string(comparisons[test.comparison]) + std::to_string(test.number).substr(0, 6);
    switch (test.test) {
    case RULE_TEST_MATCH: return "~" + std::string(test.pattern);
    case RULE_TEST_EQUALS: return "=" + Text(test.literal);
    case RULE_TEST_PRESENT: return "?";
    case RULE_TEST_NUMBER: return compared;
    case RULE_TEST_SIZE: return "#" + compared;
    case RULE_TEST_NETWORK: return " in " + NetworkText(test.network);
    }
    return "!";
}

// "all(value~x,not(key?))"
std::string ConditionText(const struct rule_condition &condition)
{
    static const char *const kinds[] = {"", "all", "any", "not"};
    if (condition.kind == RULE_CONDITION_TEST) {
        return FieldText(condition.field) + TestText(condition);
    }
    std::string inner;
    for (size_t i = 0; i < condition.child_count; i++) {
        inner += (i > 0 ? "," : "") + ConditionText(condition.children[i]);
    }
    return kinds[condition.kind] + ("(" + inner + ")");
}

struct Form {
    const char *written;
    const char *read;
};

void PrintTo(const Form &form, std::ostream *out) { *out << form.written; }

class RulesCondition : public testing::TestWithParam<Form> {};

TEST_P(RulesCondition, IsReadAsWritten)
{
    const WasRead read =
        Read("rules:\n  - { name: a, do: drop, when: " + std::string(GetParam().written) +
             " }\ndefault: drop\n");

    ASSERT_THAT(read.errors, IsEmpty());
    EXPECT_EQ(ConditionText(read.source->rules[0].when), GetParam().read);
}

const Form conditions[] = {
    {"'GET /'", "value~GET /"},
    {"{ match: x }", "value~x"},
    {"{ field: key, match: '^x$' }", "key~^x$"},
    {"{ field: 'header:trace id', equals: '' }", "header:trace id="},
    {"{ field: syslog.sd, equals: [a, 5] }", "any(header:syslog.sd=a,header:syslog.sd=5)"},
    {"{ field: 'json:.items[0].id', present: true }", "json:.items[0].id?"},
    {"{ field: 'json:.\"odd name\".x', present: false }", "not(json:.\"odd name\".x?)"},
    {"{ field: listener, equals: [lines:5140] }", "any(listener=lines:5140)"},
    {"{ field: listener, match: '^lines:' }", "listener~^lines:"},
    {"{ field: syslog.severity, at_least: 2, below: 5.5 }",
     "all(header:syslog.severity<5.5000,header:syslog.severity>=2.0000)"},
    {"{ above: -1, at_most: 1e3 }", "all(value<=1000.0,value>-1.000)"},
    {"{ size_above: 4KiB, size_below: 1MB }", "all(value#<100000,value#>4096.0)"},
    {"{ field: source, in: 10.1.0.0/16 }", "source in 00000000000000000000ffff0a010000/112"},
    {"{ field: source, in: ['2001:db8::/32', 0.0.0.0/0, 192.0.2.1/32] }",
     "any(source in 20010db8000000000000000000000000/32,source in "
     "00000000000000000000ffff00000000/96,source in 00000000000000000000ffffc0000201/128)"},
    {"{ all: [x, { any: [{ not: y }, { field: key, match: z }] }] }",
     "all(value~x,any(not(value~y),key~z))"},
};

INSTANTIATE_TEST_SUITE_P(Each, RulesCondition, testing::ValuesIn(conditions));

const struct rule_action *Action(WasRead &read, const std::string &written)
{
    read = Read("rules:\n  - { name: a, when: x, do: " + written + " }\ndefault: drop\n");
    EXPECT_THAT(read.errors, IsEmpty()) << written;
    return read.source == nullptr ? nullptr : &read.source->rules[0].action;
}

TEST(RulesAction, KeepsByRecordUnlessTheKeyIsNamed)
{
    WasRead record;
    WasRead key;
    const struct rule_action *const by_record = Action(record, "{ keep: 1/100 }");
    const struct rule_action *const by_key = Action(key, "{ keep: 1/2147483648, by: key }");

    EXPECT_EQ(by_record->keep_one_in, 100U);
    EXPECT_EQ(by_record->keep_by, RULE_HASH_RECORD);
    EXPECT_EQ(by_key->keep_one_in, UINT32_C(1) << 31);
    EXPECT_EQ(by_key->keep_by, RULE_HASH_KEY);
}

TEST(RulesAction, ALimitsBurstIsASecondsUnlessSaid)
{
    WasRead records;
    WasRead bytes;
    const struct rule_action *const of_records = Action(records, "{ limit: { records: 1000/s } }");
    const struct rule_action *const of_bytes =
        Action(bytes, "{ limit: { bytes: 10MiB/s, burst: 1KiB, by: source } }");

    EXPECT_EQ(of_records->limit_unit, RULE_LIMIT_RECORDS);
    EXPECT_EQ(of_records->limit_rate, 1000U);
    EXPECT_EQ(of_records->limit_burst, 1000U);
    EXPECT_FALSE(of_records->limit_by_field);
    EXPECT_EQ(of_bytes->limit_unit, RULE_LIMIT_BYTES);
    EXPECT_EQ(of_bytes->limit_rate, 10U << 20);
    EXPECT_EQ(of_bytes->limit_burst, 1024U);
    EXPECT_TRUE(of_bytes->limit_by_field);
    EXPECT_EQ(of_bytes->limit_field.kind, RULE_FIELD_SOURCE);
    EXPECT_EQ(of_bytes->limit_buckets, 4096U);
}

TEST(RulesAction, RedactsTheValueWithStarsUnlessSaid)
{
    WasRead plain;
    WasRead said;
    const struct rule_action *const value = Action(plain, "{ redact: { match: '\\d{16}' } }");
    const struct rule_action *const header =
        Action(said, "{ redact: { field: header:user, match: x, with: '-' } }");

    EXPECT_STREQ(value->redact_pattern, "\\d{16}");
    EXPECT_EQ(value->redact_field.kind, RULE_FIELD_VALUE);
    EXPECT_EQ(value->redact_with, '*');
    EXPECT_EQ(FieldText(header->redact_field), "header:user");
    EXPECT_EQ(header->redact_with, '-');
}

TEST(RulesAction, DoesSeveralThingsAtOnce)
{
    WasRead read;
    const struct rule_action *const action = Action(
        read, "{ route: [events, audit], set_key: json:.user, add: { team: red, shift: '' } }");

    ASSERT_EQ(action->topic_count, 2U);
    EXPECT_EQ(action->topics[1], AUDIT);
    EXPECT_TRUE(action->sets_key);
    EXPECT_EQ(FieldText(action->key_field), "json:.user");
    ASSERT_EQ(action->header_count, 2U);
    EXPECT_EQ(Text(action->headers[0].name) + Text(action->headers[0].value), "teamred");
    EXPECT_EQ(Text(action->headers[1].name) + Text(action->headers[1].value), "shift");
}

TEST(RulesFile, HasTheLimitsThatAreDocumentedUnlessSaid)
{
    const WasRead plain = Read("default: drop\n");
    const WasRead said = Read("default: drop\nexamples: { keep: 16, bytes: 1KiB }\n"
                              "limits: { matches: 7, database: 1MiB, compile: 2m }\n");

    EXPECT_EQ(plain.source->limits.matches_max, 2000U);
    EXPECT_EQ(plain.source->limits.database_bytes_max, 256U << 20);
    EXPECT_EQ(plain.source->limits.compile_seconds_max, 60U);
    EXPECT_EQ(plain.source->example_count, 0U);
    EXPECT_EQ(said.source->limits.matches_max, 7U);
    EXPECT_EQ(said.source->limits.database_bytes_max, 1U << 20);
    EXPECT_EQ(said.source->limits.compile_seconds_max, 120U);
    EXPECT_EQ(said.source->example_count, 16U);
    EXPECT_EQ(said.source->example_bytes, 1024U);
}

TEST(RulesFile, ContinuesAndShadows)
{
    const WasRead read =
        Read("default: drop\nrules:\n"
             "  - { name: a, when: x, do: { route: audit }, continue: true, mode: enforce }\n"
             "  - { name: b, when: x, do: drop, continue: false, mode: shadow }\n");

    ASSERT_THAT(read.errors, IsEmpty());
    EXPECT_TRUE(read.source->rules[0].goes_on);
    EXPECT_FALSE(read.source->rules[0].shadow);
    EXPECT_FALSE(read.source->rules[1].goes_on);
    EXPECT_TRUE(read.source->rules[1].shadow);
    EXPECT_EQ(read.source->rules[1].place.line, 4U);
}

// ------------------------------------------------------------------------------------- bounds

std::string Nested(size_t count, const std::string &front, const std::string &inner,
                   const std::string &back)
{
    std::string out;
    for (size_t i = 0; i < count; i++) { out += front; }
    out += inner;
    for (size_t i = 0; i < count; i++) { out += back; }
    return "default: drop\nrules:\n  - name: a\n    do: drop\n    when: " + out + "\n";
}

TEST(RulesBounds, ConditionsNest32DeepAndCompile)
{
    const std::string list = "{ field: key, equals: [a, b], size_above: 0 }";

    EXPECT_THAT(Load(Nested(32, "{ all: [", list, "] }")).errors, IsEmpty());
    EXPECT_THAT(Load(Nested(32, "{ not: ", list, " }")).errors, IsEmpty());
}

TEST(RulesBounds, ConditionsNestNo33Deep)
{
    EXPECT_THAT(Read(Nested(33, "{ all: [", "x", "] }")).errors,
                ElementsAre("5:267: conditions are nested deeper than 32 levels of all, any and "
                            "not; write it flatter, or in two rules"));
    EXPECT_THAT(Read(Nested(500, "{ not: ", "x", " }")).errors,
                ElementsAre(HasSubstr("nested deeper than 80 levels; write it flatter")));
    EXPECT_THAT(Read(Nested(500, "{ any: [", "x", "] }")).errors,
                ElementsAre(HasSubstr("nested deeper than 80 levels; write it flatter")));
}

std::string ListOf(size_t count, const std::string &item)
{
    std::string out = "default: drop\nrules:\n  - name: a\n    do: drop\n    when: { equals: [";
    for (size_t i = 0; i < count; i++) { out += item + ","; }
    return out + "] }\n";
}

TEST(RulesBounds, AllRulesTogetherHave100000Tests)
{
    EXPECT_THAT(Read(ListOf(RULES_CONDITIONS_MAX, "x")).errors, IsEmpty());
    EXPECT_THAT(Read(ListOf(RULES_CONDITIONS_MAX + 1, "x")).errors,
                ElementsAre(HasSubstr("the rest of the file was not read"),
                            HasSubstr("5:21: the rules have more than 100000 tests together")));
}

TEST(RulesBounds, AThousandErrorsAreEnough)
{
    const WasRead read = Read(ListOf(200000, "[]"));
    const WasRead other = Read(ListOf(50000, "[]"));

    EXPECT_EQ(read.errors.size(), 2U);
    EXPECT_EQ(other.errors.size(), 1001U);
    EXPECT_THAT(other.errors[0], HasSubstr("the rest of the file was not read"));
}

TEST(RulesBounds, AliasesAreNotFollowed)
{
    const WasRead read = Read("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n");

    EXPECT_EQ(read.document, nullptr);
    EXPECT_THAT(read.errors, testing::Contains(HasSubstr("alias '*a' is not accepted here")));
}

TEST(RulesBounds, SixtyFourJsonPathsAreEnough)
{
    std::string rules = "default: drop\nrules:\n";
    for (size_t i = 0; i < RULES_JSON_PATHS_MAX; i++) {
        const std::string number = std::to_string(i);
        rules += "  - { name: r" + number + ", do: drop, when: { field: json:.m" + number +
                 ", present: true } }\n";
    }

    EXPECT_THAT(
        Read(rules + "  - { name: b, do: drop, when: { field: json:.m5, equals: x } }\n").errors,
        IsEmpty());
    EXPECT_THAT(
        Read(rules + "  - { name: b, do: drop, when: { field: json:.z, equals: x } }\n").errors,
        ElementsAre("67:41: a JSON path too many: all rules together look at no more than "
                    "64"));
}

// hs_expression_info thinks about this one for longer than anyone waits.
TEST(RulesBounds, APatternThatHyperscanDoesNotComeToAnEndWithIsRefused)
{
    const std::string pattern = std::string(200, '(') + "a" + [] {
        std::string out;
        for (size_t i = 0; i < 200; i++) { out += ")+"; }
        return out;
    }();
    const auto began = std::chrono::steady_clock::now();

    const WasRead read = Read("limits: { compile: 1s }\ndefault: drop\nrules:\n"
                              "  - { name: a, do: drop, when: abc }\n"
                              "  - { name: b, do: drop, when: '" +
                              pattern + "' }\n");

    EXPECT_THAT(read.errors, ElementsAre("5:32: Hyperscan takes too long for this pattern; write "
                                         "fewer repeats inside of repeats, or smaller ones"));
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
}

TEST(RulesBounds, APatternThatCannotRedactIsRefusedWithTheReason)
{
    EXPECT_THAT(
        Read("default: drop\nrules:\n"
             "  - { name: a, when: x, do: { redact: { match: 'x*' } } }\n"
             "  - { name: b, when: x, do: { redact: { match: '(' } } }\n"
             "  - { name: c, when: x, do: { redact: { match: '' } } }\n")
            .errors,
        ElementsAre(HasSubstr("3:48: this pattern cannot redact: it can match nothing at all"),
                    HasSubstr("4:48: this pattern cannot redact: "),
                    HasSubstr("5:48: an empty pattern")));
}

} // namespace
