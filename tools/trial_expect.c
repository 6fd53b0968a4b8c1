#include "tools/trial_expect.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

enum { ERROR_BYTES = 512 };

struct trial_expect {
    const char *path;
    struct record_input *lines;
    char error[ERROR_BYTES];
};

static const char *const members[] = {
    "number", "record", "record_base64", "verdict", "why",          "topics", "rules",
    "storm",  "key",    "key_base64",    "value",   "value_base64", "headers"};

struct trial_expect *trial_expect_open(const char *path, char *error, size_t error_bytes)
{
    struct trial_expect *const expect = allocate_zeroed(1, sizeof *expect);
    expect->path = path;
    const struct record_input_options options = {
        .paths = &expect->path, .path_count = 1, .format = RECORD_LINES};
    expect->lines = record_input_create(&options, error, error_bytes);
    if (expect->lines != NULL) { return expect; }
    free(expect);
    return NULL;
}

void trial_expect_close(struct trial_expect *expect)
{
    if (expect == NULL) { return; }
    record_input_destroy(expect->lines);
    free(expect);
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        if (strcmp(members[i], name) == 0) { return true; }
    }
    return false;
}

const char *trial_expect_fault(struct trial_expect *expect, const json_t *expected)
{
    if (!json_is_object(expected)) { return "an expectation is an object"; }
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)expected, name, member)
    {
        if (is_known(name)) { continue; }
        snprintf(expect->error, sizeof expect->error, "no member of a result: '%.60s'", name);
        return expect->error;
    }
    return NULL;
}

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.len_bytes; i++) {
        if (line.at[i] != ' ' && line.at[i] != '\t' && line.at[i] != '\r') { return false; }
    }
    return true;
}

static enum input_result refuse(struct trial_expect *expect, const char *why)
{
    char whole[ERROR_BYTES];
    snprintf(whole, sizeof whole, "%s: %s", record_input_where(expect->lines), why);
    memcpy(expect->error, whole, sizeof whole);
    return INPUT_BAD;
}

enum input_result trial_expect_next(struct trial_expect *expect, json_t **out)
{
    struct input_record line;
    enum input_result result;
    *out = NULL;
    do {
        result = record_input_next(expect->lines, &line);
    } while (result == INPUT_WAITING || (result == INPUT_RECORD && is_blank(line.value)));
    if (result == INPUT_BAD || result == INPUT_UNREADABLE) {
        snprintf(expect->error, sizeof expect->error, "%s", record_input_error(expect->lines));
    }
    if (result != INPUT_RECORD) { return result; }

    json_error_t error;
    *out = json_loadb((const char *)line.value.at, line.value.len_bytes,
                      JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL) { return refuse(expect, error.text); }
    const char *const fault = trial_expect_fault(expect, *out);
    if (fault == NULL) { return INPUT_RECORD; }
    json_decref(*out);
    *out = NULL;
    return refuse(expect, fault);
}

const char *trial_expect_where(struct trial_expect *expect)
{
    return record_input_where(expect->lines);
}

const char *trial_expect_error(const struct trial_expect *expect) { return expect->error; }

/* ----------------------------------------------------------------------------------- comparing */

/* A member that is not there is what a member of null says: no key, stored for no reason. */
static bool is_met(const json_t *expected, const json_t *found)
{
    if (json_is_null(expected) && found == NULL) { return true; }
    if (json_is_false(expected) && found == NULL) { return true; }
    return found != NULL && json_equal(expected, found) == 1;
}

static void print_json(const json_t *value, FILE *out)
{
    if (value == NULL) {
        fputs("nothing", out);
        return;
    }
    json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

size_t trial_expect_compare(const json_t *expected, const json_t *found, const char *where,
                            FILE *out)
{
    size_t differences = 0;
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        const json_t *const wanted = json_object_get(expected, members[i]);
        const json_t *const is = json_object_get(found, members[i]);
        if (wanted == NULL || is_met(wanted, is)) { continue; }
        fprintf(out, "%s: %s: expected ", where, members[i]);
        print_json(wanted, out);
        fputs(", found ", out);
        print_json(is, out);
        fputc('\n', out);
        differences++;
    }
    return differences;
}
