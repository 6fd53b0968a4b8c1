#include "pipeline/rule_meter.h"

#include <gtest/gtest.h>

#include <deque>
#include <list>
#include <map>
#include <string>

#include "base/random.h"

namespace {

constexpr uint64_t kSecond = 1000000000;
constexpr uint64_t kStart = 12345 * kSecond + 678; // since some boot

struct bytes BytesOf(const std::string &text) { return bytes_of(text.data(), text.size()); }

struct rule_limit Limit(uint64_t rate, uint64_t burst)
{
    struct rule_limit limit = {};
    limit.rule = "noisy";
    limit.unit = RULE_LIMIT_RECORDS;
    limit.rate = rate;
    limit.burst = burst;
    return limit;
}

struct rule_limit LimitByKey(uint64_t rate, uint64_t burst, uint32_t buckets)
{
    struct rule_limit limit = Limit(rate, burst);
    limit.by_field = true;
    limit.field.kind = RULE_FIELD_KEY;
    limit.buckets = buckets;
    return limit;
}

class Meter {
  public:
    explicit Meter(const struct rule_limit &limit, uint32_t worker = 0, uint32_t worker_count = 1)
    {
        EXPECT_EQ(rule_meter_create(&limit, {worker, worker_count}, &meter_), STATUS_OK);
    }
    ~Meter() { rule_meter_destroy(meter_); }
    Meter(const Meter &) = delete;
    Meter &operator=(const Meter &) = delete;

    bool Take(uint64_t amount, uint64_t now_ns, const std::string &key = "")
    {
        return rule_meter_take(meter_, BytesOf(key), amount, now_ns);
    }

    // What gets through of `amount`s that come one each `step_ns`, from now_ns on.
    uint64_t Through(uint64_t amount, uint64_t now_ns, uint64_t step_ns, uint64_t count)
    {
        uint64_t through = 0;
        for (uint64_t i = 0; i < count; i++) {
            through += Take(amount, now_ns + i * step_ns) ? amount : 0;
        }
        return through;
    }

    // All at the same time.
    uint64_t AtOnce(uint64_t now_ns, const std::string &key = "", uint64_t most = 100000)
    {
        uint64_t through = 0;
        while (through < most && Take(1, now_ns, key)) { through++; }
        return through;
    }

    const struct rule_meter *get() const { return meter_; }

  private:
    struct rule_meter *meter_ = nullptr;
};

TEST(RuleMeter, StartsFullAndLetsTheBurstThroughAtOnce)
{
    Meter meter(Limit(1000, 250));

    EXPECT_EQ(meter.AtOnce(kStart), 250U);
    EXPECT_FALSE(meter.Take(1, kStart));
}

TEST(RuleMeter, NeverHoldsMoreThanTheBurst)
{
    Meter meter(Limit(1000, 250));

    EXPECT_EQ(meter.AtOnce(kStart), 250U);
    EXPECT_EQ(meter.AtOnce(kStart + 3600 * kSecond), 250U);
    EXPECT_EQ(meter.AtOnce(UINT64_MAX / 2), 250U); // 292 years on
    EXPECT_EQ(meter.AtOnce(UINT64_MAX), 250U);
}

TEST(RuleMeter, FillsAtItsRate)
{
    Meter meter(Limit(1000, 250));

    EXPECT_EQ(meter.AtOnce(kStart), 250U);
    EXPECT_EQ(meter.AtOnce(kStart + kSecond / 10), 100U);
    EXPECT_EQ(meter.AtOnce(kStart + kSecond / 5), 100U);
}

TEST(RuleMeter, RefusesWithoutTaking)
{
    Meter meter(Limit(1000, 100));

    EXPECT_FALSE(meter.Take(101, kStart)); // and never will let it through
    EXPECT_TRUE(meter.Take(60, kStart));
    EXPECT_FALSE(meter.Take(41, kStart));
    EXPECT_TRUE(meter.Take(40, kStart));
    EXPECT_TRUE(meter.Take(0, kStart));
}

TEST(RuleMeter, StandsStillWhileTheClockIsBehind)
{
    Meter meter(Limit(1000, 10));

    EXPECT_EQ(meter.AtOnce(kStart), 10U);
    EXPECT_EQ(meter.AtOnce(kStart - kSecond), 0U);
    EXPECT_EQ(meter.AtOnce(kStart), 0U);
    EXPECT_EQ(meter.AtOnce(kStart + kSecond / 500), 2U);
}

// Offered at twice the rate for long enough, and the burst taken off: within 0.1 %.
void ExpectRate(uint64_t rate, uint64_t burst, uint64_t amount, uint64_t seconds)
{
    Meter meter(Limit(rate, burst));
    const uint64_t step_ns = std::max<uint64_t>(1, amount * kSecond / rate / 2);
    const uint64_t count = std::min<uint64_t>(seconds * kSecond / step_ns, 3000000);
    const double expected = (double)rate * (double)(count * step_ns) / kSecond;

    const uint64_t through = meter.Through(amount, kStart, step_ns, count);

    EXPECT_NEAR((double)through - (double)burst, expected, expected / 1000 + 2 * (double)amount)
        << rate << "/s, burst " << burst;
}

TEST(RuleMeter, HoldsEveryRateWithinAPerMille)
{
    ExpectRate(1, 1, 1, 100000);
    ExpectRate(3, 2, 1, 50000);
    ExpectRate(7, 7, 1, 20000);
    ExpectRate(999, 10, 1, 1000);
    ExpectRate(1000, 1000, 1, 100);
    ExpectRate(333333, 100, 1, 10);
    ExpectRate(666667, 1000, 1, 2);
    ExpectRate(1000000, 1000, 1, 2);
    ExpectRate(10 << 20, 1 << 20, 1000, 30);
    ExpectRate(999999937, 1 << 20, 1500, 2);   // a prime
    ExpectRate(12500000000, 1 << 24, 9000, 1); // 100 Gbit/s
    ExpectRate(12499999999, 100000, 1500, 1);
}

// An exact bucket: tokens in nanoseconds of the rate, with no periods.
class ExactBucket {
  public:
    ExactBucket(long double rate, long double burst) : rate_(rate), burst_(burst), tokens_(burst) {}

