/* reader_catalog.h - the topics of all logs under one index, by name and by id.
 *
 * Owns     The names. Threads: the reader's one. An index is stable; topics are never removed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct catalog_topic {
    char name[LOG_TOPIC_NAME_BYTES_MAX + 1];
    struct log_id id;
};

struct reader_catalog {
    struct catalog_topic *topics;
    uint32_t *name_hashes; /* beside them: a search touches these first */
    size_t count;
    size_t capacity;
};

void reader_catalog_deinit(struct reader_catalog *catalog);

/* Index of the topic with this name and id, taken in if it is new; -1: not a name, or no memory. */
int32_t reader_catalog_take(struct reader_catalog *catalog, struct bytes name, struct log_id id);

/* The newest topic of this name, or the one of this id; -1: none. */
int32_t reader_catalog_find(const struct reader_catalog *catalog, struct bytes name);
int32_t reader_catalog_find_id(const struct reader_catalog *catalog, struct log_id id);

END_C_DECLS
