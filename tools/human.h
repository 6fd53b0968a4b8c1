/* human.h - quantities as a person reads them at a glance: three digits and a unit.
 *
 * Rounded, so for tables only; JSON has the exact numbers. Each returns `out`. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { HUMAN_TEXT_BYTES = 32 };

/* "999 B", "1.50 KiB", "23.4 GiB" */
const char *human_bytes(uint64_t bytes, char out[HUMAN_TEXT_BYTES]);

/* "12 ns", "1.50 ms", "23.4 s", then "5m 07s", "3h 12m", "9d 4h" */
const char *human_duration(uint64_t ns, char out[HUMAN_TEXT_BYTES]);

/* "999", "1.50 k", "23.4 M" */
const char *human_count(uint64_t count, char out[HUMAN_TEXT_BYTES]);

END_C_DECLS
