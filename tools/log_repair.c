#include "tools/log_repair.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/allocate.h"
#include "base/crc32c.h"
#include "base/sink.h"
#include "storage/index_builder.h"
#include "storage/segment_footer.h"
#include "storage/segment_look.h"
#include "storage/segment_scan.h"
#include "tools/segment_paths.h"

enum { TEXT_BYTES = 512, SEARCH_STEP_BYTES = 1 << 20 };

/* ------------------------------------------------------------------------------------ the plan */

static char *text_of(const char *format, va_list arguments)
{
    char text[TEXT_BYTES];
    vsnprintf(text, sizeof text, format, arguments);
    return allocate_text(text);
}

static void advise(struct repair_plan *plan, const char *path, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void advise(struct repair_plan *plan, const char *path, const char *format, ...)
{
    va_list arguments;
    plan->advice = allocate_again(plan->advice, plan->advice_count + 1, sizeof plan->advice[0]);
    va_start(arguments, format);
    plan->advice[plan->advice_count++] =
        (struct repair_advice){allocate_text(path), text_of(format, arguments)};
    va_end(arguments);
}

static struct repair_step *step_add(struct repair_plan *plan, enum repair_kind kind,
                                    const char *path, const char *what)
{
    plan->steps = allocate_again(plan->steps, plan->step_count + 1, sizeof plan->steps[0]);
    struct repair_step *const step = &plan->steps[plan->step_count++];
    *step = (struct repair_step){.kind = kind,
                                 .path = allocate_text(path),
                                 .what = allocate_text(what),
                                 .segment = SIZE_MAX};
    return step;
}

static uint8_t *blocks_allocate(size_t len_bytes)
{
    uint8_t *const out = aligned_alloc(LOG_BLOCK_BYTES, len_bytes);
    if (out != NULL) { memset(out, 0, len_bytes); }
    return out;
}

/* `bytes` are to stand at `begin`. STATUS_IO: what stands there cannot be read, and so not kept. */
static enum status step_add_write(struct repair_plan *plan, size_t segment, uint64_t begin,
                                  struct bytes bytes, const char *what)
{
    const struct files files = plan->place->files;
    const uint64_t position = begin / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    const uint64_t end =
        (begin + bytes.len_bytes + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    const size_t len_bytes = (size_t)(end - position);
    char *const path = log_place_path(plan->place, segment);
    uint8_t *const before = blocks_allocate(len_bytes);
    uint8_t *const after = blocks_allocate(len_bytes);
    int file = -1;
    uint64_t size_bytes;
    enum status status = before == NULL || after == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    if (status == STATUS_OK) { status = files_open(files, path, FILES_READ, &file, &size_bytes); }
    if (status == STATUS_OK) { status = files_read(files, file, position, before, len_bytes); }
    if (file >= 0) { files_close(files, file); }
    if (status == STATUS_OK) {
        memcpy(after, before, len_bytes);
        memcpy(after + (begin - position), bytes.at, bytes.len_bytes);
        struct repair_step *const step = step_add(plan, REPAIR_WRITE, path, what);
        step->segment = segment;
        step->position = position;
        step->begin = begin;
        step->end = begin + bytes.len_bytes;
        step->len_bytes = len_bytes;
        step->before = before;
        step->after = after;
    } else {
        free(before);
        free(after);
        advise(plan, path, "bytes %" PRIu64 "..%" PRIu64 " cannot be read (%s), so not replaced",
               begin, begin + bytes.len_bytes, status_text(status));
    }
    free(path);
    return status == STATUS_NO_MEMORY ? status : STATUS_OK;
}

static void step_add_move(struct repair_plan *plan, enum repair_kind kind, const char *from,
                          const char *to, const char *what)
{
    struct repair_step *const step = step_add(plan, kind, from, what);
    step->to = allocate_text(to);
}

/* ----------------------------------------------------------------------------- a segment's scan */

static enum status scan_open(const struct repair_plan *plan, size_t index, int *file,
                             struct segment_scan **out)
{
    char *const path = log_place_path(plan->place, index);
    uint64_t size_bytes;
    enum status status = files_open(plan->place->files, path, FILES_READ, file, &size_bytes);
    free(path);
    if (status != STATUS_OK) { return status; }
    status = segment_scan_create(plan->place->files, *file, size_bytes, out);
    if (status != STATUS_OK) { files_close(plan->place->files, *file); }
    return status;
}

static void scan_close(const struct repair_plan *plan, int file, struct segment_scan *scan)
{
    segment_scan_destroy(scan);
    files_close(plan->place->files, file);
}

/* ---------------------------------------------------------------------------------- the headers */

static bool id_is_none(struct log_id id)
{
    static const struct log_id none = {{0}};
    return log_id_equal(id, none);
}

/* Whether the segment holds exactly that commit: then, and only then, can another continue it. */
static bool commit_stands(const struct repair_plan *plan, size_t index, uint64_t number,
                          uint32_t crc)
{
    struct scanned_commit commit;
    int file;
    struct segment_scan *scan;
    bool found = false;
    if (scan_open(plan, index, &file, &scan) != STATUS_OK) { return false; }
    for (enum scan_result result = segment_scan_next(scan, &commit);
         result != SCAN_END && !found;) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        found = known && commit.header.number == number && commit.header.crc32c == crc;
        result = known ? segment_scan_next(scan, &commit) : segment_scan_resync(scan, &commit);
    }
    scan_close(plan, file, scan);
    return found;
}

/* The neighbours of a segment whose first commit holds: it continues the one below, in the epoch
 * that both have. False: they differ, and a footer has to say. */
static bool header_from_neighbours(const struct repair_plan *plan, size_t below, size_t above,
                                   struct segment_header *header)
{
    const struct log_chain *const chain = &plan->place->chain;
    if (below == chain->count || above == chain->count) { return false; }
    const struct chain_segment *const from = &chain->segments[below];
    const struct chain_segment *const next = &chain->segments[above];
    if (from->header_status != STATUS_OK || next->header_status != STATUS_OK) { return false; }
    if (from->header.leader_epoch != next->header.leader_epoch) { return false; }
    if (!commit_stands(plan, below, header->predecessor_commit_number,
                       header->predecessor_commit_crc32c)) {
        return false;
    }
    header->cluster_id = from->header.cluster_id;
    header->predecessor_nonce = from->header.nonce;
    header->leader_epoch = from->header.leader_epoch;
    header->tail_records_max = header->incarnation == from->header.incarnation
                                   ? from->header.tail_records_max
                                   : 0; /* then recovery takes the most that can be */
    return true;
}

/* What the footer of the segment below says of a header: who it continues, and in which epoch.
 * False: it cannot be known. */
static bool header_from_below(const struct repair_plan *plan, size_t below,
                              struct segment_header *header)
{
    const struct chain_segment *const from = &plan->place->chain.segments[below];
    if (from->header_status != STATUS_OK || !from->sealed) { return false; }
    int file;
    struct segment_scan *scan;
    struct scanned_commit commit;
    struct segment_footer footer = {0};
    if (scan_open(plan, below, &file, &scan) != STATUS_OK) { return false; }
    const bool good = segment_scan_footer(scan, &commit) == STATUS_OK &&
                      segment_footer_open(commit.bytes, &commit.header, &footer) == STATUS_OK;
    scan_close(plan, file, scan);
    if (!good) { return false; }
    header->cluster_id = from->header.cluster_id;
    header->predecessor_nonce = from->header.nonce;
    header->predecessor_commit_number = from->footer.number;
    header->predecessor_commit_crc32c = from->footer.crc32c;
    header->leader_epoch = from->header.leader_epoch + (footer.offsets_skipped ? 1 : 0);
    header->tail_records_max = header->incarnation == from->header.incarnation
                                   ? from->header.tail_records_max
                                   : 0; /* then recovery takes the most that can be */
    return true;
}

static bool above_agrees(const struct log_chain *chain, size_t index,
                         const struct segment_header *header)
{
    for (size_t i = index + 1; i < chain->count; i++) {
        const struct chain_segment *const above = &chain->segments[i];
        if (above->status != STATUS_OK || above->header_status != STATUS_OK) { continue; }
        return log_id_equal(above->header.predecessor_nonce, header->nonce) &&
               above->header.leader_epoch >= header->leader_epoch;
    }
    return false; /* the newest is recovery's */
}

static size_t nearest_below(const struct log_chain *chain, size_t index)
{
    for (size_t i = index; i-- > 0;) {
        if (chain->segments[i].status == STATUS_OK) { return i; }
    }
    return chain->count;
}

static enum status header_step(struct repair_plan *plan, size_t index,
                               const struct segment_header *header, const char *what)
{
    uint8_t block[LOG_BLOCK_BYTES];
    segment_header_encode(header, block);
    return step_add_write(plan, index, 0, bytes_of(block, sizeof block), what);
}

/* The scan rebuilt it from its first commit; the neighbours say the rest. */
static enum status header_mend(struct repair_plan *plan, size_t index)
{
    const struct log_chain *const chain = &plan->place->chain;
    struct segment_header header = chain->segments[index].header;
    const uint64_t number = header.predecessor_commit_number;
    const uint32_t crc = header.predecessor_commit_crc32c;
    const size_t below = log_chain_below(chain, index);
    header.partition = plan->place->partition;
    header.number = chain->segments[index].number;
    const bool known =
        header_from_neighbours(plan, below, log_chain_above(chain, index), &header) ||
        (below < chain->count && header_from_below(plan, below, &header));
    if (known && header.predecessor_commit_number == number &&
        header.predecessor_commit_crc32c == crc && above_agrees(chain, index, &header)) {
        return header_step(plan, index, &header,
                           "the header does not hold; its first commit and the segments around it "
                           "say what it was");
    }
    char *const path = log_place_path(plan->place, index);
    advise(plan, path, "the header does not hold, and %s; it is read without one, nothing is lost",
           log_chain_above(chain, index) == chain->count
               ? "the next start of penstock-ingest writes the newest one's"
               : "the segments around it do not say all of what it was");
    free(path);
    return STATUS_OK;
}

/* The first good commit of `log_id` that lies where it says. */
static bool commit_search(struct files files, int file, uint64_t size_bytes, struct log_id log_id,
                          struct commit_header *out)
{
    uint8_t *const window = blocks_allocate(SEARCH_STEP_BYTES);
    bool found = false;
    if (window == NULL) { return false; }
    const uint64_t blocks_end = size_bytes / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    for (uint64_t at = LOG_BLOCK_BYTES; at < blocks_end && !found; at += SEARCH_STEP_BYTES) {
        const uint64_t left = blocks_end - at;
        const size_t step = left < SEARCH_STEP_BYTES ? (size_t)left : SEARCH_STEP_BYTES;
        if (files_read(files, file, at, window, step) != STATUS_OK) { continue; }
        for (size_t i = 0; i < step && !found; i += LOG_BLOCK_BYTES) {
            found = commit_header_decode(bytes_of(window + i, step - i), out) == STATUS_OK &&
                    log_id_equal(out->log_id, log_id) && out->position == at + i;
        }
    }
    free(window);
    return found;
}

/* Neither header nor first commit hold: what stands behind them may. */
static bool header_search(struct repair_plan *plan, size_t index, struct segment_header *header)
{
    const struct log_chain *const chain = &plan->place->chain;
    const struct chain_segment *const segment = &chain->segments[index];
    const size_t below = nearest_below(chain, index);
    struct commit_header commit;
    int file;
    uint64_t size_bytes;
    if (below == chain->count || id_is_none(chain->segments[below].header.log_id)) { return false; }
    char *const path = log_place_path(plan->place, index);
    bool found = files_open(plan->place->files, path, FILES_READ, &file, &size_bytes) == STATUS_OK;
    free(path);
    if (!found) { return false; }
    found = commit_search(plan->place->files, file, size_bytes,
                          chain->segments[below].header.log_id, &commit);
    files_close(plan->place->files, file);
    if (!found) { return false; }
    *header = (struct segment_header){
        .log_id = commit.log_id,
        .nonce = commit.nonce,
        .partition = plan->place->partition,
        .number = segment->number,
        .capacity_bytes = segment->size_bytes,
        .incarnation = commit.incarnation,
        .created_wall_ms = commit.wall_ms,
    };
    if (!header_from_below(plan, below, header)) { return false; }
    header->first_commit_number = header->predecessor_commit_number + 1;
    return commit.number > header->predecessor_commit_number && above_agrees(chain, index, header);
}

/* --------------------------------------------------------------------------------- the trailers */

static enum status trailer_step(struct repair_plan *plan, size_t index,
                                const struct segment_header *header,
                                const struct commit_header *footer)
{
    const struct segment_trailer trailer = {
        .nonce = header->nonce,
        .footer_position = footer->position,
        .footer_number = footer->number,
        .footer_length_bytes = footer->length_bytes,
    };
    uint8_t block[LOG_BLOCK_BYTES];
    segment_trailer_encode(&trailer, block);
    return step_add_write(plan, index, header->capacity_bytes - LOG_BLOCK_BYTES,
                          bytes_of(block, sizeof block),
                          "the trailer does not hold; the footer that it names does");
}

/* The footer that the next segment continues, found by a walk. */
static enum status trailer_mend(struct repair_plan *plan, size_t index)
{
    const struct chain_segment *const segment = &plan->place->chain.segments[index];
    struct scanned_commit commit;
    struct commit_header footer = {0};
    bool found = false;
    int file;
    struct segment_scan *scan;
    enum status status = scan_open(plan, index, &file, &scan);
    if (status != STATUS_OK) { return status == STATUS_NO_MEMORY ? status : STATUS_OK; }
    for (enum scan_result result = segment_scan_next(scan, &commit); result != SCAN_END;) {
        const bool known = result == SCAN_COMMIT || commit.directory_holds;
        if (known && commit.header.number > segment->last_number) { break; }
        found = result == SCAN_COMMIT && (commit.header.flags & COMMIT_FLAG_FOOTER) != 0 &&
                commit.header.number == segment->last_number;
        footer = commit.header;
        result = known ? segment_scan_next(scan, &commit) : segment_scan_resync(scan, &commit);
    }
    scan_close(plan, file, scan);
    if (found) { return trailer_step(plan, index, &segment->header, &footer); }
    char *const path = log_place_path(plan->place, index);
    advise(plan, path,
           "%s, and no footer stands before it: this segment is read from front to back, nothing "
           "is lost",
           segment->trailer_status == STATUS_NOT_FOUND ? "there is no trailer"
                                                       : "the trailer does not hold");
    free(path);
    return STATUS_OK;
}

/* ---------------------------------------------------------------------------------- the footers */

/* What a footer lists and declares, from the commits before it. */
struct footer_contents {
    struct index_builder index;
    uint8_t *index_memory;
    struct bytes topics; /* of the segment's first commit */
    uint8_t *topics_copy;
    uint64_t next_offsets[LOG_TOPICS_MAX];
};

static struct footer_contents *contents_create(void)
{
    struct footer_contents *const contents = allocate_zeroed(1, sizeof *contents);
    contents->index_memory = allocate_zeroed(1, LOG_COMMIT_BYTES_MAX);
    if (index_builder_init(&contents->index, contents->index_memory, LOG_COMMIT_BYTES_MAX) ==
        STATUS_OK) {
        return contents;
    }
    free(contents->index_memory);
    free(contents);
    return NULL;
}

static void contents_free(struct footer_contents *contents)
{
    index_builder_deinit(&contents->index);
    free(contents->index_memory);
    free(contents->topics_copy);
    free(contents);
}

static void contents_add_records(struct footer_contents *contents,
                                 const struct scanned_commit *commit, const struct entry *entry)
{
    const struct index_entry line = {
        .topic = entry->topic,
        .record_count = entry->record_count,
        .base_offset = entry->base_offset,
        .max_timestamp_ms = entry->max_timestamp_ms,
        .position = commit->position + entry->position,
        .length_bytes = entry->length_bytes,
        .check = index_check(entry->crc32c),
    };
    /* What is left out, or has no room, makes an index that does not match its checksum. */
    if (index_builder_takes(&contents->index, &line) &&
        index_builder_bytes_max(&contents->index, 1) <= LOG_COMMIT_BYTES_MAX) {
        index_builder_add(&contents->index, &line);
    }
    if (entry->topic >= 0 && entry->topic < LOG_TOPICS_MAX) {
        contents->next_offsets[entry->topic] = entry->base_offset + entry->record_count;
    }
}

static void contents_add(struct footer_contents *contents, const struct scanned_commit *commit)
{
    for (uint32_t i = 0; i < commit->header.entry_count; i++) {
        const struct entry entry = entry_decode(commit->bytes, i);
        struct bytes bytes;
        if (entry.type == ENTRY_RECORDS) { contents_add_records(contents, commit, &entry); }
        if (entry.type != ENTRY_TOPICS) { continue; }
        if (entry_bytes(commit->bytes, &entry, &bytes) != STATUS_OK) { continue; }
        free(contents->topics_copy);
        contents->topics_copy = allocate_zeroed(1, bytes.len_bytes);
        memcpy(contents->topics_copy, bytes.at, bytes.len_bytes);
        contents->topics = bytes_of(contents->topics_copy, bytes.len_bytes);
    }
}

/* The declarations as they stood at the end: names and bases of the last ones, moved on. */
static size_t topics_encode(const struct footer_contents *contents, uint8_t *out, size_t room)
{
    struct sink sink = sink_into(out, room);
    struct bytes declarations = contents->topics;
    struct topic_declaration topic;
    while (topic_declaration_decode(&declarations, &topic) == STATUS_OK) {
        if (contents->next_offsets[topic.topic] > topic.next_offset) {
            topic.next_offset = contents->next_offsets[topic.topic];
        }
        topic_declaration_encode(&topic, &sink);
    }
    return sink.overflowed ? 0 : sink_used_bytes(&sink);
}

/* Why a step puts an entry of the footer back. */
static const char *mend_reason(enum entry_type type)
{
    switch (type) {
    case ENTRY_INDEX:
        return "the footer's index does not hold; the commits give it again, to the checksum";
    case ENTRY_ANCHORS:
        return "the footer's anchors do not hold; the commits give them again, to the checksum";
    default: return "the footer's topics do not hold; the commits give them again, to the checksum";
    }
}

/* The bytes of one entry of the footer, if they are exactly those that its directory tells of. */
static enum status entry_mend(struct repair_plan *plan, size_t index,
                              const struct commit_header *footer, const struct entry *entry,
                              const struct footer_contents *contents, bool *mended)
{
    struct bytes made = {0};
    uint8_t *topics = NULL;
    *mended = false;
    if (entry->type == ENTRY_INDEX) {
        made = bytes_of(contents->index.index, contents->index.index_bytes);
    } else if (entry->type == ENTRY_ANCHORS) {
        made = index_builder_anchors(&contents->index);
    } else if (entry->type == ENTRY_TOPICS) {
        topics = allocate_zeroed(1, entry->length_bytes);
        made = bytes_of(topics, topics_encode(contents, topics, entry->length_bytes));
    }
    enum status status = STATUS_OK;
    if (made.len_bytes > 0 && made.len_bytes == entry->length_bytes &&
        crc32c(made) == entry->crc32c) {
        *mended = true;
        status = step_add_write(plan, index, footer->position + entry->position, made,
                                mend_reason(entry->type));
    }
    free(topics);
    return status;
}

static enum status entries_mend(struct repair_plan *plan, size_t index,
                                const struct scanned_commit *footer,
                                const struct footer_contents *contents, bool *all)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < footer->header.entry_count; i++) {
        const struct entry entry = entry_decode(footer->bytes, i);
        struct bytes bytes;
        bool mended;
        if (entry_bytes(footer->bytes, &entry, &bytes) == STATUS_OK) { continue; }
        status = entry_mend(plan, index, &footer->header, &entry, contents, &mended);
        *all = *all && mended;
    }
    return status;
}

