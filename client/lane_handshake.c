/* From HELLO to ACCEPT, everything that can go wrong in between, and CLOSE. */
#include "client/lane_state.h"

enum {
    T1_DOUBLINGS_MAX = 6, /* 100 ms << 6 is above T1_NS_MAX */
    OPENS_MAX = 3,        /* with one cookie */
    CLOSES_MAX = 3,
    REDIRECTS_AT_ONCE = 64,
};

#define T1_NS         (100 * LANE_MS)
#define T1_NS_MAX     (5 * LANE_S)
#define WAIT_MS_MAX   UINT64_C(60000) /* whatever an appliance asks for */
#define DRAIN_WAIT_MS UINT64_C(100)

/* ± 25 %: producers that lost the same appliance do not come back in step. */
static uint64_t t1_ns(struct lane *lane, uint32_t *doublings)
{
    const uint64_t whole_ns = lane_least(T1_NS << *doublings, T1_NS_MAX);
    if (*doublings < T1_DOUBLINGS_MAX) { (*doublings)++; }
    return whole_ns * 3 / 4 + random_below(&lane->random, whole_ns / 2 + 1);
}

static void lane_set_timer(struct lane *lane, uint64_t delay_ns)
{
    lane->handshake.timer_ns = lane->now_ns + delay_ns;
}

static void lane_post_retrying(struct lane *lane, uint32_t code)
{
    const uint64_t wait_ns = lane->handshake.timer_ns - lane->now_ns;
    const struct lane_event event = {
        .kind = LANE_EVENT_RETRYING, .code = code, .detail = wait_ns / LANE_MS};
    lane_post(lane, &event);
}

static void lane_new_nonce(struct lane *lane)
{
    do {
        lane->handshake.nonce = random_u64(&lane->random);
    } while (lane->handshake.nonce == 0);
}

void lane_say_hello(struct lane *lane)
{
    lane_new_nonce(lane);
    lane->phase = LANE_HELLO_SENT;
    lane->handshake.datagram_due = true;
    lane_set_timer(lane, t1_ns(lane, &lane->handshake.hello_doublings));
}

static void lane_say_open(struct lane *lane)
{
    lane->phase = LANE_OPEN_SENT;
    lane->handshake.datagram_due = true;
    lane->handshake.opens_sent++;
    lane_set_timer(lane, t1_ns(lane, &lane->handshake.open_doublings));
}

/* wait_ms  0: the lane's own backoff */
static void lane_wait(struct lane *lane, uint32_t code, uint64_t wait_ms)
{
    lane->phase = LANE_WAITING;
    lane->handshake.datagram_due = false;
    const uint64_t wait_ns = wait_ms > 0 ? lane_least(wait_ms, WAIT_MS_MAX) * LANE_MS
                                         : t1_ns(lane, &lane->handshake.retry_doublings);
    lane_set_timer(lane, wait_ns);
    lane_post_retrying(lane, code);
}

COLD static void lane_fail(struct lane *lane, uint32_t code, uint64_t detail)
{
    lane->phase = LANE_FAILED;
    lane->unknown = code == NATIVE_REJECT_LANE_UNKNOWN;
    lane->session.id = 0;
    lane->handshake.datagram_due = false;
    const struct lane_event event = {.kind = LANE_EVENT_FAILED, .code = code, .detail = detail};
    lane_post(lane, &event);
}

static bool lane_is_shaking_hands(const struct lane *lane)
{
    return lane->phase == LANE_HELLO_SENT || lane->phase == LANE_OPEN_SENT;
}

/* ------------------------------------------------------------------------------ what comes in */

void lane_take_challenge(struct lane *lane, const struct native_cookie *cookie)
{
    if (lane->phase != LANE_HELLO_SENT) {
        lane_drop(lane);
        return;
    }
    lane->handshake.cookie = *cookie;
    lane->handshake.hello_doublings = 0;
    lane->handshake.opens_sent = 0;
    lane_say_open(lane);
}

/* Section 6.4. Before the first ACCEPT the appliance may know more of the lane than this process;
 * later it cannot expect what was never sent. */
static bool accept_holds(const struct lane *lane, const struct native_accept *accept)
{
    if (accept->next == 0 || accept->next > NATIVE_SEQUENCE_MAX) { return false; }
    if (lane->fate_next != 0 && accept->next < lane->fate_next) { return false; }
    if (lane->handshake.opened && accept->next > lane->reach) { return false; }
    if (accept->lost_first == 0) { return true; }
    if (accept->lost_first > accept->lost_last) { return false; }
    return lane->durable != NATIVE_UNKNOWN && accept->lost_last <= lane->durable;
}

