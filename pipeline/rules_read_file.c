/* A rules file as a whole: the list of rules, and what holds for all of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/units.h"
#include "pipeline/rules_reading.h"

enum {
    EXAMPLE_BYTES_DEFAULT = 256,
    MATCHES_DEFAULT = 2000,
    MATCHES_MAX = 1000000,
    COMPILE_SECONDS_DEFAULT = 60,
    COMPILE_SECONDS_MAX = 3600,
};

static const uint64_t database_bytes_default = UINT64_C(256) << 20;
static const uint64_t database_bytes_least = UINT64_C(1) << 20;
static const uint64_t database_bytes_most = UINT64_C(64) << 30;

/* --------------------------------------------------------------------------------------- rules */

/* A key that a rule must have; NULL, and said, when it has not. */
static const struct yaml_node *required(const struct rules_reading *reading,
                                        const struct yaml_node *map, const char *key)
{
    const struct yaml_node *const node = yaml_map_get(map, key);
    if (node == NULL) { rules_refuse(reading, map->place, "a rule without '%s'", key); }
    return node;
}

static void read_name(const struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_source *out)
{
    if (node->kind != YAML_SCALAR || node->text[0] == '\0') {
        rules_refuse(reading, node->place, "must be a name");
        return;
    }
    out->name = node->text;
    if (strlen(node->text) <= RULES_NAME_BYTES_MAX) { return; }
    rules_refuse(reading, node->place, "a name of %zu bytes; at most %d are possible",
                 strlen(node->text), (int)RULES_NAME_BYTES_MAX);
}

static void read_mode(const struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_source *out)
{
    static const char *const modes[] = {"enforce", "shadow", NULL};
    out->shadow = rules_read_choice(reading, node, "mode", modes) == 1;
}

static void read_continue(const struct rules_reading *reading, const struct yaml_node *node,
                          struct rule_source *out)
{
    if (!rules_read_bool(reading, node, "continue", &out->goes_on)) { return; }
    if (!out->goes_on || !out->action.drop) { return; }
    rules_refuse(reading, node->place,
                 "a record that is dropped is not shown to later rules: 'continue' and drop do not "
                 "go together");
}

static void read_rule(struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_source *out)
{
    static const char *const keys[] = {"name", "when", "do", "continue", "mode", NULL};
    if (node->kind != YAML_MAP) {
        rules_refuse(reading, node->place, "must be a rule: { name: ..., when: ..., do: ... }");
        return;
    }
    out->place = node->place;
    rules_check_keys(reading, node, "key of a rule", keys);
    const struct yaml_node *const name = required(reading, node, "name");
    const struct yaml_node *const when = required(reading, node, "when");
    const struct yaml_node *const action = required(reading, node, "do");
    const struct yaml_node *const goes_on = yaml_map_get(node, "continue");
    const struct yaml_node *const mode = yaml_map_get(node, "mode");
    if (name != NULL) { read_name(reading, name, out); }
    if (when != NULL) { rules_read_condition(reading, when, &out->when); }
    if (action != NULL) { rules_read_action(reading, action, &out->action); }
    if (goes_on != NULL) { read_continue(reading, goes_on, out); }
    if (mode != NULL) { read_mode(reading, mode, out); }
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
                                   const struct yaml_node *list, const struct rule_source *rules)
{
    struct named_place *const names = allocate_zeroed(list->child_count, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < list->child_count; i++) {
        if (rules[i].name == NULL) { continue; }
        names[count].name = rules[i].name;
        names[count].place = yaml_map_get(list->children[i], "name")->place;
        count++;
    }
    qsort(names, count, sizeof *names, compare_named_places);
    for (size_t i = 1, first = 0; i < count; i++) {
        if (strcmp(names[i].name, names[first].name) != 0) {
            first = i;
            continue;
        }
        rules_refuse(reading, names[i].place, "the name '%s' is taken by the rule at line %u",
                     names[i].name, names[first].place.line);
    }
    free(names);
}

/* ------------------------------------------------------------------------- how far routes add up
 */

static void add_topics(const struct rule_action *action, bool *routed, size_t *count)
{
    for (size_t i = 0; i < action->topic_count; i++) {
        if (routed[action->topics[i]]) { continue; }
        routed[action->topics[i]] = true;
        (*count)++;
    }
}

