#include "pipeline/rules_proof.h"

#include <math.h>
#include <string.h>

#include "pipeline/rule_network.h"
#include "pipeline/rule_number.h"

enum { TEXT_BYTES_A_STEP = 64 };

static bool pay(struct rules_proof *proof, uint64_t steps)
{
    const bool enough = steps <= proof->steps_left;
    proof->steps_left -= enough ? steps : proof->steps_left;
    return enough;
}

/* Comparing two tests costs as much as their texts are long. */
static bool pay_for(struct rules_proof *proof, const struct rule_condition *left,
                    const struct rule_condition *right)
{
    return pay(proof, 1 + (left->literal.len_bytes + right->literal.len_bytes) / TEXT_BYTES_A_STEP);
}

/* ---------------------------------------------------------------------------------- intervals */

/* What a comparison lets through; both ends belong to it. */
struct interval {
    double least;
    double most;
};

/* The next double above a finite one: no number of a field lies between. */
static double next_above(double number)
{
    uint64_t bits;
    if (number == 0) { number = 0; } /* not -0 */
    memcpy(&bits, &number, sizeof bits);
    bits += number >= 0 ? UINT64_C(1) : UINT64_MAX; /* as magnitude and sign */
    memcpy(&number, &bits, sizeof bits);
    return number;
}

static struct interval interval_of(const struct rule_condition *test)
{
    const bool whole = test->test == RULE_TEST_SIZE;
    const double below = whole ? test->number - 1 : -next_above(-test->number);
    const double above = whole ? test->number + 1 : next_above(test->number);
    const double least = whole ? 0 : -INFINITY;
    switch (test->comparison) {
    case RULE_BELOW: return (struct interval){least, below};
    case RULE_AT_MOST: return (struct interval){least, test->number};
    case RULE_AT_LEAST: return (struct interval){test->number, INFINITY};
    case RULE_ABOVE: break;
    }
    return (struct interval){above, INFINITY};
}

static bool interval_has(struct interval outer, struct interval inner)
{
    return outer.least <= inner.least && inner.most <= outer.most;
}

static bool intervals_meet(struct interval left, struct interval right)
{
    return left.least <= right.most && right.least <= left.most;
}

/* ----------------------------------------------------------------------------------- networks */

static bool network_has(const struct rule_network *outer, const struct rule_network *inner)
{
    return outer->prefix_bits <= inner->prefix_bits && rule_network_has(outer, inner->address);
}

/* -------------------------------------------------------------------------------------- texts */

/* A test by a text: the field is it, or has it inside or at an end. */
static bool is_text(const struct rule_condition *test)
{
    return test->test == RULE_TEST_EQUALS ||
           (test->test == RULE_TEST_MATCH && !bytes_are_null(test->literal));
}

static bool is_at_begin(const struct rule_condition *test)
{
    return test->test == RULE_TEST_EQUALS || test->at_begin;
}

static bool is_at_end(const struct rule_condition *test)
{
    return test->test == RULE_TEST_EQUALS || test->at_end;
}

static bool begins_with(struct bytes text, struct bytes front)
{
    return front.len_bytes <= text.len_bytes &&
           bytes_equal(bytes_slice(text, 0, front.len_bytes), front);
}

static bool ends_with(struct bytes text, struct bytes back)
{
    return back.len_bytes <= text.len_bytes &&
           bytes_equal(bytes_slice(text, text.len_bytes - back.len_bytes, text.len_bytes), back);
}

static bool has_inside(struct bytes text, struct bytes part)
{
    if (part.len_bytes == 0) { return true; }
    return memmem(text.at, text.len_bytes, part.at, part.len_bytes) != NULL;
}

/* A field that has `left` has `right`. */
static bool text_implies(const struct rule_condition *left, const struct rule_condition *right)
{
    const bool right_is_whole = is_at_begin(right) && is_at_end(right);
    if (is_at_begin(right) && !is_at_begin(left)) { return false; }
    if (is_at_end(right) && !is_at_end(left)) { return false; }
    if (right_is_whole) { return bytes_equal(left->literal, right->literal); }
    if (is_at_begin(right)) { return begins_with(left->literal, right->literal); }
    if (is_at_end(right)) { return ends_with(left->literal, right->literal); }
    return has_inside(left->literal, right->literal);
}

