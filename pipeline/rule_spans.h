/* rule_spans.h - the bytes of a field that are to be overwritten, while it is still being scanned.
 *
 * Purpose  Takes Hyperscan's matches as they come, in any order, and overwrites their union when
 *          all have come: a match's bytes may be looked at again for the next one.
 * Bounds   RULE_SPANS_MAX runs of bytes with something between them. The first one that finds no
 *          room, and all behind its begin, are then overwritten to the field's end: too much rather
 *          than too little. Runs that come by rising end, as a single pattern's do, are joined as
 *          soon as they touch; in another order the same bytes may take room twice.
 * Threads  One owner; plain values, of 32 KiB: on a stack, but not twice. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum { RULE_SPANS_MAX = 4096 };

/* [begin, end). */
struct rule_span {
    uint32_t begin;
    uint32_t end;
};

struct rule_spans {
    uint32_t rest_begin; /* all from here on, too; UINT32_MAX: no such thing */
    uint32_t count;
    struct rule_span items[RULE_SPANS_MAX];
};

void rule_spans_init(struct rule_spans *spans);

/* begin <= end, both inside of the field; an empty one is none. */
void rule_spans_add(struct rule_spans *spans, struct rule_span span);

/* False: no byte is to be overwritten. */
static inline bool rule_spans_any(const struct rule_spans *spans) { return spans->count > 0; }

void rule_spans_overwrite(const struct rule_spans *spans, uint8_t *field, size_t len_bytes,
                          uint8_t with);

END_C_DECLS
