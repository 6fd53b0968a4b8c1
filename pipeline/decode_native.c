#include "pipeline/decode_native.h"

#include <assert.h>

#include "wire/native.h"

static_assert((int)RECORD_HEADERS_MAX == (int)NATIVE_HEADERS_MAX, "docs/protocol.md, 4.5");

bool decode_native(struct bytes record_bytes, struct record_header *headers, struct record *out,
                   struct decoded_native *facts)
{
    struct native_header found[NATIVE_HEADERS_MAX];
    struct native_record record;
    const bool good = native_record_decode(record_bytes, found, &record);
    facts->has_topic = good && record.has_topic;
    facts->has_timestamp = good && record.has_timestamp;
    facts->topic_hash = good ? record.topic : 0;
    facts->digest = native_digest(record.body);
    if (!good) {
        out->key = bytes_null();
        out->value = bytes_of_text("");
        out->headers = NULL;
        out->header_count = 0;
        return false;
    }

    if (record.has_timestamp) { out->timestamp_ms = record.timestamp_ms; }
    out->key = record.key;
    out->value = record.value;
    out->header_count = (uint16_t)record.header_count;
    out->headers = record.header_count > 0 ? headers : NULL;
    for (uint32_t i = 0; i < record.header_count; i++) {
        headers[i] = (struct record_header){found[i].name, found[i].value};
    }
    return true;
}
