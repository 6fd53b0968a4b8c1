/* direct_io.h - O_DIRECT reads and writes that are whole or say why not: what files in a directory
 * and slots of a device have in common.
 *
 * Threads  Any but a polling core; no state.
 * Errors   STATUS_TRUNCATED (the file ends inside the range), STATUS_NO_SPACE, STATUS_IO; errno is
 *          left as the failing call set it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

/* Memory, position and length are whole DISK_BLOCK_BYTES blocks in all of them, but a read may be
 * as fine as FILES_READ_UNIT_BYTES in position and length: where sectors are larger, the blocks
 * around it are read. */
MUST_CHECK enum status direct_read(int file, uint64_t position, uint8_t *out, size_t len_bytes);
/* `durable`: on stable storage when it returns (RWF_DSYNC). */
MUST_CHECK enum status direct_write(int file, uint64_t position, struct bytes bytes, bool durable);

/* Zeros for direct_fill_zeros, as many as one write of it takes; NULL: no memory. */
uint8_t *direct_zeros_create(void);
/* Writes zeros over the whole range and makes them durable. */
MUST_CHECK enum status direct_fill_zeros(int file, const uint8_t *zeros, uint64_t position,
                                         uint64_t len_bytes);

END_C_DECLS
