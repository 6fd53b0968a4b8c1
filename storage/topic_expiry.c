#include "storage/topic_expiry.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage/commit_walls.h"
#include "storage/reader_segment.h"
#include "storage/segment_index.h"
#include "storage/segment_look.h"
#include "wire/root_page.h"

enum {
    DETAILS_MAX = 8,          /* segments whose batches are in memory, of all partitions */
    FOOTERS_A_RUN = 16,       /* of one partition: the rest at later runs */
    COMMITS_A_RUN = 4096,     /* headers read on the way to a segment's wall times */
    LIVE_TOLERANCE_MS = 1000, /* sealed segments are judged by whole seconds: never ahead of that */
    NUMBER_UNKNOWN = -1,
};

/* Of one topic in one segment. */
struct expiry_span {
    uint64_t first; /* offset of its first record there, when bytes > 0 */
    uint64_t end;   /* behind its last */
    uint64_t bytes; /* of batches */
    uint64_t records;
};

struct expiry_segment {
    uint64_t number;
    bool known; /* its footer was read; else it says nothing */
    int64_t newest_wall_ms;
    struct expiry_span *spans; /* by limited topic */
};

struct expiry_log {
    int32_t *numbers;                      /* of limited topics in this log; NUMBER_UNKNOWN */
    uint16_t topic_behind[LOG_TOPICS_MAX]; /* the other way round: limited topic + 1; 0: none */
    struct expiry_segment *segments;
    size_t count;
    size_t capacity;
    struct reader_segment *live; /* NULL: none */
};

struct expiry_detail {
    bool used;
    uint32_t partition;
    uint64_t number;
    uint64_t last_use;
    struct segment_index index;
    struct commit_walls *walls; /* NULL: nobody asked yet */
};

struct topic_expiry {
    struct files files;
    char *runtime;
    struct topic_limits *topics;
    size_t topic_count;
    struct expiry_log logs[ROOT_PARTITIONS_MAX];
    struct expiry_detail details[DETAILS_MAX];
    uint64_t use_clock;
};

/* What one run works on. */
struct expiry_run {
    struct topic_expiry *expiry;
    const struct topic_expiry_view *view;
    struct expiry_log *log;
};

/* ------------------------------------------------------------------------------------- topics */

static size_t topic_of_name(const struct topic_expiry *expiry, struct bytes name)
{
    for (size_t i = 0; i < expiry->topic_count; i++) {
        if (bytes_equal_text(name, expiry->topics[i].name)) { return i; }
    }
    return expiry->topic_count;
}

/* Of several topics of one name (incarnations) the newest, which has the highest number. */
static void topic_declare(void *context, int32_t number, struct bytes name, struct log_id id)
{
    const struct expiry_run *const run = context;
    (void)id;
    const size_t topic = topic_of_name(run->expiry, name);
    if (topic == run->expiry->topic_count || number < 0 || number >= LOG_TOPICS_MAX) { return; }
    if (number <= run->log->numbers[topic]) { return; }
    run->log->numbers[topic] = number;
    run->log->topic_behind[number] = (uint16_t)(topic + 1);
}

/* False: it has no limits of its own. */
static bool topic_of_number(const struct expiry_run *run, int32_t number, size_t *out)
{
    if (number < 0 || number >= LOG_TOPICS_MAX) { return false; }
    const uint16_t behind = run->log->topic_behind[number];
    *out = (size_t)behind - 1;
    return behind > 0;
}

static void topics_learn(const struct expiry_run *run, struct bytes declarations)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        topic_declare((void *)(uintptr_t)run, topic.topic, topic.name, topic.topic_id);
    }
}

/* ----------------------------------------------------------------------------- sealed segments */

static void span_add(struct expiry_span *span, const struct index_anchor *chunk)
{
    if (span->bytes == 0) { span->first = chunk->base_offset; }
    span->end = chunk->next_offset;
    span->bytes += chunk->batch_bytes;
    span->records += chunk->record_count;
}

