#include "storage/reader.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mapped_file.h"
#include "storage/open_segments.h"
#include "storage/reader_catalog.h"
#include "storage/reader_partition.h"
#include "wire/record_batch.h"

enum {
    LOOK_AGAIN_NS = 100 * NS_PER_MS,
};

struct reader {
    struct files files;
    struct posix_files *posix_files; /* NULL: the files are someone else's */
    struct open_segments *open;
    char *runtime;
    size_t index_cache_bytes;
    uint64_t use_clock;

    struct mapped_file root;
    uint64_t root_due_ns; /* when to look for one again */

    /* What directories were last looked at for. */
    bool looked;
    uint64_t looked_generation;
    uint64_t looked_incarnation;
    uint32_t looked_state;
    bool looked_alive;
    uint64_t look_due_ns; /* 0: nothing is expected */

    struct reader_catalog catalog;
    struct log_id cluster_id;
    uint32_t partition_count;
    struct reader_partition *partitions[ROOT_PARTITIONS_MAX]; /* NULL: nothing of it seen */
};

/* ------------------------------------------------------------------------------ create */

enum status reader_create_over(struct files files, const char *runtime, size_t index_cache_bytes,
                               struct reader **out)
{
    struct reader *const reader = calloc(1, sizeof *reader);
    if (reader == NULL) { return STATUS_NO_MEMORY; }
    reader->files = files;
    reader->index_cache_bytes = index_cache_bytes;
    reader->runtime = strdup(runtime);
    if (reader->runtime == NULL || open_segments_create(files, &reader->open) != STATUS_OK) {
        reader_destroy(reader);
        return STATUS_NO_MEMORY;
    }
    *out = reader;
    return STATUS_OK;
}

enum status reader_create(const struct reader_options *options, struct reader **out)
{
    struct posix_files *posix_files;
    enum status status =
        posix_files_create(options->storage_paths, options->storage_path_count, true, &posix_files);
    if (status != STATUS_OK) { return status; }
    status = reader_create_over(posix_files_port(posix_files), options->runtime,
                                options->index_cache_bytes, out);
    if (status != STATUS_OK) {
        posix_files_destroy(posix_files);
        return status;
    }
    (*out)->posix_files = posix_files;
    return STATUS_OK;
}

void reader_destroy(struct reader *reader)
{
    if (reader == NULL) { return; }
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        reader_partition_destroy(reader->partitions[i]);
    }
    reader_catalog_deinit(&reader->catalog);
    mapped_file_close(&reader->root);
    open_segments_destroy(reader->open);
    posix_files_destroy(reader->posix_files);
    free(reader->runtime);
    free(reader);
}

/* ----------------------------------------------------------------------------- the root page */

const struct root_page *reader_root(const struct reader *reader)
{
    return (const struct root_page *)reader->root.at;
}

bool reader_ingest_alive(const struct reader *reader, uint64_t now_ns)
{
    const struct root_page *const root = reader_root(reader);
    if (root == NULL) { return false; }
    if (atomic_load_explicit(&root->state, memory_order_relaxed) == ROOT_STATE_STOPPED) {
        return false;
    }
    const uint64_t heartbeat_ns = atomic_load_explicit(&root->heartbeat_ns, memory_order_relaxed);
    return heartbeat_ns != 0 && (now_ns < heartbeat_ns || /* it beat since now was asked */
                                 now_ns - heartbeat_ns < ROOT_HEARTBEAT_STALE_NS);
}

/* Maps it once it is there; looks for another one (the runtime directory was emptied) only while
 * this one shows no life. */
static bool root_follow(struct reader *reader, uint64_t now_ns)
{
    char path[4096];
    struct mapped_file root = {0};
    if (reader_ingest_alive(reader, now_ns) || now_ns < reader->root_due_ns) { return false; }
    reader->root_due_ns = now_ns + LOOK_AGAIN_NS;
    const int len = snprintf(path, sizeof path, "%s/root", reader->runtime);
    if (len < 0 || (size_t)len >= sizeof path) { return false; }
    if (mapped_file_open(path, false, sizeof(struct root_page), &root) != STATUS_OK) {
        return false;
    }
    const bool same = reader->root.at != NULL && root.inode == reader->root.inode;
    if (same || root_page_check((const struct root_page *)root.at, root.size_bytes) != STATUS_OK) {
        mapped_file_close(&root);
        return false;
    }
    mapped_file_close(&reader->root);
    reader->root = root;
    return true;
}

