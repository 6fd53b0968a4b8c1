#include "tools/audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

const char *audit_kind_text(enum audit_kind kind)
{
    static const char *const texts[AUDIT_KIND_COUNT] = {
        [AUDIT_MISSING] = "missing",   [AUDIT_GAP] = "gap",
        [AUDIT_TWICE] = "twice",       [AUDIT_ORDER] = "order",
        [AUDIT_FATE] = "fate",         [AUDIT_PLACE] = "place",
        [AUDIT_RECORDS] = "records",   [AUDIT_RECEIPT] = "receipt",
        [AUDIT_RECEIPTS] = "receipts", [AUDIT_UNREADABLE] = "unreadable",
    };
    return texts[kind];
}

void *audit_grow(void *array, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity) { return array; }
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    return allocate_again(array, *capacity, item_bytes);
}

/* The first lane that is not below `number`. */
static size_t lane_place(const struct audit *audit, uint32_t number)
{
    size_t low = 0;
    size_t high = audit->lane_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (audit->lanes[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct audit_lane *audit_lane_find(struct audit *audit, uint32_t number)
{
    const size_t at = lane_place(audit, number);
    if (at == audit->lane_count || audit->lanes[at].number != number) { return NULL; }
    return &audit->lanes[at];
}

struct audit_lane *audit_lane_add(struct audit *audit, uint32_t number)
{
    struct audit_lane *const known = audit_lane_find(audit, number);
    if (known != NULL) { return known; }
    const size_t at = lane_place(audit, number);
    audit->lanes =
        audit_grow(audit->lanes, audit->lane_count, &audit->lane_capacity, sizeof audit->lanes[0]);
    memmove(&audit->lanes[at + 1], &audit->lanes[at],
            (audit->lane_count - at) * sizeof audit->lanes[0]);
    audit->lane_count++;
    audit->lanes[at] = (struct audit_lane){.number = number};
    return &audit->lanes[at];
}

void audit_tell(struct audit *audit, const struct audit_finding *finding)
{
    audit->findings++;
    audit->on_finding(audit->context, finding);
}

void audit_deinit(struct audit *audit)
{
    for (size_t i = 0; i < audit->lane_count; i++) {
        struct audit_lane *const lane = &audit->lanes[i];
        free(lane->receipts);
        free(lane->acknowledged);
        free(lane->marks);
        free(lane->pieces);
        free(lane->found);
        free(lane->points);
    }
    free(audit->lanes);
    audit->lanes = NULL;
    audit->lane_count = 0;
}
