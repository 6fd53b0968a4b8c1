#include "tools/record_json.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

/* -------------------------------------------------------------------------------------- encode */

static json_t *base64_encode(struct bytes bytes)
{
    const size_t room = (bytes.len_bytes + 2) / 3 * 4 + 1;
    char *const text = allocate_zeroed(1, room);
    const int used = EVP_EncodeBlock((unsigned char *)text, bytes.at, (int)bytes.len_bytes);
    json_t *const out = json_stringn_nocheck(text, (size_t)used);
    free(text);
    return out;
}

/* Text of control characters is no text, and six times as long: `penstock send` bounds its lines.
 */
static bool escapes_swell(struct bytes bytes)
{
    size_t swollen = 0;
    for (size_t i = 0; i < bytes.len_bytes; i++) {
        const bool short_escape = bytes.at[i] >= 0x08 && bytes.at[i] <= 0x0d;
        if (bytes.at[i] < 0x20 && !short_escape) { swollen += 5; }
    }
    return swollen > bytes.len_bytes;
}

void record_json_set_bytes(json_t *object, const char *name, const char *name_base64,
                           struct bytes bytes, enum record_encoding encoding)
{
    json_t *text = NULL;
    if (encoding == RECORD_UTF8 && !escapes_swell(bytes)) {
        /* NULL when it is no UTF-8 */
        text = json_stringn((const char *)bytes.at, bytes.len_bytes);
    }
    if (text != NULL) {
        json_object_set_new_nocheck(object, name, text);
    } else {
        json_object_set_new_nocheck(object, name_base64, base64_encode(bytes));
    }
}

static void set_value(json_t *object, struct bytes value, enum record_encoding encoding)
{
    if (bytes_are_null(value)) {
        json_object_set_new_nocheck(object, "value", json_null());
    } else {
        record_json_set_bytes(object, "value", "value_base64", value, encoding);
    }
}

bool record_json_encode(struct record_batch_record *record, enum record_encoding encoding,
                        json_t *out)
{
    json_object_set_new_nocheck(out, "offset", json_integer(record->offset));
    json_object_set_new_nocheck(out, "timestamp", json_integer(record->timestamp_ms));
    if (!bytes_are_null(record->key)) {
        record_json_set_bytes(out, "key", "key_base64", record->key, encoding);
    }
    set_value(out, record->value, encoding);
    if (record->header_count == 0) { return true; }

    json_t *const headers = json_array();
    struct bytes name;
    struct bytes value;
    enum status status;
    while ((status = record_batch_next_header(record, &name, &value)) == STATUS_OK) {
        json_t *const header = json_object();
        record_json_set_bytes(header, "name", "name_base64", name, encoding);
        set_value(header, value, encoding);
        json_array_append_new(headers, header);
    }
    json_object_set_new_nocheck(out, "headers", headers);
    return status == STATUS_NOT_FOUND;
}

/* -------------------------------------------------------------------------------------- decode */

/* False: no base64. The bytes, and an end mark behind them, are in `memory`. */
static bool base64_decode(struct record_json *out, const json_t *text, struct bytes *bytes)
{
    const size_t len_bytes = json_string_length(text);
    const char *const at = json_string_value(text);
    uint8_t *const into = out->memory + out->memory_used;
    /* What EVP_DecodeBlock would forgive (blanks, = in the midst) is not what export writes. */
    const size_t digits =
        strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    const size_t padding = strspn(at + digits, "=");
    if (digits + padding != len_bytes || padding > 2 || len_bytes % 4 != 0) { return false; }
    const int got = EVP_DecodeBlock(into, (const unsigned char *)at, (int)len_bytes);
    if (got < 0) { return false; }
    const size_t used = (size_t)got - padding;
    into[used] = 0;
    out->memory_used += (size_t)got + 1;
    *bytes = bytes_of(into, used);
    return true;
}

/* NULL, or what is wrong. Absent: `*out` stays as it is. */
static const char *take_bytes(struct record_json *record, const json_t *object, const char *name,
                              const char *name_base64, struct bytes *out)
{
    const json_t *const text = json_object_get(object, name);
    const json_t *const base64 = json_object_get(object, name_base64);
    if (text != NULL && base64 != NULL) { return "bytes both as text and as base64"; }
    if (base64 != NULL) {
        if (!json_is_string(base64) || !base64_decode(record, base64, out)) { return "not base64"; }
        return NULL;
    }
    if (text == NULL || json_is_null(text)) { return NULL; }
    if (!json_is_string(text)) { return "key, value and header are strings"; }
    *out = bytes_of(json_string_value(text), json_string_length(text));
    return NULL;
}

static const char *take_header(struct record_json *out, const json_t *object)
{
    if (out->header_count == NATIVE_HEADERS_MAX) { return "too many headers"; }
    struct record_json_header *const header = &out->headers[out->header_count++];
    struct bytes name = bytes_null();
    *header = (struct record_json_header){0};
    if (!json_is_object(object)) { return "a header is an object"; }
    const char *wrong = take_bytes(out, object, "name", "name_base64", &name);
    if (wrong == NULL) { wrong = take_bytes(out, object, "value", "value_base64", &header->value); }
    if (wrong != NULL) { return wrong; }
    if (bytes_are_null(name)) { return "a header without a name"; }
    if (memchr(name.at, 0, name.len_bytes) != NULL) { return "a zero byte in a header's name"; }
    header->name = (const char *)name.at;
    return NULL;
}

static const char *take_headers(struct record_json *out, const json_t *headers)
{
    if (headers == NULL) { return NULL; }
    if (!json_is_array(headers)) { return "headers are a list"; }
    const char *wrong = NULL;
    for (size_t i = 0; wrong == NULL && i < json_array_size(headers); i++) {
        wrong = take_header(out, json_array_get(headers, i));
    }
    return wrong;
}

const char *record_json_decode(const json_t *object, size_t line_bytes, struct record_json *out)
{
    *out = (struct record_json){0};
    if (!json_is_object(object)) { return "not an object"; }
    const json_t *const value = json_object_get(object, "value");
    const json_t *const timestamp = json_object_get(object, "timestamp");
    if (value == NULL && json_object_get(object, "value_base64") == NULL) {
        return "neither value nor value_base64";
    }
    if (timestamp != NULL && !json_is_integer(timestamp)) { return "timestamp is in milliseconds"; }
    out->has_timestamp = timestamp != NULL;
    out->timestamp_ms = json_integer_value(timestamp);
    out->topic = json_string_value(json_object_get(object, "topic"));
    /* Base64 shrinks, but each piece gets an end mark: its four characters' names pay for that. */
    out->memory = allocate_zeroed(1, line_bytes + 16);
    const char *wrong = take_bytes(out, object, "key", "key_base64", &out->key);
    if (wrong == NULL) { wrong = take_bytes(out, object, "value", "value_base64", &out->value); }
    if (wrong == NULL) { wrong = take_headers(out, json_object_get(object, "headers")); }
    if (wrong != NULL) { record_json_release(out); }
    return wrong;
}

void record_json_release(struct record_json *record)
{
    free(record->memory);
    record->memory = NULL;
}
