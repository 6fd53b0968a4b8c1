/* When a rule holds: a pattern, a map of tests on one field, or all, any and not of these. */
#include <string.h>

#include "base/invariant.h"
#include "pipeline/pattern.h"
#include "pipeline/rules_reading.h"

/* Room for one more test; false, and said once, when there are too many. Then nothing further is
 * read: a file that large was made by a program that went wrong. */
static bool take_test(struct rules_reading *reading, struct file_place place)
{
    if (rules_reading_is_over(reading)) { return false; }
    if (reading->condition_count++ < RULES_CONDITIONS_MAX) { return true; }
    rules_refuse(reading, place,
                 "the rules have more than %d tests together; join patterns by '|', or say in one "
                 "pattern what lists of texts have in common",
                 (int)RULES_CONDITIONS_MAX);
    return false;
}

/* Whether there is room for a list of tests or conditions, as far as its length tells. */
static bool list_fits(struct rules_reading *reading, const struct yaml_node *list)
{
    if (rules_reading_is_over(reading)) { return false; }
    if (list->child_count <= RULES_CONDITIONS_MAX - reading->condition_count) { return true; }
    reading->condition_count = RULES_CONDITIONS_MAX;
    return take_test(reading, list->place); /* which says it */
}

/* ------------------------------------------------------------------------------------- tests */

static struct rule_condition test_of(enum rule_test test, const struct rule_field *field,
                                     struct file_place place)
{
    return (struct rule_condition){
        .kind = RULE_CONDITION_TEST, .place = place, .field = *field, .test = test};
}

static void read_pattern_text(const struct rules_reading *reading, struct rule_condition *out)
{
    struct pattern_text text;
    uint8_t *const bytes = arena_take(reading->arena, strlen(out->pattern), 1);
    if (!pattern_read_text(out->pattern, bytes, &text)) { return; }
    out->literal = bytes_of(bytes, text.len_bytes);
    out->at_begin = text.at_begin;
    out->at_end = text.at_end;
}

static void read_match(struct rules_reading *reading, const struct yaml_node *node,
                       const struct rule_field *field, struct rule_condition *out)
{
    *out = test_of(RULE_TEST_MATCH, field, node->place);
    if (!take_test(reading, node->place)) { return; }
    out->pattern = rules_read_pattern(reading, node, false, &out->finds_empty);
    if (out->pattern != NULL) { read_pattern_text(reading, out); }
}

static void refuse_unknown_listener(const struct rules_reading *reading,
                                    const struct yaml_node *node)
{
    const struct rules_world *const world = reading->world;
    if (world->listener_names == NULL) { return; } /* nobody knows their names here */
    for (size_t i = 0; i < world->listener_count; i++) {
        if (strcmp(world->listener_names[i], node->text) == 0) { return; }
    }
    rules_refuse_unknown(reading, node->place, "listener", node->text, world->listener_names,
                         world->listener_count);
}

static void read_equal(struct rules_reading *reading, const struct yaml_node *node,
                       const struct rule_field *field, struct rule_condition *out)
{
    *out = test_of(RULE_TEST_EQUALS, field, node->place);
    const char *const text = rules_read_scalar(reading, node, "a text; '' is the empty one");
    if (text == NULL || !take_test(reading, node->place)) { return; }
    out->literal = bytes_of_text(text);
    if (field->kind == RULE_FIELD_LISTENER) { refuse_unknown_listener(reading, node); }
}

static void read_network(struct rules_reading *reading, const struct yaml_node *node,
                         const struct rule_field *field, struct rule_condition *out)
{
    *out = test_of(RULE_TEST_NETWORK, field, node->place);
    if (!take_test(reading, node->place)) { return; }
    rules_read_network(reading, node, &out->network);
}

static void read_present(struct rules_reading *reading, const struct yaml_node *node,
                         const struct rule_field *field, struct rule_condition *out)
{
    bool present = true;
    *out = test_of(RULE_TEST_PRESENT, field, node->place);
    if (!rules_read_bool(reading, node, "present", &present)) { return; }
    if (!take_test(reading, node->place) || present) { return; }
    struct rule_condition *const there = arena_take(reading->arena, 1, sizeof *there);
    *there = *out;
    *out = (struct rule_condition){
        .kind = RULE_CONDITION_NOT, .place = node->place, .children = there, .child_count = 1};
}

static void read_comparison(struct rules_reading *reading, const struct yaml_node *node,
                            const struct rule_field *field, const char *name,
                            enum rule_comparison comparison, struct rule_condition *out)
{
    *out = test_of(RULE_TEST_NUMBER, field, node->place);
    out->comparison = comparison;
    if (!take_test(reading, node->place)) { return; }
    rules_read_number(reading, node, name, &out->number);
}

