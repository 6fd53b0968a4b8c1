#include "tools/grep_pattern.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace {

std::string Pattern(const std::string &line, enum grep_syntax syntax, bool ignore_case = false)
{
    const char *reason = nullptr;
    char *const found =
        grep_pattern(bytes_of(line.data(), line.size()), syntax, ignore_case, &reason);
    if (found == nullptr) { return std::string("refused: ") + reason; }
    const std::string out = found;
    free(found);
    return out;
}

TEST(GrepPattern, BasicSyntaxNeedsBackslashesForOperators)
{
    EXPECT_EQ(Pattern("a\\(b\\|c\\)\\{2,3\\}", GREP_BASIC), "a(?:b|c){2,3}");
    EXPECT_EQ(Pattern("a(b|c){2}+?", GREP_BASIC), "a\\x28b\\x7cc\\x29\\x7b2\\x7d\\x2b\\x3f");
    EXPECT_EQ(Pattern("a\\+b\\?", GREP_BASIC), "a+b?");
}

TEST(GrepPattern, ExtendedSyntaxNeedsThemForTheCharactersThemselves)
{
    EXPECT_EQ(Pattern("a(b|c){2,}d+", GREP_EXTENDED), "a(?:b|c){2,}d+");
    EXPECT_EQ(Pattern("\\(\\)\\{\\|\\+\\?", GREP_EXTENDED), "\\x28\\x29\\x7b\\x7c\\x2b\\x3f");
    EXPECT_EQ(Pattern("a{,3}", GREP_EXTENDED), "a{0,3}");
}

TEST(GrepPattern, StarsAndAnchorsAreThemselvesWherePosixSaysSo)
{
    EXPECT_EQ(Pattern("*a", GREP_BASIC), "\\x2aa");
    EXPECT_EQ(Pattern("^*a", GREP_BASIC), "^\\x2aa");
    EXPECT_EQ(Pattern("a^b$c", GREP_BASIC), "a\\x5eb\\x24c");
    EXPECT_EQ(Pattern("^a$", GREP_BASIC), "^a$");
    EXPECT_EQ(Pattern("\\(^a$\\)", GREP_BASIC), "(?:^a$)");
    EXPECT_EQ(Pattern("a^b$c", GREP_EXTENDED), "a^b$c");
}

TEST(GrepPattern, ABackslashInBracketsIsItself)
{
    EXPECT_EQ(Pattern("[\\.]", GREP_EXTENDED), "[\\x5c\\x2e]");
    EXPECT_EQ(Pattern("[]a]", GREP_EXTENDED), "[\\x5da]");
    EXPECT_EQ(Pattern("[^]a-z[:digit:]]", GREP_EXTENDED), "[^\\x5da-z[:digit:]]");
}

TEST(GrepPattern, ACharacterOfSeveralBytesIsRepeatedAsOne)
{
    EXPECT_EQ(Pattern("\xc3\xa9*", GREP_BASIC), "(?:\\xc3\\xa9)*");
    EXPECT_EQ(Pattern("\xff*", GREP_BASIC), "\\xff*");
}

TEST(GrepPattern, FixedTextAndCase)
{
    EXPECT_EQ(Pattern("a.b\\", GREP_FIXED), "a\\x2eb\\x5c");
    EXPECT_EQ(Pattern("a.b", GREP_FIXED, true), "(?i)a\\x2eb");
    EXPECT_EQ(Pattern("a", GREP_BASIC, true), "(?i)a");
    EXPECT_EQ(Pattern("", GREP_BASIC), ".*");
}

TEST(GrepPattern, WhatWouldMeanSomethingElseIsRefused)
{
    EXPECT_EQ(Pattern("\\(a\\)\\1", GREP_BASIC), "refused: a back-reference");
    EXPECT_EQ(Pattern("a*+", GREP_EXTENDED), "refused: a repetition of nothing, or of another");
    EXPECT_EQ(Pattern("a+?", GREP_EXTENDED), "refused: a repetition of nothing, or of another");
    EXPECT_EQ(Pattern("(?i)a", GREP_EXTENDED), "refused: a repetition of nothing, or of another");
    EXPECT_EQ(Pattern("\\d", GREP_EXTENDED), "refused: a backslash before what needs none");
    EXPECT_EQ(Pattern("[\xc3\xa9]", GREP_EXTENDED).rfind("refused: characters beyond ASCII", 0),
              0U);
    EXPECT_EQ(Pattern("\xc3\xa9", GREP_FIXED, true).rfind("refused: characters beyond ASCII", 0),
              0U);
    EXPECT_EQ(Pattern("[[=a=]]", GREP_EXTENDED), "refused: [. .], [= =] or a class without a name");
    EXPECT_EQ(Pattern("[a", GREP_EXTENDED), "refused: a bracket that is not closed");
    EXPECT_EQ(Pattern("(a", GREP_EXTENDED), "refused: '(' without ')'");
    EXPECT_EQ(Pattern("a)", GREP_EXTENDED), "refused: ')' without '('");
    EXPECT_EQ(Pattern("a\\", GREP_BASIC), "refused: a backslash at the end");
    EXPECT_EQ(Pattern("a{x", GREP_EXTENDED), "refused: '{' that begins no count");
}

} // namespace
