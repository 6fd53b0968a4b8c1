/* uvarint.h - the native protocol's integers of variable length: base 128, low group first.
 *
 * As cursor_uvarint64, but the shortest form is the only one: what is decoded and encoded again is
 * the same bytes (docs/protocol.md, section 2). Any thread; no state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

/* uvarint_take's way for two bytes and more. */
MUST_CHECK bool uvarint_take_long(struct bytes *in, uint64_t *out);

/* Takes one from the front of `in`. False, and nothing taken: `in` ends too early, or it is longer
 * than it has to be, or over 64 bits. One byte is the common case, so it alone is inline. */
MUST_CHECK static inline bool uvarint_take(struct bytes *in, uint64_t *out)
{
    if (UNLIKELY(in->len_bytes == 0 || in->at[0] >= 0x80)) { return uvarint_take_long(in, out); }
    *out = in->at[0];
    in->at++;
    in->len_bytes--;
    return true;
}

END_C_DECLS