/* Its directory holds and its entries do not. One whose directory is gone cannot be made again: the
 * next segment names it by the checksum of that. */
static enum status footer_mend(struct repair_plan *plan, size_t index)
{
    struct footer_contents *const contents = contents_create();
    if (contents == NULL) { return STATUS_NO_MEMORY; }
    struct scanned_commit commit;
    bool all = false;
    int file;
    struct segment_scan *scan;
    enum status status = scan_open(plan, index, &file, &scan);
    if (status == STATUS_OK) {
        enum scan_result result;
        while ((result = segment_scan_next(scan, &commit)) == SCAN_COMMIT ||
               (result != SCAN_END && commit.directory_holds)) {
            if ((commit.header.flags & COMMIT_FLAG_FOOTER) != 0) {
                all = true;
                index_builder_close(&contents->index);
                status = entries_mend(plan, index, &commit, contents, &all);
                break;
            }
            contents_add(contents, &commit);
        }
        scan_close(plan, file, scan);
    }
    contents_free(contents);
    if (!all) {
        char *const path = log_place_path(plan->place, index);
        advise(plan, path,
               "the footer does not hold, and the commits do not give it again to the byte: this "
               "segment is read from front to back, nothing is lost by that");
        free(path);
    }
    return status == STATUS_NO_MEMORY ? status : STATUS_OK;
}

