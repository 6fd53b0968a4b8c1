/* syslog_fuzz.c - every field that the decoder finds lies inside the datagram, in the order sent,
 * and outside of the message. */
#include "pipeline/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static bool lies_inside(struct bytes whole, struct bytes part)
{
    return part.at >= whole.at && part.at <= whole.at + whole.len_bytes &&
           part.len_bytes <= (size_t)(whole.at + whole.len_bytes - part.at);
}

/* Facility, severity and version are static text; the rest are slices, each behind the one before.
 */
static void check_fields(struct bytes datagram, const struct record *record)
{
    assert(record->header_count >= 2);
    assert(record->header_count <= SYSLOG_FIELD_COUNT);
    const uint8_t *end = datagram.at;
    for (size_t i = 2; i < record->header_count; i++) {
        const struct record_header *const header = &record->headers[i];
        if (bytes_equal_text(header->name, syslog_field_name(SYSLOG_FIELD_VERSION))) { continue; }
        assert(lies_inside(datagram, header->value));
        assert(header->value.len_bytes > 0);
        /* Cisco's origin-id is a hostname in front of the timestamp: the one field out of order. */
        const bool hostname = bytes_equal_text(header->name, "syslog.hostname");
        if (hostname && header->value.at < end) { continue; }
        assert(header->value.at >= end);
        end = header->value.at + header->value.len_bytes;
    }
    assert(record->value.at >= end);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    const struct bytes datagram = bytes_of(at, len_bytes);
    struct record_header headers[RECORD_HEADERS_MAX];
    struct record raw = {0};
    struct record parsed = {0};
    const enum syslog_result result = decode_syslog(datagram, SYSLOG_VALUE_RAW, headers, &raw);
    assert((result == SYSLOG_EMPTY) == (len_bytes == 0));
    if (result == SYSLOG_EMPTY) { return 0; }

    assert(raw.value.at == at && raw.value.len_bytes == len_bytes);
    assert(decode_syslog(datagram, SYSLOG_VALUE_PARSED, headers, &parsed) == result);
    assert(parsed.header_count == raw.header_count);
    assert(lies_inside(datagram, parsed.value));
    check_fields(datagram, &parsed);
    return 0;
}
