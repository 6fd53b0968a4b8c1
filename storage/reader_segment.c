#include "storage/reader_segment.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/segment_footer.h"
#include "storage/segment_scan.h"

static struct reader_segment *segment_create(uint32_t partition, uint64_t number)
{
    struct reader_segment *const segment = calloc(1, sizeof *segment);
    if (segment == NULL) { return NULL; }
    segment->spans = calloc(LOG_TOPICS_MAX, sizeof *segment->spans);
    if (segment->spans == NULL) {
        free(segment);
        return NULL;
    }
    segment->partition = partition;
    segment->number = number;
    segment->last_number = UINT64_MAX;
    segment->has_index = true;
    return segment;
}

void reader_segment_destroy(struct reader_segment *segment)
{
    if (segment == NULL) { return; }
    mapped_file_close(&segment->live);
    segment_index_deinit(&segment->index);
    free(segment->spans);
    free(segment);
}

/* --------------------------------------------------------------------------- the summary */

static void span_declare(struct reader_segment *segment, int32_t topic, uint64_t base_offset,
                         uint64_t next_offset)
{
    if (base_offset > INT64_MAX || next_offset > INT64_MAX) { return; }
    struct segment_span *const span = &segment->spans[topic];
    if (!span->declared) { span->base_offset = base_offset; }
    span->declared = true;
    if (next_offset > span->next_offset) { span->next_offset = next_offset; }
}

static void span_add(struct reader_segment *segment, const struct index_entry *entry)
{
    struct segment_span *const span = &segment->spans[entry->topic];
    const uint64_t end = entry->base_offset + entry->record_count;
    if (span->bytes == 0) {
        span->first_record = entry->base_offset;
        span->max_timestamp_ms = entry->max_timestamp_ms;
    }
    if (entry->max_timestamp_ms > span->max_timestamp_ms) {
        span->max_timestamp_ms = entry->max_timestamp_ms;
    }
    span_declare(segment, entry->topic, entry->base_offset, end);
    span->records_end = end;
    span->bytes += entry->length_bytes;
}

static enum status entry_take(struct reader_segment *segment, const struct index_entry *entry,
                              uint64_t ring_position, uint64_t durable_ns)
{
    const enum status status =
        segment_index_append(&segment->index, entry, ring_position, durable_ns);
    if (status == STATUS_OK) { span_add(segment, entry); }
    if (status == STATUS_CORRUPT) {
        segment->entries_refused++;
        return STATUS_OK;
    }
    return status;
}

static void topics_take(struct reader_segment *segment, struct bytes declarations,
                        const struct segment_topics *topics)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        span_declare(segment, topic.topic, topic.base_offset, topic.next_offset);
        if (topics != NULL) {
            topics->declare(topics->context, topic.topic, topic.name, topic.topic_id);
        }
    }
}

/* ------------------------------------------------------------------------------- live */

