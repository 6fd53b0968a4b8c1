/* lane.h - one lane of a producer, without sockets, clocks or threads.
 *
 * Purpose  docs/protocol.md, sections 5 and 6.2 to 6.5: records, datagrams and time go in;
 * datagrams, events and one timer come out. The library's driver, the simulator and the fuzzer all
 *          run this very code.
 * Owns     Its ring of records (slices only), loss recovery, congestion control. The bytes that a
 *          record's slices point to (headers array too) stay the caller's and must not change until
 *          the record's fate was handed out.
 * Threads  One owner calls it. No allocation after create.
 * Time     now_ns is monotonic and never goes back: asserted.
 * Path     With datagram_bytes_max above 1,200 datagrams have to leave with DF set, or a probe
 *          proves nothing.
 * Trust    A datagram is a stranger's until its nonce or session and its trailer hold; nothing in
 *          one reaches an assert. What is dropped is counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"
#include "wire/native.h"

BEGIN_C_DECLS

struct lane; /* opaque: the fields live in lane_state.h */

enum { LANE_RECORD_BYTES_MAX = 4 * 1024 * 1024 }; /* an appliance may take less */

struct lane_options {
    struct native_producer_id producer;
    uint32_t number;
    uint64_t epoch;
    uint64_t durable;     /* what OPEN says: 0 for a new lane, NATIVE_UNKNOWN, or what a state file
                             knows; below oldest_held: asserted */
    uint64_t oldest_held; /* the sequence that the first record sent gets; NATIVE_UNKNOWN: whatever
                             ACCEPT says next. What the appliance has from there on already
                             (ACCEPT's next is higher) is taken for the same records: they get their
                             fates and are not sent */
    bool from_durable; /* the owner can give every record from oldest_held on again: the first one
                          sent is that behind those which ACCEPT says are durable */
    bool begin;        /* begin the lane if the appliance does not know it; until it was opened
                          once, then lane_begin_again is the way */
    uint32_t records_max;        /* held at once: a power of two */
    uint32_t datagram_bytes_max; /* of UDP payload: 1,200 or more; larger ones are probed for */
    uint64_t linger_ns;          /* a datagram that is not full waits this long for more records */
    uint64_t initial_rtt_ns;     /* 0: 100 ms */
    bool keep_open;              /* PING an idle session before it times out */
    uint64_t seed; /* nonces and jitter come from it: from entropy, but in the simulator */
};

MUST_CHECK enum status lane_create(const struct lane_options *options, struct lane **out);
/* Records without a fate are simply let go. NULL is fine. */
void lane_destroy(struct lane *lane);

/* ------------------------------------------------------------------------------------ records */

/* The record gets the lane's next sequence; its fate comes as an event.
 * STATUS_OK
 * STATUS_FULL      records_max are held, or the lane still has to learn where its sequence goes on
 *                  (oldest_held unknown, not yet open): poll, later again
 * STATUS_INVALID   larger than the appliance takes (or 4 MiB, before it said), or too many headers
 * STATUS_CLOSED    the lane failed, was closed, or has used its last sequence */
MUST_CHECK enum status lane_send(struct lane *lane, const struct native_record *record,
                                 uint64_t now_ns, uint64_t *out_sequence);

/* Sends what lingers. */
void lane_flush(struct lane *lane, uint64_t now_ns);

/* Opens without waiting for a record; so does the first lane_send, also one that is STATUS_FULL. */
void lane_open(struct lane *lane, uint64_t now_ns);

/* No more records; once all have their fate, says CLOSE. Ends in LANE_EVENT_CLOSED, or, for a lane
 * that fails (has failed), in LANE_EVENT_FAILED. */
void lane_close(struct lane *lane, uint64_t now_ns);

uint32_t lane_held(const struct lane *lane);          /* records without a fate */
uint64_t lane_next_sequence(const struct lane *lane); /* 0: not known yet */
uint64_t lane_durable(const struct lane *lane);

/* ---------------------------------------------------------------------------------- datagrams */

void lane_receive(struct lane *lane, struct bytes datagram, uint64_t now_ns);

