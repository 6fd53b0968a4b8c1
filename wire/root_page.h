/* root_page.h - the node at a glance: who runs, which partitions, up to where.
 *
 * File     `root` in the runtime directory; made at the first start, kept and reused by later ones
 *          (a reader maps it once).
 * Threads  The main core writes the node's fields; each partition's slot is written by its worker,
 *          and by the main core while the worker does not run. Any process reads.
 * Witness  After a kill -9 the slots tell recovery exactly what had become durable: nothing was
 *          acknowledged or served beyond durable_number. After a reboot the page is gone, and with
 *          it that knowledge (docs/log-format.md, "Recovery"). */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/log_format.h"
#include "wire/shared.h"

BEGIN_C_DECLS

enum {
    ROOT_PARTITIONS_MAX = 256,
    ROOT_NODE_NAME_BYTES = 64,
};

enum root_state {
    ROOT_STATE_STARTING,   /* ports and memory are being set up */
    ROOT_STATE_RECOVERING, /* logs are being read; slots are not valid yet */
    ROOT_STATE_RUNNING,
    ROOT_STATE_DRAINING, /* no longer receives; what was received is becoming durable */
    ROOT_STATE_STOPPED,  /* left in order: every segment is sealed */
};

enum root_log_state {
    ROOT_LOG_ABSENT,
    ROOT_LOG_OPEN,   /* a worker writes it */
    ROOT_LOG_CLOSED, /* writes are refused for now; see why */
    ROOT_LOG_ORPHAN, /* no worker: served and expired only */
};

struct root_partition {
    struct log_id log_id;
    struct log_id nonce;                    /* of the segment that holds durable_number */
    SHARED_ATOMIC(uint64_t) durable_number; /* highest commit that is durable, with all before */
    SHARED_ATOMIC(uint64_t) open_segment_number;  /* 0: none */
    SHARED_ATOMIC(uint64_t) first_segment_number; /* below this: retired, about to be removed */
    SHARED_ATOMIC(uint32_t) state;                /* enum root_log_state */
    SHARED_ATOMIC(uint32_t) why;                  /* enum status, when closed */
    /* The lanes are recovered from this segment on: it and all behind it stay. 0: from none. */
    SHARED_ATOMIC(uint64_t) lane_floor;
    uint8_t padding[CACHE_PAIR_BYTES - 72];
};
static_assert(sizeof(struct root_partition) == CACHE_PAIR_BYTES, "no two cores share a line");

struct root_page {
    uint8_t magic[8]; /* "PENSTRUT" */
    uint32_t version; /* SHARED_VERSION */
    uint32_t partitions_max;
    struct log_id cluster_id;
    char node[ROOT_NODE_NAME_BYTES];
    SHARED_ATOMIC(uint64_t) incarnation;  /* rises with every start; 0: none got that far */
    SHARED_ATOMIC(uint64_t) heartbeat_ns; /* CLOCK_MONOTONIC, every 100 ms by the main core */
    SHARED_ATOMIC(uint64_t) started_ns;
    SHARED_ATOMIC(uint32_t) pid;
    SHARED_ATOMIC(uint32_t) state;           /* enum root_state */
    SHARED_ATOMIC(uint32_t) partition_count; /* slots in use: partitions 0..count-1 */
    SHARED_ATOMIC(uint32_t) worker_count;
    /* Rises whenever a segment is opened, sealed or retired: readers look at the directories again.
     */
    SHARED_ATOMIC(uint64_t) segments_generation;
    uint8_t padding[4096 - 144];
    struct root_partition partitions[ROOT_PARTITIONS_MAX];
};
static_assert(sizeof(struct root_page) == 4096 + ROOT_PARTITIONS_MAX * CACHE_PAIR_BYTES, "packed");

enum { ROOT_HEARTBEAT_STALE_NS = 2 * 1000 * 1000 * 1000 };

/* Fills the fixed part of a zeroed mapping. */
void root_page_init(struct root_page *root);

/* STATUS_TRUNCATED, STATUS_CORRUPT, STATUS_UNSUPPORTED: as live_index_check. */
MUST_CHECK enum status root_page_check(const struct root_page *root, size_t size_bytes);

const char *root_state_text(enum root_state state);
/* "open", "closed", "orphan", "absent" */
const char *root_log_state_text(enum root_log_state state);

END_C_DECLS
