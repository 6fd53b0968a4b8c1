#include "client/producer_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/units.h"
#include "base/yaml.h"
#include "client/udp_driver.h"

enum key_kind { KIND_TEXT, KIND_NUMBER, KIND_SIZE, KIND_DURATION, KIND_CHOICE, KIND_ADDRESS };

struct key {
    const char *name;
    enum key_kind kind;
    const char *standard; /* NULL: none */
    uint64_t min;
    uint64_t max;
    const char *words[2]; /* of a choice */
};

#define GIB (UINT64_C(1) << 30)

static const struct key keys[PRODUCER_CONFIG_KEY_COUNT] = {
    [PRODUCER_CONFIG_SERVERS] = {"servers", KIND_TEXT, NULL, 0, 0, {NULL}},
    [PRODUCER_CONFIG_PRODUCER_ID] = {"producer.id", KIND_TEXT, NULL, 0, 0, {NULL}},
    [PRODUCER_CONFIG_PRODUCER_EPOCH] = {"producer.epoch", KIND_NUMBER, NULL, 1, UINT64_MAX, {NULL}},
    [PRODUCER_CONFIG_LANES] = {"lanes", KIND_NUMBER, "8", 1, PENSTOCK_LANES_MAX, {NULL}},
    [PRODUCER_CONFIG_TOPIC] = {"topic", KIND_TEXT, NULL, 0, 0, {NULL}},
    [PRODUCER_CONFIG_ON_LANE_UNKNOWN] =
        {"on.lane.unknown", KIND_CHOICE, "fail", 0, 0, {"fail", "begin"}},
    [PRODUCER_CONFIG_QUEUE_BYTES] = {"queue.bytes", KIND_SIZE, "64MiB", 4096, 64 * GIB, {NULL}},
    [PRODUCER_CONFIG_QUEUE_RECORDS] =
        {"queue.records", KIND_NUMBER, "131072", 1, UINT64_C(1) << 28, {NULL}},
    [PRODUCER_CONFIG_RECORD_BYTES] = {"record.bytes", KIND_SIZE, "900KiB", 1, 4 << 20, {NULL}},
    [PRODUCER_CONFIG_LINGER] = {"linger", KIND_DURATION, "1ms", 0, UINT64_C(60) * NS_PER_S, {NULL}},
    [PRODUCER_CONFIG_DATAGRAM_BYTES] =
        {"datagram.bytes", KIND_SIZE, "1472", 1200, UDP_DRIVER_DATAGRAM_BYTES_MAX, {NULL}},
    [PRODUCER_CONFIG_STICKY_BYTES] = {"sticky.bytes", KIND_SIZE, "16KiB", 1, GIB, {NULL}},
    [PRODUCER_CONFIG_SESSION_KEEP_OPEN] =
        {"session.keep_open", KIND_CHOICE, "false", 0, 0, {"false", "true"}},
    [PRODUCER_CONFIG_BIND] = {"bind", KIND_ADDRESS, NULL, 0, 0, {NULL}},
    [PRODUCER_CONFIG_GSO] = {"gso", KIND_CHOICE, "auto", 0, 0, {"off", "auto"}},
    [PRODUCER_CONFIG_REPORTS] = {"reports", KIND_CHOICE, "all", 0, 0, {"none", "all"}},
    [PRODUCER_CONFIG_RECEIPTS] = {"receipts", KIND_TEXT, NULL, 0, 0, {NULL}},
    [PRODUCER_CONFIG_RECEIPTS_SYNC] =
        {"receipts.sync", KIND_CHOICE, "never", 0, 0, {"never", "always"}},
};

void producer_config_say(char *error, size_t error_bytes, const char *format, ...)
{
    if (error == NULL || error_bytes == 0) { return; }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
}

/* ------------------------------------------------------------------------------------- values */

