/* decode.h - from a datagram's payload to records, one decoder a protocol.
 *
 * Purpose  decode_lines: one record a line. decode_syslog: one record a datagram, RFC 5424 or the
 *          RFC 3164 that devices really send, header fields as record headers.
 * Owns     Nothing: records point into the payload; header arrays are the caller's.
 * Threads  Any; no state, I/O, clock or allocation: receive time comes in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "pipeline/record.h"

BEGIN_C_DECLS

/* Takes the next line from `*payload` and moves past it; false when nothing is left. A line ends at
 * '\n', which is not part of it, or at the payload's end; nothing else is stripped, and an empty
 * line is a record of no bytes. An empty payload has no line. */
bool decode_line(struct bytes *payload, struct bytes *out_line);

enum syslog_result {
    SYSLOG_RFC5424,
    SYSLOG_RFC3164,
    SYSLOG_NO_PRIORITY, /* no valid <PRI>: taken as it is: user.notice, RFC 3164 section 4.3.3 */
    SYSLOG_EMPTY,       /* an empty datagram: no record */
    SYSLOG_RESULT_COUNT,
};

/* What the record's value is. */
enum syslog_value {
    SYSLOG_VALUE_RAW,    /* the datagram as it came */
    SYSLOG_VALUE_PARSED, /* the message part only; the header's fields are in the headers anyway */
};

/* The record headers that a syslog record can have. The first two are always there (decimal text);
 * the others only when the field is (and is not "-"). */
enum syslog_field {
    SYSLOG_FIELD_FACILITY,
    SYSLOG_FIELD_SEVERITY,
    SYSLOG_FIELD_VERSION,   /* "1", for RFC 5424 only */
    SYSLOG_FIELD_TIMESTAMP, /* as sent, without Cisco's mark of an unset clock in front */
    SYSLOG_FIELD_HOSTNAME,
    SYSLOG_FIELD_APP,
    SYSLOG_FIELD_PROCID,
    SYSLOG_FIELD_MSGID,
    SYSLOG_FIELD_SD, /* structured data, as sent */
    SYSLOG_FIELD_COUNT,
};

/* "syslog.hostname": the record header's name, as rules and consumers see it. */
const char *syslog_field_name(enum syslog_field field);

/* datagram  Any bytes. One trailing '\n' or NUL is taken off the message, never off a raw value.
 * headers   Room for RECORD_HEADERS_MAX; out->headers points there, in the order of the enum.
 * out       Filled except on SYSLOG_EMPTY; timestamp_ms, key and listener are left to the caller.
 * Never refuses: what cannot be read as a header belongs to the message. */
enum syslog_result decode_syslog(struct bytes datagram, enum syslog_value value,
                                 struct record_header *headers, struct record *out);

const char *syslog_result_name(enum syslog_result result);

END_C_DECLS
