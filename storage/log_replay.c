#include "storage/log_replay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "storage/log_witness.h"
#include "storage/segment_footer.h"
#include "storage/segment_scan.h"

enum {
    /* Where the header that says it is gone: 64 commits in flight of a million records. */
    TAIL_RECORDS_UNKNOWN = 64 << 20,
};

void log_replay_report(const struct log_replay *replay, enum recovery_finding finding,
                       uint64_t number, uint64_t value, uint64_t other)
{
    const struct recovery_report *const report = replay->report;
    if (report == NULL || report->found == NULL) { return; }
    report->found(report->context, replay->partition, finding, number, value, other);
}

static uint64_t offset_add(uint64_t offset, uint64_t count)
{
    if (offset >= INT64_MAX) { return INT64_MAX; }
    return count > INT64_MAX - offset ? INT64_MAX : offset + count;
}

static void at_least(uint64_t *value, uint64_t least)
{
    if (*value < least) { *value = least; }
}

/* ------------------------------------------------------------------- what a commit tells us */

static void report_lost(const struct log_replay *replay, int32_t topic, uint64_t first,
                        uint64_t end)
{
    const struct recovery_report *const report = replay->report;
    if (report == NULL || report->records_lost == NULL || first >= end) { return; }
    report->records_lost(report->context, replay->partition, replay->log->topics[topic].name, first,
                         end);
}

/* The topic's offsets go on at `offset`, behind commits that were fenced: what lies between, they
 * held. (Offsets that recovery skipped are declared by a footer, which says so.) */
static void topic_goes_on(const struct log_replay *replay, int32_t topic, uint64_t offset)
{
    const struct log_resume_topic *const known = &replay->log->topics[topic];
    if (known->name[0] == '\0' || !replay->commits_missing) { return; }
    report_lost(replay, topic, known->next_offset, offset_add(offset, 0));
}

static void take_topics(struct log_replay *replay, struct bytes declarations, bool skipped)
{
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        if (memchr(topic.name.at, 0, topic.name.len_bytes) != NULL) { continue; }
        struct log_resume_topic *const resume = &replay->log->topics[topic.topic];
        if (!skipped) { topic_goes_on(replay, topic.topic, topic.next_offset); }
        memset(resume->name, 0, sizeof resume->name);
        memcpy(resume->name, topic.name.at, topic.name.len_bytes);
        resume->incarnation = topic.incarnation;
        resume->topic_id = topic.topic_id;
        at_least(&resume->next_offset, offset_add(topic.next_offset, 0));
        replay->base_offsets[topic.topic] = offset_add(topic.base_offset, 0);
        if (replay->log->topic_count <= (uint32_t)topic.topic) {
            replay->log->topic_count = (uint32_t)topic.topic + 1;
        }
    }
}

static void take_totals(struct log_resume *log, struct bytes totals)
{
    size_t count = totals.len_bytes / sizeof(uint64_t);
    if (count > STATS_COUNTERS_ROOM) { count = STATS_COUNTERS_ROOM; }
    for (size_t i = 0; i < count; i++) { log->totals[i] = load_le64(totals.at + i * 8); }
    log->totals_count = (uint32_t)count;
}

static enum status index_push(struct log_replay *replay, const struct index_entry *entry)
{
    if (replay->index_count == replay->index_capacity) {
        const size_t capacity = replay->index_capacity == 0 ? 1024 : replay->index_capacity * 2;
        void *const grown = realloc(replay->index, capacity * sizeof *replay->index);
        if (grown == NULL) { return STATUS_NO_MEMORY; }
        replay->index = grown;
        replay->index_capacity = capacity;
    }
    replay->index[replay->index_count++] = *entry;
    return STATUS_OK;
}

static enum status take_records(struct log_replay *replay, const struct scanned_commit *commit,
                                const struct entry *entry)
{
    if (entry->topic < 0 || entry->topic >= LOG_TOPICS_MAX) { return STATUS_OK; }
    if (entry->base_offset >= INT64_MAX || entry->record_count == 0) { return STATUS_OK; }
    topic_goes_on(replay, entry->topic, entry->base_offset);
    at_least(&replay->log->topics[entry->topic].next_offset,
             offset_add(entry->base_offset, entry->record_count));
    const struct index_entry line = {
        .topic = entry->topic,
        .record_count = entry->record_count,
        .base_offset = entry->base_offset,
        .max_timestamp_ms = entry->max_timestamp_ms,
        .position = commit->position + entry->position,
        .length_bytes = entry->length_bytes,
        .check = index_check(entry->crc32c),
    };
    return index_push(replay, &line);
}

