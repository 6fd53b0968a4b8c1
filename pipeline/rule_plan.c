#include "pipeline/rule_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"
#include "base/sink.h"
#include "pipeline/pattern.h"

/* ----------------------------------------------------------------------------------- the looks */

static size_t put_named(struct rule_table *table, const uint8_t *front, size_t front_bytes,
                        struct bytes name)
{
    uint8_t *const key = allocate_zeroed(front_bytes + name.len_bytes, 1);
    struct sink sink = sink_into(key, front_bytes + name.len_bytes);
    sink_bytes(&sink, bytes_of(front, front_bytes));
    sink_bytes(&sink, name);
    const size_t number = rule_table_put(table, sink_written(&sink));
    free(key);
    return number;
}

static void name_look(struct rule_set *rules, struct rule_look *look, uint32_t index)
{
    struct rule_table *names = NULL;
    uint32_t **looks = NULL;
    switch (look->field.kind) {
    case RULE_FIELD_HEADER: names = &rules->header_names, looks = &rules->header_looks; break;
    case RULE_FIELD_JSON: names = &rules->json_names, looks = &rules->json_looks; break;
    case RULE_FIELD_LISTENER: rules->listener_look = index; return;
    default: return;
    }
    const size_t number = rule_table_put(names, look->field.name);
    *looks = allocate_again(*looks, number + 1, sizeof **looks);
    (*looks)[number] = index;
    look->field.name = names->keys[number]; /* the set outlives the source */
}

static uint32_t look_of(struct rule_plan *plan, struct rule_field field)
{
    const bool is_named = field.kind == RULE_FIELD_HEADER || field.kind == RULE_FIELD_JSON;
    if (!is_named) { field.name = bytes_null(); }
    struct rule_set *const rules = plan->rules;
    const uint8_t kind = (uint8_t)field.kind;
    const size_t index = put_named(&plan->looks, &kind, 1, field.name);
    if (index < rules->look_count) { return (uint32_t)index; }

    rules->looks = allocate_again(rules->looks, index + 1, sizeof *rules->looks);
    memset(&rules->looks[index], 0, sizeof rules->looks[index]);
    rules->looks[index].field = field;
    rule_table_init(&rules->looks[index].texts);
    rules->look_count = index + 1;
    name_look(rules, &rules->looks[index], (uint32_t)index);
    return (uint32_t)index;
}

static void add_fixed_looks(struct rule_plan *plan)
{
    static const enum rule_field_kind kinds[RULE_LOOK_FIXED_COUNT] = {
        [RULE_LOOK_VALUE] = RULE_FIELD_VALUE,
        [RULE_LOOK_KEY] = RULE_FIELD_KEY,
        [RULE_LOOK_SOURCE] = RULE_FIELD_SOURCE,
    };
    plan->rules->listener_look = UINT32_MAX;
    for (uint32_t i = 0; i < RULE_LOOK_FIXED_COUNT; i++) {
        const uint32_t index = look_of(plan, (struct rule_field){.kind = kinds[i]});
        assert(index == i);
    }
}

/* ----------------------------------------------------------------------------------- the atoms */

static void add_pattern(struct rule_plan *plan, const struct rule_condition *test, uint32_t look,
                        uint32_t atom)
{
    char *const translated = allocate_zeroed(1, pattern_translated_bytes(strlen(test->pattern)));
    const enum pattern_result result = pattern_translate(test->pattern, translated);
    assert(result == PATTERN_OK); /* pattern_check said so */
    plan->patterns =
        allocate_again(plan->patterns, plan->pattern_count + 1, sizeof *plan->patterns);
    plan->patterns[plan->pattern_count++] = (struct rule_pattern){
        .written = test->pattern,
        .place = test->place,
        .translated = translated,
        .look = look,
        .atom = atom,
    };
}

static void add_text(struct rule_set *rules, const struct rule_condition *test, uint32_t look_index,
                     uint32_t atom)
{
    struct rule_look *const look = &rules->looks[look_index];
    const size_t number = rule_table_put(&look->texts, test->literal);
    look->text_atoms = allocate_again(look->text_atoms, number + 1, sizeof *look->text_atoms);
    look->text_atoms[number] = atom;
}

