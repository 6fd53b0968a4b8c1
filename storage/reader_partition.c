#include "storage/reader_partition.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "storage/segment_scan.h"
#include "wire/topic_starts.h"

struct reader_partition *reader_partition_create(uint32_t number, struct reader_catalog *catalog)
{
    struct reader_partition *const partition = calloc(1, sizeof *partition);
    if (partition == NULL) { return NULL; }
    partition->number = number;
    partition->catalog = catalog;
    partition->complete = true;
    return partition;
}

void reader_partition_destroy(struct reader_partition *partition)
{
    if (partition == NULL) { return; }
    for (size_t i = 0; i < partition->segment_count; i++) {
        reader_segment_destroy(partition->segments[i]);
    }
    free(partition->segments);
    free(partition->local_of);
    mapped_file_close(&partition->ring);
    mapped_file_close(&partition->starts);
    free(partition);
}

/* ------------------------------------------------------------------------------------ topics */

int32_t reader_partition_local(const struct reader_partition *partition, size_t topic)
{
    return topic < partition->local_count ? partition->local_of[topic] : -1;
}

static bool local_reach(struct reader_partition *partition, size_t count)
{
    if (count <= partition->local_count) { return true; }
    const size_t wanted = count < 64 ? 64 : count * 2;
    int16_t *const grown = realloc(partition->local_of, wanted * sizeof *grown);
    if (grown == NULL) { return false; }
    for (size_t i = partition->local_count; i < wanted; i++) { grown[i] = -1; }
    partition->local_of = grown;
    partition->local_count = wanted;
    return true;
}

static void on_topic(void *context, int32_t topic, struct bytes name, struct log_id id)
{
    struct reader_partition *const partition = context;
    struct partition_topic *const local = &partition->topics[topic];
    if (local->known) { return; } /* a log never gives a number twice */
    const int32_t catalog = reader_catalog_take(partition->catalog, name, id);
    if (catalog < 0 || !local_reach(partition, (size_t)catalog + 1)) { return; }
    local->known = true;
    local->catalog = catalog;
    partition->local_of[catalog] = (int16_t)topic;
}

static struct segment_topics topics_of(struct reader_partition *partition)
{
    const struct segment_topics topics = {on_topic, partition};
    return topics;
}

static void watermarks_raise(struct reader_partition *partition,
                             const struct reader_segment *segment)
{
    for (size_t i = 0; i < LOG_TOPICS_MAX; i++) {
        const struct segment_span *const span = &segment->spans[i];
        if (!span->declared) { continue; }
        if (span->next_offset > partition->topics[i].high_watermark) {
            partition->topics[i].high_watermark = span->next_offset;
        }
    }
}

/* The oldest segment that knows the topic says where it begins. */
static void log_starts_find(struct reader_partition *partition)
{
    for (size_t i = 0; i < LOG_TOPICS_MAX; i++) {
        struct partition_topic *const topic = &partition->topics[i];
        if (!topic->known) { continue; }
        uint64_t start = topic->high_watermark;
        for (size_t j = 0; j < partition->segment_count; j++) {
            const struct segment_span *const span = &partition->segments[j]->spans[i];
            if (!span->declared) { continue; }
            start = span->base_offset;
            break;
        }
        if (start > topic->log_start) { topic->log_start = start; }
    }
}

/* Never beyond what is durable, whatever the page says. */
static void starts_take(struct reader_partition *partition, const struct topic_starts *page)
{
    for (size_t i = 0; i < LOG_TOPICS_MAX; i++) {
        struct partition_topic *const topic = &partition->topics[i];
        if (!topic->known) { continue; }
        uint64_t start = atomic_load_explicit(&page->starts[i], memory_order_acquire);
        if (start > topic->high_watermark) { start = topic->high_watermark; }
        if (start > topic->log_start) { topic->log_start = start; }
    }
}

/* Cheap while nothing expired: one load. */
static void starts_follow(struct reader_partition *partition)
{
    const struct topic_starts *const page = (const struct topic_starts *)partition->starts.at;
    if (page == NULL) { return; }
    /* acquire: the starts that it announces are there */
    const uint64_t generation = atomic_load_explicit(&page->generation, memory_order_acquire);
    if (generation == partition->starts_generation) { return; }
    partition->starts_generation = generation;
    starts_take(partition, page);
}

