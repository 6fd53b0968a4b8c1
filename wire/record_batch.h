/* record_batch.h - Kafka's RecordBatch, magic 2: encoder and decoder.
 *
 * Source   Apache Kafka, "Record Batch" and "Record" of the protocol guide. Integers big-endian,
 *          varints zigzag; the CRC is CRC-32C over everything from `attributes` on.
 * Owns     Nothing. Threads: any; no state.
 * We write attributes 0 (uncompressed, CreateTime) or a codec's number (record_codec.h), producer
 *          id -1, one batch a topic and commit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"
#include "base/status.h"

BEGIN_C_DECLS

enum record_codec { /* Kafka's numbers: attributes, bits 0-2 */
                    RECORD_CODEC_NONE = 0,
                    RECORD_CODEC_LZ4 = 3,
                    RECORD_CODEC_ZSTD = 4,
};

enum {
    RECORD_BATCH_HEADER_BYTES = 61,
    RECORD_BATCH_CRC_BEGIN = 21, /* the CRC covers from here to the end */
};

struct record_batch_header {
    int64_t base_offset;
    int32_t length_bytes; /* of the whole batch, the 12 bytes in front of Kafka's count included */
    int32_t leader_epoch;
    uint32_t crc32c;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms;
    int64_t max_timestamp_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

/* The part of a record's length that does not depend on its place in the batch: key, value and
 * headers with their lengths. headers_bytes is the sum of record_batch_record_header_bytes over
 * header_count headers; key_bytes -1: null. A null value takes as many bytes as an empty one. */
size_t record_batch_payload_bytes(int64_t key_bytes, size_t value_bytes, size_t header_count,
                                  size_t headers_bytes);
size_t record_batch_record_header_bytes(struct bytes name, struct bytes value);

/* A record's length as its length prefix says it: payload, attributes and the two deltas. */
static inline size_t record_batch_body_bytes(int64_t timestamp_delta_ms, int64_t offset_delta,
                                             size_t payload_bytes)
{
    return 1 + varint64_bytes(timestamp_delta_ms) + varint64_bytes(offset_delta) + payload_bytes;
}

/* The same with the length prefix in front. */
static inline size_t record_batch_record_bytes(size_t body_bytes)
{
    return varint64_bytes((int64_t)body_bytes) + body_bytes;
}

struct record_batch_parts {
    size_t body_bytes; /* by record_batch_body_bytes: what the length prefix says */
    int64_t timestamp_delta_ms;
    int64_t offset_delta;
    struct bytes key;   /* null: none */
    struct bytes value; /* null: a tombstone, which is not the same as empty */
    size_t header_count;
};

/* Writes one record up to and including its header count; the headers follow by
 * record_batch_record_header_encode. `at` has the room that the sizes above promised: nothing is
 * checked here, once a record. Both answer the first byte behind what they wrote. */
uint8_t *record_batch_record_encode(const struct record_batch_parts *parts, uint8_t *at);
uint8_t *record_batch_record_header_encode(struct bytes name, struct bytes value, uint8_t *at);

/* Writes the 61 bytes at `at`, all fields but crc32c, which the caller adds by
 * record_batch_crc_patch once the records behind it are there. */
void record_batch_header_encode(const struct record_batch_header *header, uint8_t *at);
void record_batch_crc_patch(uint8_t *batch, uint32_t crc);

/* Says in an encoded header that `packed_bytes` of this codec stand behind it. The CRC is wrong
 * then, until it is patched. */
void record_batch_pack_patch(uint8_t *batch, enum record_codec codec, size_t packed_bytes);

/* Reads and checks the header of the batch at the front of `bytes`: magic 2, a length that lies
 * inside `bytes`, counts that fit. STATUS_TRUNCATED, STATUS_CORRUPT, STATUS_UNSUPPORTED (another
 * magic, or an attribute that we never write: control and LogAppendTime batches and other codecs
 * are not ours). */
MUST_CHECK enum status record_batch_header_decode(struct bytes bytes,
                                                  struct record_batch_header *out);

/* Of a header that was accepted: one of the enum. */
static inline enum record_codec record_batch_codec(const struct record_batch_header *header)
{
    return (enum record_codec)header->attributes;
}

/* What stands behind the header of a batch that header_decode accepted. */
struct bytes record_batch_packed(struct bytes batch, const struct record_batch_header *header);

/* Whether the CRC inside the batch holds. `batch` is exactly one batch. */
bool record_batch_crc_holds(struct bytes batch);

/* Whether `batch` is exactly one batch, magic 2, of that base offset and leader epoch (-1: any),
 * and Kafka's CRC in it holds, whatever its attributes. `*out_crc32c` is the CRC over all its
 * bytes, which costs no second pass. */
MUST_CHECK bool record_batch_is_whole(struct bytes batch, uint64_t base_offset,
                                      int64_t leader_epoch, uint32_t *out_crc32c);

struct record_batch_record {
    int64_t offset;
    int64_t timestamp_ms;
    struct bytes key;     /* null: none */
    struct bytes value;   /* null: a tombstone */
    struct bytes headers; /* still encoded; record_batch_next_header reads them */
    uint32_t header_count;
};

struct record_batch_walk {
    struct bytes rest;
    struct record_batch_header header;
    uint32_t left;
    int64_t offset_delta_min; /* offsets rise strictly; gaps are legal */
};

/* Starts walking the records of a batch that header_decode accepted. A compressed one has none that
 * could be read here: the walk ends at once, STATUS_CORRUPT (record_codec_walk_begin takes all). */
void record_batch_walk_begin(struct record_batch_walk *walk, struct bytes batch,
                             const struct record_batch_header *header);
/* The same over records that were unpacked. */
void record_batch_walk_unpacked(struct record_batch_walk *walk, struct bytes records,
                                const struct record_batch_header *header);
/* STATUS_OK, STATUS_NOT_FOUND behind the last one, STATUS_CORRUPT (then walk no further). */
MUST_CHECK enum status record_batch_next(struct record_batch_walk *walk,
                                         struct record_batch_record *out);
/* Takes the next header from record->headers; STATUS_NOT_FOUND behind the last, STATUS_CORRUPT when
 * the headers do not fill exactly the rest of the record. */
MUST_CHECK enum status record_batch_next_header(struct record_batch_record *record,
                                                struct bytes *name, struct bytes *value);

END_C_DECLS
