/* reader_partition.h - one log as a reader sees it: its segments in order, its watermarks.
 *
 * Purpose  Finds out which segments there are and from where each is best known (live index,
 * footer, scan), follows the open one, and lets retired ones go. Owns     Its segments and the
 * mapping of the commit ring. Threads: the reader's one. Order    A topic's offsets rise from
 * segment to segment; lookups go from the newest down, because nearly all of them are for the
 * newest. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/mapped_file.h"
#include "storage/files.h"
#include "storage/open_segments.h"
#include "storage/reader_catalog.h"
#include "storage/reader_segment.h"
#include "wire/commit_ring.h"

BEGIN_C_DECLS

struct partition_topic { /* by the log's topic number */
    bool known;
    int32_t catalog; /* index there */
    uint64_t log_start;
    uint64_t high_watermark; /* never goes back */
};

struct reader_partition {
    uint32_t number;
    struct reader_catalog *catalog;
    struct reader_segment **segments; /* by number */
    size_t segment_count;
    size_t segment_capacity;
    uint64_t first_segment_number; /* below this: retired */
    bool complete;
    bool look_again; /* something was about to appear */
    struct log_id cluster_id;
    struct log_id log_id; /* whose segments these are; all zero: none was seen yet */
    size_t foreign_count; /* files of the last look that name another place: never served */
    struct mapped_file ring;
    struct mapped_file starts;    /* topics' own; unmapped: none */
    uint64_t starts_generation;   /* when they were looked at last */
    uint64_t ring_capacity_bytes; /* as it was when the ring was mapped: never asked again */
    int16_t *local_of;            /* the log's number of a catalog topic, -1: none */
    size_t local_count;
    struct partition_topic topics[LOG_TOPICS_MAX];
};

/* What the root page says of it at the moment. */
struct partition_view {
    struct files files;
    struct open_segments *open;
    const char *runtime;
    bool recovered; /* ingest, alive or not, got past recovery in this incarnation */
    uint64_t incarnation;
    struct log_id log_id; /* all zero: it does not say */
    uint64_t open_segment_number;
    uint64_t first_segment_number;
    size_t *index_room_bytes; /* what indexes of segments that are found may still take */
};

/* NULL: no memory. */
struct reader_partition *reader_partition_create(uint32_t number, struct reader_catalog *catalog);
void reader_partition_destroy(struct reader_partition *partition);

/* Looks at directories and mappings again; answers whether anything became visible or went. Another
 * log than before: all that was known of the old one goes. */
bool reader_partition_look(struct reader_partition *partition, const struct partition_view *view);

/* Takes over what live indexes count now, and where topics begin by limits of their own. */
bool reader_partition_follow(struct reader_partition *partition);

/* Segments below `first` vanish. */
bool reader_partition_retire(struct reader_partition *partition, struct open_segments *open,
                             uint64_t first);

/* The log's topic number of a catalog topic; -1: this partition never saw it. */
int32_t reader_partition_local(const struct reader_partition *partition, size_t topic);

/* NULL when there is none of this number, or it is another one now. */
struct reader_segment *reader_partition_segment(const struct reader_partition *partition,
                                                uint64_t number, const struct log_id *nonce);

/* The ring that holds what was written in this incarnation, ring_capacity_bytes of it; NULL: none.
 */
const struct commit_ring_header *reader_partition_ring(const struct reader_partition *partition,
                                                       uint64_t incarnation);

END_C_DECLS