static bool number_parse(const char *text, uint64_t *out)
{
    if (text[0] < '0' || text[0] > '9') { return false; }
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool choice_parse(const struct key *key, const char *text, uint64_t *out)
{
    for (*out = 0; *out < ARRAY_COUNT(key->words); ++*out) {
        if (strcmp(text, key->words[*out]) == 0) { return true; }
    }
    return false;
}

static bool in_range(const struct key *key, uint64_t value)
{
    return value >= key->min && value <= key->max;
}

/* What a value of this key looks like, for the one who got it wrong. */
static const char *expectation_of(const struct key *key, char *out, size_t capacity)
{
    char min[UNITS_TEXT_BYTES];
    char max[UNITS_TEXT_BYTES];
    switch (key->kind) {
    case KIND_TEXT: snprintf(out, capacity, "a text that is not empty"); break;
    case KIND_ADDRESS: snprintf(out, capacity, "an IPv4 address"); break;
    case KIND_CHOICE: snprintf(out, capacity, "%s or %s", key->words[0], key->words[1]); break;
    case KIND_NUMBER:
        snprintf(out, capacity, "a number from %llu to %llu", (unsigned long long)key->min,
                 (unsigned long long)key->max);
        break;
    case KIND_SIZE:
        snprintf(out, capacity, "a size from %s to %s",
                 units_format_size(key->min, min, sizeof min),
                 units_format_size(key->max, max, sizeof max));
        break;
    case KIND_DURATION:
        snprintf(out, capacity, "a duration from %s to %s, such as 5ms",
                 units_format_duration(key->min, min, sizeof min),
                 units_format_duration(key->max, max, sizeof max));
        break;
    }
    return out;
}

static bool value_parse(const struct key *key, const char *text, uint64_t *out,
                        struct in_addr *address)
{
    switch (key->kind) {
    case KIND_TEXT: return text[0] != '\0';
    case KIND_ADDRESS: return inet_pton(AF_INET, text, address) == 1;
    case KIND_CHOICE: return choice_parse(key, text, out);
    case KIND_NUMBER: return number_parse(text, out) && in_range(key, *out);
    case KIND_SIZE: return units_parse_size(text, out) && in_range(key, *out);
    case KIND_DURATION: return units_parse_duration(text, out) && in_range(key, *out);
    }
    return false;
}

static int key_index(const char *name)
{
    for (int i = 0; i < PRODUCER_CONFIG_KEY_COUNT; i++) {
        if (strcmp(name, keys[i].name) == 0) { return i; }
    }
    return -1;
}

COLD static enum penstock_result refuse_unknown(const char *name, char *error, size_t error_bytes)
{
    const char *names[PRODUCER_CONFIG_KEY_COUNT];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) { names[i] = keys[i].name; }
    const char *const nearest = yaml_nearest(name, names, ARRAY_COUNT(names));
    if (nearest != NULL) {
        producer_config_say(error, error_bytes, "unknown key '%s'; did you mean '%s'?", name,
                            nearest);
    } else {
        producer_config_say(error, error_bytes, "unknown key '%s'", name);
    }
    return PENSTOCK_INVALID;
}

/* ------------------------------------------------------------------------------------ the face */

enum penstock_result penstock_config_set(struct penstock_config *config, const char *key,
                                         const char *value, char *error, size_t error_bytes)
{
    if (config == NULL || key == NULL || value == NULL) {
        producer_config_say(error, error_bytes, "config, key and value must not be NULL");
        return PENSTOCK_INVALID;
    }
    const int index = key_index(key);
    if (index < 0) { return refuse_unknown(key, error, error_bytes); }

    uint64_t number = 0;
    struct in_addr address = config->bind;
    if (!value_parse(&keys[index], value, &number, &address)) {
        char expectation[96];
        producer_config_say(error, error_bytes, "%s: '%s' is not %s", key, value,
                            expectation_of(&keys[index], expectation, sizeof expectation));
        return PENSTOCK_INVALID;
    }
    char *const text = strdup(value);
    if (text == NULL) { return PENSTOCK_NO_MEMORY; }
    free(config->texts[index]);
    config->texts[index] = text;
    config->numbers[index] = number;
    config->bind = address;
    return PENSTOCK_OK;
}

