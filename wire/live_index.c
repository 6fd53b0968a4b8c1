#include "wire/live_index.h"

#include <stdio.h>
#include <string.h>

static const char live_index_magic[8] = {'P', 'E', 'N', 'S', 'T', 'I', 'D', 'X'};

void live_index_file_name(uint32_t partition, uint64_t segment_number,
                          char out[LIVE_INDEX_NAME_BYTES])
{
    snprintf(out, LIVE_INDEX_NAME_BYTES, "index-%04u-%016llx", partition,
             (unsigned long long)segment_number);
}

void live_index_init(struct live_index_header *index, uint32_t entry_capacity)
{
    memcpy(index->magic, live_index_magic, sizeof index->magic);
    index->version = SHARED_VERSION;
    index->entry_capacity = entry_capacity;
    atomic_store_explicit(&index->state, LIVE_INDEX_PREPARED, memory_order_release);
}

enum status live_index_check(const struct live_index_header *index, size_t size_bytes)
{
    if (size_bytes < sizeof *index) { return STATUS_TRUNCATED; }
    if (memcmp(index->magic, live_index_magic, sizeof index->magic) != 0) { return STATUS_CORRUPT; }
    if (index->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    if (size_bytes < live_index_file_bytes(index->entry_capacity)) { return STATUS_TRUNCATED; }
    return STATUS_OK;
}
