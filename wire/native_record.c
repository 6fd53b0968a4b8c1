/* The records of native.h: DATA's payload, and what fragments are cut from. */
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/utf8.h"
#include "wire/native.h"
#include "wire/uvarint.h"

enum {
    RECORD_HAS_TOPIC = 1,
    RECORD_HAS_TIMESTAMP = 2,
    RECORD_ATTRIBUTES = RECORD_HAS_TOPIC | RECORD_HAS_TIMESTAMP,
    RECORD_TOPIC_BYTES = 4,
    RECORD_TIMESTAMP_BYTES = 8,
};

/* ------------------------------------------------------------------------------------ decode */

static inline struct bytes take_front(struct bytes *in, size_t len_bytes)
{
    const struct bytes out = bytes_slice(*in, 0, len_bytes);
    *in = bytes_slice(*in, len_bytes, in->len_bytes);
    return out;
}

/* A length and as many bytes. */
static inline bool take_bytes(struct bytes *in, struct bytes *out)
{
    uint64_t len_bytes;
    if (!uvarint_take(in, &len_bytes)) { return false; }
    if (len_bytes > in->len_bytes) { return false; }
    *out = take_front(in, (size_t)len_bytes);
    return true;
}

/* A length plus one and as many bytes; 0: null. */
static inline bool take_nullable(struct bytes *in, struct bytes *out)
{
    uint64_t prefix;
    if (!uvarint_take(in, &prefix)) { return false; }
    if (prefix == 0) {
        *out = bytes_null();
        return true;
    }
    if (prefix - 1 > in->len_bytes) { return false; }
    *out = take_front(in, (size_t)(prefix - 1));
    return true;
}

bool native_record_take(struct bytes *records, struct bytes *out)
{
    struct bytes rest = *records;
    if (UNLIKELY(!take_bytes(&rest, out))) { return false; }
    *records = rest;
    return true;
}

/* `count` of them, behind their count. */
static bool take_headers(struct bytes *in, uint64_t count, struct native_header *headers)
{
    if (count > NATIVE_HEADERS_MAX) { return false; }
    for (uint64_t i = 0; i < count; i++) {
        if (!take_bytes(in, &headers[i].name)) { return false; }
        /* Some consumers give up on a record whose header name is not text, and never get past it.
         */
        if (!utf8_is_text(headers[i].name)) { return false; }
        if (!take_nullable(in, &headers[i].value)) { return false; }
    }
    return true;
}

/* Attributes and what they announce; leaves the body. False: they are cut short or not allowed. */
static inline bool take_fixed(struct bytes *in, struct native_record *out)
{
    out->has_topic = false;
    out->has_timestamp = false;
    out->topic = 0;
    out->timestamp_ms = 0;
    if (in->len_bytes == 0) { return false; }

    const uint8_t attributes = take_front(in, 1).at[0];
    const size_t topic_bytes = attributes & RECORD_HAS_TOPIC ? RECORD_TOPIC_BYTES : 0;
    const size_t timestamp_bytes = attributes & RECORD_HAS_TIMESTAMP ? RECORD_TIMESTAMP_BYTES : 0;
    if (topic_bytes + timestamp_bytes > in->len_bytes) {
        *in = bytes_slice(*in, in->len_bytes, in->len_bytes);
        return false;
    }

    if (topic_bytes > 0) {
        out->has_topic = true;
        out->topic = load_le32(take_front(in, topic_bytes).at);
    }
    if (timestamp_bytes > 0) {
        out->has_timestamp = true;
        out->timestamp_ms = (int64_t)load_le64(take_front(in, timestamp_bytes).at);
    }
    return (attributes & ~RECORD_ATTRIBUTES) == 0;
}

bool native_record_decode(struct bytes record, struct native_header *headers,
                          struct native_record *out)
{
    const bool fixed_holds = take_fixed(&record, out);
    out->body = record;
    out->headers = headers;
    out->header_count = 0;
    if (UNLIKELY(!fixed_holds)) { return false; }

    struct bytes rest = record;
    uint64_t header_count;
    if (UNLIKELY(!take_nullable(&rest, &out->key))) { return false; }
    if (UNLIKELY(!uvarint_take(&rest, &header_count))) { return false; }
    if (header_count > 0) {
        struct bytes at = rest; /* a copy: `rest` stays in registers */
        if (!take_headers(&at, header_count, headers)) { return false; }
        out->header_count = (uint32_t)header_count;
        rest = at;
    }
    if (UNLIKELY(!take_nullable(&rest, &out->value))) { return false; }
    return rest.len_bytes == 0;
}

/* ------------------------------------------------------------------------------------ encode */

static uint64_t length_plus_one(struct bytes bytes)
{
    return bytes_are_null(bytes) ? 0 : (uint64_t)bytes.len_bytes + 1;
}

static size_t nullable_bytes(struct bytes bytes)
{
    return uvarint64_bytes(length_plus_one(bytes)) + bytes.len_bytes;
}

static void put_nullable(struct sink *out, struct bytes bytes)
{
    sink_uvarint64(out, length_plus_one(bytes));
    sink_bytes(out, bytes);
}

size_t native_record_bytes(const struct native_record *record)
{
    size_t len_bytes = 1;
    if (record->has_topic) { len_bytes += RECORD_TOPIC_BYTES; }
    if (record->has_timestamp) { len_bytes += RECORD_TIMESTAMP_BYTES; }
    len_bytes += nullable_bytes(record->key);
    len_bytes += uvarint64_bytes(record->header_count);
    for (uint32_t i = 0; i < record->header_count; i++) {
        const struct bytes name = record->headers[i].name;
        len_bytes += uvarint64_bytes(name.len_bytes) + name.len_bytes;
        len_bytes += nullable_bytes(record->headers[i].value);
    }
    return len_bytes + nullable_bytes(record->value);
}

void native_body_encode(struct sink *out, const struct native_record *record)
{
    assert(record->header_count <= NATIVE_HEADERS_MAX);

    put_nullable(out, record->key);
    sink_uvarint64(out, record->header_count);
    for (uint32_t i = 0; i < record->header_count; i++) {
        sink_uvarint64(out, record->headers[i].name.len_bytes);
        sink_bytes(out, record->headers[i].name);
        put_nullable(out, record->headers[i].value);
    }
    put_nullable(out, record->value);
}

void native_record_encode_bare(struct sink *out, const struct native_record *record)
{
    const int attributes = (record->has_topic ? RECORD_HAS_TOPIC : 0) |
                           (record->has_timestamp ? RECORD_HAS_TIMESTAMP : 0);
    sink_u8(out, (uint8_t)attributes);
    if (record->has_topic) {
        uint8_t *const at = sink_take(out, RECORD_TOPIC_BYTES);
        if (at != NULL) { store_le32(at, record->topic); }
    }
    if (record->has_timestamp) {
        uint8_t *const at = sink_take(out, RECORD_TIMESTAMP_BYTES);
        if (at != NULL) { store_le64(at, (uint64_t)record->timestamp_ms); }
    }
    native_body_encode(out, record);
}

void native_record_encode(struct sink *out, const struct native_record *record)
{
    sink_uvarint64(out, native_record_bytes(record));
    native_record_encode_bare(out, record);
}

/* --------------------------------------------------------------------------------- checksums */

uint32_t native_topic_hash(struct bytes name)
{
    const uint32_t crc = crc32c(name);
    return crc != 0 ? crc : 1;
}

uint32_t native_digest(struct bytes body) { return crc32c(body); }
