/* diagnostics.h - everything that is wrong with a file, each with its place.
 *
 * Purpose  Configuration and rules are checked to the end: all errors at once, as
 *          `file:line:col: error: what is wrong; what would be right`.
 * Owns     Its texts and copies of the file names. Threads: one at a time; cold code only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum diagnostic_severity {
    DIAGNOSTIC_ERROR,
    DIAGNOSTIC_WARNING, /* works, but probably not as meant */
};

/* Where in a file; lines and columns count from 1; line 0: the file as a whole. */
struct file_place {
    const char *file; /* borrowed; a diagnostic's own place points to the diagnostics' copy */
    uint32_t line;
    uint32_t column;
};

struct diagnostic {
    enum diagnostic_severity severity;
    struct file_place place;
    char *text;
};

struct diagnostics; /* opaque */

/* Aborts the process when memory is out (cold start-up code). */
struct diagnostics *diagnostics_create(void);
void diagnostics_destroy(struct diagnostics *diagnostics);

/* Control characters in the finished text become '?': a file's contents cannot break the line. */
void diagnostics_error(struct diagnostics *diagnostics, struct file_place place, const char *format,
                       ...) PRINTF_LIKE(3, 4);
void diagnostics_warning(struct diagnostics *diagnostics, struct file_place place,
                         const char *format, ...) PRINTF_LIKE(3, 4);

size_t diagnostics_error_count(const struct diagnostics *diagnostics);
size_t diagnostics_count(const struct diagnostics *diagnostics);
/* In the order of their places: by file (as first spoken of), line and column. */
const struct diagnostic *diagnostics_at(const struct diagnostics *diagnostics, size_t index);

/* One line each, in that order; the first 1000, and how many more there are. */
void diagnostics_print(const struct diagnostics *diagnostics, FILE *out);

END_C_DECLS
