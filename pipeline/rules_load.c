#include "pipeline/rules_load.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/yaml.h"
#include "pipeline/decode.h"
#include "pipeline/rules_compile.h"
#include "pipeline/rules_source.h"

enum { FIELD_SYSLOG = 2, FIELD_COUNT = FIELD_SYSLOG + SYSLOG_FIELD_COUNT };

/* "value", "key", "syslog.hostname": as in a rules file. */
static const char *field_name(int field)
{
    switch (field) {
    case 0: return "value";
    case 1: return "key";
    default: return syslog_field_name((enum syslog_field)(field - FIELD_SYSLOG));
    }
}

/* One reading of one file. */
struct rules_reading {
    const struct rules_world *world;
    struct diagnostics *diagnostics;
    bool has_file;
    struct file_place file; /* as a whole */
    struct rule_source *rules;
    size_t rule_count;
    bool has_default;
    struct verdict default_verdict;
};

/* Keys of one kind of map. Those of a later version are refused by name: whoever copies a rule from
 * newer documentation must not be told that he cannot spell. */
struct rule_keys {
    const char *of_what;
    const char *known[4];
    const char *later[8];
};

static size_t count_words(const char *const *words, size_t capacity)
{
    size_t count = 0;
    while (count < capacity && words[count] != NULL) { count++; }
    return count;
}

static bool words_have(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) { return true; }
    }
    return false;
}

/* "syslog.host" means "syslog.hostname" and "syslog.appname" means "syslog.app", however few
 * letters another name is away. Of a name that is longer, half must be right. */
static const char *nearest_word(const char *word, const char *const *known, size_t known_count)
{
    const size_t word_bytes = strlen(word);
    for (size_t i = 0; i < known_count && word_bytes > 0; i++) {
        if (strncmp(known[i], word, word_bytes) == 0) { return known[i]; }
    }

    const char *front = NULL;
    size_t front_bytes = word_bytes / 2;
    for (size_t i = 0; i < known_count; i++) {
        const size_t known_bytes = strlen(known[i]);
        if (known_bytes <= front_bytes || strncmp(known[i], word, known_bytes) != 0) { continue; }
        front = known[i];
        front_bytes = known_bytes;
    }
    return front != NULL ? front : yaml_nearest(word, known, known_count);
}

enum { LISTED_BYTES = 256 };

