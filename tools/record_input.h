/* record_input.h - records out of files or a pipe, one after the other, for `penstock send`.
 *
 * Purpose  lines            a record a line, any bytes but the newline; the last one needs none. A
 *                           carriage return before the newline is part of the record.
 *          ndjson           a JSON value a line, passed on as it stands; lines of white space alone
 *                           are none
 *          records          what `penstock log export` writes (record_json.h): key, value, headers,
 *                           time and topic as they were; lines of white space alone are none
 *          length-prefixed  u32 big-endian length, then so many bytes, again and again
 * Owns     One buffer, one open file. A record borrows from both until the next call.
 * Threads  One. Waits at most RECORD_INPUT_WAIT_MS for a pipe, for a file as long as the disk does.
 * Errors   enum input_result; record_input_error says in words which file, line and why. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "tools/record_json.h"

BEGIN_C_DECLS

enum {
    RECORD_INPUT_BYTES_MAX = 4 * 1024 * 1024, /* of one line or record: what penstock.h can send */
    RECORD_INPUT_WAIT_MS = 100,
    RECORD_INPUT_FILES_MAX = 65536,
};

enum record_format { RECORD_LINES, RECORD_NDJSON, RECORD_LENGTH_PREFIXED, RECORD_RECORDS };

const char *record_format_text(enum record_format format);
MUST_CHECK bool record_format_parse(const char *text, enum record_format *out);

struct record_input_options {
    const char *const *paths; /* "-" is the standard input; they stay the caller's */
    size_t path_count;        /* at least 1 */
    enum record_format format;
    const char *key_field;     /* ndjson; NULL: no keys */
    const char *key_delimiter; /* lines; NULL: no keys. What stands before the first one */
    bool skip_bad;             /* ndjson, records: bad lines are counted, and passed over */
};

/* Behind a record: where the next one begins. */
struct input_position {
    uint64_t file;         /* index in paths */
    uint64_t offset_bytes; /* in that file */
    uint64_t line;         /* lines (or records, length-prefixed) of that file before it */
    uint64_t skipped;      /* bad lines so far, over all files */
};

struct input_record {
    bool has_key;
    struct bytes key;
    struct bytes value; /* null: records only */
    /* records only; else 0 */
    bool has_timestamp;
    int64_t timestamp_ms;
    const char *topic; /* NULL: none */
    uint32_t header_count;
    const struct record_json_header *headers;
};

enum input_result {
    INPUT_RECORD,
    INPUT_WAITING, /* a pipe has nothing now */
    INPUT_END,
    INPUT_BAD, /* not what the format says; nothing further can be read */
    INPUT_UNREADABLE,
};

struct record_input; /* opaque */

/* Looks at all files, opens none but the first. NULL: `error` says why (a file is not there). */
struct record_input *record_input_create(const struct record_input_options *options, char *error,
                                         size_t error_bytes);
void record_input_destroy(struct record_input *input); /* NULL is fine */

/* The next record begins at `position`. False: record_input_error. */
MUST_CHECK bool record_input_seek(struct record_input *input,
                                  const struct input_position *position);

enum input_result record_input_next(struct record_input *input, struct input_record *out);

struct input_position record_input_position(const struct record_input *input);

/* "FILE:LINE", of the record that was handed out last. Lives until the next call. */
const char *record_input_where(struct record_input *input);

/* One line, without a newline: why it ended with BAD or UNREADABLE. */
const char *record_input_error(const struct record_input *input);

/* Bytes before `position`, over all files, and of all; *out_total 0: not known (a pipe). */
uint64_t record_input_done_bytes(const struct record_input *input, uint64_t *out_total);

/* Which file it is, whatever it is called; *out_regular: whether it can be read again. */
struct input_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t size_bytes;
    bool is_regular;
};
struct input_identity record_input_identity(const struct record_input *input, size_t file);

END_C_DECLS
