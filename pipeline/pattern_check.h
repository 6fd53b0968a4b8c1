/* pattern_check.h - whether Hyperscan will take a pattern, and whether it is one that was meant.
 *
 * Purpose  Says what is wrong with one pattern at its place, before all are compiled together.
 * Owns     Nothing. Threads: cold; any but a polling core. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"
#include "base/diagnostics.h"

BEGIN_C_DECLS

enum pattern_verdict {
    PATTERN_REFUSED,       /* said */
    PATTERN_NEEDS_BYTES,   /* it matches one byte or more */
    PATTERN_MATCHES_EMPTY, /* it can match nothing at all: '^$', 'x*' */
};

/* Of a condition. Cheap: nothing is compiled, so "too large" comes later. */
enum pattern_verdict pattern_check(const char *pattern, struct file_place place,
                                   struct diagnostics *diagnostics);

/* Of a redaction: Hyperscan must be able to say where its matches begin. Compiles it. */
enum pattern_verdict pattern_check_redaction(const char *pattern, struct file_place place,
                                             struct diagnostics *diagnostics);

/* Whether a pattern that was checked can match nothing at all. */
bool pattern_matches_empty(const char *pattern);

/* Whether a pattern that was checked finds something in every record: asked of one that can match
 * nothing at all. Compiles it, so it answers false of patterns that would take long. */
bool pattern_matches_everything(const char *pattern);

END_C_DECLS
