/* producer_state.h - what the two halves of a producer share: its face and its thread.
 *
 * Purpose  producer.c has the functions of penstock.h, called by any thread; producer_loop.c is the
 *          one I/O thread. Nobody else includes this.
 * Threads  Three regions: fixed before the thread starts; shared (atomics, or under `mutex`); and
 * the loop's own, which nobody else touches while the thread runs. Handover Records go in over a
 * stack of one atomic pointer, which the loop takes whole and turns around; reports come out over a
 * queue under `mutex`, once a turn. A sender writes to the eventfd only if the loop has said that
 * it sleeps: it says so, then looks at the stack again; a sender pushes, then looks at `asleep`.
 * Both in one total order (seq_cst), so that one of the two sees the other. */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "client/identity.h"
#include "client/lane.h"
#include "client/outgoing.h"
#include "client/producer_config.h"
#include "client/receipts.h"
#include "client/udp_driver.h"

enum { PRODUCER_CALLBACK_BATCH = 64 }; /* reports in one call of on_report */

struct producer_lane {
    /* fixed */
    uint32_t number;
    /* shared */
    atomic_bool failed;     /* takes no more records */
    bool open_wanted;       /* under mutex */
    uint64_t next_sequence; /* under mutex: of the newest ACCEPT; 0: none yet */
    /* the loop's */
    struct lane *lane; /* NULL: failed */
    struct udp_socket socket;
    uint16_t target_port;          /* the appliance's, as redirected */
    uint16_t source_port;          /* the one to come from; 0: any */
    bool readable;                 /* the kernel said so */
    bool used;                     /* has been opened */
    bool closed;                   /* said goodbye */
    bool move_due;                 /* a new socket is needed ... */
    uint64_t move_ns;              /* ... at this time */
    struct outgoing_queue waiting; /* for room in the lane */
    struct outgoing_queue held;    /* by the lane, in order of sequence */
    uint64_t chain_last;           /* receipts: where the chain of hashes ends; 0: nowhere */
    uint64_t chain_hash;
};

/* A lane's figures as penstock_stats_json shows them. */
struct producer_lane_stats {
    struct lane_stats stats;
    uint64_t next_sequence;
    uint64_t durable;
    uint32_t held;
    bool failed;
};

struct penstock_producer {
    /* Fixed. */
    struct penstock_config *config;
    struct sockaddr_in remote;
    struct outgoing_options outgoing;
    uint32_t lane_count;
    uint64_t queue_bytes_max;
    uint64_t queue_records_max;
    uint64_t sticky_bytes;
    int wake_fd;
    int epoll_fd;
    pthread_t thread;
    bool thread_started;

    /* Shared, atomic. */
    _Alignas(CACHE_PAIR_BYTES) _Atomic(struct outgoing *) inbox;
    atomic_uint_fast64_t queue_bytes;
    atomic_uint_fast64_t queue_records;
    atomic_uint_fast64_t without_fate;
    atomic_uint_fast64_t accepted;
    atomic_uint_fast64_t queue_full;
    atomic_uint_fast64_t keyless_bytes;
    _Alignas(CACHE_PAIR_BYTES) atomic_bool asleep;
    atomic_bool closed;      /* takes no more records */
    atomic_bool attention;   /* something under the mutex is new for the loop */
    atomic_uint flush_count; /* threads inside penstock_flush or penstock_close */

    /* Shared, under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* reports, fates, stats, an opened lane, the thread's end */
    struct outgoing_queue reports;
    bool stats_wanted;
    bool stopping;
    uint64_t stop_ns;
    bool stopped;
    uint64_t undelivered_at_close;
    uint64_t stats_turn; /* counts the snapshots */
    struct penstock_stats stats;
    struct producer_lane_stats lane_stats[PENSTOCK_LANES_MAX];

    /* The loop's. */
    _Alignas(CACHE_PAIR_BYTES) struct identity identity; /* its id and epoch are fixed */
    struct udp_driver *driver;
    struct receipts *receipts; /* NULL: none are kept */
    bool receipts_failed;
    bool will_stop;
    bool more; /* the turn left work behind: do not sleep */
    uint64_t now_ns;
    uint64_t stop_at_ns;
    struct outgoing_queue settled; /* fates of this turn */
    struct penstock_stats counted; /* those figures that the loop itself counts */
    struct lane_stats gone;        /* sums of lanes that failed */
    struct producer_lane lanes[PENSTOCK_LANES_MAX];
};

/* The thread's function. */
void *producer_loop(void *producer);

/* Wakes the loop if it sleeps. Any thread. */
void producer_wake(struct penstock_producer *producer);

/* Gives a record's memory back to the queue, and frees it. Any thread. */
void producer_release(struct penstock_producer *producer, struct outgoing *outgoing);

void producer_fill_report(const struct outgoing *outgoing, struct penstock_report *out);

/* Opens a lane's socket as move_due asks. False: not now; move_ns says when to try again, and errno
 * what is wrong. The loop's thread, or before it starts. */
MUST_CHECK bool producer_lane_connect(struct penstock_producer *producer,
                                      struct producer_lane *lane);
