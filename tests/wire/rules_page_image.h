/* A page of rules as penstock-ingest would leave it, made by the test. */
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "wire/rules_page.h"

class RulesPageImage {
  public:
    struct Rule {
        std::string name;
        bool is_shadow = false;
    };

    // A key or value, or none.
    class Part {
      public:
        Part(std::nullopt_t) : is_null_(true) {}
        Part(std::string text) : text_(std::move(text)), is_null_(false) {}
        Part(const char *text) : text_(text), is_null_(false) {}
        struct bytes Bytes() const
        {
            return is_null_ ? bytes_null() : bytes_of(text_.data(), text_.size());
        }

      private:
        std::string text_;
        bool is_null_;
    };

    explicit RulesPageImage(const std::vector<Rule> &rules, uint32_t worker_count = 1,
                            uint32_t example_count = 0, uint32_t example_bytes = 0)
    {
        facts_.epoch = 0xfedcba9876543210;
        facts_.generation = 7;
        facts_.loaded_wall_ms = 1767225600123; // 2026-01-01T00:00:00.123Z
        facts_.rule_count = static_cast<uint32_t>(rules.size());
        facts_.worker_count = worker_count;
        facts_.example_count = example_count;
        facts_.example_bytes = example_bytes;
        for (const Rule &rule : rules) {
            facts_.names_bytes += static_cast<uint32_t>(rule.name.size());
        }
        EXPECT_TRUE(rules_page_layout_of(&facts_, &layout_));
        bytes_.resize(layout_.file_bytes);
        rules_page_init(bytes_.data(), &facts_);
        uint32_t position = 0;
        for (size_t i = 0; i < rules.size(); i++) {
            rules_page_name_rule(bytes_.data(), &layout_, i, rules[i].is_shadow,
                                 rules[i].name.c_str(), position);
            position += static_cast<uint32_t>(rules[i].name.size());
        }
    }

    struct rules_page_header &Header()
    {
        return *reinterpret_cast<struct rules_page_header *>(bytes_.data());
    }
    struct rules_page_rule &Row(size_t rule)
    {
        return reinterpret_cast<struct rules_page_rule *>(bytes_.data() + layout_.rules)[rule];
    }
    struct rule_counts &Counts(size_t worker, size_t rule)
    {
        return reinterpret_cast<struct rule_counts *>(bytes_.data() + layout_.counts +
                                                      worker * layout_.counts_stride)[rule];
    }
    struct rules_page_worker &Worker(size_t worker)
    {
        return reinterpret_cast<struct rules_page_worker *>(bytes_.data() +
                                                            layout_.workers)[worker];
    }
    uint8_t *Slots(size_t worker, size_t rule)
    {
        return bytes_.data() + layout_.examples +
               (worker * facts_.rule_count + rule) * facts_.example_count * layout_.slot_stride;
    }
    void Store(size_t worker, size_t rule, int64_t wall_ms, const Part &key, const Part &value)
    {
        struct rules_page_sighting sighting = {};
        sighting.rule = static_cast<uint32_t>(rule);
        sighting.wall_ms = wall_ms;
        sighting.key = key.Bytes();
        sighting.value = value.Bytes();
        rules_page_store_example(Slots(worker, rule), facts_.example_count, facts_.example_bytes,
                                 &sighting);
    }

    std::vector<uint8_t> &Bytes() { return bytes_; }
    struct rules_page_layout &Layout() { return layout_; }

    enum status Open(struct rules_view *out) const
    {
        return rules_view_open(bytes_.data(), bytes_.size(), out);
    }
    struct rules_view View() const
    {
        struct rules_view view = {};
        EXPECT_EQ(Open(&view), STATUS_OK);
        return view;
    }
    // Takes the name `directory`/rules, as a new set's page does.
    void Write(const std::string &directory) const
    {
        struct mapped_file file = {};
        const std::string path = directory + "/" RULES_PAGE_FILE_NAME;
        ASSERT_EQ(mapped_file_create(path.c_str(), bytes_.size(), &file), STATUS_OK);
        std::memcpy(file.at, bytes_.data(), bytes_.size());
        mapped_file_close(&file);
    }

  private:
    struct rules_page_facts facts_ = {};
    struct rules_page_layout layout_ = {};
    std::vector<uint8_t> bytes_;
};
