#include "storage/lane_walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"

enum {
    WINDOW_BYTES = 1 << 20,
    /* Commits up to this are read through: a device gives so much in the time of one more read. */
    SHORT_COMMIT_BYTES = 64 << 10,
    LONG_COMMIT_READ_BYTES = 16 << 10, /* a header, its directory, and what lanes it usually has */
};

static size_t whole_blocks(size_t bytes)
{
    return (bytes + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
}

static bool window_grow(struct lane_walk *walk, size_t bytes)
{
    if (bytes <= walk->window_capacity) { return true; }
    uint8_t *const grown = aligned_alloc(LOG_BLOCK_BYTES, bytes);
    if (grown == NULL) {
        walk->no_memory = true;
        return false;
    }
    free(walk->window);
    walk->window = grown;
    walk->window_capacity = bytes;
    return true;
}

/* [position, position + len_bytes) of the file, below `end`; position is whole blocks. */
static bool window_want(struct lane_walk *walk, uint64_t position, size_t len_bytes,
                        struct bytes *out)
{
    if (position > walk->end || len_bytes > walk->end - position) { return false; }
    const uint64_t begin = position - walk->window_position;
    const bool inside = position >= walk->window_position && begin <= walk->window_bytes &&
                        len_bytes <= walk->window_bytes - begin;
    if (!inside) {
        const size_t least = whole_blocks(len_bytes);
        size_t wanted = walk->short_commits ? WINDOW_BYTES : LONG_COMMIT_READ_BYTES;
        if (wanted < least) { wanted = least; }
        if (wanted > walk->end - position) { wanted = (size_t)(walk->end - position); }
        walk->window_bytes = 0;
        if (!window_grow(walk, wanted)) { return false; }
        enum status status = files_read(walk->files, walk->file, position, walk->window, wanted);
        if (status != STATUS_OK && wanted > least) {
            wanted = least; /* reading ahead met a bad sector */
            status = files_read(walk->files, walk->file, position, walk->window, wanted);
        }
        if (status != STATUS_OK) { return false; }
        walk->window_position = position;
        walk->window_bytes = wanted;
    }
    *out = bytes_of(walk->window + (position - walk->window_position), len_bytes);
    return true;
}

/* The header at `position` with its whole directory. */
static bool header_load(struct lane_walk *walk, uint64_t position, struct bytes *bytes,
                        struct commit_header *out)
{
    if (!window_want(walk, position, LOG_BLOCK_BYTES, bytes)) { return false; }
    const enum status status = commit_header_decode(*bytes, out);
    if (status == STATUS_OK) { return true; }
    if (status != STATUS_TRUNCATED) { return false; }

    /* Not under a checksum yet: bounded by what a commit can have, and by the file. */
    const struct commit_header_wire *const wire = (const struct commit_header_wire *)bytes->at;
    const uint32_t entry_count = load_le32(wire->entry_count_le32);
    if (entry_count > LOG_COMMIT_BYTES_MAX / sizeof(struct entry_wire)) { return false; }
    const size_t directory_bytes = whole_blocks(commit_entries_position(entry_count));
    if (!window_want(walk, position, directory_bytes, bytes)) { return false; }
    return commit_header_decode(*bytes, out) == STATUS_OK;
}

static bool commit_load(struct lane_walk *walk, uint64_t position)
{
    struct bytes bytes;
    struct commit_header header;
    if (!header_load(walk, position, &bytes, &header)) { return false; }
    if (!log_id_equal(header.nonce, walk->nonce)) { return false; }
    if (!log_id_equal(header.log_id, walk->log_id)) { return false; }
    if (header.position != position) { return false; }
    if (header.length_bytes > walk->end - position) { return false; }
    if (header.number < walk->next_number) { return false; }

    walk->commit = header;
    walk->directory = bytes;
    walk->lanes = (struct entry){0};
    for (uint32_t i = 0; i < header.entry_count; i++) {
        const struct entry entry = entry_decode(bytes, i);
        if (entry.type != ENTRY_LANES) { continue; }
        walk->lanes = entry;
        break; /* one a commit */
    }
    return true;
}

static void step_over(struct lane_walk *walk)
{
    walk->position = walk->commit.position + walk->commit.length_bytes;
    walk->next_number = walk->commit.number + 1;
    walk->short_commits = walk->commit.length_bytes <= SHORT_COMMIT_BYTES;
}

bool lane_walk_next(struct lane_walk *walk)
{
    if (!commit_load(walk, walk->position)) { return false; }
    if (walk->commit.number != walk->next_number) { return false; }
    step_over(walk);
    return true;
}

bool lane_walk_resync(struct lane_walk *walk)
{
    walk->short_commits = true; /* reading through is what it does */
    for (uint64_t at = walk->position; at < walk->end && !walk->no_memory; at += LOG_BLOCK_BYTES) {
        if (!commit_load(walk, at)) { continue; }
        step_over(walk);
        return true;
    }
    return false;
}

enum status lane_walk_read(struct lane_walk *walk, const struct entry *entry, struct bytes *out)
{
    const uint64_t begin = walk->commit.position + entry->position;
    const uint64_t block = begin / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    struct bytes bytes;
    walk->directory = bytes_null();
    if (!window_want(walk, block, (size_t)(begin - block) + entry->length_bytes, &bytes)) {
        return walk->no_memory ? STATUS_NO_MEMORY : STATUS_IO;
    }
    *out = bytes_slice(bytes, (size_t)(begin - block), bytes.len_bytes);
    return crc32c(*out) == entry->crc32c ? STATUS_OK : STATUS_CORRUPT;
}

enum status lane_walk_entry(struct lane_walk *walk, struct bytes *out)
{
    if (walk->lanes.length_bytes == 0) { return STATUS_NOT_FOUND; }
    return lane_walk_read(walk, &walk->lanes, out);
}

void lane_walk_init(struct lane_walk *walk, struct files files, int file,
                    const struct chain_segment *segment)
{
    const uint64_t capacity = segment->header.capacity_bytes;
    *walk = (struct lane_walk){
        .files = files,
        .file = file,
        .log_id = segment->header.log_id,
        .nonce = segment->header.nonce,
        .end = segment->size_bytes / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES,
        .position = LOG_BLOCK_BYTES,
        .next_number = segment->header.first_commit_number,
    };
    if (segment->trailer_status == STATUS_OK) {
        walk->end = segment->trailer.footer_position + segment->trailer.footer_length_bytes;
    } else if (walk->end >= capacity) {
        walk->end = capacity - LOG_BLOCK_BYTES;
    }
}

void lane_walk_deinit(struct lane_walk *walk)
{
    free(walk->window);
    walk->window = NULL;
}
