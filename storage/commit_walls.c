#include "storage/commit_walls.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/lane_walk.h"
#include "storage/segment_look.h"

/* From `position` on, until the next mark, commits were closed in this second. */
struct wall_mark {
    uint64_t position;
    int64_t second_end_ms; /* the first millisecond behind it; INT64_MAX: not known */
};

struct commit_walls {
    struct segment_look look;
    struct lane_walk walk;
    bool complete;
    bool no_memory; /* for all marks: then nothing is old */
    struct wall_mark *marks;
    size_t count;
    size_t capacity;
};

enum status commit_walls_create(struct files files, uint32_t partition, uint64_t number,
                                struct commit_walls **out)
{
    struct commit_walls *const walls = calloc(1, sizeof *walls);
    if (walls == NULL) { return STATUS_NO_MEMORY; }
    const enum status status = segment_look_begin(files, partition, number, &walls->look);
    if (status != STATUS_OK) {
        free(walls);
        return status;
    }
    struct chain_segment segment = {
        .number = number,
        .size_bytes = walls->look.size_bytes,
        .header = *segment_scan_header(walls->look.scan),
    };
    segment.trailer_status = segment_scan_trailer(walls->look.scan, &segment.trailer);
    lane_walk_init(&walls->walk, files, walls->look.file, &segment);
    *out = walls;
    return STATUS_OK;
}

static void walls_complete(struct commit_walls *walls)
{
    if (walls->complete) { return; }
    lane_walk_deinit(&walls->walk);
    segment_look_end(&walls->look);
    walls->complete = true;
}

void commit_walls_destroy(struct commit_walls *walls)
{
    if (walls == NULL) { return; }
    walls_complete(walls);
    free(walls->marks);
    free(walls);
}

static int64_t second_end_of(int64_t wall_ms)
{
    if (wall_ms < 0) { return 0; }
    return wall_ms < INT64_MAX - MS_PER_S ? (wall_ms / MS_PER_S + 1) * MS_PER_S : INT64_MAX;
}

static bool mark_add(struct commit_walls *walls, uint64_t position, int64_t second_end_ms)
{
    if (walls->count > 0 && walls->marks[walls->count - 1].second_end_ms >= second_end_ms) {
        return true;
    }
    if (walls->count == walls->capacity) {
        const size_t capacity = walls->capacity == 0 ? 64 : walls->capacity * 2;
        struct wall_mark *const grown = realloc(walls->marks, capacity * sizeof *grown);
        if (grown == NULL) { return false; }
        walls->marks = grown;
        walls->capacity = capacity;
    }
    walls->marks[walls->count++] = (struct wall_mark){position, second_end_ms};
    return true;
}

bool commit_walls_work(struct commit_walls *walls, size_t commits_max)
{
    for (size_t i = 0; i < commits_max && !walls->complete; i++) {
        const uint64_t position = walls->walk.position;
        const bool more = lane_walk_next(&walls->walk);
        const int64_t end_ms = more ? second_end_of(walls->walk.commit.wall_ms) : INT64_MAX;
        walls->no_memory = !mark_add(walls, position, end_ms);
        if (!more || walls->no_memory || walls->walk.position >= walls->walk.end) {
            walls_complete(walls);
        }
    }
    return walls->complete;
}

static bool mark_is_old(const struct wall_mark *mark, const struct age_clock *clock,
                        int64_t limit_ms)
{
    if (mark->second_end_ms == INT64_MAX) { return false; }
    return age_clock_age_ms(clock, mark->second_end_ms) > limit_ms;
}

uint64_t commit_walls_position(const struct commit_walls *walls, const struct age_clock *clock,
                               int64_t limit_ms)
{
    assert(walls->complete);
    if (walls->no_memory) { return 0; }
    size_t begin = 0;
    size_t end = walls->count;
    while (begin < end) { /* the first that is not old */
        const size_t middle = begin + (end - begin) / 2;
        if (mark_is_old(&walls->marks[middle], clock, limit_ms)) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin < walls->count ? walls->marks[begin].position : UINT64_MAX;
}
