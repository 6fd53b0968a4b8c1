/* sessions.h - the appliance's side of the native protocol, of one worker.
 *
 * Purpose  From a datagram to what the worker has to do about it (records to take, a frame to
 * keep), and from durable commits to ACKs. docs/protocol.md, section 6, is its table. Three files:
 * sessions.c what producers send, handshake.c how a session comes to be, acknowledge.c what it is
 * told. Owns     One session a lane of the table, the frames that wait for a gap to fill, the
 * buffers in which large records are put together. All of it is allocated, and touched, at create.
 * Threads  The worker's own; stats are the worker's page. Time comes in as an argument.
 * Trust    Every byte of a datagram is a stranger's. Before a cookie came back nothing is kept and
 *          no answer is longer than its question. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/note.h"
#include "base/status.h"
#include "dataplane/cookie.h"
#include "dataplane/lane_homes.h"
#include "dataplane/outbox.h"
#include "nic/frame.h"
#include "nic/packets.h"
#include "nic/steering.h"
#include "storage/lane_journal.h"
#include "storage/lane_table.h"
#include "wire/native.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

#define SESSION_FRAGMENT_NONE UINT16_MAX

struct sessions; /* opaque */

struct sessions_options {
    struct lane_table *table;
    struct lane_journal *journal;
    const struct lane_homes *homes;
    const struct cookie_key *cookie_key;       /* the node's: the same on every worker */
    struct siphash_key session_key;            /* the worker's: session numbers come from it */
    const struct interface *const *interfaces; /* by port; copied */
    const struct steering *const
        *steerings; /* by port, copied; NULL: the device's hash is not known */
    size_t port_count;
    struct outbox *outbox;
    struct stats_page *stats;
    struct note_ring *notes; /* may be NULL */
    uint32_t partition;
    uint64_t incarnation;
    uint32_t frames_waiting_max; /* kept until a gap fills, over all lanes */
    uint32_t max_record_bytes;
    uint16_t datagram_bytes;        /* the largest UDP payload that every port takes */
    uint64_t commit_bytes;          /* of one commit, and how many of them may be in flight: */
    uint32_t commits_in_flight_max; /* credit is made of these */
    uint64_t takeover_after_ns;
    uint64_t session_timeout_ns;
    uint64_t remember_ns;
    int64_t lane_clock_ms; /* at `now`: not below any lane of the table, the same on all workers */
    struct instant now;
};

/* The lanes of the table, as restored, are known and have no session. */
MUST_CHECK enum status sessions_create(const struct sessions_options *options,
                                       struct sessions **out);
/* Every frame must have been given back (sessions_release_all): asserted. NULL is fine. */
void sessions_destroy(struct sessions *sessions);
/* Gives back the frames that wait. */
void sessions_release_all(struct sessions *sessions);

/* ------------------------------------------------------------------------------------ receive */

struct session_input {
    const struct packet *packet;
    const struct datagram *datagram;
    size_t port;
    struct instant received;
    bool again; /* a frame that waited (sessions_take_ready) */
};

enum session_result {
    SESSION_DONE,    /* nothing more to do: give the frame back */
    SESSION_KEPT,    /* the frame waits here: it is ours now */
    SESSION_RECORDS, /* `out` is to be walked */
};

/* Records to be taken, in order, from one datagram or one record put together. */
struct session_records {
    uint32_t lane;
    uint32_t left;      /* records not yet taken */
    struct bytes bytes; /* of DATA: with length prefixes */
    uint16_t fragment;  /* the buffer that holds the one record, or SESSION_FRAGMENT_NONE */
    bool single;        /* one record, without a prefix: put together, or */
    bool too_large;     /* refused, and `bytes` is empty */
};

/* A datagram's first bytes, before its turn comes: what its session and lane keep is fetched. Looks
 * at the token alone, believes nothing, changes nothing. */
void sessions_expect(const struct sessions *sessions, struct bytes payload);

enum session_result sessions_receive(struct sessions *sessions, const struct session_input *input,
                                     struct session_records *out);

/* Takes the next records, up to `capacity`: their bytes without the length prefixes. Their
 * sequences count as received. Fewer than that: there are no more, and frames that waited behind
 * them may have become ready. */
size_t sessions_take_records(struct sessions *sessions, struct session_records *records,
                             struct bytes *out, size_t capacity);

/* Frames whose turn has come, up to `capacity`, all of one port: present them again. */
size_t sessions_take_ready(struct sessions *sessions, struct packet *out, size_t capacity,
                           size_t *out_port, struct instant *out_received);

/* The record that was in it is in a commit that was gathered, or is not wanted any more. */
void sessions_fragment_done(struct sessions *sessions, uint16_t fragment);

/* ------------------------------------------------------------------------------- what became */

/* What a lane's last record is dated by: milliseconds that the appliance ran, beginning where the
 * node's youngest restored lane stands; no step of a clock makes a lane older (docs/protocol.md,
 * 1). */
int64_t sessions_lane_clock_ms(const struct sessions *sessions, struct instant now);

/* What the log is like, for credit and status: once a turn of the timers. */
struct session_pressure {
    enum status closed_why; /* STATUS_OK: open */
    bool held;              /* no frames are taken, because commits are behind */
    bool stopping;          /* what was received becomes durable, and nothing more is received */
};
void sessions_pressure(struct sessions *sessions, const struct session_pressure *pressure,
                       struct instant now);

/* The open commit was closed: lanes' shares of the next one begin at zero. */
void sessions_commit_closed(struct sessions *sessions);

/* Commits up to `durable_number` are durable: who moved will be told. */
void sessions_reap(struct sessions *sessions, uint64_t durable_number);

/* Builds the ACKs, ACCEPTs and CLOSEs that are due, a bounded number, into the outbox. Answers
 * whether there were any. */
bool sessions_acknowledge(struct sessions *sessions, struct instant now);

/* A bounded slice of: sessions that ended, lanes to forget, lanes to import. */
void sessions_timers(struct sessions *sessions, struct instant now);

/* From now on: status DRAINING, no new sessions. Once everything is durable, each session gets a
 * CLOSE by sessions_acknowledge; true when all were told. */
void sessions_drain(struct sessions *sessions);
bool sessions_are_drained(const struct sessions *sessions);

END_C_DECLS
