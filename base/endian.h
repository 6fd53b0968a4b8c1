/* endian.h - integers at any address, in a named byte order.
 *
 * Stored and shared integers live in byte arrays named after their order (`length_le32[4]`), so a
 * load or store always says what it does: load_le32(header->length_le32). */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

BEGIN_C_DECLS

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Penstock runs on little-endian machines (x86-64, AArch64)"
#endif

static inline uint16_t load_le16(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t load_le32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t load_le64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint16_t load_be16(const void *at) { return __builtin_bswap16(load_le16(at)); }
static inline uint32_t load_be32(const void *at) { return __builtin_bswap32(load_le32(at)); }
static inline uint64_t load_be64(const void *at) { return __builtin_bswap64(load_le64(at)); }

static inline void store_le16(void *at, uint16_t value) { memcpy(at, &value, sizeof value); }
static inline void store_le32(void *at, uint32_t value) { memcpy(at, &value, sizeof value); }
static inline void store_le64(void *at, uint64_t value) { memcpy(at, &value, sizeof value); }
static inline void store_be16(void *at, uint16_t value)
{
    store_le16(at, __builtin_bswap16(value));
}
static inline void store_be32(void *at, uint32_t value)
{
    store_le32(at, __builtin_bswap32(value));
}
static inline void store_be64(void *at, uint64_t value)
{
    store_le64(at, __builtin_bswap64(value));
}

END_C_DECLS
