#include "wire/topic_starts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char starts_magic[8] = {'P', 'E', 'N', 'S', 'T', 'S', 'T', 'R'};

void topic_starts_file_name(uint32_t partition, char out[TOPIC_STARTS_NAME_BYTES])
{
    snprintf(out, TOPIC_STARTS_NAME_BYTES, "starts-%04u", partition);
}

void topic_starts_init(struct topic_starts *page, uint32_t partition, struct log_id log_id)
{
    memcpy(page->magic, starts_magic, sizeof page->magic);
    page->version = SHARED_VERSION;
    page->partition = partition;
    page->log_id = log_id;
    for (size_t i = 0; i < LOG_TOPICS_MAX; i++) {
        atomic_store_explicit(&page->starts[i], 0, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&page->generation, 1, memory_order_release);
}

enum status topic_starts_check(const struct topic_starts *page, size_t size_bytes)
{
    if (size_bytes < sizeof *page) { return STATUS_TRUNCATED; }
    if (memcmp(page->magic, starts_magic, sizeof page->magic) != 0) { return STATUS_CORRUPT; }
    if (page->version != SHARED_VERSION) { return STATUS_UNSUPPORTED; }
    return STATUS_OK;
}
