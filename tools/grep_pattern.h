/* grep_pattern.h - a pattern of grep's as one of a rules file.
 *
 * Purpose  grep finds lines; a rule finds records. What POSIX and GNU grep mean by a pattern is
 *          said in our syntax, or refused with a reason: nothing is passed on that our engine would
 *          take for something else.
 * Threads  Any; no state, no I/O.
 * Source   POSIX, "Regular Expressions"; the manual of GNU grep. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum grep_syntax {
    GREP_BASIC,    /* grep */
    GREP_EXTENDED, /* grep -E */
    GREP_FIXED,    /* grep -F */
};

/* `line` without its newline. The pattern, to be freed; NULL: refused, and *out_reason says why. An
 * empty line is the pattern of every record. */
MUST_CHECK char *grep_pattern(struct bytes line, enum grep_syntax syntax, bool ignore_case,
                              const char **out_reason);

END_C_DECLS
