#include "storage/segment_footer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/sink.h"
#include "storage/index_builder.h"

enum {
    FOOTER_ENTRIES_MAX = 4,            /* index, anchors, topics, totals */
    DIRECTORY_BYTES = LOG_BLOCK_BYTES, /* of a footer: read at once */
};

/* The bytes of an entry, at its place. */
static void footer_take(const struct commit_header *header, const struct entry *entry,
                        struct bytes bytes, struct segment_footer *out)
{
    switch (entry->type) {
    case ENTRY_TOPICS:
        out->topics = bytes;
        out->offsets_skipped = (entry->flags & ENTRY_FLAG_OFFSETS_SKIPPED) != 0;
        break;
    case ENTRY_INDEX:
        out->index = bytes;
        out->index_bytes = entry->length_bytes;
        out->index_position = header->position + entry->position;
        break;
    case ENTRY_ANCHORS: out->anchors = bytes; break;
    case ENTRY_TOTALS: out->totals = bytes; break;
    default: break; /* of a later minor addition: not ours to judge */
    }
}

/* A footer has each of these once. */
static bool footer_is_complete(struct bytes commit, const struct commit_header *header)
{
    static const uint16_t needed[] = {ENTRY_TOPICS, ENTRY_INDEX, ENTRY_ANCHORS};
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        size_t seen = 0;
        for (uint32_t line = 0; line < header->entry_count; line++) {
            if (entry_decode(commit, line).type == needed[i]) { seen++; }
        }
        if (seen != 1) { return false; }
    }
    return true;
}

enum status segment_footer_open(struct bytes commit, const struct commit_header *header,
                                struct segment_footer *out)
{
    *out = (struct segment_footer){0};
    if (!footer_is_complete(commit, header)) { return STATUS_CORRUPT; }
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(commit, i);
        struct bytes bytes;
        const enum status status = entry_bytes(commit, &entry, &bytes);
        if (status != STATUS_OK) { return status; }
        footer_take(header, &entry, bytes, out);
    }
    return out->anchors.len_bytes % sizeof(struct index_anchor_wire) == 0 ? STATUS_OK
                                                                          : STATUS_CORRUPT;
}

/* --------------------------------------------------------------------------------- summary */

/* Header and directory of the footer that the trailer names, into `block`. */
static enum status read_directory(struct files files, int file, const struct segment_header *header,
                                  const struct segment_trailer *trailer, uint8_t *block,
                                  struct commit_header *out)
{
    enum status status = files_read(files, file, trailer->footer_position, block, DIRECTORY_BYTES);
    if (status != STATUS_OK) { return status; }
    status = commit_header_decode(bytes_of(block, DIRECTORY_BYTES), out);
    if (status != STATUS_OK) { return STATUS_CORRUPT; }
    if (!log_id_equal(out->log_id, header->log_id)) { return STATUS_CORRUPT; }
    if (!log_id_equal(out->nonce, header->nonce)) { return STATUS_CORRUPT; }
    if (out->position != trailer->footer_position) { return STATUS_CORRUPT; }
    if (out->number != trailer->footer_number) { return STATUS_CORRUPT; }
    if (out->length_bytes != trailer->footer_length_bytes) { return STATUS_CORRUPT; }
    if ((out->flags & COMMIT_FLAG_FOOTER) == 0) { return STATUS_CORRUPT; }
    return footer_is_complete(bytes_of(block, DIRECTORY_BYTES), out) ? STATUS_OK : STATUS_CORRUPT;
}

/* From the first to the last byte of what is not the index, whole blocks. */
static void summary_range(struct bytes directory, const struct commit_header *header,
                          uint32_t *begin, uint32_t *end)
{
    *begin = header->length_bytes;
    *end = 0;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(directory, i);
        if (entry.type == ENTRY_INDEX) { continue; }
        const uint32_t entry_end = entry.position + entry.length_bytes;
        if (entry.position < *begin) { *begin = entry.position; }
        if (entry_end > *end) { *end = entry_end; }
    }
    *begin -= *begin % LOG_BLOCK_BYTES;
    *end = (*end + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
}

/* `range` was read from `begin` of the commit on. */
static enum status summary_take(struct bytes directory, const struct commit_header *header,
                                struct bytes range, uint32_t begin, struct segment_footer *out)
{
    *out = (struct segment_footer){0};
    for (uint32_t i = 0; i < header->entry_count; i++) {
        struct entry entry = entry_decode(directory, i);
        struct bytes bytes = {0};
        if (entry.type != ENTRY_INDEX) {
            struct entry here = entry;
            here.position -= begin;
            const enum status status = entry_bytes(range, &here, &bytes);
            if (status != STATUS_OK) { return STATUS_CORRUPT; }
        }
        footer_take(header, &entry, bytes, out);
    }
    return out->anchors.len_bytes % sizeof(struct index_anchor_wire) == 0 ? STATUS_OK
                                                                          : STATUS_CORRUPT;
}