/* What is received and not durable is held again (from_durable): should the appliance lose it in a
 * crash, it is sent once more. An earlier process can have confirmed durable fates, no others. */
static uint64_t lane_first_of(const struct lane *lane, const struct native_accept *accept)
{
    if (!lane->options.from_durable) { return accept->next; }
    const uint64_t behind = lane_least(accept->durable, accept->next - 1) + 1;
    return lane_most(behind, lane->options.oldest_held);
}

/* A lane that goes on at whatever the appliance says; what is below is not this process's. */
static void lane_learn_sequence(struct lane *lane, const struct native_accept *accept)
{
    const uint64_t first = lane_first_of(lane, accept);
    lane->told_next = first;
    lane->fate_next = first;
    lane->next_sequence = first;
    lane->flush_next = first;
    lane->durable = lane_least(lane->durable, lane_least(accept->durable, accept->next - 1));
}

/* Everything from accept->next on is unsent, all below was received. */
static void lane_begin_records(struct lane *lane, uint64_t next)
{
    lane->received_next = next;
    lane->new_next = next;
    lane->reach = lane_most(lane->reach, next);
    lane->due_from = next;
    lane->due_count = 0;
    lane->hole_end = 0;
    lane->unsent_bytes = 0;
    lane->used_bytes = 0;
    for (uint64_t sequence = lane->fate_next; sequence < lane->next_sequence; sequence++) {
        struct lane_slot *const slot = lane_slot_of(lane, sequence);
        const bool known = sequence < next;
        lane_release_assembly(lane, slot);
        *lane_state_of(lane, sequence) = known ? LANE_RECORD_RECEIVED : LANE_RECORD_UNSENT;
        uint64_t *const sum = known ? &lane->used_bytes : &lane->unsent_bytes;
        *sum += lane_cost_of(slot);
    }
}

static void lane_begin_session(struct lane *lane, const struct native_accept *accept)
{
    lane->session = (struct lane_session){
        .id = accept->session,
        .durable = accept->durable,
        .heard_ns = lane->now_ns,
        .sent_ns = lane->now_ns,
        .flight_began_ns = lane->now_ns,
        .timeout_ns = accept->session_timeout_ms * LANE_MS,
        .ping_wait_ns = LANE_PING_WAIT_NS,
        .credit_bytes = accept->credit_bytes,
        .max_record_bytes = accept->max_record_bytes,
        .status = accept->status,
    };
    const uint64_t ack_delay_ns = (uint64_t)accept->ack_delay_us * 1000;
    loss_restart(lane->loss, lane_least(ack_delay_ns, RTT_NS_MAX));
    const struct congestion_options congestion = {.datagram_bytes_max = NATIVE_DATAGRAM_BYTES_BASE};
    congestion_init(&lane->congestion, &congestion);
    pacing_init(&lane->pacing, NATIVE_DATAGRAM_BYTES_BASE, lane->now_ns);
    lane_path_begin(lane, accept->datagram_bytes);
}

static void lane_post_opened(struct lane *lane, const struct native_accept *accept)
{
    const struct lane_event opened = {
        .kind = LANE_EVENT_OPENED,
        .code = accept->partition,
        .sequence = accept->next,
        .detail = accept->incarnation,
    };
    lane_post(lane, &opened);
    if (accept->lost_first == 0) { return; }
    const struct lane_event lost = {
        .kind = LANE_EVENT_LOST,
        .sequence = accept->lost_first,
        .count = accept->lost_last - accept->lost_first + 1,
    };
    lane_post(lane, &lost);
}

void lane_take_accept(struct lane *lane, const struct native_accept *accept)
{
    if (lane->phase != LANE_OPEN_SENT || !accept_holds(lane, accept)) {
        lane_drop(lane);
        return;
    }
    const bool first = lane->fate_next == 0;
    if (first) { lane_learn_sequence(lane, accept); }
    if (lane->durable == NATIVE_UNKNOWN) {
        lane->durable = lane_least(accept->durable, lane->fate_next - 1);
    }
    lane_begin_session(lane, accept);
    lane_begin_records(lane, accept->next);

    struct lane_handshake *const handshake = &lane->handshake;
    lane->phase = LANE_OPEN;
    handshake->datagram_due = false;
    handshake->previous_session = 0;
    handshake->open_doublings = 0;
    handshake->redirects_in_row = 0;
    handshake->cookie_rejected = false;
    handshake->begin = false; /* from now on an unknown lane is one that was forgotten */
    handshake->opened = true;
    lane->stats.opens++;
    lane_post_opened(lane, accept);
    /* Fates of records that need not be sent come by ACK: ask for it. */
    lane->session.ping_due = lane->fate_next < lane_least(accept->next, lane->next_sequence);
    lane_close_if_done(lane);
}

