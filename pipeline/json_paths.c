#include "pipeline/json_paths.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "pipeline/json_text.h"
#include "pipeline/rules_source.h"

static_assert((int)JSON_PATHS_MAX == (int)RULES_JSON_PATHS_MAX, "a rule set's fit into one trie");
static_assert(JSON_PATHS_MAX <= 64, "a set of paths is a word");

enum {
    INDEX_MAX = JSON_DOCUMENT_BYTES_MAX, /* no array within the bound has that many elements */
    NO_NODE = 0,                         /* the root is nobody's child */
    NODES_MAX = 1 + RULES_JSON_PATHS_MAX * RULES_JSON_DEPTH_MAX,
    /* A name in a document may be all \u0061: 6 bytes for one. */
    ESCAPED_NAME_BYTES_MAX = 6 * RULES_JSON_PATH_BYTES_MAX,
};

/* Where one step leads from some other node, or the document itself. */
struct json_node {
    uint64_t paths;         /* a bit for each path that ends here */
    uint64_t below;         /* ... or behind */
    uint64_t name_lengths;  /* bit n % 64: some child's name has n bytes */
    uint16_t first_named;   /* children of an object, in no order */
    uint16_t first_element; /* children of an array, by rising index */
    uint16_t next;          /* of its parent's same list */
    uint32_t index;         /* of an element */
    struct bytes name;      /* of a member; in json_paths.names */
};

struct json_paths {
    uint64_t all;
    size_t node_count;
    size_t names_bytes;
    uint8_t names[RULES_JSON_PATHS_MAX * RULES_JSON_PATH_BYTES_MAX];
    struct json_node nodes[NODES_MAX];
};

void json_room_init(struct json_room *room) { memset(room, 0, sizeof *room); }

/* ------------------------------------------------------------------------------- the path's text
 */

struct json_step {
    bool is_element;
    uint32_t index;
    struct json_string name;
};

static bool is_bare(uint8_t byte)
{
    return byte > ' ' && byte != 0x7f && strchr(".[]\"\\", byte) == NULL;
}

static const uint8_t *read_bare_name(const uint8_t *at, const uint8_t *end, struct json_string *out)
{
    const uint8_t *const begin = at;
    while (at < end && is_bare(*at)) { at++; }
    out->raw = bytes_of(begin, (size_t)(at - begin));
    out->escaped = false;
    return at == begin ? NULL : at;
}

static const uint8_t *read_index(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
    const uint8_t *const begin = at;
    *out = 0;
    while (at < end && *at >= '0' && *at <= '9' && *out <= INDEX_MAX) {
        *out = *out * 10 + (uint32_t)(*at++ - '0');
    }
    const bool leading_zero = at - begin > 1 && *begin == '0';
    if (at == begin || at == end || *at != ']' || leading_zero || *out > INDEX_MAX) { return NULL; }
    return at + 1;
}

/* Over one step, at its '.' or '['; NULL: it is none. */
static const uint8_t *read_step(const uint8_t *at, const uint8_t *end, struct json_step *out)
{
    out->is_element = *at == '[';
    if (out->is_element) { return read_index(at + 1, end, &out->index); }
    if (*at != '.') { return NULL; }
    at++;
    if (at < end && *at == '"') { return json_text_string(at, end, &out->name); }
    return read_bare_name(at, end, &out->name);
}

bool json_path_is_valid(struct bytes path)
{
    if (path.len_bytes == 0 || path.len_bytes > RULES_JSON_PATH_BYTES_MAX) { return false; }
    const uint8_t *at = path.at;
    const uint8_t *const end = at + path.len_bytes;
    size_t step_count = 0;
    while (at != NULL && at < end) {
        struct json_step step;
        at = read_step(at, end, &step);
        step_count++;
    }
    return at != NULL && step_count <= RULES_JSON_DEPTH_MAX;
}

/* -------------------------------------------------------------------------------------- the trie
 */

/* The step's name, unescaped, in memory of the paths' own. */
static struct bytes keep_name(struct json_paths *paths, struct json_string name)
{
    uint8_t *const at = paths->names + paths->names_bytes;
    assert(name.raw.len_bytes <= sizeof paths->names - paths->names_bytes);
    const size_t len_bytes = json_text_unescape(name.raw, at);
    paths->names_bytes += len_bytes;
    return bytes_of(at, len_bytes);
}

