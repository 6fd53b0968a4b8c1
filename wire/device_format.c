#include "wire/device_format.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"

static const char superblock_magic[8] = {'P', 'E', 'N', 'S', 'T', 'D', 'E', 'V'};
static const char table_magic[8] = {'P', 'E', 'N', 'S', 'T', 'S', 'L', 'T'};

enum { CRC_BEGIN = 16 }; /* as everywhere in the log's format: behind magic, version and itself */

static uint64_t round_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

/* -------------------------------------------------------------------------------- superblock */

static uint64_t table_bytes(uint32_t slot_count)
{
    return (uint64_t)device_table_blocks(slot_count) * LOG_BLOCK_BYTES;
}

static void plan_slots(uint32_t slot_count, struct device_superblock *out)
{
    out->slot_count = slot_count;
    out->table_positions[0] = DEVICE_ALIGN_BYTES;
    out->table_positions[1] = out->table_positions[0] + table_bytes(slot_count);
    out->slots_position =
        round_up(out->table_positions[1] + table_bytes(slot_count), DEVICE_ALIGN_BYTES);
}

/* The slots end within the device. */
static bool plan_fits(const struct device_superblock *superblock)
{
    uint64_t slots_bytes;
    if (__builtin_mul_overflow(superblock->slot_count, superblock->slot_bytes, &slots_bytes)) {
        return false;
    }
    return superblock->slots_position <= superblock->device_bytes &&
           slots_bytes <= superblock->device_bytes - superblock->slots_position;
}

bool device_superblock_plan(uint64_t device_bytes, uint64_t segment_bytes,
                            struct device_superblock *out)
{
    assert(segment_bytes > 0 && segment_bytes % LOG_BLOCK_BYTES == 0);
    *out = (struct device_superblock){0};
    if (segment_bytes > device_bytes) { return false; }
    out->device_bytes = device_bytes / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
    out->slot_bytes = round_up(segment_bytes, DEVICE_ALIGN_BYTES);

    uint64_t count = out->device_bytes / out->slot_bytes;
    if (count > DEVICE_SLOTS_MAX) { count = DEVICE_SLOTS_MAX; }
    /* The tables take the place of at most a few of the smallest slots. */
    for (; count > 0; count--) {
        plan_slots((uint32_t)count, out);
        if (plan_fits(out)) { return true; }
    }
    return false;
}

void device_superblock_encode(const struct device_superblock *superblock,
                              uint8_t block[LOG_BLOCK_BYTES])
{
    memset(block, 0, LOG_BLOCK_BYTES);
    struct device_superblock_wire *const wire = (struct device_superblock_wire *)block;
    memcpy(wire->magic, superblock_magic, sizeof wire->magic);
    store_le32(wire->version_le32, DEVICE_FORMAT_VERSION);
    memcpy(wire->device_id, superblock->device_id.bytes, sizeof wire->device_id);
    store_le64(wire->device_bytes_le64, superblock->device_bytes);
    store_le64(wire->slot_bytes_le64, superblock->slot_bytes);
    store_le64(wire->slots_position_le64, superblock->slots_position);
    for (size_t i = 0; i < DEVICE_COPIES; i++) {
        store_le64(wire->table_positions_le64[i], superblock->table_positions[i]);
    }
    store_le32(wire->slot_count_le32, superblock->slot_count);
    store_le64(wire->created_wall_ms_le64, (uint64_t)superblock->created_wall_ms);
    store_le32(wire->crc32c_le32, crc32c(bytes_of(block + CRC_BEGIN, sizeof *wire - CRC_BEGIN)));
}

/* Superblocks, tables and slots lie in this order, on blocks, and overlap nowhere. */
static bool superblock_holds(const struct device_superblock *superblock)
{
    const uint64_t *const tables = superblock->table_positions;
    if (superblock->slot_count == 0 || superblock->slot_count > DEVICE_SLOTS_MAX) { return false; }
    if (superblock->slot_bytes == 0 || superblock->slot_bytes % LOG_BLOCK_BYTES != 0) {
        return false;
    }
    if (!plan_fits(superblock) || superblock->slots_position % LOG_BLOCK_BYTES != 0) {
        return false;
    }
    if (tables[0] % LOG_BLOCK_BYTES != 0 || tables[1] % LOG_BLOCK_BYTES != 0) { return false; }
    const uint64_t bytes = table_bytes(superblock->slot_count);
    return tables[0] >= DEVICE_SUPERBLOCK_COPY + LOG_BLOCK_BYTES && tables[1] > tables[0] &&
           tables[1] - tables[0] >= bytes && superblock->slots_position > tables[1] &&
           superblock->slots_position - tables[1] >= bytes;
}

