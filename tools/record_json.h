/* record_json.h - a record as a line of JSON, and back: `penstock log export` writes it, `penstock
 * send --format records` reads it, and what comes back is the same to the byte.
 *
 * Object   topic, partition, offset, timestamp (ms since 1970), key, value, headers; docs/man
 *          penstock-log. Bytes that are no UTF-8, or all of them on request, stand under
 *          "key_base64", "value_base64" in place of "key", "value". No key: neither. A value of
 *          null is Kafka's tombstone.
 * Owns     Nothing but what a function says. Threads: any; no state. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "wire/native.h"
#include "wire/record_batch.h"

BEGIN_C_DECLS

enum record_encoding { RECORD_UTF8, RECORD_BASE64 };

/* Adds the record's members to `out`. Takes its headers. False: they are damaged. */
MUST_CHECK bool record_json_encode(struct record_batch_record *record,
                                   enum record_encoding encoding, json_t *out);

/* Adds bytes as text under `name`, where they are text; else under the other name. */
void record_json_set_bytes(json_t *object, const char *name, const char *name_base64,
                           struct bytes bytes, enum record_encoding encoding);

struct record_json_header {
    const char *name; /* with its end mark, and none inside */
    struct bytes value;
};

/* Borrows from the object and from `memory`, both of which record_json_release lets go. */
struct record_json {
    struct bytes key; /* null: none */
    struct bytes value;
    bool has_timestamp;
    int64_t timestamp_ms;
    const char *topic; /* NULL: none */
    uint32_t header_count;
    struct record_json_header headers[NATIVE_HEADERS_MAX];
    uint8_t *memory; /* what was base64 */
    size_t memory_used;
};

/* NULL, or what is wrong with the object. `line_bytes` is the length of its text, which bounds what
 * is decoded. */
MUST_CHECK const char *record_json_decode(const json_t *object, size_t line_bytes,
                                          struct record_json *out);
void record_json_release(struct record_json *record);

END_C_DECLS
