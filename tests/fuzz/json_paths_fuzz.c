/* json_paths_fuzz.c - whatever is found lies in the document or in the room, is the same when it
 * is looked for alone, and when the document goes on.
 *
 * The input: paths with a space between them, a newline, the document. */
#include <stdlib.h>

#include "base/invariant.h"
#include "pipeline/json_paths.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static bool lies_inside(const uint8_t *begin, size_t len_bytes, struct bytes part)
{
    return part.at >= begin && part.at <= begin + len_bytes &&
           part.len_bytes <= (size_t)(begin + len_bytes - part.at);
}

static struct json_room *new_room(void)
{
    struct json_room *const room = malloc(sizeof *room);
    assert(room != NULL);
    room->used_bytes = 0; /* json_room_init writes a megabyte */
    return room;
}

static size_t split_paths(struct bytes line, struct bytes *out)
{
    size_t count = 0;
    while (line.len_bytes > 0 && count < JSON_PATHS_MAX) {
        const uint8_t *const space = memchr(line.at, ' ', line.len_bytes);
        const size_t end = space == NULL ? line.len_bytes : (size_t)(space - line.at);
        out[count] = bytes_slice(line, 0, end);
        if (json_path_is_valid(out[count])) { count++; }
        line = bytes_slice(line, space == NULL ? end : end + 1, line.len_bytes);
    }
    return count;
}

static void check_places(const struct bytes *found, size_t count, size_t found_count,
                         struct bytes document, const struct json_room *room)
{
    size_t present_count = 0;
    assert(room->used_bytes <= document.len_bytes);
    for (size_t i = 0; i < count; i++) {
        if (bytes_are_null(found[i])) { continue; }
        present_count++;
        assert(lies_inside(document.at, document.len_bytes, found[i]) ||
               lies_inside(room->bytes, room->used_bytes, found[i]));
    }
    assert(present_count == found_count);
}

static void check_alone(struct bytes path, struct bytes document, struct json_room *room,
                        struct bytes found)
{
    struct json_paths *paths;
    struct bytes again;
    assert(json_paths_create(&path, 1, &paths) == STATUS_OK);
    assert(json_paths_find(paths, document, room, &again) == !bytes_are_null(found));
    assert(bytes_equal(again, found));
    json_paths_destroy(paths);
}

/* In the first half of the document: the same, or not there yet. */
static void check_half(const struct json_paths *paths, size_t count, struct bytes document,
                       struct json_room *room, const struct bytes *found)
{
    struct bytes early[JSON_PATHS_MAX];
    (void)json_paths_find(paths, bytes_slice(document, 0, document.len_bytes / 2), room, early);
    for (size_t i = 0; i < count; i++) {
        assert(bytes_are_null(early[i]) || bytes_equal(early[i], found[i]));
    }
}

static void check_document(const struct bytes *wanted, size_t count, struct bytes document)
{
    struct json_room *const room = new_room();
    struct json_room *const other_room = new_room();
    struct json_paths *paths;
    struct bytes found[JSON_PATHS_MAX];
    assert(json_paths_create(wanted, count, &paths) == STATUS_OK);
    const size_t found_count = json_paths_find(paths, document, room, found);
    check_places(found, count, found_count, document, room);
    for (size_t i = 0; i < count; i++) { check_alone(wanted[i], document, other_room, found[i]); }
    check_half(paths, count, document, other_room, found);
    json_paths_destroy(paths);
    free(other_room);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    const struct bytes input = bytes_of(at, len_bytes);
    const uint8_t *const newline = len_bytes == 0 ? NULL : memchr(at, '\n', len_bytes);
    if (newline == NULL) { return 0; }
    const size_t line_bytes = (size_t)(newline - at);
    struct bytes wanted[JSON_PATHS_MAX];
    const size_t count = split_paths(bytes_slice(input, 0, line_bytes), wanted);
    check_document(wanted, count, bytes_slice(input, line_bytes + 1, len_bytes));
    return 0;
}
