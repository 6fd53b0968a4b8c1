#include "pipeline/pattern.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

std::string Translated(const std::string &pattern)
{
    std::vector<char> out(pattern_translated_bytes(pattern.size()));
    EXPECT_EQ(pattern_translate(pattern.c_str(), out.data()), PATTERN_OK) << pattern;
    return out.data();
}

enum pattern_result Judged(const std::string &pattern)
{
    std::vector<char> out(pattern_translated_bytes(pattern.size()));
    return pattern_translate(pattern.c_str(), out.data());
}

TEST(Pattern, ADollarThatIsAnAnchorBecomesTheVeryEnd)
{
    EXPECT_EQ(Translated("a$"), "a\\z");
    EXPECT_EQ(Translated("^$"), "^\\z");
    EXPECT_EQ(Translated("(a$|b$)c"), "(a\\z|b\\z)c");
    EXPECT_EQ(Translated("$$$"), "\\z\\z\\z");
    EXPECT_EQ(Translated("\\\\$"), "\\\\\\z"); // an escaped backslash, then the anchor
}

TEST(Pattern, ADollarThatIsADollarStays)
{
    for (const char *const pattern :
         {"a\\$", "[$]", "[^$]", "[]$]", "[^]$]", "[a\\]$]", "[[:alpha:]$]", "[\\Q]\\E$]",
          "\\Q$\\E", "\\Qa$", "\\c$", "(?#$)", "(?#[)a"}) {
        EXPECT_EQ(Translated(pattern), pattern);
    }
}

TEST(Pattern, FindsTheAnchorBehindWhatLooksLikeAClassOrAQuote)
{
    EXPECT_EQ(Translated("\\[$"), "\\[\\z");
    EXPECT_EQ(Translated("[[]$"), "[[]\\z");
    EXPECT_EQ(Translated("[[:alpha:]]$"), "[[:alpha:]]\\z");
    EXPECT_EQ(Translated("[[:]$"), "[[:]\\z"); // an unfinished POSIX class is two characters
    EXPECT_EQ(Translated("[[:]x:]$"), "[[:]x:]\\z");
    EXPECT_EQ(Translated("\\Qa\\E$"), "\\Qa\\E\\z");
    EXPECT_EQ(Translated("(?#[)$"), "(?#[)\\z");
    EXPECT_EQ(Translated("(?i)a$"), "(?i)a\\z");
}

TEST(Pattern, SurvivesWhatIsCutOff)
{
    for (const char *const pattern :
         {"\\", "[", "[^", "[]", "[a\\", "\\Q", "\\c", "(?", "(?#", "(", "[[:"}) {
        EXPECT_EQ(Translated(pattern), pattern);
    }
}

TEST(Pattern, RefusesWhatWouldChangeTheMeaningOfTheEnds)
{
    EXPECT_EQ(Judged("(?m)a$"), PATTERN_MULTILINE);
    EXPECT_EQ(Judged("x(?im:a$)"), PATTERN_MULTILINE);
    EXPECT_EQ(Judged("(?x) a # [\n$"), PATTERN_EXTENDED);
    EXPECT_EQ(Judged("(*UTF8)a"), PATTERN_VERB);
}

TEST(Pattern, RefusesThoseFlagsOnlyWhereTheyAreFlags)
{
    EXPECT_EQ(Judged("\\(?m)"), PATTERN_OK);
    EXPECT_EQ(Judged("[(?m)]"), PATTERN_OK);
    EXPECT_EQ(Judged("(?P<mx>a)"), PATTERN_OK);
    EXPECT_EQ(Judged("(?is-s:m)"), PATTERN_OK);
    EXPECT_EQ(Judged("(?:m)"), PATTERN_OK);
    EXPECT_EQ(Judged("\\(*"), PATTERN_OK);
}

} // namespace
