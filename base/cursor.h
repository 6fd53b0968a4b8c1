/* cursor.h - the bounds-checked reader: every parser of outside bytes walks with one.
 *
 * Overrun is sticky: a read past the end yields zero (or empty bytes), sets `overran`, and every
 * later read does the same. So a parser reads everything first and asks once. No state besides the
 * struct; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/endian.h"

BEGIN_C_DECLS

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool overran;
};

static inline struct cursor cursor_over(struct bytes bytes)
{
    const struct cursor out = {bytes.at, bytes.at + bytes.len_bytes, false};
    return out;
}

static inline size_t cursor_left_bytes(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* The next `len_bytes` bytes, or null bytes and `overran`. */
static inline struct bytes cursor_bytes(struct cursor *cursor, size_t len_bytes)
{
    if (UNLIKELY(cursor->overran || len_bytes > cursor_left_bytes(cursor))) {
        cursor->overran = true;
        cursor->at = cursor->end;
        return bytes_null();
    }
    const struct bytes out = bytes_of(cursor->at, len_bytes);
    cursor->at += len_bytes;
    return out;
}

static inline void cursor_skip(struct cursor *cursor, size_t len_bytes)
{
    (void)cursor_bytes(cursor, len_bytes);
}

/* What is left, without taking it. */
static inline struct bytes cursor_rest(const struct cursor *cursor)
{
    return bytes_of(cursor->at, cursor_left_bytes(cursor));
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
    const struct bytes in = cursor_bytes(cursor, 1);
    return in.len_bytes == 1 ? in.at[0] : 0;
}

static inline uint16_t cursor_be16(struct cursor *cursor)
{
    const struct bytes in = cursor_bytes(cursor, 2);
    return in.len_bytes == 2 ? load_be16(in.at) : 0;
}

static inline uint32_t cursor_be32(struct cursor *cursor)
{
    const struct bytes in = cursor_bytes(cursor, 4);
    return in.len_bytes == 4 ? load_be32(in.at) : 0;
}

static inline uint64_t cursor_be64(struct cursor *cursor)
{
    const struct bytes in = cursor_bytes(cursor, 8);
    return in.len_bytes == 8 ? load_be64(in.at) : 0;
}

static inline uint16_t cursor_le16(struct cursor *cursor)
{
    const struct bytes in = cursor_bytes(cursor, 2);
    return in.len_bytes == 2 ? load_le16(in.at) : 0;
}

static inline uint32_t cursor_le32(struct cursor *cursor)
{
    const struct bytes in = cursor_bytes(cursor, 4);
    return in.len_bytes == 4 ? load_le32(in.at) : 0;
}

static inline uint64_t cursor_le64(struct cursor *cursor)
{
    const struct bytes in = cursor_bytes(cursor, 8);
    return in.len_bytes == 8 ? load_le64(in.at) : 0;
}

/* Base-128, low group first, at most 64 bits in ten bytes (Kafka's unsigned varint; LEB128). A
 * longer or overflowing one counts as an overrun. */
static inline uint64_t cursor_uvarint64(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t group = cursor_u8(cursor);
        if (shift == 63 && group > 1) { break; }
        value |= (uint64_t)(group & 0x7f) << shift;
        if ((group & 0x80) == 0) { return value; }
    }
    cursor->overran = true;
    cursor->at = cursor->end;
    return 0;
}

/* The same, but more than 32 bits count as an overrun. */
static inline uint32_t cursor_uvarint32(struct cursor *cursor)
{
    const uint64_t value = cursor_uvarint64(cursor);
    if (value <= UINT32_MAX) { return (uint32_t)value; }
    cursor->overran = true;
    cursor->at = cursor->end;
    return 0;
}

/* Zigzag varint (Kafka's varint and varlong). */
static inline int64_t cursor_varint64(struct cursor *cursor)
{
    const uint64_t value = cursor_uvarint64(cursor);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

END_C_DECLS