/* ------------------------------------------------------------------------------------ the names */

/* <directory>.quarantine/NAME, another one where that is taken. */
static void quarantine_name(const struct repair_plan *plan, const char *path, char out[PATH_MAX])
{
    const char *const slash = strrchr(path, '/');
    const char *const name = slash == NULL ? path : slash + 1;
    const char *const directory = plan->place->directory->path;
    int len = snprintf(out, PATH_MAX, "%s.quarantine/%s", directory, name);
    for (int i = 2; len > 0 && len < PATH_MAX && access(out, F_OK) == 0 && i < 1000; i++) {
        len = snprintf(out, PATH_MAX, "%s.quarantine/%s.%d", directory, name, i);
    }
}

static void quarantine(struct repair_plan *plan, const char *path, const char *why)
{
    char to[PATH_MAX];
    quarantine_name(plan, path, to);
    step_add_move(plan, REPAIR_MOVE, path, to, why);
}

/* Where the header says that the file belongs: beside this partition's directory, or in it. False:
 * the directory is a copy under another name, and nobody knows. */
static bool home_of(const struct repair_plan *plan, const struct segment_header *header,
                    char out[PATH_MAX])
{
    uint32_t partition;
    char directory[PATH_MAX];
    char name[LOG_NAME_BYTES];
    snprintf(directory, sizeof directory, "%s", plan->place->directory->path);
    char *const slash = strrchr(directory, '/');
    if (slash == NULL || !log_directory_name_parse(slash + 1, &partition)) { return false; }
    *slash = '\0';
    log_segment_name(header->partition, header->number, name);
    const int len = snprintf(out, PATH_MAX, "%s/%s", directory, name);
    return len > 0 && len < PATH_MAX;
}