static bool starts_are_of(const struct mapped_file *file, const struct reader_partition *partition)
{
    const struct topic_starts *const page = (const struct topic_starts *)file->at;
    return topic_starts_check(page, file->size_bytes) == STATUS_OK &&
           page->partition == partition->number && log_id_equal(page->log_id, partition->log_id);
}

static void starts_look(struct reader_partition *partition, const char *runtime)
{
    char name[TOPIC_STARTS_NAME_BYTES];
    char path[4096];
    struct mapped_file starts = {0};
    topic_starts_file_name(partition->number, name);
    const int len = snprintf(path, sizeof path, "%s/%s", runtime, name);
    if (len < 0 || (size_t)len >= sizeof path) { return; }
    if (mapped_file_open(path, false, sizeof(struct topic_starts), &starts) != STATUS_OK) {
        return;
    }
    const bool same = starts.inode == partition->starts.inode && partition->starts.at != NULL;
    if (same || !starts_are_of(&starts, partition)) {
        mapped_file_close(&starts);
    } else {
        mapped_file_close(&partition->starts);
        partition->starts = starts;
    }
    /* Topics may have become known, watermarks risen, since its generation moved. */
    if (partition->starts.at != NULL) {
        starts_take(partition, (const struct topic_starts *)partition->starts.at);
    }
}

/* ---------------------------------------------------------------------------------- segments */

