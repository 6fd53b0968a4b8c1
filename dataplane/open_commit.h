/* open_commit.h - the commit that is being filled, and when those before it were received.
 *
 * Purpose  Collects judged records until the commit is full or old, holds the frames that they
 *          point into, gathers all of it into the log in one pass, gives the frames back, and
 *          measures how long each record took from its burst to durability.
 * Owns     The batch, the frames held, the arrival times of commits in flight. Ports and log are
 *          borrowed.
 * Threads  The worker's own. Nothing waits or allocates after init. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/config.h"
#include "base/histogram.h"
#include "base/status.h"
#include "nic/packets.h"
#include "pipeline/batch.h"
#include "pipeline/compressor.h"
#include "pipeline/record.h"
#include "pipeline/rules.h"
#include "storage/core_log.h"
#include "storage/lane_journal.h"

BEGIN_C_DECLS

enum { ARRIVALS_MAX = 32 }; /* receive times told apart within one commit */

/* When the records of a commit were received: a few points in time, each with how many. What
 * arrives within `width_ns` of a point is told as if then; in a commit that stays open for long,
 * points are joined and the width doubles. */
struct arrivals {
    uint64_t width_ns;
    uint32_t count;
    struct arrival {
        uint64_t received_ns;
        uint64_t records;
    } items[ARRIVALS_MAX];
};

struct commit_in_flight {
    uint64_t number;
    struct arrivals arrivals;
};

struct held_frames {
    struct packets packets;
    void **handles;
    size_t count;
};

struct open_commit {
    struct core_log *log;
    struct lane_journal *journal; /* NULL: no lanes */
    struct batch *batch;
    struct compressor *compressor; /* NULL: no topic has a codec */
    enum record_codec *codecs;     /* by the configuration's topic index; NULL likewise */
    int32_t *log_topics;           /* by the configuration's topic index */
    uint16_t *batch_topics;        /* room for the topics of one commit */
    uint64_t linger_ns;
    uint64_t linger_unacked_ns;
    uint64_t arrival_width_ns;

    uint64_t began_ns; /* when its first record was received; 0: it has none */
    uint64_t due_ns;   /* of its records, the first that has waited as long as it may */
    bool awaited;      /* producers wait for an acknowledgement of what is in it */
    uint64_t records;  /* distinct ones */
    uint64_t copies;
    bool full; /* nothing more before it is closed: a record, or its lane, or one more burst did not
                * fit
                */
    struct arrivals arrivals;

    struct held_frames held[CONFIG_PORTS_MAX];
    size_t port_count;
    size_t held_count; /* over all ports */
    size_t held_max;

    struct commit_in_flight in_flight[CORE_LOG_IN_FLIGHT_MAX + 1];
    size_t in_flight_head;
    size_t in_flight_count;
};

struct open_commit_options {
    struct core_log *log;
    struct lane_journal *journal; /* may be NULL */
    const int32_t *log_topics;
    size_t topic_count;
    const struct packets *ports; /* frames come from, and go back to */
    size_t port_count;
    size_t frames_held_max;
    size_t bytes_max; /* of record batches */
    size_t records_max;
    uint64_t linger_ns;              /* of records that a producer waits for, and of lanes */
    uint64_t linger_unacked_ns;      /* of others, where there are few */
    const enum record_codec *codecs; /* by topic; NULL: all plain */
    uint32_t compression_percent;    /* of the worker's time */
    struct stats_page *stats;        /* may be NULL without codecs */
};

/* Fills zeroed memory of the caller. On an error deinit frees what is there. */
MUST_CHECK enum status open_commit_init(struct open_commit *commit,
                                        const struct open_commit_options *options);
/* Gives back the frames that it still holds. */
void open_commit_deinit(struct open_commit *commit);

/* No records, and no lanes noted. */
bool open_commit_is_empty(const struct open_commit *commit);

/* STATUS_OK, STATUS_FULL: close it and add again, STATUS_INVALID: no commit could hold it.
 * `awaited`: a producer waits for the record's acknowledgement. */
MUST_CHECK enum status open_commit_add(struct open_commit *commit, const struct record *record,
                                       const struct verdict *verdict, uint64_t received_ns,
                                       bool awaited);

/* Where the record that is added next will stand in `topic` of the configuration. */
struct lane_place open_commit_place(const struct open_commit *commit, uint16_t topic);

/* Keeps a frame until the commit is closed. Room was promised: at most PACKETS_BURST_MAX more once
 * open_commit_is_due says that frames are short. */
void open_commit_hold(struct open_commit *commit, size_t port, void *handle);

/* Full, old, or holding so many frames that receiving would suffer. Records that nobody waits for
 * let it grow old until it is worth a write: they wait linger_ns where what is written is hardly
 * more than they are, up to linger_unacked_ns else. */
bool open_commit_is_due(struct open_commit *commit, uint64_t now_ns);

/* Gathers it into the log and gives its frames back. False: the log cannot take it yet (and where
 * frames are short it is full from then on), or the disk is busy and it may still grow. */
bool open_commit_close(struct open_commit *commit, uint64_t rules_epoch, struct instant now);
/* The same for one that nothing more may come into: it does not wait for a disk that is busy. */
bool open_commit_close_now(struct open_commit *commit, uint64_t rules_epoch, struct instant now);

/* Commits up to `durable_number` are durable: each record's time goes to `latency`. Answers whether
 * there were any. */
bool open_commit_reap(struct open_commit *commit, uint64_t durable_number, uint64_t now_ns,
                      struct histogram *latency);

END_C_DECLS
