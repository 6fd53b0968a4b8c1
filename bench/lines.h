/* lines.h - made log lines that look like real ones, seeded: the records of the benchmarks.
 *
 * The same kinds, shares and fields as tools/make_log.py (web requests, payments, ssh, kernel), in
 * C because a data set is hundreds of thousands of lines. hs_scan's speed depends on near-matches,
 * so no line repeats another. Owns nothing. Threads: any, one maker each. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { LINES_TEXT_BYTES = 320 }; /* more than any line has */

struct line_maker {
    uint64_t state; /* of the generator; never 0 */
    uint64_t second;
    uint64_t number;
};

void line_maker_init(struct line_maker *maker, uint64_t seed);

/* The next line, without '\n'; answers its length. `out` has LINES_TEXT_BYTES. */
size_t line_make(struct line_maker *maker, char *out);

/* The next one as an RFC 5424 datagram, with structured data in every third. */
size_t line_make_syslog(struct line_maker *maker, char *out);

/* Exactly `len_bytes` of text without '\n': a line and, to fill it up, what follows. */
void line_make_filled(struct line_maker *maker, char *out, size_t len_bytes);

/* A number below `bound`. */
uint32_t line_maker_draw(struct line_maker *maker, uint32_t bound);

END_C_DECLS