/* Whether declarations that were taken say all that is known of the log: every topic, in order, and
 * no offset below one that was given. */
static bool declares_all(const struct log_resume *log, struct bytes declarations)
{
    struct topic_declaration topic;
    uint32_t count = 0;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        if (topic.topic != (int32_t)count) { return false; }
        const struct log_resume_topic *const known = &log->topics[count++];
        if (!bytes_equal_text(topic.name, known->name)) { return false; }
        if (topic.next_offset < known->next_offset) { return false; }
    }
    return declarations.len_bytes == 0 && count == log->topic_count;
}

/* The next start reads nothing but the newest footer: one that says less than the commits before it
 * does not stand, whatever its checksums say, and what it remembers is not believed. */
static void take_footer(struct log_replay *replay, const struct scanned_commit *commit)
{
    const struct commit_header *const header = &commit->header;
    struct segment_footer footer;
    replay->footer_last = (header->flags & COMMIT_FLAG_FOOTER) != 0 &&
                          segment_footer_open(commit->bytes, header, &footer) == STATUS_OK;
    if (replay->footer_last && !declares_all(replay->log, footer.topics)) {
        replay->footer_last = false;
        replay->commits_uncovered++;
    }
}

/* Takes what holds of a commit whose directory does. The directory of a damaged one still names its
 * offsets: the index lists them, reading them says that they are corrupt. */
static enum status take_commit(struct log_replay *replay, const struct scanned_commit *commit)
{
    const struct commit_header *const header = &commit->header;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        if (entry.type == ENTRY_RECORDS) {
            const enum status status = take_records(replay, commit, &entry);
            if (status != STATUS_OK) { return status; }
            continue;
        }
        struct bytes bytes;
        if (entry_bytes(commit->bytes, &entry, &bytes) != STATUS_OK) { continue; }
        if (entry.type == ENTRY_TOPICS) {
            replay->offsets_skipped = (entry.flags & ENTRY_FLAG_OFFSETS_SKIPPED) != 0;
            take_topics(replay, bytes, replay->offsets_skipped);
            replay->commits_uncovered = 0; /* a declaration names every topic of the log */
            replay->commits_missing = false;
        }
        if (entry.type == ENTRY_TOTALS) { take_totals(replay->log, bytes); }
    }
    if (replay->log->last_wall_ms < header->wall_ms) {
        replay->log->last_wall_ms = header->wall_ms;
    }
    if (header->lane_checkpoint <= header->number) {
        at_least(&replay->log->lane_checkpoint, header->lane_checkpoint);
    }
    replay->next_number = header->number + 1;
    replay->previous_crc32c = header->crc32c;
    replay->previous_known = true;
    replay->tail_position = commit->position + header->length_bytes;
    replay->footer = *header;
    replay->top_empty = false;
    take_footer(replay, commit);
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------ one segment */

enum status log_replay_scan_open(const struct log_replay *replay,
                                 const struct chain_segment *segment, int *file,
                                 struct segment_scan **out)
{
    char name[LOG_NAME_BYTES];
    uint64_t size_bytes;
    log_segment_name(replay->partition, segment->number, name);
    enum status status = files_open(replay->files, name, FILES_READ, file, &size_bytes);
    if (status != STATUS_OK) { return status; }
    status = segment_scan_create(replay->files, *file, size_bytes, out);
    if (status != STATUS_OK) { files_close(replay->files, *file); }
    return status;
}

/* A header that was torn or is rotten, rebuilt from its segment's first commit: what that one does
 * not say follows from the segment where the walk comes from. */
static void header_complete(struct log_replay *replay, size_t index)
{
    struct chain_segment *const segment = &replay->chain->segments[index];
    struct segment_header *const header = &segment->header;
    if (segment->header_complete) { return; }
    const size_t below = log_chain_below(replay->chain, index);
    if (below == replay->chain->count) {
        /* The log's first segment, or its predecessor was retired: then nobody needs its name. */
        header->cluster_id = replay->log->cluster_id;
        segment->header_complete = header->first_commit_number == 1;
        return;
    }
    const struct segment_header *const from = &replay->chain->segments[below].header;
    header->cluster_id = from->cluster_id;
    header->predecessor_nonce = from->nonce;
    header->leader_epoch = replay->leader_epoch;
    if (replay->footer_last && replay->offsets_skipped) { header->leader_epoch++; }
    if (header->incarnation == from->incarnation) {
        header->tail_records_max = from->tail_records_max;
    }
    segment->header_complete = true;
}

