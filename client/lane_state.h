/* lane_state.h - the fields of a lane, for its files alone: lane.c (what the owner calls),
 * lane_handshake.c (until a session stands, and its end), lane_acks.c (what ACKs say),
 * lane_packets.c (what goes into the next datagram), lane_path.c (how large it may be).
 *
 * Sequences in their order, each a cursor:
 *
 *   told_next <= fate_next <= received_next <= new_next      of the session: sent below it
 *   slots are    fates are     the appliance    next_sequence of the lane: given below it
 *   free below   known below   has all below
 *
 * new_next may lie above next_sequence: the appliance has records of an earlier process that this
 * one did not give (yet). They need not be sent; only their fates are waited for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/invariant.h"
#include "base/random.h"
#include "client/congestion.h"
#include "client/lane.h"
#include "client/loss.h"
#include "client/pacing.h"

#define LANE_MS UINT64_C(1000000)
#define LANE_S  UINT64_C(1000000000)

#define LANE_PING_WAIT_NS     (100 * LANE_MS)
#define LANE_PING_WAIT_NS_MAX LANE_S

enum {
    LANE_PACKETS_MIN = 256, /* of the loss ring */
    LANE_PACKETS_MAX = 4096,
    LANE_ASSEMBLIES = 64, /* records that are sent in fragments at the same time */
    LANE_CHUNKS_MAX = LANE_RECORD_BYTES_MAX / NATIVE_FRAGMENT_CHUNK_BYTES,
    LANE_CHUNK_WORDS = LANE_CHUNKS_MAX / 64,
    LANE_NO_ASSEMBLY = UINT16_MAX,
    LANE_AHEAD_MAX = 65536,               /* protocol.md, section 7 */
    LANE_FRAGMENT_ROOM_BYTES = 64 * 1024, /* above any datagram */
    LANE_DATA_AROUND_BYTES = NATIVE_DATA_HEADER_BYTES + NATIVE_TRAILER_BYTES,
    LANE_FRAGMENT_AROUND_BYTES = NATIVE_FRAGMENT_HEADER_BYTES + NATIVE_TRAILER_BYTES,
};

enum lane_phase { /* protocol.md, section 5 */
                  LANE_IDLE,
                  LANE_HELLO_SENT,
                  LANE_OPEN_SENT,
                  LANE_MOVING, /* waits for lane_moved */
                  LANE_WAITING,
                  LANE_OPEN,
                  LANE_CLOSING,
                  LANE_CLOSED,
                  LANE_FAILED,
};

enum lane_record_state { /* in the session that stands */
                         LANE_RECORD_UNSENT,
                         LANE_RECORD_SENT, /* each byte of it was acked or has one packet in flight
                                            * that answers for it
                                            */
                         LANE_RECORD_DUE,  /* it, or chunks of it, have to be sent (again) */
                         LANE_RECORD_RECEIVED,
};

struct lane_slot { /* of one record: slots[sequence & mask] */
    struct native_record record;
    uint64_t given_ns;
    uint32_t record_bytes; /* without its length prefix */
    uint16_t assembly;     /* LANE_NO_ASSEMBLY: not in fragments */
    uint8_t fate;          /* holds below fate_next */
};

struct lane_assembly { /* a record in fragments: which chunks have to be sent */
    uint64_t sequence; /* 0: free */
    uint32_t due_count;
    uint32_t chunk_count;
    uint64_t due[LANE_CHUNK_WORDS];
};

enum lane_packet_kind {
    LANE_PACKET_DATA,
    LANE_PACKET_FRAGMENT,
    LANE_PACKET_PING,
    LANE_PACKET_PATH
};

struct lane_packet { /* what a packet number carried: packets[number & mask] */
    uint64_t first;
    uint32_t count;       /* records, or chunks */
    uint32_t first_chunk; /* FRAGMENT */
    enum lane_packet_kind kind;
    bool copy; /* a probe: another packet answers for these records */
};

struct lane_handshake {
    uint64_t nonce;
    uint64_t previous_session;
    uint64_t timer_ns; /* T1, or the end of WAITING */
    struct native_cookie cookie;
    uint32_t hello_doublings;
    uint32_t open_doublings;
    uint32_t retry_doublings; /* of waits without a time of the appliance's */
    uint32_t opens_sent;      /* with this nonce */
    uint32_t closes_sent;
    uint32_t redirects_in_row;
    bool datagram_due;
    bool begin;           /* until the lane was opened once */
    bool opened;          /* once */
    bool cookie_rejected; /* since the last ACCEPT */
};

struct lane_session {
    uint64_t id; /* 0: none */
    uint64_t next_packet;
    uint64_t durable;  /* as ACCEPT said */
    uint64_t ack_next; /* one above the highest ack number seen */
    uint64_t heard_ns;
    uint64_t sent_ns;
    uint64_t flight_began_ns; /* when the flight was last empty before a packet */
    uint64_t timeout_ns;
    uint64_t ping_wait_ns;
    uint64_t probe_next; /* where a second probe goes on */
    uint32_t probes_due;
    uint32_t credit_bytes;
    uint32_t max_record_bytes;
    uint8_t status;
    bool ping_due;
    bool confirm_due; /* a long list of fates was taken in: say so soon */
    bool fruitful;    /* some ACK counted */
};

struct lane_path {      /* RFC 8899 */
    uint32_t bytes;     /* proven, in use */
    uint32_t ceiling;   /* ours and ACCEPT's */
    uint32_t upper;     /* what may still be found, at most */
    uint32_t candidate; /* 0: nothing is searched for until search_ns */
    uint32_t tries;
    uint32_t large_lost; /* datagrams above the base in a row */
    uint64_t search_ns;  /* when the next search begins */
    uint64_t deadline_ns;
    uint64_t number; /* of the probe that is out */
    bool probing;
};

