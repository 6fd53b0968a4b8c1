#include "dataplane/rules_loader.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/diagnostics.h"
#include "base/mapped_file.h"
#include "dataplane/node_config.h"

namespace {

namespace fs = std::filesystem;

// The loader over a configuration of files; workers are the test itself.
class RulesLoader : public testing::Test {
  protected:
    void Start(bool with_rules)
    {
        char path[] = "/tmp/penstock-loader-XXXXXX";
        ASSERT_NE(mkdtemp(path), nullptr);
        root_ = path;
        WriteRules("rules:\n  - { name: first, when: 'a', do: drop }\n");
        std::ofstream(root_ + "/penstock.yaml")
            << "node: test\nworkers: { cores: [0, 1] }\n"
               "ports: [ { device: net_null0, address: 192.0.2.10/24 } ]\n"
               "listeners: [ { protocol: lines, port: 5140, topic: events } ]\n"
               "topics: [ { name: events } ]\n"
               "storage: { paths: [ "
            << root_ << "/log ] }\ncache: " << root_ << "/cache\n"
            << (with_rules ? "rules: rules.yaml\n" : "");
        struct diagnostics *diagnostics = diagnostics_create();
        ASSERT_TRUE(node_config_load((root_ + "/penstock.yaml").c_str(), diagnostics, &config_));
        diagnostics_print(diagnostics, stderr);
        diagnostics_destroy(diagnostics);

        const struct rules_generation_options first = {config_.rules, 1,      0, 2, 16,
                                                       root_.c_str(), nullptr};
        config_.rules = nullptr;
        struct rules_generation *generation = nullptr;
        ASSERT_EQ(rules_generation_create(&first, &generation), STATUS_OK);
        first_epoch_ = generation->epoch;
        rules_generation_settle(generation, nullptr);
        ASSERT_EQ(rules_rcu_create(generation, &rcu_), STATUS_OK);
        const struct rules_loader_options options = {config_.config, rcu_, 2, 16, root_.c_str()};
        ASSERT_EQ(rules_loader_start(&options, &loader_), STATUS_OK);
    }

    void TearDown() override
    {
        rules_loader_stop(loader_);
        rules_rcu_destroy(rcu_);
        node_config_deinit(&config_);
        free(outcome_.text);
        fs::remove_all(root_);
    }

    void WriteRules(const std::string &text) const { std::ofstream(root_ + "/rules.yaml") << text; }

    void Load()
    {
        rules_loader_request(loader_);
        TakeOutcome();
    }

    void TakeOutcome()
    {
        struct pollfd wait = {rules_loader_descriptor(loader_), POLLIN, 0};
        ASSERT_EQ(poll(&wait, 1, 60000), 1);
        free(outcome_.text);
        outcome_ = {};
        ASSERT_TRUE(rules_loader_take(loader_, &outcome_));
    }

    std::string Text() const { return {outcome_.text, outcome_.text_bytes}; }