static bool header_of(const char *path, struct segment_header *out)
{
    struct segment_paths paths = {0};
    const struct files files = segment_paths_files(&paths);
    int file;
    uint64_t size_bytes;
    struct segment_scan *scan = NULL;
    if (files_open(files, path, FILES_READ, &file, &size_bytes) != STATUS_OK) { return false; }
    const bool good = segment_scan_create(files, file, size_bytes, &scan) == STATUS_OK &&
                      !segment_scan_header_is_rebuilt(scan);
    if (good) { *out = *segment_scan_header(scan); }
    segment_scan_destroy(scan);
    files_close(files, file);
    return good;
}

static bool step_names(const struct repair_plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct repair_step *const step = &plan->steps[i];
        if (step->kind == REPAIR_WRITE) { continue; }
        if (strcmp(step->path, path) == 0 || strcmp(step->to, path) == 0) { return true; }
    }
    return false;
}

static struct log_id log_of(const struct log_chain *chain)
{
    const size_t top = log_chain_top(chain);
    struct log_id none = {{0}};
    return top < chain->count ? chain->segments[top].header.log_id : none;
}

/* Another log's, or under a wrong name. */
static void misplaced_mend(struct repair_plan *plan, size_t index)
{
    const struct segment_header *const header = &plan->place->chain.segments[index].header;
    char *const path = log_place_path(plan->place, index);
    char home[PATH_MAX];
    struct segment_header other;
    if (step_names(plan, path)) { /* an exchange has it */
    } else if (!home_of(plan, header, home) || strcmp(home, path) == 0) {
        quarantine(plan, path, "another log's segment: nothing of it is served here");
    } else if (access(home, F_OK) != 0 && !step_names(plan, home) &&
               log_id_equal(header->log_id, log_of(&plan->place->chain))) {
        step_add_move(plan, REPAIR_MOVE, path, home,
                      "it is under a wrong name, and that which its header says is free");
    } else if (header_of(home, &other) && log_id_equal(other.log_id, header->log_id)) {
        char back[PATH_MAX];
        const bool swapped = home_of(plan, &other, back) && strcmp(back, path) == 0;
        if (swapped) {
            step_add_move(plan, REPAIR_EXCHANGE, path, home,
                          "these two have each other's names, as their headers say");
        } else {
            quarantine(plan, path,
                       "it is under a wrong name, and the name that its header says is "
                       "taken");
        }
    } else {
        quarantine(plan, path, "it does not belong here, as its header says");
    }
    free(path);
}

