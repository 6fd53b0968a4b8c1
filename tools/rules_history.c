#include "tools/rules_history.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "storage/lane_walk.h"
#include "storage/segment_footer.h"

/* One segment. */
struct pass {
    struct rules_history *history;
    const struct log_place *place;
    const struct chain_segment *segment;
    const char *path;
    struct lane_walk walk;
    bool sealed;
};

static void lose(struct pass *pass, uint64_t begin, uint64_t end, const char *what)
{
    struct rules_history *const history = pass->history;
    history->losses++;
    history->on_loss(history->context, pass->path, begin, end, what);
}

/* ------------------------------------------------------------------------------------- topics */

static void topics_take(struct rules_history *history, struct bytes declarations)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        char *const name = history->names[topic.topic];
        memcpy(name, topic.name.at, topic.name.len_bytes);
        name[topic.name.len_bytes] = '\0';
        if (history->topic == NULL || strcmp(name, history->topic) == 0) {
            history->topic_found = true;
        }
    }
}

/* Declarations may stand behind the records that they name, in the same commit. */
static void commit_topics(struct pass *pass, const struct entry *entry)
{
    struct bytes bytes;
    if (lane_walk_read(&pass->walk, entry, &bytes) == STATUS_OK) {
        topics_take(pass->history, bytes);
    } else {
        const uint64_t begin = pass->walk.commit.position + entry->position;
        lose(pass, begin, begin + entry->length_bytes, "declarations of topics");
    }
}

/* -------------------------------------------------------------------------------------- spans */

static struct rules_span *span_begin(struct pass *pass, int32_t topic)
{
    struct rules_history *const history = pass->history;
    if (history->span_count == history->span_capacity) {
        history->span_capacity = history->span_capacity == 0 ? 64 : history->span_capacity * 2;
        history->spans =
            allocate_again(history->spans, history->span_capacity, sizeof history->spans[0]);
    }
    struct rules_span *const span = &history->spans[history->span_count++];
    *span = (struct rules_span){
        .partition = pass->place->partition,
        .topic = allocate_text(history->names[topic]),
        .epoch = pass->walk.commit.rules_epoch,
        .first_wall_ms = pass->walk.commit.wall_ms,
    };
    history->open_spans[topic] = history->span_count;
    return span;
}

static void records_take(struct pass *pass, const struct entry *entry)
{
    struct rules_history *const history = pass->history;
    if (entry->topic < 0 || entry->topic >= LOG_TOPICS_MAX || entry->record_count == 0) { return; }
    const char *const name = history->names[entry->topic];
    if (history->topic != NULL && strcmp(history->topic, name) != 0) { return; }
    const size_t open = history->open_spans[entry->topic];
    struct rules_span *span = open > 0 ? &history->spans[open - 1] : NULL;
    if (span == NULL || span->epoch != pass->walk.commit.rules_epoch) {
        span = span_begin(pass, entry->topic);
        span->first_offset = entry->base_offset;
    }
    span->last_offset = entry->base_offset + entry->record_count - 1;
    span->records += entry->record_count;
    span->last_wall_ms = pass->walk.commit.wall_ms;
}

static void commit_take(struct pass *pass)
{
    struct rules_history *const history = pass->history;
    const struct commit_header *const commit = &pass->walk.commit;
    if (!history->has_newest || commit->wall_ms >= history->newest_wall_ms) {
        history->has_newest = true;
        history->newest_wall_ms = commit->wall_ms;
        history->newest_epoch = commit->rules_epoch;
    }
    /* Reading an entry may take the directory's bytes away: they are copied first. */
    struct entry *const entries = allocate_zeroed(commit->entry_count, sizeof *entries);
    for (uint32_t i = 0; i < commit->entry_count; i++) {
        entries[i] = entry_decode(pass->walk.directory, i);
    }
    for (uint32_t i = 0; i < commit->entry_count; i++) {
        if (entries[i].type == ENTRY_TOPICS) { commit_topics(pass, &entries[i]); }
    }
    const bool wanted =
        commit->wall_ms >= history->from_wall_ms && commit->wall_ms < history->to_wall_ms;
    for (uint32_t i = 0; wanted && i < commit->entry_count; i++) {
        if (entries[i].type == ENTRY_RECORDS) { records_take(pass, &entries[i]); }
    }
    free(entries);
}