/* No field has both: one is the whole field and has not the other, or they differ at one end. */
static bool texts_exclude(const struct rule_condition *left, const struct rule_condition *right)
{
    const bool left_is_whole = is_at_begin(left) && is_at_end(left);
    const bool right_is_whole = is_at_begin(right) && is_at_end(right);
    if (left_is_whole) { return !text_implies(left, right); }
    if (right_is_whole) { return !text_implies(right, left); }
    if (is_at_begin(left) && is_at_begin(right)) {
        return !begins_with(left->literal, right->literal) &&
               !begins_with(right->literal, left->literal);
    }
    return is_at_end(left) && is_at_end(right) && !ends_with(left->literal, right->literal) &&
           !ends_with(right->literal, left->literal);
}

/* How long a field is that has this text. */
static struct interval size_of_text(const struct rule_condition *test)
{
    const double len_bytes = (double)test->literal.len_bytes;
    const bool is_whole = is_at_begin(test) && is_at_end(test);
    return (struct interval){len_bytes, is_whole ? len_bytes : INFINITY};
}

/* -------------------------------------------------------------------------------------- tests */

static bool is_same_field(const struct rule_field *left, const struct rule_field *right)
{
    return left->kind == right->kind && bytes_equal(left->name, right->name);
}

/* '.*' asks whether there is a field, and no more. */
static bool asks_presence(const struct rule_condition *test)
{
    return test->test == RULE_TEST_PRESENT ||
           (test->test == RULE_TEST_MATCH && strcmp(test->pattern, ".*") == 0);
}

/* The numbers or sizes of what passes a test, as `like` compares them; false: not known. */
static bool passed_interval(const struct rule_condition *test, const struct rule_condition *like,
                            struct interval *out)
{
    if (test->test == like->test) {
        *out = interval_of(test);
        return true;
    }
    if (like->test == RULE_TEST_SIZE && is_text(test)) {
        *out = size_of_text(test);
        return true;
    }
    double number;
    if (like->test == RULE_TEST_NUMBER && test->test == RULE_TEST_EQUALS &&
        rule_number_parse(test->literal, &number)) {
        *out = (struct interval){number, number};
        return true;
    }
    return false;
}

static bool is_comparison(const struct rule_condition *test)
{
    return test->test == RULE_TEST_NUMBER || test->test == RULE_TEST_SIZE;
}

static bool test_implies(const struct rule_condition *left, const struct rule_condition *right)
{
    struct interval passed;
    if (!is_same_field(&left->field, &right->field)) { return false; }
    if (asks_presence(right)) { return true; } /* every test fails where there is no field */
    if (is_text(left) && is_text(right)) { return text_implies(left, right); }
    if (is_comparison(right)) {
        return passed_interval(left, right, &passed) && interval_has(interval_of(right), passed);
    }
    if (left->test != right->test) { return false; }
    switch (right->test) {
    case RULE_TEST_MATCH: return strcmp(left->pattern, right->pattern) == 0;
    case RULE_TEST_NETWORK: return network_has(&right->network, &left->network);
    default: return false;
    }
}

static bool test_excludes(const struct rule_condition *left, const struct rule_condition *right)
{
    struct interval passed;
    if (!is_same_field(&left->field, &right->field)) { return false; }
    if (is_text(left) && is_text(right)) { return texts_exclude(left, right); }
    if (is_comparison(right) && passed_interval(left, right, &passed)) {
        return !intervals_meet(interval_of(right), passed);
    }
    if (is_comparison(left) && passed_interval(right, left, &passed)) {
        return !intervals_meet(interval_of(left), passed);
    }
    return left->test == RULE_TEST_NETWORK && right->test == RULE_TEST_NETWORK &&
           !network_has(&left->network, &right->network) &&
           !network_has(&right->network, &left->network);
}

/* -------------------------------------------------------------------------------------- trees */

typedef bool relation(struct rules_proof *proof, const struct rule_condition *left,
                      const struct rule_condition *right);

