/* batch.h - the open commit's records: slices, chained by topic, until one pass gathers them.
 *
 * Purpose  Collects judged records, knows exactly how many bytes they will take once encoded, and
 *          writes each topic's records as one Kafka RecordBatch v2 (wire/record_batch.h).
 * Owns     Its arrays, sized at creation; no allocation after. Not the bytes of the records.
 * Threads  One worker owns a batch. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"
#include "base/status.h"
#include "pipeline/record.h"

BEGIN_C_DECLS

struct batch; /* opaque */

struct batch_options {
    size_t topic_count;       /* topics are 0..topic_count-1 */
    size_t records_max;       /* entries over all topics; a record routed to two counts twice */
    size_t headers_max;       /* record headers over all records */
    size_t encoded_bytes_max; /* of all topics together, batch headers included */
};

MUST_CHECK enum status batch_create(const struct batch_options *options, struct batch **out);
void batch_destroy(struct batch *batch);

/* Adds one record to each of `topic_count` topics, all or none.
 * Returns  STATUS_OK
 *          STATUS_FULL     does not fit behind what is there: gather, clear, add again
 *          STATUS_INVALID  would not fit an empty batch either: refuse the record */
MUST_CHECK enum status batch_add(struct batch *batch, const struct record *record,
                                 const uint16_t *topics, size_t topic_count);

bool batch_is_empty(const struct batch *batch);
size_t batch_record_count(const struct batch *batch);                /* entries: copies count */
size_t batch_topic_count(const struct batch *batch, uint16_t topic); /* of one topic */
size_t batch_encoded_bytes(const struct batch *batch);               /* of all topics; exact */

size_t batch_topics_used(const struct batch *batch); /* that have records */

/* The topics that have records, in ascending order: fills `out` (room for topic_count) and answers
 * how many. */
size_t batch_topics(const struct batch *batch, uint16_t *out);

struct batch_encoded {
    uint32_t record_count;
    uint32_t length_bytes;
    uint32_t crc32c; /* over all bytes of the RecordBatch, not the one inside it */
    int64_t max_timestamp_ms;
};

/* Encodes one topic's records as one RecordBatch: offsets base_offset.. in the order added. Copies
 * every value once and sums it in the same pass. Room was promised by batch_encoded_bytes:
 * asserted. */
struct batch_encoded batch_encode(const struct batch *batch, uint16_t topic, uint64_t base_offset,
                                  uint32_t leader_epoch, struct sink *out);

/* Forgets all records; memory stays. Cost is bounded by what was in it. */
void batch_clear(struct batch *batch);

END_C_DECLS
