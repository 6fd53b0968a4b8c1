/* rules_source.h - checked rules as plain structs: what a file says, before Hyperscan has seen it.
 *
 * Purpose  The seam between the file's language (rules_load.c, which knows YAML) and the engine
 *          (rules_compile.c, which knows Hyperscan). Whatever stands here was checked: topics
 *          exist, networks and numbers are well-formed, trees are bounded.
 * Owns     Nothing: it points into the text that was read, and into the reader's memory.
 * Threads  Cold; plain values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

enum {
    RULES_CONDITION_DEPTH_MAX = 32, /* of all, any and not inside each other, in the file */
    RULES_TREE_DEPTH_MAX = 35,      /* nodes above each other in a struct rule_condition: a test of
                                       a list and beside others stands in an any and an all */
    RULES_CONDITIONS_MAX = 100000,  /* leaves of all rules together */
    RULES_ADDED_HEADERS_MAX = 4,    /* of one rule */
    RULES_JSON_PATH_BYTES_MAX = 256,
    RULES_JSON_DEPTH_MAX = 16,         /* steps of one path */
    RULES_JSON_PATHS_MAX = 64,         /* of one rule set */
    RULES_LIMIT_BUCKETS_MIN = 4,       /* of one limit: they are powers of two */
    RULES_LIMIT_BUCKETS_MAX = 1 << 20, /* of one limit, and of all together */
    RULES_NAME_BYTES_MAX = 128,        /* of a rule's */
    RULES_EXAMPLES_MIN = 1,            /* of a rule and worker, where examples are kept */
    RULES_EXAMPLES_MAX = 16,
    RULES_EXAMPLE_BYTES_MIN = 16,
    RULES_EXAMPLE_BYTES_MAX = 1024,
};

/* Where a test looks. A field that a record does not have fails every test but `present: false`. */
enum rule_field_kind {
    RULE_FIELD_VALUE, /* a tombstone's is empty */
    RULE_FIELD_KEY,
    RULE_FIELD_HEADER,   /* the first of that name; the syslog fields are headers */
    RULE_FIELD_LISTENER, /* "syslog:514": protocol and port, as text */
    RULE_FIELD_SOURCE,   /* the sender's address: only for RULE_TEST_NETWORK */
    RULE_FIELD_JSON,     /* a member of the value, where that is a JSON document */
};

struct rule_field {
    enum rule_field_kind kind;
    struct bytes name; /* of the header; of JSON the path, ".level" or ".http.status[0]" */
};

enum rule_test {
    RULE_TEST_MATCH,   /* a pattern */
    RULE_TEST_EQUALS,  /* all bytes */
    RULE_TEST_PRESENT, /* the field is there (`absent` is a NOT around it) */
    RULE_TEST_NUMBER,  /* the field is a decimal number, and compares */
    RULE_TEST_SIZE,    /* the field's length in bytes compares */
    RULE_TEST_NETWORK, /* the address lies in it; only on RULE_FIELD_SOURCE */
};

enum rule_comparison { RULE_BELOW, RULE_AT_MOST, RULE_AT_LEAST, RULE_ABOVE };

/* IPv4 addresses are mapped (::ffff:a.b.c.d), so a /8 of IPv4 has 104 bits. */
struct rule_network {
    uint8_t address[16];
    uint8_t prefix_bits; /* 0..128 */
};

enum rule_condition_kind {
    RULE_CONDITION_TEST,
    RULE_CONDITION_ALL,
    RULE_CONDITION_ANY,
    RULE_CONDITION_NOT
};

struct rule_condition {
    enum rule_condition_kind kind;
    struct file_place place; /* of a test's pattern, number, ...: where errors are said to be */
    /* a test */
    struct rule_field field;
    enum rule_test test;
    const char *pattern;  /* RULE_TEST_MATCH, as written */
    struct bytes literal; /* RULE_TEST_EQUALS; of a RULE_TEST_MATCH the text that its pattern is
                             (pattern_read_text), null where it is more than a text */
    bool at_begin;        /* of such a pattern: '^' or '$' ties the text to the field's end */
    bool at_end;
    bool finds_empty; /* a pattern that can match nothing at all, but is not in every record */
    enum rule_comparison comparison;
    double number; /* RULE_TEST_NUMBER; bytes for RULE_TEST_SIZE */
    struct rule_network network;
    /* all, any: one or more; not: exactly one */
    const struct rule_condition *children;
    size_t child_count;
};

enum rule_hash {
    RULE_HASH_RECORD,
    RULE_HASH_KEY
}; /* of the value; of the key, else of the value */

enum rule_limit_unit { RULE_LIMIT_NONE, RULE_LIMIT_RECORDS, RULE_LIMIT_BYTES };

/* What a rule whose condition holds does, in this order. */
struct rule_action {
    struct file_place place;
    uint32_t keep_one_in; /* 0: all. Others are VERDICT_SAMPLED_OUT */
    enum rule_hash keep_by;
    enum rule_limit_unit limit_unit; /* what exceeds it is VERDICT_LIMITED */
    uint64_t limit_rate;             /* of the node, a second; worker i of n gets its n-th part */
    uint64_t limit_burst;            /* of the node */
    bool limit_by_field;             /* a bucket for each content of limit_field */
    struct rule_field limit_field;
    uint32_t limit_buckets;
    const char *redact_pattern; /* NULL: none. Every byte of every match becomes redact_with */
    struct file_place redact_place;
    struct rule_field redact_field; /* value, key or header */
    uint8_t redact_with;
    bool sets_key; /* the field's content becomes the key; a field that is not there changes none */
    struct rule_field key_field;
    size_t header_count; /* appended; a record with RECORD_HEADERS_MAX of them gets none */
    struct record_header headers[RULES_ADDED_HEADERS_MAX];
    bool drop;           /* VERDICT_DROP */
    uint8_t topic_count; /* 0 and no drop: what comes behind decides, or the fallback */
    uint16_t topics[RULES_ROUTE_TOPICS_MAX];
};

struct rule_source {
    const char *name;
    struct file_place place;
    struct rule_condition when;
    struct rule_action action;
    bool goes_on; /* `continue: true`: later rules are asked too, topics of all add up */
    bool shadow;  /* `mode: shadow`: counts what it would have done, and does nothing */
};

/* Where no rule decided: by listener. */
struct rule_fallback {
    bool drop;
    uint8_t topic_count;
    uint16_t topics[RULES_ROUTE_TOPICS_MAX];
};

struct rules_limits {
    uint64_t database_bytes_max; /* of all databases together */
    uint32_t compile_seconds_max;
    uint32_t matches_max; /* of one record: more, and it is a storm: the fallback decides */
};

struct rules_source {
    struct file_place file; /* as a whole */
    const struct rule_source *rules;
    size_t rule_count;
    const struct rule_fallback *fallbacks; /* by listener */
    const char *const *listener_names;     /* "syslog:514" */
    size_t listener_count;
    const char *const *topic_names; /* what the indexes above mean */
    size_t topic_count;
    struct rules_limits limits;
    uint32_t example_count; /* of each rule, kept by each worker; 0: none */
    uint32_t example_bytes; /* of each, cut off behind */
    uint64_t epoch;
    const char *cache_path; /* directory of compiled databases; NULL: none is kept */
};

END_C_DECLS
