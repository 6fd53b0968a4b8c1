/* json_paths.h - a few members of a JSON document, found in one pass and without building it.
 *
 * Purpose  `json:.http.status` of a rules file. All paths of a rule set are one trie of steps; one
 *          pass over the document follows it and steps over what nobody wants.
 * Paths    .name, ."any JSON string" and [index], at least one, each behind the one before:
 *          .level  .http.status  .items[0].id  ."odd name".x  [0].id. A bare name is any bytes but
 *          '.', '[', ']', '"', '\', space and control characters.
 * Finds    A string: its content, unescaped (\uXXXX to UTF-8, pairs of surrogates too). The escape
 *          of half a pair stays, as its six characters. Everything else: its text as it stands.
 *          Of members with one name the first: a later one is not looked into.
 * Strict   RFC 8259, up to where the last wanted member ends; the rest is not looked at. At the
 *          first byte that breaks it the pass ends: what was found is kept, all else is absent. A
 *          number, true, false and null are found only when something ends them. What strings
 *          hold beyond ASCII is not looked into: it may be broken UTF-8. Names are compared byte by
 *          byte, after unescaping.
 * Bounds   JSON_DOCUMENT_BYTES_MAX and JSON_LEVELS_MAX: what lies behind or deeper is as if the
 *          document broke off there. Time is linear in the document, with no recursion but along
 *          the paths.
 * Owns     Its copy of the paths. What is found points into the document or into the room.
 * Threads  Immutable once created; a room is one a thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    JSON_DOCUMENT_BYTES_MAX = 1 << 20,
    JSON_LEVELS_MAX = 64, /* of arrays and objects inside each other */
    JSON_PATHS_MAX = 64,  /* RULES_JSON_PATHS_MAX */
};

/* Where strings are put that had to be unescaped. It has room for all of a document's, so none
 * is ever found without room. Large: never on a stack. */
struct json_room {
    size_t used_bytes;
    uint8_t bytes[JSON_DOCUMENT_BYTES_MAX];
};

/* Writes all of it, so that no page of it is missing later. Cold. */
void json_room_init(struct json_room *room);

struct json_paths; /* opaque */

/* Whether it is one of those that json_paths_create takes: well-formed, at most
 * RULES_JSON_PATH_BYTES_MAX bytes and RULES_JSON_DEPTH_MAX steps. Cold. */
bool json_path_is_valid(struct bytes path);

/* Cold. Up to JSON_PATHS_MAX paths; the same one twice is fine.
 *
 * Returns  STATUS_OK
 *          STATUS_INVALID    a path that is none, or too many
 *          STATUS_NO_MEMORY */
MUST_CHECK enum status json_paths_create(const struct bytes *paths, size_t count,
                                         struct json_paths **out);

/* NULL is fine. */
void json_paths_destroy(struct json_paths *paths);

/* Hot. out[i] is what paths[i] led to, null where that is absent ("" is found, and not null). It
 * holds until the room's next use or the document's end of life.
 *
 * Returns  how many are not null */
size_t json_paths_find(const struct json_paths *paths, struct bytes document,
                       struct json_room *room, struct bytes *out);

END_C_DECLS
