/* sessions_state.h - what sessions.c, handshake.c and acknowledge.c share. Seen by these only. */
#pragma once

#include <stdalign.h>

#include "base/packet_window.h"
#include "base/timer_wheel.h"
#include "dataplane/lane_ring.h"
#include "dataplane/sessions.h"
#include "nic/udp_path.h"

BEGIN_C_DECLS

enum {
    SESSION_LANE_BITS = 24, /* of a session's number: the lane's index */
    SESSION_ACK_DELAY_US = 5000,
    SESSION_TELL_AHEAD = 8,    /* sessions fetched before they are told */
    SESSION_ACK_PACKETS = 8,   /* unacknowledged: an ACK at once */
    SESSION_AHEAD_MAX = 65536, /* sequences beyond the next one */
    SESSION_FRAGMENTS_MAX = 8, /* large records being put together, of one worker */
    SESSION_FRAGMENT_CHUNKS_MAX = 4096,
    SESSION_TOLD_AGAIN_MS = 1000, /* while the log is closed */
    SESSION_CREDIT_MIN_BYTES = 4 * NATIVE_DATAGRAM_BYTES_BASE,
    SESSION_CREDIT_MAX_BYTES = 64 << 20,
    SESSION_TICK_UNIT_BYTES = 64,
    SESSION_ACTIVE_PARTS = 64, /* of a commit's bytes in a tick: who sends less takes no part */
};

enum session_state {
    SESSION_NONE,
    SESSION_OPENING, /* its OPEN is in a commit that is not durable yet */
    SESSION_LIVE,
};

enum session_telling {
    SESSION_TELLS_NOTHING,
    SESSION_TELLS_SOON, /* an ACK when the ack delay is over */
    SESSION_TELLS_NOW,  /* an ACK, an ACCEPT or a CLOSE with the next turn */
};

/* One lane's session, in four cache lines: who sends and what comes next; what a datagram moves;
 * when it is told, and what waits; the handshake's. A datagram in order touches the first three. */
struct session {
    _Alignas(CACHE_PAIR_BYTES) uint64_t id; /* 0: none */
    uint64_t next_sequence;                 /* received in order below it; outlives the session */
    uint64_t heard_ns;                      /* the last datagram that proved to be the peer's */
    struct udp_path path;
    uint8_t port;
    uint8_t state;     /* enum session_state */
    uint8_t telling;   /* enum session_telling */
    bool ready_queued; /* the frames that wait go on */
    uint8_t unacked;   /* datagrams received since the last ACK, saturating */
    bool told_closed;  /* with the last ACK: credit was 0 */
    bool accept_due;
    bool close_due;
    bool unsettled;      /* what its last OPEN changed is not durable; outlives the session */
    bool import_pending; /* came from another partition, and no commit of ours says so yet */
    uint16_t fragment;   /* being put together */

    alignas(LANE_LINE_BYTES) struct packet_window window;
    uint64_t taken_commit;
    uint32_t taken_bytes; /* of the open commit `taken_commit` */
    uint16_t active_tick; /* the newest in which it sent records, and how many units of bytes: */
    uint16_t tick_units;

    alignas(LANE_LINE_BYTES) uint64_t largest_received_ns;
    uint64_t ack_number;
    uint32_t ready_next;
    uint32_t waiting_head; /* nodes, by sequence; LANE_NONE: none */
    uint32_t waiting_tail;
    uint32_t waiting_newest; /* the node that came last, if it still waits */
    uint32_t waiting_count;
    bool in_delayed; /* stands in sessions.delayed, whatever it tells by now */
    bool in_due;     /* likewise */
    uint64_t nonce;  /* of the OPEN that is answered */

    alignas(LANE_LINE_BYTES) uint64_t lost_first;
    uint64_t lost_last;
    uint64_t seen_confirmed; /* by confirm_some, when */
    uint64_t seen_ns;
};
static_assert(offsetof(struct session, window) == LANE_LINE_BYTES, "as said above");
static_assert(offsetof(struct session, largest_received_ns) == 2 * LANE_LINE_BYTES, "likewise");

enum { SESSION_HOT_BYTES = 192 }; /* what datagrams and ACKs touch */
static_assert(offsetof(struct session, nonce) <= SESSION_HOT_BYTES, "three lines");
static_assert(sizeof(struct session) == 2 * CACHE_PAIR_BYTES, "the fourth is the handshake's");

struct waiting_frame {
    struct packet packet;
    uint64_t first_sequence;
    struct instant received;
    uint32_t record_count;
    uint32_t next;
    uint8_t port;
};