static void add_network(struct rule_set *rules, struct bytes key, uint32_t atom)
{
    const size_t number = rule_table_put(&rules->networks, key);
    rules->network_atoms =
        allocate_again(rules->network_atoms, number + 1, sizeof *rules->network_atoms);
    rules->network_atoms[number] = atom;
    if (memchr(rules->prefixes, key.at[0], rules->prefix_count) != NULL) { return; }
    rules->prefixes[rules->prefix_count++] = key.at[0];
}

static bool is_atom(const struct rule_condition *test)
{
    return test->test == RULE_TEST_MATCH || test->test == RULE_TEST_EQUALS ||
           test->test == RULE_TEST_NETWORK;
}

/* Room for `atom_uses`, grown by doubling: there are as many atoms as tests, at worst. */
static void make_room_for_atom(struct rule_plan *plan, size_t atom)
{
    if (atom < plan->atom_room) { return; }
    const size_t room = 2 * plan->atom_room + 64;
    plan->atom_uses = allocate_again(plan->atom_uses, room, sizeof *plan->atom_uses);
    memset(plan->atom_uses + plan->atom_room, 0, (room - plan->atom_room) * sizeof(uint32_t));
    plan->atom_room = room;
}

/* Equal claims have one atom. */
static uint32_t atom_of(struct rule_plan *plan, const struct rule_condition *test)
{
    const uint32_t look = look_of(plan, test->field);
    uint8_t network[RULE_NETWORK_BYTES];
    struct bytes says = test->literal;
    if (test->test == RULE_TEST_MATCH) { says = bytes_of_text(test->pattern); }
    if (test->test == RULE_TEST_NETWORK) {
        rule_network_key(network, test->network.address, test->network.prefix_bits);
        says = bytes_of(network, sizeof network);
    }
    uint8_t front[5] = {(uint8_t)test->test};
    store_le32(front + 1, look);
    const size_t known = plan->atoms.count;
    const uint32_t atom = (uint32_t)put_named(&plan->atoms, front, sizeof front, says);
    if (atom < known) { return atom; }

    make_room_for_atom(plan, atom);
    switch (test->test) {
    case RULE_TEST_MATCH: add_pattern(plan, test, look, atom); break;
    case RULE_TEST_EQUALS: add_text(plan->rules, test, look, atom); break;
    default: add_network(plan->rules, says, atom); break;
    }
    return atom;
}

/* Tests on the listener's name are asked once, when rules are compiled. */
static uint32_t question_of(struct rule_plan *plan, const struct rule_condition *test)
{
    uint8_t front[11] = {(uint8_t)test->test, (uint8_t)test->comparison};
    memcpy(front + 2, &test->number, sizeof test->number);
    const bool is_match = test->test == RULE_TEST_MATCH;
    const struct bytes says = is_match ? bytes_of_text(test->pattern) : test->literal;
    struct rule_set *const rules = plan->rules;
    const size_t number = put_named(&plan->question_names, front, sizeof front, says);
    if (number < rules->question_count) { return (uint32_t)number; }
    (void)look_of(plan, test->field); /* so that there is a look at the listener */

    plan->questions = allocate_again(plan->questions, number + 1, sizeof *plan->questions);
    plan->questions[number] = (struct rule_question){
        .test = test,
        .atom = is_match ? atom_of(plan, test) : RULE_ATOM_NONE,
    };
    rules->question_count = number + 1;
    return (uint32_t)number;
}

/* ----------------------------------------------------------------------------------- the steps */

static uint32_t add_step(struct rule_plan *plan, const struct rule_condition *test,
                         uint32_t when_true, uint32_t when_false)
{
    struct rule_step step = {
        .number = test->number,
        .when_true = when_true,
        .when_false = when_false,
        .comparison = (uint8_t)test->comparison,
    };
    if (test->field.kind == RULE_FIELD_LISTENER) {
        step.kind = RULE_STEP_LISTENER;
        step.operand = question_of(plan, test);
    } else if (is_atom(test)) {
        step.kind = RULE_STEP_ATOM;
        step.operand = atom_of(plan, test);
        plan->atom_uses[step.operand]++;
    } else {
        step.kind = test->test == RULE_TEST_PRESENT  ? RULE_STEP_PRESENT
                    : test->test == RULE_TEST_NUMBER ? RULE_STEP_NUMBER
                                                     : RULE_STEP_SIZE;
        step.operand = look_of(plan, test->field);
    }
    struct rule_set *const rules = plan->rules;
    assert(rules->step_count < RULE_STEPS_MAX);
    if (rules->step_count == plan->step_room) {
        plan->step_room = 2 * plan->step_room + 64;
        rules->steps = allocate_again(rules->steps, plan->step_room, sizeof *rules->steps);
    }
    rules->steps[rules->step_count] = step;
    return (uint32_t)rules->step_count++;
}

