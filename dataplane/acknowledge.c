#include "base/invariant.h"
#include "dataplane/sessions_state.h"

enum {
    TELL_TURN_MAX = PACKETS_BURST_MAX, /* frames of one turn */
    DEADLINES_TURN_MAX = 4 * TELL_TURN_MAX,
};

static_assert((int)NATIVE_RANGES_MAX <= (int)PACKET_WINDOW_RANGES_MAX, "one array serves both");

bool acknowledge_send_close(struct sessions *sessions, uint32_t lane,
                            enum native_close_reason reason)
{
    struct session *const session = &sessions->items[lane];
    struct packet_room room;
    uint8_t *const at =
        outbox_payload(sessions->outbox, session->port, &session->path, NATIVE_CLOSE_BYTES, &room);
    if (at == NULL) { return false; }
    const struct native_close close = {
        .reason = reason,
        .number = session->ack_number++,
        .sequence = sessions->lanes[lane].durable_sequence,
    };
    outbox_send(sessions->outbox, session->port, &session->path, &room,
                native_encode_close(at, NATIVE_CLOSE_BYTES, session->id, &close));
    return true;
}

/* What the producer has not confirmed, as far as it is durable and fits; answers the last sequence
 * that this reaches. */
static uint64_t put_fates(const struct sessions *sessions, uint32_t lane, struct sink *ack)
{
    uint64_t reached = sessions->lanes[lane].state.confirmed;
    struct lane_fate_walk walk = {0};
    struct lane_fates run;
    while (lane_fates_next(sessions->table, lane, &walk, &run)) {
        if (!native_fate_put(ack, run.fate, run.count)) { break; }
        reached += run.count;
    }
    return reached;
}

bool acknowledge_send_ack(struct sessions *sessions, uint32_t lane, struct instant now)
{
    struct session *const session = &sessions->items[lane];
    struct packet_room room;
    uint8_t *const at = outbox_payload(sessions->outbox, session->port, &session->path,
                                       NATIVE_DATAGRAM_BYTES_BASE, &room);
    if (at == NULL) { return false; }

    struct native_ack ack;
    ack.status = sessions->status;
    ack.ack_number = session->ack_number++;
    ack.received = session->next_sequence - 1;
    ack.durable = 0; /* native_ack_end sets it */
    ack.fates_first = sessions->lanes[lane].state.confirmed + 1;
    ack.credit_bytes = sessions->credit_bytes;
    const uint64_t delay_us = (now.mono_ns - session->largest_received_ns) / NS_PER_US;
    ack.ack_delay_us = delay_us < UINT32_MAX ? (uint32_t)delay_us : UINT32_MAX;
    ack.range_count =
        (uint32_t)packet_window_ranges(&session->window, ack.ranges, NATIVE_RANGES_MAX);

    struct sink sink = native_ack_begin(at, NATIVE_DATAGRAM_BYTES_BASE, session->id, &ack);
    const uint64_t durable = put_fates(sessions, lane, &sink);
    outbox_send(sessions->outbox, session->port, &session->path, &room,
                native_ack_end(at, &sink, durable));
    session->unacked = 0;
    session->told_closed = sessions->credit_bytes == 0;
    sessions_count(sessions, STATS_native_acks, 1);
    return true;
}

/* False: no buffer to say it in; the session stays in the list. */
static bool tell(struct sessions *sessions, uint32_t lane, struct instant now)
{
    struct session *const session = &sessions->items[lane];
    if (session->close_due) {
        if (!acknowledge_send_close(sessions, lane, NATIVE_CLOSE_DRAINING)) { return false; }
        session_end(sessions, lane);
        return true;
    }
    if (session->accept_due) {
        handshake_accept(sessions, lane);
        session_told(sessions, lane);
        return true;
    }
    if (session->state == SESSION_LIVE && !acknowledge_send_ack(sessions, lane, now)) {
        return false;
    }
    session_told(sessions, lane);
    return true;
}

/* Draining: once a lane has nothing under way, its producer is told to come back later. */
static void drain_some(struct sessions *sessions)
{
    for (uint32_t i = 0; i < TELL_TURN_MAX && sessions->drain_cursor != LANE_NONE; i++) {
        const uint32_t lane = sessions->drain_cursor++;
        if (sessions->drain_cursor == sessions->capacity) { sessions->drain_cursor = LANE_NONE; }
        struct session *const session = &sessions->items[lane];
        if (session->state == SESSION_NONE) { continue; }
        session->close_due = true;
        session_tell_now(sessions, lane);
    }
}

/* Whose ack delay is over. */
static void take_delayed(struct sessions *sessions, uint64_t now_ns)
{
    struct lane_ring *const delayed = &sessions->delayed;
    for (size_t i = 0; i < DEADLINES_TURN_MAX && lane_ring_count(delayed) > 0; i++) {
        const struct lane_ring_place *const place = lane_ring_peek(delayed, 0);
        if (place->at_ns > now_ns) { return; }
        struct session *const session = &sessions->items[place->lane];
        session->in_delayed = false;
        if (session->telling == SESSION_TELLS_SOON) { session_tell_now(sessions, place->lane); }
        lane_ring_pop(delayed);
        if (lane_ring_count(delayed) > SESSION_TELL_AHEAD) {
            prefetch(&sessions->items[lane_ring_peek(delayed, SESSION_TELL_AHEAD)->lane],
                     CACHE_PAIR_BYTES);
        }
    }
}

bool sessions_acknowledge(struct sessions *sessions, struct instant now)
{
    struct lane_ring *const due = &sessions->due;
    take_delayed(sessions, now.mono_ns);
    if (sessions->draining) { drain_some(sessions); }

    const uint32_t count = lane_ring_count(due);
    for (uint32_t i = 0; i < count && i < SESSION_TELL_AHEAD; i++) {
        session_prefetch(sessions, lane_ring_peek(due, i)->lane);
    }
    size_t told = 0;
    for (size_t i = 0; i < DEADLINES_TURN_MAX && told < TELL_TURN_MAX; i++) {
        if (lane_ring_count(due) == 0) { break; }
        const uint32_t lane = lane_ring_peek(due, 0)->lane;
        if (lane_ring_count(due) > SESSION_TELL_AHEAD) {
            session_prefetch(sessions, lane_ring_peek(due, SESSION_TELL_AHEAD)->lane);
        }
        if (sessions->items[lane].telling == SESSION_TELLS_NOW) {
            if (!tell(sessions, lane, now)) { break; }
            told++;
        }
        sessions->items[lane].in_due = false;
        lane_ring_pop(due);
    }
    return told > 0;
}