static struct json_node *add_node(struct json_paths *paths, uint16_t *link)
{
    assert(paths->node_count < NODES_MAX);
    struct json_node *const node = &paths->nodes[paths->node_count];
    node->next = *link;
    *link = (uint16_t)paths->node_count++;
    return node;
}

static struct json_node *element_child(struct json_paths *paths, struct json_node *parent,
                                       uint32_t index)
{
    uint16_t *link = &parent->first_element;
    while (*link != NO_NODE && paths->nodes[*link].index < index) {
        link = &paths->nodes[*link].next;
    }
    if (*link != NO_NODE && paths->nodes[*link].index == index) { return &paths->nodes[*link]; }
    struct json_node *const node = add_node(paths, link);
    node->index = index;
    return node;
}

static struct json_node *named_child(struct json_paths *paths, struct json_node *parent,
                                     struct json_string name)
{
    const size_t names_bytes = paths->names_bytes;
    const struct bytes kept = keep_name(paths, name);
    for (uint16_t i = parent->first_named; i != NO_NODE; i = paths->nodes[i].next) {
        if (bytes_equal(paths->nodes[i].name, kept)) {
            paths->names_bytes = names_bytes; /* kept already */
            return &paths->nodes[i];
        }
    }
    struct json_node *const node = add_node(paths, &parent->first_named);
    node->name = kept;
    parent->name_lengths |= UINT64_C(1) << (kept.len_bytes % 64);
    return node;
}

/* A valid path. */
static void add_path(struct json_paths *paths, struct bytes path, uint64_t bit)
{
    struct json_node *node = &paths->nodes[0];
    const uint8_t *at = path.at;
    const uint8_t *const end = at + path.len_bytes;
    while (at < end) {
        struct json_step step;
        at = read_step(at, end, &step);
        assert(at != NULL);
        node->below |= bit;
        node = step.is_element ? element_child(paths, node, step.index)
                               : named_child(paths, node, step.name);
    }
    node->paths |= bit;
    node->below |= bit;
    paths->all |= bit;
}

enum status json_paths_create(const struct bytes *paths, size_t count, struct json_paths **out)
{
    *out = NULL;
    if (count > JSON_PATHS_MAX) { return STATUS_INVALID; }
    for (size_t i = 0; i < count; i++) {
        if (!json_path_is_valid(paths[i])) { return STATUS_INVALID; }
    }

    struct json_paths *const created = calloc(1, sizeof *created);
    if (created == NULL) { return STATUS_NO_MEMORY; }
    created->node_count = 1;
    for (size_t i = 0; i < count; i++) { add_path(created, paths[i], UINT64_C(1) << i); }
    *out = created;
    return STATUS_OK;
}

void json_paths_destroy(struct json_paths *paths) { free(paths); }

/* ------------------------------------------------------------------------------------- the pass */

struct json_walk {
    const struct json_paths *paths;
    struct json_room *room;
    struct bytes *out;
    const uint8_t *end;
    uint64_t settled; /* paths that were found, or whose last chance is gone */
    size_t found_count;
};

/* Each walk_ function goes over one construct of a value that leads to a wanted one, and answers
 * what lies behind it. NULL ends the pass: the text is broken, or every path is settled. */
static const uint8_t *walk_value(struct json_walk *walk, const struct json_node *node,
                                 const uint8_t *at, unsigned levels);

static struct bytes unescaped(struct json_room *room, struct json_string string)
{
    if (!string.escaped) { return string.raw; }
    uint8_t *const at = room->bytes + room->used_bytes;
    /* Strings that are found lie beside each other in the document, and the room is as large. */
    assert_hot(string.raw.len_bytes <= sizeof room->bytes - room->used_bytes);
    const size_t len_bytes = json_text_unescape(string.raw, at);
    room->used_bytes += len_bytes;
    return bytes_of(at, len_bytes);
}

static void walk_found(struct json_walk *walk, const struct json_node *node, struct bytes text)
{
    for (uint64_t left = node->paths; left != 0; left &= left - 1) {
        walk->out[__builtin_ctzll(left)] = text;
        walk->found_count++;
    }
}

/* The child of that name, unless it was there before; NULL: nobody wants it. */
static const struct json_node *named_like(const struct json_walk *walk,
                                          const struct json_node *node, struct bytes name)
{
    if ((node->name_lengths >> (name.len_bytes % 64) & 1) == 0) { return NULL; }
    for (uint16_t i = node->first_named; i != NO_NODE; i = walk->paths->nodes[i].next) {
        const struct json_node *const child = &walk->paths->nodes[i];
        if (bytes_equal(child->name, name)) {
            return (child->below & ~walk->settled) != 0 ? child : NULL;
        }
    }
    return NULL;
}

