/* rule_set.h - a compiled rule set's layout: what rule_plan.c and rules_compile.c fill, and rules.c
 * and rule_actions.c read.
 *
 * Purpose  Private to these. A *look* is a part of the record that some rule looks at. An *atom* is
 *          a claim about one look whose truth is found by searching, not by asking: a pattern
 *          (Hyperscan), a text that the look equals, a network (hash tables). The same claim in ten
 *          rules is one atom. A rule is a *candidate* when an atom holds that triggers it, and is
 *          asked then; rules that could hold with no atom at all are candidates always.
 * Owns     Everything it points to; rule_set_destroy frees it, also half-filled. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "pipeline/json_paths.h"
#include "pipeline/rule_redact.h"
#include "pipeline/rule_table.h"
#include "pipeline/rules.h"
#include "pipeline/rules_source.h"

BEGIN_C_DECLS

struct hs_database; /* hs.h: hs_database_t */

enum {
    RULE_WORD_BITS = 64,
    RULE_NETWORK_BYTES = 17, /* prefix length, then the address under it */

    /* looks that every set has, at these indexes */
    RULE_LOOK_VALUE = 0,
    RULE_LOOK_KEY,
    RULE_LOOK_SOURCE,
    RULE_LOOK_FIXED_COUNT,
};

static inline size_t rule_words(size_t bit_count)
{
    return (bit_count + RULE_WORD_BITS - 1) / RULE_WORD_BITS;
}

struct rule_look {
    struct rule_field field;      /* its name is the set's own */
    struct hs_database *database; /* NULL: no pattern. Its expression ids are atoms */
    struct rule_table texts;      /* of `equals` */
    uint32_t *text_atoms;         /* by number in `texts` */
};

/* A leaf of a condition's tree. Trees become steps that say where to go on: evaluation takes a path
 * of leaves, without a stack. */
enum rule_step_kind {
    RULE_STEP_ATOM,     /* operand: the atom */
    RULE_STEP_LISTENER, /* operand: the question that was answered for each listener beforehand */
    RULE_STEP_PRESENT,  /* operand of this and the rest: the look */
    RULE_STEP_NUMBER,
    RULE_STEP_SIZE,
};

enum {
    RULE_STEPS_MAX = 1 << 30,
    RULE_STEP_HOLDS = RULE_STEPS_MAX, /* where paths end */
    RULE_STEP_FAILS,
};

struct rule_step {
    double number;
    uint32_t operand;
    uint32_t when_true; /* a step, or an end */
    uint32_t when_false;
    uint8_t kind;       /* enum rule_step_kind */
    uint8_t comparison; /* enum rule_comparison */
};

/* What an action does beside deciding; most rules have none. */
struct rule_deed {
    uint32_t keep_one_in; /* 0: all */
    enum rule_hash keep_by;
    enum rule_limit_unit limit_unit;
    bool limit_by_field;
    bool sets_key;
    uint8_t redact_with;
    uint32_t limit_look;
    uint32_t redact_look;
    uint32_t key_look;
    uint64_t limit_rate;
    uint64_t limit_burst;
    uint32_t limit_buckets;
    struct rule_redactor *redactor; /* NULL: none */
    struct record_header *headers;  /* names and values are the set's own */
    size_t header_count;
};

/* A rule, as the hot path needs it. */
struct rule_line {
    uint32_t first_step;
    bool is_triggered; /* by atoms; else it is a candidate always */
    bool is_sure;      /* its triggers are its condition: no need to ask */
    bool is_shadow;
    bool goes_on;
    bool drops;
    bool changes; /* redacts, sets the key or adds headers */
    uint8_t topic_count;
    uint16_t topics[RULES_ROUTE_TOPICS_MAX];
    const struct rule_deed *deed; /* NULL: none */
};

/* `triggers` by atom: what it makes a candidate. Most are one rule, and that is all that the number
 * is; the rest has one of these bits. */
enum {
    RULE_TRIGGER_LIST = 1 << 30, /* a place in trigger_lists: a count and as many rules */
    RULE_TRIGGER_READ = 1 << 29, /* steps ask for the atom: its bit must be set */
    RULE_TRIGGER_PLAIN_END = RULE_TRIGGER_READ,
    RULE_TRIGGER_NUMBER = RULE_TRIGGER_READ - 1, /* mask */
    RULE_TRIGGER_NONE = RULE_TRIGGER_NUMBER,     /* as the number: no rule */
};

struct rule_set {
    uint32_t sharers; /* owners beside the first; by __atomic operations, as C++ reads this too */
    struct rule_look *looks;
    size_t look_count;
    uint32_t listener_look; /* look_count: no rule asks */
    struct rule_table header_names;
    uint32_t *header_looks; /* by number in header_names */
    struct rule_table json_names;
    uint32_t *json_looks;          /* by number in json_names */
    struct json_paths *json_paths; /* NULL: no rule asks */
    bool json_is_searched;         /* some JSON look has atoms: every record's is read */

    struct rule_table networks; /* prefix length and address */
    uint32_t *network_atoms;    /* by number in `networks` */
    uint8_t *prefixes;          /* the lengths that occur */
    size_t prefix_count;

    size_t atom_count;
    uint32_t *triggers; /* by atom */
    uint32_t *trigger_lists;
    struct rule_step *steps;
    size_t step_count;
    uint64_t *always;       /* by listener: a bit a rule that is a candidate always */
    uint64_t *always_words; /* by listener: a bit a word of `always` that is not 0 */
    uint8_t *answers;       /* by question about the listener, and listener */
    size_t question_count;

    struct rule_line *lines; /* by rule */
    struct rule_deed *deeds;
    size_t deed_count;
    char **names; /* by rule */
    size_t rule_count;
    bool adds_headers;
    bool sets_keys;
    bool redacts;
    struct rule_fallback *fallbacks; /* by listener: what holds when no rule decides */
    char **listener_names;
    size_t listener_count;
    uint32_t matches_max; /* 0: any number */
    uint32_t example_count;
    uint32_t example_bytes;
    uint64_t epoch;
};

static inline bool rule_compares(enum rule_comparison comparison, double left, double right)
{
    switch (comparison) {
    case RULE_BELOW: return left < right;
    case RULE_AT_MOST: return left <= right;
    case RULE_AT_LEAST: return left >= right;
    case RULE_ABOVE: return left > right;
    }
    return false;
}

/* Zeroes what lies behind the first `prefix_bits` of an address. */
static inline void rule_network_mask(uint8_t address[16], unsigned prefix_bits)
{
    for (unsigned i = 0; i < 16; i++) {
        const unsigned kept = prefix_bits >= 8 * (i + 1) ? 8
                              : prefix_bits <= 8 * i     ? 0
                                                         : prefix_bits - 8 * i;
        address[i] &= (uint8_t)(0xff00U >> kept);
    }
}

/* The key of a network in rule_set.networks. */
static inline void rule_network_key(uint8_t out[RULE_NETWORK_BYTES], const uint8_t address[16],
                                    uint8_t prefix_bits)
{
    out[0] = prefix_bits;
    memcpy(out + 1, address, 16);
    rule_network_mask(out + 1, prefix_bits);
}

END_C_DECLS
