#include "dataplane/node_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

class NodeConfig : public testing::Test {
  protected:
    NodeConfig() : diagnostics_(diagnostics_create())
    {
        char path[] = "/tmp/penstock-node-config-test-XXXXXX";
        folder_ = mkdtemp(path);
    }
    ~NodeConfig() override
    {
        node_config_deinit(&loaded_);
        diagnostics_destroy(diagnostics_);
        std::filesystem::remove_all(folder_);
    }

    bool Load(const std::string &listener, const std::string &more)
    {
        std::ofstream(folder_ + "/p.yaml")
            << "node: edge-17\n"
               "workers: { cores: [0] }\n"
               "ports: [{ device: net_null0, address: 192.0.2.10/24 }]\n"
               "topics: [{ name: audit }, { name: events }]\n"
               "listeners: [{ protocol: lines, port: 5140"
            << listener << " }]\nstorage: { paths: [/data] }\n"
            << more;
        return node_config_load((folder_ + "/p.yaml").c_str(), diagnostics_, &loaded_);
    }

    void Rules(const std::string &text) { std::ofstream(folder_ + "/r.yaml") << text; }

    std::string folder_;
    struct diagnostics *diagnostics_;
    struct node_config loaded_ = {};
};

TEST_F(NodeConfig, WithoutRulesHasASetThatIsEmpty)
{
    ASSERT_TRUE(Load(", topic: events", ""));

    EXPECT_EQ(rule_set_rule_count(loaded_.rules), 0U);
    EXPECT_EQ(rule_set_epoch(loaded_.rules), 0U);
}

TEST_F(NodeConfig, ReadsTheRulesBesideItsFile)
{
    Rules("rules: [{ name: a, when: x, do: { route: audit } }]\ndefault: { route: events }\n");

    ASSERT_TRUE(Load("", "rules: r.yaml\n"));

    EXPECT_EQ(rule_set_rule_count(loaded_.rules), 1U);
    EXPECT_STREQ(rule_set_rule_name(loaded_.rules, 0), "a");
}

TEST_F(NodeConfig, IsEmptyWhenTheRulesHaveAnErrorAndNamesTheirFile)
{
    Rules("rules: [{ name: a, when: x, do: { route: nowhere } }]\ndefault: drop\n");

    EXPECT_FALSE(Load("", "rules: r.yaml\n"));

    EXPECT_EQ(loaded_.config, nullptr);
    EXPECT_EQ(loaded_.rules, nullptr);
    ASSERT_EQ(diagnostics_error_count(diagnostics_), 1U);
    EXPECT_EQ(diagnostics_at(diagnostics_, 0)->place.file, folder_ + "/r.yaml");
}

TEST_F(NodeConfig, ARulesFileThatIsNotThereIsAnError)
{
    EXPECT_FALSE(Load(", topic: events", "rules: none.yaml\n"));

    EXPECT_EQ(diagnostics_at(diagnostics_, 0)->place.file, folder_ + "/p.yaml");
    EXPECT_EQ(diagnostics_at(diagnostics_, 0)->place.line, 7U);
    EXPECT_EQ(diagnostics_at(diagnostics_, 0)->place.column, 8U);
}

TEST_F(NodeConfig, DoesNotLookAtRulesBelowABrokenConfiguration)
{
    Rules("nonsense\n");

    EXPECT_FALSE(Load(", topic: events", "rules: r.yaml\ncolour: blue\n"));

    EXPECT_EQ(diagnostics_error_count(diagnostics_), 1U);
}

} // namespace
