/* core_log.h - one core's log: commits in, durable offsets out.
 *
 * Purpose  Reserves room in the commit ring, closes commits (directory, checksums, chain), writes
 *          them to the open segment with several in flight, moves the watermark in commit order,
 *          publishes the live index and the root page's slot, rolls and seals segments, and reacts
 *          to refused writes (docs/log-format.md and docs/operations.md).
 * Owns     The open segment and those whose writes are in flight. The ring's bytes from reservation
 *          until the disk gave them back; readers may look at any time.
 * Threads  One worker owns a core_log and alone calls it. Nothing waits or allocates after create.
 * Units    Offsets count records by topic; positions and lengths count bytes.
 * Errors   STATUS_BUSY is daily life (commits are behind). STATUS_CLOSED: the disk refused writes
 * on every segment tried; a probe runs every second and the log reopens by itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/note.h"
#include "base/sink.h"
#include "base/status.h"
#include "storage/disk.h"
#include "storage/log_resume.h"
#include "storage/segment_supply.h"
#include "wire/commit_ring.h"
#include "wire/root_page.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

enum {
    CORE_LOG_IN_FLIGHT_MAX = 65, /* 64 being written, and one behind them */
    CORE_LOG_COMMIT_ENTRIES_MAX =
        LOG_TOPICS_MAX + 3, /* topics' records, declarations, totals, lanes */
};

struct core_log; /* opaque */

struct core_log_options {
    struct disk disk;
    struct segment_supply *supply;
    size_t supply_index;
    struct commit_ring_header *ring; /* mapped, capacity at least 4 commits */
    struct root_page *root;          /* segments_generation is raised */
    struct root_partition *slot;
    struct stats_page *stats;
    struct note_ring *notes;         /* may be NULL */
    const struct log_resume *resume; /* read during create only */
    uint64_t incarnation;
    uint32_t commits_in_flight_max; /* closed and not yet durable */
    uint32_t commits_at_disk_max;   /* of these, being written; those behind them wait, gathered */
    uint32_t commit_bytes_max;      /* of one commit of records, header and padding included */
    uint32_t lanes_bytes_max;       /* of these, for its ENTRY_LANES; 0: it never has one */
    uint32_t commit_records_max; /* entries of one commit: bounds what a lost tail can have named */
    uint64_t idle_watermark_ns;  /* a watermark commit after this long without records; 0: never */
    uint64_t segment_age_ns;     /* roll a segment this old if it holds records; 0: by bytes only */
};

/* STATUS_INVALID: segments too small for one commit and a footer, or a commit or footer could
 * exceed LOG_COMMIT_BYTES_MAX. */
MUST_CHECK enum status core_log_create(const struct core_log_options *options,
                                       struct core_log **out);
/* Every write must have been reaped: asserted. NULL is fine. */
void core_log_destroy(struct core_log *log);

/* The log's number of the topic, declared now if it is new. Before the first commit only (cold).
 * A new topic is written down by the first turn, records or not. STATUS_FULL: LOG_TOPICS_MAX, or
 * segments too small for that many. STATUS_INVALID: no name for a topic. */
MUST_CHECK enum status core_log_declare_topic(struct core_log *log, const char *name,
                                              int32_t *out_topic);

/* The offset that the topic's next record gets. */
uint64_t core_log_next_offset(const struct core_log *log, int32_t topic);
uint32_t core_log_leader_epoch(const struct core_log *log);

/* As many commits are closed as may be written at a time: one more would only wait, so only one
 * that cannot grow should be closed. */
bool core_log_disk_is_busy(const struct core_log *log);

/* The number that the next commit gets: between begin and submit, the draft's. */
uint64_t core_log_next_number(const struct core_log *log);
/* Of the open segment; 0: none is. Between begin and submit, the one that the draft goes to. */
uint64_t core_log_open_segment_number(const struct core_log *log);
/* What the newest commit names as its lane_checkpoint; at first, what recovery found. */
uint64_t core_log_lane_checkpoint(const struct core_log *log);

/* Bytes of record batches that fit one commit with `topic_count` topics, at least: beside the
 * largest ENTRY_LANES. */
size_t core_log_commit_room(const struct core_log *log, size_t topic_count);

/* What a commit with `batch_bytes` of `topic_count` topics' batches and no lanes takes on disk. */
size_t core_log_commit_length(size_t topic_count, size_t batch_bytes);

/* A commit being filled: lives on the worker's stack between begin and submit. */
struct commit_draft {
    uint8_t *at; /* in the ring */
    uint64_t ring_position;
    size_t capacity_bytes;
    uint32_t entry_capacity; /* lines reserved in the directory */
    uint32_t entry_count;
    bool has_lanes;
    size_t used_bytes;     /* where the next entry begins */
    uint64_t record_count; /* entries' records, copies included */
};

/* Room for a commit of up to `topic_count` topics' records.
 * STATUS_BUSY    too many in flight, ring full of them, or no segment is ready: reap, later again
 * STATUS_CLOSED  see above */
MUST_CHECK enum status core_log_begin(struct core_log *log, size_t topic_count,
                                      struct commit_draft *out);

/* Where the next RecordBatch is to be encoded (all that is left of the room). */
struct sink core_log_entry_room(const struct commit_draft *draft);

/* Takes what was encoded there into the directory, and the topic's offsets with it. */
void core_log_entry_add(struct core_log *log, struct commit_draft *draft, int32_t topic,
                        uint32_t record_count, uint32_t length_bytes, uint32_t crc32c,
                        int64_t max_timestamp_ms);

/* Takes the ENTRY_LANES that was encoded at core_log_entry_room (at most lanes_bytes_max) into the
 * directory. Once a commit, before its records. A commit may hold lanes and no records. */
void core_log_lanes_add(struct core_log *log, struct commit_draft *draft, uint32_t length_bytes,
                        uint32_t crc32c);

struct commit_facts {
    uint64_t rules_epoch;
    uint64_t records;        /* distinct ones; stats' in-flight gauge falls by it when durable */
    uint64_t records_copies; /* extra entries of the same */
    /* Lanes count from this commit on (a checkpoint that is complete now began there): this one or
     * an earlier one. 0: as before. */
    uint64_t lane_checkpoint;
    bool lane_checkpoint_begins; /* with this commit: retention keeps it from then on */
};

/* Closes and queues it; cannot fail (begin saw to the room). Answers its number. */
uint64_t core_log_submit(struct core_log *log, struct commit_draft *draft,
                         const struct commit_facts *facts, struct instant now);

/* Reaps, moves the watermark, publishes, goes on with rolling and sealing, reacts to errors,
 * probes. Every turn. Answers the highest commit number that is durable with all before it. */
uint64_t core_log_turn(struct core_log *log, struct instant now);

uint64_t core_log_durable_number(const struct core_log *log);
uint32_t core_log_in_flight(const struct core_log *log);

/* Shutdown: no more begins. Seals the open segment once its commits are durable; keep calling turn
 * until it is finished, or closed. */
void core_log_finish(struct core_log *log);
bool core_log_is_finished(const struct core_log *log);

/* STATUS_OK while open, else why it is closed. */
enum status core_log_closed_why(const struct core_log *log);

END_C_DECLS