static void segment_begin(struct log_replay *replay, size_t index)
{
    header_complete(replay, index);
    const struct segment_header *const header = &replay->chain->segments[index].header;
    replay->top = index;
    replay->top_empty = true;
    replay->tail_position = LOG_BLOCK_BYTES;
    replay->index_count = 0;
    for (uint32_t i = 0; i < LOG_TOPICS_MAX; i++) {
        replay->base_offsets[i] = replay->log->topics[i].next_offset;
    }
    replay->tail_records_max =
        header->tail_records_max > 0 ? header->tail_records_max : TAIL_RECORDS_UNKNOWN;
    if (header->leader_epoch > replay->leader_epoch) {
        replay->leader_epoch = header->leader_epoch;
    }
}

/* `end` is behind all that was written there. */
static void tail_cut(struct log_replay *replay, uint64_t position, uint64_t end)
{
    const uint64_t number = replay->chain->segments[replay->top].number;
    replay->cut = true;
    if (replay->proven && end == position) { return; }
    if (replay->proven) {
        log_replay_report(replay, RECOVERY_CLEAN_TAIL, number, position, end - position);
        return;
    }
    replay->undecidable = true;
    log_replay_report(replay, RECOVERY_CUT, number, position, end - position);
}

/* Commits next_number..last were durable and are gone, from `begin` to `end` of the segment. */
static void fence(struct log_replay *replay, uint64_t last, uint64_t begin, uint64_t end)
{
    const uint64_t number = replay->chain->segments[replay->top].number;
    log_replay_report(replay, RECOVERY_FENCED, number, begin, end - begin);
    replay->log->durable_lost = true;
    replay->commits_uncovered += last - replay->next_number + 1;
    replay->commits_missing = true;
    replay->next_number = last + 1;
    replay->previous_known = false;
}

/* The directory holds, so it says exactly what the damaged entries are. */
static void entries_fence(struct log_replay *replay, const struct scanned_commit *commit)
{
    const uint64_t number = replay->chain->segments[replay->top].number;
    replay->log->durable_lost = true;
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry_bytes(commit->bytes, &entry, &bytes) == STATUS_OK) { continue; }
        log_replay_report(replay, RECOVERY_FENCED, number, commit->position + entry.position,
                          entry.length_bytes);
        if (entry.type != ENTRY_RECORDS || entry.topic < 0 || entry.topic >= LOG_TOPICS_MAX) {
            continue;
        }
        report_lost(replay, entry.topic, entry.base_offset,
                    offset_add(entry.base_offset, entry.record_count));
    }
}

/* A commit whose directory continues the chain, with damaged entries. False: it ends the log. */
static bool damaged_commit(struct log_replay *replay, struct segment_scan *scan,
                           const struct scanned_commit *commit, enum status *status)
{
    if (commit->header.number > log_witness_ask_all(replay)) {
        tail_cut(replay, commit->position, segment_scan_written_end(scan, commit->position));
        return false;
    }
    entries_fence(replay, commit);
    if ((commit->header.flags & COMMIT_FLAG_FOOTER) != 0) {
        /* Half a footer is none: what it remembered of skipped offsets may be in the other half.
         * The next one goes in its place. */
        replay->commits_uncovered++;
        replay->next_number = commit->header.number + 1;
        replay->previous_crc32c = commit->header.crc32c;
        replay->previous_known = true;
        return true;
    }
    *status = take_commit(replay, commit);
    return *status == STATUS_OK;
}

/* Something bad at `position`: what follows behind it? False: it ends the log, or the segment. */
static bool bad_commit(struct log_replay *replay, struct segment_scan *scan, uint64_t position,
                       uint64_t last_number, struct scanned_commit *commit)
{
    const uint64_t durable = log_witness_ask_all(replay);
    const bool found = segment_scan_resync(scan, commit) == SCAN_COMMIT;
    if (found && commit->header.number <= last_number && commit->header.number - 1 <= durable) {
        fence(replay, commit->header.number - 1, position, commit->position);
        return true;
    }
    const uint64_t lost = durable < last_number ? durable : last_number;
    const uint64_t written_end = segment_scan_written_end(scan, position);
    uint64_t cut_from = position;
    if (lost >= replay->next_number) {
        /* Where the last of them ends, its header would say. */
        cut_from = found ? commit->position : written_end;
        fence(replay, lost, position, cut_from);
    }
    if (durable < last_number) { tail_cut(replay, cut_from, written_end); }
    return false;
}

/* A trailer stands in front of the footer that it names: recovery writes it first, and may have
 * been interrupted before it could write down what it skipped. Zeros there are no end, then. */
