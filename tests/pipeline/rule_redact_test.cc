#include "pipeline/rule_redact.h"

#include <gtest/gtest.h>
#include <hs.h>

#include <regex>
#include <string>
#include <vector>

#include "base/random.h"

namespace {

class Redactor {
  public:
    explicit Redactor(const std::string &pattern)
    {
        char why[200] = "";
        EXPECT_EQ(rule_redactor_create(pattern.c_str(), why, sizeof why, &redactor_), STATUS_OK)
            << why;
        EXPECT_EQ(rule_redactor_scratch(redactor_, &scratch_), STATUS_OK);
    }
    ~Redactor()
    {
        hs_free_scratch(scratch_);
        rule_redactor_destroy(redactor_);
    }
    Redactor(const Redactor &) = delete;
    Redactor &operator=(const Redactor &) = delete;

    std::string On(std::string field, uint8_t with = '*')
    {
        const std::string before = field;
        const bool overwrote =
            rule_redactor_run(redactor_, scratch_, bytes_of(field.data(), field.size()), with);
        EXPECT_TRUE(overwrote || field == before);
        overwrote_ = overwrote;
        return field;
    }

    bool overwrote() const { return overwrote_; }

  private:
    struct rule_redactor *redactor_ = nullptr;
    struct hs_scratch *scratch_ = nullptr;
    bool overwrote_ = false;
};

std::string Refusal(const std::string &pattern)
{
    char why[200] = "";
    struct rule_redactor *redactor = nullptr;
    EXPECT_EQ(rule_redactor_create(pattern.c_str(), why, sizeof why, &redactor), STATUS_INVALID);
    EXPECT_EQ(redactor, nullptr);
    return why;
}

TEST(RuleRedact, OverwritesEveryMatchAndNothingElse)
{
    Redactor cards("[0-9]{4}-[0-9]{4}");

    EXPECT_EQ(cards.On("pay 1234-5678 to 8765-4321!"), "pay ********* to *********!");
    EXPECT_TRUE(cards.overwrote());
    EXPECT_EQ(cards.On("nothing here"), "nothing here");
    EXPECT_FALSE(cards.overwrote());
    EXPECT_EQ(cards.On("1234-5678", 'x'), "xxxxxxxxx");
    EXPECT_EQ(cards.On(""), "");
}

TEST(RuleRedact, TakesNullForEmpty)
{
    struct rule_redactor *redactor = nullptr;
    struct hs_scratch *scratch = nullptr;
    ASSERT_EQ(rule_redactor_create("a", nullptr, 0, &redactor), STATUS_OK);
    ASSERT_EQ(rule_redactor_scratch(redactor, &scratch), STATUS_OK);

    EXPECT_FALSE(rule_redactor_run(redactor, scratch, bytes_null(), '*'));

    hs_free_scratch(scratch);
    rule_redactor_destroy(redactor);
    rule_redactor_destroy(nullptr);
}

TEST(RuleRedact, BeginsAtTheLeftmostStart)
{
    EXPECT_EQ(Redactor("a.*z").On("xa1a2z3"), "x*****3");
    EXPECT_EQ(Redactor("a+b").On("xaaabx"), "x****x");
    EXPECT_EQ(Redactor("foo.*bar|oba").On("fobafoo"), "f***foo");
}

TEST(RuleRedact, JoinsMatchesThatOverlap)
{
    EXPECT_EQ(Redactor("aba").On("xababay"), "x*****y");
    EXPECT_EQ(Redactor("ab|bcd").On("xabcdx"), "x****x");
    EXPECT_EQ(Redactor("a+").On("xaayaz"), "x**y*z");
}

TEST(RuleRedact, DotIsAnyByteAndDollarTheVeryEnd)
{
    EXPECT_EQ(Redactor("a.b").On("a\nb"), "***");
    EXPECT_EQ(Redactor("a$").On("a\n"), "a\n");
    EXPECT_EQ(Redactor("a$").On("aa"), "a*");
    EXPECT_EQ(Redactor("^a").On("aa"), "*a");
    EXPECT_EQ(Redactor("\\x00.").On(std::string("x\0\xff", 3)), "x**");
}

TEST(RuleRedact, OverwritesOnlyWhenAllWasScanned)
{
    // Each match's bytes are looked at again for the next one, and '1' is what the pattern is
    // about.
    EXPECT_EQ(Redactor("1.{0,3}1").On("1001001001", '1'), "1111111111");
    EXPECT_EQ(Redactor("(^|,)[0-9]+").On("12,34,56", 'x'), "xxxxxxxx");
    EXPECT_EQ(Redactor("1[01]*2").On("11011012 2", '2'), "22222222 2");
    EXPECT_EQ(Redactor("\\b[0-9]+\\b").On("12 x3 45", 'x'), "xx x3 xx");
}

TEST(RuleRedact, RefusesWithAReason)
{
    EXPECT_NE(Refusal("a*").find("empty"), std::string::npos) << Refusal("a*");
    EXPECT_NE(Refusal("(a"), "");
    EXPECT_NE(Refusal("(a)\\1"), "");
    EXPECT_NE(Refusal("(?m)a$").find("(?m) is not supported"), std::string::npos);
    EXPECT_NE(Refusal("a$$$(").find("index 4"), std::string::npos) << Refusal("a$$$(");
    EXPECT_NE(Refusal("(a|b{2,900}){800}c{30000}"), "");
}

TEST(RuleRedact, CutsTheReasonOffWhereTheRoomEnds)
{
    char why[8] = "1234567";
    struct rule_redactor *redactor = nullptr;

    EXPECT_EQ(rule_redactor_create("(a", why, 5, &redactor), STATUS_INVALID);

    EXPECT_EQ(strlen(why), 4U);
    EXPECT_STREQ(why + 5, "67");
}

// ------------------------------------------------------------------------------------- the bound

std::string Separated(size_t count) // of runs with a comma between them
{
    std::string field;
    for (size_t i = 0; i < count; i++) { field += "1,"; }
    return field;
}

TEST(RuleRedact, OverwritesExactlyUpToTheBoundOfRuns)
{
    std::string expected;
    for (size_t i = 0; i < RULE_REDACT_SPANS_MAX; i++) { expected += "*,"; }

    EXPECT_EQ(Redactor("1").On(Separated(RULE_REDACT_SPANS_MAX) + "tail"), expected + "tail");
    EXPECT_EQ(Redactor("1").On(Separated(RULE_REDACT_SPANS_MAX) + "1tail"), expected + "*****");
    EXPECT_EQ(Redactor("1").On(Separated(3 * RULE_REDACT_SPANS_MAX)),
              expected + std::string(4 * RULE_REDACT_SPANS_MAX, '*'));
}

TEST(RuleRedact, CountsRunsAndNotMatches)
{
    EXPECT_EQ(Redactor("1").On(std::string(100000, '1') + "x"), std::string(100000, '*') + "x");
    EXPECT_EQ(Redactor("1.*").On("x" + Separated(2 * RULE_REDACT_SPANS_MAX)),
              "x" + std::string(4 * RULE_REDACT_SPANS_MAX, '*'));
}

// --------------------------------------------------------------------------- against brute force

// For every end at which the pattern ends a match, the leftmost start that leads there: by trying
// all of them, each whole.
std::string BruteForce(const std::string &pattern, const std::string &field)
{
    const std::regex whole(pattern, std::regex::ECMAScript);
    std::string out = field;
    for (size_t end = 1; end <= field.size(); end++) {
        for (size_t begin = 0; begin < end; begin++) {
            const std::string part = field.substr(begin, end - begin);
            if (std::regex_match(part, whole)) {
                out.replace(begin, end - begin, end - begin, '*');
                break;
            }
        }
    }
    return out;
}

TEST(RuleRedact, AgreesWithTryingEveryStartForEveryEnd)
{
    struct random random = random_seed(11);
    for (const char *const pattern :
         {"a+b", "ab|bc|ca", "a[bc]*a", "(ab)+c?", "a.{1,3}b", "c+|abc", "(a|b)(b|c)(a|c)",
          "b.*c|aa", "a(b|cb)*a|cc", "[ab]{2,4}c", "aab|b.b.b"}) {
        Redactor redactor(pattern);
        for (int i = 0; i < 300; i++) {
            std::string field;
            for (uint64_t n = random_below(&random, 24); n > 0; n--) {
                field += "abcx"[random_below(&random, 4)];
            }
            ASSERT_EQ(redactor.On(field), BruteForce(pattern, field)) << pattern << " on " << field;
        }
    }
}

} // namespace