static void segment_learn(const struct expiry_run *run, struct expiry_segment *segment)
{
    struct segment_look look;
    struct segment_footer footer;
    struct commit_header header;
    if (segment_look_begin(run->expiry->files, run->view->partition, segment->number, &look) !=
        STATUS_OK) {
        return;
    }
    if (segment_look_footer(&look, &footer, &header) == STATUS_OK) {
        topics_learn(run, footer.topics);
        for (size_t i = 0; i < segment_footer_anchor_count(&footer); i++) {
            struct index_anchor chunk;
            size_t topic;
            if (segment_footer_anchor(&footer, i, &chunk) != STATUS_OK) { continue; }
            if (topic_of_number(run, chunk.topic, &topic)) {
                span_add(&segment->spans[topic], &chunk);
            }
        }
        segment->newest_wall_ms = header.wall_ms;
        segment->known = true;
    }
    segment_look_end(&look);
}

static bool segment_append(const struct expiry_run *run, uint64_t number)
{
    struct expiry_log *const log = run->log;
    if (log->count == log->capacity) {
        const size_t capacity = log->capacity == 0 ? 64 : log->capacity * 2;
        struct expiry_segment *const grown = realloc(log->segments, capacity * sizeof *grown);
        if (grown == NULL) { return false; }
        log->segments = grown;
        log->capacity = capacity;
    }
    struct expiry_segment segment = {.number = number};
    segment.spans = calloc(run->expiry->topic_count, sizeof *segment.spans);
    if (segment.spans == NULL) { return false; }
    segment_learn(run, &segment);
    log->segments[log->count++] = segment;
    return true;
}

static void segments_forget(struct expiry_log *log, uint64_t below)
{
    size_t gone = 0;
    if (log->count == 0) { return; }
    while (gone < log->count && log->segments[gone].number < below) {
        free(log->segments[gone++].spans);
    }
    log->count -= gone;
    memmove(log->segments, log->segments + gone, log->count * sizeof *log->segments);
}

/* True once every sealed segment of the view is known. */
static bool segments_follow(const struct expiry_run *run)
{
    const struct topic_expiry_view *const view = run->view;
    struct expiry_log *const log = run->log;
    if (view->segment_count == 0) { return false; }
    segments_forget(log, view->segments[0]);
    uint64_t known = log->count > 0 ? log->segments[log->count - 1].number : 0;
    size_t read = 0;
    for (size_t i = 0; i < view->segment_count; i++) {
        const uint64_t number = view->segments[i];
        if (number <= known || number > view->newest_sealed) { continue; }
        if (read++ == FOOTERS_A_RUN || !segment_append(run, number)) { return false; }
        known = number;
    }
    return true;
}

/* ---------------------------------------------------------------------------------- the details */

static void detail_free(struct expiry_detail *detail)
{
    if (!detail->used) { return; }
    segment_index_deinit(&detail->index);
    commit_walls_destroy(detail->walls);
    *detail = (struct expiry_detail){0};
}

static bool detail_fill(const struct expiry_run *run, struct expiry_detail *detail)
{
    struct segment_look look;
    struct segment_footer footer;
    struct commit_header header;
    if (segment_look_begin(run->expiry->files, detail->partition, detail->number, &look) !=
        STATUS_OK) {
        return false;
    }
    segment_index_init(&detail->index, segment_scan_header(look.scan)->capacity_bytes);
    bool filled = segment_look_footer(&look, &footer, &header) == STATUS_OK;
    struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
    struct index_entry entry;
    while (filled && segment_footer_walk_next(&walk, &entry) == STATUS_OK) {
        size_t topic;
        if (!topic_of_number(run, entry.topic, &topic)) { continue; }
        filled = segment_index_append(&detail->index, &entry, 0, 0) != STATUS_NO_MEMORY;
    }
    segment_look_end(&look);
    return filled;
}

/* The batches of a sealed segment; NULL: they cannot be read now. */
static struct expiry_detail *detail_of(const struct expiry_run *run, uint64_t number)
{
    struct topic_expiry *const expiry = run->expiry;
    struct expiry_detail *oldest = &expiry->details[0];
    for (size_t i = 0; i < DETAILS_MAX; i++) {
        struct expiry_detail *const detail = &expiry->details[i];
        if (detail->used && detail->partition == run->view->partition && detail->number == number) {
            detail->last_use = ++expiry->use_clock;
            return detail;
        }
        if (!detail->used || (oldest->used && detail->last_use < oldest->last_use)) {
            oldest = detail;
        }
    }
    detail_free(oldest);
    *oldest = (struct expiry_detail){
        .used = true,
        .partition = run->view->partition,
        .number = number,
        .last_use = ++expiry->use_clock,
    };
    if (detail_fill(run, oldest)) { return oldest; }
    detail_free(oldest);
    return NULL;
}

