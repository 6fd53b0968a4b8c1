/* utf8.h - where bytes are text: RFC 3629, section 4.
 *
 * Any thread; no state. Overlong forms, surrogates and what lies above U+10FFFF are no text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

static inline bool utf8_is_continuation(struct bytes text, size_t index)
{
    return index < text.len_bytes && (text.at[index] & 0xc0) == 0x80;
}

/* The bytes of the character at `index`, which lies inside; 0: it is none. */
static inline size_t utf8_character_bytes(struct bytes text, size_t index)
{
    const uint8_t lead = text.at[index];
    if (lead < 0x80) { return 1; }
    if (lead < 0xc2 || lead > 0xf4) { return 0; } /* 0xc0, 0xc1: longer than they have to be */

    const size_t len_bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < len_bytes; i++) {
        if (!utf8_is_continuation(text, index + i)) { return 0; }
    }
    const uint8_t second = text.at[index + 1];
    if (lead == 0xe0 && second < 0xa0) { return 0; }  /* longer than it has to be */
    if (lead == 0xed && second >= 0xa0) { return 0; } /* surrogates */
    if (lead == 0xf0 && second < 0x90) { return 0; }  /* longer than it has to be */
    if (lead == 0xf4 && second >= 0x90) { return 0; } /* above U+10FFFF */
    return len_bytes;
}

static inline bool utf8_is_text(struct bytes text)
{
    for (size_t i = 0; i < text.len_bytes;) {
        const size_t len_bytes = utf8_character_bytes(text, i);
        if (len_bytes == 0) { return false; }
        i += len_bytes;
    }
    return true;
}

END_C_DECLS
