/* loss.h - which packets of one packet number space arrived, which are lost, when to ask again.
 *
 * Purpose  RFC 9002, sections 5, 6 and 7.6 with the pseudo code of its appendix A: packets sent and
 *          acks received go in; packets acked and lost, and one timer, come out. What to send again
 *          is the caller's business, how much at once congestion.h's, how fast pacing.h's.
 * Owns     A ring of `capacity` packets, allocated once in loss_create. A cookie is the caller's;
 *          it comes back with its packet's fate.
 * Threads  One owner calls it. No clock: time is an argument and never goes back (asserted).
 * Numbers  Grow strictly, from 0. Some may be skipped; an ack for a skipped one is a lie.
 * Trust    Nothing in an ack reaches an assert; its cost is at most capacity + count steps.
 *
 * A lost packet stays remembered for a while, because it may have been late only. An ack for it
 * then comes as `was_lost`: its bytes left the flight when it was declared lost. The threshold that
 * it had crossed is raised (6.1): packets, from 3 to what would have waited for this one, up to
 * LOSS_PACKET_THRESHOLD_MAX; time, from 9/8 round trips by one eighth an ack, up to
 * LOSS_TIME_EIGHTHS_MAX. Neither falls again: a path that reorders does so again, and a loss is
 * still found within two round trips. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "client/rtt.h"

BEGIN_C_DECLS

enum {
    LOSS_PACKET_THRESHOLD = 3, /* kPacketThreshold, section 6.1.1 */
    LOSS_PACKET_THRESHOLD_MAX = 64,
    LOSS_TIME_EIGHTHS = 9, /* kTimeThreshold, section 6.1.2, in eighths of a round trip */
    LOSS_TIME_EIGHTHS_MAX = 16,
    LOSS_PROBES_MAX = 2, /* packets that one probe timeout allows, section 6.2.4 */
};

/* The longest wait between two probes that backoff leads to, as in RFC 6298, section 2.5. */
#define LOSS_BACKOFF_NS_MAX UINT64_C(60000000000)

struct loss; /* opaque: the fields live in loss.c */

struct loss_options {
    uint32_t capacity;         /* numbers remembered at once: a power of two, at least 4 */
    uint64_t initial_rtt_ns;   /* 0: RTT_INITIAL_NS_DEFAULT */
    uint64_t ack_delay_ns_max; /* how long the peer may hold back an ack */
};

/* A packet as it was sent. */
struct loss_packet {
    uint64_t number;
    uint64_t cookie;
    uint64_t sent_ns;
    uint32_t size_bytes;
    bool ack_eliciting; /* only such packets are in flight and count in *_bytes */
    bool was_lost;      /* acked now, reported lost before: late, or an ack got lost */
};

/* First and last packet number, both included. */
struct loss_range {
    uint64_t first;
    uint64_t last;
};

struct loss_ack {
    const struct loss_range *ranges; /* rising or falling, disjoint */
    size_t count;
    uint64_t delay_ns; /* how long the peer says it held the ack back */
};

/* What one call found. The arrays are borrowed until the next loss_acked or loss_on_timer. Hand
 * losses to congestion control before acks: they decide whether those acks may grow the window. */
struct loss_report {
    const struct loss_packet *acked;
    size_t acked_count;
    const struct loss_packet *lost;
    size_t lost_count;
    uint64_t in_flight_before_bytes; /* when the call began */
    uint64_t acked_bytes;            /* left the flight acked, so without those that were lost */
    uint64_t lost_bytes;
    uint64_t newest_lost_sent_ns; /* holds when lost_bytes > 0 */
    bool persistent_congestion;   /* section 7.6; said once for a stretch of losses */
};

enum loss_timer {
    LOSS_TIMER_NOTHING, /* not due yet */
    LOSS_TIMER_LOST,    /* see the report */
    LOSS_TIMER_PROBE,   /* send 1 to LOSS_PROBES_MAX ack-eliciting packets, whatever the window
                         * and pacing say. The report names losses only if the ring was full. */
};

/* Allocates; nothing else in this module does. STATUS_NO_MEMORY is its one failure. */
MUST_CHECK enum status loss_create(const struct loss_options *options, struct loss **out);

/* NULL is fine. What is in flight is forgotten without a report. */
void loss_destroy(struct loss *loss);

/* As after loss_create, with another promise of the peer's: a new session, whose numbers begin at
 * 0. Time goes on. */
void loss_restart(struct loss *loss, uint64_t ack_delay_ns_max);

/* Books a packet that leaves now. `packet.was_lost` is ignored; `packet.sent_ns` is now, the number
 * is above every earlier one and the size is not 0: asserted.
 * STATUS_OK    booked
 * STATUS_FULL  the oldest packet in flight is `capacity` numbers back: send nothing, wait for an
 *              ack or the timer. After LOSS_TIMER_PROBE, LOSS_PROBES_MAX next numbers do fit. */
MUST_CHECK enum status loss_sent(struct loss *loss, const struct loss_packet *packet);

/* True: the next number would meet STATUS_FULL. */
bool loss_is_full(const struct loss *loss);

/* Takes an ack, fills `report` in any case. Repeated and reordered acks change nothing.
 * STATUS_OK       taken
 * STATUS_INVALID  the peer lies or is broken: a number that was not sent, a range that ends before
 *                 it begins, ranges that overlap or have no order. Nothing changed. */
MUST_CHECK enum status loss_acked(struct loss *loss, const struct loss_ack *ack, uint64_t now_ns,
                                  struct loss_report *report);

/* When loss_on_timer wants to be called; UINT64_MAX: not before something else happens. */
uint64_t loss_timer_ns(const struct loss *loss);

/* Fills `report` in any case. One call finds one thing: ask loss_timer_ns again behind it. A probe
 * timeout on a full ring gives up its oldest packets, so that the probes have room. */
enum loss_timer loss_on_timer(struct loss *loss, uint64_t now_ns, struct loss_report *report);

uint64_t loss_in_flight_bytes(const struct loss *loss);
const struct rtt *loss_rtt(const struct loss *loss);
uint32_t loss_packet_threshold(const struct loss *loss);
uint32_t loss_time_eighths(const struct loss *loss);

/* Probe timeouts since the last packet that was acked: says how long a peer has been silent. */
uint32_t loss_probe_timeouts(const struct loss *loss);

END_C_DECLS