static enum status unreadable_mend(struct repair_plan *plan, size_t index)
{
    struct segment_header header;
    if (header_search(plan, index, &header)) {
        return header_step(plan, index, &header,
                           "neither header nor first commit hold; later commits and the segments "
                           "around it say what the header was, and those are served again");
    }
    char *const path = log_place_path(plan->place, index);
    quarantine(plan, path, "nothing in it can be identified: every start trips over it");
    free(path);
    return STATUS_OK;
}

static bool is_draft(const char *path)
{
    static const char suffix[] = ".draft";
    const size_t len = strlen(path);
    return len > sizeof suffix && strcmp(path + len - (sizeof suffix - 1), suffix) == 0;
}

static void foreign_mend(struct repair_plan *plan)
{
    for (size_t i = 0; i < plan->place->foreign_count; i++) {
        const char *const path = plan->place->foreign[i];
        if (is_draft(path)) { continue; } /* half made: the next start removes it */
        quarantine(plan, path, "not a segment");
    }
}

/* ----------------------------------------------------------------------------------- one by one */

/* Of a segment between these two, or of one that comes home: then that is the missing one. */
static bool step_brings_back(const struct repair_plan *plan, size_t below, size_t above)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct repair_step *const step = &plan->steps[i];
        const bool between = step->segment > below && step->segment < above;
        const bool home = step->kind == REPAIR_EXCHANGE ||
                          (step->kind == REPAIR_MOVE && strstr(step->to, ".quarantine/") == NULL);
        if (home || (step->kind == REPAIR_WRITE && between)) { return true; }
    }
    return false;
}

