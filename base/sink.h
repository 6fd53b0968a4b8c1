/* sink.h - the bounds-checked writer: every encoder writes through one.
 *
 * The mirror of cursor.h. Overflow is sticky: what does not fit is not written, `overflowed` says
 * so, and the encoder asks once at the end. The memory is the caller's. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/endian.h"

BEGIN_C_DECLS

struct sink {
    uint8_t *begin;
    uint8_t *at;
    uint8_t *end;
    bool overflowed;
};

static inline struct sink sink_into(void *begin, size_t capacity_bytes)
{
    uint8_t *const at = (uint8_t *)begin;
    const struct sink out = {at, at, at + capacity_bytes, false};
    return out;
}

static inline size_t sink_used_bytes(const struct sink *sink)
{
    return (size_t)(sink->at - sink->begin);
}

static inline size_t sink_room_bytes(const struct sink *sink)
{
    return (size_t)(sink->end - sink->at);
}

static inline struct bytes sink_written(const struct sink *sink)
{
    return bytes_of(sink->begin, sink_used_bytes(sink));
}

/* Room for `len_bytes`, to be filled by the caller (or patched later), or NULL and `overflowed`. */
static inline uint8_t *sink_take(struct sink *sink, size_t len_bytes)
{
    if (UNLIKELY(sink->overflowed || len_bytes > sink_room_bytes(sink))) {
        sink->overflowed = true;
        return NULL;
    }
    uint8_t *const at = sink->at;
    sink->at += len_bytes;
    return at;
}

static inline void sink_bytes(struct sink *sink, struct bytes bytes)
{
    uint8_t *const at = sink_take(sink, bytes.len_bytes);
    if (at != NULL && bytes.len_bytes > 0) { memcpy(at, bytes.at, bytes.len_bytes); }
}

static inline void sink_zeros(struct sink *sink, size_t len_bytes)
{
    uint8_t *const at = sink_take(sink, len_bytes);
    if (at != NULL) { memset(at, 0, len_bytes); }
}

static inline void sink_u8(struct sink *sink, uint8_t value)
{
    uint8_t *const at = sink_take(sink, 1);
    if (at != NULL) { *at = value; }
}

static inline void sink_be16(struct sink *sink, uint16_t value)
{
    uint8_t *const at = sink_take(sink, 2);
    if (at != NULL) { store_be16(at, value); }
}

static inline void sink_be32(struct sink *sink, uint32_t value)
{
    uint8_t *const at = sink_take(sink, 4);
    if (at != NULL) { store_be32(at, value); }
}

static inline void sink_be64(struct sink *sink, uint64_t value)
{
    uint8_t *const at = sink_take(sink, 8);
    if (at != NULL) { store_be64(at, value); }
}

/* Base-128, low group first: 1 to 10 bytes. */
static inline void sink_uvarint64(struct sink *sink, uint64_t value)
{
    while (value >= 0x80) {
        sink_u8(sink, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    sink_u8(sink, (uint8_t)value);
}

/* Zigzag: small magnitudes of either sign stay short. */
static inline void sink_varint64(struct sink *sink, int64_t value)
{
    sink_uvarint64(sink, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

/* How many bytes sink_uvarint64 writes. */
static inline size_t uvarint64_bytes(uint64_t value)
{
    const unsigned bits = 64U - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

/* How many bytes sink_varint64 writes. */
static inline size_t varint64_bytes(int64_t value)
{
    return uvarint64_bytes(((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

END_C_DECLS
