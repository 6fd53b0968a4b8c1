#include "storage/segment_footer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/sink.h"

enum { FOOTER_ENTRIES_MAX = 3 }; /* topics, index, totals */

enum status segment_footer_open(struct bytes commit, const struct commit_header *header,
                                struct segment_footer *out)
{
    bool topics_seen = false;
    bool index_seen = false;
    *out = (struct segment_footer){0};
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const struct entry entry = entry_decode(commit, i);
        struct bytes bytes;
        const enum status status = entry_bytes(commit, &entry, &bytes);
        if (status != STATUS_OK) { return status; }
        switch (entry.type) {
        case ENTRY_TOPICS:
            out->topics = bytes;
            out->offsets_skipped = (entry.flags & ENTRY_FLAG_OFFSETS_SKIPPED) != 0;
            topics_seen = true;
            break;
        case ENTRY_INDEX:
            out->index = bytes;
            index_seen = true;
            break;
        case ENTRY_TOTALS: out->totals = bytes; break;
        default: break; /* of a later minor addition: not ours to judge */
        }
    }
    return topics_seen && index_seen ? STATUS_OK : STATUS_CORRUPT;
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

enum status segment_footer_encode(struct segment_footer_parts *parts, uint8_t **out,
                                  uint32_t *out_crc32c)
{
    const struct log_resume *const log = parts->log;
    const uint32_t entry_count =
        log->totals_count > 0 ? FOOTER_ENTRIES_MAX : FOOTER_ENTRIES_MAX - 1;
    const size_t index_bytes = parts->index_count * sizeof(struct index_entry_wire);
    if (parts->index_count > LOG_COMMIT_BYTES_MAX / sizeof(struct index_entry_wire)) {
        return STATUS_FULL;
    }
    const size_t length_bytes =
        padded(commit_entries_position(entry_count) + topics_bytes(log) + index_bytes +
                   log->totals_count * sizeof(uint64_t) + FOOTER_ENTRIES_MAX * 8,
               LOG_BLOCK_BYTES);
    if (length_bytes > LOG_COMMIT_BYTES_MAX) { return STATUS_FULL; }
    uint8_t *const commit = aligned_alloc(LOG_BLOCK_BYTES, length_bytes);
    if (commit == NULL) { return STATUS_NO_MEMORY; }
    memset(commit, 0, length_bytes);

    struct sink sink = sink_into(commit, length_bytes);
    uint32_t line = 0;
    (void)sink_take(&sink, commit_entries_position(entry_count));
    size_t begin = sink_used_bytes(&sink);
    topics_encode(parts, &sink);
    entry_close(commit, &sink, begin, ENTRY_TOPICS,
                parts->offsets_skipped ? ENTRY_FLAG_OFFSETS_SKIPPED : 0, &line);
    begin = sink_used_bytes(&sink);
    if (index_bytes > 0) { sink_bytes(&sink, bytes_of(parts->index, index_bytes)); }
    entry_close(commit, &sink, begin, ENTRY_INDEX, 0, &line);
    if (log->totals_count > 0) {
        begin = sink_used_bytes(&sink);
        totals_encode(log, &sink);
        entry_close(commit, &sink, begin, ENTRY_TOTALS, 0, &line);
    }
    assert(!sink.overflowed);
    assert(line == entry_count);

    parts->header.entry_count = entry_count;
    parts->header.length_bytes = (uint32_t)length_bytes;
    parts->header.flags = COMMIT_FLAG_FOOTER;
    *out_crc32c = commit_header_encode(&parts->header, commit);
    *out = commit;
    return STATUS_OK;
}
