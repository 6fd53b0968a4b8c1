/* time_text.h - a point in time as people give it on a command line.
 *
 * Takes    ms since 1970 ("1767225600000"), RFC 3339 ("2026-01-01T00:00:00Z",
 *          "2026-01-01 01:00:00.5+01:00"; the date alone is its midnight in UTC), "now", or a
 *          duration before now ("-10m").
 * Threads  Any; no state. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

MUST_CHECK bool time_text_parse(const char *text, int64_t now_ms, int64_t *out_ms);

END_C_DECLS
