/* live_index.h - what is in the open segment and already durable: shared memory, not disk.
 *
 * Purpose  penstock-serve learns from it, without a system call or a word with ingest, which
 *          batches of the open segment exist, where they stand on disk and in the commit ring.
 * Life     One file a segment, `index-PPPP-NNNNNNNNNNNNNNNN` in the runtime directory, made by a
 *          helper thread ahead of need, at full size before it gets its name, never truncated.
 *          Removed some time after its segment is sealed: the footer on disk has the same entries.
 * Threads  One worker writes, any process reads. published_bytes and topic_count are published with
 *          release after what they count; readers load them with acquire. What is counted never
 *          changes again. A group is counted only when its commit, and every one before it, is
 *          durable: the index cannot name a record that a crash could take back (contract C3).
 * Layout   header (4096 bytes) | topics (LIVE_INDEX_TOPICS_BYTES) | groups, back to back: one a
 *          commit that has records, struct live_index_group and its lines: the topic's number as a
 *          varint, then index_line_encode's bytes, where each topic has one state for the whole
 *          index. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/index_chunk.h"
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

struct live_index_group {
    uint64_t ring_ahead; /* of each of its batches' position in the commit ring (commit_ring.h) its
                            position in the file; modulo 2^64 */
    uint64_t durable_ns; /* CLOCK_MONOTONIC when it was published */
    uint32_t line_count;
    uint32_t lines_bytes; /* of its lines; zeros behind them up to a multiple of 8 */
};
static_assert(sizeof(struct live_index_group) == 24, "log-format.md");

struct live_index_header {
    uint8_t magic[8];        /* "PENSTIDX" */
    uint32_t version;        /* SHARED_VERSION */
    uint32_t capacity_bytes; /* of groups */
    struct log_id log_id;
    struct log_id nonce;
    uint64_t segment_number;
    uint64_t incarnation;
    uint32_t partition;
    uint32_t leader_epoch;
    uint64_t first_commit_number;
    uint8_t padding_fixed[CACHE_PAIR_BYTES - 80];
    SHARED_ATOMIC(uint64_t) published_bytes; /* of groups */
    SHARED_ATOMIC(uint32_t) topic_count;
    SHARED_ATOMIC(uint32_t) state; /* enum live_index_state */
    uint8_t padding[4096 - CACHE_PAIR_BYTES - 16];
};
static_assert(sizeof(struct live_index_header) == 4096, "one page");

enum {
    LIVE_INDEX_TOPICS_BYTES =
        (LOG_TOPICS_MAX * (int)sizeof(struct live_index_topic) + 4095) / 4096 * 4096,
    LIVE_INDEX_NAME_BYTES = 64,
    LIVE_INDEX_LINE_BYTES_MAX = INDEX_LINE_BYTES_MAX + 2, /* with the topic's number */
};

/* A group with this many lines takes so much at most. */
static inline size_t live_index_group_bytes_max(size_t line_count)
{
    return sizeof(struct live_index_group) + line_count * LIVE_INDEX_LINE_BYTES_MAX + 7;
}

static inline size_t live_index_file_bytes(uint32_t capacity_bytes)
{
    return sizeof(struct live_index_header) + LIVE_INDEX_TOPICS_BYTES + (size_t)capacity_bytes;
}

static inline struct live_index_topic *live_index_topics(const struct live_index_header *index)
{
    return (struct live_index_topic *)((uintptr_t)index + sizeof *index);
}

static inline uint8_t *live_index_groups(const struct live_index_header *index)
{
    return (uint8_t *)((uintptr_t)index + sizeof *index + LIVE_INDEX_TOPICS_BYTES);
}

/* "index-0003-0000000000000017" */
void live_index_file_name(uint32_t partition, uint64_t segment_number,
                          char out[LIVE_INDEX_NAME_BYTES]);

/* Fills the fixed part of a zeroed mapping; state PREPARED. The maker's thread. */
void live_index_init(struct live_index_header *index, uint32_t capacity_bytes);

/* What the writer knows of its index beyond what is published. Private memory. */
struct live_index_writer {
    struct live_index_header *index;
    size_t end_bytes;       /* of groups, also those that wait to be published */
    size_t published_bytes; /* where the next one to be published begins */
    size_t open_bytes;      /* where the open group begins */
    struct index_state topics[LOG_TOPICS_MAX];
};

void live_index_writer_init(struct live_index_writer *writer, struct live_index_header *index);

/* Groups are written ahead, begin to end; nobody sees them before they are published, in order.
 * Room for live_index_group_bytes_max was asked for: asserted. */
void live_index_group_begin(struct live_index_writer *writer);
void live_index_group_add(struct live_index_writer *writer, const struct index_entry *entry);
void live_index_group_end(struct live_index_writer *writer, uint64_t ring_ahead);
void live_index_publish(struct live_index_writer *writer, uint64_t durable_ns);

/* How far a reader got. Private memory. */
struct live_index_reader {
    uint64_t taken_bytes;          /* of groups */
    struct live_index_group group; /* the one in work */
    struct cursor lines;           /* of it, what is left */
    bool broken;                   /* what is counted makes no sense: nothing more comes of it */
    struct index_state topics[LOG_TOPICS_MAX];
};

struct live_index_line {
    struct index_entry entry;
    uint64_t ring_position; /* of the batch's bytes in the commit ring */
    uint64_t durable_ns;
};

/* The next line that is published, of an index whose groups lie within `capacity_bytes`.
 * STATUS_NOT_FOUND: there is none (yet). STATUS_CORRUPT: what is there is no index; so it stays.
 * The reader begins as zeros. */
MUST_CHECK enum status live_index_next(struct live_index_reader *reader,
                                       const struct live_index_header *index,
                                       uint32_t capacity_bytes, struct live_index_line *out);

/* Whether a mapping of `size_bytes` is a live index that this build can read: STATUS_TRUNCATED,
 * STATUS_CORRUPT, STATUS_UNSUPPORTED. Readers call it before anything else. */
MUST_CHECK enum status live_index_check(const struct live_index_header *index, size_t size_bytes);

END_C_DECLS
