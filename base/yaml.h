/* yaml.h - a YAML file as a tree whose every node knows its line and column.
 *
 * Purpose  What configuration and rules are read from. libyaml does the parsing; this keeps the
 *          places, and refuses what makes YAML treacherous: duplicate keys, anchors, aliases, tags,
 *          several documents, keys that are no scalars, nesting beyond 80.
 *          A scalar is its text: whether `no`, `0x1f` or `12` is a word or a number is for the
 *          reader of the key to say, never for YAML.
 * Owns     The tree, until yaml_destroy. Threads: one at a time; cold code only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"

BEGIN_C_DECLS

enum yaml_kind {
    YAML_SCALAR,
    YAML_LIST,
    YAML_MAP,
};

struct yaml_node {
    enum yaml_kind kind;
    struct file_place place;
    const char *text;   /* scalar: zero-terminated; a NUL inside is refused at parsing */
    bool plain;         /* scalar: written without quotes */
    size_t child_count; /* list: items; map: values */
    const struct yaml_node *const *children;
    const struct yaml_node *const *keys; /* map: scalars, one a child */
};

struct yaml; /* opaque */

/* Reads `path` (a regular file of at most 16 MiB). NULL when it cannot be read or has no whole
 * tree: then `diagnostics` says why. The root of an empty file is an empty map. A repeated key, an
 * anchor or a tag is an error that leaves the tree whole: it is returned, so that the caller's own
 * errors are told in the same run. Callers decide by the error count. */
struct yaml *yaml_load(const char *path, struct diagnostics *diagnostics);
/* The file's bytes as they are (at most 16 MiB), for who needs them beside the tree; the caller
 * frees them. NULL when it was read; else why not ("cannot be opened: ..."), for the caller to
 * free. Waits for nobody: what is no regular file is refused. */
MUST_CHECK char *yaml_read_file(const char *path, char **out_text, size_t *out_len_bytes);
/* The same for text in memory; `name` stands for the file in messages. The tree keeps no pointer to
 * either. */
struct yaml *yaml_load_text(const char *text, size_t len_bytes, const char *name,
                            struct diagnostics *diagnostics);
void yaml_destroy(struct yaml *yaml);

const struct yaml_node *yaml_root(const struct yaml *yaml);

/* The value of `key` in a map, the first of a repeated one; NULL when it has none (or is no map).
 */
const struct yaml_node *yaml_map_get(const struct yaml_node *map, const char *key);

/* The candidate nearest to `word` by edit distance, NULL when none is near: "did you mean". */
const char *yaml_nearest(const char *word, const char *const *candidates, size_t count);

END_C_DECLS
