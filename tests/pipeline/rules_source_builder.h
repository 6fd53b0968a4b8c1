// rules_source_builder.h - rules as plain structs, without a file: what the engine is given.
#pragma once

#include <arpa/inet.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/diagnostics.h"
#include "pipeline/rules.h"
#include "pipeline/rules_compile.h"
#include "pipeline/rules_source.h"

struct RuleSetDeleter {
    void operator()(struct rule_set *rules) const { rule_set_destroy(rules); }
    void operator()(struct rule_scratch *scratch) const { rule_scratch_destroy(scratch); }
    void operator()(struct diagnostics *diagnostics) const { diagnostics_destroy(diagnostics); }
};

// Keeps whatever the structs point to.
class SourceBuilder {
  public:
    using Condition = struct rule_condition;

    explicit SourceBuilder(std::vector<struct rule_fallback> fallbacks = {{false, 1, {0}}})
        : fallbacks_(std::move(fallbacks))
    {
        source.limits = {UINT64_C(64) << 20, 60, 2000};
    }

    const char *Text(const std::string &text) { return texts_.emplace_back(text).c_str(); }

    struct bytes Bytes(const std::string &text)
    {
        const std::string &kept = texts_.emplace_back(text);
        return bytes_of(kept.data(), kept.size());
    }

    struct rule_field Field(enum rule_field_kind kind, const std::string &name = "")
    {
        return {kind, Bytes(name)};
    }

    Condition Test(enum rule_test test, struct rule_field field)
    {
        Condition out = {};
        out.kind = RULE_CONDITION_TEST;
        out.test = test;
        out.field = field;
        out.place = {"rules.yaml", ++line_, 1};
        return out;
    }

    Condition Match(const std::string &pattern, struct rule_field field)
    {
        Condition out = Test(RULE_TEST_MATCH, field);
        out.pattern = Text(pattern);
        return out;
    }
    Condition Match(const std::string &pattern) { return Match(pattern, Field(RULE_FIELD_VALUE)); }

    Condition Equals(const std::string &text, struct rule_field field)
    {
        Condition out = Test(RULE_TEST_EQUALS, field);
        out.literal = Bytes(text);
        return out;
    }

    Condition Compare(enum rule_test test, enum rule_comparison comparison, double number,
                      struct rule_field field)
    {
        Condition out = Test(test, field);
        out.comparison = comparison;
        out.number = number;
        return out;
    }

    Condition Network(const std::string &address, uint8_t prefix_bits)
    {
        Condition out = Test(RULE_TEST_NETWORK, Field(RULE_FIELD_SOURCE));
        inet_pton(AF_INET6, address.c_str(), out.network.address);
        out.network.prefix_bits = prefix_bits;
        return out;
    }

    Condition Tree(enum rule_condition_kind kind, const std::vector<Condition> &children)
    {
        const std::vector<Condition> &kept = children_.emplace_back(children);
        Condition out = {};
        out.kind = kind;
        out.children = kept.data();
        out.child_count = kept.size();
        return out;
    }
    Condition All(const std::vector<Condition> &children)
    {
        return Tree(RULE_CONDITION_ALL, children);
    }
    Condition Any(const std::vector<Condition> &children)
    {
        return Tree(RULE_CONDITION_ANY, children);
    }
    Condition Not(const Condition &child) { return Tree(RULE_CONDITION_NOT, {child}); }

    struct rule_source &Rule(const Condition &when)
    {
        struct rule_source rule = {};
        rule.name = Text("rule-" + std::to_string(rules_.size()));
        rule.place = {"rules.yaml", ++line_, 1};
        rule.when = when;
        return rules_.emplace_back(rule);
    }

    struct rule_source &Drop(const Condition &when)
    {
        struct rule_source &rule = Rule(when);
        rule.action.drop = true;
        return rule;
    }

    struct rule_source &Route(const Condition &when, const std::vector<uint16_t> &topics)
    {
        struct rule_source &rule = Rule(when);
        for (uint16_t topic : topics) { rule.action.topics[rule.action.topic_count++] = topic; }
        return rule;
    }

    // NULL when refused: `errors` says why.
    std::unique_ptr<struct rule_set, RuleSetDeleter> Compile()
    {
        const std::vector<struct rule_source> rules(rules_.begin(), rules_.end());
        const std::unique_ptr<struct diagnostics, RuleSetDeleter> found(diagnostics_create());
        source.rules = rules.data();
        source.rule_count = rules.size();
        source.fallbacks = fallbacks_.data();
        source.listener_names = listener_names.data();
        source.listener_count = fallbacks_.size();
        std::unique_ptr<struct rule_set, RuleSetDeleter> out(
            rules_compile(&source, {"rules.yaml", 0, 0}, found.get()));
        errors.clear();
        warnings.clear();
        for (size_t i = 0; i < diagnostics_count(found.get()); i++) {
            const struct diagnostic *const item = diagnostics_at(found.get(), i);
            (item->severity == DIAGNOSTIC_ERROR ? errors : warnings)
                .push_back(std::to_string(item->place.line) + ": " + item->text);
        }
        return out;
    }

    const std::deque<struct rule_source> &rules() const { return rules_; }

    struct rules_source source = {};
    std::vector<const char *> listener_names = {"lines:5140", "syslog:514", "native:4650"};
    std::vector<std::string> errors;
    std::vector<std::string> warnings;

  private:
    std::vector<struct rule_fallback> fallbacks_;
    std::deque<std::string> texts_;
    std::deque<std::vector<Condition>> children_;
    std::deque<struct rule_source> rules_;
    uint32_t line_ = 0;
};

// A scratch for a set, and what it says of one record.
class Judge {
  public:
    explicit Judge(const struct rule_set *rules, struct rule_scratch_options options = Options())
        : rules_(rules)
    {
        struct rule_scratch *scratch = nullptr;
        if (rule_scratch_create(rules, &options, &scratch) != STATUS_OK) { std::abort(); }
        scratch_.reset(scratch);
    }

    static struct rule_scratch_options Options()
    {
        return {64, nullptr, nullptr, 0, 1, nullptr, nullptr};
    }

    struct verdict operator()(struct record &record, uint64_t now_ns = 0)
    {
        struct verdict verdict = {};
        rules_judge(rules_, scratch_.get(), &record, 1, now_ns, &verdict);
        return verdict;
    }

    struct verdict operator()(const std::string &value)
    {
        struct record record = {};
        record.topic = RECORD_NO_TOPIC;
        record.value = bytes_of(value.data(), value.size());
        return (*this)(record);
    }

    std::vector<int32_t> Matched() const
    {
        std::vector<int32_t> out(16);
        const size_t count = rule_scratch_matched(scratch_.get(), out.data(), out.size());
        out.resize(count);
        rule_scratch_matched(scratch_.get(), out.data(), out.size());
        return out;
    }

    struct rule_totals Totals() const { return rule_scratch_totals(scratch_.get()); }

  private:
    const struct rule_set *rules_;
    std::unique_ptr<struct rule_scratch, RuleSetDeleter> scratch_;
};

inline std::vector<uint16_t> TopicsOf(const struct verdict &verdict)
{
    return std::vector<uint16_t>(verdict.topics, verdict.topics + verdict.topic_count);
}