static const struct root_partition *slot_of(const struct reader *reader, uint32_t partition)
{
    const struct root_page *const root = reader_root(reader);
    return root == NULL ? NULL : &root->partitions[partition];
}

struct log_id reader_cluster_id(const struct reader *reader)
{
    static const struct log_id unknown = {{0}};
    const struct root_page *const root = reader_root(reader);
    if (root != NULL && !log_id_equal(root->cluster_id, unknown)) { return root->cluster_id; }
    return reader->cluster_id;
}

/* ------------------------------------------------------------------------------ refresh */

static bool look_is_due(struct reader *reader, uint64_t now_ns)
{
    const struct root_page *const root = reader_root(reader);
    const bool alive = reader_ingest_alive(reader, now_ns);
    uint64_t generation = 0;
    uint64_t incarnation = 0;
    uint32_t state = 0;
    if (root != NULL) {
        /* acquire: what the generation announces is in the directories and slots */
        generation = atomic_load_explicit(&root->segments_generation, memory_order_acquire);
        incarnation = atomic_load_explicit(&root->incarnation, memory_order_acquire);
        state = atomic_load_explicit(&root->state, memory_order_acquire);
    }
    const bool expected = reader->look_due_ns != 0 && now_ns >= reader->look_due_ns;
    if (reader->looked && !expected && generation == reader->looked_generation &&
        incarnation == reader->looked_incarnation && state == reader->looked_state &&
        alive == reader->looked_alive) {
        return false;
    }
    reader->looked = true;
    reader->looked_generation = generation;
    reader->looked_incarnation = incarnation;
    reader->looked_state = state;
    reader->looked_alive = alive;
    return true;
}

static void partition_reach(struct reader *reader, uint32_t partition)
{
    if (partition >= ROOT_PARTITIONS_MAX) { return; }
    if (reader->partitions[partition] == NULL) {
        reader->partitions[partition] = reader_partition_create(partition, &reader->catalog);
    }
    if (partition >= reader->partition_count) { reader->partition_count = partition + 1; }
}

static void on_partition(void *context, uint32_t partition) { partition_reach(context, partition); }

static void partitions_find(struct reader *reader)
{
    const struct root_page *const root = reader_root(reader);
    if (files_list_partitions(reader->files, on_partition, reader) != STATUS_OK) {
        reader->look_due_ns = 1; /* at the next refresh */
    }
    if (root == NULL) { return; }
    uint32_t count = atomic_load_explicit(&root->partition_count, memory_order_acquire);
    if (count > ROOT_PARTITIONS_MAX) { count = ROOT_PARTITIONS_MAX; }
    if (count > 0) { partition_reach(reader, count - 1); }
}

/* What sealed segments' indexes take, and the one but `keep` that was used longest ago. */
static size_t index_cache_held(const struct reader *reader, const struct reader_segment *keep,
                               struct reader_segment **out_oldest)
{
    size_t held_bytes = 0;
    *out_oldest = NULL;
    for (uint32_t i = 0; i < reader->partition_count; i++) {
        const struct reader_partition *const partition = reader->partitions[i];
        for (size_t j = 0; partition != NULL && j < partition->segment_count; j++) {
            struct reader_segment *const segment = partition->segments[j];
            if (!segment->sealed || !segment->has_index) { continue; }
            held_bytes += segment->index.memory_bytes;
            if (segment == keep) { continue; }
            if (*out_oldest == NULL || segment->last_use < (*out_oldest)->last_use) {
                *out_oldest = segment;
            }
        }
    }
    return held_bytes;
}

/* Makes room for a sealed segment's index by dropping those that were used longest ago. */
static void index_cache_trim(struct reader *reader, const struct reader_segment *keep)
{
    struct reader_segment *oldest;
    while (index_cache_held(reader, keep, &oldest) > reader->index_cache_bytes && oldest != NULL) {
        reader_segment_index_drop(oldest);
    }
}

