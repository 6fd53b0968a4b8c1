#include "pipeline/rule_actions.h"

#include <string.h>

#include "base/invariant.h"
#include "pipeline/rule_keep.h"

/* ------------------------------------------------------------------------------------ deciding */

static uint64_t record_bytes(const struct rule_scratch *scratch)
{
    return scratch->contents[RULE_LOOK_VALUE].len_bytes +
           scratch->contents[RULE_LOOK_KEY].len_bytes;
}

static bool is_kept(const struct rule_scratch *scratch, const struct rule_deed *deed)
{
    const struct bytes key = scratch->contents[RULE_LOOK_KEY];
    const bool by_key = deed->keep_by == RULE_HASH_KEY && !bytes_are_null(key);
    return rule_keep(deed->keep_one_in, by_key ? key : scratch->contents[RULE_LOOK_VALUE]);
}

static bool is_within_limit(const struct rule_set *rules, struct rule_scratch *scratch, size_t rule,
                            const struct rule_deed *deed, uint64_t now_ns)
{
    struct bytes key = bytes_null();
    if (deed->limit_by_field) { key = rule_scratch_content(rules, scratch, deed->limit_look); }
    const uint64_t amount = deed->limit_unit == RULE_LIMIT_RECORDS ? 1 : record_bytes(scratch);
    return rule_meter_take(scratch->meters[rule], key, amount, now_ns);
}

/* VERDICT_STORE: neither sampled out nor over its limit. */
static enum verdict_fate fate_by_deed(const struct rule_set *rules, struct rule_scratch *scratch,
                                      size_t rule, const struct rule_deed *deed, uint64_t now_ns)
{
    struct rule_counts *const counts = &scratch->counts[rule];
    if (!is_kept(scratch, deed)) {
        counts->sampled_out++;
        return VERDICT_SAMPLED_OUT;
    }
    if (deed->limit_unit != RULE_LIMIT_NONE &&
        !is_within_limit(rules, scratch, rule, deed, now_ns)) {
        counts->limited++;
        return VERDICT_LIMITED;
    }
    return VERDICT_STORE;
}

/* The union, in order; that it has room was seen to when the rules were read. */
static void add_route(struct verdict *verdict, const struct rule_line *line)
{
    for (size_t i = 0; i < line->topic_count; i++) {
        size_t at = 0;
        while (at < verdict->topic_count && verdict->topics[at] != line->topics[i]) { at++; }
        if (at < verdict->topic_count || at == RULES_ROUTE_TOPICS_MAX) { continue; }
        verdict->topics[verdict->topic_count++] = line->topics[i];
    }
}

static void lose(struct verdict *verdict, enum verdict_fate fate)
{
    verdict->fate = (uint8_t)fate;
    verdict->topic_count = 0;
}

bool rule_actions_decide(const struct rule_set *rules, struct rule_scratch *scratch, size_t rule,
                         uint64_t now_ns, struct verdict *verdict)
{
    const struct rule_line *const line = &rules->lines[rule];
    struct rule_counts *const counts = &scratch->counts[rule];
    counts->matches++;
    counts->match_bytes += record_bytes(scratch);
    scratch->held[scratch->held_count++] = (int32_t)rule;

    if (!line->is_shadow) { verdict->rule = (int32_t)rule; }
    if (line->deed != NULL) {
        const enum verdict_fate fate = fate_by_deed(rules, scratch, rule, line->deed, now_ns);
        if (fate != VERDICT_STORE && line->is_shadow) { return false; }
        if (fate != VERDICT_STORE) {
            lose(verdict, fate);
            return true;
        }
    }
    if (line->drops) { counts->dropped++; }
    if (line->is_shadow) { return false; }

    if (line->changes) { scratch->changing[scratch->changing_count++] = (int32_t)rule; }
    if (line->drops) {
        lose(verdict, VERDICT_DROP);
        return true;
    }
    add_route(verdict, line);
    return !line->goes_on;
}

/* ------------------------------------------------------------------------------------ changing */

/* Only of the headers that came with the record: what rules added is text of the rules file. */
static struct bytes header_to_redact(const struct record *record, size_t received_count,
                                     struct bytes name)
{
    for (size_t i = 0; i < received_count; i++) {
        if (bytes_equal(record->headers[i].name, name)) { return record->headers[i].value; }
    }
    return bytes_null();
}