static void lane_take_redirect(struct lane *lane, const struct native_reject *reject)
{
    lane->phase = LANE_MOVING;
    lane->handshake.datagram_due = false;
    lane->handshake.redirects_in_row++;
    lane->stats.redirects++;
    const struct lane_event event = {
        .kind = LANE_EVENT_MOVE,
        .source_port = reject->source_port,
        .target_port = reject->target_port,
        .code = reject->partition,
        .detail = lane->handshake.redirects_in_row,
    };
    lane_post(lane, &event);
}

void lane_moved(struct lane *lane, uint64_t now_ns)
{
    assert(now_ns >= lane->now_ns);
    lane->now_ns = now_ns;
    if (lane->phase != LANE_MOVING) { return; }
    if (lane->handshake.redirects_in_row > REDIRECTS_AT_ONCE) {
        lane_wait(lane, NATIVE_REJECT_REDIRECT, 0);
        return;
    }
    lane->handshake.hello_doublings = 0; /* another path */
    lane_say_hello(lane);
}

/* At once when a cookie went stale; a second time in a row something else is wrong. */
static void lane_take_stale_cookie(struct lane *lane)
{
    if (lane->handshake.cookie_rejected) {
        lane_wait(lane, NATIVE_REJECT_COOKIE, 0);
        return;
    }
    lane->handshake.cookie_rejected = true;
    lane_say_hello(lane);
}

static void lane_take_handshake_reject(struct lane *lane, const struct native_reject *reject)
{
    switch (reject->code) {
    case NATIVE_REJECT_REDIRECT: lane_take_redirect(lane, reject); return;
    case NATIVE_REJECT_COOKIE: lane_take_stale_cookie(lane); return;
    case NATIVE_REJECT_FENCED:
    case NATIVE_REJECT_LANE_UNKNOWN:
    case NATIVE_REJECT_INVALID:
    case NATIVE_REJECT_NOT_ALLOWED: lane_fail(lane, reject->code, reject->detail); return;
    case NATIVE_REJECT_LANE_BUSY:
    case NATIVE_REJECT_LANES_FULL:
    case NATIVE_REJECT_DRAINING:
    case NATIVE_REJECT_OVERLOADED: lane_wait(lane, reject->code, reject->retry_after_ms); return;
    default: lane_drop(lane); return;
    }
}

static void lane_take_session_reject(struct lane *lane, const struct native_reject *reject)
{
    const bool gone = reject->code == NATIVE_REJECT_SESSION_UNKNOWN;
    if (lane->phase == LANE_CLOSING && gone) {
        lane_take_close(lane);
    } else if (lane->phase == LANE_OPEN && gone) {
        lane_reopen(lane);
    } else if (lane->phase == LANE_OPEN && reject->code == NATIVE_REJECT_FENCED) {
        lane_fail(lane, reject->code, reject->detail);
    } else {
        lane_drop(lane);
    }
}

void lane_take_reject(struct lane *lane, uint64_t token, const struct native_reject *reject)
{
    if (lane_is_shaking_hands(lane) && token == lane->handshake.nonce) {
        lane_take_handshake_reject(lane, reject);
    } else if (lane->session.id != 0 && token == lane->session.id) {
        lane_take_session_reject(lane, reject);
    } else {
        lane_drop(lane);
    }
}

void lane_take_versions(struct lane *lane, const struct native_versions *versions)
{
    bool common = !lane_is_shaking_hands(lane);
    for (uint32_t i = 0; i < versions->count; i++) {
        common = common || versions->versions[i] == NATIVE_VERSION;
    }
    if (common) { /* it speaks ours: this list answers something else */
        lane_drop(lane);
        return;
    }
    lane_fail(lane, 0, versions->versions[0]);
}

/* ---------------------------------------------------------------------------- the session ends */

static void lane_leave_session(struct lane *lane)
{
    lane->handshake.previous_session = lane->session.id;
    lane->session.id = 0;
}

/* A session that brought nothing is no reason to hurry. */
void lane_reopen(struct lane *lane)
{
    const bool fruitful = lane->session.fruitful;
    lane_leave_session(lane);
    if (fruitful) {
        lane_say_hello(lane);
    } else {
        lane_wait(lane, NATIVE_REJECT_SESSION_UNKNOWN, 0);
    }
}

