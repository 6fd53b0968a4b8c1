/* What a rule does: drop, or any of keep, limit, redact, set_key, add and route. */
#include <string.h>

#include "base/invariant.h"
#include "base/units.h"
#include "pipeline/decode.h"
#include "pipeline/rules_reading.h"

enum {
    HEADER_NAME_BYTES_MAX = 255,
    HEADER_TEXT_BYTES_MAX = 1024,
};

static const uint64_t keep_one_in_max = UINT64_C(1) << 31;

/* ------------------------------------------------------------------------------------- routes */

static void read_topic(const struct rules_reading *reading, const struct yaml_node *node,
                       uint16_t *topics, uint8_t *count)
{
    const struct rules_world *const world = reading->world;
    const char *const text = rules_read_scalar(reading, node, "the name of a topic");
    if (text == NULL) { return; }
    size_t topic = 0;
    while (topic < world->topic_count && strcmp(world->topics[topic], text) != 0) { topic++; }
    if (topic == world->topic_count) {
        rules_refuse_unknown(reading, node->place, "topic", text, world->topics,
                             world->topic_count);
        return;
    }
    for (size_t i = 0; i < *count; i++) {
        if (topics[i] != topic) { continue; }
        rules_refuse(reading, node->place, "topic '%s' is in this route already", text);
        return;
    }
    if (*count == RULES_ROUTE_TOPICS_MAX) { return; } /* read_route said it */
    topics[(*count)++] = (uint16_t)topic;
}

static void read_route(const struct rules_reading *reading, const struct yaml_node *node,
                       uint16_t topics[RULES_ROUTE_TOPICS_MAX], uint8_t *count)
{
    if (node->kind != YAML_LIST) {
        read_topic(reading, node, topics, count);
        return;
    }
    if (node->child_count == 0) {
        rules_refuse(reading, node->place, "a route to no topic; say drop if that is meant");
    }
    if (node->child_count > RULES_ROUTE_TOPICS_MAX) {
        rules_refuse(reading, node->place, "a route to %zu topics; at most %d are possible",
                     node->child_count, (int)RULES_ROUTE_TOPICS_MAX);
    }
    for (size_t i = 0; i < node->child_count && !rules_reading_is_over(reading); i++) {
        read_topic(reading, node->children[i], topics, count);
    }
}

/* --------------------------------------------------------------------------------------- keep */

static void read_keep(const struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_action *out)
{
    uint64_t one_in = 0;
    const char *const text = rules_read_scalar(reading, node, "a share: 1/100");
    if (text == NULL) { return; }
    const bool is_share =
        strncmp(text, "1/", 2) == 0 && text[2] != '0' && units_parse_integer(text + 2, &one_in);
    if (!is_share || one_in > keep_one_in_max) {
        rules_refuse(reading, node->place,
                     "'keep' is '%s'; one in so many is expected, from 1/1 to 1/2147483648", text);
        return;
    }
    out->keep_one_in = (uint32_t)one_in;
}

static void read_keep_by(const struct rules_reading *reading, const struct yaml_node *action,
                         struct rule_action *out)
{
    static const char *const choices[] = {"record", "key", NULL}; /* as enum rule_hash */
    const struct yaml_node *const by = yaml_map_get(action, "by");
    if (by == NULL) { return; }
    if (yaml_map_get(action, "keep") == NULL) {
        rules_refuse(reading, by->place, "'by' goes with 'keep': { keep: 1/100, by: key }");
        return;
    }
    const int choice = rules_read_choice(reading, by, "way to choose", choices);
    if (choice >= 0) { out->keep_by = (enum rule_hash)choice; }
}

/* ------------------------------------------------------------------------------------- redact */

/* What decode_syslog makes of a datagram's front is static text, which nobody may write to; and
 * it is no text of the sender's. */
static bool is_made_by_decoder(const struct rule_field *field)
{
    static const enum syslog_field made[] = {SYSLOG_FIELD_FACILITY, SYSLOG_FIELD_SEVERITY,
                                             SYSLOG_FIELD_VERSION};
    for (size_t i = 0; i < ARRAY_COUNT(made); i++) {
        if (bytes_equal(field->name, bytes_of_text(syslog_field_name(made[i])))) { return true; }
    }
    return false;
}

static void read_redact_field(struct rules_reading *reading, const struct yaml_node *node,
                              struct rule_action *out)
{
    if (!rules_read_field(reading, node, &out->redact_field)) { return; }
    switch (out->redact_field.kind) {
    case RULE_FIELD_VALUE:
    case RULE_FIELD_KEY: return;
    case RULE_FIELD_HEADER:
        if (!is_made_by_decoder(&out->redact_field)) { return; }
        rules_refuse(reading, node->place, "'%s' is a number that says nothing to be redacted",
                     node->text);
        return;
    case RULE_FIELD_JSON:
        rules_refuse(reading, node->place,
                     "a JSON member cannot be redacted alone; say field: value, and match its name "
                     "with it");
        return;
    default:
        rules_refuse(reading, node->place,
                     "'%s' is not stored with a record: value, key and header:NAME can be redacted",
                     node->text);
    }
}

static void read_redact_with(const struct rules_reading *reading, const struct yaml_node *node,
                             struct rule_action *out)
{
    const char *const text = rules_read_scalar(reading, node, "one character: '*'");
    if (text == NULL) { return; }
    if (strlen(text) != 1) {
        rules_refuse(reading, node->place,
                     "'with' is '%s', of %zu bytes; every byte is overwritten by one: '*', say",
                     text, strlen(text));
        return;
    }
    out->redact_with = (uint8_t)text[0];
}