static void advise_missing(struct repair_plan *plan, size_t index)
{
    const struct log_chain *const chain = &plan->place->chain;
    const struct chain_segment *const segment = &chain->segments[index];
    const size_t below = log_chain_below(chain, index);
    if (segment->status != STATUS_OK || !segment->in_chain) { return; }
    if (!segment->predecessor_missing || below == chain->count) { return; }
    if (step_brings_back(plan, below, index)) { return; }
    char *const path = log_place_path(plan->place, index);
    advise(plan, path,
           "the segment before it, which held commit %" PRIu64
           ", is missing: put its file back from a copy, under its own name",
           segment->header.predecessor_commit_number);
    free(path);
}

/* A segment of the log that another one continues. */
static enum status sealed_mend(struct repair_plan *plan, size_t index, const char *path)
{
    const struct chain_segment *const segment = &plan->place->chain.segments[index];
    if (segment->header_status == STATUS_OK &&
        segment->size_bytes < segment->header.capacity_bytes) {
        advise(plan, path, "the file has %" PRIu64 " of %" PRIu64 " bytes: put a whole copy back",
               segment->size_bytes, segment->header.capacity_bytes);
        return STATUS_OK;
    }
    if (segment->sealed) { return STATUS_OK; }
    if (segment->trailer_status == STATUS_OK) { return footer_mend(plan, index); }
    if (segment->trailer_status == STATUS_NOT_FOUND || segment->trailer_status == STATUS_CORRUPT) {
        return trailer_mend(plan, index);
    }
    advise(plan, path, "the trailer cannot be read: %s", status_text(segment->trailer_status));
    return STATUS_OK;
}

