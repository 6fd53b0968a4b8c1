/* fake_reader.h - storage/reader.h over batches in memory, settable by a test.
 *
 * Linked instead of storage: request handlers, connections and the fuzz target then need no log. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "storage/reader.h"
#include "wire/record_batch.h"

BEGIN_C_DECLS

/* The reader that reader_create made last: how a test reaches the one inside a server. */
struct reader *fake_reader_latest(void);

void fake_reader_set_partitions(struct reader *reader, uint32_t count);
void fake_reader_set_cluster_id(struct reader *reader, struct log_id id);
void fake_reader_set_leader_epoch(struct reader *reader, uint32_t epoch);
void fake_reader_set_complete(struct reader *reader, bool complete);
void fake_reader_set_root(struct reader *reader, const struct root_page *root, bool alive);
size_t fake_reader_add_topic(struct reader *reader, const char *name, struct log_id id);

/* Appends a batch of `records` records from the high watermark on; record i has the timestamp
 * first_ms + i * step_ms, the key "k" and the value "<topic>-<partition>-<offset>", filled with
 * dots to value_bytes. Visible at once; reader_refresh then says that there is news. */
void fake_reader_append(struct reader *reader, size_t topic, uint32_t partition, uint32_t records,
                        int64_t first_ms, int64_t step_ms, size_t value_bytes, bool in_ring);
/* What the batches that fake_reader_append makes from now on are compressed with. */
void fake_reader_set_codec(struct reader *reader, enum record_codec codec);
/* Appends a finished batch as it is; its header says where it stands. */
void fake_reader_append_batch(struct reader *reader, size_t topic, uint32_t partition,
                              struct bytes batch, bool in_ring);
/* The offsets up to `offset` are skipped: the next batch begins there. */
void fake_reader_skip_to(struct reader *reader, size_t topic, uint32_t partition, uint64_t offset);
void fake_reader_set_log_start(struct reader *reader, size_t topic, uint32_t partition,
                               uint64_t offset);
/* Retention moves the log start to `offset` in the middle of the next reader_find_offset. */
void fake_reader_retire_at_find(struct reader *reader, uint64_t offset);
/* What reading the batch that holds `offset` answers from now on. */
void fake_reader_set_fault(struct reader *reader, size_t topic, uint32_t partition, uint64_t offset,
                           enum status tail, enum status cold);
/* The stored bytes of the batch that holds `offset`. */
struct bytes fake_reader_batch(struct reader *reader, size_t topic, uint32_t partition,
                               uint64_t offset);
uint64_t fake_reader_cold_reads(const struct reader *reader);

END_C_DECLS
