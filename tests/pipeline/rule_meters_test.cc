#include "pipeline/rule_meters.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

// A rule set is two functions to rule_meters.c: here it is a list of limits.
struct rule_set {
    std::vector<struct rule_limit> limits;
};

size_t rule_set_rule_count(const struct rule_set *rules) { return rules->limits.size(); }

bool rule_set_limit(const struct rule_set *rules, size_t rule, struct rule_limit *out)
{
    *out = rules->limits[rule];
    return out->unit != RULE_LIMIT_NONE;
}

namespace {

constexpr uint64_t kNow = 77000000000;

struct rule_limit Limit(const char *rule, uint64_t burst)
{
    struct rule_limit limit = {};
    limit.rule = rule;
    limit.unit = RULE_LIMIT_RECORDS;
    limit.rate = 1;
    limit.burst = burst;
    return limit;
}

struct rule_limit NoLimit(const char *rule)
{
    struct rule_limit limit = {};
    limit.rule = rule;
    return limit;
}

class RuleMeters : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(rule_meters_create(&meters_), STATUS_OK); }
    void TearDown() override { rule_meters_destroy(meters_); }

    void Prepare(const struct rule_set &rules)
    {
        ASSERT_EQ(rule_meters_prepare(meters_, &rules, 0, 2), STATUS_OK);
    }

    struct rule_meter *Find(const struct rule_set &rules, size_t rule)
    {
        return rule_meters_find(meters_, &rules, rule);
    }

    uint64_t AtOnce(const struct rule_set &rules, size_t rule)
    {
        uint64_t through = 0;
        while (rule_meter_take(Find(rules, rule), bytes_null(), 1, kNow)) { through++; }
        return through;
    }

    struct rule_meters *meters_ = nullptr;
};

TEST_F(RuleMeters, HasOneForEachRuleWithALimit)
{
    const struct rule_set rules = {{Limit("a", 10), NoLimit("b"), Limit("c", 20)}};

    Prepare(rules);

    EXPECT_EQ(Find(rules, 1), nullptr);
    EXPECT_NE(Find(rules, 0), Find(rules, 2));
    EXPECT_EQ(AtOnce(rules, 0), 5U); // the first of two workers
    EXPECT_EQ(AtOnce(rules, 2), 10U);
}

TEST_F(RuleMeters, KeepsWhatTheOldAndTheNewSetShareAndFillsTheRest)
{
    const struct rule_set old_rules = {{Limit("a", 10), Limit("b", 10), Limit("c", 10)}};
    Prepare(old_rules);
    struct rule_meter *const shared = Find(old_rules, 1);
    for (size_t i = 0; i < 3; i++) { EXPECT_EQ(AtOnce(old_rules, i), 5U); }

    const struct rule_set new_rules = {{Limit("b", 10), Limit("a", 12), Limit("d", 10)}};
    Prepare(new_rules);

    EXPECT_EQ(Find(new_rules, 0), shared);
    EXPECT_EQ(AtOnce(new_rules, 0), 0U);
    EXPECT_EQ(AtOnce(new_rules, 1), 6U); // of that name, but another burst
    EXPECT_EQ(AtOnce(new_rules, 2), 5U);
    EXPECT_EQ(AtOnce(old_rules, 0), 0U); // both are there until the trim

    rule_meters_trim(meters_, &new_rules);
    EXPECT_EQ(Find(new_rules, 0), shared);
    EXPECT_EQ(AtOnce(new_rules, 1), 0U);
}

TEST_F(RuleMeters, ForgetsWhatOnlyOlderSetsNeeded)
{
    const struct rule_set with = {{Limit("a", 10)}};
    const struct rule_set without = {{NoLimit("a")}};
    Prepare(with);
    EXPECT_EQ(AtOnce(with, 0), 5U);

    Prepare(without);
    rule_meters_trim(meters_, &without);
    Prepare(with);

    EXPECT_EQ(AtOnce(with, 0), 5U);
}

TEST_F(RuleMeters, ChangesNothingWhenTheSameSetIsPreparedAgain)
{
    const struct rule_set rules = {{Limit("a", 10), Limit("b", 10)}};
    Prepare(rules);
    struct rule_meter *const first = Find(rules, 0);
    EXPECT_EQ(AtOnce(rules, 0), 5U);

    for (int i = 0; i < 100; i++) {
        Prepare(rules);
        rule_meters_trim(meters_, &rules);
    }

    EXPECT_EQ(Find(rules, 0), first);
    EXPECT_EQ(AtOnce(rules, 0), 0U);
}

TEST_F(RuleMeters, FindsEachOfThousands)
{
    std::vector<std::string> names;
    for (int i = 0; i < 5000; i++) { names.push_back("rule-" + std::to_string(i)); }
    struct rule_set rules;
    for (size_t i = 0; i < names.size(); i++) {
        rules.limits.push_back(Limit(names[i].c_str(), 2 * (i + 1)));
    }
    Prepare(rules);

    for (size_t i = 0; i < names.size(); i += 7) { ASSERT_EQ(AtOnce(rules, i), i + 1); }
}

TEST_F(RuleMeters, IsFineWithASetWithoutRules)
{
    const struct rule_set none = {};

    Prepare(none);
    rule_meters_trim(meters_, &none);
    rule_meters_destroy(nullptr);
}

} // namespace
