/* "Did you mean": apart from yaml.c, because whoever has only words needs no YAML library. */
#include <string.h>

#include "base/yaml.h"

enum { NEAREST_LEN_MAX = 64 };

static size_t least_of(size_t a, size_t b) { return a < b ? a : b; }

/* Edits (insert, delete, replace, swap of neighbours) from one word to the other: the "optimal
 * string alignment" distance, row by row. */
static size_t edit_distance(const char *from, size_t from_len, const char *to, size_t to_len)
{
    size_t rows[3][NEAREST_LEN_MAX + 1];
    for (size_t j = 0; j <= to_len; j++) { rows[0][j] = j; }

    for (size_t i = 1; i <= from_len; i++) {
        size_t *const row = rows[i % 3];
        const size_t *const above = rows[(i + 2) % 3];
        const size_t *const two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= to_len; j++) {
            const bool same = from[i - 1] == to[j - 1];
            row[j] = least_of(least_of(above[j], row[j - 1]) + 1, above[j - 1] + (same ? 0 : 1));
            if (i < 2 || j < 2) { continue; }
            const bool swapped = from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
            if (swapped) { row[j] = least_of(row[j], two_above[j - 2] + 1); }
        }
    }
    return rows[from_len % 3][to_len];
}

const char *yaml_nearest(const char *word, const char *const *candidates, size_t count)
{
    const size_t word_len = strlen(word);
    if (word_len == 0 || word_len > NEAREST_LEN_MAX) { return NULL; }

    const char *nearest = NULL;
    size_t nearest_distance = word_len / 3 + 1; /* one typo in a short word, more in a long one */
    if (nearest_distance > word_len - 1) { nearest_distance = word_len - 1; }
    for (size_t i = 0; i < count; i++) {
        const size_t len = strlen(candidates[i]);
        if (len > NEAREST_LEN_MAX) { continue; }
        const size_t distance = edit_distance(word, word_len, candidates[i], len);
        if (distance > nearest_distance || (nearest != NULL && distance == nearest_distance)) {
            continue;
        }
        nearest = candidates[i];
        nearest_distance = distance;
    }
    return nearest;
}
