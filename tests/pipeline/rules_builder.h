// rules_builder.h - a world of topics and listeners, and what loading a rules text in it gives.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/diagnostics.h"
#include "pipeline/rules.h"
#include "pipeline/rules_load.h"

struct RulesDeleter {
    void operator()(struct rule_set *rules) const { rule_set_destroy(rules); }
    void operator()(struct rule_scratch *scratch) const { rule_scratch_destroy(scratch); }
    void operator()(struct rules_document *document) const { rules_document_destroy(document); }
};
using RuleSet = std::unique_ptr<struct rule_set, RulesDeleter>;
using RulesDocument = std::unique_ptr<struct rules_document, RulesDeleter>;
using RuleScratch = std::unique_ptr<struct rule_scratch, RulesDeleter>;

enum Topic : uint16_t { EVENTS, PAYMENTS, AUDIT };
inline const char *const topic_names[] = {"events",  "payments", "audit",   "topic-3", "topic-4",
                                          "topic-5", "topic-6",  "topic-7", "topic-8"};

const struct rule_scratch_options kScratchOptions = {64, nullptr, nullptr, 0, 1, nullptr, nullptr};

enum Listener : uint16_t { WITHOUT_TOPIC, WITH_TOPIC_AUDIT };

struct Loaded {
    RuleSet rules;
    std::vector<std::string> errors; // "line:column: text"
};

inline std::vector<std::string> ErrorsOf(const struct diagnostics *diagnostics)
{
    std::vector<std::string> out;
    for (size_t i = 0; i < diagnostics_count(diagnostics); i++) {
        const struct diagnostic *const item = diagnostics_at(diagnostics, i);
        out.push_back(std::to_string(item->place.line) + ":" + std::to_string(item->place.column) +
                      ": " + item->text);
    }
    return out;
}

inline struct rules_world World(const std::vector<int32_t> &listener_topics)
{
    static const char *const listeners[] = {"lines:5140", "lines:5141", "lines:5142", "lines:5143"};
    return {topic_names,
            std::size(topic_names),
            listener_topics.data(),
            listener_topics.size(),
            listeners,
            nullptr};
}

inline Loaded Load(const std::string &text,
                   const std::vector<int32_t> &listener_topics = {-1, AUDIT})
{
    struct diagnostics *const diagnostics = diagnostics_create();
    const struct rules_world world = World(listener_topics);
    Loaded out;
    out.rules.reset(rules_load_text(text.data(), text.size(), "rules.yaml", &world, diagnostics));
    out.errors = ErrorsOf(diagnostics);
    diagnostics_destroy(diagnostics);
    return out;
}

struct WasRead {
    RulesDocument document;
    const struct rules_source *source = nullptr;
    std::vector<std::string> errors; // and warnings
};

/* Reads and checks, but compiles nothing. */
inline WasRead Read(const std::string &text,
                    const std::vector<int32_t> &listener_topics = {-1, AUDIT})
{
    struct diagnostics *const diagnostics = diagnostics_create();
    const struct rules_world world = World(listener_topics);
    struct rules_document *document = nullptr;
    WasRead out;
    if (rules_read_text(text.data(), text.size(), "rules.yaml", &world, diagnostics, &document)) {
        out.document.reset(document);
        out.source = rules_document_source(document);
    }
    out.errors = ErrorsOf(diagnostics);
    diagnostics_destroy(diagnostics);
    return out;
}