struct lane_events {
    struct lane_event pending[LANE_EVENT_KINDS]; /* FATES is in the slots instead */
    uint64_t stamps[LANE_EVENT_KINDS];           /* 0: none of this kind */
    uint64_t next_stamp;
};

struct lane {
    struct lane_options options;
    struct random random;
    enum lane_phase phase;
    uint64_t now_ns;
    bool closing;
    bool unknown; /* FAILED because the appliance does not know the lane */

    struct lane_slot *slots;
    uint8_t *states; /* enum lane_record_state */
    uint64_t mask;
    uint64_t told_next;
    uint64_t fate_next; /* 0, as next_sequence: ACCEPT will say */
    uint64_t received_next;
    uint64_t new_next;
    uint64_t next_sequence;
    uint64_t reach;   /* never sent from here on, in no session */
    uint64_t durable; /* fates taken in up to it; NATIVE_UNKNOWN until ACCEPT */
    uint64_t flush_next;
    uint64_t due_from; /* no DUE record below */
    uint64_t due_count;
    uint64_t hole_end;     /* the session lost something below it */
    uint64_t unsent_bytes; /* of new_next .. next_sequence - 1 */
    uint64_t used_bytes;   /* credit: of what was sent and has no fate */

    struct lane_assembly *assemblies;
    uint32_t assemblies_free;
    uint8_t *head; /* of the record head_sequence: all before its value, and the value's start */
    uint64_t head_sequence;

    struct loss *loss;
    struct lane_packet *packets;
    uint64_t packet_mask;
    struct congestion congestion;
    struct pacing pacing;

    struct lane_handshake handshake;
    struct lane_session session;
    struct lane_path path;
    struct lane_events events;
    struct lane_stats stats;
};

static inline uint64_t lane_least(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static inline uint64_t lane_most(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

static inline struct lane_slot *lane_slot_of(const struct lane *lane, uint64_t sequence)
{
    assert_hot(sequence >= lane->told_next);
    assert_hot(sequence < lane->next_sequence);
    return &lane->slots[sequence & lane->mask];
}

static inline uint8_t *lane_state_of(const struct lane *lane, uint64_t sequence)
{
    return &lane->states[sequence & lane->mask];
}

/* What a record costs in a datagram and of the credit. */
static inline uint64_t lane_cost_of(const struct lane_slot *slot)
{
    return uvarint64_bytes(slot->record_bytes) + slot->record_bytes;
}

static inline uint64_t lane_flight_bytes(const struct lane *lane)
{
    return loss_in_flight_bytes(lane->loss);
}

static inline struct pacing_rate lane_pacing_rate(const struct lane *lane)
{
    const struct pacing_rate rate = {lane->congestion.window_bytes,
                                     loss_rtt(lane->loss)->smoothed_ns};
    return rate;
}

/* ------------------------------------------------------------------------------ lane.c offers */

void lane_post(struct lane *lane, const struct lane_event *event);
void lane_drop(struct lane *lane);

/* Once all has its fate and the owner closed: says CLOSE, or ends at once. */
void lane_close_if_done(struct lane *lane);

/* -------------------------------------------------------------------- lane_handshake.c offers */

void lane_say_hello(struct lane *lane);
void lane_take_challenge(struct lane *lane, const struct native_cookie *cookie);
void lane_take_accept(struct lane *lane, const struct native_accept *accept);
void lane_take_reject(struct lane *lane, uint64_t token, const struct native_reject *reject);
void lane_take_versions(struct lane *lane, const struct native_versions *versions);
void lane_take_close(struct lane *lane);
void lane_begin_closing(struct lane *lane);
/* The session is gone; the records are not. */
void lane_reopen(struct lane *lane);
void lane_handshake_timer(struct lane *lane);
size_t lane_handshake_datagram(struct lane *lane, uint8_t *room, size_t capacity_bytes);

/* ------------------------------------------------------------------------- lane_acks.c offers */

void lane_take_ack(struct lane *lane, const struct native_ack *ack);
/* Loss timer, silence, PING. */
void lane_session_timer(struct lane *lane);
uint64_t lane_session_timer_ns(const struct lane *lane);
/* The appliance has the record: it need not be sent again. */
void lane_mark_received(struct lane *lane, uint64_t sequence);

/* ---------------------------------------------------------------------- lane_packets.c offers */

size_t lane_session_datagram(struct lane *lane, uint8_t *room);
/* When lane_session_datagram has something; UINT64_MAX: not before something else happens. */
uint64_t lane_session_datagram_ns(const struct lane *lane);
/* Credit keeps the next new record back. */
bool lane_waits_for_credit(const struct lane *lane);
void lane_make_due(struct lane *lane, uint64_t sequence);
void lane_make_chunks_due(struct lane *lane, const struct lane_packet *packet);
void lane_release_assembly(struct lane *lane, struct lane_slot *slot);

/* ------------------------------------------------------------------------- lane_path.c offers */

void lane_path_begin(struct lane *lane, uint32_t peer_bytes);
/* Bytes of the probe to send now; 0: none. */
uint32_t lane_path_probe(const struct lane *lane);
void lane_path_sent(struct lane *lane, uint64_t number);
void lane_path_acked(struct lane *lane, uint64_t number, uint32_t size_bytes);
void lane_path_lost(struct lane *lane, uint64_t number);
/* Datagrams of records, by what one report says of them: a path that swallows the large ones shows
 * in no timeout as long as small ones pass. */
void lane_path_judge(struct lane *lane, uint32_t large_acked, uint32_t large_lost);
void lane_path_fall_back(struct lane *lane);
void lane_path_timer(struct lane *lane);
uint64_t lane_path_timer_ns(const struct lane *lane);