static bool any_child(struct rules_proof *proof, relation *holds,
                      const struct rule_condition *parent, const struct rule_condition *other,
                      bool parent_is_left)
{
    for (size_t i = 0; i < parent->child_count; i++) {
        const struct rule_condition *const child = &parent->children[i];
        if (parent_is_left ? holds(proof, child, other) : holds(proof, other, child)) {
            return true;
        }
    }
    return false;
}

static bool every_child(struct rules_proof *proof, relation *holds,
                        const struct rule_condition *parent, const struct rule_condition *other,
                        bool parent_is_left)
{
    for (size_t i = 0; i < parent->child_count; i++) {
        const struct rule_condition *const child = &parent->children[i];
        if (parent_is_left ? !holds(proof, child, other) : !holds(proof, other, child)) {
            return false;
        }
    }
    return true;
}

bool rule_condition_implies(struct rules_proof *proof, const struct rule_condition *left,
                            const struct rule_condition *right)
{
    if (!pay_for(proof, left, right)) { return false; }
    if (left == right) { return true; }
    if (left->kind == RULE_CONDITION_TEST && right->kind == RULE_CONDITION_TEST) {
        return test_implies(left, right);
    }
    if (left->kind == RULE_CONDITION_ANY) {
        return every_child(proof, rule_condition_implies, left, right, true);
    }
    if (right->kind == RULE_CONDITION_ALL) {
        return every_child(proof, rule_condition_implies, right, left, false);
    }
    if (right->kind == RULE_CONDITION_ANY &&
        any_child(proof, rule_condition_implies, right, left, false)) {
        return true;
    }
    if (left->kind == RULE_CONDITION_ALL &&
        any_child(proof, rule_condition_implies, left, right, true)) {
        return true;
    }
    if (right->kind != RULE_CONDITION_NOT) { return false; }
    if (left->kind == RULE_CONDITION_NOT) {
        return rule_condition_implies(proof, &right->children[0], &left->children[0]);
    }
    return rule_condition_excludes(proof, left, &right->children[0]);
}

bool rule_condition_excludes(struct rules_proof *proof, const struct rule_condition *left,
                             const struct rule_condition *right)
{
    if (!pay_for(proof, left, right)) { return false; }
    if (left->kind == RULE_CONDITION_TEST && right->kind == RULE_CONDITION_TEST) {
        return test_excludes(left, right);
    }
    if (left->kind == RULE_CONDITION_ANY) {
        return every_child(proof, rule_condition_excludes, left, right, true);
    }
    if (right->kind == RULE_CONDITION_ANY) {
        return every_child(proof, rule_condition_excludes, right, left, false);
    }
    if (right->kind == RULE_CONDITION_NOT &&
        rule_condition_implies(proof, left, &right->children[0])) {
        return true;
    }
    if (left->kind == RULE_CONDITION_NOT &&
        rule_condition_implies(proof, right, &left->children[0])) {
        return true;
    }
    if (left->kind == RULE_CONDITION_ALL &&
        any_child(proof, rule_condition_excludes, left, right, true)) {
        return true;
    }
    return right->kind == RULE_CONDITION_ALL &&
           any_child(proof, rule_condition_excludes, right, left, false);
}

/* Whether some field passes the test: of patterns only texts and '.*' are understood. */
static bool test_can_hold(const struct rule_condition *test)
{
    const struct interval passed =
        is_comparison(test) ? interval_of(test) : (struct interval){0, 0};
    return (test->test != RULE_TEST_MATCH || is_text(test) || asks_presence(test)) &&
           passed.least <= passed.most;
}

/* Whether what one holds says nothing of the other. */
static bool fields_are_independent(const struct rule_field *left, const struct rule_field *right)
{
    const bool left_is_value = left->kind == RULE_FIELD_VALUE || left->kind == RULE_FIELD_JSON;
    const bool right_is_value = right->kind == RULE_FIELD_VALUE || right->kind == RULE_FIELD_JSON;
    return !is_same_field(left, right) && !(left_is_value && right_is_value);
}

