#include "bench/durable_times.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/live_index.h"

struct durable_batch {
    int32_t topic;
    uint64_t base_offset;
    uint64_t durable_ns;
};

struct durable_batches {
    struct live_index_reader reader;
    struct durable_batch *items;
    size_t count;
    size_t capacity;
};

void durable_times_init(struct durable_times *times, const char *runtime, uint32_t partition)
{
    memset(times, 0, sizeof *times);
    times->runtime = runtime;
    times->partition = partition;
}

void durable_times_deinit(struct durable_times *times)
{
    for (size_t i = 0; i < times->count; i++) {
        mapped_file_close(&times->files[i]);
        free(times->batches[i]->items);
        free(times->batches[i]);
    }
    times->count = 0;
}

static bool is_mapped(const struct durable_times *times, const char *name)
{
    for (size_t i = 0; i < times->count; i++) {
        if (strcmp(times->names[i], name) == 0) { return true; }
    }
    return false;
}

static void map_one(struct durable_times *times, const char *name)
{
    char path[512];
    struct mapped_file *const file = &times->files[times->count];
    if (times->count == DURABLE_TIMES_INDEXES_MAX || strlen(name) >= sizeof times->names[0]) {
        return;
    }
    snprintf(path, sizeof path, "%.400s/%s", times->runtime, name);
    if (mapped_file_open(path, false, sizeof(struct live_index_header), file) != STATUS_OK) {
        return; /* gone again */
    }
    if (live_index_check((const struct live_index_header *)file->at, file->size_bytes) !=
        STATUS_OK) {
        mapped_file_close(file);
        return;
    }
    times->batches[times->count] = calloc(1, sizeof *times->batches[0]);
    if (times->batches[times->count] == NULL) {
        mapped_file_close(file);
        return;
    }
    snprintf(times->names[times->count++], sizeof times->names[0], "%.63s", name);
}

void durable_times_refresh(struct durable_times *times)
{
    char prefix[32];
    const int prefix_bytes = snprintf(prefix, sizeof prefix, "index-%04u-", times->partition);
    DIR *const folder = opendir(times->runtime);
    if (folder == NULL) { return; }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (strncmp(entry->d_name, prefix, (size_t)prefix_bytes) != 0) { continue; }
        if (!is_mapped(times, entry->d_name)) { map_one(times, entry->d_name); }
    }
    closedir(folder);
}

static int32_t topic_number(const struct live_index_header *index, const char *topic)
{
    const uint32_t count = atomic_load_explicit(&index->topic_count, memory_order_acquire);
    const struct live_index_topic *const topics = live_index_topics(index);
    for (uint32_t i = 0; i < count && i < LOG_TOPICS_MAX; i++) {
        if (strcmp(topics[i].name, topic) == 0) { return topics[i].topic; }
    }
    return LOG_NO_TOPIC;
}

/* False when memory is out. */
static bool batch_push(struct durable_batches *batches, const struct live_index_line *line)
{
    if (batches->count == batches->capacity) {
        const size_t capacity = batches->capacity == 0 ? 1024 : batches->capacity * 2;
        void *const grown = realloc(batches->items, capacity * sizeof *batches->items);
        if (grown == NULL) { return false; }
        batches->items = grown;
        batches->capacity = capacity;
    }
    batches->items[batches->count++] =
        (struct durable_batch){line->entry.topic, line->entry.base_offset, line->durable_ns};
    return true;
}

static void batches_follow(struct durable_batches *batches, const struct live_index_header *index)
{
    struct live_index_line line;
    while (live_index_next(&batches->reader, index, index->capacity_bytes, &line) == STATUS_OK) {
        if (!batch_push(batches, &line)) { return; }
    }
}

/* Offsets of one topic rise along an index, but topics are mixed: from the back, where the newest
 * are, it is a short walk for who asks in time. */
static uint64_t find_in(struct durable_batches *batches, const struct live_index_header *index,
                        const char *topic, uint64_t base_offset)
{
    batches_follow(batches, index);
    const int32_t number = topic_number(index, topic);
    if (number == LOG_NO_TOPIC) { return 0; }
    for (size_t i = batches->count; i-- > 0;) {
        const struct durable_batch *const batch = &batches->items[i];
        if (batch->topic != number) { continue; }
        if (batch->base_offset == base_offset) { return batch->durable_ns; }
        if (batch->base_offset < base_offset) { return 0; }
    }
    return 0;
}

uint64_t durable_times_find(struct durable_times *times, const char *topic, uint64_t base_offset)
{
    for (size_t i = times->count; i-- > 0;) {
        const struct live_index_header *const index =
            (const struct live_index_header *)times->files[i].at;
        const uint64_t found = find_in(times->batches[i], index, topic, base_offset);
        if (found != 0) { return found; }
    }
    return 0;
}
