#include "storage/device_table.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "storage/direct_io.h"
#include "storage/disk.h"
#include "wire/log_format.h"

enum {
    READ_BLOCKS = 256,  /* of the table at once */
    READ_ATTEMPTS = 16, /* a reader may meet a copy just when it is being written */
};

/* -------------------------------------------------------------------------------- superblock */

static const uint64_t superblock_positions[DEVICE_COPIES] = {0, DEVICE_SUPERBLOCK_COPY};

static enum status superblock_read(int descriptor, unsigned copy, struct device_superblock *out)
{
    alignas(DISK_BLOCK_BYTES) uint8_t block[LOG_BLOCK_BYTES];
    const enum status status =
        direct_read(descriptor, superblock_positions[copy], block, sizeof block);
    if (status == STATUS_TRUNCATED) { return STATUS_NOT_FOUND; } /* too small to be one */
    if (status != STATUS_OK) { return status; }
    return device_superblock_decode(bytes_of(block, sizeof block), out);
}

static enum status superblock_write(int descriptor, unsigned copy,
                                    const struct device_superblock *superblock)
{
    alignas(DISK_BLOCK_BYTES) uint8_t block[LOG_BLOCK_BYTES];
    device_superblock_encode(superblock, block);
    return direct_write(descriptor, superblock_positions[copy], bytes_of(block, sizeof block),
                        true);
}

enum status device_superblock_read(int descriptor, uint64_t device_bytes,
                                   struct device_superblock *out, uint32_t *damaged)
{
    struct device_superblock copies[DEVICE_COPIES];
    enum status found[DEVICE_COPIES];
    for (unsigned i = 0; i < DEVICE_COPIES; i++) {
        found[i] = superblock_read(descriptor, i, &copies[i]);
    }
    const bool first_holds = found[0] == STATUS_OK;
    bool second_holds = found[1] == STATUS_OK;
    if (first_holds && second_holds) {
        second_holds = log_id_equal(copies[0].device_id, copies[1].device_id);
    }
    if (!first_holds && found[0] != STATUS_CORRUPT && found[0] != STATUS_IO) { return found[0]; }
    if (!first_holds && !second_holds) { return found[0]; }

    *out = copies[first_holds ? 0 : 1];
    if (damaged != NULL) { *damaged = (uint32_t)!first_holds + (uint32_t)!second_holds; }
    return out->device_bytes <= device_bytes ? STATUS_OK : STATUS_TRUNCATED;
}