static const struct json_node *named_like_escaped(const struct json_walk *walk,
                                                  const struct json_node *node, struct bytes raw)
{
    uint8_t name[ESCAPED_NAME_BYTES_MAX];
    if (raw.len_bytes > sizeof name) { return NULL; }
    return named_like(walk, node, bytes_of(name, json_text_unescape(raw, name)));
}

static const uint8_t *walk_object(struct json_walk *walk, const struct json_node *node,
                                  const uint8_t *at, unsigned levels)
{
    at = json_text_space(at + 1, walk->end);
    if (at < walk->end && *at == '}') { return at + 1; }
    for (;;) {
        struct json_string name;
        at = json_text_name(at, walk->end, &name);
        if (at == NULL) { return NULL; }
        const struct json_node *const child = name.escaped
                                                  ? named_like_escaped(walk, node, name.raw)
                                                  : named_like(walk, node, name.raw);
        at = child == NULL ? json_text_value(at, walk->end, levels)
                           : walk_value(walk, child, at, levels);
        if (at == NULL) { return NULL; }
        at = json_text_space(at, walk->end);
        if (at == walk->end) { return NULL; }
        if (*at == '}') { return at + 1; }
        if (*at != ',') { return NULL; }
        at = json_text_space(at + 1, walk->end);
    }
}

static const uint8_t *walk_array(struct json_walk *walk, const struct json_node *node,
                                 const uint8_t *at, unsigned levels)
{
    at = json_text_space(at + 1, walk->end);
    if (at < walk->end && *at == ']') { return at + 1; }
    const struct json_node *wanted = &walk->paths->nodes[node->first_element];
    for (uint32_t i = 0;; i++) {
        if (wanted != walk->paths->nodes && wanted->index == i) {
            at = walk_value(walk, wanted, at, levels);
            wanted = &walk->paths->nodes[wanted->next];
        } else {
            at = json_text_value(at, walk->end, levels);
        }
        if (at == NULL) { return NULL; }
        at = json_text_space(at, walk->end);
        if (at == walk->end) { return NULL; }
        if (*at == ']') { return at + 1; }
        if (*at != ',') { return NULL; }
        at = json_text_space(at + 1, walk->end);
    }
}

static const uint8_t *walk_value(struct json_walk *walk, const struct json_node *node,
                                 const uint8_t *at, unsigned levels)
{
    if (at == walk->end) { return NULL; }
    const uint8_t *const begin = at;
    struct json_string string = {.escaped = false};
    const bool is_string = *at == '"';
    if (is_string) {
        at = json_text_string(at, walk->end, &string);
    } else if (*at == '{' && node->first_named != NO_NODE) {
        at = levels == 0 ? NULL : walk_object(walk, node, at, levels - 1);
    } else if (*at == '[' && node->first_element != NO_NODE) {
        at = levels == 0 ? NULL : walk_array(walk, node, at, levels - 1);
    } else {
        at = json_text_value(at, walk->end, levels);
    }
    if (at == NULL) { return NULL; }

    if (node->paths != 0) {
        walk_found(walk, node,
                   is_string ? unescaped(walk->room, string)
                             : bytes_of(begin, (size_t)(at - begin)));
    }
    walk->settled |= node->below;
    return walk->settled == walk->paths->all ? NULL : at;
}

size_t json_paths_find(const struct json_paths *paths, struct bytes document,
                       struct json_room *room, struct bytes *out)
{
    for (uint64_t left = paths->all; left != 0; left &= left - 1) {
        out[__builtin_ctzll(left)] = bytes_null();
    }
    room->used_bytes = 0;
    if (paths->all == 0 || document.len_bytes == 0) { return 0; }

    const size_t len_bytes =
        document.len_bytes < JSON_DOCUMENT_BYTES_MAX ? document.len_bytes : JSON_DOCUMENT_BYTES_MAX;
    const uint8_t *const end = document.at + len_bytes;
    struct json_walk walk = {.paths = paths, .room = room, .out = out, .end = end};
    (void)walk_value(&walk, &paths->nodes[0], json_text_space(document.at, end), JSON_LEVELS_MAX);
    return walk.found_count;
}