/* "value, key, syslog.facility"; what is beyond the room becomes "...". */
static const char *list_words(const char *const *words, size_t count, char out[LISTED_BYTES])
{
    size_t used_bytes = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const size_t word_bytes = strlen(words[i]);
        if (word_bytes > LISTED_BYTES - used_bytes - sizeof ", , ...") {
            strcpy(out + used_bytes, i > 0 ? ", ..." : "...");
            break;
        }
        used_bytes += (size_t)sprintf(out + used_bytes, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return out;
}

static void refuse_unknown(const struct rules_reading *reading, struct file_place place,
                           const char *of_what, const char *word, const char *const *known,
                           size_t known_count)
{
    const char *const nearest = nearest_word(word, known, known_count);
    if (nearest != NULL) {
        diagnostics_error(reading->diagnostics, place, "no such %s: '%s'; did you mean '%s'?",
                          of_what, word, nearest);
    } else {
        char list[LISTED_BYTES];
        diagnostics_error(reading->diagnostics, place, "no such %s: '%s'; there %s %s", of_what,
                          word, known_count == 1 ? "is" : "are",
                          list_words(known, known_count, list));
    }
}

static void check_keys(const struct rules_reading *reading, const struct yaml_node *map,
                       const struct rule_keys *keys)
{
    const size_t known_count = count_words(keys->known, ARRAY_COUNT(keys->known));
    const size_t later_count = count_words(keys->later, ARRAY_COUNT(keys->later));
    for (size_t i = 0; i < map->child_count; i++) {
        const struct yaml_node *const key = map->keys[i];
        if (words_have(keys->known, known_count, key->text)) { continue; }
        if (words_have(keys->later, later_count, key->text)) {
            diagnostics_error(reading->diagnostics, key->place, "'%s' is not in this version",
                              key->text);
            continue;
        }
        refuse_unknown(reading, key->place, keys->of_what, key->text, keys->known, known_count);
    }
}

/* ------------------------------------------------------------------------------------ actions */

static void read_topic(const struct rules_reading *reading, const struct yaml_node *node,
                       struct verdict *out)
{
    const struct rules_world *const world = reading->world;
    if (node->kind != YAML_SCALAR) {
        diagnostics_error(reading->diagnostics, node->place, "must be the name of a topic");
        return;
    }
    size_t topic = 0;
    while (topic < world->topic_count && strcmp(world->topics[topic], node->text) != 0) { topic++; }
    if (topic == world->topic_count) {
        refuse_unknown(reading, node->place, "topic", node->text, world->topics,
                       world->topic_count);
        return;
    }
    for (size_t i = 0; i < out->topic_count; i++) {
        if (out->topics[i] != topic) { continue; }
        diagnostics_error(reading->diagnostics, node->place, "topic '%s' is in this route already",
                          node->text);
        return;
    }
    if (out->topic_count == RULES_ROUTE_TOPICS_MAX) { return; } /* read_route said it */
    out->topics[out->topic_count++] = (uint16_t)topic;
}

static void read_route(const struct rules_reading *reading, const struct yaml_node *node,
                       struct verdict *out)
{
    if (node->kind != YAML_LIST) {
        read_topic(reading, node, out);
        return;
    }
    if (node->child_count == 0) {
        diagnostics_error(reading->diagnostics, node->place,
                          "a route to no topic; say drop if that is meant");
    }
    if (node->child_count > RULES_ROUTE_TOPICS_MAX) {
        diagnostics_error(reading->diagnostics, node->place,
                          "a route to %zu topics; at most %d are possible", node->child_count,
                          (int)RULES_ROUTE_TOPICS_MAX);
    }
    for (size_t i = 0; i < node->child_count; i++) { read_topic(reading, node->children[i], out); }
}

/* `drop` or `{ route: ... }`: behind `do` and `default`. */
static void read_action(const struct rules_reading *reading, const struct yaml_node *node,
                        struct verdict *out)
{
    static const struct rule_keys keys = {"action", {"route"}, {"keep", "add", "redact"}};
    *out = (struct verdict){.rule = RULES_NONE};
    if (node->kind == YAML_SCALAR && strcmp(node->text, "drop") == 0) {
        out->fate = VERDICT_DROP;
        return;
    }
    if (node->kind != YAML_MAP || node->child_count == 0) {
        diagnostics_error(reading->diagnostics, node->place,
                          "must be drop or { route: TOPIC } or { route: [TOPIC, TOPIC] }");
        return;
    }
    check_keys(reading, node, &keys);
    const struct yaml_node *const route = yaml_map_get(node, "route");
    if (route != NULL) { read_route(reading, route, out); }
}

/* ---------------------------------------------------------------------------------- conditions */

static void read_pattern(const struct rules_reading *reading, const struct yaml_node *node,
                         struct rule_source *out)
{
    if (node->kind != YAML_SCALAR) {
        diagnostics_error(reading->diagnostics, node->place, "must be a pattern");
        return;
    }
    if (node->text[0] == '\0') {
        diagnostics_error(reading->diagnostics, node->place,
                          "an empty pattern; say '.*' if every record is meant");
        return;
    }
    out->when.kind = RULE_CONDITION_TEST;
    out->when.test = RULE_TEST_MATCH;
    out->when.pattern = node->text;
    out->when.place = node->place;
    rules_check_pattern(node->text, node->place, reading->diagnostics);
}

static void read_field(const struct rules_reading *reading, const struct yaml_node *node,
                       struct rule_source *out)
{
    const char *names[FIELD_COUNT];
    for (int i = 0; i < FIELD_COUNT; i++) { names[i] = field_name(i); }

    if (node->kind != YAML_SCALAR) {
        diagnostics_error(reading->diagnostics, node->place, "must be the name of a field");
        return;
    }
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (strcmp(names[i], node->text) != 0) { continue; }
        out->when.field.kind = i == 0   ? RULE_FIELD_VALUE
                               : i == 1 ? RULE_FIELD_KEY
                                        : RULE_FIELD_HEADER;
        out->when.field.name = bytes_of_text(field_name(i));
        return;
    }
    refuse_unknown(reading, node->place, "field", node->text, names, FIELD_COUNT);
}

