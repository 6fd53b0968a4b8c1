#include "tests/serve/fake_reader.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "storage/scrub.h"
#include "wire/record_batch.h"
#include "wire/record_codec.h"

enum {
    TOPICS_MAX = 16,
    PARTITIONS_MAX = 16,
    VALUE_BYTES_MAX = 1 << 20,
};

struct fake_batch {
    struct batch_location location;
    uint8_t *bytes;
    enum status tail;
    enum status cold;
};

struct fake_partition {
    uint64_t log_start;
    uint64_t high_watermark;
    struct fake_batch *batches;
    size_t count;
};

struct fake_topic {
    char name[LOG_TOPIC_NAME_BYTES_MAX + 1];
    struct log_id id;
    struct fake_partition partitions[PARTITIONS_MAX];
};

struct reader {
    uint32_t partition_count;
    size_t topic_count;
    struct log_id cluster_id;
    uint32_t leader_epoch;
    bool complete;
    const struct root_page *root;
    bool alive;
    bool news;
    uint64_t next_position;
    enum record_codec codec; /* of batches that are made from now on */
    uint64_t retire_at_find; /* 0: nothing */
    _Atomic uint64_t cold_reads;
    struct fake_topic topics[TOPICS_MAX];
};

static struct reader *latest;

struct reader *fake_reader_latest(void) { return latest; }

enum status reader_create(const struct reader_options *options, struct reader **out)
{
    (void)options;
    *out = calloc(1, sizeof **out);
    assert(*out != NULL);
    (*out)->partition_count = 1;
    (*out)->complete = true;
    latest = *out;
    return STATUS_OK;
}

void reader_destroy(struct reader *reader)
{
    if (reader == NULL) { return; }
    for (size_t t = 0; t < TOPICS_MAX; t++) {
        for (size_t p = 0; p < PARTITIONS_MAX; p++) {
            struct fake_partition *const partition = &reader->topics[t].partitions[p];
            for (size_t i = 0; i < partition->count; i++) { free(partition->batches[i].bytes); }
            free(partition->batches);
        }
    }
    free(reader);
}

/* ----------------------------------------------------------------------------------- settings */

void fake_reader_set_partitions(struct reader *reader, uint32_t count)
{
    assert(count <= PARTITIONS_MAX);
    reader->partition_count = count;
}

void fake_reader_set_cluster_id(struct reader *reader, struct log_id id)
{
    reader->cluster_id = id;
}

void fake_reader_set_leader_epoch(struct reader *reader, uint32_t epoch)
{
    reader->leader_epoch = epoch;
}

void fake_reader_set_complete(struct reader *reader, bool complete) { reader->complete = complete; }

void fake_reader_set_root(struct reader *reader, const struct root_page *root, bool alive)
{
    reader->root = root;
    reader->alive = alive;
}

size_t fake_reader_add_topic(struct reader *reader, const char *name, struct log_id id)
{
    assert(reader->topic_count < TOPICS_MAX);
    struct fake_topic *const topic = &reader->topics[reader->topic_count];
    snprintf(topic->name, sizeof topic->name, "%s", name);
    topic->id = id;
    return reader->topic_count++;
}

static struct fake_partition *partition_at(const struct reader *reader, size_t topic,
                                           uint32_t partition)
{
    assert(topic < reader->topic_count && partition < PARTITIONS_MAX);
    return (struct fake_partition *)(uintptr_t)&reader->topics[topic].partitions[partition];
}

static uint8_t *encode_records(const struct reader *reader, size_t topic, uint32_t partition,
                               const struct record_batch_header *header, int64_t step_ms,
                               size_t value_bytes, uint8_t *at)
{
    const size_t capacity = value_bytes + LOG_TOPIC_NAME_BYTES_MAX + 64;
    char *const value = malloc(capacity);
    assert(value != NULL);
    for (int32_t i = 0; i < header->record_count; i++) {
        memset(value, '.', value_bytes);
        const int text_bytes = snprintf(value, capacity, "%s-%u-%lld", reader->topics[topic].name,
                                        partition, (long long)(header->base_offset + i));
        if ((size_t)text_bytes < value_bytes) { value[text_bytes] = '.'; }
        const size_t used = (size_t)text_bytes < value_bytes ? value_bytes : (size_t)text_bytes;
        const size_t payload = record_batch_payload_bytes(1, used, 0, 0);
        const struct record_batch_parts parts = {
            .body_bytes = record_batch_body_bytes(i * step_ms, i, payload),
            .timestamp_delta_ms = i * step_ms,
            .offset_delta = i,
            .key = bytes_of_text("k"),
            .value = bytes_of(value, used),
        };
        at = record_batch_record_encode(&parts, at);
    }
    free(value);
    return at;
}

