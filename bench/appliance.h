/* appliance.h - one real worker with its real log, put together as node.c does, fed by its own
 * core.
 *
 * Purpose  The worker's loop, rules, batch, commit ring, io_uring disk, segments and their supply
 *          as in penstock-ingest. What differs: nobody listens on a control socket, the lcore's
 *          body (appliance_ingest) feeds a burst before each turn and ends when told, and nothing
 *          announces itself (a net_ring port would hear its own ARP).
 * Owns     Everything but the port. Directories stay; the caller removes them.
 * Threads  create, destroy on the main lcore; appliance_ingest on worker 0's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "bench/counters.h"
#include "bench/frames.h"
#include "bench/producers.h"
#include "dataplane/node_config.h"
#include "nic/dpdk_port.h"
#include "storage/uring_disk.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct appliance; /* opaque */

/* Says itself what is wrong. `config` and `port` outlive it. */
MUST_CHECK enum status appliance_create(const struct node_config *config, struct dpdk_port *port,
                                        struct appliance **out);
/* The log is finished and sealed first. NULL is fine. */
void appliance_destroy(struct appliance *appliance);

/* What the worker has counted, from its stats page. */
const struct stats_page *appliance_stats(const struct appliance *appliance);
size_t appliance_commit_bytes(const struct appliance *appliance);
enum uring_disk_method appliance_write_method(const struct appliance *appliance);

/* A zero-filled file beside the segments, for the bare writer; -1: it cannot be made. */
int appliance_scratch_file(struct appliance *appliance, uint64_t size_bytes);

struct ingest_run {
    /* in */
    struct appliance *appliance;
    struct frames *frames;
    struct producers *producers; /* NULL: the frames are sent as they are */
    struct frames *flood;        /* beside them; NULL: none */
    uint16_t port_id;
    uint64_t duration_ns;
    /* Frames a second, of the time that feeding itself does not take; 0: as many as go. */
    bool counts_turns; /* two system calls a turn */
    double frames_per_s;
    double flood_per_s;
    /* out */
    uint64_t elapsed_ns; /* until the last record fed was durable */
    uint64_t cpu_ns;
    uint64_t feed_cycles;
    uint64_t turns;
    struct counted counted;
    struct counted worker; /* of its busy turns alone; with counts_turns */
    uint64_t frames_fed;
    uint64_t flood_fed;
    bool timed_out; /* what was fed did not become durable */
};
/* A body for the worker's lcore; `argument` is a struct ingest_run. */
int appliance_ingest(void *argument);

struct open_run {
    struct appliance *appliance;
    struct producers *producers;
    bool timed_out;
};
/* Likewise, with a struct open_run: all lanes of the producers are open then. */
int appliance_open_lanes(void *argument);

END_C_DECLS
