#include "tools/record_input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/endian.h"
#include "base/invariant.h"

enum {
    BUFFER_BYTES_MIN = 256 * 1024,
    PREFIX_BYTES = 4,
    ERROR_BYTES = 512,
    NO_FILE = -1,
};

struct record_input {
    struct record_input_options options;
    struct input_identity *files;
    int fd; /* of the file at `position`; NO_FILE: not open */
    bool ended;
    struct input_position position;
    uint8_t *buffer;
    size_t capacity_bytes;
    size_t begin; /* of what is not handed out; offset_bytes of the file lies here */
    size_t end;
    size_t searched; /* no newline in so many bytes from begin */
    json_t *json;    /* the record's: its key points into it */
    char *number;    /* a key that is no string, as JSON */
    struct record_json record;
    char where[ERROR_BYTES];
    char error[ERROR_BYTES];
};

static const char *const format_texts[] = {"lines", "ndjson", "length-prefixed", "records"};

const char *record_format_text(enum record_format format) { return format_texts[format]; }

bool record_format_parse(const char *text, enum record_format *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(format_texts); i++) {
        if (strcmp(text, format_texts[i]) != 0) { continue; }
        *out = (enum record_format)i;
        return true;
    }
    return false;
}

/* -------------------------------------------------------------------------------------- files */

static const char *name_of(const struct record_input *input, uint64_t file)
{
    const char *const path = input->options.paths[file];
    return strcmp(path, "-") == 0 ? "(standard input)" : path;
}

static void complain(struct record_input *input, const char *format, ...) PRINTF_LIKE(2, 3);

static void complain(struct record_input *input, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(input->error, sizeof input->error, format, arguments);
    va_end(arguments);
}

static bool look_at(struct record_input *input, size_t file)
{
    const char *const path = input->options.paths[file];
    struct stat found;
    const int failed = strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &found) : stat(path, &found);
    if (failed == 0 && S_ISDIR(found.st_mode)) { errno = EISDIR; }
    if (failed != 0 || S_ISDIR(found.st_mode)) {
        complain(input, "%s: %s", name_of(input, file), strerror(errno));
        return false;
    }
    input->files[file] = (struct input_identity){
        .device = found.st_dev,
        .inode = found.st_ino,
        .size_bytes = (uint64_t)found.st_size,
        .is_regular = S_ISREG(found.st_mode),
    };
    return true;
}

static void close_file(struct record_input *input)
{
    if (input->fd > STDIN_FILENO) { close(input->fd); }
    input->fd = NO_FILE;
}

static bool open_file(struct record_input *input)
{
    const char *const path = input->options.paths[input->position.file];
    input->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0) {
        complain(input, "%s: %s", name_of(input, input->position.file), strerror(errno));
        return false;
    }
    input->begin = 0;
    input->end = 0;
    input->searched = 0;
    input->ended = false;
    return true;
}

struct record_input *record_input_create(const struct record_input_options *options, char *error,
                                         size_t error_bytes)
{
    assert(options->path_count > 0);
    assert(options->path_count <= RECORD_INPUT_FILES_MAX);
    struct record_input *const input = allocate_zeroed(1, sizeof *input);
    input->options = *options;
    input->fd = NO_FILE;
    input->files = allocate_zeroed(options->path_count, sizeof input->files[0]);
    input->capacity_bytes = BUFFER_BYTES_MIN;
    input->buffer = allocate_zeroed(1, input->capacity_bytes);
    bool good = true;
    for (size_t i = 0; i < options->path_count && good; i++) { good = look_at(input, i); }
    if (good && open_file(input)) { return input; }
    snprintf(error, error_bytes, "%s", input->error);
    record_input_destroy(input);
    return NULL;
}

void record_input_destroy(struct record_input *input)
{
    if (input == NULL) { return; }
    close_file(input);
    json_decref(input->json);
    record_json_release(&input->record);
    free(input->number);
    free(input->buffer);
    free(input->files);
    free(input);
}

bool record_input_seek(struct record_input *input, const struct input_position *position)
{
    if (position->file >= input->options.path_count) {
        complain(input, "there is no file %" PRIu64, position->file);
        return false;
    }
    close_file(input);
    input->position = *position;
    if (!open_file(input)) { return false; }
    if (position->offset_bytes > input->files[position->file].size_bytes) {
        complain(input,
                 "%s: shorter than it was: it has %" PRIu64 " bytes, and %" PRIu64 " were sent",
                 name_of(input, position->file), input->files[position->file].size_bytes,
                 position->offset_bytes);
        return false;
    }
    if (lseek(input->fd, (off_t)position->offset_bytes, SEEK_SET) >= 0) { return true; }
    complain(input, "%s: %s", name_of(input, position->file), strerror(errno));
    return false;
}