enum status device_superblock_decode(struct bytes block, struct device_superblock *out)
{
    const struct device_superblock_wire *const wire =
        (const struct device_superblock_wire *)block.at;
    if (block.len_bytes < sizeof *wire) { return STATUS_TRUNCATED; }
    if (memcmp(wire->magic, superblock_magic, sizeof wire->magic) != 0) { return STATUS_NOT_FOUND; }
    if (load_le32(wire->version_le32) != DEVICE_FORMAT_VERSION) { return STATUS_UNSUPPORTED; }
    if (crc32c(bytes_slice(block, CRC_BEGIN, sizeof *wire)) != load_le32(wire->crc32c_le32)) {
        return STATUS_CORRUPT;
    }

    *out = (struct device_superblock){
        .device_bytes = load_le64(wire->device_bytes_le64),
        .slot_bytes = load_le64(wire->slot_bytes_le64),
        .slots_position = load_le64(wire->slots_position_le64),
        .slot_count = load_le32(wire->slot_count_le32),
        .created_wall_ms = (int64_t)load_le64(wire->created_wall_ms_le64),
    };
    memcpy(out->device_id.bytes, wire->device_id, sizeof out->device_id.bytes);
    for (size_t i = 0; i < DEVICE_COPIES; i++) {
        out->table_positions[i] = load_le64(wire->table_positions_le64[i]);
    }
    return superblock_holds(out) ? STATUS_OK : STATUS_CORRUPT;
}

/* -------------------------------------------------------------------------------- slot table */

void device_table_block_encode(const struct device_table_block *block, struct log_id device_id,
                               uint8_t out[LOG_BLOCK_BYTES])
{
    assert(block->slot_count <= DEVICE_SLOTS_PER_BLOCK);
    memset(out, 0, LOG_BLOCK_BYTES);
    struct device_table_block_wire *const wire = (struct device_table_block_wire *)out;
    memcpy(wire->magic, table_magic, sizeof wire->magic);
    store_le32(wire->version_le32, DEVICE_FORMAT_VERSION);
    memcpy(wire->device_id, device_id.bytes, sizeof wire->device_id);
    store_le64(wire->sequence_le64, block->sequence);
    store_le32(wire->index_le32, block->index);
    for (uint32_t i = 0; i < block->slot_count; i++) {
        const struct device_slot *const slot = &block->slots[i];
        store_le64(wire->slots[i].generation_le64, slot->generation);
        store_le64(wire->slots[i].number_le64, slot->number);
        store_le64(wire->slots[i].size_bytes_le64, slot->size_bytes);
        store_le32(wire->slots[i].partition_le32, slot->partition);
    }
    store_le32(wire->crc32c_le32, crc32c(bytes_of(out + CRC_BEGIN, sizeof *wire - CRC_BEGIN)));
}

static struct device_slot slot_decode(const struct device_slot_wire *wire)
{
    const struct device_slot slot = {
        .generation = load_le64(wire->generation_le64),
        .number = load_le64(wire->number_le64),
        .size_bytes = load_le64(wire->size_bytes_le64),
        .partition = load_le32(wire->partition_le32),
    };
    return slot;
}

enum status device_table_block_decode(struct bytes block,
                                      const struct device_superblock *superblock, uint32_t index,
                                      struct device_table_block *out)
{
    const struct device_table_block_wire *const wire =
        (const struct device_table_block_wire *)block.at;
    assert(index < device_table_blocks(superblock->slot_count));
    if (block.len_bytes < sizeof *wire) { return STATUS_TRUNCATED; }
    if (memcmp(wire->magic, table_magic, sizeof wire->magic) != 0) { return STATUS_NOT_FOUND; }
    if (load_le32(wire->version_le32) != DEVICE_FORMAT_VERSION) { return STATUS_UNSUPPORTED; }
    if (crc32c(bytes_slice(block, CRC_BEGIN, sizeof *wire)) != load_le32(wire->crc32c_le32)) {
        return STATUS_CORRUPT;
    }
    if (memcmp(wire->device_id, superblock->device_id.bytes, sizeof wire->device_id) != 0) {
        return STATUS_CORRUPT;
    }
    if (load_le32(wire->index_le32) != index) { return STATUS_CORRUPT; }

    const uint32_t left = superblock->slot_count - index * DEVICE_SLOTS_PER_BLOCK;
    *out = (struct device_table_block){
        .sequence = load_le64(wire->sequence_le64),
        .index = index,
        .slot_count = left < DEVICE_SLOTS_PER_BLOCK ? left : DEVICE_SLOTS_PER_BLOCK,
    };
    for (uint32_t i = 0; i < out->slot_count; i++) {
        out->slots[i] = slot_decode(&wire->slots[i]);
        const uint64_t size_bytes = out->slots[i].size_bytes;
        if (size_bytes > superblock->slot_bytes || size_bytes % LOG_BLOCK_BYTES != 0) {
            return STATUS_CORRUPT;
        }
    }
    return STATUS_OK;
}