static enum status live_check(const struct mapped_file *file, uint32_t partition, uint64_t number)
{
    const struct live_index_header *const header = (const struct live_index_header *)file->at;
    const enum status status = live_index_check(header, file->size_bytes);
    if (status != STATUS_OK) { return status; }
    if (atomic_load_explicit(&header->state, memory_order_acquire) == LIVE_INDEX_PREPARED) {
        return STATUS_NOT_FOUND;
    }
    if (header->partition != partition || header->segment_number != number) {
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

enum status reader_segment_attach(const char *runtime, uint32_t partition, uint64_t number,
                                  struct reader_segment **out)
{
    char name[LIVE_INDEX_NAME_BYTES];
    char path[4096];
    struct mapped_file live = {0};
    live_index_file_name(partition, number, name);
    const int len = snprintf(path, sizeof path, "%s/%s", runtime, name);
    if (len < 0 || (size_t)len >= sizeof path) { return STATUS_INVALID; }
    enum status status = mapped_file_open(path, false, sizeof(struct live_index_header), &live);
    if (status != STATUS_OK) { return status; }
    status = live_check(&live, partition, number);
    struct reader_segment *const segment =
        status == STATUS_OK ? segment_create(partition, number) : NULL;
    if (segment == NULL) {
        mapped_file_close(&live);
        return status == STATUS_OK ? STATUS_NO_MEMORY : status;
    }

    const struct live_index_header *const header = (const struct live_index_header *)live.at;
    segment->live = live;
    segment->live_capacity = header->entry_capacity;
    if (live_index_file_bytes(segment->live_capacity) > live.size_bytes) {
        segment->live_capacity = 0; /* it changed since it was checked: believe nothing of it */
    }
    segment->nonce = header->nonce;
    segment->leader_epoch = header->leader_epoch;
    segment->incarnation = header->incarnation;
    segment->from_live = true;
    segment_index_init(&segment->index, INT64_MAX); /* bounded again by what a read finds */
    *out = segment;
    return STATUS_OK;
}

static void live_take_topics(struct reader_segment *segment, const struct segment_topics *topics)
{
    const struct live_index_header *const header =
        (const struct live_index_header *)segment->live.at;
    uint32_t count = atomic_load_explicit(&header->topic_count, memory_order_acquire);
    if (count > LOG_TOPICS_MAX) { count = LOG_TOPICS_MAX; }
    for (; segment->live_topics_seen < count; segment->live_topics_seen++) {
        /* A copy: what is checked is what is used. */
        const struct live_index_topic topic = live_index_topics(header)[segment->live_topics_seen];
        if (topic.topic < 0 || topic.topic >= LOG_TOPICS_MAX) { continue; }
        if (topic.name_bytes == 0 || topic.name_bytes > LOG_TOPIC_NAME_BYTES_MAX) { continue; }
        span_declare(segment, topic.topic, topic.base_offset, topic.base_offset);
        topics->declare(topics->context, topic.topic, bytes_of(topic.name, topic.name_bytes),
                        topic.topic_id);
    }
}

static bool live_take_entries(struct reader_segment *segment)
{
    const struct live_index_header *const header =
        (const struct live_index_header *)segment->live.at;
    /* acquire: pairs with the worker's release after it filled the entries */
    uint64_t count = atomic_load_explicit(&header->entry_count, memory_order_acquire);
    if (count > segment->live_capacity) { count = segment->live_capacity; }
    const uint64_t before = segment->live_entries_seen;
    for (; segment->live_entries_seen < count; segment->live_entries_seen++) {
        const struct live_index_entry entry =
            live_index_entries(header)[segment->live_entries_seen];
        const struct index_entry index = index_entry_decode(&entry.index);
        const enum status status =
            entry_take(segment, &index, entry.ring_position, entry.durable_ns);
        if (status == STATUS_NO_MEMORY) { break; } /* the next refresh tries again */
    }
    return segment->live_entries_seen != before;
}

bool reader_segment_follow(struct reader_segment *segment, const struct segment_topics *topics)
{
    if (segment->live.at == NULL) { return false; }
    const struct live_index_header *const header =
        (const struct live_index_header *)segment->live.at;
    /* The state first: once it says sealed, the counts behind it are final. */
    const uint32_t state = atomic_load_explicit(&header->state, memory_order_acquire);
    const uint32_t topics_before = segment->live_topics_seen;
    live_take_topics(segment, topics);
    const bool grown = live_take_entries(segment) || segment->live_topics_seen != topics_before;
    if (state == LIVE_INDEX_SEALED && !grown) {
        segment->sealed = true;
        mapped_file_close(&segment->live);
    }
    return grown;
}

/* ----------------------------------------------------------------------------- on disk */

/* STATUS_INVALID: a copy, or another log's file, under a name of this one. A header that was
 * rebuilt from a commit knows neither partition nor number. */
static enum status header_take(struct reader_segment *segment, const struct segment_scan *scan)
{
    static const struct log_id any = {{0}};
    const struct segment_header *const header = segment_scan_header(scan);
    const bool named_so =
        header->number == segment->number && header->partition == segment->partition;
    if (!named_so && !segment_scan_header_is_rebuilt(scan)) { return STATUS_INVALID; }
    if (!log_id_equal(segment->log_id, any) && !log_id_equal(segment->log_id, header->log_id)) {
        return STATUS_INVALID;
    }
    segment->nonce = header->nonce;
    segment->cluster_id = header->cluster_id;
    segment->leader_epoch = header->leader_epoch;
    segment->incarnation = header->incarnation;
    segment->sealed = true;
    segment_index_init(&segment->index, header->capacity_bytes);
    return STATUS_OK;
}

static enum status footer_take(struct reader_segment *segment, struct segment_scan *scan,
                               const struct segment_topics *topics)
{
    struct scanned_commit commit;
    struct segment_footer footer;
    struct segment_trailer trailer;
    enum status status = segment_scan_trailer(scan, &trailer);
    if (status != STATUS_OK) { return status == STATUS_IO ? STATUS_IO : STATUS_BUSY; }
    status = segment_scan_footer(scan, &commit);
    if (status != STATUS_OK) { return status; }
    status = segment_footer_open(commit.bytes, &commit.header, &footer);
    if (status != STATUS_OK) { return STATUS_CORRUPT; }

    topics_take(segment, footer.topics, topics);
    for (size_t i = 0; status == STATUS_OK && i < segment_footer_index_count(&footer); i++) {
        const struct index_entry entry = segment_footer_index_at(&footer, i);
        status = entry_take(segment, &entry, 0, 0);
    }
    return status;
}

static enum status commit_take(struct reader_segment *segment, const struct scanned_commit *commit,
                               const struct segment_topics *topics)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry.type == ENTRY_TOPICS && entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK) {
            topics_take(segment, bytes, topics);
        }
        if (entry.type != ENTRY_RECORDS) { continue; }
        const struct index_entry line = {
            .topic = entry.topic,
            .record_count = entry.record_count,
            .base_offset = entry.base_offset,
            .max_timestamp_ms = entry.max_timestamp_ms,
            .commit_number = commit->header.number,
            .position = commit->position + entry.position,
            .length_bytes = entry.length_bytes,
            .crc32c = entry.crc32c,
        };
        status = entry_take(segment, &line, 0, 0);
    }
    return status;
}

