#include "wire/uvarint.h"

enum { UVARINT_BYTES_MAX = 10 };

struct uvarint uvarint_load_long(struct bytes in)
{
    const struct uvarint none = {0, 0};
    const size_t end = in.len_bytes < UVARINT_BYTES_MAX ? in.len_bytes : UVARINT_BYTES_MAX;
    uint64_t value = 0;
    for (size_t i = 0; i < end; i++) {
        const uint8_t group = in.at[i];
        value |= (uint64_t)(group & 0x7f) << (7 * i);
        if (group >= 0x80) { continue; }

        if (group == 0 && i > 0) { return none; } /* the byte before could have been the last */
        if (i == UVARINT_BYTES_MAX - 1 && group > 1) { return none; } /* 9 groups are 63 bits */
        return (struct uvarint){value, i + 1};
    }
    return none;
}
