/* rule_flags.h - how every pattern that is searched is compiled. Private to rule*.c.
 *
 * '.' matches any byte, newlines too; one match of a pattern is enough; a pattern may match the
 * empty record. No UTF-8 mode: Hyperscan's behaviour on invalid UTF-8 is undefined, and records are
 * any bytes. */
#pragma once

#include <hs.h>

enum { RULE_PATTERN_FLAGS = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY };
