#include "wire/record_batch.h"

#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/endian.h"

enum {
    RECORD_BATCH_LENGTH_AT = 8,
    RECORD_BATCH_CRC_AT = 17,
    RECORD_BATCH_ATTRIBUTES_AT = 21,
    RECORD_BATCH_LENGTH_FRONT_BYTES = 12, /* base offset and the length itself: not counted by it */
    RECORD_BATCH_MAGIC = 2,
    RECORD_BYTES_MIN = 7, /* length, attributes, deltas, two lengths, header count: a byte each */
    RECORD_HEADER_BYTES_MIN = 2,
};

/* ---------------------------------------------------------------------------------- encoding */

/* Unchecked, unlike sink's: the room was measured before, and this runs four times a record. */
static uint8_t *put_varint64(int64_t value, uint8_t *at)
{
    uint64_t rest = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    while (rest >= 0x80) {
        *at++ = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    *at++ = (uint8_t)rest;
    return at;
}

static uint8_t *put_bytes(struct bytes bytes, uint8_t *at)
{
    at = put_varint64((int64_t)bytes.len_bytes, at);
    if (bytes.len_bytes > 0) { memcpy(at, bytes.at, bytes.len_bytes); }
    return at + bytes.len_bytes;
}

static uint8_t *put_nullable(struct bytes bytes, uint8_t *at)
{
    return bytes_are_null(bytes) ? put_varint64(-1, at) : put_bytes(bytes, at);
}

size_t record_batch_payload_bytes(int64_t key_bytes, size_t value_bytes, size_t header_count,
                                  size_t headers_bytes)
{
    const size_t key_content_bytes = key_bytes > 0 ? (size_t)key_bytes : 0;
    return varint64_bytes(key_bytes) + key_content_bytes + varint64_bytes((int64_t)value_bytes) +
           value_bytes + varint64_bytes((int64_t)header_count) + headers_bytes;
}

size_t record_batch_record_header_bytes(struct bytes name, struct bytes value)
{
    const int64_t value_length = bytes_are_null(value) ? -1 : (int64_t)value.len_bytes;
    return varint64_bytes((int64_t)name.len_bytes) + name.len_bytes + varint64_bytes(value_length) +
           value.len_bytes;
}

uint8_t *record_batch_record_encode(const struct record_batch_parts *parts, uint8_t *at)
{
    at = put_varint64((int64_t)parts->body_bytes, at);
    *at++ = 0; /* attributes: none are defined */
    at = put_varint64(parts->timestamp_delta_ms, at);
    at = put_varint64(parts->offset_delta, at);
    at = put_nullable(parts->key, at);
    at = put_nullable(parts->value, at);
    return put_varint64((int64_t)parts->header_count, at);
}

uint8_t *record_batch_record_header_encode(struct bytes name, struct bytes value, uint8_t *at)
{
    return put_nullable(value, put_bytes(name, at));
}

void record_batch_header_encode(const struct record_batch_header *header, uint8_t *at)
{
    assert(header->length_bytes >= RECORD_BATCH_HEADER_BYTES);

    struct sink out = sink_into(at, RECORD_BATCH_HEADER_BYTES);
    sink_be64(&out, (uint64_t)header->base_offset);
    sink_be32(&out, (uint32_t)(header->length_bytes - RECORD_BATCH_LENGTH_FRONT_BYTES));
    sink_be32(&out, (uint32_t)header->leader_epoch);
    sink_u8(&out, RECORD_BATCH_MAGIC);
    sink_be32(&out, 0); /* the CRC: record_batch_crc_patch */
    sink_be16(&out, header->attributes);
    sink_be32(&out, (uint32_t)header->last_offset_delta);
    sink_be64(&out, (uint64_t)header->base_timestamp_ms);
    sink_be64(&out, (uint64_t)header->max_timestamp_ms);
    sink_be64(&out, (uint64_t)header->producer_id);
    sink_be16(&out, (uint16_t)header->producer_epoch);
    sink_be32(&out, (uint32_t)header->base_sequence);
    sink_be32(&out, (uint32_t)header->record_count);
    assert(!out.overflowed && sink_room_bytes(&out) == 0);
}

void record_batch_crc_patch(uint8_t *batch, uint32_t crc)
{
    store_be32(batch + RECORD_BATCH_CRC_AT, crc);
}

void record_batch_pack_patch(uint8_t *batch, enum record_codec codec, size_t packed_bytes)
{
    const size_t length_bytes = RECORD_BATCH_HEADER_BYTES + packed_bytes;
    assert(length_bytes <= INT32_MAX);
    store_be32(batch + RECORD_BATCH_LENGTH_AT,
               (uint32_t)(length_bytes - RECORD_BATCH_LENGTH_FRONT_BYTES));
    store_be16(batch + RECORD_BATCH_ATTRIBUTES_AT, (uint16_t)codec);
}

/* ---------------------------------------------------------------------------------- decoding */

static bool attributes_are_ours(uint16_t attributes)
{
    return attributes == RECORD_CODEC_NONE || attributes == RECORD_CODEC_LZ4 ||
           attributes == RECORD_CODEC_ZSTD;
}

static bool counts_hold(const struct record_batch_header *header)
{
    const size_t records_bytes = (size_t)header->length_bytes - RECORD_BATCH_HEADER_BYTES;
    if (header->record_count < 0 || header->last_offset_delta < 0) { return false; }
    if (header->attributes == RECORD_CODEC_NONE &&
        (size_t)header->record_count > records_bytes / RECORD_BYTES_MIN) {
        return false;
    }
    if (header->last_offset_delta < header->record_count - 1) { return false; }
    return header->base_offset >= 0 && header->base_offset <= INT64_MAX - header->last_offset_delta;
}

enum status record_batch_header_decode(struct bytes bytes, struct record_batch_header *out)
{
    struct cursor in = cursor_over(bytes);
    out->base_offset = (int64_t)cursor_be64(&in);
    const int32_t length_behind_bytes = (int32_t)cursor_be32(&in);
    out->leader_epoch = (int32_t)cursor_be32(&in);
    const uint8_t magic = cursor_u8(&in);
    out->crc32c = cursor_be32(&in);
    out->attributes = cursor_be16(&in);
    out->last_offset_delta = (int32_t)cursor_be32(&in);
    out->base_timestamp_ms = (int64_t)cursor_be64(&in);
    out->max_timestamp_ms = (int64_t)cursor_be64(&in);
    out->producer_id = (int64_t)cursor_be64(&in);
    out->producer_epoch = (int16_t)cursor_be16(&in);
    out->base_sequence = (int32_t)cursor_be32(&in);
    out->record_count = (int32_t)cursor_be32(&in);

    if (in.overran) { return STATUS_TRUNCATED; }
    if (magic != RECORD_BATCH_MAGIC) { return STATUS_UNSUPPORTED; }
    if (length_behind_bytes < RECORD_BATCH_HEADER_BYTES - RECORD_BATCH_LENGTH_FRONT_BYTES) {
        return STATUS_CORRUPT;
    }
    if (length_behind_bytes > INT32_MAX - RECORD_BATCH_LENGTH_FRONT_BYTES) {
        return STATUS_CORRUPT;
    }
    out->length_bytes = length_behind_bytes + RECORD_BATCH_LENGTH_FRONT_BYTES;
    if ((size_t)out->length_bytes > bytes.len_bytes) { return STATUS_TRUNCATED; }
    if (!attributes_are_ours(out->attributes)) { return STATUS_UNSUPPORTED; }
    return counts_hold(out) ? STATUS_OK : STATUS_CORRUPT;
}

bool record_batch_crc_holds(struct bytes batch)
{
    if (batch.len_bytes < RECORD_BATCH_HEADER_BYTES) { return false; }
    return load_be32(batch.at + RECORD_BATCH_CRC_AT) ==
           crc32c(bytes_slice(batch, RECORD_BATCH_CRC_BEGIN, batch.len_bytes));
}

bool record_batch_is_whole(struct bytes batch, uint64_t base_offset, int64_t leader_epoch,
                           uint32_t *out_crc32c)
{
    struct cursor in = cursor_over(batch);
    const uint64_t offset = cursor_be64(&in);
    const uint64_t length_bytes = (uint64_t)cursor_be32(&in) + RECORD_BATCH_LENGTH_FRONT_BYTES;
    const uint32_t epoch = cursor_be32(&in);
    const uint8_t magic = cursor_u8(&in);
    const uint32_t crc = cursor_be32(&in);
    if (batch.len_bytes < RECORD_BATCH_HEADER_BYTES) { return false; }
    if (offset != base_offset || length_bytes != batch.len_bytes || magic != RECORD_BATCH_MAGIC) {
        return false;
    }
    if (leader_epoch >= 0 && epoch != (uint64_t)leader_epoch) { return false; }
    const struct bytes summed = bytes_slice(batch, RECORD_BATCH_CRC_BEGIN, batch.len_bytes);
    if (crc32c(summed) != crc) { return false; }
    *out_crc32c = crc32c_combine(crc32c(bytes_slice(batch, 0, RECORD_BATCH_CRC_BEGIN)), crc,
                                 summed.len_bytes);
    return true;
}

struct bytes record_batch_packed(struct bytes batch, const struct record_batch_header *header)
{
    assert((size_t)header->length_bytes <= batch.len_bytes);
    return bytes_slice(batch, RECORD_BATCH_HEADER_BYTES, (size_t)header->length_bytes);
}

void record_batch_walk_unpacked(struct record_batch_walk *walk, struct bytes records,
                                const struct record_batch_header *header)
{
    walk->rest = records;
    walk->header = *header;
    walk->left = (uint32_t)header->record_count;
    walk->offset_delta_min = 0;
}

void record_batch_walk_begin(struct record_batch_walk *walk, struct bytes batch,
                             const struct record_batch_header *header)
{
    record_batch_walk_unpacked(walk, record_batch_packed(batch, header), header);
    if (record_batch_codec(header) == RECORD_CODEC_NONE) { return; }
    walk->rest = bytes_of(batch.at, RECORD_BATCH_HEADER_BYTES); /* no record, and not the end */
    walk->left = 0;
}

/* A length of -1 is null; anything below it, or past the end, is an overrun. */
static struct bytes take_nullable(struct cursor *in)
{
    const int64_t length_bytes = cursor_varint64(in);
    if (length_bytes == -1) { return bytes_null(); }
    return cursor_bytes(in, (size_t)length_bytes); /* a negative one is longer than anything */
}

enum status record_batch_next(struct record_batch_walk *walk, struct record_batch_record *out)
{
    if (walk->left == 0) { return walk->rest.len_bytes == 0 ? STATUS_NOT_FOUND : STATUS_CORRUPT; }

    struct cursor batch = cursor_over(walk->rest);
    const struct bytes body = cursor_bytes(&batch, (size_t)cursor_varint64(&batch));
    if (batch.overran) { return STATUS_CORRUPT; }

    struct cursor in = cursor_over(body);
    const uint8_t attributes = cursor_u8(&in);
    const int64_t timestamp_delta_ms = cursor_varint64(&in);
    const int64_t offset_delta = cursor_varint64(&in);
    out->key = take_nullable(&in);
    out->value = take_nullable(&in);
    const int64_t header_count = cursor_varint64(&in);
    out->headers = cursor_rest(&in);

    if (in.overran) { return STATUS_CORRUPT; }
    if (attributes != 0) { return STATUS_CORRUPT; }
    if (offset_delta < walk->offset_delta_min) { return STATUS_CORRUPT; }
    if (offset_delta > walk->header.last_offset_delta) { return STATUS_CORRUPT; }
    if (header_count < 0) { return STATUS_CORRUPT; }
    if ((uint64_t)header_count > out->headers.len_bytes / RECORD_HEADER_BYTES_MIN) {
        return STATUS_CORRUPT;
    }
    if (header_count == 0 && out->headers.len_bytes > 0) { return STATUS_CORRUPT; }

    out->header_count = (uint32_t)header_count;
    out->offset = walk->header.base_offset + offset_delta;
    /* Wraps as Kafka's own does: the encoder's subtraction wraps too, so every value comes back. */
    out->timestamp_ms =
        (int64_t)((uint64_t)walk->header.base_timestamp_ms + (uint64_t)timestamp_delta_ms);
    walk->rest = cursor_rest(&batch);
    walk->left--;
    walk->offset_delta_min = offset_delta + 1;
    return STATUS_OK;
}

enum status record_batch_next_header(struct record_batch_record *record, struct bytes *name,
                                     struct bytes *value)
{
    if (record->header_count == 0) {
        return record->headers.len_bytes == 0 ? STATUS_NOT_FOUND : STATUS_CORRUPT;
    }

    struct cursor in = cursor_over(record->headers);
    *name = cursor_bytes(&in, (size_t)cursor_varint64(&in));
    *value = take_nullable(&in);
    if (in.overran) { return STATUS_CORRUPT; }

    record->headers = cursor_rest(&in);
    record->header_count--;
    return STATUS_OK;
}