    std::string root_;
    struct node_config config_ = {};
    uint64_t first_epoch_ = 0;
    struct rules_rcu *rcu_ = nullptr;
    struct rules_loader *loader_ = nullptr;
    struct rules_outcome outcome_ = {};
};

TEST_F(RulesLoader, PutsTheFileInForceAsItIsNow)
{
    Start(/*with_rules=*/true);
    WriteRules("rules:\n  - { name: one, when: 'a', do: drop }\n"
               "  - { name: two, when: 'b', do: drop }\n");

    Load();

    EXPECT_EQ(outcome_.status, STATUS_OK) << Text();
    EXPECT_TRUE(outcome_.published);
    EXPECT_EQ(outcome_.rule_count, 2U);
    EXPECT_NE(outcome_.epoch, first_epoch_);
    EXPECT_EQ(rules_rcu_newest(rcu_)->epoch, outcome_.epoch);
    EXPECT_EQ(rules_rcu_newest(rcu_)->number, 2U);
    char name[64];
    snprintf(name, sizeof name, "/cache/rules/%016llx.yaml",
             static_cast<unsigned long long>(outcome_.epoch));
    EXPECT_TRUE(fs::exists(root_ + name));
}

TEST_F(RulesLoader, TheNewRulesGoOnWithTheCountsOfTheOld)
{
    Start(/*with_rules=*/true);
    ASSERT_EQ(rules_rcu_join(rcu_, 1), rules_rcu_newest(rcu_));
    struct rules_page_worker *const row = rules_page_worker(rules_rcu_newest(rcu_)->page, 1);
    WriteRules("rules:\n  - { name: new, when: 'b', do: drop }\n"
               "  - { name: first, when: 'a', do: drop }\n");
    rules_page_count_judged(row, 30, 0);
    rules_loader_request(loader_);
    while (!rules_rcu_is_asked(rcu_, 1)) { std::this_thread::yield(); }
    rules_page_count_judged(row, 12, 0); // the old rules judge on until the worker changes over
    rules_rcu_take(rcu_, 1);
    TakeOutcome();

    struct mapped_file file = {};
    struct rules_view view = {};
    ASSERT_EQ(mapped_file_open((root_ + "/rules").c_str(), false, 1, &file), STATUS_OK);
    ASSERT_EQ(rules_view_open(file.at, file.size_bytes, &view), STATUS_OK);
    EXPECT_EQ(view.facts.epoch, outcome_.epoch);
    EXPECT_EQ(view.facts.generation, 2U);
    EXPECT_EQ(rules_view_judged(&view, 0), 0U);
    EXPECT_EQ(rules_view_judged(&view, 1), 42U);
    rules_page_count_judged(rules_page_worker(rules_rcu_newest(rcu_)->page, 1), 1, 0);
    EXPECT_EQ(rules_view_judged(&view, 1), 43U);
    mapped_file_close(&file);
    rules_rcu_leave(rcu_, 1);
}

TEST_F(RulesLoader, ABadFileLeavesTheOldRulesAndSaysWhere)
{
    Start(/*with_rules=*/true);
    WriteRules("rules:\n  - { name: one, when: 'a(', do: drop }\n");

    Load();

    EXPECT_EQ(outcome_.status, STATUS_INVALID);
    EXPECT_FALSE(outcome_.published);
    EXPECT_EQ(outcome_.epoch, first_epoch_);
    EXPECT_NE(Text().find("rules.yaml:2:"), std::string::npos) << Text();
    EXPECT_EQ(rules_rcu_newest(rcu_)->number, 1U);
}

TEST_F(RulesLoader, AFileThatIsGoneLeavesTheOldRules)
{
    Start(/*with_rules=*/true);
    fs::remove(root_ + "/rules.yaml");

    Load();

    EXPECT_EQ(outcome_.status, STATUS_INVALID);
    EXPECT_NE(Text().find("rules.yaml"), std::string::npos) << Text();
    EXPECT_EQ(outcome_.epoch, first_epoch_);
}

TEST_F(RulesLoader, WithoutARulesFileThereIsNothingToLoad)
{
    Start(/*with_rules=*/false);

    Load();

    EXPECT_EQ(outcome_.status, STATUS_NOT_FOUND);
    EXPECT_NE(Text().find("no rules file"), std::string::npos) << Text();
}

TEST_F(RulesLoader, WaitsUntilEveryWorkerHasTaken)
{
    Start(/*with_rules=*/true);
    rules_rcu_join(rcu_, 1);
    rules_loader_request(loader_);

    while (!rules_rcu_is_asked(rcu_, 1)) {}
    struct pollfd wait = {rules_loader_descriptor(loader_), POLLIN, 0};
    EXPECT_EQ(poll(&wait, 1, 50), 0) << "no outcome before it is in force";
    rules_rcu_take(rcu_, 1);

    TakeOutcome();
    EXPECT_EQ(outcome_.status, STATUS_OK);
    rules_rcu_leave(rcu_, 1);
}

TEST_F(RulesLoader, ARequestWhileOneIsUnderWayIsReadAfterIt)
{
    Start(/*with_rules=*/true);
    rules_rcu_join(rcu_, 0);
    const uint64_t first = rules_loader_request(loader_);
    while (!rules_rcu_is_asked(rcu_, 0)) {} // the file has been read

    WriteRules("rules:\n  - { name: later, when: 'z', do: drop }\n");
    const uint64_t second = rules_loader_request(loader_);
    rules_rcu_take(rcu_, 0);
    TakeOutcome();
    EXPECT_EQ(outcome_.ticket, first);
    EXPECT_EQ(outcome_.epoch, first_epoch_);

    while (!rules_rcu_is_asked(rcu_, 0)) {}
    rules_rcu_take(rcu_, 0);
    TakeOutcome();
    EXPECT_EQ(outcome_.ticket, second);
    EXPECT_NE(outcome_.epoch, first_epoch_);
    rules_rcu_leave(rcu_, 0);
}

} // namespace