static void read_redact(struct rules_reading *reading, const struct yaml_node *node,
                        struct rule_action *out)
{
    static const char *const keys[] = {"field", "match", "with", NULL};
    if (node->kind != YAML_MAP) {
        rules_refuse(reading, node->place, "must be a redaction: { field: value, match: PATTERN }");
        return;
    }
    rules_check_keys(reading, node, "key of a redaction", keys);
    const struct yaml_node *const field = yaml_map_get(node, "field");
    const struct yaml_node *const match = yaml_map_get(node, "match");
    const struct yaml_node *const with = yaml_map_get(node, "with");
    out->redact_field = (struct rule_field){.kind = RULE_FIELD_VALUE};
    out->redact_with = '*';
    if (field != NULL) { read_redact_field(reading, field, out); }
    if (with != NULL) { read_redact_with(reading, with, out); }
    if (match != NULL) {
        out->redact_pattern = rules_read_pattern(reading, match, true, NULL);
        out->redact_place = match->place;
    } else {
        rules_refuse(reading, node->place, "a redaction without 'match': what is overwritten");
    }
}

/* ------------------------------------------------------------------------- set_key and add */

static void read_set_key(struct rules_reading *reading, const struct yaml_node *node,
                         struct rule_action *out)
{
    out->sets_key = rules_read_field(reading, node, &out->key_field);
    if (!out->sets_key || out->key_field.kind != RULE_FIELD_KEY) { return; }
    rules_refuse(reading, node->place, "the key is what it is; name another field");
}

static void read_added_header(const struct rules_reading *reading, const struct yaml_node *name,
                              const struct yaml_node *node, struct record_header *out)
{
    const size_t name_bytes = strlen(name->text);
    if (name_bytes == 0 || name_bytes > HEADER_NAME_BYTES_MAX) {
        rules_refuse(reading, name->place, "a header's name has 1 to %d bytes",
                     (int)HEADER_NAME_BYTES_MAX);
    }
    const char *const text = rules_read_scalar(reading, node, "a text; '' is the empty one");
    if (text == NULL) { return; }
    if (strlen(text) > HEADER_TEXT_BYTES_MAX) {
        rules_refuse(reading, node->place, "a header of %zu bytes; at most %d are possible",
                     strlen(text), (int)HEADER_TEXT_BYTES_MAX);
    }
    *out = (struct record_header){bytes_of_text(name->text), bytes_of_text(text)};
}

static void read_add(const struct rules_reading *reading, const struct yaml_node *node,
                     struct rule_action *out)
{
    if (node->kind != YAML_MAP || node->child_count == 0) {
        rules_refuse(reading, node->place, "must be headers: { NAME: TEXT }");
        return;
    }
    if (node->child_count > RULES_ADDED_HEADERS_MAX) {
        rules_refuse(reading, node->place, "%zu headers; a rule adds at most %d", node->child_count,
                     (int)RULES_ADDED_HEADERS_MAX);
        return;
    }
    out->header_count = node->child_count;
    for (size_t i = 0; i < node->child_count; i++) {
        read_added_header(reading, node->keys[i], node->children[i], &out->headers[i]);
    }
}

/* ------------------------------------------------------------------------------------ actions */

static bool is_drop(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && strcmp(node->text, "drop") == 0;
}

void rules_read_action(struct rules_reading *reading, const struct yaml_node *node,
                       struct rule_action *out)
{
    static const char *const keys[] = {"route",  "keep",    "by",  "limit",
                                       "redact", "set_key", "add", NULL};
    *out = (struct rule_action){.place = node->place};
    if (is_drop(node)) {
        out->drop = true;
        return;
    }
    if (node->kind != YAML_MAP || node->child_count == 0) {
        rules_refuse(reading, node->place,
                     "must be drop, or a map with any of route, keep, limit, redact, set_key, add: "
                     "{ route: TOPIC }");
        return;
    }
    rules_check_keys(reading, node, "action", keys);
    const struct yaml_node *part = yaml_map_get(node, "route");
    if (part != NULL) { read_route(reading, part, out->topics, &out->topic_count); }
    part = yaml_map_get(node, "keep");
    if (part != NULL) { read_keep(reading, part, out); }
    read_keep_by(reading, node, out);
    part = yaml_map_get(node, "limit");
    if (part != NULL) { rules_read_limit(reading, part, out); }
    part = yaml_map_get(node, "redact");
    if (part != NULL) { read_redact(reading, part, out); }
    part = yaml_map_get(node, "set_key");
    if (part != NULL) { read_set_key(reading, part, out); }
    part = yaml_map_get(node, "add");
    if (part != NULL) { read_add(reading, part, out); }
}

void rules_read_default(struct rules_reading *reading, const struct yaml_node *node,
                        struct rule_fallback *out)
{
    static const char *const keys[] = {"route", NULL};
    *out = (struct rule_fallback){.drop = is_drop(node)};
    if (out->drop) { return; }
    if (node->kind != YAML_MAP || node->child_count == 0) {
        rules_refuse(reading, node->place,
                     "must be drop or { route: TOPIC } or { route: [TOPIC, TOPIC] }");
        return;
    }
    rules_check_keys(reading, node, "part of 'default'", keys);
    const struct yaml_node *const part = yaml_map_get(node, "route");
    if (part != NULL) { read_route(reading, part, out->topics, &out->topic_count); }
}
