/* lane_format.h - a lane as it stands in a commit: ENTRY_LANES of wire/log_format.h.
 *
 * Purpose  The same struct is a lane's delta (what this commit did to it) and its checkpoint (where
 *          it stands): both hold the whole state, so the newest entry of a lane, in the order of
 *          commits, is its state, whatever came before.
 * Format   docs/log-format.md, "Lanes". Items stand back to back in the entry: 96 bytes, then
 *          run_count runs of 24 bytes.
 * Threads  Any; no state. Errors as log_format.h. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"
#include "base/status.h"
#include "wire/native.h"

BEGIN_C_DECLS

struct lane_wire {
    uint8_t producer[16];
    uint8_t lane_le32[4];
    uint8_t home_le32[4]; /* how many homes the lane had before this one */
    uint8_t epoch_le64[8];
    uint8_t last_sequence_le64[8];  /* highest with a fate in this or an earlier commit; 0: none */
    uint8_t first_sequence_le64[8]; /* the runs begin here; last + 1: there are none */
    uint8_t confirmed_le64[8];      /* the producer knows the fates up to this one */
    uint8_t hash_le64[8];           /* running hash at last_sequence */
    uint8_t unstored_le64[8]; /* share of the hash that cannot be computed from stored records */
    uint8_t active_wall_ms_le64[8]; /* of its last record or OPEN */
    uint8_t flags_le32[4];
    uint8_t run_count_le32[4];
    uint8_t reserved[8];
};
static_assert(sizeof(struct lane_wire) == 96, "log-format.md");

struct lane_run_wire {
    uint8_t count_le32[4];
    uint8_t fate;
    uint8_t reserved[3];
    uint8_t topic_le32[4]; /* the log's number of the topic; LOG_NO_TOPIC when not stored */
    uint8_t reserved2[4];
    uint8_t base_offset_le64[8]; /* of its first record, in that topic; consecutive ones follow */
};
static_assert(sizeof(struct lane_run_wire) == 24, "log-format.md");

enum lane_flag {
    LANE_CHECKPOINT = 1, /* runs cover (confirmed, last_sequence] and name no offsets */
    LANE_IMPORTED = 2,   /* came from a partition that has no worker any more; also a checkpoint */
    LANE_FORGOTTEN = 4,  /* the lane is removed from the table with this entry */
};

struct lane_key {
    struct native_producer_id producer;
    uint32_t number;
};

static inline bool lane_key_equal(const struct lane_key *left, const struct lane_key *right)
{
    return left->number == right->number &&
           memcmp(left->producer.bytes, right->producer.bytes, NATIVE_PRODUCER_ID_BYTES) == 0;
}

struct lane_state {
    struct lane_key key;
    uint32_t home;
    uint64_t epoch;
    uint64_t last_sequence;
    uint64_t confirmed;
    uint64_t hash;
    int64_t active_wall_ms;
};

struct lane_run {
    uint32_t count;
    uint8_t fate; /* enum native_fate */
    int32_t topic;
    uint64_t base_offset;
};

struct lane_item {
    struct lane_state state;
    uint64_t first_sequence;
    uint64_t unstored;
    uint32_t flags;
    uint32_t run_count;
    struct bytes runs; /* decoded: run_count of them, in the entry */
};

/* Writes the item; `runs` has item->run_count of them. The sink tells if it did not fit. */
void lane_item_encode(const struct lane_item *item, const struct lane_run *runs, struct sink *out);

static inline size_t lane_item_bytes(size_t run_count)
{
    return sizeof(struct lane_wire) + run_count * sizeof(struct lane_run_wire);
}

/* Takes the next item from `*entry` and moves past it; STATUS_NOT_FOUND at the end,
 * STATUS_CORRUPT: runs that do not fill (first_sequence .. last_sequence) exactly, or overrun. */
MUST_CHECK enum status lane_item_decode(struct bytes *entry, struct lane_item *out);

/* Run `index` of a decoded item. */
struct lane_run lane_item_run(const struct lane_item *item, uint32_t index);

END_C_DECLS