static void read_size_comparison(struct rules_reading *reading, const struct yaml_node *node,
                                 const struct rule_field *field, const char *name,
                                 enum rule_comparison comparison, struct rule_condition *out)
{
    uint64_t size_bytes = 0;
    *out = test_of(RULE_TEST_SIZE, field, node->place);
    out->comparison = comparison;
    if (!take_test(reading, node->place)) { return; }
    if (!rules_read_size(reading, node, name, 0, UINT64_C(1) << 40, &size_bytes)) { return; }
    out->number = (double)size_bytes; /* exact: below 2^53 */
}

typedef void test_reader(struct rules_reading *reading, const struct yaml_node *node,
                         const struct rule_field *field, struct rule_condition *out);

/* A list is any of its items; one item alone needs no list. */
static void read_any_of(struct rules_reading *reading, const struct yaml_node *node,
                        const struct rule_field *field, test_reader *read,
                        struct rule_condition *out)
{
    if (node->kind != YAML_LIST) {
        read(reading, node, field, out);
        return;
    }
    *out = (struct rule_condition){.kind = RULE_CONDITION_ANY, .place = node->place};
    if (node->child_count == 0) {
        rules_refuse(reading, node->place, "an empty list, which nothing can be in");
        return;
    }
    if (!list_fits(reading, node)) { return; }
    struct rule_condition *const children =
        arena_take(reading->arena, node->child_count, sizeof *children);
    for (size_t i = 0; i < node->child_count; i++) {
        if (rules_reading_is_over(reading)) { return; }
        read(reading, node->children[i], field, &children[i]);
    }
    out->children = children;
    out->child_count = node->child_count;
}

/* ------------------------------------------------------------------------------ maps of tests */

static const char *const test_keys[] = {"field", "match",    "equals",  "present",    "below",
                                        "above", "at_least", "at_most", "size_above", "size_below",
                                        "in",    "all",      "any",     "not",        NULL};

static const struct {
    const char *name;
    enum rule_comparison comparison;
} number_keys[] = {
    {"below", RULE_BELOW},
    {"at_most", RULE_AT_MOST},
    {"at_least", RULE_AT_LEAST},
    {"above", RULE_ABOVE},
};

/* The sender's address has no text, and only it lies in networks; a listener is no number. */
static bool suits_field(const struct rules_reading *reading, const struct yaml_node *map,
                        const struct rule_field *field)
{
    bool suits = true;
    for (size_t i = 0; i < map->child_count; i++) {
        const char *const key = map->keys[i]->text;
        const bool is_network = strcmp(key, "in") == 0;
        bool is_number = false;
        for (size_t j = 0; j < ARRAY_COUNT(number_keys); j++) {
            is_number = is_number || strcmp(key, number_keys[j].name) == 0;
        }
        if (strcmp(key, "field") == 0) { continue; }
        if (is_network && field->kind != RULE_FIELD_SOURCE) {
            rules_refuse(reading, map->keys[i]->place,
                         "'in' asks for the sender's network: { field: source, in: 10.0.0.0/8 }");
            suits = false;
        } else if (!is_network && field->kind == RULE_FIELD_SOURCE) {
            rules_refuse(reading, map->keys[i]->place,
                         "'%s' is not for the sender's address: { field: source, in: 10.0.0.0/8 }",
                         key);
            suits = false;
        } else if (is_number && field->kind == RULE_FIELD_LISTENER) {
            rules_refuse(reading, map->keys[i]->place,
                         "a listener is a text like syslog:514, never a number");
            suits = false;
        }
    }
    return suits;
}

/* Every test that the map has; how many: not more than it has keys beside `field`. */
static size_t read_tests(struct rules_reading *reading, const struct yaml_node *map,
                         const struct rule_field *field, struct rule_condition *out)
{
    size_t count = 0;
    const struct yaml_node *node = yaml_map_get(map, "match");
    if (node != NULL) { read_match(reading, node, field, &out[count++]); }
    node = yaml_map_get(map, "equals");
    if (node != NULL) { read_any_of(reading, node, field, read_equal, &out[count++]); }
    node = yaml_map_get(map, "in");
    if (node != NULL) { read_any_of(reading, node, field, read_network, &out[count++]); }
    node = yaml_map_get(map, "present");
    if (node != NULL) { read_present(reading, node, field, &out[count++]); }
    for (size_t i = 0; i < ARRAY_COUNT(number_keys); i++) {
        node = yaml_map_get(map, number_keys[i].name);
        if (node == NULL) { continue; }
        read_comparison(reading, node, field, number_keys[i].name, number_keys[i].comparison,
                        &out[count++]);
    }
    node = yaml_map_get(map, "size_below");
    if (node != NULL) {
        read_size_comparison(reading, node, field, "size_below", RULE_BELOW, &out[count++]);
    }
    node = yaml_map_get(map, "size_above");
    if (node != NULL) {
        read_size_comparison(reading, node, field, "size_above", RULE_ABOVE, &out[count++]);
    }
    return count;
}

