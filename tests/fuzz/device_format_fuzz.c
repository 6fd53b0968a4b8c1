/* device_format_fuzz.c - a superblock that the decoder takes lays out a device without overlap and
 * encodes again to the same bytes; so does a block of its slot table. The input is a superblock,
 * then a block of the table (its checksums are made to hold: a flipped bit is not the question). */
#include "wire/device_format.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"

enum { SUPERBLOCK_BYTES = sizeof(struct device_superblock_wire), CRC_AT = 12, CRC_BEGIN = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static void make_crc_hold(uint8_t *at, size_t covered_bytes)
{
    store_le32(at + CRC_AT, crc32c(bytes_of(at + CRC_BEGIN, covered_bytes - CRC_BEGIN)));
}

static void check_superblock(const struct device_superblock *superblock, const uint8_t *wire)
{
    const uint64_t table_bytes =
        (uint64_t)device_table_blocks(superblock->slot_count) * LOG_BLOCK_BYTES;
    const uint64_t last = device_slot_position(superblock, superblock->slot_count - 1);
    assert(superblock->table_positions[0] >= DEVICE_SUPERBLOCK_COPY + LOG_BLOCK_BYTES);
    assert(superblock->table_positions[1] >= superblock->table_positions[0] + table_bytes);
    assert(superblock->slots_position >= superblock->table_positions[1] + table_bytes);
    assert(last + superblock->slot_bytes <= superblock->device_bytes);
    assert(last >= superblock->slots_position);

    uint8_t again[LOG_BLOCK_BYTES];
    struct device_superblock decoded;
    device_superblock_encode(superblock, again);
    assert(device_superblock_decode(bytes_of(again, sizeof again), &decoded) == STATUS_OK);
    /* Up to the reserved bytes, but for those in between and the checksum over them. */
    assert(memcmp(again + CRC_BEGIN, wire + CRC_BEGIN,
                  offsetof(struct device_superblock_wire, reserved_le32) - CRC_BEGIN) == 0);
}

static void check_block(const struct device_superblock *superblock, uint32_t index, uint8_t *wire)
{
    struct device_table_block block;
    if (device_table_block_decode(bytes_of(wire, LOG_BLOCK_BYTES), superblock, index, &block) !=
        STATUS_OK) {
        return;
    }
    assert(block.slot_count > 0 && block.slot_count <= DEVICE_SLOTS_PER_BLOCK);
    assert(index * DEVICE_SLOTS_PER_BLOCK + block.slot_count <= superblock->slot_count);
    for (uint32_t i = 0; i < block.slot_count; i++) {
        assert(block.slots[i].size_bytes <= superblock->slot_bytes);
        assert(block.slots[i].size_bytes % LOG_BLOCK_BYTES == 0);
    }
    uint8_t again[LOG_BLOCK_BYTES];
    struct device_table_block decoded;
    device_table_block_encode(&block, superblock->device_id, again);
    assert(device_table_block_decode(bytes_of(again, sizeof again), superblock, index, &decoded) ==
           STATUS_OK);
    assert(memcmp(block.slots, decoded.slots, block.slot_count * sizeof block.slots[0]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct device_superblock superblock;
    if (len_bytes < SUPERBLOCK_BYTES) {
        assert(device_superblock_decode(bytes_of(at, len_bytes), &superblock) == STATUS_TRUNCATED);
        return 0;
    }
    uint8_t first[SUPERBLOCK_BYTES];
    memcpy(first, at, sizeof first);
    make_crc_hold(first, sizeof first);
    if (device_superblock_decode(bytes_of(first, sizeof first), &superblock) != STATUS_OK) {
        return 0;
    }
    check_superblock(&superblock, first);

    const size_t left_bytes = len_bytes - SUPERBLOCK_BYTES;
    uint8_t *const block = calloc(1, LOG_BLOCK_BYTES);
    assert(block != NULL);
    memcpy(block, at + SUPERBLOCK_BYTES,
           left_bytes < LOG_BLOCK_BYTES ? left_bytes : LOG_BLOCK_BYTES);
    make_crc_hold(block, LOG_BLOCK_BYTES);
    const uint32_t blocks = device_table_blocks(superblock.slot_count);
    check_block(&superblock, 0, block);
    check_block(&superblock, blocks - 1, block);
    free(block);
    return 0;
}