/* ------------------------------------------------------------------------------------- buffer */

static size_t held_bytes(const struct record_input *input) { return input->end - input->begin; }

static void make_room(struct record_input *input)
{
    if (input->begin > 0) {
        memmove(input->buffer, input->buffer + input->begin, held_bytes(input));
        input->end -= input->begin;
        input->begin = 0;
    }
    if (input->end < input->capacity_bytes) { return; }
    input->capacity_bytes *= 2;
    input->buffer = allocate_again(input->buffer, 1, input->capacity_bytes);
}

/* INPUT_RECORD: there is more in the buffer, or `ended`. */
static enum input_result fill(struct record_input *input)
{
    make_room(input);
    struct pollfd readable = {.fd = input->fd, .events = POLLIN};
    const int ready = poll(&readable, 1, RECORD_INPUT_WAIT_MS);
    if (ready == 0 || (ready < 0 && errno == EINTR)) { return INPUT_WAITING; }
    const ssize_t got =
        read(input->fd, input->buffer + input->end, input->capacity_bytes - input->end);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) { return INPUT_WAITING; }
    if (got < 0) {
        complain(input, "%s: %s", name_of(input, input->position.file), strerror(errno));
        return INPUT_UNREADABLE;
    }
    input->ended = got == 0;
    input->end += (size_t)got;
    return INPUT_RECORD;
}

/* Takes what was handed out, and what stood around it. */
static void move_on(struct record_input *input, size_t len_bytes)
{
    input->begin += len_bytes;
    input->searched = 0;
    input->position.offset_bytes += len_bytes;
    input->position.line++;
}

COLD static enum input_result refuse_record(struct record_input *input, const char *why)
{
    complain(input, "%s:%" PRIu64 ": %s", name_of(input, input->position.file),
             input->position.line + 1, why);
    return INPUT_BAD;
}

/* -------------------------------------------------------------------------------------- lines */

/* One line without its newline; INPUT_END: the file's end. */
static enum input_result take_line(struct record_input *input, struct bytes *out)
{
    for (;;) {
        const uint8_t *const at = input->buffer + input->begin;
        const size_t held = held_bytes(input);
        const uint8_t *const newline = memchr(at + input->searched, '\n', held - input->searched);
        const size_t len_bytes = newline != NULL ? (size_t)(newline - at) : held;
        if (len_bytes > RECORD_INPUT_BYTES_MAX) {
            return refuse_record(input, "a line of more than 4 MiB");
        }
        if (newline != NULL || (input->ended && held > 0)) {
            *out = bytes_of(at, len_bytes);
            move_on(input, len_bytes + (newline != NULL ? 1 : 0));
            return INPUT_RECORD;
        }
        if (input->ended) { return INPUT_END; }
        input->searched = held;
        const enum input_result result = fill(input);
        if (result != INPUT_RECORD) { return result; }
    }
}

static enum input_result next_line(struct record_input *input, struct input_record *out)
{
    *out = (struct input_record){0};
    const enum input_result result = take_line(input, &out->value);
    const char *const delimiter = input->options.key_delimiter;
    if (result != INPUT_RECORD || delimiter == NULL) { return result; }

    const size_t delimiter_bytes = strlen(delimiter);
    const uint8_t *const found =
        memmem(out->value.at, out->value.len_bytes, delimiter, delimiter_bytes);
    if (found == NULL) { return result; }
    const size_t key_bytes = (size_t)(found - out->value.at);
    out->has_key = true;
    out->key = bytes_slice(out->value, 0, key_bytes);
    out->value = bytes_slice(out->value, key_bytes + delimiter_bytes, out->value.len_bytes);
    return result;
}

/* ------------------------------------------------------------------------------------- ndjson */

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.len_bytes; i++) {
        if (strchr(" \t\r", line.at[i]) == NULL || line.at[i] == 0) { return false; }
    }
    return true;
}

/* Strings as they are, numbers and truth values as JSON writes them; what else there is, is no key.
 */
static void take_key(struct record_input *input, struct input_record *out)
{
    const json_t *const value = json_object_get(input->json, input->options.key_field);
    if (json_is_string(value)) {
        out->has_key = true;
        out->key = bytes_of(json_string_value(value), json_string_length(value));
    } else if (json_is_number(value) || json_is_boolean(value)) {
        free(input->number);
        input->number = json_dumps(value, JSON_ENCODE_ANY);
        if (input->number == NULL) { return; }
        out->has_key = true;
        out->key = bytes_of_text(input->number);
    }
}