static void read_test_map(struct rules_reading *reading, const struct yaml_node *map,
                          struct rule_condition *out)
{
    struct rule_field field = {.kind = RULE_FIELD_VALUE};
    const struct yaml_node *const field_node = yaml_map_get(map, "field");
    const bool has_field = field_node == NULL || rules_read_field(reading, field_node, &field);
    if (has_field && !suits_field(reading, map, &field)) { return; }

    const size_t count = map->child_count - (field_node != NULL ? 1 : 0);
    if (count == 0) {
        rules_refuse(reading, map->place,
                     "a condition that asks nothing; it needs match, equals, present, below, "
                     "above, at_least, at_most, size_above, size_below or in");
    } else if (count == 1) {
        (void)read_tests(reading, map, &field, out);
    } else {
        struct rule_condition *const tests = arena_take(reading->arena, count, sizeof *tests);
        *out = (struct rule_condition){
            .kind = RULE_CONDITION_ALL, .place = map->place, .children = tests};
        out->child_count = read_tests(reading, map, &field, tests);
    }
}

/* -------------------------------------------------------------------------------------- trees */

static void read_nested(struct rules_reading *reading, const struct yaml_node *node, unsigned depth,
                        struct rule_condition *out);

static void read_list_of_conditions(struct rules_reading *reading, const struct yaml_node *list,
                                    const char *name, unsigned depth, struct rule_condition *out)
{
    if (list->kind != YAML_LIST || list->child_count == 0) {
        rules_refuse(reading, list->place, "'%s' needs a list of conditions", name);
        return;
    }
    if (!list_fits(reading, list)) { return; }
    struct rule_condition *const children =
        arena_take(reading->arena, list->child_count, sizeof *children);
    for (size_t i = 0; i < list->child_count; i++) {
        read_nested(reading, list->children[i], depth, &children[i]);
    }
    out->children = children;
    out->child_count = list->child_count;
}

static void read_not(struct rules_reading *reading, const struct yaml_node *node, unsigned depth,
                     struct rule_condition *out)
{
    struct rule_condition *const child = arena_take(reading->arena, 1, sizeof *child);
    read_nested(reading, node, depth, child);
    out->children = child;
    out->child_count = 1;
}

static const struct {
    const char *name;
    enum rule_condition_kind kind;
} tree_keys[] = {
    {"all", RULE_CONDITION_ALL},
    {"any", RULE_CONDITION_ANY},
    {"not", RULE_CONDITION_NOT},
};

/* `depth` of all, any and not stand around this one. */
static void read_tree(struct rules_reading *reading, const struct yaml_node *map, size_t key,
                      unsigned depth, struct rule_condition *out)
{
    const char *const name = tree_keys[key].name;
    const struct yaml_node *const inner = yaml_map_get(map, name);
    *out = (struct rule_condition){.kind = tree_keys[key].kind, .place = map->place};
    if (map->child_count > 1) {
        rules_refuse(reading, map->place,
                     "'%s' stands alone in its map; write { all: [...] } around what must hold "
                     "together",
                     name);
        return;
    }
    if (depth == RULES_CONDITION_DEPTH_MAX) {
        rules_refuse(reading, map->place,
                     "conditions are nested deeper than %d levels of all, any and not; write it "
                     "flatter, or in two rules",
                     (int)RULES_CONDITION_DEPTH_MAX);
        return;
    }
    if (tree_keys[key].kind == RULE_CONDITION_NOT) {
        read_not(reading, inner, depth + 1, out);
    } else {
        read_list_of_conditions(reading, inner, name, depth + 1, out);
    }
}

static void read_nested(struct rules_reading *reading, const struct yaml_node *node, unsigned depth,
                        struct rule_condition *out)
{
    static const struct rule_field value = {.kind = RULE_FIELD_VALUE};
    if (rules_reading_is_over(reading)) { return; }
    if (node->kind == YAML_SCALAR) {
        read_match(reading, node, &value, out);
        return;
    }
    if (node->kind != YAML_MAP || node->child_count == 0) {
        rules_refuse(reading, node->place,
                     "must be a pattern, { field: NAME, match: PATTERN }, or { all: [...] }, "
                     "{ any: [...] }, { not: ... } of such");
        return;
    }
    rules_check_keys(reading, node, "key of a condition", test_keys);
    for (size_t i = 0; i < ARRAY_COUNT(tree_keys); i++) {
        if (yaml_map_get(node, tree_keys[i].name) == NULL) { continue; }
        read_tree(reading, node, i, depth, out);
        return;
    }
    read_test_map(reading, node, out);
}

void rules_read_condition(struct rules_reading *reading, const struct yaml_node *node,
                          struct rule_condition *out)
{
    read_nested(reading, node, 0, out);
}
