/* kafka_wire.h - Kafka's primitive types, read and written in both forms.
 *
 * Purpose  One reader and one writer that know whether a message is "flexible" (compact lengths,
 *          tagged fields) or not, so that a handler is written once for all its versions.
 * Owns     An input borrows its frame. An output owns one growing block, never beyond its limit.
 * Threads  None: plain state of one request.
 * Errors   Both are sticky. Input: reading past the end, an array that cannot fit in the bytes
 *          left, null where the schema has none. Output: the limit, or no memory. Ask at the end.
 * Format   https://kafka.apache.org/protocol, "Protocol Primitive Types"; KIP-482. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/cursor.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

/* ------------------------------------------------------------------------------------- input */

struct kafka_input {
    struct cursor cursor;
    bool flexible;
};

struct kafka_input kafka_input_over(struct bytes bytes, bool flexible);

static inline bool kafka_input_failed(const struct kafka_input *in) { return in->cursor.overran; }

/* What was read breaks the schema: every later read fails too. */
void kafka_input_fail(struct kafka_input *in);

static inline bool kafka_input_bool(struct kafka_input *in) { return cursor_u8(&in->cursor) != 0; }
static inline int8_t kafka_input_i8(struct kafka_input *in)
{
    return (int8_t)cursor_u8(&in->cursor);
}
static inline int16_t kafka_input_i16(struct kafka_input *in)
{
    return (int16_t)cursor_be16(&in->cursor);
}
static inline int32_t kafka_input_i32(struct kafka_input *in)
{
    return (int32_t)cursor_be32(&in->cursor);
}
static inline int64_t kafka_input_i64(struct kafka_input *in)
{
    return (int64_t)cursor_be64(&in->cursor);
}
struct log_id kafka_input_uuid(struct kafka_input *in);

/* A string; null bytes when it is null. An empty one is not null. */
struct bytes kafka_input_nullable_text(struct kafka_input *in);
/* The same where the schema has no null. */
struct bytes kafka_input_text(struct kafka_input *in);
/* Bytes or records (32-bit length); null bytes when null. */
struct bytes kafka_input_nullable_blob(struct kafka_input *in);

/* The count of an array whose elements take at least `element_bytes_min` (> 0) each; -1 when it is
 * null. A count that cannot lie in the bytes left fails the input and yields 0: no caller ever
 * loops or allocates further than the frame's own length. */
int32_t kafka_input_nullable_array(struct kafka_input *in, size_t element_bytes_min);
int32_t kafka_input_array(struct kafka_input *in, size_t element_bytes_min);

/* Skips the tagged fields at the end of a struct; nothing in a non-flexible message. */
void kafka_input_tags(struct kafka_input *in);

/* ------------------------------------------------------------------------------------ output */

struct kafka_output {
    uint8_t *at;
    size_t len_bytes;
    size_t capacity_bytes;
    size_t limit_bytes;
    bool flexible;
    bool failed;
};

void kafka_output_init(struct kafka_output *out, size_t limit_bytes);
void kafka_output_deinit(struct kafka_output *out);

/* Room for `len_bytes` at the end, to be filled by the caller, or NULL when failed. */
uint8_t *kafka_output_take(struct kafka_output *out, size_t len_bytes);
/* Takes back what was written behind `len_bytes`. */
void kafka_output_cut(struct kafka_output *out, size_t len_bytes);
/* Gives back the memory behind the end. */
void kafka_output_shrink(struct kafka_output *out);

void kafka_output_i8(struct kafka_output *out, int8_t value);
void kafka_output_i16(struct kafka_output *out, int16_t value);
void kafka_output_i32(struct kafka_output *out, int32_t value);
void kafka_output_i64(struct kafka_output *out, int64_t value);
void kafka_output_bool(struct kafka_output *out, bool value);
void kafka_output_uuid(struct kafka_output *out, struct log_id id);
/* Null bytes are written as null: the caller knows where the schema allows it. */
void kafka_output_text(struct kafka_output *out, struct bytes text);
void kafka_output_null_text(struct kafka_output *out);
/* The count of an array; -1 is null. */
void kafka_output_array(struct kafka_output *out, int32_t count);
/* "No tagged fields", in a flexible message. */
void kafka_output_tags(struct kafka_output *out);

/* Records of a length that is known only behind them: begin leaves room for the length (guessing
 * its size from `expected_bytes`), end writes it, moving the records when the guess was wrong. */
struct kafka_records {
    size_t begin_bytes;  /* where the length stands */
    size_t length_bytes; /* room left for it */
};

struct kafka_records kafka_output_records_begin(struct kafka_output *out, size_t expected_bytes);
void kafka_output_records_end(struct kafka_output *out, struct kafka_records records);
/* Records of length 0: never null, which librdkafka refuses. */
void kafka_output_no_records(struct kafka_output *out);

END_C_DECLS