void fake_reader_append_batch(struct reader *reader, size_t topic, uint32_t partition,
                              struct bytes batch, bool in_ring)
{
    struct fake_partition *const target = partition_at(reader, topic, partition);
    struct record_batch_header header;
    const enum status status = record_batch_header_decode(batch, &header);
    assert(status == STATUS_OK && (uint64_t)header.base_offset >= target->high_watermark);

    uint8_t *const bytes = malloc(batch.len_bytes);
    target->batches = realloc(target->batches, (target->count + 1) * sizeof *target->batches);
    assert(bytes != NULL && target->batches != NULL);
    memcpy(bytes, batch.at, batch.len_bytes);
    const uint64_t next_offset =
        (uint64_t)header.base_offset + (uint64_t)header.last_offset_delta + 1;
    target->batches[target->count++] = (struct fake_batch){
        .location = {.partition = partition,
                     .segment_number = 1,
                     .base_offset = (uint64_t)header.base_offset,
                     .next_offset = next_offset,
                     .max_timestamp_ms = header.max_timestamp_ms,
                     .position = reader->next_position,
                     .length_bytes = (uint32_t)batch.len_bytes,
                     .in_ring = in_ring},
        .bytes = bytes,
        .tail = STATUS_OK,
        .cold = STATUS_OK,
    };
    reader->next_position += batch.len_bytes;
    target->high_watermark = next_offset;
    reader->news = true;
}

void fake_reader_set_codec(struct reader *reader, enum record_codec codec)
{
    reader->codec = codec;
}

/* In place: what a test makes always shrinks. Answers the batch's new length. */
static size_t pack_batch(enum record_codec codec, uint8_t *batch, size_t len_bytes)
{
    struct record_packer *packer;
    if (codec == RECORD_CODEC_NONE) { return len_bytes; }
    const enum status status = record_packer_create(codec, len_bytes, &packer);
    uint8_t *const packed = malloc(len_bytes);
    assert(status == STATUS_OK && packed != NULL);
    const struct bytes plain =
        bytes_slice(bytes_of(batch, len_bytes), RECORD_BATCH_HEADER_BYTES, len_bytes);
    const size_t packed_bytes = record_packer_pack(packer, plain, packed, plain.len_bytes);
    assert(packed_bytes > 0);
    memcpy(batch + RECORD_BATCH_HEADER_BYTES, packed, packed_bytes);
    record_batch_pack_patch(batch, codec, packed_bytes);
    const size_t stored_bytes = RECORD_BATCH_HEADER_BYTES + packed_bytes;
    record_batch_crc_patch(batch, crc32c(bytes_of(batch + RECORD_BATCH_CRC_BEGIN,
                                                  stored_bytes - RECORD_BATCH_CRC_BEGIN)));
    free(packed);
    record_packer_destroy(packer);
    return stored_bytes;
}

