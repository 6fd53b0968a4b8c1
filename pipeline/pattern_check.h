/* pattern_check.h - whether Hyperscan will take a pattern, and whether it is one that was meant.
 *
 * Purpose  Says what is wrong with patterns, each at its place, before all are compiled together.
 * Bounds   Hyperscan may think for hours about a pattern of two lines, and cannot be told to stop:
 *          it is asked in a child process (rule_jail.h). A pattern alone has
 *          PATTERN_SECONDS_MAX, all together what the caller says.
 * Owns     Nothing. Threads: cold; any but a polling core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"

BEGIN_C_DECLS

enum { PATTERN_SECONDS_MAX = 5 };

struct pattern_question {
    const char *pattern; /* not empty */
    struct file_place place;
    bool redacts;      /* Hyperscan must be able to say where its matches begin */
    bool *finds_empty; /* NULL, or set for one that can match nothing at all, as '^x*$' does, and
                          yet does not find something in every record, as 'x*' does */
};

/* Errors for what is refused, warnings for what matches everything and is not '.*'. `file`: where
 * no pattern is to blame. */
void pattern_check(const struct pattern_question *questions, size_t count, uint32_t seconds_max,
                   struct file_place file, struct diagnostics *diagnostics);

END_C_DECLS