/* ------------------------------------------------------------------------------------ segments */

/* Cut off by the segment behind it, or not called durable by a running node. */
static bool is_beyond(const struct pass *pass)
{
    const uint64_t number = pass->walk.commit.number;
    const uint64_t durable = pass->place->witness.durable_number;
    if (number > pass->segment->last_number) { return true; }
    return pass->segment->last_number == UINT64_MAX && durable > 0 && number > durable &&
           !pass->sealed;
}

/* Where a header does not hold: behind a segment that goes on, the next one that does. */
static bool walk_on(struct pass *pass)
{
    const uint64_t position = pass->walk.position;
    if (lane_walk_next(&pass->walk)) { return true; }
    const uint64_t last = pass->segment->last_number;
    const bool goes_on = pass->sealed || (last != UINT64_MAX && pass->walk.next_number <= last);
    if (!goes_on || position >= pass->walk.end) { return false; }
    const bool found = lane_walk_resync(&pass->walk);
    lose(pass, position, found ? pass->walk.commit.position : pass->walk.end,
         "commit headers that do not hold");
    return found;
}

/* What the first commit may be too damaged to say. */
static void footer_topics(struct pass *pass, int file)
{
    uint8_t *memory = NULL;
    struct segment_footer footer;
    if (!pass->sealed) { return; }
    if (segment_footer_read_summary(pass->place->files, file, &pass->segment->header,
                                    &pass->segment->trailer, &memory, &footer) == STATUS_OK) {
        topics_take(pass->history, footer.topics);
    }
    free(memory);
}

static enum status segment_walk(struct pass *pass)
{
    uint64_t size_bytes;
    int file;
    const struct files files = pass->place->files;
    const enum status status = files_open(files, pass->path, FILES_READ, &file, &size_bytes);
    if (status != STATUS_OK) { return status; }
    pass->sealed = pass->segment->trailer_status == STATUS_OK;
    footer_topics(pass, file);
    lane_walk_init(&pass->walk, files, file, pass->segment);
    while (walk_on(pass) && !is_beyond(pass)) { commit_take(pass); }
    const bool no_memory = pass->walk.no_memory;
    lane_walk_deinit(&pass->walk);
    files_close(files, file);
    return no_memory ? STATUS_NO_MEMORY : STATUS_OK;
}

/* All of its commits were closed before what is asked for, or after. */
static bool is_out_of_time(const struct rules_history *history, const struct chain_segment *segment)
{
    if (segment->header_complete && segment->header.created_wall_ms >= history->to_wall_ms) {
        return true;
    }
    return segment->sealed && segment->footer.wall_ms < history->from_wall_ms;
}

static void segment_take(struct rules_history *history, const struct log_place *place, size_t index)
{
    const struct chain_segment *const segment = &place->chain.segments[index];
    char *const path = log_place_path(place, index);
    struct pass pass = {.history = history, .place = place, .segment = segment, .path = path};
    enum status status = segment->status;
    if (status == STATUS_OK && segment->in_chain && !is_out_of_time(history, segment)) {
        status = segment_walk(&pass);
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        lose(&pass, 0, segment->size_bytes, status_text(status));
    }
    free(path);
}

void rules_history_place(struct rules_history *history, const struct log_place *place)
{
    memset(history->names, 0, sizeof history->names);
    memset(history->open_spans, 0, sizeof history->open_spans);
    for (size_t i = 0; i < place->chain.count; i++) {
        if (place->chosen[i]) { segment_take(history, place, i); }
    }
}

void rules_history_deinit(struct rules_history *history)
{
    for (size_t i = 0; i < history->span_count; i++) { free(history->spans[i].topic); }
    free(history->spans);
    history->spans = NULL;
    history->span_count = 0;
}
