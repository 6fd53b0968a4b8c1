/* live_index.h - what is in the open segment and already durable: shared memory, not disk.
 *
 * Purpose  penstock-serve learns from it, without a system call or a word with ingest, which
 *          batches of the open segment exist, where they stand on disk and in the commit ring.
 * Life     One file a segment, `index-PPPP-NNNNNNNNNNNNNNNN` in the runtime directory, made by a
 *          helper thread ahead of need, at full size before it gets its name, never truncated.
 *          Removed some time after its segment is sealed: the footer on disk has the same entries.
 * Threads  One worker writes, any process reads. entry_count and topic_count are published with
 *          release after what they count; readers load them with acquire. What is counted never
 *          changes again. An entry is counted only when its commit, and every one before it, is
 *          durable: the index cannot name a record that a crash could take back (contract C3).
 * Layout   header (4096 bytes) | topics (LIVE_INDEX_TOPICS_BYTES) | entries */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/log_format.h"
#include "wire/shared.h"

BEGIN_C_DECLS

enum live_index_state {
    LIVE_INDEX_PREPARED, /* made ahead; its segment is not open yet */
    LIVE_INDEX_OPEN,
    LIVE_INDEX_SEALED, /* footer and trailer are durable: the file on disk says it all */
    LIVE_INDEX_FAILED, /* a write was refused; what is counted here stays valid */
};

struct live_index_topic {
    int32_t topic;
    uint32_t name_bytes;
    uint64_t base_offset; /* next offset when the segment was opened (or the topic declared) */
    struct log_id topic_id;
    char name[LOG_TOPIC_NAME_BYTES_MAX + 7]; /* zero-terminated */
};

struct live_index_entry {
    struct index_entry_wire index;
    uint64_t ring_position; /* of the entry's bytes in the commit ring (commit_ring.h) */
    uint64_t durable_ns;    /* CLOCK_MONOTONIC when it was published */
};
static_assert(sizeof(struct live_index_entry) == 64, "one cache line");

struct live_index_header {
    uint8_t magic[8]; /* "PENSTIDX" */
    uint32_t version; /* SHARED_VERSION */
    uint32_t entry_capacity;
    struct log_id log_id;
    struct log_id nonce;
    uint64_t segment_number;
    uint64_t incarnation;
    uint32_t partition;
    uint32_t leader_epoch;
    uint64_t first_commit_number;
    uint8_t padding_fixed[CACHE_PAIR_BYTES - 80];
    SHARED_ATOMIC(uint64_t) entry_count;
    SHARED_ATOMIC(uint32_t) topic_count;
    SHARED_ATOMIC(uint32_t) state; /* enum live_index_state */
    uint8_t padding[4096 - CACHE_PAIR_BYTES - 16];
};
static_assert(sizeof(struct live_index_header) == 4096, "one page");

enum {
    LIVE_INDEX_TOPICS_BYTES =
        (LOG_TOPICS_MAX * (int)sizeof(struct live_index_topic) + 4095) / 4096 * 4096,
    LIVE_INDEX_NAME_BYTES = 64,
};

static inline size_t live_index_file_bytes(uint32_t entry_capacity)
{
    return sizeof(struct live_index_header) + LIVE_INDEX_TOPICS_BYTES +
           (size_t)entry_capacity * sizeof(struct live_index_entry);
}

static inline struct live_index_topic *live_index_topics(const struct live_index_header *index)
{
    return (struct live_index_topic *)((uintptr_t)index + sizeof *index);
}

static inline struct live_index_entry *live_index_entries(const struct live_index_header *index)
{
    return (struct live_index_entry *)((uintptr_t)index + sizeof *index + LIVE_INDEX_TOPICS_BYTES);
}

/* "index-0003-0000000000000017" */
void live_index_file_name(uint32_t partition, uint64_t segment_number,
                          char out[LIVE_INDEX_NAME_BYTES]);

/* Fills the fixed part of a zeroed mapping; state PREPARED. The maker's thread. */
void live_index_init(struct live_index_header *index, uint32_t entry_capacity);

/* Whether a mapping of `size_bytes` is a live index that this build can read: STATUS_TRUNCATED,
 * STATUS_CORRUPT, STATUS_UNSUPPORTED. Readers call it before anything else. */
MUST_CHECK enum status live_index_check(const struct live_index_header *index, size_t size_bytes);

END_C_DECLS
