#include "storage/lane_handover.h"

#include <assert.h>
#include <stdlib.h>

#include "base/endian.h"

/* ----------------------------------------------------------------------------- where it goes */

/* SplitMix64's finalizer. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint32_t lane_home_of_new(const struct lane_key *key, const uint32_t *partitions, size_t count)
{
    assert(count > 0);
    uint64_t hash = mix(load_le64(key->producer.bytes) + UINT64_C(0x9e3779b97f4a7c15));
    hash = mix(hash ^ load_le64(key->producer.bytes + 8));
    hash = mix(hash ^ key->number);
    uint32_t home = partitions[0];
    uint64_t highest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t weight = mix(hash ^ mix(partitions[i] + UINT64_C(0x9e3779b97f4a7c15)));
        if (weight < highest) { continue; }
        highest = weight;
        home = partitions[i];
    }
    return home;
}

/* ------------------------------------------------------------------------------ who is right */

/* Whether `left` of partition `left_at` is what counts. A total order: exactly one copy wins. */
static bool wins(const struct lane_resume *left, size_t left_at, const struct lane_resume *right,
                 size_t right_at)
{
    if (left->state.home != right->state.home) { return left->state.home > right->state.home; }
    if (left->state.last_sequence != right->state.last_sequence) {
        return left->state.last_sequence > right->state.last_sequence;
    }
    return left_at < right_at;
}

static bool is_outdated(const struct lane_handover_partition *partitions, size_t count, size_t at,
                        const struct lane_resume *lane)
{
    for (size_t i = 0; i < count; i++) {
        if (i == at) { continue; }
        const struct lane_resume *const other =
            lane_resume_set_find(partitions[i].lanes, &lane->state.key);
        if (other != NULL && wins(other, i, lane, at)) { return true; }
    }
    return false;
}

/* A copy goes as soon as one better is met; the best of all is never gone when it is asked for. */
static uint64_t drop_outdated(const struct lane_handover_partition *partitions, size_t count)
{
    uint64_t dropped = 0;
    for (size_t at = 0; at < count; at++) {
        struct lane_resume_set *const lanes = partitions[at].lanes;
        for (size_t i = lanes->count; i-- > 0;) { /* backwards: a removal moves the last one */
            if (!is_outdated(partitions, count, at, &lanes->lanes[i])) { continue; }
            lane_resume_set_remove(lanes, i, NULL);
            dropped++;
        }
    }
    return dropped;
}

/* -------------------------------------------------------------------------------- who moves */

static uint64_t drop_silent(struct lane_resume_set *lanes, int64_t before_wall_ms)
{
    uint64_t dropped = 0;
    for (size_t i = lanes->count; i-- > 0;) {
        if (lanes->lanes[i].state.active_wall_ms >= before_wall_ms) { continue; }
        lane_resume_set_remove(lanes, i, NULL);
        dropped++;
    }
    return dropped;
}

static enum status move_all(const struct lane_handover_partition *partitions, size_t at,
                            const uint32_t *active, size_t active_count)
{
    struct lane_resume_set *const lanes = partitions[at].lanes;
    while (lanes->count > 0) {
        struct lane_resume lane;
        lane_resume_set_remove(lanes, lanes->count - 1, &lane);
        const uint32_t target = lane_home_of_new(&lane.state.key, active, active_count);
        lane.state.home++;
        lane.imported = true;
        const enum status status = lane_resume_set_add(partitions[target].lanes, &lane);
        if (status != STATUS_OK) {
            free(lane.runs);
            return status;
        }
    }
    return STATUS_OK;
}

enum status lane_handover_run(const struct lane_handover_partition *partitions, size_t count,
                              int64_t forget_before_wall_ms, struct lane_handover *out)
{
    *out = (struct lane_handover){.outdated = drop_outdated(partitions, count)};
    uint32_t *const active = malloc((count + 1) * sizeof *active);
    if (active == NULL) { return STATUS_NO_MEMORY; }
    size_t active_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (partitions[i].has_worker) { active[active_count++] = (uint32_t)i; }
    }

    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && active_count > 0 && i < count; i++) {
        if (partitions[i].has_worker) { continue; }
        out->forgotten += drop_silent(partitions[i].lanes, forget_before_wall_ms);
        out->moved += partitions[i].lanes->count;
        status = move_all(partitions, i, active, active_count);
    }
    free(active);
    return status;
}