/* From the last child to the first, as each must know where to go on. Answers where to begin. */
static uint32_t add_steps(struct rule_plan *plan, const struct rule_condition *condition,
                          uint32_t when_true, uint32_t when_false)
{
    uint32_t next = when_true;
    switch (condition->kind) {
    case RULE_CONDITION_TEST: return add_step(plan, condition, when_true, when_false);
    case RULE_CONDITION_NOT: return add_steps(plan, &condition->children[0], when_false, when_true);
    case RULE_CONDITION_ALL:
        for (size_t i = condition->child_count; i-- > 0;) {
            next = add_steps(plan, &condition->children[i], next, when_false);
        }
        return next;
    case RULE_CONDITION_ANY:
        next = when_false;
        for (size_t i = condition->child_count; i-- > 0;) {
            next = add_steps(plan, &condition->children[i], when_true, next);
        }
        return next;
    }
    return when_false;
}

/* -------------------------------------------------------------------------------- the triggers */

/* Atoms of which one holds whenever a condition does are its cover: asking the rule only when one
 * of them holds asks it often enough. Of `all`, any child's cover will do; of `any`, all of them
 * together; a `not` turns the tree under it over, and a claim that must *not* hold covers nothing.
 * A condition without a cover may hold with no atom at all. */

/* Dear is what triggers often for nothing: short patterns, and atoms that many rules ask. */
static double atom_cost(const struct rule_plan *plan, const struct rule_condition *test,
                        uint32_t atom)
{
    const double says_bytes = test->test == RULE_TEST_MATCH ? (double)strlen(test->pattern) : 8.0;
    return 1.0 + 4.0 / says_bytes + 0.05 * (double)(plan->atom_uses[atom] - 1);
}

/* INFINITY: no cover. */
static double cover_cost(struct rule_plan *plan, const struct rule_condition *condition,
                         bool negated)
{
    if (condition->kind == RULE_CONDITION_NOT) {
        return cover_cost(plan, &condition->children[0], !negated);
    }
    if (condition->kind == RULE_CONDITION_TEST) {
        const bool covers =
            !negated && is_atom(condition) && condition->field.kind != RULE_FIELD_LISTENER;
        return covers ? atom_cost(plan, condition, atom_of(plan, condition)) : (double)INFINITY;
    }
    const bool all = (condition->kind == RULE_CONDITION_ALL) != negated;
    double cost = all ? (double)INFINITY : 0;
    for (size_t i = 0; i < condition->child_count; i++) {
        const double child = cover_cost(plan, &condition->children[i], negated);
        if (!all) {
            cost += child;
        } else if (child < cost) {
            cost = child;
        }
    }
    return cost;
}

struct cover {
    uint32_t *atoms;
    size_t count;
    size_t room;
};

static void cover_add(struct cover *cover, uint32_t atom)
{
    if (cover->count == cover->room) {
        cover->room = 2 * cover->room + 16;
        cover->atoms = allocate_again(cover->atoms, cover->room, sizeof *cover->atoms);
    }
    cover->atoms[cover->count++] = atom;
}

static const struct rule_condition *
cheapest_child(struct rule_plan *plan, const struct rule_condition *condition, bool negated)
{
    const struct rule_condition *best = &condition->children[0];
    double best_cost = cover_cost(plan, best, negated);
    for (size_t i = 1; i < condition->child_count; i++) {
        const double cost = cover_cost(plan, &condition->children[i], negated);
        if (cost < best_cost) {
            best = &condition->children[i];
            best_cost = cost;
        }
    }
    return best;
}