/* Index of the first segment whose number is not below. */
static size_t segment_place(const struct reader_partition *partition, uint64_t number)
{
    size_t begin = 0;
    size_t end = partition->segment_count;
    while (begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        if (partition->segments[middle]->number < number) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

struct reader_segment *reader_partition_segment(const struct reader_partition *partition,
                                                uint64_t number, const struct log_id *nonce)
{
    const size_t place = segment_place(partition, number);
    if (place == partition->segment_count) { return NULL; }
    struct reader_segment *const segment = partition->segments[place];
    if (segment->number != number) { return NULL; }
    return nonce == NULL || log_id_equal(segment->nonce, *nonce) ? segment : NULL;
}

static void segment_insert(struct reader_partition *partition, struct reader_segment *segment)
{
    static const struct log_id unknown = {{0}};
    const size_t place = segment_place(partition, segment->number);
    if (place < partition->segment_count && partition->segments[place]->number == segment->number) {
        reader_segment_destroy(partition->segments[place]);
        partition->segments[place] = segment;
    } else {
        if (partition->segment_count == partition->segment_capacity) {
            const size_t capacity =
                partition->segment_capacity == 0 ? 16 : partition->segment_capacity * 2;
            void *const grown =
                realloc(partition->segments, capacity * sizeof(struct reader_segment *));
            if (grown == NULL) {
                reader_segment_destroy(segment);
                partition->look_again = true;
                return;
            }
            partition->segments = grown;
            partition->segment_capacity = capacity;
        }
        memmove(partition->segments + place + 1, partition->segments + place,
                (partition->segment_count - place) * sizeof(struct reader_segment *));
        partition->segments[place] = segment;
        partition->segment_count++;
    }
    if (!log_id_equal(segment->cluster_id, unknown)) {
        partition->cluster_id = segment->cluster_id;
    }
    watermarks_raise(partition, segment);
}

static void segment_drop(struct reader_partition *partition, struct open_segments *open,
                         size_t index)
{
    struct reader_segment *const segment = partition->segments[index];
    open_segments_forget(open, partition->number, segment->number);
    reader_segment_destroy(segment);
    partition->segment_count--;
    memmove(partition->segments + index, partition->segments + index + 1,
            (partition->segment_count - index) * sizeof(struct reader_segment *));
}

bool reader_partition_retire(struct reader_partition *partition, struct open_segments *open,
                             uint64_t first)
{
    if (first <= partition->first_segment_number) { return false; }
    partition->first_segment_number = first;
    open_segments_retire(open, partition->number, first);
    bool dropped = false;
    while (partition->segment_count > 0 && partition->segments[0]->number < first) {
        segment_drop(partition, open, 0);
        dropped = true;
    }
    if (dropped) { log_starts_find(partition); }
    return dropped;
}

bool reader_partition_follow(struct reader_partition *partition)
{
    const struct segment_topics topics = topics_of(partition);
    bool grown = false;
    for (size_t i = 0; i < partition->segment_count; i++) {
        struct reader_segment *const segment = partition->segments[i];
        if (!reader_segment_follow(segment, &topics)) { continue; }
        watermarks_raise(partition, segment);
        grown = true;
    }
    if (grown) { log_starts_find(partition); }
    starts_follow(partition);
    return grown;
}

/* Nothing of a log that has gone is offered any more, nor its offsets. */
static void partition_reset(struct reader_partition *partition, struct open_segments *open)
{
    while (partition->segment_count > 0) {
        segment_drop(partition, open, partition->segment_count - 1);
    }
    open_segments_retire(open, partition->number, 0);
    for (size_t i = 0; i < partition->local_count; i++) { partition->local_of[i] = -1; }
    memset(partition->topics, 0, sizeof partition->topics);
    mapped_file_close(&partition->starts);
    partition->starts_generation = 0;
    partition->first_segment_number = 0;
}

static bool is_another_log(const struct reader_partition *partition,
                           const struct partition_view *view)
{
    static const struct log_id unknown = {{0}};
    return !log_id_equal(view->log_id, unknown) && !log_id_equal(partition->log_id, unknown) &&
           !log_id_equal(view->log_id, partition->log_id);
}

/* --------------------------------------------------------------------------------- the ring */

static void ring_look(struct reader_partition *partition, const struct partition_view *view)
{
    char name[COMMIT_RING_NAME_BYTES];
    char path[4096];
    struct mapped_file ring = {0};
    commit_ring_file_name(partition->number, name);
    const int len = snprintf(path, sizeof path, "%s/%s", view->runtime, name);
    if (len < 0 || (size_t)len >= sizeof path) { return; }
    if (mapped_file_open(path, false, sizeof(struct commit_ring_header), &ring) != STATUS_OK) {
        return;
    }
    const struct commit_ring_header *const header = (const struct commit_ring_header *)ring.at;
    uint64_t capacity_bytes;
    const bool same = ring.inode == partition->ring.inode && partition->ring.at != NULL;
    if (same || commit_ring_check(header, ring.size_bytes, &capacity_bytes) != STATUS_OK ||
        header->partition != partition->number) {
        mapped_file_close(&ring);
        return;
    }
    mapped_file_close(&partition->ring);
    partition->ring = ring;
    partition->ring_capacity_bytes = capacity_bytes;
}

const struct commit_ring_header *reader_partition_ring(const struct reader_partition *partition,
                                                       uint64_t incarnation)
{
    const struct commit_ring_header *const ring =
        (const struct commit_ring_header *)partition->ring.at;
    return ring != NULL && ring->incarnation == incarnation ? ring : NULL;
}

/* --------------------------------------------------------------------------------- looking */

struct listing {
    uint64_t *numbers;
    size_t count;
    size_t capacity;
    bool no_memory;
};

static void on_segment(void *context, uint64_t number, uint64_t size_bytes)
{
    struct listing *const listing = context;
    (void)size_bytes; /* its header says what it is to be */
    if (listing->count == listing->capacity) {
        const size_t capacity = listing->capacity == 0 ? 64 : listing->capacity * 2;
        uint64_t *const grown = realloc(listing->numbers, capacity * sizeof *grown);
        if (grown == NULL) {
            listing->no_memory = true;
            return;
        }
        listing->numbers = grown;
        listing->capacity = capacity;
    }
    listing->numbers[listing->count++] = number;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left;
    const uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

struct seen_header {
    struct segment_header header;
    bool rebuilt;
};

/* Its header, where the file is no spare. STATUS_INVALID: it names another place. */
static enum status header_read(const struct partition_view *view, uint32_t partition,
                               uint64_t number, struct seen_header *out)
{
    char name[LOG_NAME_BYTES];
    int file;
    uint64_t size_bytes;
    log_segment_name(partition, number, name);
    enum status status = files_open(view->files, name, FILES_READ, &file, &size_bytes);
    if (status != STATUS_OK) { return status; }
    struct segment_scan *scan = NULL;
    status = segment_scan_create(view->files, file, size_bytes, &scan);
    if (status == STATUS_OK) {
        out->header = *segment_scan_header(scan);
        out->rebuilt = segment_scan_header_is_rebuilt(scan);
        if (!out->rebuilt && (out->header.partition != partition || out->header.number != number)) {
            status = STATUS_INVALID;
        }
    }
    segment_scan_destroy(scan);
    files_close(view->files, file);
    return status;
}

/* A segment without a seal is settled when a later one says which of its commits it continues.
 * Recovery or a failing disk leaves such: a few numbers above at most. STATUS_OK: settled, its
 * commits up to *last_number are the log's. STATUS_NOT_FOUND: settled, none of them is: a later
 * segment begins where it does. STATUS_BUSY: open. */
static enum status successor_find(const struct reader_partition *partition,
                                  const struct partition_view *view, const struct listing *listing,
                                  uint64_t number, uint64_t *last_number)
{
    enum { LOOK_AHEAD = 16 };
    struct seen_header own;
    struct seen_header later;
    if (header_read(view, partition->number, number, &own) != STATUS_OK) { return STATUS_BUSY; }
    size_t looked = 0;
    for (size_t i = 0; i < listing->count && looked < LOOK_AHEAD; i++) {
        if (listing->numbers[i] <= number) { continue; }
        looked++;
        if (header_read(view, partition->number, listing->numbers[i], &later) != STATUS_OK ||
            !log_id_equal(later.header.log_id, own.header.log_id)) {
            continue;
        }
        if (later.header.first_commit_number <= own.header.first_commit_number) {
            return STATUS_NOT_FOUND;
        }
        /* A header that did not hold has forgotten the nonce: as recovery does, the nearest. */
        if (!later.rebuilt && !log_id_equal(later.header.predecessor_nonce, own.header.nonce)) {
            continue;
        }
        *last_number = later.header.predecessor_commit_number;
        return STATUS_OK;
    }
    return STATUS_BUSY;
}

/* From the disk alone. STATUS_BUSY: open, and only its live index could tell what may be served.
 * STATUS_NOT_FOUND: a spare, or abandoned whole. */
static enum status segment_from_disk(struct reader_partition *partition,
                                     const struct partition_view *view,
                                     const struct listing *listing, uint64_t number,
                                     struct reader_segment **out)
{
    const struct segment_topics topics = topics_of(partition);
    const enum status status = reader_segment_load(view->files, partition->number, number,
                                                   partition->log_id, &topics, out);
    if (status != STATUS_BUSY && status != STATUS_CORRUPT) { return status; }
    uint64_t last_number = UINT64_MAX;
    const enum status settled = successor_find(partition, view, listing, number, &last_number);
    if (settled != STATUS_OK && status != STATUS_CORRUPT) { return settled; }
    return reader_segment_rebuild(view->files, partition->number, number, partition->log_id,
                                  last_number, &topics, out);
}

/* A live index of this incarnation, or of one whose segment was not recovered yet. */
static bool live_is_current(const struct partition_view *view, const struct reader_segment *segment)
{
    return !view->recovered || segment->incarnation == view->incarnation;
}

static enum status segment_find(struct reader_partition *partition,
                                const struct partition_view *view, const struct listing *listing,
                                uint64_t number, struct reader_segment **out)
{
    struct reader_segment *live = NULL;
    const enum status attached =
        reader_segment_attach(view->runtime, partition->number, number, &live);
    if (attached == STATUS_OK && live_is_current(view, live)) {
        *out = live;
        return STATUS_OK;
    }
    const enum status status = segment_from_disk(partition, view, listing, number, out);
    if (status == STATUS_OK || attached != STATUS_OK) {
        reader_segment_destroy(live);
        return status;
    }
    *out = live;
    return STATUS_OK;
}

/* Recovery sealed what this live index followed: the footer knows more. */
static bool segment_supersede(struct reader_partition *partition, const struct partition_view *view,
                              const struct listing *listing, struct reader_segment *known)
{
    struct reader_segment *fresh = NULL;
    if (known->sealed || live_is_current(view, known)) { return false; }
    if (segment_from_disk(partition, view, listing, known->number, &fresh) != STATUS_OK) {
        return false;
    }
    segment_insert(partition, fresh);
    return true;
}

/* A segment of a later incarnation is there, so recovery is done with all before it, though the
 * root page, which was asked earlier, did not say so yet (workers open segments before ingest is
 * called running). Live indexes of older ones know less than their footers: to show `newer` beside
 * them would pass over what recovery kept. False: it must wait. */
static bool older_supersede(struct reader_partition *partition, const struct partition_view *view,
                            const struct listing *listing, const struct reader_segment *newer)
{
    for (size_t i = 0; i < partition->segment_count; i++) {
        const struct reader_segment *const known = partition->segments[i];
        if (known->sealed || known->number >= newer->number) { continue; }
        if (known->incarnation >= newer->incarnation) { continue; }
        struct reader_segment *fresh = NULL;
        const enum status status =
            segment_from_disk(partition, view, listing, known->number, &fresh);
        if (status == STATUS_BUSY) { return false; } /* no seal; the newer's header settles it */
        if (status == STATUS_OK) { segment_insert(partition, fresh); }
    }
    return true;
}

/* A whole disk's indexes at once would be no bounded memory: what has no room comes back when it is
 * asked for. What cost a scan stays until the cache is full. */
static void index_keep_or_drop(const struct partition_view *view, struct reader_segment *found)
{
    if (!found->sealed || found->rebuilt) { return; }
    if (found->index.memory_bytes > *view->index_room_bytes) {
        reader_segment_index_drop(found);
        return;
    }
    *view->index_room_bytes -= found->index.memory_bytes;
}

static bool segment_look(struct reader_partition *partition, const struct partition_view *view,
                         const struct listing *listing, uint64_t number)
{
    struct reader_segment *const known = reader_partition_segment(partition, number, NULL);
    if (known != NULL) { return segment_supersede(partition, view, listing, known); }

    struct reader_segment *found = NULL;
    enum status status = segment_find(partition, view, listing, number, &found);
    if (status == STATUS_OK && !older_supersede(partition, view, listing, found)) {
        reader_segment_destroy(found);
        status = STATUS_BUSY;
    }
    if (status == STATUS_OK) {
        index_keep_or_drop(view, found);
        segment_insert(partition, found);
        return true;
    }
    if (status == STATUS_BUSY) {
        if (!view->recovered || number >= view->open_segment_number) {
            partition->complete = false;
        }
        partition->look_again = true;
    }
    if (status == STATUS_INVALID) { partition->foreign_count++; }
    if (status == STATUS_STALE || status == STATUS_IO || status == STATUS_NO_MEMORY) {
        partition->look_again = true; /* went meanwhile, or cannot be read now */
    }
    return false;
}

static bool drop_missing(struct reader_partition *partition, const struct partition_view *view,
                         const struct listing *listing)
{
    bool dropped = false;
    for (size_t i = partition->segment_count; i-- > 0;) {
        const uint64_t number = partition->segments[i]->number;
        if (bsearch(&number, listing->numbers, listing->count, sizeof number, by_value) != NULL) {
            continue;
        }
        segment_drop(partition, view->open, i);
        dropped = true;
    }
    return dropped;
}

/* Whose segments are to be served: the root page's word, or, as recovery has it, the newest's that
 * lies where its header says. */
static void log_id_find(struct reader_partition *partition, const struct partition_view *view,
                        const struct listing *listing)
{
    static const struct log_id unknown = {{0}};
    partition->log_id = view->log_id;
    if (!log_id_equal(view->log_id, unknown)) { return; }
    for (size_t i = listing->count; i-- > 0;) {
        struct seen_header seen;
        if (header_read(view, partition->number, listing->numbers[i], &seen) != STATUS_OK) {
            continue;
        }
        partition->log_id = seen.header.log_id;
        return;
    }
}

static void foreign_tell(const struct reader_partition *partition, size_t before)
{
    if (partition->foreign_count <= before) { return; }
    log_warning("part-%04u: %zu files are not served: their headers name another partition, number "
                "or log",
                partition->number, partition->foreign_count);
}

bool reader_partition_look(struct reader_partition *partition, const struct partition_view *view)
{
    struct listing listing = {0};
    const enum status status =
        files_list_segments(view->files, partition->number, on_segment, &listing);
    partition->look_again =
        listing.no_memory || (status != STATUS_OK && status != STATUS_NOT_FOUND);
    if (partition->look_again) {
        free(listing.numbers);
        return false;
    }
    if (listing.count > 0) { qsort(listing.numbers, listing.count, sizeof(uint64_t), by_value); }

    bool changed = is_another_log(partition, view);
    if (changed) { partition_reset(partition, view->open); }
    changed = reader_partition_retire(partition, view->open, view->first_segment_number) || changed;
    partition->complete = true;
    const size_t foreign_before = partition->foreign_count;
    partition->foreign_count = 0;
    log_id_find(partition, view, &listing);
    if (listing.count > 0) { changed = drop_missing(partition, view, &listing) || changed; }
    for (size_t i = 0; i < listing.count; i++) {
        if (listing.numbers[i] < partition->first_segment_number) { continue; }
        changed = segment_look(partition, view, &listing, listing.numbers[i]) || changed;
    }
    foreign_tell(partition, foreign_before);
    ring_look(partition, view);
    changed = reader_partition_follow(partition) || changed;
    if (changed) { log_starts_find(partition); }
    starts_look(partition, view->runtime);
    free(listing.numbers);
    return changed;
}
