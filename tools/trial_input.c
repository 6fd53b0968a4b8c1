#include "tools/trial_input.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "pipeline/decode.h"

enum { ERROR_BYTES = 512 };

struct trial_input {
    struct trial_input_options options;
    uint16_t listener;
    struct record_input *lines; /* NULL: decoding alone */
    json_t *json;               /* the record's */
    struct record_json fields;
    char where[ERROR_BYTES];
    char error[ERROR_BYTES];
};

bool trial_format_parse(const char *text, enum trial_format *out)
{
    static const char *const names[] = {
        [TRIAL_LINES] = "lines", [TRIAL_SYSLOG] = "syslog", [TRIAL_NDJSON] = "ndjson"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(text, names[i]) != 0) { continue; }
        *out = (enum trial_format)i;
        return true;
    }
    return false;
}

/* ----------------------------------------------------------------------------------- addresses */

static const uint8_t mapped_front[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool trial_address_parse(const char *text, uint8_t out[16])
{
    if (inet_pton(AF_INET6, text, out) == 1) { return true; }
    memcpy(out, mapped_front, sizeof mapped_front);
    return inet_pton(AF_INET, text, out + sizeof mapped_front) == 1;
}

const char *trial_address_text(const uint8_t address[16], char out[TRIAL_ADDRESS_BYTES])
{
    static const uint8_t unknown[16];
    const bool mapped = memcmp(address, mapped_front, sizeof mapped_front) == 0;
    const char *const text =
        mapped ? inet_ntop(AF_INET, address + sizeof mapped_front, out, TRIAL_ADDRESS_BYTES)
               : inet_ntop(AF_INET6, address, out, TRIAL_ADDRESS_BYTES);
    if (text == NULL || memcmp(address, unknown, sizeof unknown) == 0) {
        snprintf(out, TRIAL_ADDRESS_BYTES, "-");
    }
    return out;
}

/* ------------------------------------------------------------------------------------- opening */

/* Listeners are named "PROTOCOL:PORT". */
static int32_t first_of_protocol(const struct candidate_world *world, enum trial_format format)
{
    static const char *const protocols[] = {
        [TRIAL_LINES] = "lines:", [TRIAL_SYSLOG] = "syslog:", [TRIAL_NDJSON] = "native:"};
    for (size_t i = 0; i < world->listener_count; i++) {
        if (strncmp(world->listeners[i], protocols[format], strlen(protocols[format])) == 0) {
            return (int32_t)i;
        }
    }
    return 0;
}

struct trial_input *trial_input_create(const struct trial_input_options *options, char *error,
                                       size_t error_bytes)
{
    const struct candidate_world *const world = options->world;
    const int32_t listener = options->listener != NULL
                                 ? candidate_world_listener(world, options->listener)
                                 : first_of_protocol(world, options->format);
    if (listener < 0 || (size_t)listener >= world->listener_count) {
        snprintf(error, error_bytes, "no listener '%s' in the configuration",
                 options->listener != NULL ? options->listener : "");
        return NULL;
    }
    struct trial_input *const input = allocate_zeroed(1, sizeof *input);
    input->options = *options;
    input->listener = (uint16_t)listener;
    if (options->path != NULL) {
        const struct record_input_options lines = {
            .paths = &input->options.path, .path_count = 1, .format = RECORD_LINES};
        input->lines = record_input_create(&lines, error, error_bytes);
        if (input->lines == NULL) {
            free(input);
            return NULL;
        }
    }
    return input;
}

void trial_input_destroy(struct trial_input *input)
{
    if (input == NULL) { return; }
    record_input_destroy(input->lines);
    record_json_release(&input->fields);
    json_decref(input->json);
    free(input);
}

/* -------------------------------------------------------------------------------------- decode */

static enum syslog_value syslog_value_of(const struct trial_input *input)
{
    const struct config *const config = input->options.world->config;
    int value = input->options.syslog_value;
    if (value < 0 && config != NULL) { value = config->listeners[input->listener].syslog_value; }
    return value == CONFIG_SYSLOG_PARSED ? SYSLOG_VALUE_PARSED : SYSLOG_VALUE_RAW;
}

static const char *decode_datagram(const struct trial_input *input, struct bytes bytes,
                                   struct trial_record *out)
{
    const enum syslog_result result =
        decode_syslog(bytes, syslog_value_of(input), out->headers, &out->record);
    return result == SYSLOG_EMPTY ? "an empty datagram, which is no record" : NULL;
}

static const char *take_listener(struct trial_input *input, const json_t *name,
                                 struct trial_record *out)
{
    if (name == NULL) { return NULL; }
    const char *const text = json_string_value(name);
    const int32_t listener =
        text != NULL ? candidate_world_listener(input->options.world, text) : -1;
    if (listener < 0) {
        snprintf(input->error, sizeof input->error, "no listener '%s' in the configuration",
                 text != NULL ? text : "");
        return input->error;
    }
    out->record.listener = (uint16_t)listener;
    return NULL;
}

static const char *take_topic(struct trial_input *input, const char *name, struct trial_record *out)
{
    if (name == NULL) { return NULL; }
    out->record.topic = candidate_world_topic(input->options.world, name);
    if (out->record.topic >= 0) { return NULL; }
    snprintf(input->error, sizeof input->error, "no topic '%s' in the configuration", name);
    return input->error;
}

static const char *take_source(const json_t *source, struct trial_record *out)
{
    if (source == NULL) { return NULL; }
    const char *const text = json_string_value(source);
    return text != NULL && trial_address_parse(text, out->record.source)
               ? NULL
               : "source is no IPv4 or IPv6 address";
}

/* A misspelt member would be a record that is not the one that was meant. */
static const char *refuse_unknown_members(struct trial_input *input)
{
    static const char *const known[] = {"value",    "value_base64", "key",       "key_base64",
                                        "headers",  "topic",        "timestamp", "source",
                                        "listener", "offset",       "partition"};
    const char *name;
    json_t *member;
    json_object_foreach(input->json, name, member) /* NOLINT(readability-isolate-declaration) */
    {
        bool found = false;
        for (size_t i = 0; i < ARRAY_COUNT(known); i++) { found |= strcmp(name, known[i]) == 0; }
        if (found) { continue; }
        snprintf(input->error, sizeof input->error, "no member of a record: '%.60s'", name);
        return input->error;
    }
    return NULL;
}

static const char *decode_object(struct trial_input *input, struct bytes bytes,
                                 struct trial_record *out)
{
    json_error_t error;
    record_json_release(&input->fields);
    json_decref(input->json);
    input->json = json_loadb((const char *)bytes.at, bytes.len_bytes,
                             JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (input->json == NULL) {
        snprintf(input->error, sizeof input->error, "no JSON object: %s", error.text);
        return input->error;
    }
    const char *wrong = refuse_unknown_members(input);
    if (wrong == NULL) { wrong = record_json_decode(input->json, bytes.len_bytes, &input->fields); }
    if (wrong == NULL) { wrong = take_topic(input, input->fields.topic, out); }
    if (wrong == NULL) { wrong = take_source(json_object_get(input->json, "source"), out); }
    if (wrong == NULL) {
        wrong = take_listener(input, json_object_get(input->json, "listener"), out);
    }
    if (wrong != NULL) { return wrong; }
    if (input->fields.header_count > RECORD_HEADERS_MAX) { return "too many headers"; }
    out->record.key = input->fields.key;
    out->record.value = input->fields.value;
    out->record.timestamp_ms = input->fields.timestamp_ms;
    out->has_timestamp = input->fields.has_timestamp;
    out->record.header_count = (uint16_t)input->fields.header_count;
    for (uint32_t i = 0; i < input->fields.header_count; i++) {
        const struct record_json_header *const header = &input->fields.headers[i];
        out->headers[i] = (struct record_header){bytes_of_text(header->name), header->value};
    }
    return NULL;
}

const char *trial_input_decode(struct trial_input *input, struct bytes bytes,
                               struct trial_record *out)
{
    *out = (struct trial_record){0};
    out->record.topic = RECORD_NO_TOPIC;
    out->record.listener = input->listener;
    const char *wrong = NULL;
    switch (input->options.format) {
    case TRIAL_LINES: out->record.value = bytes; break;
    case TRIAL_SYSLOG: wrong = decode_datagram(input, bytes, out); break;
    case TRIAL_NDJSON: wrong = decode_object(input, bytes, out); break;
    }
    out->record.topic = wrong == NULL ? out->record.topic : RECORD_NO_TOPIC;
    out->record.headers = out->record.header_count > 0 ? out->headers : NULL;
    return wrong;
}

/* ------------------------------------------------------------------------------------- reading */

static enum input_result next_line(struct trial_input *input, struct bytes *out)
{
    struct input_record line;
    enum input_result result;
    do {
        result = record_input_next(input->lines, &line);
    } while (result == INPUT_WAITING);
    *out = line.value;
    return result;
}

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.len_bytes; i++) {
        if (line.at[i] != ' ' && line.at[i] != '\t' && line.at[i] != '\r') { return false; }
    }
    return true;
}

enum input_result trial_input_next(struct trial_input *input, struct trial_record *out)
{
    for (;;) {
        struct bytes line;
        const enum input_result result = next_line(input, &line);
        if (result == INPUT_END) { return INPUT_END; }
        if (result != INPUT_RECORD) {
            snprintf(input->error, sizeof input->error, "%s", record_input_error(input->lines));
            return result;
        }
        if (input->options.format == TRIAL_SYSLOG && line.len_bytes == 0) { continue; }
        if (input->options.format == TRIAL_NDJSON && is_blank(line)) { continue; }
        const char *const wrong = trial_input_decode(input, line, out);
        if (wrong == NULL) { return INPUT_RECORD; }
        snprintf(input->where, sizeof input->where, "%s: %s", record_input_where(input->lines),
                 wrong);
        snprintf(input->error, sizeof input->error, "%s", input->where);
        return INPUT_BAD;
    }
}

const char *trial_input_where(struct trial_input *input)
{
    return record_input_where(input->lines);
}

const char *trial_input_error(const struct trial_input *input) { return input->error; }
