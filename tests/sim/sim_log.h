/* sim_log.h - everything that a consumer could read from the segments of a disk, record by record.
 *
 * Goes through storage's reader, as penstock-serve does, and so through every checksum. It sees
 * sealed segments: what a node left that stopped in order or was recovered, not what one that runs
 * has open. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/record_batch.h"

BEGIN_C_DECLS

struct sim_log_place {
    uint32_t partition;
    const char *topic;
    uint64_t segment_number;
};

/* In order of offsets within a partition and topic. Place and record live until the call returns.
 */
typedef void sim_log_on_record(void *context, const struct sim_log_place *place,
                               const struct record_batch_record *record);

/* STATUS_CORRUPT, STATUS_IO, STATUS_NOT_FOUND: what the high watermark promises cannot be read. */
MUST_CHECK enum status sim_log_read(struct files files, sim_log_on_record *visit, void *context);

/* The same around batches whose bytes do not hold: what a disk that lost durable data may leave. */
MUST_CHECK enum status sim_log_read_around(struct files files, sim_log_on_record *visit,
                                           void *context, uint64_t *out_unreadable);

END_C_DECLS