/* Of a condition that has a cover. */
static void cover_take(struct rule_plan *plan, const struct rule_condition *condition, bool negated,
                       struct cover *cover)
{
    if (condition->kind == RULE_CONDITION_NOT) {
        cover_take(plan, &condition->children[0], !negated, cover);
    } else if (condition->kind == RULE_CONDITION_TEST) {
        cover_add(cover, atom_of(plan, condition));
    } else if ((condition->kind == RULE_CONDITION_ALL) != negated) {
        cover_take(plan, cheapest_child(plan, condition, negated), negated, cover);
    } else {
        for (size_t i = 0; i < condition->child_count; i++) {
            cover_take(plan, &condition->children[i], negated, cover);
        }
    }
}

/* The condition is nothing but its cover: an atom, or any of several. */
static bool is_sure(const struct rule_condition *condition)
{
    if (condition->kind == RULE_CONDITION_TEST) {
        return is_atom(condition) && condition->field.kind != RULE_FIELD_LISTENER;
    }
    if (condition->kind == RULE_CONDITION_NOT) { return false; }
    if (condition->kind == RULE_CONDITION_ALL && condition->child_count != 1) { return false; }
    for (size_t i = 0; i < condition->child_count; i++) {
        if (!is_sure(&condition->children[i])) { return false; }
    }
    return true;
}

struct trigger {
    uint32_t atom;
    uint32_t rule;
};

static int compare_triggers(const void *left_at, const void *right_at)
{
    const struct trigger *const left = left_at;
    const struct trigger *const right = right_at;
    if (left->atom != right->atom) { return left->atom < right->atom ? -1 : 1; }
    return left->rule < right->rule ? -1 : left->rule > right->rule;
}

/* An atom's rules are [begin, end), each perhaps several times. */
static void lay_triggers(struct rule_set *rules, const struct trigger *begin,
                         const struct trigger *end, size_t *list_used)
{
    const size_t start = *list_used;
    size_t count = 0;
    for (const struct trigger *at = begin; at < end; at++) {
        if (at > begin && at->rule == at[-1].rule) { continue; }
        rules->trigger_lists[start + 1 + count++] = at->rule;
    }
    if (count == 1) {
        rules->triggers[begin->atom] = begin->rule;
        return;
    }
    rules->trigger_lists[start] = (uint32_t)count;
    rules->triggers[begin->atom] = RULE_TRIGGER_LIST | (uint32_t)start;
    *list_used = start + 1 + count;
}

static void lay_all_triggers(struct rule_set *rules, struct trigger *triggers, size_t count)
{
    if (count > 1) { qsort(triggers, count, sizeof *triggers, compare_triggers); }
    rules->triggers = allocate_zeroed(rules->atom_count, sizeof *rules->triggers);
    rules->trigger_lists = allocate_zeroed(2 * count + 2, sizeof *rules->trigger_lists);
    for (size_t i = 0; i < rules->atom_count; i++) { rules->triggers[i] = RULE_TRIGGER_NONE; }
    size_t list_used = 0;
    for (size_t begin = 0, end; begin < count; begin = end) {
        end = begin + 1;
        while (end < count && triggers[end].atom == triggers[begin].atom) { end++; }
        lay_triggers(rules, triggers + begin, triggers + end, &list_used);
    }
}

/* Atoms that steps ask for: not those of sure rules, whose steps are never taken. */
static void mark_read_atoms(struct rule_plan *plan, const struct rule_condition *condition)
{
    const bool is_test = condition->kind == RULE_CONDITION_TEST;
    if (is_test && is_atom(condition) && condition->field.kind != RULE_FIELD_LISTENER) {
        plan->rules->triggers[atom_of(plan, condition)] |= RULE_TRIGGER_READ;
    }
    for (size_t i = 0; i < (is_test ? 0 : condition->child_count); i++) {
        mark_read_atoms(plan, &condition->children[i]);
    }
}

