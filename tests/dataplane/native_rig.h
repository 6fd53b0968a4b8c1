/* native_rig.h - workers that speak the native protocol, over simulated ports, for tests.
 *
 * Purpose  Puts seats (worker, log, lanes) on a simulated disk and packets as the node does, starts
 *          them again on what the disk holds, with as many workers as a test likes; datagrams go in
 *          and come out with their addresses. One thread; time moves when a turn is asked for.
 * Owns     Everything. Aborts when memory is out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/config.h"
#include "pipeline/rules.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_frames.h"
#include "tests/sim/sim_packets.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

enum {
    NATIVE_RIG_WORKERS_MAX = 4,
    NATIVE_RIG_PORT = 4650,
    NATIVE_RIG_LINES_PORT = 5140,
};

#define NATIVE_RIG_HOST UINT32_C(0xc000020a) /* 192.0.2.10 */

struct native_rig_options {
    uint64_t seed;
    uint32_t lanes_max;
    uint64_t remember_ns;
    uint64_t takeover_after_ns;
    uint64_t session_timeout_ns;
    uint64_t max_record_bytes;
    uint64_t segment_bytes;
    uint64_t commit_bytes;
    uint64_t commit_linger_ns;
    uint64_t commit_linger_unacked_ns; /* 0: as commit_linger_ns */
    uint32_t commits_in_flight;
    size_t commit_records_max;
    uint32_t lane_pool_runs;
    size_t buffer_count;
    bool steering_known;          /* REDIRECT can name a source port */
    const struct rule_set *rules; /* of native_rig_rules; NULL: its own */
};

/* Topics "events" and "payments"; records that hold "healthz" are dropped, "svc=pay" goes to
 * payments, the rest to events. 16 lanes, commits of 64 KiB after 2 ms, 1,024 buffers. */
struct native_rig_options native_rig_defaults(void);

/* The rules above, for many rigs; free with rule_set_destroy. */
struct rule_set *native_rig_rules(void);

struct native_rig; /* opaque */

/* Nothing runs yet, the disk is empty. */
struct native_rig *native_rig_create(const struct native_rig_options *options);
/* Takes down what runs. Aborts when a packet buffer was not given back. */
void native_rig_destroy(struct native_rig *rig);

void native_rig_start(struct native_rig *rig, size_t workers);
/* Of what was in flight to the disk each sector is kept, lost or garbage. */
void native_rig_crash(struct native_rig *rig);
/* Asks workers to stop; turns go on. */
void native_rig_stop(struct native_rig *rig);
bool native_rig_is_done(const struct native_rig *rig);
/* Takes down what is done. */
void native_rig_close(struct native_rig *rig);

struct instant native_rig_now(const struct native_rig *rig);
/* Time moves by `step_ns`, then every worker turns once. */
void native_rig_turn(struct native_rig *rig, uint64_t step_ns);
/* As many turns of `step_ns` as the time takes. */
void native_rig_run(struct native_rig *rig, uint64_t time_ns, uint64_t step_ns);

/* A datagram to port NATIVE_RIG_PORT, on the queue that the flow belongs to. */
void native_rig_put(struct native_rig *rig, struct sim_address source, struct bytes payload);
/* The same to any port, and as raw bytes of a frame to any queue. */
void native_rig_put_to(struct native_rig *rig, struct sim_address source, uint16_t port,
                       struct bytes payload);
void native_rig_put_frame(struct native_rig *rig, size_t queue, struct bytes frame);
/* The oldest datagram that was sent; false: none. Its bytes live until the next call. */
bool native_rig_take(struct native_rig *rig, struct sim_datagram *out, size_t *out_frame_bytes);
size_t native_rig_queue(const struct native_rig *rig, struct sim_address source);

struct sim_disk *native_rig_disk(struct native_rig *rig);
struct stats_page *native_rig_stats(struct native_rig *rig, size_t worker);
/* The oldest segment of the partition that lanes are recovered from; 0: none. */
uint64_t native_rig_lane_floor(const struct native_rig *rig, size_t partition);
struct sim_packets *native_rig_packets(struct native_rig *rig, size_t worker);
/* Nothing received waits, or is held, or in flight. */
bool native_rig_is_idle(const struct native_rig *rig);

END_C_DECLS
