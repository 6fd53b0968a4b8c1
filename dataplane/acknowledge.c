#include "base/invariant.h"
#include "dataplane/sessions_state.h"

enum {
    TELL_TURN_MAX = PACKETS_BURST_MAX, /* frames of one turn */
    DEADLINES_TURN_MAX = 4 * TELL_TURN_MAX,
};

static_assert((int)NATIVE_RANGES_MAX <= (int)PACKET_WINDOW_RANGES_MAX, "one array serves both");

static bool room_for(struct sessions *sessions, const struct session *session,
                     struct packet_room *out, size_t *out_payload_bytes)
{
    if (!outbox_reserve(sessions->outbox, session->port, out)) { return false; }
    const size_t headers_bytes = udp_path_headers_bytes(&session->path);
    assert(out->capacity_bytes >= headers_bytes + NATIVE_DATAGRAM_BYTES_BASE);
    *out_payload_bytes = NATIVE_DATAGRAM_BYTES_BASE;
    return true;
}

static void send(struct sessions *sessions, const struct session *session,
                 const struct packet_room *room, size_t payload_bytes)
{
    assert_hot(payload_bytes > 0);
    outbox_push(sessions->outbox, session->port, room->handle,
                udp_path_finish(&session->path, room->at, payload_bytes));
}

bool acknowledge_send_close(struct sessions *sessions, uint32_t lane,
                            enum native_close_reason reason)
{
    struct session *const session = &sessions->items[lane];
    struct packet_room room;
    size_t capacity_bytes;
    if (!room_for(sessions, session, &room, &capacity_bytes)) { return false; }
    const struct native_close close = {
        .reason = reason,
        .number = session->ack_number++,
        .sequence = sessions->lanes[lane].durable_sequence,
    };
    uint8_t *const at = room.at + udp_path_headers_bytes(&session->path);
    send(sessions, session, &room, native_encode_close(at, capacity_bytes, session->id, &close));
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
    size_t capacity_bytes;
    if (!room_for(sessions, session, &room, &capacity_bytes)) { return false; }

    struct packet_range ranges[NATIVE_RANGES_MAX];
    struct native_ack ack;
    ack.status = sessions->status;
    ack.ack_number = session->ack_number++;
    ack.received = session->next_sequence - 1;
    ack.durable = 0; /* native_ack_end sets it */
    ack.fates_first = sessions->lanes[lane].state.confirmed + 1;
    ack.credit_bytes = sessions->credit_bytes;
    const uint64_t delay_us = (now.mono_ns - session->largest_received_ns) / NS_PER_US;
    ack.ack_delay_us = delay_us < UINT32_MAX ? (uint32_t)delay_us : UINT32_MAX;
    ack.range_count = (uint32_t)packet_window_ranges(&session->window, ranges, NATIVE_RANGES_MAX);
    for (uint32_t i = 0; i < ack.range_count; i++) {
        ack.ranges[i] = (struct native_range){ranges[i].first, ranges[i].last};
    }

    uint8_t *const at = room.at + udp_path_headers_bytes(&session->path);
    struct sink sink = native_ack_begin(at, capacity_bytes, session->id, &ack);
    const uint64_t durable = put_fates(sessions, lane, &sink);
    send(sessions, session, &room, native_ack_end(at, &sink, durable));
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
        session_unlist(sessions, lane);
        return true;
    }
    if (session->state == SESSION_LIVE && !acknowledge_send_ack(sessions, lane, now)) {
        return false;
    }
    session_unlist(sessions, lane);
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

bool sessions_acknowledge(struct sessions *sessions, struct instant now)
{
    for (size_t i = 0; i < DEADLINES_TURN_MAX && sessions->delayed.head != LANE_NONE; i++) {
        const uint32_t lane = sessions->delayed.head;
        if (sessions->items[lane].ack_deadline_ns > now.mono_ns) { break; }
        session_tell_now(sessions, lane);
    }
    if (sessions->draining) { drain_some(sessions); }

    size_t told = 0;
    while (told < TELL_TURN_MAX && sessions->due.head != LANE_NONE) {
        const uint32_t next = sessions->items[sessions->due.head].list_next;
        if (next != LANE_NONE) { session_prefetch(sessions, next); }
        if (!tell(sessions, sessions->due.head, now)) { break; }
        told++;
    }
    return told > 0;
}
