/* rules_import.h - other tools' patterns as a rules file.
 *
 * Purpose  Collects rules and what was not taken over, and writes a file that `penstock rules
 *          check` accepts: every rule is read back by the loader of the data path, and what that
 *          refuses is not taken over either. Nothing is left out without a word.
 * Owns     Copies of all texts, until rules_import_deinit. Threads: one; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/diagnostics.h"
#include "tools/grep_pattern.h"

BEGIN_C_DECLS

struct imported_pattern {
    char *text;
    bool negated;
};

struct imported_rule {
    size_t line;    /* of the file that it is from, from 1 */
    char *name;     /* unique */
    char *from;     /* the line, made readable */
    char *left_out; /* a condition that a record cannot be asked for; NULL: none */
    struct imported_pattern *patterns;
    size_t pattern_count;
    char *reason; /* why it was not taken over; NULL: it was */
};

struct rules_import {
    const char *topic;         /* what its rules do: route there; NULL: drop */
    bool shadow;               /* ... or only count */
    const char *default_topic; /* NULL: drop, where there is a default */
    bool has_default;
    struct imported_rule *rules; /* in the order of the lines */
    size_t count;
    size_t refused;
};

/* A line of the input, which is counted whether or not it becomes a rule. */
void rules_import_grep(struct rules_import *import, size_t line_number, struct bytes line,
                       enum grep_syntax syntax, bool ignore_case);
void rules_import_suricata(struct rules_import *import, size_t line_number, struct bytes line);

/* Asks the loader, and takes out what it refuses, until it accepts the rest. False: it refuses the
 * whole for a reason that no rule is to blame for (`diagnostics` says which). */
MUST_CHECK bool rules_import_check(struct rules_import *import, struct diagnostics *diagnostics);

/* The file. `source` names what it was made from. */
void rules_import_write(const struct rules_import *import, const char *source, FILE *out);

/* A line a rule that was not taken over: "NAME:LINE: not taken over: why". */
void rules_import_report(const struct rules_import *import, const char *source, FILE *out);

void rules_import_deinit(struct rules_import *import);

END_C_DECLS
