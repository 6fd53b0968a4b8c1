/* topic_starts.h - where topics with a retention of their own begin: shared memory, not disk.
 *
 * Purpose  penstock-serve learns from it which records have expired although their segment stays.
 * File     `starts-PPPP` in the runtime directory; made at the first start, kept and reused by
 *          later ones. After a reboot it is worked out again from the log, which says the same
 *          (storage/topic_expiry.h).
 * Threads  One writer (retention's thread), any process reads. A start never goes back while the
 *          log lives; `generation` rises, with release, behind what changed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/log_format.h"
#include "wire/shared.h"

BEGIN_C_DECLS

struct topic_starts {
    uint8_t magic[8]; /* "PENSTSTR" */
    uint32_t version; /* SHARED_VERSION */
    uint32_t partition;
    struct log_id log_id; /* whose topics these are */
    SHARED_ATOMIC(uint64_t) generation;
    uint8_t padding[CACHE_PAIR_BYTES - 40];
    SHARED_ATOMIC(uint64_t) starts[LOG_TOPICS_MAX]; /* by the log's topic number; 0: no own start */
};
static_assert(sizeof(struct topic_starts) == CACHE_PAIR_BYTES + 8 * LOG_TOPICS_MAX, "packed");

enum { TOPIC_STARTS_NAME_BYTES = 32 };

/* "starts-0003" */
void topic_starts_file_name(uint32_t partition, char out[TOPIC_STARTS_NAME_BYTES]);

/* Fills the fixed part, no starts. A page of another log is made one of this. */
void topic_starts_init(struct topic_starts *page, uint32_t partition, struct log_id log_id);

/* STATUS_TRUNCATED, STATUS_CORRUPT, STATUS_UNSUPPORTED: as live_index_check. */
MUST_CHECK enum status topic_starts_check(const struct topic_starts *page, size_t size_bytes);

END_C_DECLS
