#include "base/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/allocate.h"
#include "base/arena.h"
#include "base/invariant.h"

enum {
    YAML_BYTES_MAX = 16 * 1024 * 1024,
    YAML_DEPTH_MAX = 80,
};

struct yaml {
    struct arena arena;
    const char *name;
    const struct yaml_node *root;
};

/* One reading of one file. A syntax error ends it; what else is wrong is said, and it goes on. The
 * tree is of use unless a value is missing from it: that would only give errors of its own. */
struct yaml_reading {
    struct yaml *yaml;
    struct diagnostics *diagnostics;
    yaml_parser_t parser;
    const char *text;
    size_t len_bytes;
    bool broken;     /* no further event can be had */
    bool incomplete; /* some value could not be taken over */
};

struct yaml_items {
    const struct yaml_node **at;
    size_t count;
    size_t capacity;
};

/* ---- memory -------------------------------------------------------------------------- */

static void items_add(struct yaml_items *items, const struct yaml_node *node)
{
    if (items->count == items->capacity) {
        items->capacity = items->capacity * 2 + 8;
        items->at = allocate_again(items->at, items->capacity, sizeof items->at[0]);
    }
    items->at[items->count++] = node;
}

/* Moves the items into the tree. */
static const struct yaml_node *const *items_keep(struct yaml *yaml, struct yaml_items *items)
{
    const struct yaml_node **const kept =
        arena_take(&yaml->arena, items->count, sizeof items->at[0]);
    if (items->count > 0) { memcpy(kept, items->at, items->count * sizeof items->at[0]); }
    free(items->at);
    return kept;
}

/* ---- what libyaml says --------------------------------------------------------------- */

static struct file_place place_of(const struct yaml_reading *reading, const yaml_mark_t *mark)
{
    return (struct file_place){reading->yaml->name, (uint32_t)mark->line + 1,
                               (uint32_t)mark->column + 1};
}

/* A reader error (bytes that are no UTF-8) comes with an offset only. */
static struct file_place place_of_offset(const struct yaml_reading *reading, size_t offset)
{
    struct file_place place = {reading->yaml->name, 1, 1};
    for (size_t i = 0; i < offset && i < reading->len_bytes; i++) {
        place.column++;
        if (reading->text[i] == '\n') {
            place.line++;
            place.column = 1;
        }
    }
    return place;
}

/* The most common mistake, which libyaml calls "a character that cannot start any token". */
static bool line_is_indented_by_tab(const struct yaml_reading *reading, size_t line)
{
    const char *at = reading->text;
    const char *const end = at + reading->len_bytes;
    for (; line > 0 && at != NULL; line--) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at != NULL) { at++; }
    }
    if (at == NULL) { return false; }
    while (at < end && *at == ' ') { at++; }
    return at < end && *at == '\t';
}

static void say_syntax_error(struct yaml_reading *reading)
{
    const yaml_parser_t *const parser = &reading->parser;
    const char *const problem = parser->problem != NULL ? parser->problem : "no memory";
    if (parser->error == YAML_READER_ERROR) {
        diagnostics_error(reading->diagnostics, place_of_offset(reading, parser->problem_offset),
                          "not valid text: %s; a YAML file is UTF-8", problem);
        return;
    }

    const struct file_place place = place_of(reading, &parser->problem_mark);
    if (line_is_indented_by_tab(reading, parser->problem_mark.line)) {
        diagnostics_error(reading->diagnostics, place, "a tab; YAML is indented by spaces only");
    } else if (parser->context != NULL) {
        diagnostics_error(reading->diagnostics, place, "not valid YAML: %s, %s", parser->context,
                          problem);
    } else {
        diagnostics_error(reading->diagnostics, place, "not valid YAML: %s", problem);
    }
}

/* The next event, which the caller deletes; false ends the reading. */
static bool next_event(struct yaml_reading *reading, yaml_event_t *out)
{
    if (reading->broken) { return false; }
    if (yaml_parser_parse(&reading->parser, out) == 1) { return true; }
    say_syntax_error(reading);
    reading->broken = true;
    return false;
}