/* The next datagram to be sent now, into `room` (datagram_bytes_max long at least); 0: none now.
 * Call until it answers 0; then wait for a datagram, a record, or lane_timer_ns. */
size_t lane_transmit(struct lane *lane, uint8_t *room, size_t capacity_bytes, uint64_t now_ns);

/* When lane_on_timer, and then lane_transmit, want to be called (pacing and linger count);
 * UINT64_MAX: not before something else happens. */
uint64_t lane_timer_ns(const struct lane *lane);
void lane_on_timer(struct lane *lane, uint64_t now_ns);

/* ------------------------------------------------------------------------------------- events */

enum lane_event_kind {
    LANE_EVENT_OPENED, /* ACCEPT: sequence is the next one, detail the incarnation, code the
                          partition */
    LANE_EVENT_FATES,  /* records sequence .. sequence + count - 1 have this fate, durably */
    LANE_EVENT_LOST,   /* sequence .. + count - 1 were durable, and the appliance lost them */
    LANE_EVENT_MOVE,   /* a new local socket is needed before the next datagram is sent: source_port
                          (0: any other), target_port (0: the same); code: the partition, detail:
                          redirects in a row. Call lane_moved when it is there */
    LANE_EVENT_RETRYING, /* code: the reject code, or 0 when the appliance is silent; detail: ms
                            until then (at most a minute, whatever the appliance asked for) */
    LANE_EVENT_FAILED,   /* final, but for lane_begin_again. code: the reject code (FENCED,
                            LANE_UNKNOWN, INVALID, NOT_ALLOWED) or 0 for no common version; detail as
                            in REJECT, or the appliance's version. Records held have no fate */
    LANE_EVENT_CLOSED,   /* after lane_close */
    LANE_EVENT_KINDS,
};

/* A fate: it is durable, and which one it is was told to an earlier process of this lane alone,
 * whose confirmation made the appliance forget it (docs/protocol.md, 6.4). Met only by a process
 * whose `durable` was older than that. */
enum { LANE_FATE_EARLIER = 255 };

struct lane_event {
    enum lane_event_kind kind;
    uint8_t fate; /* enum native_fate, or LANE_FATE_EARLIER */
    uint16_t source_port;
    uint16_t target_port;
    uint32_t code;
    uint64_t sequence;
    uint64_t count;
    uint64_t detail;
};

/* The next event; false when there is none. Fetch them behind every call above: of OPENED, MOVE and
 * RETRYING only the newest waits, two of LOST become one range. These come oldest first, then
 * fates, then FAILED or CLOSED. Fates come in order of sequence, each record's once. The slices of
 * records are let go when their event was handed out. */
bool lane_next_event(struct lane *lane, struct lane_event *out);

/* The new socket is there: at once HELLO. */
void lane_moved(struct lane *lane, uint64_t now_ns);

/* A lane that failed with LANE_UNKNOWN begins again, with BEGIN, at its oldest held record: the
 * application has accepted that what was not durable may be stored twice. STATUS_INVALID in any
 * other state. */
MUST_CHECK enum status lane_begin_again(struct lane *lane, uint64_t now_ns);

/* ------------------------------------------------------------------------------------- figures */

struct lane_stats {
    uint64_t datagrams_sent;
    uint64_t bytes_sent;
    uint64_t datagrams_received;
    uint64_t datagrams_dropped; /* bad trailer, foreign nonce or session, late doubles, lies */
    uint64_t records_sent;      /* first transmissions */
    uint64_t records_resent;
    uint64_t packets_lost;
    uint64_t opens; /* handshakes that were completed */
    uint64_t redirects;
    uint64_t fates_stored;
    uint64_t fates_dropped;
    uint64_t fates_refused;
    uint64_t fates_earlier; /* LANE_FATE_EARLIER */
    uint64_t smoothed_rtt_ns;
    uint64_t congestion_window_bytes;
    uint32_t credit_bytes;   /* as of the newest ACK */
    uint8_t status;          /* of the newest ACK: enum native_status */
    uint16_t datagram_bytes; /* in use now */
    bool open;
};
void lane_stats_of(const struct lane *lane, struct lane_stats *out);

END_C_DECLS