static void plan_triggers(struct rule_plan *plan)
{
    struct rule_set *const rules = plan->rules;
    struct trigger *triggers = NULL;
    size_t count = 0;
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        const struct rule_condition *const when = &plan->source->rules[i].when;
        if (isinf(cover_cost(plan, when, false))) { continue; }
        struct cover cover = {0};
        cover_take(plan, when, false, &cover);
        triggers = allocate_again(triggers, count + cover.count, sizeof *triggers);
        for (size_t j = 0; j < cover.count; j++) {
            triggers[count++] = (struct trigger){cover.atoms[j], i};
        }
        free(cover.atoms);
        rules->lines[i].is_triggered = true;
        rules->lines[i].is_sure = is_sure(when);
    }
    lay_all_triggers(rules, triggers, count);
    free(triggers);
    for (size_t i = 0; i < rules->rule_count; i++) {
        if (!rules->lines[i].is_sure) { mark_read_atoms(plan, &plan->source->rules[i].when); }
    }
}

/* --------------------------------------------------------------------------- always candidates */

/* Whether the condition may hold for this listener's records, whatever they hold. */
static bool can_hold(struct rule_plan *plan, const struct rule_condition *condition, bool negated,
                     size_t listener)
{
    const struct rule_set *const rules = plan->rules;
    if (condition->kind == RULE_CONDITION_NOT) {
        return can_hold(plan, &condition->children[0], !negated, listener);
    }
    if (condition->kind == RULE_CONDITION_TEST) {
        if (condition->field.kind != RULE_FIELD_LISTENER) { return true; }
        const size_t question = question_of(plan, condition);
        return (rules->answers[question * rules->listener_count + listener] != 0) != negated;
    }
    const bool all = (condition->kind == RULE_CONDITION_ALL) != negated;
    for (size_t i = 0; i < condition->child_count; i++) {
        if (can_hold(plan, &condition->children[i], negated, listener) != all) { return !all; }
    }
    return all;
}

void rule_plan_finish(struct rule_plan *plan)
{
    struct rule_set *const rules = plan->rules;
    const size_t words = rule_words(rules->rule_count);
    const size_t summary = rule_words(words);
    rules->always = allocate_zeroed(words * rules->listener_count, sizeof *rules->always);
    rules->always_words =
        allocate_zeroed(summary * rules->listener_count, sizeof *rules->always_words);
    for (size_t i = 0; i < rules->rule_count; i++) {
        if (rules->lines[i].is_triggered) { continue; }
        const size_t word = i / RULE_WORD_BITS;
        for (size_t listener = 0; listener < rules->listener_count; listener++) {
            if (!can_hold(plan, &plan->source->rules[i].when, false, listener)) { continue; }
            rules->always[listener * words + word] |= UINT64_C(1) << (i % RULE_WORD_BITS);
            rules->always_words[listener * summary + word / RULE_WORD_BITS] |=
                UINT64_C(1) << (word % RULE_WORD_BITS);
        }
    }
}

/* ----------------------------------------------------------------------------------- the deeds */

static struct bytes copied(struct bytes bytes)
{
    if (bytes_are_null(bytes)) { return bytes; }
    uint8_t *const copy = allocate_zeroed(bytes.len_bytes, 1);
    if (bytes.len_bytes > 0) { memcpy(copy, bytes.at, bytes.len_bytes); }
    return bytes_of(copy, bytes.len_bytes);
}

static bool has_deed(const struct rule_action *action)
{
    return action->keep_one_in > 1 || action->limit_unit != RULE_LIMIT_NONE ||
           action->redact_pattern != NULL || action->sets_key || action->header_count > 0;
}

static void plan_deed(struct rule_plan *plan, const struct rule_action *action,
                      struct rule_deed *out)
{
    *out = (struct rule_deed){
        .keep_one_in = action->keep_one_in,
        .keep_by = action->keep_by,
        .limit_unit = action->limit_unit,
        .limit_by_field = action->limit_by_field,
        .limit_rate = action->limit_rate,
        .limit_burst = action->limit_burst,
        .limit_buckets = action->limit_buckets,
        .redact_with = action->redact_with,
        .sets_key = action->sets_key,
        .header_count = action->header_count,
    };
    if (action->limit_by_field) { out->limit_look = look_of(plan, action->limit_field); }
    if (action->redact_pattern != NULL) { out->redact_look = look_of(plan, action->redact_field); }
    if (action->sets_key) { out->key_look = look_of(plan, action->key_field); }
    out->headers = allocate_zeroed(action->header_count, sizeof *out->headers);
    for (size_t i = 0; i < action->header_count; i++) {
        out->headers[i].name = copied(action->headers[i].name);
        out->headers[i].value = copied(action->headers[i].value);
    }
    plan->rules->adds_headers |= action->header_count > 0;
    plan->rules->sets_keys |= action->sets_key;
    plan->rules->redacts |= action->redact_pattern != NULL;
}