void fake_reader_append(struct reader *reader, size_t topic, uint32_t partition, uint32_t records,
                        int64_t first_ms, int64_t step_ms, size_t value_bytes, bool in_ring)
{
    struct fake_partition *const target = partition_at(reader, topic, partition);
    const int64_t last_ms = first_ms + (int64_t)(records - 1) * step_ms;
    struct record_batch_header header = {
        .base_offset = (int64_t)target->high_watermark,
        .length_bytes = RECORD_BATCH_HEADER_BYTES,
        .leader_epoch = (int32_t)reader->leader_epoch,
        .last_offset_delta = (int32_t)records - 1,
        .base_timestamp_ms = first_ms,
        .max_timestamp_ms = last_ms > first_ms ? last_ms : first_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .record_count = (int32_t)records,
    };
    uint8_t *const bytes =
        malloc(RECORD_BATCH_HEADER_BYTES + records * (value_bytes + LOG_TOPIC_NAME_BYTES_MAX + 64));
    assert(bytes != NULL && value_bytes < VALUE_BYTES_MAX);
    uint8_t *const end = encode_records(reader, topic, partition, &header, step_ms, value_bytes,
                                        bytes + RECORD_BATCH_HEADER_BYTES);
    header.length_bytes = (int32_t)(end - bytes);
    record_batch_header_encode(&header, bytes);
    const size_t len_bytes = (size_t)header.length_bytes;
    record_batch_crc_patch(bytes, crc32c(bytes_of(bytes + RECORD_BATCH_CRC_BEGIN,
                                                  len_bytes - RECORD_BATCH_CRC_BEGIN)));

    const size_t stored_bytes = pack_batch(reader->codec, bytes, len_bytes);
    fake_reader_append_batch(reader, topic, partition, bytes_of(bytes, stored_bytes), in_ring);
    free(bytes);
}

void fake_reader_skip_to(struct reader *reader, size_t topic, uint32_t partition, uint64_t offset)
{
    partition_at(reader, topic, partition)->high_watermark = offset;
}

void fake_reader_set_log_start(struct reader *reader, size_t topic, uint32_t partition,
                               uint64_t offset)
{
    partition_at(reader, topic, partition)->log_start = offset;
}

void fake_reader_retire_at_find(struct reader *reader, uint64_t offset)
{
    reader->retire_at_find = offset;
}

static struct fake_batch *batch_at(const struct reader *reader, size_t topic, uint32_t partition,
                                   uint64_t offset)
{
    struct fake_partition *const source = partition_at(reader, topic, partition);
    for (size_t i = 0; i < source->count; i++) {
        if (source->batches[i].location.next_offset > offset) { return &source->batches[i]; }
    }
    return NULL;
}

void fake_reader_set_fault(struct reader *reader, size_t topic, uint32_t partition, uint64_t offset,
                           enum status tail, enum status cold)
{
    struct fake_batch *const batch = batch_at(reader, topic, partition, offset);
    assert(batch != NULL);
    batch->tail = tail;
    batch->cold = cold;
}

struct bytes fake_reader_batch(struct reader *reader, size_t topic, uint32_t partition,
                               uint64_t offset)
{
    const struct fake_batch *const batch = batch_at(reader, topic, partition, offset);
    assert(batch != NULL);
    return bytes_of(batch->bytes, batch->location.length_bytes);
}

uint64_t fake_reader_cold_reads(const struct reader *reader) { return reader->cold_reads; }

/* ------------------------------------------------------------------------------- the real face */

bool reader_refresh(struct reader *reader, uint64_t now_ns)
{
    (void)now_ns;
    const bool news = reader->news;
    reader->news = false;
    return news;
}

const struct root_page *reader_root(const struct reader *reader) { return reader->root; }

bool reader_ingest_alive(const struct reader *reader, uint64_t now_ns)
{
    (void)now_ns;
    return reader->alive;
}

struct log_id reader_cluster_id(const struct reader *reader) { return reader->cluster_id; }

uint32_t reader_partition_count(const struct reader *reader) { return reader->partition_count; }

bool reader_partition_complete(const struct reader *reader, uint32_t partition)
{
    (void)partition;
    return reader->complete;
}

size_t reader_topic_count(const struct reader *reader) { return reader->topic_count; }

const char *reader_topic_name(const struct reader *reader, size_t topic)
{
    return reader->topics[topic].name;
}

struct log_id reader_topic_id(const struct reader *reader, size_t topic)
{
    return reader->topics[topic].id;
}

int32_t reader_topic_find(const struct reader *reader, const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < reader->topic_count; i++) {
        const struct bytes known = bytes_of_text(reader->topics[i].name);
        if (bytes_equal(known, bytes_of(name, name_bytes))) { return (int32_t)i; }
    }
    return -1;
}

int32_t reader_topic_find_id(const struct reader *reader, struct log_id id)
{
    for (size_t i = 0; i < reader->topic_count; i++) {
        if (log_id_equal(reader->topics[i].id, id)) { return (int32_t)i; }
    }
    return -1;
}