/* A pattern on the value, or { field, match }. */
static void read_condition(const struct rules_reading *reading, const struct yaml_node *node,
                           struct rule_source *out)
{
    static const struct rule_keys keys = {
        "key of a condition", {"field", "match"}, {"all", "any", "not", "below", "above"}};
    out->when.field.kind = RULE_FIELD_VALUE;
    if (node->kind == YAML_SCALAR) {
        read_pattern(reading, node, out);
        return;
    }
    if (node->kind != YAML_MAP) {
        diagnostics_error(reading->diagnostics, node->place,
                          "must be a pattern or { field: NAME, match: PATTERN }");
        return;
    }
    const size_t errors_before = diagnostics_error_count(reading->diagnostics);
    check_keys(reading, node, &keys);
    const struct yaml_node *const field = yaml_map_get(node, "field");
    const struct yaml_node *const match = yaml_map_get(node, "match");
    if (field != NULL) { read_field(reading, field, out); }
    if (match != NULL) {
        read_pattern(reading, match, out);
    } else if (diagnostics_error_count(reading->diagnostics) == errors_before) {
        diagnostics_error(reading->diagnostics, node->place, "'match' is missing: the pattern");
    }
}

/* --------------------------------------------------------------------------------------- rules */

/* A key that a rule must have; NULL, and said, when it has not. */
static const struct yaml_node *required(const struct rules_reading *reading,
                                        const struct yaml_node *map, const char *key)
{
    const struct yaml_node *const node = yaml_map_get(map, key);
    if (node == NULL) {
        diagnostics_error(reading->diagnostics, map->place, "a rule without '%s'", key);
    }
    return node;
}

static void read_rule(const struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_source *out)
{
    static const struct rule_keys keys = {
        "key of a rule", {"name", "when", "do"}, {"continue", "mode"}};
    if (node->kind != YAML_MAP) {
        diagnostics_error(reading->diagnostics, node->place,
                          "must be a rule: { name: ..., when: ..., do: ... }");
        return;
    }
    check_keys(reading, node, &keys);
    const struct yaml_node *const name = required(reading, node, "name");
    const struct yaml_node *const when = required(reading, node, "when");
    const struct yaml_node *const action = required(reading, node, "do");
    if (name != NULL && (name->kind != YAML_SCALAR || name->text[0] == '\0')) {
        diagnostics_error(reading->diagnostics, name->place, "must be a name");
    } else if (name != NULL) {
        out->name = name->text;
    }
    if (when != NULL) { read_condition(reading, when, out); }
    if (action == NULL) { return; }
    struct verdict verdict;
    read_action(reading, action, &verdict);
    out->action.drop = verdict.fate == VERDICT_DROP;
    out->action.topic_count = verdict.topic_count;
    memcpy(out->action.topics, verdict.topics, sizeof out->action.topics);
}

/* The places of names, to be sorted: by name, then by place. */
struct named_place {
    const char *name;
    struct file_place place;
};

static int compare_named_places(const void *left_at, const void *right_at)
{
    const struct named_place *const left = left_at;
    const struct named_place *const right = right_at;
    const int by_name = strcmp(left->name, right->name);
    if (by_name != 0) { return by_name; }
    if (left->place.line != right->place.line) {
        return left->place.line < right->place.line ? -1 : 1;
    }
    return left->place.column < right->place.column ? -1 : left->place.column > right->place.column;
}

static void refuse_duplicate_names(const struct rules_reading *reading,
                                   const struct yaml_node *list)
{
    struct named_place *const names = allocate_zeroed(list->child_count, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < list->child_count; i++) {
        if (reading->rules[i].name == NULL) { continue; }
        names[count].name = reading->rules[i].name;
        names[count].place = yaml_map_get(list->children[i], "name")->place;
        count++;
    }
    qsort(names, count, sizeof *names, compare_named_places);
    for (size_t i = 1, first = 0; i < count; i++) {
        if (strcmp(names[i].name, names[first].name) != 0) {
            first = i;
            continue;
        }
        diagnostics_error(reading->diagnostics, names[i].place,
                          "the name '%s' is taken by the rule at line %u", names[i].name,
                          names[first].place.line);
    }
    free(names);
}

static void read_rules(struct rules_reading *reading, const struct yaml_node *list)
{
    if (list->kind != YAML_LIST) {
        diagnostics_error(reading->diagnostics, list->place, "must be a list of rules");
        return;
    }
    if (list->child_count > RULES_MAX) {
        diagnostics_error(reading->diagnostics, list->place, "%zu rules; at most %d are possible",
                          list->child_count, (int)RULES_MAX);
        return;
    }
    reading->rules = allocate_zeroed(list->child_count, sizeof *reading->rules);
    reading->rule_count = list->child_count;
    for (size_t i = 0; i < list->child_count; i++) {
        read_rule(reading, list->children[i], &reading->rules[i]);
    }
    refuse_duplicate_names(reading, list);
}