static void plan_line(struct rule_plan *plan, const struct rule_source *source,
                      struct rule_line *out)
{
    struct rule_set *const rules = plan->rules;
    const struct rule_action *const action = &source->action;
    assert(action->topic_count <= RULES_ROUTE_TOPICS_MAX);
    out->first_step = add_steps(plan, &source->when, RULE_STEP_HOLDS, RULE_STEP_FAILS);
    out->is_shadow = source->shadow;
    out->goes_on = source->goes_on || source->shadow;
    out->drops = action->drop;
    out->topic_count = action->topic_count;
    memcpy(out->topics, action->topics, sizeof out->topics);
    if (!has_deed(action)) { return; }
    struct rule_deed *const deed = &rules->deeds[rules->deed_count++];
    plan_deed(plan, action, deed);
    out->deed = deed;
    out->changes = action->redact_pattern != NULL || action->sets_key || action->header_count > 0;
}

/* ------------------------------------------------------------------------------------ the plan */

static void plan_listeners(struct rule_set *rules, const struct rules_source *source)
{
    rules->fallbacks = allocate_zeroed(source->listener_count, sizeof *rules->fallbacks);
    rules->listener_names = allocate_zeroed(source->listener_count, sizeof *rules->listener_names);
    rules->listener_count = source->listener_count;
    for (size_t i = 0; i < source->listener_count; i++) {
        rules->fallbacks[i] = source->fallbacks[i];
        rules->listener_names[i] =
            allocate_text(source->listener_names == NULL ? "" : source->listener_names[i]);
    }
}

static bool json_is_searched(const struct rule_plan *plan)
{
    const struct rule_set *const rules = plan->rules;
    bool searched = false;
    for (size_t i = 0; i < rules->look_count; i++) {
        searched |=
            rules->looks[i].field.kind == RULE_FIELD_JSON && rules->looks[i].texts.count > 0;
    }
    for (size_t i = 0; i < plan->pattern_count; i++) {
        searched |= rules->looks[plan->patterns[i].look].field.kind == RULE_FIELD_JSON;
    }
    return searched;
}

void rule_plan_init(struct rule_plan *plan, const struct rules_source *source)
{
    memset(plan, 0, sizeof *plan);
    plan->source = source;
    struct rule_set *const rules = allocate_zeroed(1, sizeof *rules);
    plan->rules = rules;
    rules->lines = allocate_zeroed(source->rule_count, sizeof *rules->lines);
    rules->deeds = allocate_zeroed(source->rule_count, sizeof *rules->deeds);
    rules->names = allocate_zeroed(source->rule_count, sizeof *rules->names);
    rules->prefixes = allocate_zeroed(UINT8_MAX + 1, 1);
    rules->rule_count = source->rule_count;
    rules->matches_max = source->limits.matches_max;
    rules->example_count = source->example_count;
    rules->example_bytes = source->example_bytes;
    rules->epoch = source->epoch;
    plan_listeners(rules, source);
    add_fixed_looks(plan);
    for (size_t i = 0; i < source->rule_count; i++) {
        rules->names[i] = allocate_text(source->rules[i].name);
        plan_line(plan, &source->rules[i], &rules->lines[i]);
    }
    rules->atom_count = plan->atoms.count;
    rules->json_is_searched = json_is_searched(plan);
    rules->answers = allocate_zeroed(rules->question_count, rules->listener_count);
    plan_triggers(plan);
}

void rule_plan_deinit(struct rule_plan *plan)
{
    for (size_t i = 0; i < plan->pattern_count; i++) { free(plan->patterns[i].translated); }
    free(plan->patterns);
    free(plan->questions);
    free(plan->atom_uses);
    rule_table_deinit(&plan->looks);
    rule_table_deinit(&plan->atoms);
    rule_table_deinit(&plan->question_names);
    rule_set_destroy(plan->rules);
}
