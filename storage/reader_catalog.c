#include "storage/reader_catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

enum { CATALOG_TOPICS_MAX = 1 << 16 };

void reader_catalog_deinit(struct reader_catalog *catalog)
{
    free(catalog->topics);
    free(catalog->name_hashes);
    *catalog = (struct reader_catalog){0};
}

static bool catalog_grow(struct reader_catalog *catalog)
{
    if (catalog->count < catalog->capacity) { return true; }
    if (catalog->count >= CATALOG_TOPICS_MAX) { return false; }
    const size_t capacity = catalog->capacity == 0 ? 64 : catalog->capacity * 2;
    struct catalog_topic *const topics =
        realloc(catalog->topics, capacity * sizeof *catalog->topics);
    if (topics == NULL) { return false; }
    catalog->topics = topics;
    uint32_t *const hashes = realloc(catalog->name_hashes, capacity * sizeof *catalog->name_hashes);
    if (hashes == NULL) { return false; }
    catalog->name_hashes = hashes;
    catalog->capacity = capacity;
    return true;
}

int32_t reader_catalog_take(struct reader_catalog *catalog, struct bytes name, struct log_id id)
{
    if (name.len_bytes == 0 || name.len_bytes > LOG_TOPIC_NAME_BYTES_MAX) { return -1; }
    if (memchr(name.at, 0, name.len_bytes) != NULL) { return -1; }
    const int32_t known = reader_catalog_find_id(catalog, id);
    if (known >= 0) { return bytes_equal_text(name, catalog->topics[known].name) ? known : -1; }
    if (!catalog_grow(catalog)) { return -1; }

    struct catalog_topic *const topic = &catalog->topics[catalog->count];
    *topic = (struct catalog_topic){.id = id};
    memcpy(topic->name, name.at, name.len_bytes);
    catalog->name_hashes[catalog->count] = crc32c(name);
    return (int32_t)catalog->count++;
}

int32_t reader_catalog_find(const struct reader_catalog *catalog, struct bytes name)
{
    const uint32_t hash = crc32c(name);
    for (size_t i = catalog->count; i-- > 0;) {
        if (catalog->name_hashes[i] != hash) { continue; }
        if (bytes_equal_text(name, catalog->topics[i].name)) { return (int32_t)i; }
    }
    return -1;
}

int32_t reader_catalog_find_id(const struct reader_catalog *catalog, struct log_id id)
{
    for (size_t i = catalog->count; i-- > 0;) {
        if (log_id_equal(catalog->topics[i].id, id)) { return (int32_t)i; }
    }
    return -1;
}
