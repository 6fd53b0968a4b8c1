/* reader_segment.h - one segment as a reader sees it: live in shared memory, or sealed on disk.
 *
 * Purpose  A short summary by topic, always in memory, and the index: of a live segment always, of
 *          a sealed one while the cache has room.
 * Owns     The mapping of a live index, the summary, the index. Threads: the reader's one.
 * Hostile  Shared memory and files are outside bytes: groups are bounded by the mapping, entries by
 *          segment_index_append. What does not hold is left out, and counted in `entries_refused`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "storage/files.h"
#include "storage/open_segments.h"
#include "storage/segment_index.h"
#include "wire/live_index.h"
#include "wire/log_format.h"

BEGIN_C_DECLS

struct segment_span { /* of one topic */
    bool declared;
    uint64_t base_offset; /* next offset when the segment was opened */
    uint64_t next_offset;
    uint64_t first_record; /* offset, when bytes > 0 */
    uint64_t records_end;  /* behind the last record, when bytes > 0 */
    int64_t max_timestamp_ms;
    uint64_t bytes;
};

struct reader_segment {
    uint32_t partition;
    uint64_t number;
    struct log_id nonce;
    struct log_id cluster_id; /* zero where no header told */
    uint32_t leader_epoch;
    bool leader_epoch_known; /* false: the header is lost */
    uint64_t incarnation;
    bool sealed;          /* nothing more will come */
    bool rebuilt;         /* by a scan: the footer is missing or bad */
    uint64_t last_number; /* rebuilt: commits above this were abandoned */
    bool from_live;       /* the index knows ring positions */
    bool has_index;
    struct segment_index index;
    struct segment_span *spans; /* by the log's topic number, LOG_TOPICS_MAX of them */
    struct mapped_file live;    /* until sealed */
    uint32_t live_capacity;     /* bytes of groups that the mapping has room for, checked once */
    struct live_index_reader *live_reader; /* until sealed */
    struct live_index_line live_line;      /* taken from there, and not into the index yet */
    bool live_line_waits;
    uint32_t live_topics_seen;
    struct log_id log_id; /* what a file has to say it is of; all zero: any */
    uint64_t entries_refused;
    uint64_t last_use; /* for the cache */
};

/* Told of every topic that the segment declares. */
struct segment_topics {
    void (*declare)(void *context, int32_t topic, struct bytes name, struct log_id id);
    void *context;
};

/* Maps a live index. STATUS_NOT_FOUND: none, or only prepared. STATUS_CORRUPT, ... */
MUST_CHECK enum status reader_segment_attach(const char *runtime, uint32_t partition,
                                             uint64_t number, struct reader_segment **out);

/* Takes over what a live index counts now; answers whether that was anything. */
bool reader_segment_follow(struct reader_segment *segment, const struct segment_topics *topics);

/* Reads a sealed one by its footer. STATUS_INVALID: a file that was put there: its header names
 * another partition, number or log (`log_id` all zero: any is right). STATUS_NOT_FOUND: prepared
 * only; STATUS_BUSY: no trailer that holds; STATUS_CORRUPT: sealed, and the footer is bad (rebuild
 * it). Blocks. */
MUST_CHECK enum status reader_segment_load(struct files files, uint32_t partition, uint64_t number,
                                           struct log_id log_id,
                                           const struct segment_topics *topics,
                                           struct reader_segment **out);

/* Walks all of it, up to commit `last_number`. Blocks for as long as reading the file takes. */
MUST_CHECK enum status reader_segment_rebuild(struct files files, uint32_t partition,
                                              uint64_t number, struct log_id log_id,
                                              uint64_t last_number,
                                              const struct segment_topics *topics,
                                              struct reader_segment **out);

/* Brings a chunk of its index into memory. STATUS_CORRUPT: what the footer names there is not it;
 * STATUS_NOT_FOUND: the segment is gone. Blocks. */
MUST_CHECK enum status reader_segment_chunk_load(struct files files, struct open_segments *open,
                                                 struct reader_segment *segment,
                                                 struct index_chunk *chunk);

/* Gives a sealed segment its index again: the anchors of its footer's chunks. */
MUST_CHECK enum status reader_segment_index_load(struct files files,
                                                 struct reader_segment *segment);
void reader_segment_index_drop(struct reader_segment *segment);

/* Forgets the footer: the index is made by a scan, at once, as long as the segment is known. */
MUST_CHECK enum status reader_segment_index_rebuild(struct files files,
                                                    struct reader_segment *segment);

void reader_segment_destroy(struct reader_segment *segment);

END_C_DECLS
