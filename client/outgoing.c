#include "client/outgoing.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/sink.h"

static bool slice_of(const void *at, size_t len_bytes, struct bytes *out)
{
    *out = bytes_of(at, len_bytes);
    return at != NULL || len_bytes == 0;
}

/* The message as a record whose slices are the caller's. */
static bool record_of(const struct outgoing_options *options,
                      const struct penstock_message *message,
                      struct native_header headers[NATIVE_HEADERS_MAX], struct native_record *out)
{
    *out = (struct native_record){.headers = headers, .header_count = message->header_count};
    if (!slice_of(message->key, message->key_bytes, &out->key)) { return false; }
    if (!slice_of(message->value, message->value_bytes, &out->value)) { return false; }
    if (message->header_count > NATIVE_HEADERS_MAX) { return false; }
    if (message->header_count > 0 && message->headers == NULL) { return false; }
    for (uint32_t i = 0; i < message->header_count; i++) {
        const struct penstock_header *const from = &message->headers[i];
        if (from->name == NULL) { return false; }
        headers[i].name = bytes_of_text(from->name);
        if (!slice_of(from->value, from->value_bytes, &headers[i].value)) { return false; }
    }
    const char *const topic = message->topic != NULL ? message->topic : options->topic;
    out->has_topic = topic != NULL;
    if (topic != NULL) { out->topic = native_topic_hash(bytes_of_text(topic)); }
    out->has_timestamp = message->timestamp_ms != PENSTOCK_TIME_OF_RECEIPT;
    out->timestamp_ms =
        message->timestamp_ms != PENSTOCK_TIME_NOW ? message->timestamp_ms : clock_now().wall_ms;
    return true;
}

/* Cheap enough to come before native_record_bytes, whose sum could wrap. */
static bool is_too_large(const struct native_record *record, uint64_t bytes_max)
{
    if (record->key.len_bytes > bytes_max || record->value.len_bytes > bytes_max) { return true; }
    for (uint32_t i = 0; i < record->header_count; i++) {
        if (record->headers[i].name.len_bytes > bytes_max) { return true; }
        if (record->headers[i].value.len_bytes > bytes_max) { return true; }
    }
    return native_record_bytes(record) > bytes_max;
}

/* Encodes into `room` and reads back: what the appliance would find malformed shows here. */
static bool encode_checked(const struct native_record *record, uint8_t *room, size_t len_bytes,
                           struct native_header headers[NATIVE_HEADERS_MAX],
                           struct native_record *out)
{
    struct sink sink = sink_into(room, len_bytes);
    native_record_encode_bare(&sink, record);
    assert(!sink.overflowed);
    return native_record_decode(sink_written(&sink), headers, out);
}

static struct outgoing *allocate(uint32_t header_count, size_t copied_bytes)
{
    const size_t len_bytes =
        sizeof(struct outgoing) + header_count * sizeof(struct native_header) + copied_bytes;
    struct outgoing *const outgoing = malloc(len_bytes);
    if (outgoing != NULL) { outgoing->charge_bytes = (uint32_t)len_bytes; }
    return outgoing;
}

static void take_record(struct outgoing *outgoing, const struct native_record *record,
                        const struct outgoing_options *options, struct bytes body)
{
    memcpy(outgoing->headers, record->headers, record->header_count * sizeof(struct native_header));
    outgoing->record = *record;
    outgoing->record.headers = outgoing->headers;
    outgoing->digest = options->digest ? native_digest(body) : 0;
}

static enum penstock_result create_copy(const struct outgoing_options *options,
                                        const struct native_record *record, size_t record_bytes,
                                        struct outgoing **out)
{
    struct native_header headers[NATIVE_HEADERS_MAX];
    struct native_record copy;
    struct outgoing *const outgoing = allocate(record->header_count, record_bytes);
    if (outgoing == NULL) { return PENSTOCK_NO_MEMORY; }

    uint8_t *const room = (uint8_t *)(outgoing->headers + record->header_count);
    if (!encode_checked(record, room, record_bytes, headers, &copy)) {
        free(outgoing);
        return PENSTOCK_INVALID;
    }
    take_record(outgoing, &copy, options, copy.body);
    *out = outgoing;
    return PENSTOCK_OK;
}

/* The caller's bytes are encoded only where that is needed to check or to sum them. */
static enum penstock_result create_borrowed(const struct outgoing_options *options,
                                            const struct native_record *record, size_t record_bytes,
                                            struct outgoing **out)
{
    struct native_header headers[NATIVE_HEADERS_MAX];
    struct native_record copy = {.body = bytes_null()};
    uint8_t *room = NULL;
    if (record->header_count > 0 || options->digest) {
        room = malloc(record_bytes);
        if (room == NULL) { return PENSTOCK_NO_MEMORY; }
        if (!encode_checked(record, room, record_bytes, headers, &copy)) {
            free(room);
            return PENSTOCK_INVALID;
        }
    }
    struct outgoing *const outgoing = allocate(record->header_count, 0);
    if (outgoing != NULL) {
        take_record(outgoing, record, options, copy.body);
        outgoing->charge_bytes += (uint32_t)record_bytes;
    }
    free(room);
    *out = outgoing;
    return outgoing != NULL ? PENSTOCK_OK : PENSTOCK_NO_MEMORY;
}

enum penstock_result outgoing_create(const struct outgoing_options *options,
                                     const struct penstock_message *message, struct outgoing **out)
{
    struct native_header headers[NATIVE_HEADERS_MAX];
    struct native_record record;
    if (!record_of(options, message, headers, &record)) { return PENSTOCK_INVALID; }
    if (is_too_large(&record, options->record_bytes_max)) { return PENSTOCK_TOO_LARGE; }

    const size_t record_bytes = native_record_bytes(&record);
    const enum penstock_result result = (message->flags & PENSTOCK_NO_COPY) != 0
                                            ? create_borrowed(options, &record, record_bytes, out)
                                            : create_copy(options, &record, record_bytes, out);
    if (result != PENSTOCK_OK) { return result; }
    (*out)->next = NULL;
    (*out)->opaque = message->opaque;
    (*out)->sequence = 0;
    return PENSTOCK_OK;
}

void outgoing_destroy(struct outgoing *outgoing) { free(outgoing); }
