/* config_keys.h - the table of configuration keys, and how the loader walks it.
 *
 * Purpose  One line a key: what it is called, what it may be, what it means, and which field of
 *          struct config (or of a list's item) it fills. config.c walks it, config_values.h reads
 *          the values, docs/configuration.md shows it.
 * Order    A section before its keys, topics before listeners (which name them).
 * Owns     Nothing: constant tables. Any thread. Seen by base/config*.c only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/config.h"
#include "base/config_values.h"

BEGIN_C_DECLS

/* What a list of sections fills: an array of structs. */
struct config_list {
    size_t item_bytes;
    size_t count_offset; /* of the size_t in struct config */
    size_t items_max;
    void (*begin)(void *item, struct file_place place); /* NULL: zeroes are right */
};

struct config_key {
    struct config_key_facts facts;
    size_t offset;             /* of the field, from the start of struct config or of the item */
    config_value_reader *read; /* NULL: a section or a list of sections */
    const struct config_list *list; /* a list of sections */
    const char *const *choices;     /* for config_read_choice; ends with NULL */
};

const struct config_key *config_keys_at(size_t index);

/* "linger" of "storage.commit.linger". */
const char *config_key_name(const struct config_key *key);

/* Whether `child` stands directly in `section`; NULL stands for the whole file. */
bool config_key_is_in(const struct config_key *child, const struct config_key *section);

/* What later versions are planned to know: refused, but by name. `value` NULL asks for the key. */
bool config_is_for_later(const char *path, const char *value);

END_C_DECLS