static bool lies_behind(const void *position, const struct batch_entry *batch,
                        uint64_t bytes_before)
{
    (void)bytes_before;
    return batch->position >= *(const uint64_t *)position;
}

/* The offset of the topic's first batch at or behind `position`; `end` when there is none. */
static uint64_t offset_at(const struct segment_index *index, int32_t number, uint64_t position,
                          uint64_t end)
{
    struct batch_entry batch;
    return segment_index_find_first(index, number, lies_behind, &position, &batch)
               ? batch.base_offset
               : end;
}

static bool has_bytes_before(const void *bytes, const struct batch_entry *batch,
                             uint64_t bytes_before)
{
    (void)batch;
    return bytes_before >= *(const uint64_t *)bytes;
}

/* The offset of the first batch with at least `bytes` of the topic before it; `end`: none has. */
static uint64_t offset_behind_bytes(const struct segment_index *index, int32_t number,
                                    uint64_t bytes, uint64_t end)
{
    struct batch_entry batch;
    return segment_index_find_first(index, number, has_bytes_before, &bytes, &batch)
               ? batch.base_offset
               : end;
}

/* ------------------------------------------------------------------------------ the open segment
 */

static void live_follow(const struct expiry_run *run)
{
    struct expiry_log *const log = run->log;
    const uint64_t open = run->view->open_segment;
    if (log->live != NULL && log->live->number != open) {
        reader_segment_destroy(log->live);
        log->live = NULL;
    }
    if (open == 0 || run->expiry->runtime == NULL) { return; }
    if (log->live == NULL && reader_segment_attach(run->expiry->runtime, run->view->partition, open,
                                                   &log->live) != STATUS_OK) {
        log->live = NULL;
        return;
    }
    const struct segment_topics topics = {topic_declare, (void *)(uintptr_t)run};
    (void)reader_segment_follow(log->live, &topics);
}

static const struct segment_index *live_index(const struct expiry_run *run)
{
    static const struct segment_index empty = {0};
    /* Until the run that finds it sealed: its batches are then counted by its footer. */
    const struct reader_segment *const live = run->log->live;
    return live == NULL || live->number <= run->view->newest_sealed ? &empty : &live->index;
}

struct age_limit {
    uint64_t now_ns;
    uint64_t limit_ns;
};

static bool is_young(const void *context, const struct batch_entry *batch, uint64_t bytes_before)
{
    const struct age_limit *const age = context;
    (void)bytes_before;
    return batch->durable_ns >= age->now_ns || age->now_ns - batch->durable_ns <= age->limit_ns;
}

/* Behind the last batch that is too old; `start` when none is. */
static uint64_t live_start_by_age(const struct segment_index *live, int32_t number, uint64_t now_ns,
                                  int64_t limit_ms, uint64_t start)
{
    const struct age_limit age = {
        .now_ns = now_ns,
        .limit_ns = (uint64_t)(limit_ms + LIVE_TOLERANCE_MS) * NS_PER_MS,
    };
    struct batch_entry first;
    struct batch_entry last;
    struct batch_entry young;
    struct segment_index_walk walk = segment_index_walk_begin(live, number, 0);
    if (!segment_index_walk_next(&walk, &first) || is_young(&age, &first, 0)) { return start; }
    if (segment_index_find_first(live, number, is_young, &age, &young)) {
        return young.base_offset;
    }
    return segment_index_find_last(live, number, &last) ? last.next_offset : start;
}

/* ------------------------------------------------------------------------------------ the start */

