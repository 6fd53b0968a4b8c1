#include "serve/kafka_wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_BYTES_FIRST = 512 };

/* ------------------------------------------------------------------------------------- input */

struct kafka_input kafka_input_over(struct bytes bytes, bool flexible)
{
    const struct kafka_input in = {cursor_over(bytes), flexible};
    return in;
}

void kafka_input_fail(struct kafka_input *in)
{
    in->cursor.overran = true;
    in->cursor.at = in->cursor.end;
}

struct log_id kafka_input_uuid(struct kafka_input *in)
{
    struct log_id id = {{0}};
    const struct bytes bytes = cursor_bytes(&in->cursor, sizeof id.bytes);
    if (bytes.len_bytes == sizeof id.bytes) { memcpy(id.bytes, bytes.at, sizeof id.bytes); }
    return id;
}

/* A compact length counts from 1; 0 is null. */
static int64_t compact_length(struct kafka_input *in)
{
    return (int64_t)cursor_uvarint32(&in->cursor) - 1;
}

static struct bytes take_nullable(struct kafka_input *in, int64_t length)
{
    if (length == -1 && !kafka_input_failed(in)) { return bytes_null(); }
    if (length < 0) {
        kafka_input_fail(in);
        return bytes_null();
    }
    return cursor_bytes(&in->cursor, (size_t)length);
}

struct bytes kafka_input_nullable_text(struct kafka_input *in)
{
    const int64_t length = in->flexible ? compact_length(in) : kafka_input_i16(in);
    if (length > INT16_MAX) { kafka_input_fail(in); } /* Kafka's limit in the compact form too */
    return take_nullable(in, length);
}

struct bytes kafka_input_text(struct kafka_input *in)
{
    const struct bytes text = kafka_input_nullable_text(in);
    if (bytes_are_null(text)) { kafka_input_fail(in); }
    return text;
}

struct bytes kafka_input_nullable_blob(struct kafka_input *in)
{
    return take_nullable(in, in->flexible ? compact_length(in) : kafka_input_i32(in));
}

int32_t kafka_input_nullable_array(struct kafka_input *in, size_t element_bytes_min)
{
    assert(element_bytes_min > 0);

    const int64_t count = in->flexible ? compact_length(in) : kafka_input_i32(in);
    if (kafka_input_failed(in)) { return 0; }
    if (count == -1) { return -1; }
    if (count < 0 || (uint64_t)count > cursor_left_bytes(&in->cursor) / element_bytes_min) {
        kafka_input_fail(in);
        return 0;
    }
    return (int32_t)count;
}

int32_t kafka_input_array(struct kafka_input *in, size_t element_bytes_min)
{
    const int32_t count = kafka_input_nullable_array(in, element_bytes_min);
    if (count >= 0) { return count; }
    kafka_input_fail(in);
    return 0;
}

void kafka_input_tags(struct kafka_input *in)
{
    if (!in->flexible) { return; }
    /* Each takes at least two bytes, so a hostile count ends with the frame. */
    for (uint32_t left = cursor_uvarint32(&in->cursor); left > 0 && !kafka_input_failed(in);
         left--) {
        (void)cursor_uvarint32(&in->cursor);
        cursor_skip(&in->cursor, cursor_uvarint32(&in->cursor));
    }
}

/* ------------------------------------------------------------------------------------ output */

void kafka_output_init(struct kafka_output *out, size_t limit_bytes)
{
    memset(out, 0, sizeof *out);
    out->limit_bytes = limit_bytes;
}

void kafka_output_deinit(struct kafka_output *out)
{
    free(out->at);
    memset(out, 0, sizeof *out);
}

static bool output_grow(struct kafka_output *out, size_t len_bytes)
{
    if (len_bytes > out->limit_bytes - out->len_bytes) { return false; }

    const size_t doubled_bytes =
        out->capacity_bytes > 0 ? out->capacity_bytes * 2 : OUTPUT_BYTES_FIRST;
    const size_t wanted_bytes = out->len_bytes + len_bytes;
    const size_t capacity_bytes = wanted_bytes > doubled_bytes ? wanted_bytes : doubled_bytes;
    uint8_t *const at = realloc(out->at, capacity_bytes);
    if (at == NULL) { return false; }

    out->at = at;
    out->capacity_bytes = capacity_bytes;
    return true;
}

uint8_t *kafka_output_take(struct kafka_output *out, size_t len_bytes)
{
    if (out->failed) { return NULL; }
    if (len_bytes > out->capacity_bytes - out->len_bytes && !output_grow(out, len_bytes)) {
        out->failed = true;
        return NULL;
    }
    uint8_t *const at = out->at + out->len_bytes;
    out->len_bytes += len_bytes;
    return at;
}

void kafka_output_cut(struct kafka_output *out, size_t len_bytes)
{
    assert(len_bytes <= out->len_bytes);
    out->len_bytes = len_bytes;
}

