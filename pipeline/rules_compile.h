/* rules_compile.h - from checked rules to databases that Hyperscan can run.
 *
 * Purpose  The cold half that knows Hyperscan. rules_load.c, which knows YAML, gives it plain
 * structs. Owns     The set that it returns is the caller's; it keeps nothing of the source.
 * Threads  Cold; any but a polling core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"
#include "pipeline/decode.h"
#include "pipeline/rules.h"

BEGIN_C_DECLS

/* Where a condition looks. A field that a record does not have matches nothing. */
enum rule_field {
    RULE_FIELD_VALUE,
    RULE_FIELD_KEY,
    RULE_FIELD_SYSLOG, /* + enum syslog_field: that record header */
    RULE_FIELD_COUNT = RULE_FIELD_SYSLOG + SYSLOG_FIELD_COUNT,
};

/* "value", "key", "syslog.hostname": as in a rules file. */
const char *rule_field_name(int field);

struct rule_source {
    const char *name; /* borrowed */
    int field;        /* enum rule_field */
    const char *pattern;
    struct file_place pattern_place;
    struct verdict verdict; /* of a match */
};

struct rules_source {
    const struct rule_source *rules;
    size_t rule_count;
    const struct verdict *fallbacks; /* by listener */
    size_t listener_count;
    uint64_t epoch;
};

/* Says what is wrong with one pattern, if anything, and warns of one that matches every record and
 * is not '.*'. Cheap: compiles only what could match the empty record. */
void rules_check_pattern(const char *pattern, struct file_place place,
                         struct diagnostics *diagnostics);

/* All patterns were checked without an error. NULL when Hyperscan refuses nevertheless ("too
 * large"), or when memory is out: `diagnostics` says so, `file` where no pattern is to blame. */
MUST_CHECK struct rule_set *rules_compile(const struct rules_source *source, struct file_place file,
                                          struct diagnostics *diagnostics);

END_C_DECLS
