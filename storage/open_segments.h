/* open_segments.h - the segment files that readers have open: few, shared, counted.
 *
 * Owns     The descriptors. Threads: any; one lock, held for a look into a small table, never for a
 *          read or an open.
 * Errors   STATUS_NOT_FOUND: no such segment, or another one now has its name (its nonce differs).
 *          STATUS_IO, STATUS_NO_MEMORY. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct open_segments; /* opaque */

struct open_segment { /* one use of a file; to be given back */
    int file;
    uint64_t size_bytes;
    int slot;
};

MUST_CHECK enum status open_segments_create(struct files files, struct open_segments **out);
/* Everything must have been given back: asserted. NULL is fine. */
void open_segments_destroy(struct open_segments *open);

MUST_CHECK enum status open_segments_take(struct open_segments *open, uint32_t partition,
                                          uint64_t number, const struct log_id *nonce,
                                          struct open_segment *out);
void open_segments_give_back(struct open_segments *open, const struct open_segment *segment);

/* The segment is gone: its file is closed as soon as nobody reads it. */
void open_segments_forget(struct open_segments *open, uint32_t partition, uint64_t number);
/* As forget, of all segments of the partition before `first`. What is taken of them later (a read
 * that was asked for before) is closed after its use: a removed file that somebody has open keeps
 * its disk space. `first` may fall, to 0 for another log. `partition` < ROOT_PARTITIONS_MAX. */
void open_segments_retire(struct open_segments *open, uint32_t partition, uint64_t first);

END_C_DECLS