/* ---- from events to nodes ------------------------------------------------------------ */

static void refuse_anchor_and_tag(struct yaml_reading *reading, const yaml_event_t *event,
                                  const yaml_char_t *anchor, const yaml_char_t *tag)
{
    const struct file_place place = place_of(reading, &event->start_mark);
    if (anchor != NULL) {
        diagnostics_error(reading->diagnostics, place,
                          "anchor '&%s' is not accepted here; write the value out", anchor);
    }
    if (tag != NULL) {
        diagnostics_error(reading->diagnostics, place,
                          "tag '%s' is not accepted here; quote the value if it is text", tag);
    }
}

static struct yaml_node *node_create(struct yaml_reading *reading, enum yaml_kind kind,
                                     const yaml_event_t *event)
{
    struct yaml_node *const node = arena_take(&reading->yaml->arena, 1, sizeof *node);
    node->kind = kind;
    node->place = place_of(reading, &event->start_mark);
    return node;
}

static const struct yaml_node *read_scalar(struct yaml_reading *reading, const yaml_event_t *event)
{
    struct yaml_node *const node = node_create(reading, YAML_SCALAR, event);
    const char *const text = (const char *)event->data.scalar.value;
    const size_t len_bytes = event->data.scalar.length;

    refuse_anchor_and_tag(reading, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (memchr(text, '\0', len_bytes) != NULL) {
        diagnostics_error(reading->diagnostics, node->place, "a NUL character; text has none");
        reading->incomplete = true;
    }
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = arena_keep_text(&reading->yaml->arena, text, len_bytes);
    return node;
}

static const struct yaml_node *read_alias(struct yaml_reading *reading, const yaml_event_t *event)
{
    struct yaml_node *const node = node_create(reading, YAML_SCALAR, event);
    diagnostics_error(reading->diagnostics, node->place,
                      "alias '*%s' is not accepted here; write the value out",
                      event->data.alias.anchor);
    reading->incomplete = true;
    node->text = "";
    return node;
}

static const struct yaml_node *read_node(struct yaml_reading *reading, const yaml_event_t *event,
                                         unsigned depth);

/* The next node of a list or map; NULL at its end. */
static const struct yaml_node *read_next(struct yaml_reading *reading, yaml_event_type_t end,
                                         unsigned depth)
{
    yaml_event_t event;
    if (!next_event(reading, &event)) { return NULL; }
    const struct yaml_node *const node =
        event.type == end ? NULL : read_node(reading, &event, depth);
    yaml_event_delete(&event);
    return node;
}

static const struct yaml_node *read_list(struct yaml_reading *reading, const yaml_event_t *event,
                                         unsigned depth)
{
    struct yaml_node *const node = node_create(reading, YAML_LIST, event);
    struct yaml_items items = {0};
    refuse_anchor_and_tag(reading, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);

    const struct yaml_node *child;
    while ((child = read_next(reading, YAML_SEQUENCE_END_EVENT, depth)) != NULL) {
        items_add(&items, child);
    }

    node->child_count = items.count;
    node->children = items_keep(reading->yaml, &items);
    return node;
}

static int compare_keys(const void *left, const void *right)
{
    const struct yaml_node *const a = *(const struct yaml_node *const *)left;
    const struct yaml_node *const b = *(const struct yaml_node *const *)right;
    const int order = strcmp(a->text, b->text);
    if (order != 0) { return order; }
    if (a->place.line != b->place.line) { return a->place.line < b->place.line ? -1 : 1; }
    return (a->place.column > b->place.column) - (a->place.column < b->place.column);
}

static void refuse_duplicate_keys(struct yaml_reading *reading, const struct yaml_items *keys)
{
    struct yaml_items sorted = {0};
    for (size_t i = 0; i < keys->count; i++) { items_add(&sorted, keys->at[i]); }
    if (sorted.count > 1) { qsort(sorted.at, sorted.count, sizeof sorted.at[0], compare_keys); }

    for (size_t i = 1; i < sorted.count; i++) {
        const struct yaml_node *const earlier = sorted.at[i - 1];
        const struct yaml_node *const later = sorted.at[i];
        if (strcmp(earlier->text, later->text) != 0) { continue; }
        diagnostics_error(reading->diagnostics, later->place,
                          "key '%s' a second time; the first is on line %u", later->text,
                          earlier->place.line);
    }
    free(sorted.at);
}

static const struct yaml_node *read_map(struct yaml_reading *reading, const yaml_event_t *event,
                                        unsigned depth)
{
    struct yaml_node *const node = node_create(reading, YAML_MAP, event);
    struct yaml_items keys = {0};
    struct yaml_items values = {0};
    refuse_anchor_and_tag(reading, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);

    const struct yaml_node *key;
    while ((key = read_next(reading, YAML_MAPPING_END_EVENT, depth)) != NULL) {
        const struct yaml_node *const value = read_next(reading, YAML_NO_EVENT, depth);
        if (value == NULL) { break; }
        if (key->kind != YAML_SCALAR) {
            diagnostics_error(reading->diagnostics, key->place,
                              "a list or map as a key; a key is a word");
            reading->incomplete = true;
            continue;
        }
        items_add(&keys, key);
        items_add(&values, value);
    }

    refuse_duplicate_keys(reading, &keys);
    node->child_count = values.count;
    node->keys = items_keep(reading->yaml, &keys);
    node->children = items_keep(reading->yaml, &values);
    return node;
}

/* NULL: too deep, the reading is over. */
static const struct yaml_node *read_node(struct yaml_reading *reading, const yaml_event_t *event,
                                         unsigned depth)
{
    if (depth == YAML_DEPTH_MAX) {
        diagnostics_error(reading->diagnostics, place_of(reading, &event->start_mark),
                          "nested deeper than %d levels; write it flatter", YAML_DEPTH_MAX);
        reading->broken = true;
        return NULL;
    }

    switch (event->type) {
    case YAML_SEQUENCE_START_EVENT: return read_list(reading, event, depth + 1);
    case YAML_MAPPING_START_EVENT: return read_map(reading, event, depth + 1);
    case YAML_ALIAS_EVENT: return read_alias(reading, event);
    case YAML_SCALAR_EVENT: return read_scalar(reading, event);
    default: break; /* stream and document marks never come inside a document */
    }
    assert(false);
    return NULL;
}

static const struct yaml_node *empty_map(struct yaml *yaml)
{
    struct yaml_node *const node = arena_take(&yaml->arena, 1, sizeof *node);
    node->kind = YAML_MAP;
    node->place = (struct file_place){yaml->name, 1, 1};
    return node;
}

/* stream start, at most one document, stream end */
static void read_stream(struct yaml_reading *reading)
{
    yaml_event_t event;
    bool ended = false;
    while (!ended && next_event(reading, &event)) {
        switch (event.type) {
        case YAML_STREAM_END_EVENT: ended = true; break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT: break;
        case YAML_DOCUMENT_START_EVENT:
            if (reading->yaml->root == NULL) { break; }
            diagnostics_error(reading->diagnostics, place_of(reading, &event.start_mark),
                              "a second document; a file holds one");
            reading->broken = true;
            break;
        default: reading->yaml->root = read_node(reading, &event, 0); break;
        }
        yaml_event_delete(&event);
    }
}

/* ---- the module's face --------------------------------------------------------------- */

struct yaml *yaml_load_text(const char *text, size_t len_bytes, const char *name,
                            struct diagnostics *diagnostics)
{
    struct yaml *const yaml = allocate_zeroed(1, sizeof *yaml);
    struct yaml_reading reading = {
        .yaml = yaml, .diagnostics = diagnostics, .text = text, .len_bytes = len_bytes};
    yaml->name = arena_keep_text(&yaml->arena, name, strlen(name));

    if (yaml_parser_initialize(&reading.parser) != 1) { abort(); } /* out of memory only */
    yaml_parser_set_input_string(&reading.parser, (const unsigned char *)text, len_bytes);
    read_stream(&reading);
    yaml_parser_delete(&reading.parser);

    if (reading.broken || reading.incomplete) {
        yaml_destroy(yaml);
        return NULL;
    }
    const struct yaml_node *const root = yaml->root;
    const bool empty = root == NULL || (root->kind == YAML_SCALAR && root->plain && !root->text[0]);
    if (empty) { yaml->root = empty_map(yaml); }
    return yaml;
}

/* The whole of an open file; false with errno set, EFBIG when it is too large. */
static bool read_whole_file(FILE *file, char **out, size_t *out_len_bytes)
{
    size_t capacity_bytes = 64 * 1024;
    size_t len_bytes = 0;
    char *text = allocate_again(NULL, capacity_bytes, 1);
    errno = 0;
    for (;;) {
        len_bytes += fread(text + len_bytes, 1, capacity_bytes - len_bytes, file);
        if (len_bytes < capacity_bytes || len_bytes > YAML_BYTES_MAX) { break; }
        capacity_bytes *= 2;
        text = allocate_again(text, capacity_bytes, 1);
    }
    if (len_bytes > YAML_BYTES_MAX) { errno = EFBIG; }
    if (ferror(file) || len_bytes > YAML_BYTES_MAX) {
        free(text);
        return false;
    }
    *out = text;
    *out_len_bytes = len_bytes;
    return true;
}

static char *why_not(const char *what, const char *why)
{
    char *text = NULL;
    if (asprintf(&text, "%s: %s", what, why) < 0) { abort(); }
    return text;
}

/* Without O_NONBLOCK opening a FIFO would wait for its writer. */
static char *open_regular_file(const char *path, FILE **out)
{
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) { return why_not("cannot be opened", strerror(errno)); }

    struct stat facts;
    char *why = NULL;
    if (fstat(file, &facts) != 0) {
        why = why_not("cannot be read", strerror(errno));
    } else if (S_ISDIR(facts.st_mode)) {
        why = why_not("cannot be read", "it is a directory; name a file in it");
    } else if (!S_ISREG(facts.st_mode)) {
        why = why_not("cannot be read", "it is no regular file");
    }
    *out = why == NULL ? fdopen(file, "rb") : NULL;
    if (*out != NULL) { return NULL; }
    if (why == NULL) { why = why_not("cannot be read", strerror(errno)); }
    close(file);
    return why;
}