struct penstock_config *penstock_config_new(void)
{
    struct penstock_config *const config = calloc(1, sizeof *config);
    if (config == NULL) { return NULL; }
    for (size_t i = 0; i < PRODUCER_CONFIG_KEY_COUNT; i++) {
        if (keys[i].standard == NULL) { continue; }
        const enum penstock_result result =
            penstock_config_set(config, keys[i].name, keys[i].standard, NULL, 0);
        assert(result != PENSTOCK_INVALID);
        if (result != PENSTOCK_OK) {
            penstock_config_free(config);
            return NULL;
        }
    }
    return config;
}

void penstock_config_free(struct penstock_config *config)
{
    if (config == NULL) { return; }
    for (size_t i = 0; i < PRODUCER_CONFIG_KEY_COUNT; i++) { free(config->texts[i]); }
    free(config);
}

struct penstock_config *producer_config_copy(const struct penstock_config *config)
{
    struct penstock_config *const copy = malloc(sizeof *copy);
    if (copy == NULL) { return NULL; }
    *copy = *config;
    bool complete = true;
    for (size_t i = 0; i < PRODUCER_CONFIG_KEY_COUNT; i++) {
        if (config->texts[i] == NULL) { continue; }
        copy->texts[i] = strdup(config->texts[i]);
        complete = complete && copy->texts[i] != NULL;
    }
    if (complete) { return copy; }
    penstock_config_free(copy);
    return NULL;
}

const char *penstock_config_get(const struct penstock_config *config, const char *key)
{
    const int index = key_index(key);
    return index < 0 ? NULL : config->texts[index];
}

enum penstock_result penstock_config_set_lane(struct penstock_config *config,
                                              const struct penstock_lane_start *start)
{
    if (start->lane >= PENSTOCK_LANES_MAX) { return PENSTOCK_INVALID; }
    if (start->oldest_held == 0) { return PENSTOCK_INVALID; }
    if (start->durable != PENSTOCK_UNKNOWN && start->oldest_held <= start->durable) {
        return PENSTOCK_INVALID;
    }
    config->starts[start->lane] = *start;
    config->has_start[start->lane] = true;
    return PENSTOCK_OK;
}

void penstock_config_on_report(struct penstock_config *config, penstock_on_report *callback,
                               void *context)
{
    config->on_report = callback;
    config->report_context = context;
}

void penstock_config_on_event(struct penstock_config *config, penstock_on_event *callback,
                              void *context)
{
    config->on_event = callback;
    config->event_context = context;
}

/* ---------------------------------------------------------------------------------- the server */

bool producer_config_resolve(const struct penstock_config *config, struct sockaddr_in *out,
                             char *error, size_t error_bytes)
{
    const char *const text = config->texts[PRODUCER_CONFIG_SERVERS];
    const char *const colon = text == NULL ? NULL : strrchr(text, ':');
    uint64_t port = 0;
    if (text == NULL) {
        producer_config_say(error, error_bytes, "servers is required: HOST:PORT of an appliance");
        return false;
    }
    if (colon == NULL || colon == text || strchr(text, ',') != NULL ||
        !number_parse(colon + 1, &port) || port == 0 || port > UINT16_MAX) {
        producer_config_say(error, error_bytes, "servers: '%s' is not one HOST:PORT", text);
        return false;
    }
    char *const host = strndup(text, (size_t)(colon - text));
    if (host == NULL) {
        producer_config_say(error, error_bytes, "out of memory");
        return false;
    }
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    const int failed = getaddrinfo(host, NULL, &hints, &found);
    free(host);
    if (failed != 0) {
        producer_config_say(error, error_bytes, "servers: '%s': %s", text, gai_strerror(failed));
        return false;
    }
    memcpy(out, found->ai_addr, sizeof *out);
    out->sin_port = htons((uint16_t)port);
    freeaddrinfo(found);
    return true;
}
