/* reader.h - the read side of all logs of a node: what may be served, and the bytes.
 *
 * Purpose  Follows the root page, live indexes and commit rings of a running (or dead) ingest, and
 *          the footers of sealed segments; answers watermarks, finds batches by offset or time, and
 *          reads them: from the ring while they are there, by O_DIRECT otherwise. Nothing leaves
 *          here whose CRC was not checked in this process's memory (contract C5).
 * Owns     Its mappings, descriptors and caches, bounded by the options. Maps everything read-only.
 * Threads  refresh, and everything that looks things up, on one thread (serve's event loop);
 *          reader_read_cold alone may run on others at the same time.
 * Visible  A batch is visible once its live index entry is counted, or its segment is sealed. High
 *          watermarks never go back while a reader lives. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "storage/files.h"
#include "wire/log_format.h"
#include "wire/root_page.h"

BEGIN_C_DECLS

struct reader; /* opaque */

struct reader_options {
    const char *const *storage_paths;
    size_t storage_path_count;
    const char *runtime;
    size_t index_cache_bytes; /* what is held in memory of sealed segments' indexes */
};

/* STATUS_OK also when nothing is there yet: refresh finds it later. */
MUST_CHECK enum status reader_create(const struct reader_options *options, struct reader **out);
/* The same over files that the caller made and keeps (tests, fuzzing). */
MUST_CHECK enum status reader_create_over(struct files files, const char *runtime,
                                          size_t index_cache_bytes, struct reader **out);
void reader_destroy(struct reader *reader);

/* Looks at the root page and live indexes; at directories only when their generation moved or
 * ingest came or went. Cheap when nothing changed (no system call); answers whether anything became
 * visible. Call on every doorbell and at least every 100 ms. */
bool reader_refresh(struct reader *reader, uint64_t now_ns);

/* NULL while there is none. */
const struct root_page *reader_root(const struct reader *reader);
bool reader_ingest_alive(const struct reader *reader, uint64_t now_ns);
/* All zero while unknown. */
struct log_id reader_cluster_id(const struct reader *reader);

/* Partitions 0..count-1 (a gap counts, and is empty). */
uint32_t reader_partition_count(const struct reader *reader);
/* False while its open segment cannot be seen (ingest is down and its memory is gone): what lies
 * beyond the high watermark is then unknown, not absent. */
bool reader_partition_complete(const struct reader *reader, uint32_t partition);

/* Topics over all partitions; index is stable while the reader lives, and only ever grows. */
size_t reader_topic_count(const struct reader *reader);
const char *reader_topic_name(const struct reader *reader, size_t topic);
struct log_id reader_topic_id(const struct reader *reader, size_t topic);
/* -1 when there is none. */
int32_t reader_topic_find(const struct reader *reader, const char *name, size_t name_bytes);
int32_t reader_topic_find_id(const struct reader *reader, struct log_id id);

struct reader_watermarks {
    uint64_t log_start;      /* first offset that can be read */
    uint64_t high_watermark; /* next offset to become durable */
    uint32_t leader_epoch;
};

/* A topic that a partition never saw is empty there: 0, 0. */
void reader_watermarks(const struct reader *reader, size_t topic, uint32_t partition,
                       struct reader_watermarks *out);

/* One RecordBatch: where it is. A value; may be kept. */
struct batch_location {
    uint32_t partition;
    uint64_t segment_number;
    struct log_id segment_nonce;
    uint64_t base_offset;
    uint64_t next_offset; /* behind its last record */
    int64_t max_timestamp_ms;
    uint64_t position; /* in the segment's file */
    uint32_t length_bytes;
    uint16_t check;       /* index_check of the entry's CRC-32C */
    int64_t leader_epoch; /* what the batch has to name; -1: not known */
    bool in_ring;
    uint64_t ring_position;
    uint64_t durable_ns; /* CLOCK_MONOTONIC when published; 0 for sealed segments */
};

/* The batch of topic and partition that holds `offset`, or the first one behind it (a fenced range
 * or skipped offsets lie between). STATUS_NOT_FOUND: at or beyond the high watermark, or nothing is
 * there. May read a footer from disk (blocking) when the offset is in a sealed segment; STATUS_IO
 * or STATUS_CORRUPT when that fails: of this range only. */
MUST_CHECK enum status reader_find_offset(struct reader *reader, size_t topic, uint32_t partition,
                                          uint64_t offset, struct batch_location *out);

/* The first batch, by offset, whose max timestamp is >= timestamp_ms. STATUS_NOT_FOUND: none. */
MUST_CHECK enum status reader_find_timestamp(struct reader *reader, size_t topic,
                                             uint32_t partition, int64_t timestamp_ms,
                                             struct batch_location *out);

/* Copies a batch out of the commit ring and checks it. STATUS_STALE: no longer there, read it
 * cold. STATUS_CORRUPT: what is in the ring is not what was written. Never blocks. */
MUST_CHECK enum status reader_read_tail(struct reader *reader,
                                        const struct batch_location *location, uint8_t *out);

/* Reads it from disk into `scratch` (aligned to 4096, at least reader_cold_bytes) and checks it:
 * Kafka's CRC, and that it is the batch that was asked for; `*out` then points at it inside
 * scratch. Blocks. STATUS_NOT_FOUND: the segment was removed
 * meanwhile; STATUS_CORRUPT, STATUS_IO. */
MUST_CHECK enum status reader_read_cold(struct reader *reader,
                                        const struct batch_location *location, uint8_t *scratch,
                                        const uint8_t **out);
size_t reader_cold_bytes(const struct batch_location *location);

/* Bytes of visible batches of a topic's partition from `offset` on, counted up to `limit_bytes`:
 * what a waiting fetch wants to know. Never reads the disk: inside a sealed segment whose index is
 * not in memory it estimates by the share of offsets. */
uint64_t reader_available_bytes(struct reader *reader, size_t topic, uint32_t partition,
                                uint64_t offset, uint64_t limit_bytes);

END_C_DECLS