/* Inside the segment in which the age ends. */
static uint64_t boundary_start(const struct expiry_run *run, const struct expiry_segment *segment,
                               size_t topic, int64_t limit_ms, uint64_t start)
{
    const struct expiry_span *const span = &segment->spans[topic];
    if (span->bytes == 0 || span->end <= start) { return start; }
    struct expiry_detail *const detail = detail_of(run, segment->number);
    if (detail == NULL) { return start; }
    if (detail->walls == NULL && commit_walls_create(run->expiry->files, detail->partition,
                                                     detail->number, &detail->walls) != STATUS_OK) {
        detail->walls = NULL;
        return start;
    }
    if (!commit_walls_work(detail->walls, COMMITS_A_RUN)) { return start; }
    const uint64_t position = commit_walls_position(detail->walls, run->view->clock, limit_ms);
    const uint64_t found = offset_at(&detail->index, run->log->numbers[topic], position, span->end);
    return found > span->first ? found : start;
}

static uint64_t start_by_age(const struct expiry_run *run, size_t topic)
{
    const uint64_t age_ns = run->expiry->topics[topic].retain_age_ns;
    const int64_t limit_ms = (int64_t)(age_ns / NS_PER_MS);
    uint64_t start = 0;
    if (age_ns == 0) { return 0; }
    for (size_t i = 0; i < run->log->count; i++) {
        const struct expiry_segment *const segment = &run->log->segments[i];
        if (!segment->known) { continue; }
        if (age_clock_age_ms(run->view->clock, segment->newest_wall_ms) - MS_PER_S <= limit_ms) {
            return boundary_start(run, segment, topic, limit_ms, start);
        }
        if (segment->spans[topic].bytes > 0) { start = segment->spans[topic].end; }
    }
    return live_start_by_age(live_index(run), run->log->numbers[topic],
                             run->view->clock->now.mono_ns, limit_ms, start);
}

static uint64_t start_by_bytes(const struct expiry_run *run, size_t topic)
{
    const uint64_t limit = run->expiry->topics[topic].retain_bytes;
    const struct segment_index *const live = live_index(run);
    const int32_t number = run->log->numbers[topic];
    uint64_t held = segment_index_bytes_from(live, number, 0);
    struct batch_entry last;
    const uint64_t newest = segment_index_find_last(live, number, &last) ? last.base_offset : 0;
    for (size_t i = 0; i < run->log->count; i++) {
        held += run->log->segments[i].spans[topic].bytes;
    }
    if (limit == 0 || held <= limit) { return 0; }

    uint64_t excess = held - limit;
    uint64_t start = 0;
    for (size_t i = 0; i < run->log->count; i++) {
        const struct expiry_segment *const segment = &run->log->segments[i];
        const struct expiry_span *const span = &segment->spans[topic];
        if (span->bytes == 0) { continue; }
        if (excess < span->bytes) {
            struct expiry_detail *const detail = detail_of(run, segment->number);
            if (detail == NULL) { return start; }
            if (!segment_index_find_last(&detail->index, number, &last)) { return start; }
            /* The topic's newest batch of all stays, whatever its size. */
            const uint64_t end = held == span->bytes ? last.base_offset : span->end;
            return offset_behind_bytes(&detail->index, number, excess, end);
        }
        excess -= span->bytes;
        held -= span->bytes;
        start = span->end;
    }
    return offset_behind_bytes(live, number, excess, newest);
}

/* ---------------------------------------------------------------------------------- publishing */

static uint64_t batches_between(const struct segment_index *index, int32_t number, uint64_t from,
                                uint64_t to)
{
    struct segment_index_walk walk = segment_index_walk_begin(index, number, from);
    struct batch_entry batch;
    uint64_t records = 0;
    while (segment_index_walk_next(&walk, &batch) && batch.base_offset < to) {
        if (batch.base_offset >= from) { records += batch.next_offset - batch.base_offset; }
    }
    return records;
}

static uint64_t records_between(const struct expiry_run *run, size_t topic, uint64_t from,
                                uint64_t to)
{
    const int32_t number = run->log->numbers[topic];
    uint64_t records = 0;
    for (size_t i = 0; i < run->log->count; i++) {
        const struct expiry_segment *const segment = &run->log->segments[i];
        const struct expiry_span *const span = &segment->spans[topic];
        if (span->bytes == 0 || span->end <= from || span->first >= to) { continue; }
        if (span->first >= from && span->end <= to) {
            records += span->records;
            continue;
        }
        const struct expiry_detail *const detail = detail_of(run, segment->number);
        if (detail == NULL) { continue; } /* it cannot be read: nobody can count them */
        records += batches_between(&detail->index, number, from, to);
    }
    return records + batches_between(live_index(run), number, from, to);
}

