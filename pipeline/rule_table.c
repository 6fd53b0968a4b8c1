#include "pipeline/rule_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/invariant.h"

enum { SLOTS_MIN = 8 };

void rule_table_init(struct rule_table *table) { memset(table, 0, sizeof *table); }

void rule_table_deinit(struct rule_table *table)
{
    for (size_t i = 0; i < table->count; i++) { free((void *)(uintptr_t)table->keys[i].at); }
    free(table->keys);
    free(table->slots);
    rule_table_init(table);
}

static void take_slot(struct rule_table *table, size_t number)
{
    const size_t mask = table->slot_count - 1;
    size_t slot = (size_t)rule_table_hash(table->keys[number]) & mask;
    while (table->slots[slot] != 0) { slot = (slot + 1) & mask; }
    table->slots[slot] = (uint32_t)number + 1;
}

/* Room for one more key, with half of the slots free behind it; keys and slots grow together. */
static void grow(struct rule_table *table)
{
    if (2 * (table->count + 1) <= table->slot_count) { return; }
    table->slot_count = table->slot_count == 0 ? SLOTS_MIN : 2 * table->slot_count;
    table->keys = allocate_again(table->keys, table->slot_count / 2, sizeof *table->keys);
    free(table->slots);
    table->slots = allocate_zeroed(table->slot_count, sizeof *table->slots);
    for (size_t i = 0; i < table->count; i++) { take_slot(table, i); }
}

size_t rule_table_put(struct rule_table *table, struct bytes key)
{
    const int64_t known = rule_table_find(table, key);
    if (known != RULE_TABLE_NONE) { return (size_t)known; }
    assert(table->count < UINT32_MAX - 1);
    grow(table);
    uint8_t *const copy = allocate_zeroed(key.len_bytes, 1);
    if (key.len_bytes > 0) { memcpy(copy, key.at, key.len_bytes); }
    const size_t number = table->count++;
    table->keys[number] = bytes_of(copy, key.len_bytes);
    table->lengths |= rule_table_length_bit(key.len_bytes);
    if (key.len_bytes > table->len_bytes_max) { table->len_bytes_max = key.len_bytes; }
    take_slot(table, number);
    return number;
}