/* How much of the cache is free. */
static size_t index_cache_room(const struct reader *reader)
{
    struct reader_segment *oldest;
    const size_t held_bytes = index_cache_held(reader, NULL, &oldest);
    return held_bytes < reader->index_cache_bytes ? reader->index_cache_bytes - held_bytes : 0;
}

static bool look(struct reader *reader, uint64_t now_ns)
{
    static const struct log_id unknown = {{0}};
    reader->look_due_ns = 0;
    partitions_find(reader);
    size_t index_room_bytes = index_cache_room(reader);
    bool changed = false;
    for (uint32_t i = 0; i < reader->partition_count; i++) {
        struct reader_partition *const partition = reader->partitions[i];
        const struct root_partition *const slot = slot_of(reader, i);
        if (partition == NULL) { continue; }
        struct partition_view view = {
            .files = reader->files,
            .open = reader->open,
            .runtime = reader->runtime,
            .recovered = reader->looked_state >= ROOT_STATE_RUNNING,
            .incarnation = reader->looked_incarnation,
            .index_room_bytes = &index_room_bytes,
        };
        if (slot != NULL) {
            if (view.recovered) { view.log_id = slot->log_id; }
            view.open_segment_number =
                atomic_load_explicit(&slot->open_segment_number, memory_order_acquire);
            view.first_segment_number =
                atomic_load_explicit(&slot->first_segment_number, memory_order_acquire);
        }
        changed = reader_partition_look(partition, &view) || changed;
        if (partition->look_again) { reader->look_due_ns = now_ns + LOOK_AGAIN_NS; }
        if (!log_id_equal(partition->cluster_id, unknown)) {
            reader->cluster_id = partition->cluster_id;
        }
    }
    index_cache_trim(reader, NULL); /* segments that were live until now count, too */
    return changed;
}

static void partition_retire(struct reader *reader, uint32_t partition)
{
    const struct root_partition *const slot = slot_of(reader, partition);
    if (slot == NULL) { return; }
    const uint64_t first = atomic_load_explicit(&slot->first_segment_number, memory_order_acquire);
    (void)reader_partition_retire(reader->partitions[partition], reader->open, first);
}

bool reader_refresh(struct reader *reader, uint64_t now_ns)
{
    bool changed = root_follow(reader, now_ns);
    if (look_is_due(reader, now_ns)) { changed = look(reader, now_ns) || changed; }
    for (uint32_t i = 0; i < reader->partition_count; i++) {
        if (reader->partitions[i] == NULL) { continue; }
        partition_retire(reader, i);
        changed = reader_partition_follow(reader->partitions[i]) || changed;
    }
    return changed;
}

/* ----------------------------------------------------------------------- what there is */

uint32_t reader_partition_count(const struct reader *reader) { return reader->partition_count; }

static const struct reader_partition *partition_of(const struct reader *reader, uint32_t partition)
{
    return partition < reader->partition_count ? reader->partitions[partition] : NULL;
}

bool reader_partition_complete(const struct reader *reader, uint32_t partition)
{
    const struct reader_partition *const found = partition_of(reader, partition);
    return found == NULL || found->complete;
}

size_t reader_topic_count(const struct reader *reader) { return reader->catalog.count; }

const char *reader_topic_name(const struct reader *reader, size_t topic)
{
    return reader->catalog.topics[topic].name;
}

struct log_id reader_topic_id(const struct reader *reader, size_t topic)
{
    return reader->catalog.topics[topic].id;
}

int32_t reader_topic_find(const struct reader *reader, const char *name, size_t name_bytes)
{
    return reader_catalog_find(&reader->catalog, bytes_of(name, name_bytes));
}

int32_t reader_topic_find_id(const struct reader *reader, struct log_id id)
{
    return reader_catalog_find_id(&reader->catalog, id);
}

