#include "tools/suricata_rule.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

// The options of a signature between an ordinary head and its end.
std::string Signature(const std::string &options)
{
    return "alert tcp $HOME_NET any -> any 80 (msg:\"m\"; " + options + " sid:7; rev:1;)";
}

class SuricataRule : public testing::Test {
  protected:
    ~SuricataRule() override { suricata_rule_deinit(&rule_); }

    enum suricata_result Parse(const std::string &line)
    {
        suricata_rule_deinit(&rule_);
        return suricata_rule_parse(bytes_of(line.data(), line.size()), &rule_);
    }
    // The patterns, '!' in front of those that must not be found; what was refused is its reason.
    std::vector<std::string> Patterns(const std::string &options)
    {
        if (Parse(Signature(options)) != SURICATA_RULE) {
            return {std::string("refused: ") + rule_.reason};
        }
        std::vector<std::string> out;
        for (size_t i = 0; i < rule_.pattern_count; i++) {
            out.push_back(std::string(rule_.patterns[i].negated ? "!" : "") +
                          rule_.patterns[i].text);
        }
        return out;
    }
    using List = std::vector<std::string>;

    struct suricata_rule rule_ = {};
};

TEST_F(SuricataRule, ContentIsItsBytes)
{
    EXPECT_EQ(Patterns("content:\"GET /\";"), List{"GET /"});
    EXPECT_EQ(Patterns("content:\"a|0d 0A|b|ff|\";"), List{"a\\x0d\\x0ab\\xff"});
    EXPECT_EQ(Patterns("content:\"a.b*[c]\";"), List{"a\\x2eb\\x2a\\x5bc\\x5d"});
    EXPECT_EQ(Patterns("content:\"q\\\"\\;\\\\\\:\";"), List{"q\\x22;\\x5c:"});
}

TEST_F(SuricataRule, ModifiersSpeakOfTheContentInFront)
{
    EXPECT_EQ(Patterns("content:\"a\"; nocase; content:\"b\";"), (List{"(?i)a", "b"}));
    EXPECT_EQ(Patterns("content:\"a\"; startswith; content:\"b\"; endswith; nocase;"),
              (List{"^a", "(?i)b$"}));
    EXPECT_EQ(Patterns("content:!\"a\"; content:\"b\";"), (List{"!a", "b"}));
    EXPECT_EQ(Patterns("nocase; content:\"a\";"),
              List{"refused: nocase without a content in front"});
}

TEST_F(SuricataRule, PcreKeepsWhatItMeans)
{
    EXPECT_EQ(Patterns("pcre:\"/a.b/s\";"), List{"a.b"});
    EXPECT_EQ(Patterns("pcre:\"/a.b/i\";"), List{"(?i)(?-s)a.b"});
    EXPECT_EQ(Patterns("pcre:!\"/x\\/y/s\";"), List{"!x\\/y"});
    EXPECT_EQ(Patterns("pcre:\"/\xc3\xa9/s\";"), List{"\\xc3\\xa9"});
}

TEST_F(SuricataRule, ADollarAlsoStandsBeforeALastNewlineOrIsRefused)
{
    EXPECT_EQ(Patterns("pcre:\"/a$/s\";"), List{"a\\n?$"});
    EXPECT_EQ(Patterns("pcre:\"/a\\$b[$]/s\";"), List{"a\\$b[$]"});
    EXPECT_EQ(Patterns("pcre:\"/(a$|b)/s\";"), List{"refused: pcre: '$' before the pattern's end"});
}

TEST_F(SuricataRule, WhatTiesAMatchToAPlaceIsRefused)
{
    EXPECT_EQ(Patterns("content:\"a\"; offset:3;"), List{"refused: the option 'offset'"});
    EXPECT_EQ(Patterns("content:\"a\"; content:\"b\"; within:4;"),
              List{"refused: the option 'within'"});
    EXPECT_EQ(Patterns("http.uri; content:\"a\";"), List{"refused: the option 'http.uri'"});
    EXPECT_EQ(Patterns("pcre:\"/a/R\";"), List{"refused: pcre: the flag 'R'"});
    EXPECT_EQ(Patterns("byte_test:1,>,2,0; content:\"a\";"),
              List{"refused: the option 'byte_test'"});
}

TEST_F(SuricataRule, WhatIsNoSignatureIsRefusedWithAReason)
{
    EXPECT_EQ(Patterns(""), List{"refused: neither content nor pcre"});
    EXPECT_EQ(Patterns("content:\"|4|\";"),
              List{"refused: content: hexadecimal that does not end"});
    EXPECT_EQ(Patterns("content:\"\";"), List{"refused: content: nothing in the quotes"});
    EXPECT_EQ(Parse("alert tcp any any"), SURICATA_REFUSED);
    EXPECT_EQ(Parse(std::string("a(\0)", 4)), SURICATA_REFUSED);
    EXPECT_EQ(Parse("  # a comment"), SURICATA_NOTHING);
    EXPECT_EQ(Parse(""), SURICATA_NOTHING);
}

TEST_F(SuricataRule, NameNumberAndWayAreKept)
{
    ASSERT_EQ(Parse(Signature("flow:established,to_server; content:\"a;b)\";")), SURICATA_RULE);

    EXPECT_STREQ(rule_.name, "m");
    EXPECT_STREQ(rule_.sid, "7");
    EXPECT_STREQ(rule_.way, "alert tcp $HOME_NET any -> any 80 flow:established,to_server");
    EXPECT_STREQ(rule_.patterns[0].text, "a;b\\x29");
}

} // namespace
