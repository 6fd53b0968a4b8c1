#include "tools/send_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/allocate.h"
#include "tools/json_text.h"

enum { FORMAT_VERSION = 1, PATH_BYTES_MAX = 4096 };

#define FORMAT_KEY "penstock_send_state"

/* ------------------------------------------------------------------------------------- to JSON */

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_text_of(text, strlen(text)) : json_null();
}

static json_t *inputs_json(const struct send_plan *plan, const struct record_input *input)
{
    json_t *const files = json_array();
    for (size_t i = 0; i < plan->input->path_count; i++) {
        const struct input_identity identity = record_input_identity(input, i);
        json_array_append_new(files, json_pack("{s:o, s:I, s:I}", "path",
                                               text_or_null(plan->input->paths[i]), "device",
                                               (json_int_t)identity.device, "inode",
                                               (json_int_t)identity.inode));
    }
    return files;
}

/* What must be the same when it is resumed, as it stands in the file: compared member by member. */
static json_t *plan_json(const struct send_plan *plan, const struct record_input *input)
{
    return json_pack(
        "{s:I, s:o, s:I, s:s, s:o, s:o, s:b, s:o}", "lanes", (json_int_t)plan->lanes, "topic",
        text_or_null(plan->topic), "record_bytes_max", (json_int_t)plan->record_bytes_max, "format",
        record_format_text(plan->input->format), "key_field", text_or_null(plan->input->key_field),
        "key_delimiter", text_or_null(plan->input->key_delimiter), "skip_bad",
        plan->input->skip_bad, "inputs", inputs_json(plan, input));
}

static json_t *checkpoint_json(const struct send_checkpoint *checkpoint, uint32_t lanes)
{
    json_t *const counts = json_array();
    for (uint32_t i = 0; i < lanes; i++) {
        json_array_append_new(counts, json_integer((json_int_t)checkpoint->counts[i]));
    }
    const struct input_position *const position = &checkpoint->position;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "file", (json_int_t)position->file,
                     "offset_bytes", (json_int_t)position->offset_bytes, "line",
                     (json_int_t)position->line, "skipped", (json_int_t)position->skipped,
                     "records", (json_int_t)checkpoint->records, "lane_records", counts);
}

/* ----------------------------------------------------------------------------------- from JSON */

static bool number_of(const json_t *object, const char *name, uint64_t *out)
{
    const json_t *const value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0) { return false; }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool bool_of(const json_t *object, const char *name, bool *out)
{
    const json_t *const value = json_object_get(object, name);
    *out = json_is_true(value);
    return json_is_boolean(value);
}

static bool checkpoint_of(const json_t *object, uint32_t lanes, struct send_checkpoint *out)
{
    struct input_position *const position = &out->position;
    const json_t *const counts = json_object_get(object, "lane_records");
    if (json_array_size(counts) != lanes) { return false; }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < lanes; i++) {
        const json_t *const count = json_array_get(counts, i);
        if (!json_is_integer(count) || json_integer_value(count) < 0) { return false; }
        out->counts[i] = (uint64_t)json_integer_value(count);
        sum += out->counts[i];
    }
    return number_of(object, "file", &position->file) &&
           number_of(object, "offset_bytes", &position->offset_bytes) &&
           number_of(object, "line", &position->line) &&
           number_of(object, "skipped", &position->skipped) &&
           number_of(object, "records", &out->records) && out->records == sum;
}

static bool id_of(const json_t *object, char out[SEND_STATE_ID_BYTES])
{
    const char *const text = json_string_value(json_object_get(object, "producer_id"));
    if (text == NULL || strspn(text, "0123456789abcdef") != SEND_STATE_ID_BYTES - 1 ||
        strlen(text) != SEND_STATE_ID_BYTES - 1) {
        return false;
    }
    memcpy(out, text, SEND_STATE_ID_BYTES);
    return true;
}

/* NULL, or the first member of the plan that differs. */
static const char *difference_of(const json_t *kept, const json_t *wanted)
{
    static const char *const members[] = {"inputs",        "format",   "lanes", "key_field",
                                          "key_delimiter", "skip_bad", "topic", "record_bytes_max"};
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        const char *const name = members[i];
        if (!json_equal(json_object_get(kept, name), json_object_get(wanted, name))) {
            return name;
        }
    }
    return NULL;
}