static enum status segment_mend(struct repair_plan *plan, size_t index)
{
    const struct chain_segment *const segment = &plan->place->chain.segments[index];
    char *const path = log_place_path(plan->place, index);
    enum status status = STATUS_OK;
    switch (segment->status) {
    case STATUS_OK:
        if (segment->in_chain && segment->header_status != STATUS_OK) {
            status = header_mend(plan, index);
        }
        if (status == STATUS_OK && segment->in_chain && segment->last_number != UINT64_MAX) {
            status = sealed_mend(plan, index, path);
        }
        break;
    case STATUS_NOT_FOUND: break; /* prepared, never opened */
    case STATUS_INVALID: misplaced_mend(plan, index); break;
    case STATUS_CORRUPT: status = unreadable_mend(plan, index); break;
    case STATUS_UNSUPPORTED:
        advise(plan, path,
               "of version %" PRIu32 " of the format, this build knows version %d: use the release "
               "that wrote it",
               segment_look_version(plan->place->files, path), LOG_FORMAT_VERSION);
        break;
    default:
        advise(plan, path,
               "the disk does not answer (%s): copy what can be read with ddrescue, and put the "
               "copy in its place",
               status_text(segment->status));
    }
    free(path);
    return status;
}

enum status repair_plan_make(const struct log_place *place, struct repair_plan *out)
{
    *out = (struct repair_plan){.place = place};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < place->chain.count; i++) {
        if (place->chosen[i]) { status = segment_mend(out, i); }
    }
    for (size_t i = 0; status == STATUS_OK && i < place->chain.count; i++) {
        if (place->chosen[i]) { advise_missing(out, i); }
    }
    if (status == STATUS_OK) { foreign_mend(out); }
    if (status != STATUS_OK) { repair_plan_free(out); }
    return status;
}

