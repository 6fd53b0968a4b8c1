/* Which part of a record a rule looks in: "value", "header:NAME", "json:.http.status". */
#include <string.h>

#include "base/invariant.h"
#include "pipeline/decode.h"
#include "pipeline/json_paths.h"
#include "pipeline/rules_reading.h"

enum { HEADER_NAME_BYTES_MAX = 255 };

static bool remember_json_path(struct rules_reading *reading, const struct yaml_node *node,
                               const char *path)
{
    for (size_t i = 0; i < reading->json_path_count; i++) {
        if (strcmp(reading->json_paths[i], path) == 0) { return true; }
    }
    if (reading->json_path_count == RULES_JSON_PATHS_MAX) {
        rules_refuse(reading, node->place,
                     "a JSON path too many: all rules together look at no more than %d",
                     (int)RULES_JSON_PATHS_MAX);
        return false;
    }
    reading->json_paths[reading->json_path_count++] = path;
    return true;
}

static bool read_json_field(struct rules_reading *reading, const struct yaml_node *node,
                            const char *path, struct rule_field *out)
{
    if (!json_path_is_valid(bytes_of_text(path))) {
        rules_refuse(
            reading, node->place,
            "'%s' is no JSON path; write .http.status, .items[0].id or .\"odd name\": up to "
            "%d steps and %d bytes",
            path, (int)RULES_JSON_DEPTH_MAX, (int)RULES_JSON_PATH_BYTES_MAX);
        return false;
    }
    if (!remember_json_path(reading, node, path)) { return false; }
    out->kind = RULE_FIELD_JSON;
    out->name = bytes_of_text(path);
    return true;
}

/* ------------------------------------------------------------------------------- all fields */

static bool read_header_field(const struct rules_reading *reading, const struct yaml_node *node,
                              const char *name, struct rule_field *out)
{
    if (name[0] == '\0' || strlen(name) > HEADER_NAME_BYTES_MAX) {
        rules_refuse(reading, node->place, "a header's name has 1 to %d bytes: header:trace-id",
                     (int)HEADER_NAME_BYTES_MAX);
        return false;
    }
    out->kind = RULE_FIELD_HEADER;
    out->name = bytes_of_text(name);
    return true;
}

static const struct {
    const char *name;
    enum rule_field_kind kind;
} plain_fields[] = {
    {"value", RULE_FIELD_VALUE},
    {"key", RULE_FIELD_KEY},
    {"listener", RULE_FIELD_LISTENER},
    {"source", RULE_FIELD_SOURCE},
};

static void refuse_field(const struct rules_reading *reading, const struct yaml_node *node)
{
    enum { PLAIN_COUNT = ARRAY_COUNT(plain_fields) };
    const char *names[PLAIN_COUNT + 2 + SYSLOG_FIELD_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < PLAIN_COUNT; i++) { names[count++] = plain_fields[i].name; }
    names[count++] = "header:NAME";
    names[count++] = "json:.PATH";
    for (int i = 0; i < SYSLOG_FIELD_COUNT; i++) {
        names[count++] = syslog_field_name((enum syslog_field)i);
    }
    rules_refuse_unknown(reading, node->place, "field", node->text, names, count);
}

bool rules_read_field(struct rules_reading *reading, const struct yaml_node *node,
                      struct rule_field *out)
{
    static const char header[] = "header:";
    static const char json[] = "json:";
    *out = (struct rule_field){.kind = RULE_FIELD_VALUE};
    const char *const text = rules_read_scalar(reading, node, "the name of a field");
    if (text == NULL) { return false; }

    if (strncmp(text, header, sizeof header - 1) == 0) {
        return read_header_field(reading, node, text + sizeof header - 1, out);
    }
    if (strncmp(text, json, sizeof json - 1) == 0) {
        return read_json_field(reading, node, text + sizeof json - 1, out);
    }
    for (size_t i = 0; i < ARRAY_COUNT(plain_fields); i++) {
        if (strcmp(text, plain_fields[i].name) != 0) { continue; }
        out->kind = plain_fields[i].kind;
        return true;
    }
    for (int i = 0; i < SYSLOG_FIELD_COUNT; i++) { /* a decoder's headers: this name is theirs */
        if (strcmp(text, syslog_field_name((enum syslog_field)i)) != 0) { continue; }
        out->kind = RULE_FIELD_HEADER;
        out->name = bytes_of_text(text);
        return true;
    }
    refuse_field(reading, node);
    return false;
}