enum status segment_footer_read_summary(struct files files, int file,
                                        const struct segment_header *header,
                                        const struct segment_trailer *trailer, uint8_t **memory,
                                        struct segment_footer *out)
{
    *memory = NULL;
    uint8_t *const block = aligned_alloc(LOG_BLOCK_BYTES, DIRECTORY_BYTES);
    if (block == NULL) { return STATUS_NO_MEMORY; }
    struct commit_header footer;
    uint8_t *range = NULL;
    enum status status = read_directory(files, file, header, trailer, block, &footer);
    if (status == STATUS_OK) {
        const struct bytes directory = bytes_of(block, DIRECTORY_BYTES);
        uint32_t begin;
        uint32_t end;
        summary_range(directory, &footer, &begin, &end);
        range = aligned_alloc(LOG_BLOCK_BYTES, end - begin);
        status = range == NULL
                     ? STATUS_NO_MEMORY
                     : files_read(files, file, footer.position + begin, range, end - begin);
        if (status == STATUS_OK) {
            status = summary_take(directory, &footer, bytes_of(range, end - begin), begin, out);
        }
    }
    free(block);
    if (status != STATUS_OK) {
        free(range);
        return status;
    }
    *memory = range;
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ lines */

struct segment_footer_walk segment_footer_walk_begin(const struct segment_footer *footer)
{
    return (struct segment_footer_walk){.footer = footer};
}

static enum status walk_enter_chunk(struct segment_footer_walk *walk)
{
    const struct segment_footer *const footer = walk->footer;
    if (walk->next_anchor == segment_footer_anchor_count(footer)) { return STATUS_NOT_FOUND; }
    const enum status status = segment_footer_anchor(footer, walk->next_anchor++, &walk->anchor);
    if (status != STATUS_OK) { return status; }
    if (footer->index.len_bytes != footer->index_bytes) { return STATUS_CORRUPT; }
    const size_t begin = walk->anchor.position;
    const struct bytes chunk = bytes_slice(footer->index, begin, begin + walk->anchor.length_bytes);
    if (crc32c(chunk) != walk->anchor.crc32c) { return STATUS_CORRUPT; }
    walk->state = index_chunk_begin(&walk->anchor);
    walk->lines = cursor_over(chunk);
    walk->lines_left = walk->anchor.line_count;
    return STATUS_OK;
}

enum status segment_footer_walk_next(struct segment_footer_walk *walk, struct index_entry *out)
{
    if (walk->lines_left == 0) {
        const enum status status = walk_enter_chunk(walk);
        if (status != STATUS_OK) { return status; }
    }
    if (index_line_decode(&walk->state, &walk->lines, out) != STATUS_OK) { return STATUS_CORRUPT; }
    out->topic = walk->anchor.topic;
    walk->lines_left--;
    return STATUS_OK;
}

uint64_t segment_footer_line_count(const struct segment_footer *footer)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < segment_footer_anchor_count(footer); i++) {
        struct index_anchor anchor;
        if (segment_footer_anchor(footer, i, &anchor) == STATUS_OK) { lines += anchor.line_count; }
    }
    return lines;
}

static int by_position(const void *left, const void *right)
{
    const struct index_entry *const a = left;
    const struct index_entry *const b = right;
    return (a->position > b->position) - (a->position < b->position);
}

enum status segment_footer_lines(const struct segment_footer *footer, struct index_entry **out,
                                 size_t *out_count)
{
    /* No line is shorter: a count that is a lie takes no memory. */
    const uint64_t lines_max = footer->index_bytes / INDEX_LINE_BYTES_MIN;
    const uint64_t counted = segment_footer_line_count(footer);
    if (counted > lines_max) { return STATUS_CORRUPT; }
    struct index_entry *const lines = calloc((size_t)counted + 1, sizeof *lines);
    if (lines == NULL) { return STATUS_NO_MEMORY; }
    struct segment_footer_walk walk = segment_footer_walk_begin(footer);
    struct index_entry line = {0};
    size_t count = 0;
    enum status status;
    while ((status = segment_footer_walk_next(&walk, &line)) == STATUS_OK && count < counted) {
        lines[count++] = line;
    }
    if (status != STATUS_NOT_FOUND) {
        free(lines);
        return STATUS_CORRUPT;
    }
    qsort(lines, count, sizeof *lines, by_position);
    *out = lines;
    *out_count = count;
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ encode */

static size_t padded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static size_t topics_bytes(const struct log_resume *log)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < log->topic_count; i++) {
        bytes += topic_declaration_bytes(strlen(log->topics[i].name));
    }
    return bytes;
}

static void topics_encode(const struct segment_footer_parts *parts, struct sink *out)
{
    for (uint32_t i = 0; i < parts->log->topic_count; i++) {
        const struct log_resume_topic *const topic = &parts->log->topics[i];
        const struct topic_declaration declaration = {
            .topic = (int32_t)i,
            .incarnation = topic->incarnation,
            .topic_id = topic->topic_id,
            .base_offset = parts->base_offsets[i],
            .next_offset = topic->next_offset,
            .name = bytes_of_text(topic->name),
        };
        topic_declaration_encode(&declaration, out);
    }
}

