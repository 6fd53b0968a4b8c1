/* docs/configuration.md says of every key what the table says, no more and no less. */
#include "base/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::vector<std::string> ManualLines()
{
    std::ifstream in(CONFIG_MANUAL);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) { lines.push_back(line); }
    return lines;
}

/* Lines of the key tables: "| `storage.segment` | size | ...". */
std::vector<std::string> ManualRows()
{
    std::vector<std::string> rows;
    for (const std::string &line : ManualLines()) {
        if (line.rfind("| `", 0) == 0) { rows.push_back(line); }
    }
    return rows;
}

std::string RowOf(const struct config_key_facts &facts)
{
    const std::string least = facts.least;
    const std::string default_text = facts.default_text;
    std::string shown = default_text.empty() ? "none" : "`" + default_text + "`";
    if (default_text == "-") { shown = "required"; }
    return "| `" + std::string(facts.path) + "` | " + facts.type + " | " +
           (least.empty() ? "" : least + " to " + facts.most) + " | " + shown + " | " + facts.help +
           " |";
}

TEST(ConfigManual, HasTheTablesRowForEveryKeyInTheTablesOrder)
{
    std::vector<std::string> expected;
    for (size_t i = 0; i < config_key_count(); i++) {
        expected.push_back(RowOf(*config_key_at(i)));
    }

    EXPECT_EQ(ManualRows(), expected);
}

TEST(ConfigManual, ItsExampleIsAccepted)
{
    std::string example;
    bool inside = false;
    for (const std::string &line : ManualLines()) {
        if (line == "```") { inside = false; }
        if (inside) { example += line + "\n"; }
        if (line == "```yaml" && example.empty()) { inside = true; }
    }
    const std::unique_ptr<struct diagnostics, decltype(&diagnostics_destroy)> diagnostics(
        diagnostics_create(), diagnostics_destroy);

    struct config *const config =
        config_load_text(example.data(), example.size(), "example", diagnostics.get());

    EXPECT_NE(config, nullptr);
    EXPECT_FALSE(example.empty());
    config_destroy(config);
}

TEST(ConfigTable, EveryKeyHasATypeAndAHelp)
{
    for (size_t i = 0; i < config_key_count(); i++) {
        const struct config_key_facts &facts = *config_key_at(i);
        EXPECT_STRNE(facts.type, "") << facts.path;
        EXPECT_STRNE(facts.help, "") << facts.path;
        EXPECT_EQ(std::string(facts.least).empty(), std::string(facts.most).empty()) << facts.path;
    }
}

} // namespace
