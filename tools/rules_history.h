/* rules_history.h - which rules judged which offsets, from the headers of the commits on disk.
 *
 * Purpose  Every commit names the epoch of the one rule set that judged all of it. Consecutive
 *          commits with one epoch make a span, by partition and topic.
 * Reads    Headers and directories (storage/lane_walk.h): 16 KiB a long commit, and all of commits
 *          up to 64 KiB, which are read through faster than around. No record is looked at. Not
 *          fewer: the index of a footer knows no epochs, and what is the same at both ends of a
 *          segment may have been another between them.
 * Owns     Its spans, until rules_history_deinit. Threads: one; cold. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "tools/log_places.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct rules_span {
    uint32_t partition;
    char *topic;
    uint64_t epoch; /* 0: there was no rules file */
    uint64_t first_offset;
    uint64_t last_offset;
    uint64_t records;
    int64_t first_wall_ms; /* when its first and last commit were closed */
    int64_t last_wall_ms;
};

struct rules_history {
    const char *topic;    /* NULL: all */
    int64_t from_wall_ms; /* commits closed from here */
    int64_t to_wall_ms;   /* and before here */
    /* Bytes of a file whose commits cannot be read, and why. */
    void (*on_loss)(void *context, const char *path, uint64_t begin, uint64_t end,
                    const char *what);
    void *context;

    struct rules_span *spans; /* by place, in the order in which they began */
    size_t span_count;
    size_t span_capacity;
    uint64_t losses;
    bool topic_found;
    uint64_t newest_epoch; /* of the commit closed last, of any kind */
    int64_t newest_wall_ms;
    bool has_newest;

    char names[LOG_TOPICS_MAX][LOG_TOPIC_NAME_BYTES_MAX + 1]; /* of the log at hand */
    size_t open_spans[LOG_TOPICS_MAX];                        /* index + 1; 0: none */
};

/* All chosen segments of the place, oldest first. The struct is zeroed but for the selection. */
void rules_history_place(struct rules_history *history, const struct log_place *place);
void rules_history_deinit(struct rules_history *history);

END_C_DECLS