struct fragment_buffer {
    uint8_t *at;
    uint32_t record_bytes;
    uint32_t missing_chunks;
    uint32_t lane;
    uint64_t began_ns;
    uint64_t progress_ns; /* when the last chunk came that was new */
    bool used;
    bool handed_out; /* its record is on the way to a commit */
    uint64_t chunks[SESSION_FRAGMENT_CHUNKS_MAX / 64];
};

struct session_queue { /* of lanes */
    uint32_t head;
    uint32_t tail;
};

struct sessions {
    struct sessions_options options; /* its arrays are not looked at again: */
    const struct interface *interfaces[CONFIG_PORTS_MAX];
    const struct steering *steerings[CONFIG_PORTS_MAX];
    struct lane_table *table;
    struct lane *lanes;
    struct lane_journal *journal;
    struct stats_page *stats;
    struct outbox *outbox;
    struct session *items; /* by lane */
    uint32_t capacity;
    struct timer_wheel *wheel; /* sessions' ends */

    struct waiting_frame *waiting;
    uint32_t waiting_free; /* list of unused nodes */
    uint32_t waiting_used;
    struct session_queue ready; /* through ready_next */

    struct fragment_buffer fragments[SESSION_FRAGMENTS_MAX];

    struct lane_ring delayed; /* with the end of their ack delay, in its order */
    struct lane_ring due;

    uint32_t lane_in_hand; /* the worker has not taken all of its datagram's records; LANE_NONE */
    uint32_t live_count;   /* sessions, OPENING ones too */
    uint64_t session_counter;

    /* credit */
    uint8_t status; /* enum native_status */
    uint32_t credit_bytes;
    uint32_t commit_share_bytes; /* of one lane, of one commit */
    uint64_t open_commit;        /* counts them: tags session.taken_bytes */
    uint32_t tick;               /* of 100 ms */
    uint64_t tick_began_ns;
    uint16_t active_units; /* that make a lane active in a tick */
    uint32_t active_now;   /* lanes that sent records in this tick, and in the last one */
    uint32_t active_before;
    uint64_t told_ns;     /* all sessions were last told of a closed log */
    uint32_t tell_cursor; /* walk over all sessions: LANE_NONE when there is none */

    int64_t lane_clock_ms; /* at lane_clock_ns */
    uint64_t lane_clock_ns;
    uint32_t forget_cursor;
    uint32_t confirm_cursor;
    uint32_t import_cursor;
    bool importing;
    bool draining;
    uint32_t drain_cursor;
};

static inline void sessions_count(struct sessions *sessions, enum stats_counter counter,
                                  uint64_t by)
{
    stats_add(sessions->stats, counter, by);
}

/* A session that will be looked at soon, with its lane. With 100,000 of them every look is a miss.
 */
static inline void session_prefetch(const struct sessions *sessions, uint32_t lane)
{
    prefetch(&sessions->items[lane], SESSION_HOT_BYTES);
    prefetch(&sessions->lanes[lane], sizeof(struct lane));
}

static inline uint32_t session_lane_of(uint64_t id)
{
    return (uint32_t)(id & ((UINT64_C(1) << SESSION_LANE_BITS) - 1));
}

/* Whatever fates this many more records get, there are runs for them; else they wait until the
 * producer has confirmed some. */
bool session_fates_have_room(const struct sessions *sessions, uint32_t lane, uint32_t record_count);

/* The session gets an ACK (or what else is due) with the next turn. */
void session_tell_now(struct sessions *sessions, uint32_t lane);
/* … or when the ack delay is over, unless something tells it before. */
void session_tell_soon(struct sessions *sessions, uint32_t lane, uint64_t now_ns);
/* It has nothing to tell any more. */
void session_told(struct sessions *sessions, uint32_t lane);

/* Frees what the session holds; the lane and its next_sequence stay. */
void session_end(struct sessions *sessions, uint32_t lane);

/* handshake.c */
void handshake_hello(struct sessions *sessions, const struct session_input *input,
                     const struct udp_path *path, uint64_t nonce);
void handshake_open(struct sessions *sessions, const struct session_input *input,
                    const struct udp_path *path, uint64_t nonce, const struct native_open *open);
void handshake_versions(struct sessions *sessions, const struct session_input *input,
                        const struct udp_path *path, uint64_t token);
void handshake_reject(struct sessions *sessions, size_t port, const struct udp_path *path,
                      uint64_t token, const struct native_reject *reject);
void handshake_accept(struct sessions *sessions, uint32_t lane);

/* acknowledge.c: one frame to the session's peer; false: no buffer just now. */
bool acknowledge_send_ack(struct sessions *sessions, uint32_t lane, struct instant now);
bool acknowledge_send_close(struct sessions *sessions, uint32_t lane,
                            enum native_close_reason reason);

END_C_DECLS