static void lane_end_closed(struct lane *lane)
{
    lane->phase = LANE_CLOSED;
    lane->session.id = 0;
    lane->handshake.datagram_due = false;
    const struct lane_event event = {.kind = LANE_EVENT_CLOSED};
    lane_post(lane, &event);
}

void lane_take_close(struct lane *lane)
{
    if (lane->phase == LANE_CLOSING) {
        lane_end_closed(lane);
        return;
    }
    lane_leave_session(lane);
    lane_wait(lane, NATIVE_REJECT_DRAINING, DRAIN_WAIT_MS);
}

static void lane_say_close(struct lane *lane)
{
    uint32_t doublings = lane->handshake.closes_sent;
    lane->handshake.closes_sent++;
    lane->handshake.datagram_due = true;
    lane_set_timer(lane, t1_ns(lane, &doublings));
}

void lane_begin_closing(struct lane *lane)
{
    if (lane->phase != LANE_OPEN) { /* no session, nothing to close */
        lane_end_closed(lane);
        return;
    }
    lane->phase = LANE_CLOSING;
    lane->handshake.closes_sent = 0;
    lane_say_close(lane);
}

/* --------------------------------------------------------------------------- timer, datagrams */

static void lane_hello_timed_out(struct lane *lane)
{
    lane->handshake.datagram_due = true; /* the same nonce: an answer to either is good */
    lane_set_timer(lane, t1_ns(lane, &lane->handshake.hello_doublings));
    lane_post_retrying(lane, 0);
}

static void lane_open_timed_out(struct lane *lane)
{
    if (lane->handshake.opens_sent < OPENS_MAX) {
        lane_say_open(lane);
    } else {
        lane_say_hello(lane);
    }
    lane_post_retrying(lane, 0);
}

static void lane_close_timed_out(struct lane *lane)
{
    if (lane->handshake.closes_sent < CLOSES_MAX) {
        lane_say_close(lane);
    } else {
        lane_end_closed(lane);
    }
}

void lane_handshake_timer(struct lane *lane)
{
    if (lane->now_ns < lane->handshake.timer_ns) { return; }
    switch (lane->phase) {
    case LANE_HELLO_SENT: lane_hello_timed_out(lane); return;
    case LANE_OPEN_SENT: lane_open_timed_out(lane); return;
    case LANE_WAITING: lane_say_hello(lane); return;
    case LANE_CLOSING: lane_close_timed_out(lane); return;
    default: return;
    }
}

static uint64_t lane_oldest_held(const struct lane *lane)
{
    if (lane->fate_next != 0) { return lane->fate_next; }
    return lane->options.from_durable ? lane->options.oldest_held : NATIVE_UNKNOWN;
}

static size_t lane_encode_open(const struct lane *lane, uint8_t *room, size_t capacity_bytes)
{
    const struct native_open open = {
        .begin = lane->handshake.begin,
        .cookie = lane->handshake.cookie,
        .producer = lane->options.producer,
        .lane = lane->options.number,
        .epoch = lane->options.epoch,
        .durable = lane->durable,
        .oldest_held = lane_oldest_held(lane),
        .previous_session = lane->handshake.previous_session,
        .datagram_bytes = (uint16_t)lane->options.datagram_bytes_max,
    };
    return native_encode_open(room, capacity_bytes, lane->handshake.nonce, &open);
}

static size_t lane_encode_close(struct lane *lane, uint8_t *room, size_t capacity_bytes)
{
    const struct native_close close = {
        .reason = NATIVE_CLOSE_DONE,
        .number = lane->session.next_packet++,
        .sequence = lane->new_next,
        .confirmed = lane->durable,
    };
    return native_encode_close(room, capacity_bytes, lane->session.id, &close);
}

size_t lane_handshake_datagram(struct lane *lane, uint8_t *room, size_t capacity_bytes)
{
    if (!lane->handshake.datagram_due) { return 0; }
    lane->handshake.datagram_due = false;
    const struct native_hello hello = {0};
    switch (lane->phase) {
    case LANE_HELLO_SENT:
        return native_encode_hello(room, capacity_bytes, lane->handshake.nonce, &hello);
    case LANE_OPEN_SENT: return lane_encode_open(lane, room, capacity_bytes);
    case LANE_CLOSING: return lane_encode_close(lane, room, capacity_bytes);
    default: return 0;
    }
}