static void read_root(struct rules_reading *reading, const struct yaml_node *root)
{
    static const struct rule_keys keys = {"key of a rules file", {"rules", "default"}, {NULL}};
    if (root->kind != YAML_MAP) {
        diagnostics_error(reading->diagnostics, root->place,
                          "must be a map with 'rules' and 'default'");
        return;
    }
    check_keys(reading, root, &keys);
    const struct yaml_node *const list = yaml_map_get(root, "rules");
    const struct yaml_node *const action = yaml_map_get(root, "default");
    if (list != NULL) { read_rules(reading, list); }
    if (action != NULL) {
        reading->has_default = true;
        read_action(reading, action, &reading->default_verdict);
    }
}

/* What holds for each listener when no rule matched: its own topic, else the file's default. */
static struct rule_fallback *read_fallbacks(const struct rules_reading *reading)
{
    const struct rules_world *const world = reading->world;
    struct rule_fallback *const fallbacks =
        allocate_zeroed(world->listener_count, sizeof *fallbacks);
    for (size_t i = 0; i < world->listener_count; i++) {
        const int32_t topic = world->listener_topics[i];
        if (topic >= 0) {
            assert((size_t)topic < world->topic_count);
            fallbacks[i].topics[0] = (uint16_t)topic;
            fallbacks[i].topic_count = 1;
        } else if (reading->has_default) {
            fallbacks[i].drop = reading->default_verdict.fate == VERDICT_DROP;
            fallbacks[i].topic_count = reading->default_verdict.topic_count;
            memcpy(fallbacks[i].topics, reading->default_verdict.topics,
                   sizeof fallbacks[i].topics);
        } else {
            diagnostics_error(reading->diagnostics, reading->file,
                              "listeners[%zu] has no topic, and there is no %s: a record that "
                              "matches no rule has nowhere to go",
                              i, reading->has_file ? "'default'" : "rules file");
        }
    }
    return fallbacks;
}

static struct rule_set *finish(struct rules_reading *reading, size_t errors_before, uint64_t epoch)
{
    struct rule_fallback *const fallbacks = read_fallbacks(reading);
    struct rule_set *rules = NULL;
    if (diagnostics_error_count(reading->diagnostics) == errors_before) {
        const struct rules_source source = {
            .rules = reading->rules,
            .rule_count = reading->rule_count,
            .fallbacks = fallbacks,
            .listener_names = reading->world->listener_names,
            .listener_count = reading->world->listener_count,
            .limits = {UINT64_C(256) << 20, 60, 2000},
            .cache_path = reading->world->cache_path,
            .epoch = epoch,
        };
        rules = rules_compile(&source, reading->file, reading->diagnostics);
    }
    free(fallbacks);
    free(reading->rules);
    return rules;
}

static uint64_t epoch_of(const char *text, size_t len_bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    const int hashed = EVP_Digest(text, len_bytes, digest, NULL, EVP_sha256(), NULL);
    assert(hashed == 1); /* it fails on a broken OpenSSL only */
    return load_le64(digest);
}

struct rule_set *rules_load_text(const char *text, size_t len_bytes, const char *name,
                                 const struct rules_world *world, struct diagnostics *diagnostics)
{
    assert(world->topic_count <= UINT16_MAX);
    const size_t errors_before = diagnostics_error_count(diagnostics);
    struct rules_reading reading = {
        .world = world, .diagnostics = diagnostics, .has_file = true, .file = {name, 0, 0}};
    struct yaml *const yaml = yaml_load_text(text, len_bytes, name, diagnostics);
    if (yaml == NULL) { return NULL; }

    read_root(&reading, yaml_root(yaml));
    struct rule_set *const rules = finish(&reading, errors_before, epoch_of(text, len_bytes));
    yaml_destroy(yaml);
    return rules;
}

struct rule_set *rules_load(const char *path, struct file_place named_at,
                            const struct rules_world *world, struct diagnostics *diagnostics)
{
    if (path == NULL) {
        struct rules_reading reading = {
            .world = world, .diagnostics = diagnostics, .file = {"rules", 0, 0}};
        return finish(&reading, diagnostics_error_count(diagnostics), 0);
    }

    char *text = NULL;
    size_t len_bytes = 0;
    char *const why = yaml_read_file(path, &text, &len_bytes);
    if (why != NULL) {
        diagnostics_error(diagnostics, named_at, "rules: %s %s", path, why);
        free(why);
        return NULL;
    }
    struct rule_set *const rules = rules_load_text(text, len_bytes, path, world, diagnostics);
    free(text);
    return rules;
}
