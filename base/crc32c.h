/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4): Kafka's checksum and the log's.
 *
 * The finished value, as it is stored: initial and final inversion are inside, so extending one is
 * crc32c_extend(crc32c(a), b) == crc32c(a ‖ b). ISA-L does the work. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

uint32_t crc32c(struct bytes bytes);

/* crc of (what gave `crc`) followed by `bytes`. */
uint32_t crc32c_extend(uint32_t crc, struct bytes bytes);

/* crc(a ‖ b) from crc(a), crc(b) and b's length, without touching a byte of either: so that a batch
 * is summed once though both its own CRC and its entry's cover it. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b_bytes);

END_C_DECLS