static size_t count_new_topics(const struct rule_action *action, const bool *routed)
{
    size_t count = 0;
    for (size_t i = 0; i < action->topic_count; i++) { count += routed[action->topics[i]] ? 0 : 1; }
    return count;
}

/* A record is at worst routed by every rule in front that continues, and then by this one. */
static void refuse_long_unions(const struct rules_reading *reading, const struct rule_source *rules,
                               size_t rule_count)
{
    bool *const routed = allocate_zeroed(reading->world->topic_count, sizeof *routed);
    size_t count = 0;
    for (size_t i = 0; i < rule_count; i++) {
        const struct rule_source *const rule = &rules[i];
        const size_t with_this = count + count_new_topics(&rule->action, routed);
        if (rule->shadow || with_this == 0) { continue; }
        if (count > 0 && with_this > RULES_ROUTE_TOPICS_MAX) {
            rules_refuse(reading, rule->action.place,
                         "with the rules in front that continue, a record could be routed to %zu "
                         "topics; at most %d are possible",
                         with_this, (int)RULES_ROUTE_TOPICS_MAX);
            break; /* those behind would only say the same */
        }
        if (rule->goes_on) { add_topics(&rule->action, routed, &count); }
    }
    free(routed);
}

static void read_rules(struct rules_reading *reading, const struct yaml_node *list,
                       struct rules_source *out)
{
    if (list->kind != YAML_LIST) {
        rules_refuse(reading, list->place, "must be a list of rules");
        return;
    }
    if (list->child_count > RULES_MAX) {
        rules_refuse(reading, list->place, "%zu rules; at most %d are possible", list->child_count,
                     (int)RULES_MAX);
        return;
    }
    struct rule_source *const rules = arena_take(reading->arena, list->child_count, sizeof *rules);
    for (size_t i = 0; i < list->child_count && !rules_reading_is_over(reading); i++) {
        read_rule(reading, list->children[i], &rules[i]);
    }
    refuse_duplicate_names(reading, list, rules);
    refuse_long_unions(reading, rules, list->child_count);
    out->rules = rules;
    out->rule_count = list->child_count;
}

/* ------------------------------------------------------------------------ examples and limits */

static void read_examples(const struct rules_reading *reading, const struct yaml_node *node,
                          struct rules_source *out)
{
    static const char *const keys[] = {"keep", "bytes", NULL};
    if (node->kind != YAML_MAP) {
        rules_refuse(reading, node->place, "must be a map: { keep: 4, bytes: 256 }");
        return;
    }
    rules_check_keys(reading, node, "key of examples", keys);
    const struct yaml_node *const keep = yaml_map_get(node, "keep");
    const struct yaml_node *const bytes = yaml_map_get(node, "bytes");
    uint64_t count = 0;
    uint64_t size_bytes = EXAMPLE_BYTES_DEFAULT;
    if (keep == NULL) {
        rules_refuse(reading, node->place, "examples without 'keep': how many of each rule");
        return;
    }
    if (!rules_read_integer(reading, keep, "keep", RULES_EXAMPLES_MIN, RULES_EXAMPLES_MAX,
                            &count)) {
        return;
    }
    if (bytes != NULL && !rules_read_size(reading, bytes, "bytes", RULES_EXAMPLE_BYTES_MIN,
                                          RULES_EXAMPLE_BYTES_MAX, &size_bytes)) {
        return;
    }
    out->example_count = (uint32_t)count;
    out->example_bytes = (uint32_t)size_bytes;
}

static void read_compile_time(const struct rules_reading *reading, const struct yaml_node *node,
                              struct rules_limits *out)
{
    uint64_t ns = 0;
    const char *const text = rules_read_scalar(reading, node, "a duration: 60s, say");
    if (text == NULL) { return; }
    const bool is_duration = units_parse_duration(text, &ns) && ns % NS_PER_S == 0;
    if (!is_duration || ns < NS_PER_S || ns / NS_PER_S > COMPILE_SECONDS_MAX) {
        rules_refuse(reading, node->place,
                     "'compile' is '%s'; whole seconds from 1s to 1h are expected", text);
        return;
    }
    out->compile_seconds_max = (uint32_t)(ns / NS_PER_S);
}

