/* rule_table.h - numbers by bytes: which field a header's name is, which test a field's text is.
 *
 * Purpose  A hash table that is filled when rules are compiled and only read from then on. The
 *          looking up is inline and costs no more than it must: most texts are no key, and a bit a
 *          length sorts most of those out.
 * Owns     Copies of the keys. A number is the key's place in the order of coming, from 0.
 * Hostile  Keys are the operator's, what is looked up is anybody's: a chain is as long as the
 *          operator's keys make it, whatever is asked.
 * Threads  One fills it; then any number look. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/endian.h"

BEGIN_C_DECLS

enum { RULE_TABLE_NONE = -1 };

struct rule_table {
    struct bytes *keys; /* by number; the table's own copies */
    size_t count;
    uint32_t *slots; /* number + 1; 0: empty. slot_count is a power of two, or 0 with no key */
    size_t slot_count;
    uint64_t lengths; /* bit i: some key has i bytes; the last one: that many or more */
    size_t len_bytes_max;
};

void rule_table_init(struct rule_table *table);
void rule_table_deinit(struct rule_table *table);

/* The key's number: its old one, or count's next. Cold; out of memory ends the process. */
size_t rule_table_put(struct rule_table *table, struct bytes key);

static inline uint64_t rule_table_length_bit(size_t len_bytes)
{
    return UINT64_C(1) << (len_bytes < 63 ? len_bytes : 63);
}

/* Multiply and fold, eight bytes at a time. The multiplier is the golden ratio's 64 bits. */
static inline uint64_t rule_table_hash(struct bytes key)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = (uint64_t)key.len_bytes * factor;
    const uint8_t *at = key.at;
    size_t left = key.len_bytes;
    for (; left >= 8; left -= 8, at += 8) {
        hash = (hash ^ load_le64(at)) * factor;
        hash ^= hash >> 32;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < left; i++) { tail |= (uint64_t)at[i] << (8 * i); }
    hash = (hash ^ tail) * factor;
    return hash ^ (hash >> 32);
}

/* RULE_TABLE_NONE: no such key. */
static inline int64_t rule_table_find(const struct rule_table *table, struct bytes key)
{
    if ((table->lengths & rule_table_length_bit(key.len_bytes)) == 0) { return RULE_TABLE_NONE; }
    if (key.len_bytes > table->len_bytes_max) { return RULE_TABLE_NONE; }
    const size_t mask = table->slot_count - 1;
    size_t slot = (size_t)rule_table_hash(key) & mask;
    while (table->slots[slot] != 0) { /* at most half are taken: it ends */
        const size_t number = table->slots[slot] - 1;
        if (bytes_equal(table->keys[number], key)) { return (int64_t)number; }
        slot = (slot + 1) & mask;
    }
    return RULE_TABLE_NONE;
}

END_C_DECLS
