/* partitions.h - every partition of the node at start: found, recovered, its ledger taken up again.
 *
 * Purpose  Finds all partitions on the storage, runs recovery on each, settles cluster and log
 *          identities, fills the root page's slots, books in each stats page what the end of the
 *          last run cost (records_lost_at_crash), and makes the supply that goes on from there.
 *          node_logs.c stands it on real files, tests/sim/sim_node.c on simulated ones.
 * Owns     The resumes. Pages and files are the caller's and outlive it.
 * Threads  Main core, before workers start. Writes to the log (logger.h) what stops a start. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/status.h"
#include "dataplane/start_losses.h"
#include "storage/files.h"
#include "storage/lane_recovery.h"
#include "storage/lane_resume.h"
#include "storage/log_resume.h"
#include "storage/recovery.h"
#include "storage/retention.h"
#include "storage/segment_supply.h"
#include "wire/root_page.h"
#include "wire/stats_page.h"
#include "wire/topic_starts.h"

BEGIN_C_DECLS

struct partition {
    struct log_resume *resume;
    struct stats_page *stats;
    struct topic_starts *starts;  /* NULL: topics have none of their own */
    struct lane_resume_set lanes; /* that live here from now on */
    struct start_losses losses;
};

struct partitions {
    struct files files;
    size_t count; /* at least the workers, more when there were more once */
    /* Where the lane clock of every worker begins: at the node's youngest lane, or, when no lane is
     * known, at the wall clock. */
    int64_t lane_clock_ms;
    struct partition items[ROOT_PARTITIONS_MAX];
    /* The items' pages, as retention wants them. */
    const struct stats_page *stats[ROOT_PARTITIONS_MAX];
    struct topic_starts *starts[ROOT_PARTITIONS_MAX];
};

struct partitions_options {
    struct files files;
    struct root_page *root;
    bool root_survived; /* the page is of an earlier start: its slots are a witness */
    size_t worker_count;
    struct recovery_report report;
    struct lane_recovery_report lane_report;
    int64_t wall_ms;
    uint64_t remember_ns; /* lanes.remember; 0: lanes are left alone (no listener takes them) */
    /* The page of a partition, as an earlier start left it or new; `*survived` tells which. */
    enum status (*stats_page)(void *context, uint32_t partition, struct stats_page **out,
                              bool *survived);
    /* Likewise the page of topics' own starts. NULL: there are none. */
    enum status (*starts_page)(void *context, uint32_t partition, struct log_id log_id,
                               struct topic_starts **out);
    /* 16 bytes that nobody else has. */
    struct log_id (*fresh_id)(void *context);
    void *context;
};

/* After it, slots 0..count-1 of the root page are valid. On an error nothing is held. */
MUST_CHECK enum status partitions_open(struct partitions *partitions,
                                       const struct partitions_options *options);
void partitions_close(struct partitions *partitions);

/* Rises over restarts, and over reboots too, which the page does not survive; wherever the wall
 * clock stands. After recovery, which still needs the old one. */
void partitions_begin_incarnation(const struct partitions *partitions, struct root_page *root,
                                  int64_t wall_ms);

/* Room for the index of a segment of that size: on disk, and in shared memory while it is open. */
uint32_t partitions_index_bytes(uint64_t segment_bytes);

/* The supply for the workers' logs, each going on from where its partition ends. `runtime` is the
 * supply's. Nothing is made before segment_supply_work. */
MUST_CHECK enum status partitions_supply(const struct partitions *partitions,
                                         const struct config *config, const char *runtime,
                                         struct segment_supply **out);

struct partitions_retention {
    struct root_page *root;
    struct node_page *node;
    const char *runtime; /* where live indexes are; NULL: they are private */
    uint32_t (*path_of)(void *context, uint32_t partition); /* as retention's; NULL: one path */
    void *context;
};

/* And what removes their segments, orphans' too. The partitions outlive it. */
MUST_CHECK enum status partitions_retention(const struct partitions *partitions,
                                            const struct config *config,
                                            const struct partitions_retention *place,
                                            struct retention **out);

/* What a crash left of a ledger, made to add up again. `survived`: the page is that of the run that
 * ended. Exposed for its test. */
void partitions_settle_ledger(struct stats_page *stats, bool survived,
                              const struct log_resume *resume);

END_C_DECLS
