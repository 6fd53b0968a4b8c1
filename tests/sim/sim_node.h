/* sim_node.h - an appliance in a box: penstock-ingest's own parts on simulated ports.
 *
 * Purpose  Puts together what dataplane/node.c does (partitions, supply, retention, seats with
 *          their logs and workers), on a simulated disk and packets, in one thread and in time that
 *          comes in as an argument; crashes it, starts it again, stops it in order.
 * Differs  From node.c: what the helper thread and the NIC do happens in sim_node_turn; pages,
 * rings and live indexes are private memory. There is no main core, control socket or reader. Life
 * create, restart; then receive, turn, sent; crash or stop, restart again; destroy. Owns     The
 * disk, the pages, everything that lives between a restart and its end. Threads  One. Aborts when
 * memory is out. Recovery's lines go through logger.h, if not told less. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/config.h"
#include "base/status.h"
#include "nic/frame.h"
#include "pipeline/rules.h"
#include "storage/recovery.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_network.h"
#include "wire/root_page.h"
#include "wire/stats_page.h"
#include "wire/topic_starts.h"

BEGIN_C_DECLS

enum {
    SIM_NODE_WORKERS_MAX = SIM_DISK_QUEUES_MAX,
    SIM_NODE_TOPICS_MAX = 16,
    SIM_NODE_LISTENERS_MAX = 8,
    SIM_NODE_FINDINGS = RECOVERY_FINDING_COUNT,
};

struct sim_node_listener {
    enum config_protocol protocol;
    uint16_t port;
    int32_t topic; /* index in the settings' topics, CONFIG_NO_TOPIC: by rules */
};

struct sim_node_settings {
    uint64_t seed;
    struct interface interface;
    struct sim_node_listener listeners[SIM_NODE_LISTENERS_MAX];
    size_t listener_count;
    const char *topics[SIM_NODE_TOPICS_MAX];
    size_t topic_count;
    const struct rule_set *rules; /* may serve many nodes; NULL: every listener has a topic */
    struct rule_set *rules_file; /* which sim_node_reload may replace; shared with each start. NULL:
                                  * never, it has `rules` */
    uint64_t segment_bytes;
    uint64_t commit_bytes;
    uint64_t commit_linger_ns;
    uint64_t commit_linger_unacked_ns;
    uint32_t commits_in_flight;
    size_t commit_records_max;
    size_t buffer_count;     /* frames that a worker's pool holds */
    size_t receive_max;      /* frames that a queue holds: what comes then is missed */
    uint64_t segment_age_ns; /* 0: as config has it, by retain_age_ns */
    uint64_t retain_bytes;   /* 0: no limit */
    uint64_t retain_age_ns;  /* 0: no limit */
    uint64_t topic_retain_age_ns[SIM_NODE_TOPICS_MAX]; /* 0: no limit of its own */
    uint64_t retention_period_ns;
    /* For listeners of the native protocol (docs/configuration.md, lanes). */
    uint32_t lanes_max;
    uint32_t lane_pool_runs;
    uint64_t lanes_remember_ns;
    uint64_t lanes_takeover_after_ns;
    uint64_t lanes_session_timeout_ns;
    uint64_t lanes_max_record_bytes;
    uint64_t turn_ns; /* a turn that did something takes this long */
    uint64_t idle_ns; /* a worker that found nothing turns again after this long */
};

/* Small and quick: one listener for lines on 5140, one topic "events", segments of 256 KiB, commits
 * of 16 KiB after 2 ms, at 192.0.2.10. */
struct sim_node_settings sim_node_defaults(uint64_t seed);

/* Rules for settings' listeners and topics; NULL when the text is wrong: stderr says why. Free with
 * rule_set_destroy. */
struct rule_set *sim_node_rules(const struct sim_node_settings *settings, const char *text);

struct sim_node; /* opaque */

/* A new disk, and nothing that runs. */
struct sim_node *sim_node_create(const struct sim_node_settings *settings);
void sim_node_destroy(struct sim_node *node);

/* Starts it on what the disk and the pages hold, with any number of workers. What ran before must
 * have crashed or be done. Anything but STATUS_OK: what penstock-ingest would exit for (a disk that
 * refuses); then it is down, and may be tried again. */
MUST_CHECK enum status sim_node_restart(struct sim_node *node, size_t workers, struct instant now);
bool sim_node_is_up(const struct sim_node *node);

/* Another rules file: in force after the next start, and, while it is up, as soon as the rules of
 * the reload before are. `rules` must live as long as the node. */
void sim_node_reload(struct sim_node *node, struct rule_set *rules);

/* One turn of every worker, in seeded order, and what is due of the helper's work. */
void sim_node_turn(struct sim_node *node, struct instant now);
/* When the next turn is worth while: never UINT64_MAX while it is up. */
uint64_t sim_node_next_ns(const struct sim_node *node);

/* A datagram reaches the port; down or with a full queue, it is missed. Its bytes are copied. */
void sim_node_receive(struct sim_node *node, const struct sim_datagram *datagram);
uint64_t sim_node_missed(const struct sim_node *node);
/* Frames that its workers hold, received or reserved: 0 at rest. */
size_t sim_node_frames_held(const struct sim_node *node);
/* The next datagram that it sent; false: none. Its bytes live until the next call. */
bool sim_node_sent(struct sim_node *node, struct sim_datagram *out);
/* The worker that a flow comes to. */
size_t sim_node_queue(const struct sim_node *node, struct sim_address source,
                      struct sim_address target);

enum sim_node_loss {
    SIM_NODE_KEEPS_PAGES, /* the process dies: the pages in shared memory stay */
    SIM_NODE_LOSES_PAGES, /* the machine does: only the disk stays */
};

/* Now, in whatever state it is. Of what was in flight to the disk each sector is kept, lost or
 * garbage, by seed. */
void sim_node_crash(struct sim_node *node, enum sim_node_loss loss);

/* Asks it to stop in order; turns go on until it is done, which the pages then say. */
void sim_node_stop(struct sim_node *node);
/* Every worker is done: all is durable and sealed, or its log is closed and cannot be. */
bool sim_node_is_done(const struct sim_node *node);
/* Takes down what is done. */
void sim_node_close(struct sim_node *node);

/* For faults; another one after each crash or close. */
struct sim_disk *sim_node_disk(struct sim_node *node);
const struct root_page *sim_node_root(const struct sim_node *node);
/* Of the last start; NULL beyond them. Outlives a crash that keeps the pages. */
size_t sim_node_partition_count(const struct sim_node *node);
const struct stats_page *sim_node_stats(const struct sim_node *node, size_t partition);
/* Where its topics begin by limits of their own; NULL beyond the partitions. As long as the pages.
 */
const struct topic_starts *sim_node_starts(const struct sim_node *node, size_t partition);
/* How often recovery found it, over the node's whole life. */
uint64_t sim_node_found(const struct sim_node *node, enum recovery_finding finding);
/* Of everything that it did: writes, what it sent, what it counts (cycles apart). The same for the
 * same seed and the same calls. */
uint64_t sim_node_digest(const struct sim_node *node);

END_C_DECLS