/* Both again where one is damaged; they are the same bytes. */
static enum status superblock_mend(int descriptor, const struct device_superblock *superblock)
{
    for (unsigned i = 0; i < DEVICE_COPIES; i++) {
        const enum status status = superblock_write(descriptor, i, superblock);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------ blocks of slots */

static uint64_t block_position(const struct device_superblock *superblock, unsigned copy,
                               uint32_t index)
{
    return superblock->table_positions[copy] + (uint64_t)index * LOG_BLOCK_BYTES;
}

static enum status block_read(int descriptor, const struct device_superblock *superblock,
                              unsigned copy, uint32_t index, struct device_table_block *out)
{
    alignas(DISK_BLOCK_BYTES) uint8_t block[LOG_BLOCK_BYTES];
    const enum status status =
        direct_read(descriptor, block_position(superblock, copy, index), block, sizeof block);
    if (status != STATUS_OK) { return status; }
    return device_table_block_decode(bytes_of(block, sizeof block), superblock, index, out);
}

static enum status block_write(int descriptor, const struct device_superblock *superblock,
                               unsigned copy, const struct device_table_block *block)
{
    alignas(DISK_BLOCK_BYTES) uint8_t bytes[LOG_BLOCK_BYTES];
    device_table_block_encode(block, superblock->device_id, bytes);
    return direct_write(descriptor, block_position(superblock, copy, block->index),
                        bytes_of(bytes, sizeof bytes), true);
}

/* The first copy, then, once that is durable, the second. */
static enum status block_write_both(int descriptor, const struct device_superblock *superblock,
                                    const struct device_table_block *block)
{
    for (unsigned copy = 0; copy < DEVICE_COPIES; copy++) {
        const enum status status = block_write(descriptor, superblock, copy, block);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

/* The block as either copy tells it: the first is never older than the second. Below a writer both
 * may be caught in the middle of a write, one after the other, but not again and again. */
static enum status block_read_either(int descriptor, const struct device_superblock *superblock,
                                     uint32_t index, struct device_table_block *out)
{
    enum status status = STATUS_CORRUPT;
    for (int i = 0; i < READ_ATTEMPTS; i++) {
        for (unsigned copy = 0; copy < DEVICE_COPIES; copy++) {
            status = block_read(descriptor, superblock, copy, index, out);
            if (status == STATUS_OK) { return STATUS_OK; }
        }
    }
    return status;
}

/* ---------------------------------------------------------------------------------- in memory */

static uint32_t block_count(const struct device_table *table)
{
    return device_table_blocks(table->superblock.slot_count);
}

static enum status table_allocate(struct device_table *table)
{
    table->slots = calloc(table->superblock.slot_count, sizeof *table->slots);
    table->sequences = calloc(block_count(table), sizeof *table->sequences);
    table->lost = calloc(block_count(table), sizeof *table->lost);
    if (table->slots == NULL || table->sequences == NULL || table->lost == NULL) {
        device_table_close(table);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void device_table_close(struct device_table *table)
{
    free(table->slots);
    free(table->sequences);
    free(table->lost);
    *table = (struct device_table){0};
}

static void block_adopt(struct device_table *table, const struct device_table_block *block)
{
    const size_t first = (size_t)block->index * DEVICE_SLOTS_PER_BLOCK;
    memcpy(&table->slots[first], block->slots, block->slot_count * sizeof *table->slots);
    table->sequences[block->index] = block->sequence;
    table->lost[block->index] = false;
    for (uint32_t i = 0; i < block->slot_count; i++) {
        if (block->slots[i].generation > table->generation) {
            table->generation = block->slots[i].generation;
        }
    }
}

/* Nothing is known of its slots. */
static void block_lose(struct device_table *table, uint32_t index)
{
    const uint32_t first = index * DEVICE_SLOTS_PER_BLOCK;
    for (uint32_t i = first; i < table->superblock.slot_count; i++) {
        if (i - first == DEVICE_SLOTS_PER_BLOCK) { break; }
        table->slots[i] = (struct device_slot){0};
    }
    table->lost[index] = true;
}

static void block_of_slots(const struct device_table *table, uint32_t index,
                           struct device_table_block *out)
{
    const uint32_t first = index * DEVICE_SLOTS_PER_BLOCK;
    const uint32_t left = table->superblock.slot_count - first;
    *out = (struct device_table_block){
        .sequence = table->sequences[index],
        .index = index,
        .slot_count = left < DEVICE_SLOTS_PER_BLOCK ? left : DEVICE_SLOTS_PER_BLOCK,
    };
    memcpy(out->slots, &table->slots[first], out->slot_count * sizeof *out->slots);
}

bool device_table_slot_is_free(const struct device_table *table, uint32_t slot)
{
    return table->slots[slot].size_bytes == 0 && !table->lost[slot / DEVICE_SLOTS_PER_BLOCK];
}

int64_t device_table_find(const struct device_table *table, uint32_t partition, uint64_t number)
{
    int64_t found = -1;
    for (uint32_t i = 0; i < table->superblock.slot_count; i++) {
        const struct device_slot *const slot = &table->slots[i];
        if (slot->size_bytes == 0) { continue; }
        if (slot->partition != partition || slot->number != number) { continue; }
        if (found < 0 || slot->generation > table->slots[found].generation) { found = i; }
    }
    return found;
}

/* ------------------------------------------------------------------------------------ changing */

enum status device_table_change(struct device_table *table, uint32_t slot, uint32_t partition,
                                uint64_t number, uint64_t size_bytes)
{
    assert(slot < table->superblock.slot_count);
    assert(size_bytes <= table->superblock.slot_bytes);
    const uint32_t index = slot / DEVICE_SLOTS_PER_BLOCK;
    assert(!table->lost[index]);

    struct device_table_block block;
    block_of_slots(table, index, &block);
    /* Counted up also when the write fails: it may stand on the device all the same. */
    block.sequence = ++table->sequences[index];
    block.slots[slot % DEVICE_SLOTS_PER_BLOCK] = (struct device_slot){
        .generation = ++table->generation,
        .number = number,
        .size_bytes = size_bytes,
        .partition = partition,
    };
    const enum status status = block_write_both(table->descriptor, &table->superblock, &block);
    if (status == STATUS_OK) { block_adopt(table, &block); }
    return status;
}

enum status device_table_format(int descriptor, const struct device_superblock *superblock)
{
    struct device_table_block block = {.sequence = 1};
    const uint32_t blocks = device_table_blocks(superblock->slot_count);
    for (; block.index < blocks; block.index++) {
        const uint32_t left = superblock->slot_count - block.index * DEVICE_SLOTS_PER_BLOCK;
        block.slot_count = left < DEVICE_SLOTS_PER_BLOCK ? left : DEVICE_SLOTS_PER_BLOCK;
        const enum status status = block_write_both(descriptor, superblock, &block);
        if (status != STATUS_OK) { return status; }
    }
    for (unsigned copy = DEVICE_COPIES; copy-- > 0;) { /* the first one last: it decides */
        const enum status status = superblock_write(descriptor, copy, superblock);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------ for the writer */

/* What a slot's own first block says when the table says nothing: a segment, or nothing yet. False:
 * neither, so it may be a segment whose header rotted. */
static bool slot_recognise(struct device_table *table, uint32_t index)
{
    alignas(DISK_BLOCK_BYTES) uint8_t block[LOG_BLOCK_BYTES];
    struct segment_header header;
    const uint64_t position = device_slot_position(&table->superblock, index);
    if (direct_read(table->descriptor, position, block, sizeof block) != STATUS_OK) {
        return false;
    }
    const enum status status = segment_header_decode(bytes_of(block, sizeof block), &header);
    if (status == STATUS_NOT_FOUND) { return true; } /* zeros: free */
    if (status != STATUS_OK || header.capacity_bytes == 0) { return false; }
    if (header.capacity_bytes > table->superblock.slot_bytes) { return false; }
    if (header.capacity_bytes % LOG_BLOCK_BYTES != 0) { return false; }
    if (device_table_find(table, header.partition, header.number) < 0) {
        table->slots[index] = (struct device_slot){
            .generation = ++table->generation,
            .number = header.number,
            .size_bytes = header.capacity_bytes,
            .partition = header.partition,
        };
    } /* else an earlier life of it: free */
    return true;
}

/* A lost block is written anew only when every slot of it is told apart: a slot in doubt is neither
 * served nor used again, and its neighbours with it do not change. */
static enum status block_recognise(struct device_table *table, uint32_t index,
                                   struct device_table_found *found)
{
    uint32_t unknown = 0;
    uint32_t count = 0;
    const uint32_t first = index * DEVICE_SLOTS_PER_BLOCK;
    for (; count < DEVICE_SLOTS_PER_BLOCK && first + count < table->superblock.slot_count;
         count++) {
        unknown += !slot_recognise(table, first + count);
    }
    found->recognised_slots += count - unknown;
    found->lost_slots += unknown;
    if (unknown > 0) { return STATUS_OK; }

    struct device_table_block block = {0};
    table->sequences[index]++;
    block_of_slots(table, index, &block);
    if (block_write_both(table->descriptor, &table->superblock, &block) == STATUS_OK) {
        table->lost[index] = false;
    } else {
        found->unmended_blocks++; /* served; no slot of it changes */
    }
    return STATUS_OK;
}

/* The newer of the two copies that holds, written again over one that does not or is older. */
static enum status block_open(struct device_table *table, uint32_t index,
                              struct device_table_found *found)
{
    struct device_table_block copies[DEVICE_COPIES];
    bool holds[DEVICE_COPIES];
    for (unsigned copy = 0; copy < DEVICE_COPIES; copy++) {
        const enum status status =
            block_read(table->descriptor, &table->superblock, copy, index, &copies[copy]);
        if (status == STATUS_UNSUPPORTED) { return status; }
        holds[copy] = status == STATUS_OK;
    }
    if (!holds[0] && !holds[1]) {
        block_lose(table, index);
        return STATUS_OK;
    }
    const unsigned newer =
        !holds[0] || (holds[1] && copies[1].sequence > copies[0].sequence) ? 1 : 0;
    block_adopt(table, &copies[newer]);
    if (holds[0] && holds[1] && copies[0].sequence == copies[1].sequence) { return STATUS_OK; }
    const enum status status =
        block_write(table->descriptor, &table->superblock, 1 - newer, &copies[newer]);
    if (status != STATUS_OK) {
        found->unmended_blocks++;
    } else if (!holds[0] || !holds[1]) { /* both: a crash between the two writes, no damage */
        found->mended_blocks++;
    }
    return STATUS_OK;
}

struct named_slot {
    struct device_slot slot;
    uint32_t index;
};

/* By name, the youngest of one name first. */
static int by_name(const void *left, const void *right)
{
    const struct device_slot *const a = &((const struct named_slot *)left)->slot;
    const struct device_slot *const b = &((const struct named_slot *)right)->slot;
    if (a->partition != b->partition) { return a->partition < b->partition ? -1 : 1; }
    if (a->number != b->number) { return a->number < b->number ? -1 : 1; }
    return a->generation > b->generation ? -1 : a->generation < b->generation;
}

/* Of two slots with one name the older is free: its creation had failed half-way. */
static enum status table_drop_doubles(struct device_table *table)
{
    struct named_slot *const used = calloc(table->superblock.slot_count, sizeof *used);
    if (used == NULL) { return STATUS_NO_MEMORY; }
    size_t count = 0;
    for (uint32_t i = 0; i < table->superblock.slot_count; i++) {
        if (table->slots[i].size_bytes == 0) { continue; }
        used[count++] = (struct named_slot){table->slots[i], i};
    }
    qsort(used, count, sizeof *used, by_name);
    enum status status = STATUS_OK;
    for (size_t i = 1; i < count && status == STATUS_OK; i++) {
        const struct device_slot *const slot = &used[i].slot;
        const struct device_slot *const younger = &used[i - 1].slot;
        if (slot->partition != younger->partition || slot->number != younger->number) { continue; }
        if (table->lost[used[i].index / DEVICE_SLOTS_PER_BLOCK]) { continue; }
        status = device_table_change(table, used[i].index, 0, 0, 0);
    }
    free(used);
    return status;
}

static enum status table_open_blocks(struct device_table *table, struct device_table_found *found)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < block_count(table) && status == STATUS_OK; i++) {
        status = block_open(table, i, found);
    }
    for (uint32_t i = 0; i < block_count(table) && status == STATUS_OK; i++) {
        if (table->lost[i]) { status = block_recognise(table, i, found); }
    }
    return status == STATUS_OK ? table_drop_doubles(table) : status;
}

enum status device_table_open(int descriptor, uint64_t device_bytes, struct device_table *table,
                              struct device_table_found *found)
{
    uint32_t damaged;
    *table = (struct device_table){.descriptor = descriptor};
    *found = (struct device_table_found){0};
    enum status status =
        device_superblock_read(descriptor, device_bytes, &table->superblock, &damaged);
    if (status != STATUS_OK) { return status; }
    if (damaged > 0 && superblock_mend(descriptor, &table->superblock) == STATUS_OK) {
        found->mended_blocks += damaged;
    } else {
        found->unmended_blocks += damaged;
    }

    status = table_allocate(table);
    if (status == STATUS_OK) { status = table_open_blocks(table, found); }
    if (status != STATUS_OK) { device_table_close(table); }
    return status;
}

/* ------------------------------------------------------------------------------- for a reader */

/* Blocks [first, first+count) of the first copy in one read; each that does not hold is looked for
 * in either copy. */
static void blocks_read(struct device_table *table, uint32_t first, uint32_t count, uint8_t *room)
{
    const enum status status =
        direct_read(table->descriptor, block_position(&table->superblock, 0, first), room,
                    (size_t)count * LOG_BLOCK_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        struct device_table_block block;
        const struct bytes bytes = bytes_of(room + (size_t)i * LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
        const bool holds =
            status == STATUS_OK &&
            device_table_block_decode(bytes, &table->superblock, first + i, &block) == STATUS_OK;
        if (holds || block_read_either(table->descriptor, &table->superblock, first + i, &block) ==
                         STATUS_OK) {
            block_adopt(table, &block);
        } else {
            block_lose(table, first + i);
        }
    }
}

enum status device_table_read(int descriptor, uint64_t device_bytes, struct device_table *table)
{
    struct device_superblock superblock;
    enum status status = device_superblock_read(descriptor, device_bytes, &superblock, NULL);
    if (status != STATUS_OK) { return status; }
    if (table->slots == NULL || !log_id_equal(superblock.device_id, table->superblock.device_id)) {
        device_table_close(table);
        table->descriptor = descriptor;
        table->superblock = superblock;
        status = table_allocate(table);
        if (status != STATUS_OK) { return status; }
    }
    uint8_t *const room = aligned_alloc(DISK_BLOCK_BYTES, (size_t)READ_BLOCKS * LOG_BLOCK_BYTES);
    if (room == NULL) { return STATUS_NO_MEMORY; }
    for (uint32_t i = 0; i < block_count(table); i += READ_BLOCKS) {
        const uint32_t left = block_count(table) - i;
        blocks_read(table, i, left < READ_BLOCKS ? left : READ_BLOCKS, room);
    }
    free(room);
    return STATUS_OK;
}

enum status device_table_slot_on_device(int descriptor, const struct device_superblock *superblock,
                                        uint32_t slot, struct device_slot *out)
{
    struct device_table_block block;
    const enum status status =
        block_read_either(descriptor, superblock, slot / DEVICE_SLOTS_PER_BLOCK, &block);
    if (status != STATUS_OK) { return status; }
    *out = block.slots[slot % DEVICE_SLOTS_PER_BLOCK];
    return STATUS_OK;
}
