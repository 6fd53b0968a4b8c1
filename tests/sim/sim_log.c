#include "tests/sim/sim_log.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "storage/disk.h"
#include "storage/reader.h"
#include "wire/record_codec.h"

enum { INDEX_CACHE_BYTES = 1 << 20 };

struct log_visit {
    struct reader *reader;
    sim_log_on_record *visit;
    void *context;
    struct sim_log_place place;
    uint64_t *unreadable; /* NULL: the first one ends the visit */
};

static enum status visit_batch(const struct log_visit *log, struct bytes batch)
{
    struct record_batch_header header;
    enum status status = record_batch_header_decode(batch, &header);
    if (status != STATUS_OK) { return status; }
    if (!record_batch_crc_holds(batch)) { return STATUS_CORRUPT; }

    struct record_batch_walk walk;
    struct record_batch_record record;
    uint8_t *unpacked;
    status = record_codec_walk_begin(&walk, batch, &header, &unpacked);
    if (status != STATUS_OK) { return status; }
    while ((status = record_batch_next(&walk, &record)) == STATUS_OK) {
        log->visit(log->context, &log->place, &record);
    }
    free(unpacked);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status read_batch(const struct log_visit *log, const struct batch_location *location)
{
    const size_t scratch_bytes =
        (reader_cold_bytes(location) + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    uint8_t *const scratch = aligned_alloc(DISK_BLOCK_BYTES, scratch_bytes);
    assert(scratch != NULL);
    const uint8_t *batch;
    enum status status = reader_read_cold(log->reader, location, scratch, &batch);
    if (status == STATUS_OK) { status = visit_batch(log, bytes_of(batch, location->length_bytes)); }
    free(scratch);
    return status;
}

static enum status read_partition(struct log_visit *log, size_t topic)
{
    struct reader_watermarks marks;
    reader_watermarks(log->reader, topic, log->place.partition, &marks);
    for (uint64_t offset = marks.log_start; offset < marks.high_watermark;) {
        struct batch_location location;
        enum status status =
            reader_find_offset(log->reader, topic, log->place.partition, offset, &location);
        /* The newest offsets can be skipped ones, which nobody wrote. */
        if (status == STATUS_NOT_FOUND) { return STATUS_OK; }
        if (status == STATUS_OK) {
            log->place.segment_number = location.segment_number;
            status = read_batch(log, &location);
            if (status == STATUS_CORRUPT && log->unreadable != NULL) {
                (*log->unreadable)++;
                status = STATUS_OK;
            }
        }
        if (status != STATUS_OK) { return status; }
        assert(location.next_offset > offset);
        offset = location.next_offset;
    }
    return STATUS_OK;
}

static enum status read_log(struct files files, struct log_visit log)
{
    enum status status = reader_create_over(files, "/nonexistent", INDEX_CACHE_BYTES, &log.reader);
    if (status != STATUS_OK) { return status; }
    (void)reader_refresh(log.reader, NS_PER_S);

    for (size_t topic = 0; status == STATUS_OK && topic < reader_topic_count(log.reader); topic++) {
        log.place.topic = reader_topic_name(log.reader, topic);
        log.place.partition = 0;
        for (; status == STATUS_OK && log.place.partition < reader_partition_count(log.reader);
             log.place.partition++) {
            status = read_partition(&log, topic);
        }
    }
    reader_destroy(log.reader);
    return status;
}

enum status sim_log_read(struct files files, sim_log_on_record *visit, void *context)
{
    return read_log(files, (struct log_visit){.visit = visit, .context = context});
}

enum status sim_log_read_around(struct files files, sim_log_on_record *visit, void *context,
                                uint64_t *out_unreadable)
{
    *out_unreadable = 0;
    return read_log(files, (struct log_visit){
                               .visit = visit, .context = context, .unreadable = out_unreadable});
}
