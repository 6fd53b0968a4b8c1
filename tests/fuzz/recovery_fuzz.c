/* recovery_fuzz.c - arbitrary bytes as the segment files of a log (segment_files.h), through
 * recovery and a reader.
 *
 * Holds if nothing crashes or hangs, a second recovery finds what the first one left, the fates of
 * every lane are those of exactly the sequences that are not confirmed, and whatever the reader
 * finds lies where it says. */
#include <stdint.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "storage/lane_recovery.h"
#include "storage/reader.h"
#include "storage/recovery.h"
#include "tests/fuzz/segment_files.h"
#include "wire/index_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

enum { LOOKUPS_MAX = 64 };

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
    struct sim_disk *const disk = segment_files_make(bytes_of(at, len_bytes));
    if (disk == NULL) { return 0; }
    read_all(disk); /* as a crash left it */
    recover_twice(disk);
    read_all(disk);
    sim_disk_destroy(disk);
    return 0;
}
