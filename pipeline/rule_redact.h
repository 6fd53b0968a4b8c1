/* rule_redact.h - overwrites what a pattern finds: `redact: { field: value, match: P, with: '*' }`.
 *
 * Purpose  For every match that Hyperscan reports, from its leftmost start to its end, each byte
 *          becomes one byte. Ends are not only the longest: 'a+' on "xaay" is [1,2) and [1,3),
 *          and what is overwritten is the union of all.
 * Bounds   RULE_REDACT_SPANS_MAX runs of bytes with something between them. When a field has more,
 *          all of it is overwritten from where the first run begins that found no room: too much
 *          rather than too little.
 * Owns     The compiled pattern. Hyperscan's hs.h stays in rule_redact.c.
 * Threads  Immutable once created; a scratch is one a thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum { RULE_REDACT_SPANS_MAX = 4096 };

struct hs_scratch;    /* hs.h: hs_scratch_t */
struct rule_redactor; /* opaque */

/* Cold. A pattern as written: '$' is the very end (pattern.h), '.' any byte. One that also matches
 * nothing ('a*'), and one whose starts Hyperscan cannot keep track of, are refused.
 *
 * why      for STATUS_INVALID: the reason, as a text that is cut off at why_bytes; else untouched
 * Returns  STATUS_OK, STATUS_INVALID or STATUS_NO_MEMORY */
MUST_CHECK enum status rule_redactor_create(const char *pattern, char *why, size_t why_bytes,
                                            struct rule_redactor **out);

/* NULL is fine. */
void rule_redactor_destroy(struct rule_redactor *redactor);

/* Cold. Makes *inout (NULL at first) fit for this redactor too, beside all that it was fit for.
 * It goes to hs_free_scratch. */
MUST_CHECK enum status rule_redactor_scratch(const struct rule_redactor *redactor,
                                             struct hs_scratch **inout);

/* Hot. `field` is writable by contract, less than 4 GiB, and null is fine. True: something was
 * overwritten (maybe by the byte that it was). */
bool rule_redactor_run(const struct rule_redactor *redactor, struct hs_scratch *scratch,
                       struct bytes field, uint8_t with);

END_C_DECLS