void reader_watermarks(const struct reader *reader, size_t topic, uint32_t partition,
                       struct reader_watermarks *out)
{
    *out = (struct reader_watermarks){0};
    const struct reader_partition *const found = partition_of(reader, partition);
    if (found == NULL) { return; }
    if (found->segment_count > 0) {
        out->leader_epoch = found->segments[found->segment_count - 1]->leader_epoch;
    }
    const int32_t local = reader_partition_local(found, topic);
    if (local < 0) { return; }
    out->log_start = found->topics[local].log_start;
    out->high_watermark = found->topics[local].high_watermark;
}

/* --------------------------------------------------------------------------------- lookups */

static enum status segment_use(struct reader *reader, struct reader_segment *segment)
{
    segment->last_use = ++reader->use_clock;
    if (segment->has_index) { return STATUS_OK; }
    const enum status status = reader_segment_index_load(reader->files, segment);
    if (status == STATUS_OK) { index_cache_trim(reader, segment); }
    return status;
}

/* The chunk's lines in memory. STATUS_CORRUPT also where the summary promised a chunk. */
static enum status chunk_use(struct reader *reader, struct reader_segment *segment,
                             struct index_chunk *chunk)
{
    if (chunk == NULL) { return STATUS_CORRUPT; }
    if (chunk->lines != NULL) { return STATUS_OK; }
    const enum status status =
        reader_segment_chunk_load(reader->files, reader->open, segment, chunk);
    if (status == STATUS_OK) { index_cache_trim(reader, segment); }
    return status;
}

/* What a footer's index says does not hold: what the segment itself says does. Once. */
static bool index_rebuild(struct reader *reader, struct reader_segment *segment)
{
    if (!segment->sealed || segment->rebuilt) { return false; }
    if (reader_segment_index_rebuild(reader->files, segment) != STATUS_OK) { return false; }
    index_cache_trim(reader, segment);
    return true;
}

static void location_fill(const struct reader_partition *partition,
                          const struct reader_segment *segment, const struct batch_entry *entry,
                          struct batch_location *out)
{
    *out = (struct batch_location){
        .partition = partition->number,
        .segment_number = segment->number,
        .segment_nonce = segment->nonce,
        .base_offset = entry->base_offset,
        .next_offset = entry->next_offset,
        .max_timestamp_ms = entry->max_timestamp_ms,
        .position = entry->position,
        .length_bytes = entry->length_bytes,
        .check = entry->check,
        .leader_epoch = segment->leader_epoch_known ? (int64_t)segment->leader_epoch : -1,
        .in_ring =
            segment->from_live && reader_partition_ring(partition, segment->incarnation) != NULL,
        .ring_position = entry->ring_position,
        .durable_ns = entry->durable_ns,
    };
}

/* The oldest segment that has a record of the topic at or beyond `offset`; NULL: none. */
static struct reader_segment *segment_of_offset(const struct reader_partition *partition,
                                                int32_t topic, uint64_t offset)
{
    struct reader_segment *found = NULL;
    for (size_t i = partition->segment_count; i-- > 0;) {
        struct reader_segment *const segment = partition->segments[i];
        const struct segment_span *const span = &segment->spans[topic];
        if (span->bytes == 0) { continue; }
        if (span->records_end <= offset) { break; }
        found = segment;
        if (span->first_record <= offset) { break; }
    }
    return found;
}

/* The partition and the log's own number of the topic; NULL when nothing of it is there. */
static const struct reader_partition *topic_at(struct reader *reader, size_t topic,
                                               uint32_t partition, int32_t *local)
{
    const struct reader_partition *const found = partition_of(reader, partition);
    if (found == NULL) { return NULL; }
    partition_retire(reader, partition);
    *local = reader_partition_local(found, topic);
    return *local >= 0 ? found : NULL;
}

