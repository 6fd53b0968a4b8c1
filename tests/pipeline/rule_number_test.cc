#include "pipeline/rule_number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/random.h"

namespace {

std::optional<double> Parsed(const std::string &text)
{
    double out = 0;
    const std::string exact(text); // no byte behind it is looked at
    if (!rule_number_parse(bytes_of(exact.data(), exact.size()), &out)) { return std::nullopt; }
    return out;
}

TEST(RuleNumber, ReadsDecimalNumbers)
{
    EXPECT_EQ(Parsed("0"), 0.0);
    EXPECT_EQ(Parsed("-17"), -17.0);
    EXPECT_EQ(Parsed("+17"), 17.0);
    EXPECT_EQ(Parsed("007"), 7.0);
    EXPECT_EQ(Parsed("1.5"), 1.5);
    EXPECT_EQ(Parsed("0.1"), 0.1);
    EXPECT_EQ(Parsed("1e3"), 1000.0);
    EXPECT_EQ(Parsed("1.25E-2"), 0.0125);
    EXPECT_EQ(Parsed("-1e+2"), -100.0);
    EXPECT_EQ(Parsed("9007199254740993"), 9007199254740992.0); // 2^53 + 1: to even
    EXPECT_EQ(Parsed("9007199254740993.0000000000000000000001"), 9007199254740994.0);
}

TEST(RuleNumber, RefusesEverythingElse)
{
    for (const char *const text :
         {"",     "+",        "-",   ".",     ".5", "5.",       "1e",    "1e+",   "e5",
          "1.e5", "1.5.2",    "--1", "+-1",   " 1", "1 ",       "1\n",   "0x10",  "inf",
          "nan",  "Infinity", "1,5", "1_000", "1f", "\xd9\xa1", "1e5.0", "1e5e5", "12abc"}) {
        EXPECT_EQ(Parsed(text), std::nullopt) << text;
    }
    EXPECT_EQ(Parsed(std::string("1\0", 2)), std::nullopt);
}

TEST(RuleNumber, ReadsUpTo64Bytes)
{
    EXPECT_EQ(Parsed(std::string(63, '0') + "5"), 5.0);
    EXPECT_EQ(Parsed(std::string(64, '0') + "5"), std::nullopt);
    EXPECT_EQ(Parsed(std::string(64, '9')), 1e64);
}

TEST(RuleNumber, TakesTheTooLargeForInfiniteAndTheTooSmallForZero)
{
    EXPECT_EQ(Parsed("1e400"), INFINITY);
    EXPECT_EQ(Parsed("-1e400"), -INFINITY);
    EXPECT_EQ(Parsed("1e99999999999999999999"), INFINITY);
    EXPECT_EQ(Parsed("1e-400"), 0.0);
    EXPECT_EQ(Parsed("1e-99999999999999999999"), 0.0);
    EXPECT_EQ(Parsed("0e99999999999999999999"), 0.0);
    EXPECT_EQ(Parsed("5e-324"), 5e-324);
}

TEST(RuleNumber, LeavesOutAloneWhenItRefuses)
{
    double out = 42;
    EXPECT_FALSE(rule_number_parse(bytes_of("x", 1), &out));
    EXPECT_EQ(out, 42);
}

std::string Digits(struct random *random, uint64_t count)
{
    std::string out;
    for (uint64_t i = 0; i < count; i++) { out += (char)('0' + random_below(random, 10)); }
    return out;
}

TEST(RuleNumber, RoundsAsTheCLibraryDoes)
{
    struct random random = random_seed(1);
    for (int i = 0; i < 200000; i++) {
        std::string text = random_chance(&random, 1, 2) ? "-" : "";
        text += Digits(&random, 1 + random_below(&random, 20));
        if (random_chance(&random, 2, 3)) {
            text += "." + Digits(&random, 1 + random_below(&random, 20));
        }
        if (random_chance(&random, 1, 2)) {
            text += (random_chance(&random, 1, 2) ? "e-" : "E") +
                    std::to_string(random_below(&random, 330));
        }
        ASSERT_EQ(Parsed(text), strtod(text.c_str(), nullptr)) << text;
    }
}

} // namespace
