#include "pipeline/rule_keep.h"

uint64_t rule_keep_hash(struct bytes bytes)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < bytes.len_bytes; i++) {
        hash ^= bytes.at[i];
        hash *= 0x100000001b3;
    }
    return hash ^ hash >> 32;
}

bool rule_keep(uint32_t one_in, struct bytes bytes)
{
    return one_in <= 1 || rule_keep_hash(bytes) % one_in == 0;
}
