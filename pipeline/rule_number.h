/* rule_number.h - a field's text as a decimal number, for `below`, `above` and their kin.
 *
 * Purpose  One reading of numbers, in rules files and in records: the nearest double. Never a
 *          locale's, and never hexadecimal, "inf" or "nan".
 * Threads  Any; plain values. No allocation. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum { RULE_NUMBER_BYTES_MAX = 64 };

/* The whole text must be [+-]digits[.digits][e[+-]digits], 'E' too, of up to RULE_NUMBER_BYTES_MAX
 * bytes; "007" is 7. What is too large for a double is infinite, and compares like that. False:
 * not a number, and *out stays. */
bool rule_number_parse(struct bytes text, double *out);

END_C_DECLS