void repair_plan_free(struct repair_plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        struct repair_step *const step = &plan->steps[i];
        free(step->path);
        free(step->to);
        free(step->what);
        free(step->before);
        free(step->after);
    }
    for (size_t i = 0; i < plan->advice_count; i++) {
        free(plan->advice[i].path);
        free(plan->advice[i].what);
    }
    free(plan->steps);
    free(plan->advice);
    *plan = (struct repair_plan){0};
}

/* --------------------------------------------------------------------------------------- doing */

void repair_plan_keep(const struct repair_plan *plan, struct log_cuts *cuts)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct repair_step *const step = &plan->steps[i];
        if (step->kind == REPAIR_WRITE) {
            log_cuts_add_bytes(cuts, step->path, step->position,
                               bytes_of(step->before, step->len_bytes),
                               bytes_of(step->after, step->len_bytes));
        } else {
            log_cuts_add_move(cuts, step->path, step->to, step->kind == REPAIR_EXCHANGE);
        }
    }
}

static enum status write_make(const struct repair_plan *plan, const struct repair_step *step)
{
    const struct files files = plan->place->files;
    int file;
    uint64_t size_bytes;
    uint8_t *const now = blocks_allocate(step->len_bytes);
    if (now == NULL) { return STATUS_NO_MEMORY; }
    enum status status = files_open(files, step->path, FILES_READ_WRITE, &file, &size_bytes);
    if (status == STATUS_OK) {
        status = files_read(files, file, step->position, now, step->len_bytes);
        if (status == STATUS_OK && memcmp(now, step->before, step->len_bytes) != 0) {
            status = STATUS_STALE;
        }
        if (status == STATUS_OK) {
            status =
                files_write(files, file, step->position, bytes_of(step->after, step->len_bytes));
        }
        files_close(files, file);
    }
    free(now);
    return status;
}

static enum status move_make(const struct repair_step *step)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", step->to);
    char *const slash = strrchr(directory, '/');
    if (slash != NULL) { *slash = '\0'; }
    if (mkdir(directory, 0755) != 0 && errno != EEXIST) { return status_from_errno(errno); }
    const enum status status = log_cuts_sync_name(directory);
    if (status != STATUS_OK) { return status; }
    return log_cuts_move(step->path, step->to, step->kind == REPAIR_EXCHANGE);
}

enum status repair_step_make(const struct repair_plan *plan, size_t index)
{
    assert(index < plan->step_count);
    const struct repair_step *const step = &plan->steps[index];
    return step->kind == REPAIR_WRITE ? write_make(plan, step) : move_make(step);
}