void reader_watermarks(const struct reader *reader, size_t topic, uint32_t partition,
                       struct reader_watermarks *out)
{
    const struct fake_partition *const source = partition_at(reader, topic, partition);
    *out =
        (struct reader_watermarks){source->log_start, source->high_watermark, reader->leader_epoch};
}

enum status reader_find_offset(struct reader *reader, size_t topic, uint32_t partition,
                               uint64_t offset, struct batch_location *out)
{
    struct fake_partition *const source = partition_at(reader, topic, partition);
    if (reader->retire_at_find > 0) { source->log_start = reader->retire_at_find; }
    const uint64_t from = offset < source->log_start ? source->log_start : offset;
    if (from >= source->high_watermark) { return STATUS_NOT_FOUND; }
    const struct fake_batch *const batch = batch_at(reader, topic, partition, from);
    if (batch == NULL) { return STATUS_NOT_FOUND; }
    *out = batch->location;
    return STATUS_OK;
}

enum status reader_find_timestamp(struct reader *reader, size_t topic, uint32_t partition,
                                  int64_t timestamp_ms, struct batch_location *out)
{
    const struct fake_partition *const source = partition_at(reader, topic, partition);
    for (size_t i = 0; i < source->count; i++) {
        const struct batch_location *const location = &source->batches[i].location;
        if (location->next_offset <= source->log_start) { continue; }
        if (location->max_timestamp_ms >= timestamp_ms) {
            *out = *location;
            return STATUS_OK;
        }
    }
    return STATUS_NOT_FOUND;
}

/* Positions are unique over the whole reader. */
static struct fake_batch *batch_of(const struct reader *reader,
                                   const struct batch_location *location)
{
    for (size_t t = 0; t < reader->topic_count; t++) {
        const struct fake_partition *const source =
            &reader->topics[t].partitions[location->partition];
        for (size_t i = 0; i < source->count; i++) {
            if (source->batches[i].location.position == location->position) {
                return &source->batches[i];
            }
        }
    }
    return NULL;
}

enum status reader_read_tail(struct reader *reader, const struct batch_location *location,
                             uint8_t *out)
{
    const struct fake_batch *const batch = batch_of(reader, location);
    assert(batch != NULL && location->in_ring);
    if (batch->tail != STATUS_OK) { return batch->tail; }
    memcpy(out, batch->bytes, location->length_bytes);
    return STATUS_OK;
}

enum status reader_read_cold(struct reader *reader, const struct batch_location *location,
                             uint8_t *scratch, const uint8_t **out)
{
    const struct fake_batch *const batch = batch_of(reader, location);
    assert(batch != NULL);
    reader->cold_reads++;
    if (batch->cold != STATUS_OK) { return batch->cold; }
    memcpy(scratch, batch->bytes, location->length_bytes);
    *out = scratch;
    return STATUS_OK;
}

size_t reader_cold_bytes(const struct batch_location *location)
{
    return ((size_t)location->length_bytes + 4095) / 4096 * 4096 + 4096;
}

uint64_t reader_available_bytes(struct reader *reader, size_t topic, uint32_t partition,
                                uint64_t offset, uint64_t limit_bytes)
{
    const struct fake_partition *const source = partition_at(reader, topic, partition);
    uint64_t sum = 0;
    for (size_t i = 0; i < source->count && sum < limit_bytes; i++) {
        const struct batch_location *const location = &source->batches[i].location;
        if (location->next_offset > offset) { sum += location->length_bytes; }
    }
    return sum < limit_bytes ? sum : limit_bytes;
}

/* ------------------------------------------------------------------------------------ the scrub */

/* storage/scrub.h with nothing to look at: a pass over nothing, for ever. */
struct scrub {
    uint64_t steps;
};

enum status scrub_create(const char *const *paths, size_t path_count,
                         const struct scrub_report *report, struct scrub **out)
{
    (void)paths;
    (void)path_count;
    (void)report;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

void scrub_destroy(struct scrub *scrub) { free(scrub); }

size_t scrub_step(struct scrub *scrub, int64_t wall_ms)
{
    (void)wall_ms;
    scrub->steps++;
    return 0;
}

void scrub_progress(const struct scrub *scrub, struct scrub_progress *out)
{
    *out = (struct scrub_progress){.passes = scrub->steps};
}
