/* seat.h - one worker and its log, put together from the configuration.
 *
 * Purpose  The one place where a configuration becomes the options of core_log and worker: node.c
 *          seats it on io_uring and DPDK, tests/sim/sim_node.c on simulated ports.
 * Owns     Log, worker and notes, until seat_deinit. Everything in the options is borrowed and
 *          outlives it.
 * Threads  Cold: the main core. The worker then runs on its own, and takes the log with it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/note.h"
#include "base/status.h"
#include "dataplane/listeners.h"
#include "dataplane/partitions.h"
#include "dataplane/worker.h"
#include "pipeline/rules.h"
#include "storage/core_log.h"
#include "storage/disk.h"
#include "storage/lane_journal.h"
#include "storage/lane_table.h"

BEGIN_C_DECLS

struct seat {
    struct core_log *log;
    struct lane_table *lanes; /* NULL, like the journal: no listener speaks the native protocol */
    struct lane_journal *journal;
    struct worker *worker;
    struct note_ring notes;
    int32_t log_topics[CONFIG_TOPICS_MAX]; /* by the configuration's topic index */
};

/* The node's part of the native protocol, shared by all seats. */
struct seat_native {
    struct topic_hashes topics;
    struct cookie_key cookie_key;
    struct siphash_key key; /* every worker's session and table keys come from it */
    struct lane_homes *homes;
    int64_t lane_clock_ms; /* struct partitions */
};

/* `partitions` says where known lanes live. `entropy`: 64 bytes that nobody can guess (the
 * simulator's may). */
MUST_CHECK enum status seat_native_init(struct seat_native *native, const struct config *config,
                                        const struct partitions *partitions,
                                        const uint8_t entropy[64]);
void seat_native_deinit(struct seat_native *native);

struct seat_options {
    const struct config *config;
    size_t index; /* of the worker, and so its partition */
    const struct partition *partition;
    struct root_page *root; /* its incarnation is the new one already */
    struct segment_supply *supply;
    struct disk disk;
    struct commit_ring_header *ring;
    const struct worker_port *ports; /* as many as the configuration has */
    size_t buffer_count;             /* frames that the ports' pools hold for this worker */
    size_t commit_records_max;
    uint32_t lane_pool_runs; /* of fates not confirmed, beyond two a lane */
    const struct listeners *listeners;
    const struct rule_set *rules;     /* judged by for good, where … */
    struct rules_rcu *rules_rcu;      /* … this is NULL */
    const struct seat_native *native; /* NULL: no listener speaks it */
    struct instant now;
};

enum { /* of a node in service */
       SEAT_COMMIT_RECORDS_MAX = 65536,
       SEAT_LANE_POOL_RUNS = 65536,
};

/* Fills memory of the caller. Says itself (logger.h) what is wrong; then seat_deinit. */
MUST_CHECK enum status seat_init(struct seat *seat, const struct seat_options *options);
/* The log is finished, or closed with every write reaped. Zeroed memory is fine. */
void seat_deinit(struct seat *seat);

END_C_DECLS
