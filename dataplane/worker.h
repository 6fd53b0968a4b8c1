/* worker.h - one polling core: from its queues to its log, run to completion.
 *
 * Purpose  Composes nic, pipeline and storage, which do not know each other. Its packets and its
 *          disk are ports and time is an argument, so that the simulator runs this very code.
 * Owns     The burst it works on, the open batch, the frames that both point into. Ports, log,
 * rules and pages are borrowed and outlive it. Threads  The worker's own; request_stop alone is for
 * any thread. C8       No lock, allocation or system call in worker_turn, but what the disk port's
 *          io_uring_enter does.
 * Ledger   Every frame received ends in one counter of the stats page, every record in one of
 *          stored, dropped, refused, or is in flight (docs/operations.md). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/config.h"
#include "base/note.h"
#include "base/siphash.h"
#include "base/status.h"
#include "dataplane/cookie.h"
#include "dataplane/lane_homes.h"
#include "dataplane/listeners.h"
#include "dataplane/rules_rcu.h"
#include "dataplane/topic_hashes.h"
#include "nic/frame.h"
#include "nic/packets.h"
#include "nic/steering.h"
#include "pipeline/rules.h"
#include "storage/core_log.h"
#include "storage/lane_journal.h"
#include "storage/lane_table.h"
#include "wire/record_batch.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct worker; /* opaque */

enum { WORKER_RECORDS_MAX = 512 }; /* decoded and not yet in the batch: judged at once, at most */

struct worker_port {
    struct packets packets;
    const struct interface *interface;
    const struct steering *steering; /* NULL: which queue a flow comes to is not known */
};

/* What the native protocol needs, where a listener speaks it. All is borrowed. */
struct worker_native {
    struct lane_table *table; /* as recovered */
    struct lane_journal *journal;
    const struct lane_homes *homes;
    const struct topic_hashes *topics;
    const struct cookie_key *cookie_key; /* the node's */
    struct siphash_key session_key;      /* the worker's own */
    uint32_t partition;
    uint64_t incarnation;
    uint32_t max_record_bytes;
    uint32_t commits_in_flight_max;
    uint64_t takeover_after_ns;
    uint64_t session_timeout_ns;
    uint64_t remember_ns;
    int64_t lane_clock_ms; /* at `now` */
    struct instant now;
};

struct worker_options {
    const struct worker_port *ports;
    size_t port_count;
    size_t frames_held_max; /* received frames that the open batch may keep, over all ports */
    const struct listeners *listeners;
    size_t index;                 /* of the worker */
    const struct rule_set *rules; /* judged by for good, where … */
    struct rules_rcu *rules_rcu;  /* … this is NULL: else by the newest of these */
    struct core_log *log;
    const int32_t *log_topics; /* by the configuration's topic index: the log's own number */
    size_t topic_count;
    struct stats_page *stats;
    struct note_ring *notes; /* may be NULL */
    size_t commit_bytes;     /* of record batches in one commit, at most */
    size_t commit_records_max;
    uint64_t commit_linger_ns;
    uint64_t commit_linger_unacked_ns;
    const struct worker_native *native; /* NULL: no listener speaks it */
    bool announces; /* asks for the gateway and announces the address: one worker of a node does */
    const enum record_codec *codecs; /* by the configuration's topic index; NULL: all plain */
    uint32_t compression_percent;    /* of its time, at most */
};

MUST_CHECK enum status worker_create(const struct worker_options *options, struct worker **out);
/* Gives back every frame that it still holds, and the rules. The log must be finished or closed.
 * NULL is fine. */
void worker_destroy(struct worker *worker);

/* One turn of the wheel: at most one burst. Answers whether it found anything to do. */
bool worker_turn(struct worker *worker, struct instant now);

/* Around a sleep of its thread, which judges nothing meanwhile: a worker that holds nothing judged
 * lets go of its rules, so that a swap does not wait for it, and takes the newest when it wakes. */
void worker_sleeps(struct worker *worker);
void worker_wakes(struct worker *worker);

/* From now on nothing is received; what was received becomes durable, the log is sealed. Any
 * thread, a signal handler's too. */
void worker_request_stop(struct worker *worker);

/* After a stop: everything is durable and sealed, or the log is closed and cannot be. */
bool worker_is_done(const struct worker *worker);

END_C_DECLS
