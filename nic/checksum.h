/* checksum.h - the Internet checksum, in software, for when the NIC has no verdict.
 *
 * A sum is a plain uint64_t that parts are added to; it is folded once at the end. Bytes are added
 * in the machine's order: the ones' complement sum does not mind, the result is in that order too
 * (RFC 1071, 2B), and comparing it with 0 needs no swap. Parts start at even positions.
 *
 * Any thread; no state. Source: RFC 1071. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

/* `sum` and all of `bytes`, an odd last byte padded with zero. Good for 2^32 words: no packet
 * overflows it. */
uint64_t checksum_add(uint64_t sum, struct bytes bytes);

/* What header fields add, without writing them first: a sum over bytes that were stored a moment
 * ago in smaller pieces waits for the stores. */
static inline uint64_t checksum_field_be16(uint16_t field) { return __builtin_bswap16(field); }
static inline uint64_t checksum_field_be32(uint32_t field) { return __builtin_bswap32(field); }

/* The checksum field for what was summed, to be stored as it is (memcpy, store_le16). What was
 * summed with its own checksum inside gives 0 when it is right. */
uint16_t checksum_finish(uint64_t sum);

/* The pseudo header of UDP over IPv4 (RFC 768); addresses in host order. */
uint64_t checksum_pseudo_header(uint32_t source_address, uint32_t target_address, uint8_t protocol,
                                uint16_t len_bytes);

END_C_DECLS
