/* trial_expect.h - what a test expects to become of each record, held against what did.
 *
 * Input    NDJSON: the members of trial_report.h's object, any of them, a line a record; lines of
 *          white space alone are none. A member that is no such is an error: a misspelt expectation
 *          must not pass.
 * Threads  One. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"
#include "tools/record_input.h"

BEGIN_C_DECLS

struct trial_expect; /* opaque */

/* NULL: `error` says why. */
struct trial_expect *trial_expect_open(const char *path, char *error, size_t error_bytes);
void trial_expect_close(struct trial_expect *expect); /* NULL is fine */

/* INPUT_RECORD and a new reference, INPUT_END, or what is wrong with the line. */
enum input_result trial_expect_next(struct trial_expect *expect, json_t **out);
const char *trial_expect_where(struct trial_expect *expect);
const char *trial_expect_error(const struct trial_expect *expect);

/* NULL, or what is wrong with an expectation. Lives until the next call. */
const char *trial_expect_fault(struct trial_expect *expect, const json_t *expected);

/* Prints "WHERE: MEMBER: expected ..., found ..." for each difference; answers how many. */
size_t trial_expect_compare(const json_t *expected, const json_t *found, const char *where,
                            FILE *out);

END_C_DECLS