    long double TokensAt(uint64_t now_ns)
    {
        const long double more = (long double)(now_ns - then_ns_) * rate_ / kSecond;
        tokens_ = std::min(burst_, tokens_ + more);
        then_ns_ = now_ns;
        return tokens_;
    }
    void Take(uint64_t amount) { tokens_ -= (long double)amount; }

  private:
    long double rate_;
    long double burst_;
    long double tokens_;
    uint64_t then_ns_ = kStart;
};

TEST(RuleMeter, AgreesWithAnExactBucketOnRandomTraffic)
{
    struct random random = random_seed(3);
    for (int round = 0; round < 50; round++) {
        const uint64_t rate = uint64_t{1} << random_below(&random, 20); // whole periods: exact
        const uint64_t burst = 10 + random_below(&random, 1000);
        Meter meter(Limit(rate, burst));
        ExactBucket exact(rate, burst);
        uint64_t now_ns = kStart;
        for (int i = 0; i < 2000; i++) {
            now_ns += random_below(&random, 20 * kSecond / rate);
            const uint64_t amount = random_below(&random, 12);
            const long double tokens = exact.TokensAt(now_ns);
            const bool within = meter.Take(amount, now_ns);
            const long double drift = 1.1L + (long double)burst / 1000;
            ASSERT_TRUE(within ? tokens >= (long double)amount - drift
                               : tokens < (long double)amount + drift)
                << rate << "/s burst " << burst << " step " << i;
            if (within) { exact.Take(amount); }
        }
    }
}

TEST(RuleMeter, SplitsTheNodesLimitByWorker)
{
    uint64_t burst = 0;
    uint64_t through = 0;
    for (uint32_t worker = 0; worker < 3; worker++) {
        Meter meter(Limit(100, 11), worker, 3);
        const uint64_t own_burst = meter.AtOnce(kStart);
        EXPECT_EQ(own_burst, worker < 2 ? 4U : 3U);
        burst += own_burst;
        through += meter.Through(1, kStart + 1, kSecond / 1000, 100000); // 100 s
    }

    EXPECT_EQ(burst, 11U);
    EXPECT_NEAR((double)through, 100 * 100, 12);
}

TEST(RuleMeter, LeavesNoWorkerWithoutAnything)
{
    Meter last(Limit(2, 1), 3, 4);

    EXPECT_EQ(last.AtOnce(kStart), 1U);
    EXPECT_EQ(last.AtOnce(kStart + kSecond), 1U);
}

TEST(RuleMeter, TakesAnyRateAndBurst)
{
    Meter largest(Limit(UINT64_MAX, UINT64_MAX));
    EXPECT_TRUE(largest.Take(UINT32_MAX, kStart));
    EXPECT_TRUE(largest.Take(UINT32_MAX, UINT64_MAX));

    Meter slow(Limit(1, UINT64_MAX));
    EXPECT_TRUE(slow.Take(UINT32_MAX, kStart));
    EXPECT_TRUE(slow.Take(UINT32_MAX, UINT64_MAX));

    Meter tight(Limit(UINT64_MAX, 1));
    EXPECT_EQ(tight.AtOnce(kStart), 1U);
    EXPECT_EQ(tight.AtOnce(kStart + 2000), 1U);
}

// ------------------------------------------------------------------------------------ by a field

TEST(RuleMeterByField, HasABucketForEachKey)
{
    Meter meter(LimitByKey(10, 5, 64));

    EXPECT_EQ(meter.AtOnce(kStart, "one"), 5U);
    EXPECT_EQ(meter.AtOnce(kStart, "other"), 5U);
    EXPECT_EQ(meter.AtOnce(kStart, "one"), 0U);
    EXPECT_EQ(meter.AtOnce(kStart + kSecond / 10, "one"), 1U);
}

TEST(RuleMeterByField, HasOneBucketForAllWithoutTheField)
{
    Meter meter(LimitByKey(10, 5, 64));

    EXPECT_EQ(meter.AtOnce(kStart, ""), 5U);
    EXPECT_FALSE(
        rule_meter_take(const_cast<struct rule_meter *>(meter.get()), bytes_null(), 1, kStart));
}

TEST(RuleMeterByField, GivesANewKeyAFullBucketHoweverLateItComes)
{
    Meter meter(LimitByKey(10, 5, 64));

    EXPECT_EQ(meter.AtOnce(kStart, "one"), 5U);
    EXPECT_EQ(meter.AtOnce(kStart + 100 * kSecond, "late"), 5U);
    EXPECT_EQ(meter.AtOnce(kStart + 100 * kSecond, "one"), 5U);
}

TEST(RuleMeterByField, ForgetsTheKeyThatWasUsedLongestAgo)
{
    Meter meter(LimitByKey(1, 5, 4)); // one set of four
    for (const char *const key : {"a", "b", "c", "d"}) { EXPECT_EQ(meter.AtOnce(kStart, key), 5U); }

    EXPECT_EQ(meter.AtOnce(kStart, "a"), 0U); // b is the oldest now
    EXPECT_EQ(meter.AtOnce(kStart, "e"), 5U);
    EXPECT_EQ(meter.AtOnce(kStart, "a"), 0U);
    EXPECT_EQ(meter.AtOnce(kStart, "c"), 0U);
    EXPECT_EQ(meter.AtOnce(kStart, "d"), 0U);
    EXPECT_EQ(meter.AtOnce(kStart, "b"), 5U); // new again, in the place of e
    EXPECT_EQ(meter.AtOnce(kStart, "a"), 0U);
}

// A set of four as a list, in the order of use.
TEST(RuleMeterByField, AgreesWithAListInTheOrderOfUse)
{
    struct random random = random_seed(5);
    Meter meter(LimitByKey(1, 3, 4));
    std::list<std::pair<uint64_t, int>> model; // key, tokens; no time passes
    for (int i = 0; i < 20000; i++) {
        const uint64_t key = random_below(&random, 7);
        auto found = model.begin();
        while (found != model.end() && found->first != key) { ++found; }
        std::pair<uint64_t, int> bucket = found == model.end() ? std::make_pair(key, 3) : *found;
        if (found != model.end()) { model.erase(found); }
        const bool expected = bucket.second > 0;
        bucket.second -= expected ? 1 : 0;
        model.push_front(bucket);
        if (model.size() > 4) { model.pop_back(); }

        ASSERT_EQ(meter.Take(1, kStart, std::to_string(key)), expected) << i;
    }
}

TEST(RuleMeterByField, SpreadsKeysOverItsSets)
{
    Meter meter(LimitByKey(1, 1, 4096));
    for (int i = 0; i < 2048; i++) {
        EXPECT_TRUE(meter.Take(1, kStart, "user-" + std::to_string(i)));
    }

    int forgotten = 0;
    for (int i = 0; i < 2048; i++) {
        forgotten += meter.Take(1, kStart, "user-" + std::to_string(i)) ? 1 : 0;
    }

    EXPECT_LT(forgotten, 2048 / 8); // half full, sets of four: few had more than four keys
}

TEST(RuleMeterByField, TakesOneBucketAndAMillion)
{
    Meter one(LimitByKey(1, 2, 1));
    Meter million(LimitByKey(1, 2, RULES_LIMIT_BUCKETS_MAX));

    EXPECT_EQ(one.AtOnce(kStart, "a"), 2U);
    EXPECT_EQ(million.AtOnce(kStart, "a"), 2U);
}

// ------------------------------------------------------------------------------ whose limit it is

TEST(RuleMeter, IsForTheSameRuleAndParametersOnly)
{
    std::string rule = "noisy";
    std::string field = "user";
    struct rule_limit limit = LimitByKey(10, 5, 64);
    limit.rule = rule.c_str();
    limit.field.kind = RULE_FIELD_HEADER;
    limit.field.name = BytesOf(field);
    const Meter meter(limit);
    const auto is_for = [&meter](const struct rule_limit &other) {
        return rule_meter_is_for(meter.get(), &other);
    };
    rule = "other", field = "host"; // its own copies
    limit.rule = "noisy";
    limit.field.name = bytes_of_text("user");
    EXPECT_TRUE(is_for(limit));

    struct rule_limit other = limit;
    other.rule = "noise";
    EXPECT_FALSE(is_for(other));
    other = limit, other.rate++;
    EXPECT_FALSE(is_for(other));
    other = limit, other.burst++;
    EXPECT_FALSE(is_for(other));
    other = limit, other.buckets++;
    EXPECT_FALSE(is_for(other));
    other = limit, other.unit = RULE_LIMIT_BYTES;
    EXPECT_FALSE(is_for(other));
    other = limit, other.by_field = false;
    EXPECT_FALSE(is_for(other));
    other = limit, other.field.kind = RULE_FIELD_JSON;
    EXPECT_FALSE(is_for(other));
    other = limit, other.field.name = bytes_of_text("host");
    EXPECT_FALSE(is_for(other));
}

} // namespace
