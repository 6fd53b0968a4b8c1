/* rules_fuzz.c - any text is either rules that are within their bounds or a list of errors; and
 * whatever was read, the lint comes to an end with it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "pipeline/rules_lint.h"
#include "pipeline/rules_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static const char *const topics[] = {"events",  "payments", "audit",   "topic-3", "topic-4",
                                     "topic-5", "topic-6",  "topic-7", "topic-8"};
static const char *const listeners[] = {"lines:5140", "syslog:514"};
static const int32_t listener_topics[] = {-1, 2};

static void check_field(const struct rule_field *field)
{
    const bool is_named = field->kind == RULE_FIELD_HEADER || field->kind == RULE_FIELD_JSON;
    assert(is_named == (field->name.len_bytes > 0));
}

/* Returns how many tests it has. */
static size_t check_condition(const struct rule_condition *condition, unsigned depth)
{
    assert(depth < RULES_TREE_DEPTH_MAX);
    if (condition->kind == RULE_CONDITION_TEST) {
        check_field(&condition->field);
        assert((condition->test == RULE_TEST_MATCH) == (condition->pattern != NULL));
        assert((condition->test == RULE_TEST_NETWORK) ==
               (condition->field.kind == RULE_FIELD_SOURCE));
        assert(condition->network.prefix_bits <= 128);
        assert(condition->child_count == 0);
        return 1;
    }
    assert(condition->child_count >= 1);
    assert(condition->kind != RULE_CONDITION_NOT || condition->child_count == 1);
    size_t count = 0;
    for (size_t i = 0; i < condition->child_count; i++) {
        count += check_condition(&condition->children[i], depth + 1);
    }
    return count;
}

static void check_action(const struct rule_action *action)
{
    assert(action->topic_count <= RULES_ROUTE_TOPICS_MAX);
    assert(!action->drop || action->topic_count == 0);
    for (size_t i = 0; i < action->topic_count; i++) {
        assert(action->topics[i] < ARRAY_COUNT(topics));
    }
    assert(action->header_count <= RULES_ADDED_HEADERS_MAX);
    assert((action->limit_unit == RULE_LIMIT_NONE) == (action->limit_rate == 0));
    assert((action->limit_rate == 0) == (action->limit_burst == 0));
    assert(action->limit_by_field == (action->limit_buckets > 0));
    assert((action->limit_buckets & (action->limit_buckets - 1)) == 0);
    if (action->redact_pattern != NULL) { assert(action->redact_field.kind <= RULE_FIELD_HEADER); }
}

static void check_promises(const struct rules_source *source)
{
    size_t tests = 0;
    assert(source->rule_count <= RULES_MAX);
    for (size_t i = 0; i < source->rule_count; i++) {
        const struct rule_source *const rule = &source->rules[i];
        assert(rule->name != NULL && rule->name[0] != '\0');
        assert(!rule->goes_on || !rule->action.drop);
        tests += check_condition(&rule->when, 0);
        check_action(&rule->action);
    }
    assert(tests <= RULES_CONDITIONS_MAX);
    assert(source->limits.matches_max >= 1 && source->limits.compile_seconds_max >= 1);
    assert(source->example_count <= RULES_EXAMPLES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct diagnostics *const diagnostics = diagnostics_create();
    const struct rules_world world = {.topics = topics,
                                      .topic_count = ARRAY_COUNT(topics),
                                      .listener_topics = listener_topics,
                                      .listener_count = ARRAY_COUNT(listener_topics),
                                      .listener_names = listeners};
    struct rules_document *document;
    const bool is_read =
        rules_read_text((const char *)at, len_bytes, "fuzz.yaml", &world, diagnostics, &document);

    assert(is_read == (diagnostics_error_count(diagnostics) == 0));
    assert(is_read == (document != NULL));
    if (is_read) {
        check_promises(rules_document_source(document));
        rules_lint(rules_document_source(document), diagnostics);
        assert(diagnostics_error_count(diagnostics) == 0);
    }
    rules_document_destroy(document);
    diagnostics_destroy(diagnostics);
    return 0;
}