static bool redact(const struct rule_set *rules, struct rule_scratch *scratch,
                   const struct rule_deed *deed, const struct record *record, size_t received_count)
{
    const struct rule_field *const field = &rules->looks[deed->redact_look].field;
    struct bytes bytes = bytes_null();
    switch (field->kind) {
    case RULE_FIELD_VALUE: bytes = record->value; break;
    case RULE_FIELD_KEY: bytes = record->key; break;
    case RULE_FIELD_HEADER: bytes = header_to_redact(record, received_count, field->name); break;
    default: return false; /* the reader takes no other */
    }
    if (bytes_are_null(bytes) || bytes.len_bytes == 0) { return false; }
    if (!rule_redactor_run(deed->redactor, scratch->hyperscan, bytes, deed->redact_with)) {
        return false;
    }
    if (field->kind == RULE_FIELD_VALUE) {
        scratch->json_is_read = false;
    } /* it may be other now */
    return true;
}

static bool lies_within(struct bytes inner, struct bytes outer)
{
    return inner.at >= outer.at && inner.at <= outer.at + outer.len_bytes;
}

/* False: there was no room for a key that has to be copied. */
static bool set_key(const struct rule_set *rules, struct rule_scratch *scratch,
                    const struct rule_deed *deed, struct record *record)
{
    const bool is_json = rules->looks[deed->key_look].field.kind == RULE_FIELD_JSON;
    if (is_json && !scratch->json_is_read) { rule_scratch_read_json(rules, scratch); }
    const struct bytes content = rule_scratch_content(rules, scratch, deed->key_look);
    if (bytes_are_null(content)) { return true; }
    const bool is_borrowed = !is_json || lies_within(content, record->value);
    if (is_borrowed && !rules->redacts) { /* else redacting one would redact the other */
        record->key = content;
        return true;
    }
    if (content.len_bytes > RULE_KEY_ROOM_BYTES - scratch->key_room_used) { return false; }
    uint8_t *const at = scratch->key_room + scratch->key_room_used;
    if (content.len_bytes > 0) { memcpy(at, content.at, content.len_bytes); }
    scratch->key_room_used += content.len_bytes;
    record->key = bytes_of(at, content.len_bytes);
    return true;
}

/* All of them or none. */
static bool add_headers(struct rule_scratch *scratch, const struct rule_deed *deed, size_t index,
                        struct record *record)
{
    if (deed->header_count > (size_t)(RECORD_HEADERS_MAX - record->header_count)) { return false; }
    struct record_header *const room = scratch->headers + index * RECORD_HEADERS_MAX;
    if (record->headers != room) {
        for (size_t i = 0; i < record->header_count; i++) { room[i] = record->headers[i]; }
        record->headers = room;
    }
    for (size_t i = 0; i < deed->header_count; i++) {
        room[record->header_count++] = deed->headers[i];
    }
    return true;
}

static void change_by_deed(const struct rule_set *rules, struct rule_scratch *scratch, size_t rule,
                           size_t index, struct record *record, size_t received_count)
{
    const struct rule_deed *const deed = rules->lines[rule].deed;
    struct rule_counts *const counts = &scratch->counts[rule];
    if (deed->redactor != NULL && redact(rules, scratch, deed, record, received_count)) {
        counts->redacted++;
    }
    if (deed->sets_key && !set_key(rules, scratch, deed, record)) { counts->headers_full++; }
    if (deed->header_count > 0 && !add_headers(scratch, deed, index, record)) {
        counts->headers_full++;
    }
}

static void show_example(struct rule_scratch *scratch, size_t rule, const struct record *record)
{
    const uint64_t number = scratch->counts[rule].matches - 1;
    if (number < RULE_EXAMPLES_FIRST || number % RULE_EXAMPLES_ONE_IN == 0) {
        scratch->on_example(scratch->context, rule, record);
    }
}

void rule_actions_change(const struct rule_set *rules, struct rule_scratch *scratch, size_t index,
                         struct record *record)
{
    const size_t received_count = record->header_count;
    for (size_t i = 0; i < scratch->changing_count; i++) {
        const size_t rule = (size_t)scratch->changing[i];
        change_by_deed(rules, scratch, rule, index, record, received_count);
    }
    if (scratch->on_example == NULL) { return; }
    for (size_t i = 0; i < scratch->held_count; i++) {
        show_example(scratch, (size_t)scratch->held[i], record);
    }
}
