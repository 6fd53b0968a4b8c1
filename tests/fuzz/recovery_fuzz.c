/* recovery_fuzz.c - arbitrary bytes as the segment files of a log, through recovery and a reader.
 *
 * Byte 0 of the input says: bit 0, mend the checksums of headers, commits and trailers first, so
 * that the bytes get behind them; bits 1-2, how many files. The rest is split among the files.
 * Holds if nothing crashes or hangs, a second recovery finds what the first one left, the fates of
 * every lane are those of exactly the sequences that are not confirmed, and whatever the reader
 * finds lies where it says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "storage/lane_recovery.h"
#include "storage/reader.h"
#include "storage/recovery.h"
#include "tests/sim/sim_disk.h"
#include "wire/index_chunk.h"
#include "wire/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

enum {
    FILES_MAX = 4,
    FILE_BYTES_MAX = 256 * 1024,
    LOOKUPS_MAX = 64,
};

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

static void topic_read(struct reader *reader, size_t topic)
{
    struct reader_watermarks marks;
    reader_watermarks(reader, topic, 0, &marks);
    uint64_t offset = marks.log_start;
    for (int i = 0; i < LOOKUPS_MAX; i++) {
        struct batch_location found;
        if (reader_find_offset(reader, topic, 0, offset, &found) != STATUS_OK) { break; }
        if (found.next_offset <= offset) { abort(); } /* a consumer would loop */
        const size_t blocks = reader_cold_bytes(&found) / LOG_BLOCK_BYTES + 1;
        uint8_t *const scratch = aligned_alloc(LOG_BLOCK_BYTES, blocks * LOG_BLOCK_BYTES);
        const uint8_t *bytes;
        if (scratch == NULL) { abort(); }
        if (reader_read_cold(reader, &found, scratch, &bytes) == STATUS_OK &&
            index_check(crc32c(bytes_of(bytes, found.length_bytes))) != found.check) {
            abort();
        }
        free(scratch);
        offset = found.next_offset;
    }
    struct batch_location found;
    if (reader_find_timestamp(reader, topic, 0, 1000, &found) == STATUS_OK &&
        found.max_timestamp_ms < 1000) {
        abort();
    }
    (void)reader_available_bytes(reader, topic, 0, marks.log_start + 1, 1 << 20);
}

static void read_all(struct sim_disk *disk)
{
    struct reader *reader = NULL;
    if (reader_create_over(sim_disk_files(disk), "/nonexistent", 1 << 12, &reader) != STATUS_OK) {
        abort();
    }
    (void)reader_refresh(reader, 1);
    for (size_t i = 0; i < reader_topic_count(reader); i++) { topic_read(reader, i); }
    reader_destroy(reader);
}

static void lanes_recover(struct sim_disk *disk, struct log_resume *resume)
{
    struct lane_resume_set lanes = {0};
    if (lane_recovery_run(sim_disk_files(disk), 0, NULL, resume, &lanes) != STATUS_OK) { abort(); }
    for (size_t i = 0; i < lanes.count; i++) {
        const struct lane_resume *const lane = &lanes.lanes[i];
        uint64_t sequence = lane->state.confirmed;
        for (size_t run = 0; run < lane->run_count; run++) {
            if (lane->runs[run].count == 0) { abort(); }
            sequence += lane->runs[run].count;
        }
        if (sequence != lane->state.last_sequence) { abort(); }
        if (lane_resume_set_find(&lanes, &lane->state.key) != lane) { abort(); }
    }
    lane_resume_set_deinit(&lanes);
}

static void recover_twice(struct sim_disk *disk)
{
    struct log_resume *const first = calloc(1, sizeof *first);
    struct log_resume *const second = calloc(1, sizeof *second);
    if (first == NULL || second == NULL) { abort(); }
    const enum status status = recovery_run(sim_disk_files(disk), 0, NULL, NULL, first);
    if (status == STATUS_OK) { lanes_recover(disk, first); }
    if (recovery_run(sim_disk_files(disk), 0, NULL, NULL, second) == STATUS_OK &&
        status == STATUS_OK) {
        if (second->topic_count < first->topic_count) { abort(); }
        for (uint32_t i = 0; i < first->topic_count; i++) {
            if (second->topics[i].next_offset < first->topics[i].next_offset) { abort(); }
        }
    }
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    if (len_bytes < 1) { return 0; }
    const int mend = at[0] & 1;
    const size_t files = (size_t)(at[0] >> 1) % FILES_MAX + 1;
    at++;
    len_bytes--;
    if (len_bytes > FILES_MAX * FILE_BYTES_MAX) { len_bytes = FILES_MAX * FILE_BYTES_MAX; }

    const struct sim_disk_options options = {.seed = 1};
    struct sim_disk *const disk = sim_disk_create(&options);
    const size_t share = len_bytes / files / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    for (size_t i = 0; i < files; i++) {
        const size_t begin = i * share;
        const size_t bytes = i + 1 == files ? len_bytes - begin : share;
        file_make(disk, i + 1, at + begin, bytes, mend);
    }
    read_all(disk); /* as a crash left it */
    recover_twice(disk);
    read_all(disk);
    sim_disk_destroy(disk);
    return 0;
}