enum status reader_find_offset(struct reader *reader, size_t topic, uint32_t partition,
                               uint64_t offset, struct batch_location *out)
{
    int32_t local;
    const struct reader_partition *const found = topic_at(reader, topic, partition, &local);
    if (found == NULL) { return STATUS_NOT_FOUND; }
    struct reader_segment *const segment = segment_of_offset(found, local, offset);
    if (segment == NULL) { return STATUS_NOT_FOUND; }
    enum status status = segment_use(reader, segment);
    if (status != STATUS_OK) { return status; }

    struct index_chunk *chunk = segment_index_chunk_of_offset(&segment->index, local, offset);
    status = chunk_use(reader, segment, chunk);
    if (status == STATUS_CORRUPT && index_rebuild(reader, segment)) {
        chunk = segment_index_chunk_of_offset(&segment->index, local, offset);
        status = chunk_use(reader, segment, chunk);
    }
    if (status != STATUS_OK) { return status; }
    struct batch_entry entry;
    if (!segment_index_find_offset(&segment->index, chunk, offset, &entry)) {
        return STATUS_CORRUPT; /* the summary said otherwise */
    }
    location_fill(found, segment, &entry, out);
    return STATUS_OK;
}

/* The first batch of the segment that has the time, of what the topic's own limits left of it:
 * where the whole of it has the time, may be in front of the log start. Then a later batch has it,
 * or none (STATUS_NOT_FOUND). */
static enum status batch_of_timestamp(struct reader *reader, struct reader_segment *segment,
                                      int32_t local, uint64_t log_start, int64_t timestamp_ms,
                                      struct batch_entry *out)
{
    const struct segment_span *const span = &segment->spans[local];
    struct index_chunk *chunk =
        segment_index_chunk_of_timestamp(&segment->index, local, timestamp_ms);
    if (chunk != NULL && chunk->next_offset <= log_start) {
        chunk = segment_index_chunk_of_offset(&segment->index, local, log_start);
    }
    for (;;) {
        const enum status status = chunk_use(reader, segment, chunk);
        if (status != STATUS_OK) { return status; }
        if (segment_index_find_timestamp(&segment->index, chunk, log_start, timestamp_ms, out)) {
            return STATUS_OK;
        }
        if (log_start <= span->first_record) { return STATUS_CORRUPT; } /* promised otherwise */
        if (chunk->next_offset >= span->records_end) { return STATUS_NOT_FOUND; }
        chunk = segment_index_chunk_of_offset(&segment->index, local, chunk->next_offset);
    }
}

static enum status find_timestamp_in(struct reader *reader,
                                     const struct reader_partition *partition,
                                     struct reader_segment *segment, int32_t local,
                                     int64_t timestamp_ms, struct batch_location *out)
{
    const uint64_t log_start = partition->topics[local].log_start;
    enum status status = segment_use(reader, segment);
    if (status != STATUS_OK) { return status; }
    struct batch_entry entry;
    status = batch_of_timestamp(reader, segment, local, log_start, timestamp_ms, &entry);
    if (status == STATUS_CORRUPT && index_rebuild(reader, segment)) {
        status = batch_of_timestamp(reader, segment, local, log_start, timestamp_ms, &entry);
    }
    if (status != STATUS_OK) { return status; }
    location_fill(partition, segment, &entry, out);
    return STATUS_OK;
}

enum status reader_find_timestamp(struct reader *reader, size_t topic, uint32_t partition,
                                  int64_t timestamp_ms, struct batch_location *out)
{
    int32_t local;
    const struct reader_partition *const found = topic_at(reader, topic, partition, &local);
    if (found == NULL) { return STATUS_NOT_FOUND; }
    for (size_t i = 0; i < found->segment_count; i++) {
        struct reader_segment *const segment = found->segments[i];
        const struct segment_span *const span = &segment->spans[local];
        const uint64_t log_start = found->topics[local].log_start;
        if (span->bytes == 0 || span->max_timestamp_ms < timestamp_ms) { continue; }
        if (span->records_end <= log_start) { continue; }
        const enum status status =
            find_timestamp_in(reader, found, segment, local, timestamp_ms, out);
        if (status != STATUS_NOT_FOUND) { return status; }
    }
    return STATUS_NOT_FOUND;
}

/* What of a segment's batches lies behind `offset`. Without the index: in proportion, which is what
 * a waiting fetch needs to know; at least a byte, so that it does not wait for what is there. */