static bool footer_is_missing(const struct log_replay *replay, const struct chain_segment *segment)
{
    if (segment->trailer_status != STATUS_OK || segment->last_number != UINT64_MAX) {
        return false;
    }
    return replay->top_empty || !replay->footer_last;
}

static enum status segment_walk(struct log_replay *replay, size_t index)
{
    const struct chain_segment *const segment = &replay->chain->segments[index];
    int file;
    struct segment_scan *scan;
    segment_begin(replay, index);
    enum status status = log_replay_scan_open(replay, segment, &file, &scan);
    if (status != STATUS_OK) { return status; }

    bool going = true;
    while (going && status == STATUS_OK && replay->next_number <= segment->last_number) {
        struct scanned_commit commit;
        const enum scan_result result = segment_scan_next(scan, &commit);
        if (result == SCAN_END) {
            if (footer_is_missing(replay, segment)) {
                tail_cut(replay, commit.position, commit.position);
            }
            break;
        }
        if (result == SCAN_COMMIT) {
            status = take_commit(replay, &commit);
        } else if (commit.directory_holds) {
            going = damaged_commit(replay, scan, &commit, &status);
        } else if ((going =
                        bad_commit(replay, scan, commit.position, segment->last_number, &commit))) {
            status = take_commit(replay, &commit);
        }
    }
    if (going && replay->next_number > segment->last_number && segment_scan_goes_on(scan)) {
        log_replay_report(replay, RECOVERY_ABANDONED, segment->number, segment_scan_position(scan),
                          segment->last_number);
    }
    replay->chain->segments[index].ends_in_footer = replay->footer_last && !replay->top_empty;
    replay->chain->segments[index].footer = replay->footer;
    segment_scan_destroy(scan);
    files_close(replay->files, file);
    return status;
}

