/* units.h - numbers, sizes and durations as people write them in a configuration.
 *
 * Integer   digits.
 * Size      digits, then nothing or B, KiB, MiB, GiB, TiB (1024) or kB, MB, GB, TB (1000).
 * Duration  digits, then ns, us, ms, s, m, h, d. A bare number is refused: it has no unit.
 * No sign, fraction, space or other spelling; overflow is refused. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

/* Decimal digits alone: no sign, no 0x, no _ and none of YAML 1.1's other spellings. */
MUST_CHECK bool units_parse_integer(const char *text, uint64_t *out);
MUST_CHECK bool units_parse_size(const char *text, uint64_t *out_bytes);
MUST_CHECK bool units_parse_duration(const char *text, uint64_t *out_ns);

/* The shortest exact spelling that parses back to the value ("1GiB", "1500ms"); returns `out`. */
const char *units_format_size(uint64_t bytes, char *out, size_t capacity);
const char *units_format_duration(uint64_t ns, char *out, size_t capacity);

enum { UNITS_TEXT_BYTES = 32 }; /* enough for either format */

END_C_DECLS
