#include "tests/fuzz/segment_files.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "wire/log_format.h"

enum { FILES_MAX = 4, FILE_BYTES_MAX = 256 * 1024 };

static void commit_mend(uint8_t *commit, size_t left_bytes)
{
    struct commit_header_wire *const wire = (struct commit_header_wire *)commit;
    const uint32_t length_bytes = load_le32(wire->length_bytes_le32);
    const uint32_t entry_count = load_le32(wire->entry_count_le32);
    if (entry_count > left_bytes / sizeof(struct entry_wire)) { return; }
    const size_t end = commit_entries_position(entry_count);
    if (end > left_bytes || length_bytes > left_bytes) { return; }
    for (uint32_t i = 0; i < entry_count; i++) {
        struct entry_wire *const entry = (struct entry_wire *)(commit + commit_entries_position(i));
        const uint32_t position = load_le32(entry->position_le32);
        const uint32_t bytes = load_le32(entry->length_bytes_le32);
        if (position > length_bytes || bytes > length_bytes - position) { continue; }
        store_le32(entry->crc32c_le32, crc32c(bytes_of(commit + position, bytes)));
    }
    store_le32(wire->crc32c_le32, crc32c(bytes_of(commit + 16, end - 16)));
}

/* Every checksum becomes right; the chain of commits too, where one begins each block. */
static void file_mend(uint8_t *file, size_t size_bytes)
{
    uint32_t previous_crc32c = 0;
    for (size_t at = 0; at + LOG_BLOCK_BYTES <= size_bytes; at += LOG_BLOCK_BYTES) {
        uint8_t *const block = file + at;
        if (memcmp(block, "PENSTSEG", 8) == 0) {
            struct segment_header_wire *const header = (struct segment_header_wire *)block;
            store_le32(header->crc32c_le32, crc32c(bytes_of(block + 16, sizeof *header - 16)));
            previous_crc32c = load_le32(header->predecessor_commit_crc32c_le32);
        } else if (memcmp(block, "PENSTEND", 8) == 0) {
            struct segment_trailer_wire *const trailer = (struct segment_trailer_wire *)block;
            store_le32(trailer->crc32c_le32, crc32c(bytes_of(block + 16, sizeof *trailer - 16)));
        } else if (memcmp(block, "PENSTCMT", 8) == 0) {
            struct commit_header_wire *const commit = (struct commit_header_wire *)block;
            store_le32(commit->previous_crc32c_le32, previous_crc32c);
            commit_mend(block, size_bytes - at);
            previous_crc32c = load_le32(commit->crc32c_le32);
        }
    }
}

static void file_make(struct sim_disk *disk, uint64_t number, const uint8_t *at, size_t len_bytes,
                      int mend)
{
    const size_t whole_bytes =
        (len_bytes + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    char name[LOG_NAME_BYTES];
    int file;
    log_segment_name(0, number, name);
    if (whole_bytes == 0) { return; }
    if (files_create(sim_disk_files(disk), name, whole_bytes, &file) != STATUS_OK) { return; }
    files_close(sim_disk_files(disk), file);
    uint64_t size_bytes;
    uint8_t *const bytes = sim_disk_bytes(disk, name, &size_bytes);
    memcpy(bytes, at, len_bytes);
    if (mend) { file_mend(bytes, size_bytes); }
}

struct sim_disk *segment_files_make(struct bytes input)
{
    if (input.len_bytes < 1) { return NULL; }
    const int mend = input.at[0] & 1;
    const size_t files = (size_t)(input.at[0] >> 1) % FILES_MAX + 1;
    const uint8_t *const at = input.at + 1;
    size_t len_bytes = input.len_bytes - 1;
    if (len_bytes > FILES_MAX * FILE_BYTES_MAX) { len_bytes = FILES_MAX * FILE_BYTES_MAX; }

    const struct sim_disk_options options = {.seed = 1};
    struct sim_disk *const disk = sim_disk_create(&options);
    const size_t share = len_bytes / files / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    for (size_t i = 0; i < files; i++) {
        const size_t begin = i * share;
        const size_t bytes = i + 1 == files ? len_bytes - begin : share;
        file_make(disk, i + 1, at + begin, bytes, mend);
    }
    return disk;
}
