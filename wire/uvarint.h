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

struct uvarint {
    uint64_t value;
    size_t len_bytes; /* 0: there is none */
};

/* uvarint_take's way for the long ones. By value, so that callers keep `in` in registers. */
struct uvarint uvarint_load_long(struct bytes in);

/* Takes one from the front of `in`. False, and nothing taken: `in` ends too early, or it is longer
 * than it has to be, or over 64 bits. One and two bytes, the lengths below 16 KiB, are inline. */
MUST_CHECK static inline bool uvarint_take(struct bytes *in, uint64_t *out)
{
    if (LIKELY(in->len_bytes > 0 && in->at[0] < 0x80)) {
        *out = in->at[0];
        *in = bytes_of(in->at + 1, in->len_bytes - 1);
        return true;
    }
    if (LIKELY(in->len_bytes > 1 && in->at[1] < 0x80 && in->at[1] > 0)) {
        *out = (uint64_t)(in->at[0] & 0x7f) | (uint64_t)in->at[1] << 7;
        *in = bytes_of(in->at + 2, in->len_bytes - 2);
        return true;
    }
    const struct uvarint loaded = uvarint_load_long(*in);
    if (loaded.len_bytes == 0) { return false; }
    *out = loaded.value;
    *in = bytes_slice(*in, loaded.len_bytes, in->len_bytes);
    return true;
}

END_C_DECLS
