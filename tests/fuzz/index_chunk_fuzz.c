/* index_chunk_fuzz.c - whatever is taken for an index, on disk or in shared memory, comes to an
 * end, stays within its bounds, and means the same when it is written again. The first byte
 * chooses. */
#include <stdlib.h>
#include <string.h>

#include "wire/index_chunk.h"
#include "wire/live_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void check_entry(const struct index_entry *entry)
{
    assert(entry->record_count > 0);
    assert(entry->base_offset <= (uint64_t)INT64_MAX - entry->record_count);
    assert(entry->length_bytes > 0 && entry->length_bytes <= LOG_COMMIT_BYTES_MAX);
    assert(entry->position % INDEX_POSITION_UNIT_BYTES == 0 && entry->position <= INT64_MAX);
}

static void check_chunk(struct bytes bytes)
{
    struct index_state state = {0};
    struct index_state again = {0};
    struct cursor in = cursor_over(bytes);
    struct index_entry entry = {0};
    while (index_line_decode(&state, &in, &entry) == STATUS_OK) {
        check_entry(&entry);
        uint8_t line[INDEX_LINE_BYTES_MAX];
        struct sink out = sink_into(line, sizeof line);
        struct index_state before = again;
        index_line_encode(&again, &entry, &out);
        assert(!out.overflowed);
        struct cursor back = cursor_over(sink_written(&out));
        struct index_entry same = {.topic = entry.topic};
        assert(index_line_decode(&before, &back, &same) == STATUS_OK);
        assert(cursor_left_bytes(&back) == 0);
        assert(memcmp(&same, &entry, sizeof same) == 0);
    }
}

static void check_anchors(struct bytes bytes)
{
    const size_t count = bytes.len_bytes / sizeof(struct index_anchor_wire);
    for (size_t i = 0; i < count; i++) {
        struct index_anchor_wire wire;
        struct index_anchor anchor;
        memcpy(&wire, bytes.at + i * sizeof wire, sizeof wire);
        if (index_anchor_decode(&wire, 4096, &anchor) != STATUS_OK) { continue; }
        assert(anchor.topic >= 0 && anchor.topic < LOG_TOPICS_MAX);
        assert((uint64_t)anchor.position + anchor.length_bytes <= 4096);
        assert(anchor.base_offset < anchor.next_offset);
        struct index_anchor_wire again;
        index_anchor_encode(&anchor, &again);
        memset(wire.reserved, 0, sizeof wire.reserved);
        assert(memcmp(&again, &wire, sizeof wire) == 0);
    }
}

static void check_live(struct bytes bytes)
{
    const uint32_t capacity_bytes = (uint32_t)bytes.len_bytes;
    /* Exactly as large as it may be read: the sanitizer sees a byte too many. */
    const size_t file_bytes = live_index_file_bytes(capacity_bytes);
    struct live_index_header *const index = malloc(file_bytes);
    struct live_index_reader *const reader = calloc(1, sizeof *reader);
    assert(index != NULL && reader != NULL);
    memset(index, 0, file_bytes - capacity_bytes);
    live_index_init(index, capacity_bytes);
    if (capacity_bytes > 0) { memcpy(live_index_groups(index), bytes.at, capacity_bytes); }
    index->published_bytes = UINT64_MAX;

    struct live_index_line line;
    size_t lines = 0;
    while (live_index_next(reader, index, capacity_bytes, &line) == STATUS_OK) {
        check_entry(&line.entry);
        assert(line.entry.topic >= 0 && line.entry.topic < LOG_TOPICS_MAX);
        lines++;
    }
    assert(lines <= capacity_bytes / INDEX_LINE_BYTES_MIN + 1);
    free(reader);
    free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    if (len_bytes == 0 || len_bytes > 65536) { return 0; }
    const struct bytes rest = bytes_of(at + 1, len_bytes - 1);
    switch (at[0] % 3) {
    case 0: check_chunk(rest); break;
    case 1: check_anchors(rest); break;
    default: check_live(rest); break;
    }
    return 0;
}
