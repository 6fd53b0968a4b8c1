/* Bare storing: each byte that is kept is copied once and summed once. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "bench/limits/limits.h"

enum {
    BUFFER_BYTES = 1 << 20,
    POOL_BYTES = 64 << 20,
    SUM_STEP_BYTES = 16384, /* summed while the core's own cache still has them */
};

enum status limit_copy_init(struct limit_copy *copy)
{
    memset(copy, 0, sizeof *copy);
    copy->pool = aligned_alloc(4096, POOL_BYTES);
    if (copy->pool == NULL) { return STATUS_NO_MEMORY; }
    memset(copy->pool, 0, POOL_BYTES); /* every page there before the first round */
    return STATUS_OK;
}

void limit_copy_deinit(struct limit_copy *copy)
{
    free(copy->pool);
    copy->pool = NULL;
}

static void sum_up_to(struct limit_copy *copy, size_t position)
{
    copy->crc =
        crc32c_extend(copy->crc, bytes_of(copy->pool + copy->summed, position - copy->summed));
    copy->summed = position;
}

static void next_buffer(struct limit_copy *copy)
{
    sum_up_to(copy, copy->position);
    copy->buffers_crc ^= copy->crc;
    copy->crc = 0;
    copy->position = (copy->position / BUFFER_BYTES + 1) * BUFFER_BYTES % POOL_BYTES;
    copy->summed = copy->position;
}

void limit_copy_records(struct limit_copy *copy, const struct limit_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct bytes stored = records[i].stored;
        if (copy->position % BUFFER_BYTES + stored.len_bytes >= BUFFER_BYTES) { next_buffer(copy); }
        memcpy(copy->pool + copy->position, stored.at, stored.len_bytes);
        copy->position += stored.len_bytes;
        if (copy->position - copy->summed >= SUM_STEP_BYTES) { sum_up_to(copy, copy->position); }
    }
}
