/* trial_input.h - records for `penstock rules test`, explain and bench: as a listener would make
 * them.
 *
 * Purpose  lines    a record a line, by decode_lines' rule: any bytes but the newline
 *          syslog   a datagram a line, taken apart by decode_syslog
 *          ndjson   an object a line: value, key, headers, topic, timestamp as `penstock log
 * export` writes them, and beside them source (an address) and listener ("syslog:514") Owns     One
 * line at a time; a record borrows from it until the next call. Threads  One. Errors   A line that
 * is none ends the reading: its place and why are in `error`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "pipeline/record.h"
#include "tools/candidate.h"
#include "tools/record_input.h"

BEGIN_C_DECLS

enum trial_format { TRIAL_LINES, TRIAL_SYSLOG, TRIAL_NDJSON };

MUST_CHECK bool trial_format_parse(const char *text, enum trial_format *out);

struct trial_input_options {
    const char *path; /* "-": the standard input */
    enum trial_format format;
    const struct candidate_world *world;
    const char *listener; /* of records that name none; NULL: the first of the format's protocol */
    int syslog_value;     /* enum config_syslog_value; -1: as the listener's configuration says */
};

struct trial_record {
    struct record record;
    bool has_timestamp; /* else record.timestamp_ms is 0 */
    struct record_header headers[RECORD_HEADERS_MAX];
};

struct trial_input; /* opaque */

/* NULL: `error` says why. */
struct trial_input *trial_input_create(const struct trial_input_options *options, char *error,
                                       size_t error_bytes);
void trial_input_destroy(struct trial_input *input); /* NULL is fine */

/* INPUT_RECORD, INPUT_END, INPUT_BAD, INPUT_UNREADABLE: never INPUT_WAITING. */
enum input_result trial_input_next(struct trial_input *input, struct trial_record *out);

/* "FILE:LINE" of the record that came last. */
const char *trial_input_where(struct trial_input *input);
const char *trial_input_error(const struct trial_input *input);

/* One record out of bytes that came without a file (an argument, a fuzzer). NULL, or what is wrong.
 * The result borrows from `bytes` and from `input`. */
const char *trial_input_decode(struct trial_input *input, struct bytes bytes,
                               struct trial_record *out);

/* "192.0.2.1" or "2001:db8::1", IPv4 mapped. */
MUST_CHECK bool trial_address_parse(const char *text, uint8_t out[16]);
/* The inverse; returns `out`. "-": all zero. */
enum { TRIAL_ADDRESS_BYTES = 48 };
const char *trial_address_text(const uint8_t address[16], char out[TRIAL_ADDRESS_BYTES]);

END_C_DECLS