static uint64_t topic_run(const struct expiry_run *run, size_t topic)
{
    const int32_t number = run->log->numbers[topic];
    if (number == NUMBER_UNKNOWN) { return 0; }
    struct topic_starts *const page = run->view->starts;
    const uint64_t before = atomic_load_explicit(&page->starts[number], memory_order_relaxed);
    const uint64_t by_age = start_by_age(run, topic);
    const uint64_t by_bytes = start_by_bytes(run, topic);
    const uint64_t start = by_age > by_bytes ? by_age : by_bytes;
    if (start <= before) { return 0; }
    const uint64_t records = records_between(run, topic, before, start);
    atomic_store_explicit(&page->starts[number], start, memory_order_release);
    return records;
}

uint64_t topic_expiry_run(struct topic_expiry *expiry, const struct topic_expiry_view *view)
{
    assert(view->partition < ROOT_PARTITIONS_MAX);
    const struct expiry_run run = {expiry, view, &expiry->logs[view->partition]};
    if (expiry->topic_count == 0) { return 0; }
    live_follow(&run);
    if (!segments_follow(&run)) { return 0; }

    uint64_t records = 0;
    for (size_t i = 0; i < expiry->topic_count; i++) { records += topic_run(&run, i); }
    if (records > 0) {
        /* release: pairs with the acquire in reader_partition, which then looks at the starts */
        atomic_fetch_add_explicit(&view->starts->generation, 1, memory_order_release);
    }
    return records;
}

/* ----------------------------------------------------------------------------------- life cycle */

static bool topics_copy(struct topic_expiry *expiry, const struct topic_expiry_options *options)
{
    expiry->topics = calloc(options->topic_count + 1, sizeof *expiry->topics);
    if (expiry->topics == NULL) { return false; }
    for (size_t i = 0; i < options->topic_count; i++) {
        struct topic_limits *const topic = &expiry->topics[expiry->topic_count];
        *topic = options->topics[i];
        topic->name = strdup(options->topics[i].name);
        if (topic->name == NULL) { return false; }
        expiry->topic_count++;
    }
    return true;
}

static bool logs_begin(struct topic_expiry *expiry)
{
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        int32_t *const numbers = calloc(expiry->topic_count + 1, sizeof *numbers);
        if (numbers == NULL) { return false; }
        for (size_t k = 0; k < expiry->topic_count; k++) { numbers[k] = NUMBER_UNKNOWN; }
        expiry->logs[i].numbers = numbers;
    }
    return true;
}

enum status topic_expiry_create(const struct topic_expiry_options *options,
                                struct topic_expiry **out)
{
    struct topic_expiry *const expiry = calloc(1, sizeof *expiry);
    if (expiry == NULL) { return STATUS_NO_MEMORY; }
    expiry->files = options->files;
    bool made = topics_copy(expiry, options) && logs_begin(expiry);
    if (made && options->runtime != NULL) {
        expiry->runtime = strdup(options->runtime);
        made = expiry->runtime != NULL;
    }
    if (!made) {
        topic_expiry_destroy(expiry);
        return STATUS_NO_MEMORY;
    }
    *out = expiry;
    return STATUS_OK;
}

void topic_expiry_destroy(struct topic_expiry *expiry)
{
    if (expiry == NULL) { return; }
    for (size_t i = 0; i < DETAILS_MAX; i++) { detail_free(&expiry->details[i]); }
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) {
        struct expiry_log *const log = &expiry->logs[i];
        segments_forget(log, UINT64_MAX);
        free(log->segments);
        free(log->numbers);
        reader_segment_destroy(log->live);
    }
    for (size_t i = 0; i < expiry->topic_count; i++) {
        free((void *)(uintptr_t)expiry->topics[i].name);
    }
    free(expiry->topics);
    free(expiry->runtime);
    free(expiry);
}