/* Should another footer have to go behind this one: it lists the same. */
static enum status take_index(struct log_replay *replay, const struct scanned_commit *commit)
{
    struct segment_footer footer;
    if (segment_footer_open(commit->bytes, &commit->header, &footer) != STATUS_OK) {
        return STATUS_OK; /* take_commit saw that, too: it does not stand */
    }
    struct segment_footer_walk walk = segment_footer_walk_begin(&footer);
    struct index_entry line;
    while (segment_footer_walk_next(&walk, &line) == STATUS_OK) {
        const enum status status = index_push(replay, &line);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

/* A sealed one says it all in its footer. */
static enum status segment_take_footer(struct log_replay *replay, size_t index)
{
    int file;
    struct segment_scan *scan;
    segment_begin(replay, index);
    enum status status =
        log_replay_scan_open(replay, &replay->chain->segments[index], &file, &scan);
    if (status != STATUS_OK) { return status; }
    struct scanned_commit footer;
    status = segment_scan_footer(scan, &footer);
    if (status == STATUS_OK) { status = take_commit(replay, &footer); }
    if (status == STATUS_OK) { status = take_index(replay, &footer); }
    segment_scan_destroy(scan);
    files_close(replay->files, file);
    return status;
}

/* --------------------------------------------------------------------------------- the walk */

/* Whether the segment at `index` goes on where the walk stands, or behind rot. The number alone
 * says nothing: a recovery that cut the predecessor put its footer there, under the same number,
 * and was interrupted before it had removed what it cut. */
static bool continues_walk(struct log_replay *replay, size_t index)
{
    const struct segment_header *const header = &replay->chain->segments[index].header;
    const uint64_t first = header->first_commit_number;
    if (first < replay->next_number) { return false; }
    if (first == replay->next_number && replay->previous_known) {
        return header->predecessor_commit_number == first - 1 &&
               header->predecessor_commit_crc32c == replay->previous_crc32c;
    }
    if (first - 1 > log_witness_ask_all(replay)) { return false; }
    if (first > replay->next_number) {
        fence(replay, first - 1, replay->tail_position, replay->tail_position);
    }
    return true;
}

/* The next segment does not continue the one where the walk stands. Behind a footer that is what an
 * interrupted recovery leaves: it sealed, and had still to remove what it cut. */
static void segment_left_behind(struct log_replay *replay)
{
    if (replay->cut) { return; }
    if (!replay->footer_last || replay->top_empty) {
        tail_cut(replay, replay->tail_position, replay->tail_position);
        return;
    }
    replay->cut = true;
    log_replay_report(replay, RECOVERY_CLEAN_TAIL, replay->chain->segments[replay->top].number,
                      replay->tail_position, 0);
}

/* The newest sealed segment whose header holds: with it, all of the log's state is known. */
static size_t walk_start(const struct log_chain *chain)
{
    size_t start = log_chain_top(chain);
    while (!chain->segments[start].sealed || chain->segments[start].header_status != STATUS_OK) {
        const size_t below = log_chain_below(chain, start);
        if (below == chain->count) { break; }
        start = below;
    }
    return start;
}

static enum status walk(struct log_replay *replay)
{
    const struct log_chain *const chain = replay->chain;
    size_t at = walk_start(chain);
    const struct segment_header *const first = &chain->segments[at].header;
    replay->next_number = first->first_commit_number;
    replay->previous_crc32c = first->predecessor_commit_crc32c;
    replay->previous_known = true;
    for (;;) {
        struct chain_segment *const segment = &chain->segments[at];
        const uint64_t before = replay->next_number;
        enum status status =
            segment->sealed ? segment_take_footer(replay, at) : segment_walk(replay, at);
        if (status == STATUS_NO_MEMORY) { return status; }
        if (status != STATUS_OK) {
            /* Readable a moment ago. What it held counts as lost if it was durable. */
            log_replay_report(replay, RECOVERY_UNREADABLE, segment->number, status, 0);
            replay->next_number = before;
            replay->previous_known = false;
        }

        const size_t above = log_chain_above(chain, at);
        if (above == chain->count) { return STATUS_OK; }
        if (!continues_walk(replay, above)) {
            segment_left_behind(replay);
            return STATUS_OK;
        }
        at = above;
    }
}

/* A segment newer than all that can be read, on a disk that does not answer: nobody knows how many
 * offsets it gave. (One that can be read and has neither header nor first commit is what a crash
 * tears in the midst of a roll: nothing in it was durable.) */
static bool newest_is_unreadable(const struct log_chain *chain)
{
    for (size_t i = log_chain_top(chain) + 1; i < chain->count; i++) {
        if (chain->segments[i].status == STATUS_IO) { return true; }
    }
    return false;
}

/* Not torn but absent: the disk lost what it had promised to keep. */
static void absent_fence(struct log_replay *replay)
{
    const bool told_by_root = replay->proven || replay->newest_missing;
    const bool at_end = log_chain_above(replay->chain, replay->top) == replay->chain->count;
    if (replay->durable_number < replay->next_number || !(told_by_root || at_end)) { return; }
    fence(replay, replay->durable_number, replay->tail_position, replay->tail_position);
    if (!replay->newest_missing) { return; }
    replay->undecidable = true; /* what was in flight in the missing segment named offsets, too */
    if (replay->newest_unknown) { at_least(&replay->tail_records_max, TAIL_RECORDS_UNKNOWN); }
}

enum status log_replay_run(struct log_replay *replay, const struct recovery_witness *witness)
{
    assert(log_chain_top(replay->chain) < replay->chain->count);
    log_witness_ask_chain(replay, witness);
    const enum status status = walk(replay);
    if (status != STATUS_OK) { return status; }

    absent_fence(replay);
    const struct chain_segment *const top = &replay->chain->segments[replay->top];
    const bool cut_short =
        top->header_status == STATUS_OK && top->size_bytes < top->header.capacity_bytes;
    if (!replay->proven && cut_short && !(replay->footer_last && !replay->top_empty)) {
        /* How much stood behind the end of the file, nobody knows. */
        replay->undecidable = true;
        at_least(&replay->tail_records_max, TAIL_RECORDS_UNKNOWN);
    }
    if (!replay->proven && newest_is_unreadable(replay->chain)) {
        replay->undecidable = true;
        at_least(&replay->tail_records_max, TAIL_RECORDS_UNKNOWN);
    }
    /* Numbers are dense and declarations complete, so a hole is one that nobody declared. */
    for (uint32_t i = 0; i < replay->log->topic_count; i++) {
        if (replay->log->topics[i].name[0] == '\0') { replay->log->topic_count = i; }
    }
    return STATUS_OK;
}

void log_replay_deinit(struct log_replay *replay)
{
    free(replay->index);
    replay->index = NULL;
}

uint64_t log_replay_skip(const struct log_replay *replay)
{
    uint64_t times = replay->commits_uncovered;
    if (replay->undecidable && times < UINT64_MAX) { times++; }
    if (times == 0) { return 0; }
    if (replay->tail_records_max > (uint64_t)INT64_MAX / times) { return INT64_MAX; }
    return replay->tail_records_max * times;
}

void log_replay_skip_offsets(struct log_replay *replay, uint64_t count)
{
    for (uint32_t i = 0; i < replay->log->topic_count; i++) {
        uint64_t *const next = &replay->log->topics[i].next_offset;
        *next = offset_add(*next, count);
    }
}