static void read_limits(const struct rules_reading *reading, const struct yaml_node *node,
                        struct rules_limits *out)
{
    static const char *const keys[] = {"matches", "database", "compile", NULL};
    if (node->kind != YAML_MAP) {
        rules_refuse(reading, node->place,
                     "must be a map: { matches: 2000, database: 256MiB, compile: 60s }");
        return;
    }
    rules_check_keys(reading, node, "key of limits", keys);
    const struct yaml_node *const matches = yaml_map_get(node, "matches");
    const struct yaml_node *const database = yaml_map_get(node, "database");
    const struct yaml_node *const compile = yaml_map_get(node, "compile");
    uint64_t number;
    if (matches != NULL &&
        rules_read_integer(reading, matches, "matches", 1, MATCHES_MAX, &number)) {
        out->matches_max = (uint32_t)number;
    }
    if (database != NULL && rules_read_size(reading, database, "database", database_bytes_least,
                                            database_bytes_most, &number)) {
        out->database_bytes_max = number;
    }
    if (compile != NULL) { read_compile_time(reading, compile, out); }
}

/* ------------------------------------------------------------------------------------ the whole */

/* What holds for each listener when no rule decided: its own topic, else the file's default. */
static const struct rule_fallback *read_fallbacks(const struct rules_reading *reading,
                                                  const struct rule_fallback *by_default)
{
    const struct rules_world *const world = reading->world;
    struct rule_fallback *const fallbacks =
        arena_take(reading->arena, world->listener_count, sizeof *fallbacks);
    for (size_t i = 0; i < world->listener_count; i++) {
        const int32_t topic = world->listener_topics[i];
        if (topic >= 0) {
            assert((size_t)topic < world->topic_count);
            fallbacks[i].topics[0] = (uint16_t)topic;
            fallbacks[i].topic_count = 1;
        } else if (by_default != NULL) {
            fallbacks[i] = *by_default;
        } else {
            rules_refuse(reading, reading->file,
                         "listeners[%zu] has no topic, and there is no %s: a record that "
                         "matches no rule has nowhere to go",
                         i, reading->has_file ? "'default'" : "rules file");
        }
    }
    return fallbacks;
}

static void read_root(struct rules_reading *reading, const struct yaml_node *root,
                      struct rules_source *out)
{
    static const char *const keys[] = {"rules", "default", "examples", "limits", NULL};
    rules_check_keys(reading, root, "key of a rules file", keys);
    const struct yaml_node *const list = yaml_map_get(root, "rules");
    const struct yaml_node *const examples = yaml_map_get(root, "examples");
    const struct yaml_node *const limits = yaml_map_get(root, "limits");
    if (list != NULL) { read_rules(reading, list, out); }
    if (examples != NULL) { read_examples(reading, examples, out); }
    if (limits != NULL) { read_limits(reading, limits, &out->limits); }
}

void rules_read_file(struct rules_reading *reading, const struct yaml_node *root,
                     struct rules_source *out)
{
    const struct rules_world *const world = reading->world;
    *out = (struct rules_source){
        .file = reading->file,
        .listener_names = world->listener_names,
        .listener_count = world->listener_count,
        .topic_names = world->topics,
        .topic_count = world->topic_count,
        .limits = {.database_bytes_max = database_bytes_default,
                   .compile_seconds_max = COMPILE_SECONDS_DEFAULT,
                   .matches_max = MATCHES_DEFAULT},
        .cache_path = world->cache_path,
    };
    if (root != NULL && root->kind != YAML_MAP) {
        rules_refuse(reading, root->place, "must be a map with 'rules' and 'default'");
    } else if (root != NULL) {
        read_root(reading, root, out);
    }

    struct rule_fallback by_default;
    const struct yaml_node *const node = root == NULL ? NULL : yaml_map_get(root, "default");
    if (node != NULL) { rules_read_default(reading, node, &by_default); }
    out->fallbacks = read_fallbacks(reading, node != NULL ? &by_default : NULL);
    if (rules_reading_is_over(reading)) {
        rules_refuse(reading, reading->file, "the rest of the file was not read");
    }
    if (reading->question_count > 0) {
        pattern_check(reading->questions, reading->question_count, out->limits.compile_seconds_max,
                      reading->file, reading->diagnostics);
    }
    free(reading->questions);
}
