/* device_format.h - every byte that a raw block device has beside its segments: superblock and slot
 * table, encoders beside decoders.
 *
 * Format   docs/log-format.md, "Raw devices", version 1; each struct here mirrors a table there.
 * Owns     Nothing. Decoders borrow their input, encoders write into the caller's memory.
 * Threads  Any; no state.
 * Errors   STATUS_OK, STATUS_TRUNCATED, STATUS_NOT_FOUND (no magic of ours), STATUS_CORRUPT (ours,
 *          and a checksum or bound does not hold), STATUS_UNSUPPORTED (a version that this build
 *          does not know). Nothing that a decoder hands out has escaped its bounds check. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

enum {
    DEVICE_FORMAT_VERSION = 1,
    DEVICE_SLOTS_MAX = 1 << 20, /* 64 MiB of table a copy */
    DEVICE_SLOTS_PER_BLOCK = 126,
    DEVICE_ALIGN_BYTES = 1 << 20,                         /* tables and slots begin on these */
    DEVICE_SUPERBLOCK_COPY = (1 << 20) - LOG_BLOCK_BYTES, /* position of the second superblock */
    DEVICE_COPIES = 2,                                    /* of the superblock, of the table */
};

/* -------------------------------------------------------------------------------- superblock */

struct device_superblock_wire {
    uint8_t magic[8]; /* "PENSTDEV" */
    uint8_t version_le32[4];
    uint8_t crc32c_le32[4]; /* over bytes 16..256 */
    uint8_t device_id[16];  /* random, new with every init */
    uint8_t device_bytes_le64[8];
    uint8_t slot_bytes_le64[8];
    uint8_t slots_position_le64[8];
    uint8_t table_positions_le64[DEVICE_COPIES][8];
    uint8_t slot_count_le32[4];
    uint8_t reserved_le32[4];
    uint8_t created_wall_ms_le64[8];
    uint8_t reserved[168];
};
static_assert(sizeof(struct device_superblock_wire) == 256, "log-format.md");
static_assert(offsetof(struct device_superblock_wire, slots_position_le64) == 48, "log-format.md");
static_assert(offsetof(struct device_superblock_wire, slot_count_le32) == 72, "log-format.md");

struct device_superblock {
    struct log_id device_id;
    uint64_t device_bytes; /* what was there at init: whole blocks */
    uint64_t slot_bytes;   /* the largest segment */
    uint64_t slots_position;
    uint64_t table_positions[DEVICE_COPIES];
    uint32_t slot_count;
    int64_t created_wall_ms;
};

/* Lays a device out for segments of up to `segment_bytes`: everything but id and time. False when
 * not one slot fits. */
MUST_CHECK bool device_superblock_plan(uint64_t device_bytes, uint64_t segment_bytes,
                                       struct device_superblock *out);

/* Fills the whole block. */
void device_superblock_encode(const struct device_superblock *superblock,
                              uint8_t block[LOG_BLOCK_BYTES]);
/* `block` needs at least 256 bytes. */
MUST_CHECK enum status device_superblock_decode(struct bytes block, struct device_superblock *out);

static inline uint32_t device_table_blocks(uint32_t slot_count)
{
    return (slot_count + DEVICE_SLOTS_PER_BLOCK - 1) / DEVICE_SLOTS_PER_BLOCK;
}

static inline uint64_t device_slot_position(const struct device_superblock *superblock,
                                            uint32_t slot)
{
    return superblock->slots_position + slot * superblock->slot_bytes;
}

/* -------------------------------------------------------------------------------- slot table */

struct device_slot_wire {
    uint8_t generation_le64[8];
    uint8_t number_le64[8];
    uint8_t size_bytes_le64[8]; /* 0: the slot is free */
    uint8_t partition_le32[4];
    uint8_t reserved_le32[4];
};
static_assert(sizeof(struct device_slot_wire) == 32, "log-format.md");

struct device_table_block_wire {
    uint8_t magic[8]; /* "PENSTSLT" */
    uint8_t version_le32[4];
    uint8_t crc32c_le32[4]; /* over bytes 16..4096 */
    uint8_t device_id[16];
    uint8_t sequence_le64[8]; /* of the two copies the higher one holds */
    uint8_t index_le32[4];    /* of this block in its table */
    uint8_t reserved[20];
    struct device_slot_wire slots[DEVICE_SLOTS_PER_BLOCK];
};
static_assert(sizeof(struct device_table_block_wire) == LOG_BLOCK_BYTES, "log-format.md");
static_assert(offsetof(struct device_table_block_wire, slots) == 64, "log-format.md");

struct device_slot {
    uint64_t generation; /* rises over the whole device with every change of any slot */
    uint64_t number;
    uint64_t size_bytes; /* 0: free; else whole blocks, at most the slot's */
    uint32_t partition;
};

struct device_table_block {
    uint64_t sequence;
    uint32_t index;
    uint32_t slot_count; /* fewer than DEVICE_SLOTS_PER_BLOCK in the last block only */
    struct device_slot slots[DEVICE_SLOTS_PER_BLOCK];
};

void device_table_block_encode(const struct device_table_block *block, struct log_id device_id,
                               uint8_t out[LOG_BLOCK_BYTES]);
/* STATUS_CORRUPT too when it is of another device (an earlier init) or another place than `index`.
 * Slots behind the device's last are ignored. */
MUST_CHECK enum status device_table_block_decode(struct bytes block,
                                                 const struct device_superblock *superblock,
                                                 uint32_t index, struct device_table_block *out);

END_C_DECLS