static void totals_encode(const struct log_resume *log, struct sink *out)
{
    for (uint32_t i = 0; i < log->totals_count; i++) {
        uint8_t *const at = sink_take(out, sizeof(uint64_t));
        if (at != NULL) { store_le64(at, log->totals[i]); }
    }
}

/* Closes the entry that was written at `begin` and takes line `*line` of the directory for it. */
static void entry_close(uint8_t *commit, struct sink *out, size_t begin, uint16_t type,
                        uint16_t flags, uint32_t *line)
{
    const size_t end = sink_used_bytes(out);
    const struct entry entry = {
        .type = type,
        .flags = flags,
        .topic = LOG_NO_TOPIC,
        .position = (uint32_t)begin,
        .length_bytes = (uint32_t)(end - begin),
        .crc32c = crc32c(bytes_of(commit + begin, end - begin)),
    };
    entry_encode(&entry, commit, (*line)++);
    sink_zeros(out, padded(end, 8) - end);
}

static enum status index_make(const struct segment_footer_parts *parts, struct index_builder *out,
                              uint8_t **out_index)
{
    const size_t lines_max = LOG_COMMIT_BYTES_MAX / INDEX_BUILDER_LINE_BYTES;
    const size_t lines = parts->index_count < lines_max ? parts->index_count + 1 : lines_max;
    const size_t capacity_bytes = lines * INDEX_BUILDER_LINE_BYTES;
    uint8_t *const index = malloc(capacity_bytes);
    if (index == NULL) { return STATUS_NO_MEMORY; }
    enum status status = index_builder_init(out, index, capacity_bytes);
    for (size_t i = 0; status == STATUS_OK && i < parts->index_count; i++) {
        if (!index_builder_takes(out, &parts->index[i])) { continue; }
        if (index_builder_bytes_max(out, 1) > capacity_bytes) { status = STATUS_FULL; }
        if (status == STATUS_OK) { index_builder_add(out, &parts->index[i]); }
    }
    if (status != STATUS_OK) {
        index_builder_deinit(out);
        free(index);
        return status;
    }
    index_builder_close(out);
    *out_index = index;
    return STATUS_OK;
}

static void entries_encode(const struct segment_footer_parts *parts,
                           const struct index_builder *index, uint8_t *commit, struct sink *sink)
{
    uint32_t line = 0;
    size_t begin = sink_used_bytes(sink);
    sink_bytes(sink, bytes_of(index->index, index->index_bytes));
    entry_close(commit, sink, begin, ENTRY_INDEX, 0, &line);
    begin = sink_used_bytes(sink);
    sink_bytes(sink, index_builder_anchors(index));
    entry_close(commit, sink, begin, ENTRY_ANCHORS, 0, &line);
    begin = sink_used_bytes(sink);
    topics_encode(parts, sink);
    entry_close(commit, sink, begin, ENTRY_TOPICS,
                parts->offsets_skipped ? ENTRY_FLAG_OFFSETS_SKIPPED : 0, &line);
    if (parts->log->totals_count == 0) { return; }
    begin = sink_used_bytes(sink);
    totals_encode(parts->log, sink);
    entry_close(commit, sink, begin, ENTRY_TOTALS, 0, &line);
}

static enum status footer_encode(struct segment_footer_parts *parts,
                                 const struct index_builder *index, uint8_t **out,
                                 uint32_t *out_crc32c)
{
    const struct log_resume *const log = parts->log;
    const uint32_t entry_count =
        log->totals_count > 0 ? FOOTER_ENTRIES_MAX : FOOTER_ENTRIES_MAX - 1;
    const size_t length_bytes =
        padded(commit_entries_position(entry_count) + topics_bytes(log) + index->index_bytes +
                   index_builder_anchors(index).len_bytes + log->totals_count * sizeof(uint64_t) +
                   FOOTER_ENTRIES_MAX * 8,
               LOG_BLOCK_BYTES);
    if (length_bytes > LOG_COMMIT_BYTES_MAX) { return STATUS_FULL; }
    uint8_t *const commit = aligned_alloc(LOG_BLOCK_BYTES, length_bytes);
    if (commit == NULL) { return STATUS_NO_MEMORY; }
    memset(commit, 0, length_bytes);

    struct sink sink = sink_into(commit, length_bytes);
    (void)sink_take(&sink, commit_entries_position(entry_count));
    entries_encode(parts, index, commit, &sink);
    assert(!sink.overflowed);

    parts->header.entry_count = entry_count;
    parts->header.length_bytes = (uint32_t)length_bytes;
    parts->header.flags = COMMIT_FLAG_FOOTER;
    *out_crc32c = commit_header_encode(&parts->header, commit);
    *out = commit;
    return STATUS_OK;
}

enum status segment_footer_encode(struct segment_footer_parts *parts, uint8_t **out,
                                  uint32_t *out_crc32c)
{
    struct index_builder index;
    uint8_t *index_memory;
    enum status status = index_make(parts, &index, &index_memory);
    if (status != STATUS_OK) { return status; }
    status = footer_encode(parts, &index, out, out_crc32c);
    index_builder_deinit(&index);
    free(index_memory);
    return status;
}
