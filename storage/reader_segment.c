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
    free(segment->live_reader);
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

/* Batches of a topic, behind all that it has. */
static void span_add(struct reader_segment *segment, int32_t topic, const struct segment_span *more)
{
    struct segment_span *const span = &segment->spans[topic];
    if (span->bytes == 0) {
        span->first_record = more->first_record;
        span->max_timestamp_ms = more->max_timestamp_ms;
    }
    if (more->max_timestamp_ms > span->max_timestamp_ms) {
        span->max_timestamp_ms = more->max_timestamp_ms;
    }
    span_declare(segment, topic, more->first_record, more->records_end);
    span->records_end = more->records_end;
    span->bytes += more->bytes;
}

static enum status entry_take(struct reader_segment *segment, const struct index_entry *entry,
                              uint64_t ring_position, uint64_t durable_ns)
{
    const enum status status =
        segment_index_append(&segment->index, entry, ring_position, durable_ns);
    if (status == STATUS_OK) {
        const struct segment_span span = {
            .first_record = entry->base_offset,
            .records_end = entry->base_offset + entry->record_count,
            .max_timestamp_ms = entry->max_timestamp_ms,
            .bytes = entry->length_bytes,
        };
        span_add(segment, entry->topic, &span);
    }
    if (status == STATUS_CORRUPT) {
        segment->entries_refused++;
        return STATUS_OK;
    }
    return status;
}

static enum status anchor_take(struct reader_segment *segment, const struct index_anchor *anchor,
                               uint64_t position)
{
    const enum status status = segment_index_append_chunk(&segment->index, anchor, position);
    if (status != STATUS_OK) { return status; }
    const struct segment_span span = {
        .first_record = anchor->base_offset,
        .records_end = anchor->next_offset,
        .max_timestamp_ms = anchor->max_timestamp_ms,
        .bytes = anchor->batch_bytes,
    };
    span_add(segment, anchor->topic, &span);
    return STATUS_OK;
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
    segment->live_reader = calloc(1, sizeof *segment->live_reader);
    if (segment->live_reader == NULL) {
        reader_segment_destroy(segment);
        return STATUS_NO_MEMORY;
    }
    segment->live_capacity = header->capacity_bytes;
    if (live_index_file_bytes(segment->live_capacity) > live.size_bytes) {
        segment->live_capacity = 0; /* it changed since it was checked: believe nothing of it */
    }
    segment->nonce = header->nonce;
    segment->leader_epoch = header->leader_epoch;
    segment->leader_epoch_known = true;
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

/* False when there is none. */
static bool live_next(struct reader_segment *segment)
{
    if (segment->live_line_waits) { return true; }
    const struct live_index_header *const header =
        (const struct live_index_header *)segment->live.at;
    const bool broken = segment->live_reader->broken;
    const enum status status =
        live_index_next(segment->live_reader, header, segment->live_capacity, &segment->live_line);
    if (status == STATUS_CORRUPT && !broken) { segment->entries_refused++; }
    segment->live_line_waits = status == STATUS_OK;
    return segment->live_line_waits;
}

static bool live_take_entries(struct reader_segment *segment)
{
    bool grown = false;
    while (live_next(segment)) {
        const struct live_index_line *const line = &segment->live_line;
        const enum status status =
            entry_take(segment, &line->entry, line->ring_position, line->durable_ns);
        if (status == STATUS_NO_MEMORY) { break; } /* the next refresh tries again */
        segment->live_line_waits = false;
        grown = true;
    }
    return grown;
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
        free(segment->live_reader);
        segment->live_reader = NULL;
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
    segment->leader_epoch_known = !segment_scan_header_is_rebuilt(scan);
    segment->incarnation = header->incarnation;
    segment->sealed = true;
    segment_index_init(&segment->index, header->capacity_bytes);
    return STATUS_OK;
}

static enum status anchors_take(struct reader_segment *segment, const struct segment_footer *footer)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < segment_footer_anchor_count(footer); i++) {
        struct index_anchor anchor;
        status = segment_footer_anchor(footer, i, &anchor);
        if (status == STATUS_OK) {
            status = anchor_take(segment, &anchor, footer->index_position + anchor.position);
        }
    }
    return status;
}

static enum status footer_take(struct reader_segment *segment, struct files files, int file,
                               const struct segment_scan *scan, const struct segment_topics *topics)
{
    struct segment_trailer trailer;
    enum status status = segment_scan_trailer(scan, &trailer);
    if (status != STATUS_OK) { return status == STATUS_IO ? STATUS_IO : STATUS_BUSY; }
    uint8_t *memory;
    struct segment_footer footer;
    status = segment_footer_read_summary(files, file, segment_scan_header(scan), &trailer, &memory,
                                         &footer);
    if (status != STATUS_OK) { return status == STATUS_TRUNCATED ? STATUS_CORRUPT : status; }
    topics_take(segment, footer.topics, topics);
    status = anchors_take(segment, &footer);
    free(memory);
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
            .position = commit->position + entry.position,
            .length_bytes = entry.length_bytes,
            .check = index_check(entry.crc32c),
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
                                  : footer_take(segment, files, file, scan, topics);
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

enum status reader_segment_index_rebuild(struct files files, struct reader_segment *segment)
{
    reader_segment_index_drop(segment);
    segment->rebuilt = true;
    return reader_segment_index_load(files, segment);
}

static enum status chunk_read(struct files files, const struct open_segment *file,
                              struct segment_index *index, struct index_chunk *chunk)
{
    const uint64_t begin = chunk->position - chunk->position % FILES_READ_UNIT_BYTES;
    const size_t ahead = (size_t)(chunk->position - begin);
    const size_t wanted = ahead + chunk->length_bytes;
    const size_t window_bytes =
        (wanted + FILES_READ_UNIT_BYTES - 1) / FILES_READ_UNIT_BYTES * FILES_READ_UNIT_BYTES;
    uint8_t *const window = aligned_alloc(LOG_BLOCK_BYTES, (window_bytes + LOG_BLOCK_BYTES - 1) /
                                                               LOG_BLOCK_BYTES * LOG_BLOCK_BYTES);
    if (window == NULL) { return STATUS_NO_MEMORY; }
    enum status status = files_read(files, file->file, begin, window, window_bytes);
    if (status == STATUS_OK) {
        status =
            segment_index_chunk_give(index, chunk, bytes_of(window + ahead, chunk->length_bytes));
    }
    free(window);
    return status == STATUS_TRUNCATED ? STATUS_CORRUPT : status;
}

enum status reader_segment_chunk_load(struct files files, struct open_segments *open,
                                      struct reader_segment *segment, struct index_chunk *chunk)
{
    if (chunk->lines != NULL) { return STATUS_OK; }
    struct open_segment file;
    enum status status =
        open_segments_take(open, segment->partition, segment->number, &segment->nonce, &file);
    if (status != STATUS_OK) { return status; }
    status = chunk_read(files, &file, &segment->index, chunk);
    open_segments_give_back(open, &file);
    return status;
}

void reader_segment_index_drop(struct reader_segment *segment)
{
    assert(segment->sealed);
    segment_index_deinit(&segment->index);
    segment->has_index = false;
}
