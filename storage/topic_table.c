#include "storage/topic_table.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/bytes.h"

static void table_append(struct topic_table *table, const struct table_topic *topic)
{
    assert(table->count < LOG_TOPICS_MAX);
    table->topics[table->count++] = *topic;
    table->declarations_bytes += topic_declaration_bytes(topic->name_bytes);
}

void topic_table_init(struct topic_table *table, const struct log_resume *resume)
{
    assert(resume->topic_count <= LOG_TOPICS_MAX);
    memset(table, 0, sizeof *table);
    table->cluster_id = resume->cluster_id;
    for (uint32_t i = 0; i < resume->topic_count; i++) {
        const struct log_resume_topic *const known = &resume->topics[i];
        struct table_topic topic = {
            .name_bytes = (uint32_t)strlen(known->name),
            .incarnation = known->incarnation,
            .topic_id = known->topic_id,
            .next_offset = known->next_offset,
            .durable_offset = known->next_offset,
        };
        assert(topic.name_bytes > 0 && topic.name_bytes < sizeof topic.name);
        memcpy(topic.name, known->name, topic.name_bytes);
        table_append(table, &topic);
    }
}

int32_t topic_table_find(const struct topic_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (strcmp(table->topics[i].name, name) == 0) { return (int32_t)i; }
    }
    return -1;
}

enum status topic_table_add(struct topic_table *table, const char *name, int32_t *out_topic)
{
    const size_t name_bytes = strlen(name);
    if (name_bytes == 0 || name_bytes > LOG_TOPIC_NAME_BYTES_MAX) { return STATUS_INVALID; }
    if (table->count == LOG_TOPICS_MAX) { return STATUS_FULL; }

    struct table_topic topic = {.name_bytes = (uint32_t)name_bytes};
    memcpy(topic.name, name, name_bytes);
    topic.topic_id = topic_id_of(table->cluster_id, bytes_of(name, name_bytes), topic.incarnation);
    *out_topic = (int32_t)table->count;
    table_append(table, &topic);
    return STATUS_OK;
}

void topic_table_base_offsets(const struct topic_table *table, uint64_t *out)
{
    for (uint32_t i = 0; i < table->count; i++) { out[i] = table->topics[i].durable_offset; }
}

void topic_table_encode(const struct topic_table *table, const uint64_t *base_offsets,
                        const uint64_t *next_offsets, struct sink *out)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct table_topic *const topic = &table->topics[i];
        const struct topic_declaration declaration = {
            .topic = (int32_t)i,
            .incarnation = topic->incarnation,
            .topic_id = topic->topic_id,
            .base_offset = base_offsets[i],
            .next_offset = next_offsets[i],
            .name = bytes_of(topic->name, topic->name_bytes),
        };
        topic_declaration_encode(&declaration, out);
    }
}

void topic_table_publish(const struct topic_table *table, const uint64_t *base_offsets,
                         struct live_index_header *index)
{
    struct live_index_topic *const out = live_index_topics(index);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct table_topic *const topic = &table->topics[i];
        out[i].topic = (int32_t)i;
        out[i].name_bytes = topic->name_bytes;
        out[i].base_offset = base_offsets[i];
        out[i].topic_id = topic->topic_id;
        memcpy(out[i].name, topic->name, topic->name_bytes + 1);
    }
    /* Pairs with the acquire in the reader: what is counted is written. */
    atomic_store_explicit(&index->topic_count, table->count, memory_order_release);
}
