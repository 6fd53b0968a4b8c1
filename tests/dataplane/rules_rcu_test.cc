#include "dataplane/rules_rcu.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/diagnostics.h"
#include "pipeline/rules_load.h"

namespace {

constexpr size_t kWorkers = 3;

// Every generation routes to the topic that its number names: a set that is taken apart, or freed
// under a reader, gives itself away (and to the sanitizers).
struct rules_generation *Generation(uint64_t number, size_t workers = kWorkers)
{
    static const char *const topics[] = {"even", "odd"};
    static const int32_t listener_topics[] = {-1};
    const struct rules_world world = {topics, 2, listener_topics, 1, nullptr, nullptr};
    const std::string text = "rules:\n  - { name: r" + std::to_string(number) +
                             ", when: 'x', do: { route: " + topics[number % 2] +
                             " } }\ndefault: drop\n";
    struct diagnostics *diagnostics = diagnostics_create();
    struct rule_set *rules =
        rules_load_text(text.data(), text.size(), "rules.yaml", &world, diagnostics);
    diagnostics_print(diagnostics, stderr);
    diagnostics_destroy(diagnostics);
    const struct rules_generation_options options = {rules, number,  0,      workers,
                                                     16,    nullptr, nullptr};
    struct rules_generation *made = nullptr;
    EXPECT_EQ(rules_generation_create(&options, &made), STATUS_OK);
    return made;
}

class RulesRcu : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(rules_rcu_create(Generation(1), &rcu_), STATUS_OK); }
    void TearDown() override { rules_rcu_destroy(rcu_); }

    struct rules_rcu *rcu_ = nullptr;
};

TEST_F(RulesRcu, AWorkerTakesWhatIsPublishedWhenItIsAsked)
{
    EXPECT_EQ(rules_rcu_join(rcu_, 0)->number, 1U);
    EXPECT_FALSE(rules_rcu_is_asked(rcu_, 0));

    rules_rcu_publish(rcu_, Generation(2));

    EXPECT_TRUE(rules_rcu_is_asked(rcu_, 0));
    EXPECT_EQ(rules_rcu_take(rcu_, 0)->number, 2U);
    EXPECT_FALSE(rules_rcu_is_asked(rcu_, 0));
    EXPECT_TRUE(rules_rcu_settle(rcu_));
    rules_rcu_leave(rcu_, 0);
}

TEST_F(RulesRcu, TheOldSetStaysUntilTheLastWorkerHasLetGo)
{
    const struct rules_generation *const old = rules_rcu_join(rcu_, 0);
    rules_rcu_join(rcu_, 1);
    rules_rcu_publish(rcu_, Generation(2));
    rules_rcu_take(rcu_, 1);

    EXPECT_FALSE(rules_rcu_settle(rcu_));
    EXPECT_TRUE(rules_rcu_worker_is_behind(rcu_, 0));
    EXPECT_FALSE(rules_rcu_worker_is_behind(rcu_, 1));
    EXPECT_STREQ(rule_set_rule_name(old->rules, 0), "r1"); // not freed

    rules_rcu_take(rcu_, 0);
    EXPECT_TRUE(rules_rcu_settle(rcu_));
    rules_rcu_leave(rcu_, 0);
    rules_rcu_leave(rcu_, 1);
}

TEST_F(RulesRcu, AWorkerThatSleepsHoldsNothingUpAndWakesToTheNewest)
{
    rules_rcu_join(rcu_, 0);
    rules_rcu_leave(rcu_, 0);

    rules_rcu_publish(rcu_, Generation(2));
    EXPECT_TRUE(rules_rcu_settle(rcu_));
    EXPECT_FALSE(rules_rcu_worker_is_behind(rcu_, 0));
    rules_rcu_publish(rcu_, Generation(3));
    EXPECT_TRUE(rules_rcu_settle(rcu_));

    EXPECT_EQ(rules_rcu_join(rcu_, 0)->number, 3U);
    EXPECT_FALSE(rules_rcu_is_asked(rcu_, 0));
    rules_rcu_leave(rcu_, 0);
}

// What a worker's thread does, without anything to judge but one record: takes the newest when it
// is asked, sleeps now and then, and judges by what it holds all the time.
void Turn(struct rules_rcu *rcu, size_t worker, const std::atomic<bool> &stop,
          std::atomic<uint64_t> *judged)
{
    const struct rules_generation *held = rules_rcu_join(rcu, worker);
    static const char text[] = "x";
    uint64_t seen = 0;
    for (uint64_t turn = 1; !stop.load(std::memory_order_relaxed); turn++) {
        if (rules_rcu_is_asked(rcu, worker)) { held = rules_rcu_take(rcu, worker); }
        if (turn % (64 + worker) == 0) {
            rules_rcu_leave(rcu, worker);
            std::this_thread::yield();
            held = rules_rcu_join(rcu, worker);
        }
        struct record record = {};
        record.value = bytes_of(text, 1);
        record.topic = RECORD_NO_TOPIC;
        struct verdict verdict;
        rules_judge(held->rules, held->scratches[worker], &record, 1, 0, &verdict);
        ASSERT_GE(held->number, seen) << "back to older rules";
        seen = held->number;
        ASSERT_EQ(verdict.topics[0], seen % 2);
        judged[worker]++;
    }
    rules_rcu_leave(rcu, worker);
}

TEST_F(RulesRcu, ThousandsOfSwapsUnderWorkersThatJudge)
{
    constexpr uint64_t kSwaps = 500;
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> judged[kWorkers] = {};
    std::vector<std::thread> workers;
    for (size_t i = 0; i < kWorkers; i++) {
        workers.emplace_back(Turn, rcu_, i, std::cref(stop), judged);
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    uint64_t number = 1;
    for (; number < kSwaps && std::chrono::steady_clock::now() < deadline; number++) {
        rules_rcu_publish(rcu_, Generation(number + 1));
        while (!rules_rcu_settle(rcu_)) { std::this_thread::yield(); }
        EXPECT_EQ(rules_rcu_newest(rcu_)->number, number + 1);
    }
    stop = true;
    for (std::thread &worker : workers) { worker.join(); }

    EXPECT_GT(number, 50U); /* however slow the machine and the sanitizer */
    for (const auto &count : judged) { EXPECT_GT(count.load(), 0U); }
}

} // namespace