/* A test, or several at once that do not get in each other's way. */
static bool can_hold(struct rules_proof *proof, const struct rule_condition *condition)
{
    if (condition->kind == RULE_CONDITION_TEST) { return test_can_hold(condition); }
    if (condition->kind != RULE_CONDITION_ALL) { return false; }
    for (size_t i = 0; i < condition->child_count; i++) {
        const struct rule_condition *const child = &condition->children[i];
        if (child->kind != RULE_CONDITION_TEST || !test_can_hold(child)) { return false; }
        for (size_t j = 0; j < i; j++) {
            const struct rule_condition *const other = &condition->children[j];
            if (!pay(proof, 1) || !fields_are_independent(&child->field, &other->field)) {
                return false;
            }
        }
    }
    return true;
}

bool rule_condition_overlaps(struct rules_proof *proof, const struct rule_condition *left,
                             const struct rule_condition *right)
{
    if (!pay_for(proof, left, right)) { return false; }
    if (left->kind == RULE_CONDITION_ANY) {
        return any_child(proof, rule_condition_overlaps, left, right, true);
    }
    if (right->kind == RULE_CONDITION_ANY) {
        return any_child(proof, rule_condition_overlaps, right, left, false);
    }
    const bool compared = left->kind == RULE_CONDITION_TEST && right->kind == RULE_CONDITION_TEST &&
                          left->test == right->test && is_comparison(left) &&
                          is_same_field(&left->field, &right->field);
    if (compared) { return intervals_meet(interval_of(left), interval_of(right)); }
    return (can_hold(proof, left) && rule_condition_implies(proof, left, right)) ||
           (can_hold(proof, right) && rule_condition_implies(proof, right, left));
}

/* ------------------------------------------------------------------------------ always and never
 */

static bool test_is_always(const struct rule_condition *test)
{
    return test->field.kind == RULE_FIELD_VALUE && asks_presence(test);
}

/* Two children of which one is the case whenever the other is not. */
static bool children_complement(struct rules_proof *proof, const struct rule_condition *parent)
{
    for (size_t i = 0; i < parent->child_count; i++) {
        const struct rule_condition *const child = &parent->children[i];
        if (child->kind != RULE_CONDITION_NOT) { continue; }
        for (size_t j = 0; j < parent->child_count; j++) {
            if (j != i &&
                rule_condition_implies(proof, &child->children[0], &parent->children[j])) {
                return true;
            }
        }
    }
    return false;
}

static bool children_exclude(struct rules_proof *proof, const struct rule_condition *parent)
{
    for (size_t i = 1; i < parent->child_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (proof->steps_left == 0) { return false; }
            if (rule_condition_excludes(proof, &parent->children[j], &parent->children[i])) {
                return true;
            }
        }
    }
    return false;
}

bool rule_condition_is_always(struct rules_proof *proof, const struct rule_condition *condition)
{
    if (!pay(proof, 1)) { return false; }
    switch (condition->kind) {
    case RULE_CONDITION_TEST: return test_is_always(condition);
    case RULE_CONDITION_NOT: return rule_condition_is_never(proof, &condition->children[0]);
    case RULE_CONDITION_ALL:
        for (size_t i = 0; i < condition->child_count; i++) {
            if (!rule_condition_is_always(proof, &condition->children[i])) { return false; }
        }
        return true;
    case RULE_CONDITION_ANY: break;
    }
    for (size_t i = 0; i < condition->child_count; i++) {
        if (rule_condition_is_always(proof, &condition->children[i])) { return true; }
    }
    return children_complement(proof, condition);
}

bool rule_condition_is_never(struct rules_proof *proof, const struct rule_condition *condition)
{
    if (!pay(proof, 1)) { return false; }
    switch (condition->kind) {
    case RULE_CONDITION_TEST: {
        if (!is_comparison(condition)) { return false; }
        const struct interval passed = interval_of(condition);
        return passed.least > passed.most;
    }
    case RULE_CONDITION_NOT: return rule_condition_is_always(proof, &condition->children[0]);
    case RULE_CONDITION_ANY:
        for (size_t i = 0; i < condition->child_count; i++) {
            if (!rule_condition_is_never(proof, &condition->children[i])) { return false; }
        }
        return true;
    case RULE_CONDITION_ALL: break;
    }
    for (size_t i = 0; i < condition->child_count; i++) {
        if (rule_condition_is_never(proof, &condition->children[i])) { return true; }
    }
    return children_exclude(proof, condition);
}
