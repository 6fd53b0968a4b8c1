/* record_batch_fuzz.c - walks whatever the batch decoder accepts; every slice must lie inside. */
#include "wire/record_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void check_inside(struct bytes whole, struct bytes part)
{
    if (bytes_are_null(part)) { return; }
    assert(part.at >= whole.at);
    assert(part.len_bytes <= (size_t)(whole.at + whole.len_bytes - part.at));
}

static void walk_headers(struct bytes batch, struct record_batch_record *record)
{
    struct bytes name;
    struct bytes value;
    while (record_batch_next_header(record, &name, &value) == STATUS_OK) {
        check_inside(batch, name);
        check_inside(batch, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    const struct bytes input = bytes_of(at, len_bytes);
    (void)record_batch_crc_holds(input);
    struct record_batch_header header;
    if (len_bytes == 0 || record_batch_header_decode(input, &header) != STATUS_OK) { return 0; }

    const struct bytes batch = bytes_slice(input, 0, (size_t)header.length_bytes);
    struct record_batch_walk walk;
    record_batch_walk_begin(&walk, batch, &header);
    struct record_batch_record record;
    int64_t previous_offset = header.base_offset - 1;
    while (record_batch_next(&walk, &record) == STATUS_OK) {
        check_inside(batch, record.key);
        check_inside(batch, record.value);
        check_inside(batch, record.headers);
        assert(record.offset > previous_offset);
        assert(record.offset <= header.base_offset + header.last_offset_delta);
        previous_offset = record.offset;
        walk_headers(batch, &record);
    }
    return 0;
}