/* One record of `records`; NULL, or what is wrong with it. */
static const char *take_whole_record(struct input_record *out, struct record_input *input)
{
    struct record_json *const record = &input->record;
    record_json_release(record);
    const char *const wrong = record_json_decode(input->json, out->value.len_bytes, record);
    if (wrong != NULL) { return wrong; }
    *out = (struct input_record){
        .has_key = !bytes_are_null(record->key),
        .key = record->key,
        .value = record->value,
        .has_timestamp = record->has_timestamp,
        .timestamp_ms = record->timestamp_ms,
        .topic = record->topic,
        .header_count = record->header_count,
        .headers = record->headers,
    };
    return NULL;
}

/* NULL, or what is wrong with the line that stands in out->value. */
static const char *take_json(struct record_input *input, struct input_record *out)
{
    json_error_t error;
    json_decref(input->json);
    input->json = json_loadb((const char *)out->value.at, out->value.len_bytes,
                             JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (input->json == NULL) {
        snprintf(input->where, sizeof input->where, "%s", error.text);
        return input->where;
    }
    if (input->options.format == RECORD_RECORDS) { return take_whole_record(out, input); }
    if (input->options.key_field != NULL) { take_key(input, out); }
    return NULL;
}

static enum input_result next_json(struct record_input *input, struct input_record *out)
{
    for (;;) {
        *out = (struct input_record){0};
        const struct input_position before = input->position;
        const enum input_result result = take_line(input, &out->value);
        if (result != INPUT_RECORD) { return result; }
        if (is_blank(out->value)) { continue; }

        const char *const wrong = take_json(input, out);
        if (wrong == NULL) { return INPUT_RECORD; }
        if (!input->options.skip_bad) {
            input->position = before; /* who goes on from here meets it again */
            return refuse_record(input, wrong);
        }
        input->position.skipped++;
    }
}

/* ---------------------------------------------------------------------------- length-prefixed */

static enum input_result next_prefixed(struct record_input *input, struct input_record *out)
{
    *out = (struct input_record){0};
    for (;;) {
        const size_t held = held_bytes(input);
        size_t needed = PREFIX_BYTES;
        if (held >= PREFIX_BYTES) {
            const uint32_t len_bytes = load_be32(input->buffer + input->begin);
            if (len_bytes > RECORD_INPUT_BYTES_MAX) {
                return refuse_record(input, "a length of more than 4 MiB");
            }
            needed += len_bytes;
        }
        if (held >= PREFIX_BYTES && held >= needed) {
            out->value =
                bytes_of(input->buffer + input->begin + PREFIX_BYTES, needed - PREFIX_BYTES);
            move_on(input, needed);
            return INPUT_RECORD;
        }
        if (input->ended && held == 0) { return INPUT_END; }
        if (input->ended) { return refuse_record(input, "the file ends inside this record"); }
        const enum input_result result = fill(input);
        if (result != INPUT_RECORD) { return result; }
    }
}

/* ---------------------------------------------------------------------------------- all files */

static enum input_result next_of_file(struct record_input *input, struct input_record *out)
{
    switch (input->options.format) {
    case RECORD_LINES: return next_line(input, out);
    case RECORD_NDJSON:
    case RECORD_RECORDS: return next_json(input, out);
    case RECORD_LENGTH_PREFIXED: return next_prefixed(input, out);
    }
    assert(!"a format that nobody reads");
    return INPUT_BAD;
}

enum input_result record_input_next(struct record_input *input, struct input_record *out)
{
    for (;;) {
        const enum input_result result = next_of_file(input, out);
        if (result != INPUT_END) { return result; }
        if (input->position.file + 1 == input->options.path_count) { return INPUT_END; }
        close_file(input);
        input->position.file++;
        input->position.offset_bytes = 0;
        input->position.line = 0;
        if (!open_file(input)) { return INPUT_UNREADABLE; }
    }
}

struct input_position record_input_position(const struct record_input *input)
{
    return input->position;
}

const char *record_input_where(struct record_input *input)
{
    snprintf(input->where, sizeof input->where, "%s:%" PRIu64, name_of(input, input->position.file),
             input->position.line);
    return input->where;
}

const char *record_input_error(const struct record_input *input) { return input->error; }

uint64_t record_input_done_bytes(const struct record_input *input, uint64_t *out_total)
{
    uint64_t done = input->position.offset_bytes;
    bool known = true;
    *out_total = 0;
    for (size_t i = 0; i < input->options.path_count; i++) {
        known = known && input->files[i].is_regular;
        *out_total += input->files[i].size_bytes;
        if (i < input->position.file) { done += input->files[i].size_bytes; }
    }
    if (!known) { *out_total = 0; }
    return done;
}

struct input_identity record_input_identity(const struct record_input *input, size_t file)
{
    return input->files[file];
}
