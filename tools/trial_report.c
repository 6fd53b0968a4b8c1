#include "tools/trial_report.h"

#include <inttypes.h>
#include <string.h>

#include "tools/json_text.h"
#include "tools/record_json.h"

const char *trial_verdict_text(const struct trial_outcome *outcome)
{
    return outcome->verdict.fate == VERDICT_STORE ? "store" : "drop";
}

const char *trial_why_text(const struct trial_outcome *outcome)
{
    switch ((enum verdict_fate)outcome->verdict.fate) {
    case VERDICT_DROP: return "drop";
    case VERDICT_SAMPLED_OUT: return "sampled_out";
    case VERDICT_LIMITED: return "limited";
    case VERDICT_STORE: break;
    }
    return NULL;
}

static void set_bytes(json_t *object, const char *name, const char *name_base64, struct bytes bytes)
{
    if (bytes_are_null(bytes)) {
        json_object_set_new(object, name, json_null());
    } else {
        record_json_set_bytes(object, name, name_base64, bytes, RECORD_UTF8);
    }
}

static json_t *name_json(const char *name) { return json_text_of(name, strlen(name)); }

static json_t *topics_json(const struct candidate *candidate, const struct verdict *verdict)
{
    json_t *const out = json_array();
    for (size_t i = 0; verdict->fate == VERDICT_STORE && i < verdict->topic_count; i++) {
        json_array_append_new(out, name_json(candidate->world->topics[verdict->topics[i]]));
    }
    return out;
}

static json_t *headers_json(const struct record *record)
{
    json_t *const out = json_array();
    for (size_t i = 0; i < record->header_count; i++) {
        json_t *const header = json_object();
        set_bytes(header, "name", "name_base64", record->headers[i].name);
        set_bytes(header, "value", "value_base64", record->headers[i].value);
        json_array_append_new(out, header);
    }
    return out;
}

json_t *trial_report_json(const struct candidate *candidate, const struct trial_outcome *outcome,
                          uint64_t number)
{
    const char *const why = trial_why_text(outcome);
    json_t *const out = json_object();
    json_t *const rules = json_array();
    for (size_t i = 0; i < outcome->matched_count; i++) {
        json_array_append_new(
            rules, name_json(rule_set_rule_name(candidate->rules, (size_t)outcome->matched[i])));
    }
    json_object_set_new(out, "number", json_integer((json_int_t)number));
    set_bytes(out, "record", "record_base64", outcome->before->value);
    json_object_set_new(out, "verdict", json_string(trial_verdict_text(outcome)));
    if (why != NULL) { json_object_set_new(out, "why", json_string(why)); }
    json_object_set_new(out, "topics", topics_json(candidate, &outcome->verdict));
    json_object_set_new(out, "rules", rules);
    if (outcome->storm) { json_object_set_new(out, "storm", json_true()); }
    if (!bytes_are_null(outcome->after.key)) {
        set_bytes(out, "key", "key_base64", outcome->after.key);
    }
    set_bytes(out, "value", "value_base64", outcome->after.value);
    json_object_set_new(out, "headers", headers_json(&outcome->after));
    return out;
}

/* ---------------------------------------------------------------------------------------- text */

const char *trial_shown(struct bytes bytes, char out[TRIAL_SHOWN_BYTES + 4])
{
    const size_t shown = bytes.len_bytes <= TRIAL_SHOWN_BYTES ? bytes.len_bytes : TRIAL_SHOWN_BYTES;
    for (size_t i = 0; i < shown; i++) {
        const bool printable = bytes.at[i] >= 0x20 && bytes.at[i] < 0x7f;
        out[i] = printable ? (char)bytes.at[i] : '.';
    }
    strcpy(out + shown, shown < bytes.len_bytes ? "..." : "");
    return out;
}

static void print_topics(const struct candidate *candidate, const struct trial_outcome *outcome,
                         FILE *out)
{
    const char *const why = trial_why_text(outcome);
    if (why != NULL) {
        fprintf(out, "drop%s",
                strcmp(why, "sampled_out") == 0 ? " (sampled out)"
                : strcmp(why, "limited") == 0   ? " (over its limit)"
                                                : "");
        return;
    }
    fputs("store ", out);
    for (size_t i = 0; i < outcome->verdict.topic_count; i++) {
        fprintf(out, "%s%s", i > 0 ? ", " : "",
                candidate->world->topics[outcome->verdict.topics[i]]);
    }
}

/* Whether an enforced rule that held names topics: then nothing stands in for them. */
static bool is_routed(const struct candidate *candidate, const struct trial_outcome *outcome)
{
    for (size_t i = 0; i < outcome->matched_count; i++) {
        const struct rule_source *const rule = &candidate->source->rules[outcome->matched[i]];
        if (!rule->shadow && rule->action.topic_count > 0) { return true; }
    }
    return false;
}

/* The rule that decided; without one, what stands in for it. */
static void print_decider(const struct candidate *candidate, const struct trial_outcome *outcome,
                          FILE *out)
{
    const int32_t rule = outcome->verdict.rule;
    if (outcome->storm) {
        fputs("too many matches, so no rule; ", out);
    } else if (rule != RULES_NONE) {
        fprintf(out, "by %s", rule_set_rule_name(candidate->rules, (size_t)rule));
        if (outcome->verdict.fate != VERDICT_STORE || is_routed(candidate, outcome)) { return; }
        fputs(", which routes nowhere: ", out);
    }
    if (outcome->before->topic != RECORD_NO_TOPIC) {
        fputs("the topic that it names", out);
    } else if (candidate->world->listener_topics[outcome->before->listener] >= 0) {
        fputs("its listener's topic", out);
    } else {
        fputs("default", out);
    }
}

static void print_changes(const struct trial_outcome *outcome, FILE *out)
{
    const struct record *const before = outcome->before;
    const struct record *const after = &outcome->after;
    char shown[TRIAL_SHOWN_BYTES + 4];
    size_t redacted = 0;
    for (size_t i = 0; i < before->value.len_bytes && i < after->value.len_bytes; i++) {
        if (before->value.at[i] != after->value.at[i]) { redacted++; }
    }
    if (redacted > 0) { fprintf(out, "; value redacted: %s", trial_shown(after->value, shown)); }
    if (!bytes_equal(before->key, after->key) ||
        bytes_are_null(before->key) != bytes_are_null(after->key)) {
        fprintf(out, "; key: %s", trial_shown(after->key, shown));
    }
    for (size_t i = 0; i < after->header_count; i++) {
        const struct record_header *const header = &after->headers[i];
        const bool added = i >= before->header_count;
        if (!added && bytes_equal(header->value, before->headers[i].value)) { continue; }
        fprintf(out, "; header %s ", added ? "added:" : "redacted:");
        fprintf(out, "%s=", trial_shown(header->name, shown));
        fprintf(out, "%s", trial_shown(header->value, shown));
    }
}

void trial_report_print(const struct candidate *candidate, const struct trial_outcome *outcome,
                        uint64_t number, FILE *out)
{
    fprintf(out, "%" PRIu64 ": ", number);
    print_topics(candidate, outcome, out);
    fputs("  ", out);
    print_decider(candidate, outcome, out);
    for (size_t i = 0; i < outcome->matched_count; i++) {
        const size_t rule = (size_t)outcome->matched[i];
        fprintf(out, "%s%s%s", i == 0 ? "; held: " : ", ",
                rule_set_rule_name(candidate->rules, rule),
                rule_set_rule_is_shadow(candidate->rules, rule) ? " (shadow)" : "");
    }
    print_changes(outcome, out);
    fputc('\n', out);
}
