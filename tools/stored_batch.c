#include "tools/stored_batch.h"

#include <stdlib.h>

#include "wire/record_codec.h"

const char *stored_batch_open(struct stored_batch *batch, struct bytes bytes, uint64_t base_offset,
                              uint32_t record_count)
{
    const enum status status = record_batch_header_decode(bytes, &batch->header);
    if (status == STATUS_UNSUPPORTED) { return "batch of a kind that this build cannot read"; }
    if (status != STATUS_OK) { return "no RecordBatch"; }
    if ((size_t)batch->header.length_bytes != bytes.len_bytes) { return "batch length"; }
    if (!record_batch_crc_holds(bytes)) { return "batch checksum"; }
    if ((uint64_t)batch->header.base_offset != base_offset) { return "batch base offset"; }
    if (batch->header.record_count < 0 || (uint32_t)batch->header.record_count != record_count) {
        return "batch record count";
    }
    switch (record_codec_walk_begin(&batch->walk, bytes, &batch->header, &batch->unpacked)) {
    case STATUS_OK: return NULL;
    case STATUS_NO_MEMORY: return "no memory to unpack it";
    default: return "compressed records";
    }
}

void stored_batch_close(struct stored_batch *batch)
{
    free(batch->unpacked);
    batch->unpacked = NULL;
}

static const char *record_fault(struct record_batch_record *record,
                                const struct stored_batch *batch, uint64_t offset)
{
    struct bytes name;
    struct bytes value;
    enum status status;
    if ((uint64_t)record->offset != offset) { return "record offset"; }
    if (record->timestamp_ms > batch->header.max_timestamp_ms) { return "record timestamp"; }
    while ((status = record_batch_next_header(record, &name, &value)) == STATUS_OK) {}
    return status == STATUS_NOT_FOUND ? NULL : "record headers";
}

const char *stored_batch_fault(struct bytes bytes, uint64_t base_offset, uint32_t record_count)
{
    struct stored_batch batch;
    struct record_batch_record record;
    const char *fault = stored_batch_open(&batch, bytes, base_offset, record_count);
    if (fault != NULL) { return fault; }
    uint64_t offset = base_offset;
    enum status status = STATUS_OK;
    while (fault == NULL && (status = stored_batch_next(&batch, &record)) == STATUS_OK) {
        fault = record_fault(&record, &batch, offset++);
    }
    stored_batch_close(&batch);
    if (fault == NULL && status != STATUS_NOT_FOUND) { return "records"; }
    if (fault == NULL && offset - base_offset != record_count) { return "records"; }
    return fault;
}

bool stored_batch_is_of_line(struct bytes bytes, const struct index_entry *line,
                             int64_t leader_epoch)
{
    uint32_t crc;
    return record_batch_is_whole(bytes, line->base_offset, leader_epoch, &crc) &&
           index_check(crc) == line->check;
}