void kafka_output_shrink(struct kafka_output *out)
{
    if (out->len_bytes == 0 || out->len_bytes == out->capacity_bytes) { return; }
    uint8_t *const at = realloc(out->at, out->len_bytes);
    if (at == NULL) { return; } /* it stays larger: no harm */
    out->at = at;
    out->capacity_bytes = out->len_bytes;
}

void kafka_output_i8(struct kafka_output *out, int8_t value)
{
    uint8_t *const at = kafka_output_take(out, 1);
    if (at != NULL) { *at = (uint8_t)value; }
}

void kafka_output_i16(struct kafka_output *out, int16_t value)
{
    uint8_t *const at = kafka_output_take(out, 2);
    if (at != NULL) { store_be16(at, (uint16_t)value); }
}

void kafka_output_i32(struct kafka_output *out, int32_t value)
{
    uint8_t *const at = kafka_output_take(out, 4);
    if (at != NULL) { store_be32(at, (uint32_t)value); }
}

void kafka_output_i64(struct kafka_output *out, int64_t value)
{
    uint8_t *const at = kafka_output_take(out, 8);
    if (at != NULL) { store_be64(at, (uint64_t)value); }
}

void kafka_output_bool(struct kafka_output *out, bool value) { kafka_output_i8(out, value); }

static void output_raw(struct kafka_output *out, struct bytes bytes)
{
    uint8_t *const at = kafka_output_take(out, bytes.len_bytes);
    if (at != NULL && bytes.len_bytes > 0) { memcpy(at, bytes.at, bytes.len_bytes); }
}

void kafka_output_uuid(struct kafka_output *out, struct log_id id)
{
    output_raw(out, bytes_of(id.bytes, sizeof id.bytes));
}

static size_t put_uvarint(uint8_t at[5], uint32_t value)
{
    size_t len_bytes = 0;
    while (value >= 0x80) {
        at[len_bytes++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[len_bytes++] = (uint8_t)value;
    return len_bytes;
}

static void output_uvarint(struct kafka_output *out, uint32_t value)
{
    uint8_t bytes[5];
    output_raw(out, bytes_of(bytes, put_uvarint(bytes, value)));
}

void kafka_output_text(struct kafka_output *out, struct bytes text)
{
    assert(text.len_bytes <= INT16_MAX);
    if (bytes_are_null(text)) {
        kafka_output_null_text(out);
        return;
    }
    if (out->flexible) {
        output_uvarint(out, (uint32_t)text.len_bytes + 1);
    } else {
        kafka_output_i16(out, (int16_t)text.len_bytes);
    }
    output_raw(out, text);
}

void kafka_output_null_text(struct kafka_output *out)
{
    if (out->flexible) {
        output_uvarint(out, 0);
    } else {
        kafka_output_i16(out, -1);
    }
}

void kafka_output_array(struct kafka_output *out, int32_t count)
{
    assert(count >= -1);
    if (out->flexible) {
        output_uvarint(out, (uint32_t)(count + 1));
    } else {
        kafka_output_i32(out, count);
    }
}

void kafka_output_tags(struct kafka_output *out)
{
    if (out->flexible) { output_uvarint(out, 0); }
}

struct kafka_records kafka_output_records_begin(struct kafka_output *out, size_t expected_bytes)
{
    assert(expected_bytes < INT32_MAX);
    uint8_t scratch[5];
    struct kafka_records records = {out->len_bytes, 4};
    if (out->flexible) {
        records.length_bytes = put_uvarint(scratch, (uint32_t)expected_bytes + 1);
    }
    (void)kafka_output_take(out, records.length_bytes);
    if (expected_bytes > out->capacity_bytes - out->len_bytes && !out->failed) {
        (void)output_grow(out, expected_bytes); /* once, not by doubling; no harm if it fails */
    }
    return records;
}

void kafka_output_records_end(struct kafka_output *out, struct kafka_records records)
{
    if (out->failed) { return; }
    const size_t data_begin = records.begin_bytes + records.length_bytes;
    const size_t data_bytes = out->len_bytes - data_begin;
    if (!out->flexible) {
        store_be32(out->at + records.begin_bytes, (uint32_t)data_bytes);
        return;
    }

    uint8_t length[5];
    const size_t length_bytes = put_uvarint(length, (uint32_t)data_bytes + 1);
    if (length_bytes > records.length_bytes) {
        if (kafka_output_take(out, length_bytes - records.length_bytes) == NULL) { return; }
    }
    if (length_bytes != records.length_bytes) {
        memmove(out->at + records.begin_bytes + length_bytes, out->at + data_begin, data_bytes);
    }
    memcpy(out->at + records.begin_bytes, length, length_bytes);
    out->len_bytes = records.begin_bytes + length_bytes + data_bytes;
}

void kafka_output_no_records(struct kafka_output *out)
{
    if (out->flexible) {
        output_uvarint(out, 1);
    } else {
        kafka_output_i32(out, 0);
    }
}