static enum status scan_take(struct reader_segment *segment, struct segment_scan *scan,
                             const struct segment_topics *topics)
{
    struct scanned_commit commit;
    enum scan_result result = segment_scan_next(scan, &commit);
    while (result != SCAN_END) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (known && commit.header.number > segment->last_number) { break; }
        if (known) {
            const enum status status = commit_take(segment, &commit, topics);
            if (status != STATUS_OK) { return status; }
        }
        result = known ? segment_scan_next(scan, &commit) : segment_scan_resync(scan, &commit);
    }
    return STATUS_OK;
}

/* Fills index and summary from the file, by footer or by scan. */
static enum status segment_fill(struct reader_segment *segment, struct files files,
                                const struct segment_topics *topics)
{
    char name[LOG_NAME_BYTES];
    int file;
    uint64_t size_bytes;
    log_segment_name(segment->partition, segment->number, name);
    enum status status = files_open(files, name, FILES_READ, &file, &size_bytes);
    if (status != STATUS_OK) { return status == STATUS_NOT_FOUND ? STATUS_STALE : status; }
    struct segment_scan *scan = NULL;
    status = segment_scan_create(files, file, size_bytes, &scan);
    if (status == STATUS_OK) { status = header_take(segment, scan); }
    if (status == STATUS_OK) {
        struct segment_trailer trailer;
        if (segment->rebuilt && segment_scan_trailer(scan, &trailer) == STATUS_OK &&
            trailer.footer_number - 1 < segment->last_number) {
            segment->last_number = trailer.footer_number - 1;
        }
        status = segment->rebuilt ? scan_take(segment, scan, topics)
                                  : footer_take(segment, scan, topics);
    }
    segment_scan_destroy(scan);
    files_close(files, file);
    return status;
}

static enum status segment_read(struct reader_segment *segment, struct files files,
                                const struct segment_topics *topics, struct reader_segment **out)
{
    if (segment == NULL) { return STATUS_NO_MEMORY; }
    const enum status status = segment_fill(segment, files, topics);
    if (status != STATUS_OK) {
        reader_segment_destroy(segment);
        return status;
    }
    *out = segment;
    return STATUS_OK;
}

enum status reader_segment_load(struct files files, uint32_t partition, uint64_t number,
                                struct log_id log_id, const struct segment_topics *topics,
                                struct reader_segment **out)
{
    struct reader_segment *const segment = segment_create(partition, number);
    if (segment != NULL) { segment->log_id = log_id; }
    return segment_read(segment, files, topics, out);
}

enum status reader_segment_rebuild(struct files files, uint32_t partition, uint64_t number,
                                   struct log_id log_id, uint64_t last_number,
                                   const struct segment_topics *topics, struct reader_segment **out)
{
    struct reader_segment *const segment = segment_create(partition, number);
    if (segment != NULL) {
        segment->log_id = log_id;
        segment->rebuilt = true;
        segment->last_number = last_number;
    }
    return segment_read(segment, files, topics, out);
}

enum status reader_segment_index_load(struct files files, struct reader_segment *segment)
{
    if (segment->has_index) { return STATUS_OK; }
    struct reader_segment *fresh = NULL;
    enum status status =
        segment->rebuilt
            ? reader_segment_rebuild(files, segment->partition, segment->number, segment->log_id,
                                     segment->last_number, NULL, &fresh)
            : reader_segment_load(files, segment->partition, segment->number, segment->log_id, NULL,
                                  &fresh);
    if (status == STATUS_STALE) { return STATUS_NOT_FOUND; }
    if (status == STATUS_BUSY) { return STATUS_CORRUPT; } /* its seal was there before */
    if (status != STATUS_OK) { return status; }
    if (log_id_equal(fresh->nonce, segment->nonce)) {
        segment->index = fresh->index;
        segment->has_index = true;
        segment->from_live = false; /* ring positions went with the old index */
        fresh->index = (struct segment_index){0};
    } else {
        status = STATUS_NOT_FOUND;
    }
    reader_segment_destroy(fresh);
    return status;
}

void reader_segment_index_drop(struct reader_segment *segment)
{
    assert(segment->sealed);
    segment_index_deinit(&segment->index);
    segment->has_index = false;
}