char *yaml_read_file(const char *path, char **out_text, size_t *out_len_bytes)
{
    FILE *file;
    char *why = open_regular_file(path, &file);
    if (why != NULL) { return why; }
    if (!read_whole_file(file, out_text, out_len_bytes)) {
        why = why_not("cannot be read", strerror(errno));
    }
    fclose(file);
    return why;
}

struct yaml *yaml_load(const char *path, struct diagnostics *diagnostics)
{
    char *text = NULL;
    size_t len_bytes = 0;
    char *const why = yaml_read_file(path, &text, &len_bytes);
    if (why != NULL) {
        diagnostics_error(diagnostics, (struct file_place){path, 0, 0}, "%s", why);
        free(why);
        return NULL;
    }
    struct yaml *const yaml = yaml_load_text(text, len_bytes, path, diagnostics);
    free(text);
    return yaml;
}

void yaml_destroy(struct yaml *yaml)
{
    if (yaml == NULL) { return; }
    arena_deinit(&yaml->arena);
    free(yaml);
}

const struct yaml_node *yaml_root(const struct yaml *yaml) { return yaml->root; }

const struct yaml_node *yaml_map_get(const struct yaml_node *map, const char *key)
{
    if (map->kind != YAML_MAP) { return NULL; }
    for (size_t i = 0; i < map->child_count; i++) {
        if (strcmp(map->keys[i]->text, key) == 0) { return map->children[i]; }
    }
    return NULL;
}
