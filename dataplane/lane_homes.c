#include "dataplane/lane_homes.h"

#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/invariant.h"
#include "storage/lane_handover.h"

/* Sorted by key when `sorted`; few lanes live away from where their hash says, mostly none. */
struct lane_homes {
    uint32_t worker_count;
    uint32_t workers[CONFIG_WORKERS_MAX]; /* partitions that have one */
    bool sorted;
    size_t count;
    size_t capacity;
    struct lane_away {
        struct lane_key key;
        uint32_t partition;
    } * items;
};

static int away_compare(const void *left, const void *right)
{
    const struct lane_key *const a = &((const struct lane_away *)left)->key;
    const struct lane_key *const b = &((const struct lane_away *)right)->key;
    const int by_producer = memcmp(a->producer.bytes, b->producer.bytes, sizeof a->producer.bytes);
    if (by_producer != 0) { return by_producer; }
    return a->number < b->number ? -1 : a->number > b->number;
}

enum status lane_homes_create(uint32_t worker_count, struct lane_homes **out)
{
    assert(worker_count > 0 && worker_count <= CONFIG_WORKERS_MAX);
    struct lane_homes *const homes = calloc(1, sizeof *homes);
    if (homes == NULL) { return STATUS_NO_MEMORY; }
    homes->worker_count = worker_count;
    for (uint32_t i = 0; i < worker_count; i++) { homes->workers[i] = i; }
    homes->sorted = true;
    *out = homes;
    return STATUS_OK;
}

void lane_homes_destroy(struct lane_homes *homes)
{
    if (homes == NULL) { return; }
    free(homes->items);
    free(homes);
}

enum status lane_homes_add(struct lane_homes *homes, const struct lane_key *key, uint32_t partition)
{
    assert(partition < homes->worker_count);
    if (lane_home_of_new(key, homes->workers, homes->worker_count) == partition) {
        return STATUS_OK;
    }
    if (homes->count == homes->capacity) {
        const size_t capacity = homes->capacity == 0 ? 1024 : homes->capacity * 2;
        struct lane_away *const items = realloc(homes->items, capacity * sizeof *items);
        if (items == NULL) { return STATUS_NO_MEMORY; }
        homes->items = items;
        homes->capacity = capacity;
    }
    homes->items[homes->count++] = (struct lane_away){*key, partition};
    homes->sorted = false;
    return STATUS_OK;
}

void lane_homes_seal(struct lane_homes *homes)
{
    if (homes->count > 0) { qsort(homes->items, homes->count, sizeof *homes->items, away_compare); }
    homes->sorted = true;
}

uint32_t lane_homes_find(const struct lane_homes *homes, const struct lane_key *key)
{
    assert_hot(homes->sorted);
    const struct lane_away wanted = {*key, 0};
    const struct lane_away *const away =
        homes->count == 0
            ? NULL
            : bsearch(&wanted, homes->items, homes->count, sizeof *homes->items, away_compare);
    return away != NULL ? away->partition
                        : lane_home_of_new(key, homes->workers, homes->worker_count);
}