static uint64_t segment_bytes_from(const struct reader_segment *segment, int32_t topic,
                                   uint64_t offset)
{
    const struct segment_span *const span = &segment->spans[topic];
    if (offset <= span->first_record) { return span->bytes; }
    if (segment->has_index) { return segment_index_bytes_from(&segment->index, topic, offset); }
    const double part =
        (double)(span->records_end - offset) / (double)(span->records_end - span->first_record);
    const uint64_t bytes = (uint64_t)((double)span->bytes * part);
    return bytes > 0 ? bytes : 1;
}

uint64_t reader_available_bytes(struct reader *reader, size_t topic, uint32_t partition,
                                uint64_t offset, uint64_t limit_bytes)
{
    int32_t local;
    const struct reader_partition *const found = topic_at(reader, topic, partition, &local);
    if (found == NULL) { return 0; }
    uint64_t bytes = 0;
    for (size_t i = found->segment_count; i-- > 0 && bytes < limit_bytes;) {
        const struct segment_span *const span = &found->segments[i]->spans[local];
        if (span->bytes == 0) { continue; }
        if (span->records_end <= offset) { break; }
        bytes += segment_bytes_from(found->segments[i], local, offset);
    }
    return bytes < limit_bytes ? bytes : limit_bytes;
}

/* --------------------------------------------------------------------------------- the bytes */

/* Whether the bytes are the batch that the index means, every one of them. */
static bool batch_holds(const uint8_t *bytes, const struct batch_location *location)
{
    uint32_t crc;
    const struct bytes batch = bytes_of(bytes, location->length_bytes);
    return record_batch_is_whole(batch, location->base_offset, location->leader_epoch, &crc) &&
           index_check(crc) == location->check;
}

enum status reader_read_tail(struct reader *reader, const struct batch_location *location,
                             uint8_t *out)
{
    const struct reader_partition *const partition = partition_of(reader, location->partition);
    if (!location->in_ring || partition == NULL) { return STATUS_STALE; }
    const struct reader_segment *const segment =
        reader_partition_segment(partition, location->segment_number, &location->segment_nonce);
    if (segment == NULL) { return STATUS_STALE; }
    const struct commit_ring_header *const ring =
        reader_partition_ring(partition, segment->incarnation);
    if (ring == NULL) { return STATUS_STALE; }

    const enum status status = commit_ring_copy(
        ring, partition->ring_capacity_bytes, location->ring_position, location->length_bytes, out);
    if (status == STATUS_INVALID) { return STATUS_CORRUPT; }
    if (status != STATUS_OK) { return status; }
    return batch_holds(out, location) ? STATUS_OK : STATUS_CORRUPT;
}

static uint64_t cold_begin(const struct batch_location *location)
{
    return location->position - location->position % FILES_READ_UNIT_BYTES;
}

size_t reader_cold_bytes(const struct batch_location *location)
{
    const uint64_t end = location->position + location->length_bytes;
    const uint64_t end_unit =
        (end + FILES_READ_UNIT_BYTES - 1) / FILES_READ_UNIT_BYTES * FILES_READ_UNIT_BYTES;
    return (size_t)(end_unit - cold_begin(location));
}

enum status reader_read_cold(struct reader *reader, const struct batch_location *location,
                             uint8_t *scratch, const uint8_t **out)
{
    struct open_segment segment;
    enum status status =
        open_segments_take(reader->open, location->partition, location->segment_number,
                           &location->segment_nonce, &segment);
    if (status != STATUS_OK) { return status; }
    const uint64_t begin = cold_begin(location);
    const size_t window_bytes = reader_cold_bytes(location);
    if (begin > segment.size_bytes || window_bytes > segment.size_bytes - begin) {
        status = STATUS_CORRUPT; /* the file is shorter than its index says */
    } else {
        status = files_read(reader->files, segment.file, begin, scratch, window_bytes);
    }
    open_segments_give_back(reader->open, &segment);
    if (status != STATUS_OK) { return status; }

    const uint8_t *const batch = scratch + (location->position - begin);
    if (!batch_holds(batch, location)) { return STATUS_CORRUPT; }
    *out = batch;
    return STATUS_OK;
}
