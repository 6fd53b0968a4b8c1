/* stored_batch.h - one RecordBatch as it stands in a commit, opened with every check that there is.
 *
 * Purpose  verify, inspect, export and audit look into stored records through this alone: what a
 *          batch may look like, plain or compressed, is known here.
 * Owns     The records of a compressed batch, unpacked, until it is closed; all else is borrowed
 * from the commit. Threads  Any; no state. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "wire/index_chunk.h"
#include "wire/record_batch.h"

BEGIN_C_DECLS

struct stored_batch {
    struct record_batch_header header;
    struct record_batch_walk walk;
    uint8_t *unpacked; /* NULL: the batch is plain */
};

/* Kafka's checksum, and that the batch is the one of which the directory (or an index) speaks: base
 * offset, record count, and a length that fills `bytes`. NULL, and then stored_batch_close; or what
 * does not hold. */
MUST_CHECK const char *stored_batch_open(struct stored_batch *batch, struct bytes bytes,
                                         uint64_t base_offset, uint32_t record_count);

void stored_batch_close(struct stored_batch *batch);

/* STATUS_OK, STATUS_NOT_FOUND behind the last one, STATUS_CORRUPT. */
MUST_CHECK static inline enum status stored_batch_next(struct stored_batch *batch,
                                                       struct record_batch_record *out)
{
    return record_batch_next(&batch->walk, out);
}

/* As open, and through every record to the last header of it: offsets without a hole, no timestamp
 * above the batch's. NULL, or what does not hold. */
MUST_CHECK const char *stored_batch_fault(struct bytes bytes, uint64_t base_offset,
                                          uint32_t record_count);

/* Whether the bytes are the batch that a line of an index means, every one of them. `leader_epoch`:
 * the segment's; -1: not known. */
MUST_CHECK bool stored_batch_is_of_line(struct bytes bytes, const struct index_entry *line,
                                        int64_t leader_epoch);

END_C_DECLS
