#include "storage/log_commit.h"

#include <assert.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"

enum { ENTRY_ALIGNMENT_BYTES = 8 };

static void draft_check(const struct commit_draft *draft)
{
    assert(draft->entry_count <= draft->entry_capacity);
    assert(draft->used_bytes <= draft->capacity_bytes);
    assert(draft->used_bytes % ENTRY_ALIGNMENT_BYTES == 0);
    assert(draft->used_bytes >= commit_entries_position(draft->entry_count));
}

void log_commit_begin(struct commit_draft *draft, uint8_t *at, size_t capacity_bytes,
                      uint32_t line_count)
{
    *draft = (struct commit_draft){
        .at = at,
        .capacity_bytes = capacity_bytes,
        .entry_capacity = line_count,
        .used_bytes = commit_entries_position(line_count),
    };
    draft_check(draft);
}

void log_commit_add(struct commit_draft *draft, struct entry entry)
{
    draft_check(draft);
    assert(draft->entry_count < draft->entry_capacity);
    assert(entry.length_bytes <= draft->capacity_bytes - draft->used_bytes);

    entry.position = (uint32_t)draft->used_bytes;
    entry_encode(&entry, draft->at, draft->entry_count++);

    const size_t end = draft->used_bytes + entry.length_bytes;
    const size_t next = log_align_bytes(end, ENTRY_ALIGNMENT_BYTES);
    assert(next <= draft->capacity_bytes);
    memset(draft->at + end, 0, next - end);
    draft->used_bytes = next;
}

void log_commit_add_totals(struct commit_draft *draft, const uint64_t *totals)
{
    assert(draft->capacity_bytes - draft->used_bytes >= LOG_COMMIT_TOTALS_BYTES);
    uint8_t *const at = draft->at + draft->used_bytes;
    for (size_t i = 0; i < STATS_COUNTER_COUNT; i++) { store_le64(at + 8 * i, totals[i]); }
    log_commit_add(draft, (struct entry){
                              .type = ENTRY_TOTALS,
                              .topic = LOG_NO_TOPIC,
                              .length_bytes = LOG_COMMIT_TOTALS_BYTES,
                              .crc32c = crc32c(bytes_of(at, LOG_COMMIT_TOTALS_BYTES)),
                          });
}

void log_commit_add_topics(struct commit_draft *draft, const struct topic_table *table,
                           const uint64_t *base_offsets, const uint64_t *next_offsets)
{
    struct sink out =
        sink_into(draft->at + draft->used_bytes, draft->capacity_bytes - draft->used_bytes);
    topic_table_encode(table, base_offsets, next_offsets, &out);
    assert(!out.overflowed);
    log_commit_add(draft, (struct entry){
                              .type = ENTRY_TOPICS,
                              .topic = LOG_NO_TOPIC,
                              .length_bytes = (uint32_t)sink_used_bytes(&out),
                              .crc32c = crc32c(sink_written(&out)),
                          });
}

void log_commit_close(struct commit_draft *draft, struct commit_header *header)
{
    draft_check(draft);
    const size_t length_bytes = log_align_bytes(draft->used_bytes, LOG_BLOCK_BYTES);
    assert(length_bytes <= draft->capacity_bytes);
    memset(draft->at + draft->used_bytes, 0, length_bytes - draft->used_bytes);

    const size_t lines_end = commit_entries_position(draft->entry_count);
    const size_t lines_reserved_end = commit_entries_position(draft->entry_capacity);
    memset(draft->at + lines_end, 0, lines_reserved_end - lines_end);

    header->entry_count = draft->entry_count;
    header->length_bytes = (uint32_t)length_bytes;
    header->crc32c = commit_header_encode(header, draft->at);
}

void log_commit_encode_again(struct log_commit *commit)
{
    assert(commit->write != LOG_WRITE_OUT);
    commit->header.crc32c = commit_header_encode(&commit->header, commit->at);
}

struct commit_draft log_commit_reopen(const struct log_commit *commit, uint8_t *at,
                                      size_t capacity_bytes)
{
    struct commit_draft draft = {
        .at = at,
        .ring_position = commit->ring_position,
        .capacity_bytes = capacity_bytes,
        .entry_count = commit->header.entry_count,
        .used_bytes = commit->header.length_bytes, /* padding is not told from entries: keep it */
    };
    /* The first entry begins where the reserved lines end; there is always one to spare. */
    const struct entry first = entry_decode(bytes_of(at, commit->header.length_bytes), 0);
    draft.entry_capacity =
        (uint32_t)((first.position - commit_entries_position(0)) / sizeof(struct entry_wire));
    assert(draft.entry_count < draft.entry_capacity);
    return draft;
}