static enum send_state_result compare(const char *path, const json_t *kept,
                                      const struct send_plan *plan,
                                      const struct record_input *input, char *error,
                                      size_t error_bytes)
{
    json_t *const wanted = plan_json(plan, input);
    const char *const name = difference_of(kept, wanted);
    if (name != NULL) {
        char *const old = json_dumps(json_object_get(kept, name), JSON_ENCODE_ANY);
        char *const new = json_dumps(json_object_get(wanted, name), JSON_ENCODE_ANY);
        snprintf(error, error_bytes, "%s was begun with other %s: %.300s there, %.300s now", path,
                 name, old != NULL ? old : "?", new != NULL ? new : "?");
        free(old);
        free(new);
    }
    json_decref(wanted);
    return name == NULL ? SEND_STATE_OK : SEND_STATE_OTHER;
}

static bool fields_of(const json_t *object, uint32_t lanes, struct send_state *out)
{
    return id_of(object, out->id) && number_of(object, "epoch", &out->epoch) &&
           bool_of(object, "begun", &out->begun) && bool_of(object, "complete", &out->complete) &&
           bool_of(object, "broken", &out->broken) &&
           checkpoint_of(json_object_get(object, "checkpoint"), lanes, &out->checkpoint);
}

enum send_state_result send_state_read(const char *path, const struct send_plan *plan,
                                       const struct record_input *input, struct send_state *out,
                                       char *error, size_t error_bytes)
{
    *out = (struct send_state){0};
    if (access(path, F_OK) != 0 && errno == ENOENT) { return SEND_STATE_ABSENT; }
    json_error_t wrong;
    json_t *const file = json_load_file(path, 0, &wrong);
    uint64_t version = 0;
    if (file == NULL || !number_of(file, FORMAT_KEY, &version) || version != FORMAT_VERSION) {
        snprintf(error, error_bytes, "%s: %s", path,
                 file == NULL   ? wrong.text
                 : version == 0 ? "not a state of penstock send"
                                : "a state of a later penstock send");
        json_decref(file);
        return SEND_STATE_UNREADABLE;
    }
    enum send_state_result result =
        compare(path, json_object_get(file, "plan"), plan, input, error, error_bytes);
    if (result == SEND_STATE_OK && !fields_of(file, plan->lanes, out)) {
        snprintf(error, error_bytes, "%s: a state with damaged fields", path);
        result = SEND_STATE_UNREADABLE;
    }
    json_decref(file);
    if (result == SEND_STATE_OK) { out->path = allocate_text(path); }
    return result;
}

void send_state_begin(const char *path, const char *id, struct send_state *out)
{
    *out = (struct send_state){.path = allocate_text(path)};
    for (size_t i = 0; i + 1 < SEND_STATE_ID_BYTES && id[i] != '\0'; i++) {
        const char digit = id[i];
        out->id[i] = digit >= 'A' && digit <= 'F' ? (char)(digit - 'A' + 'a') : digit;
    }
}

void send_state_deinit(struct send_state *state)
{
    free(state->path);
    state->path = NULL;
}

/* -------------------------------------------------------------------------------------- the file
 */

static bool write_all(int fd, const char *text, size_t len_bytes)
{
    while (len_bytes > 0) {
        const ssize_t written = write(fd, text, len_bytes);
        if (written < 0 && errno == EINTR) { continue; }
        if (written <= 0) { return false; }
        text += written;
        len_bytes -= (size_t)written;
    }
    return true;
}

static bool sync_folder(const char *path)
{
    char copy[PATH_BYTES_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { return false; }
    const bool synced = fsync(fd) == 0;
    close(fd);
    return synced;
}

static bool replace(const char *path, const char *text)
{
    char temporary[PATH_BYTES_MAX];
    const int len = snprintf(temporary, sizeof temporary, "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) { return false; }
    const bool written = write_all(fd, text, strlen(text)) && fsync(fd) == 0;
    const int error = errno;
    close(fd);
    errno = error;
    return written && rename(temporary, path) == 0 && sync_folder(path);
}

bool send_state_write(const struct send_state *state, const struct send_plan *plan,
                      const struct record_input *input, char *error, size_t error_bytes)
{
    json_t *const file =
        json_pack("{s:i, s:s, s:I, s:b, s:b, s:b, s:o, s:o}", FORMAT_KEY, FORMAT_VERSION,
                  "producer_id", state->id, "epoch", (json_int_t)state->epoch, "begun",
                  state->begun, "complete", state->complete, "broken", state->broken, "checkpoint",
                  checkpoint_json(&state->checkpoint, plan->lanes), "plan", plan_json(plan, input));
    char *const text = json_dumps(file, JSON_INDENT(1));
    const bool written = text != NULL && replace(state->path, text);
    if (!written) { snprintf(error, error_bytes, "%s: %s", state->path, strerror(errno)); }
    free(text);
    json_decref(file);
    return written;
}
