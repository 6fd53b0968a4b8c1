/* topic_table.h - the topics of one log: names, ids, and the offsets that come next.
 *
 * Owns     Copies of the names. Memory is the caller's (it lies inside core_log).
 * Threads  The worker's, like core_log.
 * Offsets  next_offset is given to the next record; durable_offset follows it when commits become
 *          durable, and is where a segment's base offsets start when commits are written again. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/sink.h"
#include "base/status.h"
#include "storage/log_resume.h"
#include "wire/live_index.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct table_topic {
    char name[LOG_TOPIC_NAME_BYTES_MAX + 1];
    uint32_t name_bytes;
    uint32_t incarnation;
    struct log_id topic_id;
    uint64_t next_offset;
    uint64_t durable_offset;
};

struct topic_table {
    struct log_id cluster_id;
    uint32_t count;
    size_t declarations_bytes; /* of an ENTRY_TOPICS with all of them */
    struct table_topic topics[LOG_TOPICS_MAX];
};

/* What recovery found: topic numbers stay what they were. */
void topic_table_init(struct topic_table *table, const struct log_resume *resume);

/* -1 when there is none. */
int32_t topic_table_find(const struct topic_table *table, const char *name);

/* STATUS_OK and its number; STATUS_FULL at LOG_TOPICS_MAX, STATUS_INVALID for a name that is empty
 * or longer than LOG_TOPIC_NAME_BYTES_MAX. */
MUST_CHECK enum status topic_table_add(struct topic_table *table, const char *name,
                                       int32_t *out_topic);

/* Copies durable_offset of every topic: what a segment that is opened now begins at. */
void topic_table_base_offsets(const struct topic_table *table, uint64_t *out);

/* Encodes every topic, with its base offset in the segment and the offset that comes next. */
void topic_table_encode(const struct topic_table *table, const uint64_t *base_offsets,
                        const uint64_t *next_offsets, struct sink *out);

/* Fills the live index' table and publishes it. */
void topic_table_publish(const struct topic_table *table, const uint64_t *base_offsets,
                         struct live_index_header *index);

END_C_DECLS
