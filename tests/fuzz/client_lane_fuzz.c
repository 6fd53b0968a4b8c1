/* client_lane_fuzz.c - a lane between an owner who does anything and an appliance that says
 * anything.
 *
 * Input: one byte of switches, then steps until it ends: one byte of what to do, then what that
 * takes. Datagrams are not whole: their token (nonce or session, whichever the lane last used) and
 * trailer are filled in, and an ACK may be built from numbers that lie near the true ones, so that
 * the fuzzer gets behind the checks. What must hold: no assert, every datagram decodes, packet
 * numbers grow by one, fates come in order and once, timers do not spin. */
#include <stdint.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "client/lane.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

enum {
    ROOM_BYTES = 65536,
    VALUE_BYTES_MAX = 65536,
    STEPS_MAX = 400,
    DATAGRAMS_MAX = 20000, /* of one call for all: far above any window */
    REPLY_BYTES = 1200,
};

enum step {
    STEP_SEND,
    STEP_SEND_LARGE,
    STEP_TIME_SHORT,
    STEP_TIME_LONG,
    STEP_TIMER,
    STEP_CHALLENGE,
    STEP_ACCEPT,
    STEP_ACK,
    STEP_HONEST_ACK,
    STEP_REJECT,
    STEP_CLOSE_FROM_PEER,
    STEP_RAW,
    STEP_FLUSH,
    STEP_CLOSE,
    STEP_MOVED,
    STEP_BEGIN_AGAIN,
    STEP_COUNT,
};

struct world {
    struct lane *lane;
    uint64_t now_ns;
    uint64_t nonce;   /* of the newest HELLO */
    uint64_t session; /* of the newest ACCEPT that was offered */
    uint64_t next_number;
    uint64_t sent_session; /* whose numbers next_number counts */
    uint64_t sent_next;    /* one above the highest sequence sent */
    uint64_t confirmed;
    uint64_t ack_number;
    uint64_t fate_next; /* 0: not known yet */
    uint64_t given;
    bool final;
    uint8_t *room;
    uint8_t *values;
};

static uint64_t cursor_le(struct cursor *in, unsigned bytes)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < bytes; i++) { out |= (uint64_t)cursor_u8(in) << (8 * i); }
    return out;
}

/* ------------------------------------------------------------------------ what the lane answers */

static void check_number(struct world *world, uint64_t session, uint64_t number)
{
    assert(session != 0);
    if (session != world->sent_session) {
        world->sent_session = session;
        world->next_number = 0;
        world->ack_number = 0;
    }
    assert(number == world->next_number);
    world->next_number++;
}

static void check_datagram(struct world *world, size_t len_bytes)
{
    struct native_datagram out;
    const enum native_result result = native_decode(bytes_of(world->room, len_bytes), &out);
    assert(result == NATIVE_OK);
    switch (out.type) {
    case NATIVE_HELLO: world->nonce = out.token; return;
    case NATIVE_OPEN: assert(out.token == world->nonce); return;
    case NATIVE_CLOSE: check_number(world, out.token, out.close.number); return;
    case NATIVE_PING: check_number(world, out.token, out.data.packet_number); return;
    case NATIVE_FRAGMENT: out.data.record_count = 1; break;
    case NATIVE_DATA: break;
    default: abort();
    }
    check_number(world, out.token, out.data.packet_number);
    world->confirmed = out.data.confirmed;
    const uint64_t end = out.data.first_sequence + out.data.record_count;
    if (end > world->sent_next) { world->sent_next = end; }
}

static void transmit(struct world *world)
{
    for (int i = 0; i < DATAGRAMS_MAX; i++) {
        const size_t len_bytes = lane_transmit(world->lane, world->room, ROOM_BYTES, world->now_ns);
        if (len_bytes == 0) { return; }
        check_datagram(world, len_bytes);
    }
    abort(); /* no end */
}

static void take_event(struct world *world, const struct lane_event *event)
{
    assert(!world->final);
    switch (event->kind) {
    case LANE_EVENT_OPENED:
        if (world->fate_next == 0) { world->fate_next = event->sequence; }
        return;
    case LANE_EVENT_FATES:
        assert(event->sequence == world->fate_next);
        assert(event->count > 0);
        world->fate_next += event->count;
        assert(world->fate_next <= lane_next_sequence(world->lane));
        return;
    case LANE_EVENT_CLOSED: world->final = true; return;
    default: return;
    }
}

static void take_events(struct world *world)
{
    struct lane_event event;
    while (lane_next_event(world->lane, &event)) { take_event(world, &event); }
}

/* ------------------------------------------------------------------------------ datagrams, made */

static void receive(struct world *world, const uint8_t *at, size_t len_bytes)
{
    if (len_bytes == 0) { return; }
    uint8_t *const exact = malloc(len_bytes); /* the sanitizer sees one byte too far */
    if (exact == NULL) { abort(); }
    memcpy(exact, at, len_bytes);
    lane_receive(world->lane, bytes_of(exact, len_bytes), world->now_ns);
    free(exact);
}

/* Anything, under the token that its type wants, with a good trailer. */
static void receive_raw(struct world *world, struct cursor *in)
{
    uint8_t datagram[256];
    const size_t wanted_bytes = NATIVE_DATAGRAM_BYTES_MIN + cursor_u8(in) % 200;
    for (size_t i = 0; i < wanted_bytes; i++) { datagram[i] = cursor_u8(in); }
    datagram[0] = datagram[0] % 2; /* our version, or a list */
    datagram[3] &= 0x7f;           /* not sealed */
    const bool handshake = datagram[1] <= NATIVE_ACCEPT;
    const bool swap = (datagram[2] & 2) != 0; /* a REJECT may answer either */
    store_le64(datagram + 8, handshake != swap ? world->nonce : world->session);
    const size_t body_bytes = wanted_bytes - NATIVE_TRAILER_BYTES;
    store_le32(datagram + body_bytes, crc32c(bytes_of(datagram, body_bytes)));
    receive(world, datagram, wanted_bytes);
}

static void receive_challenge(struct world *world)
{
    uint8_t reply[REPLY_BYTES];
    const struct native_cookie cookie = {{1}};
    receive(world, reply, native_encode_challenge(reply, sizeof reply, world->nonce, &cookie));
}

static void receive_accept(struct world *world, struct cursor *in)
{
    uint8_t reply[REPLY_BYTES];
    const uint64_t base = world->fate_next != 0 ? world->fate_next : 1;
    const struct native_accept accept = {
        .session = ++world->session,
        .next = base + cursor_u8(in) % 8,
        .durable = cursor_u8(in),
        .lost_first = cursor_u8(in) % 4,
        .lost_last = cursor_u8(in) % 8,
        .credit_bytes = (uint32_t)cursor_le(in, 3),
        .max_record_bytes = (uint32_t)cursor_le(in, 3),
        .datagram_bytes = (uint16_t)cursor_le(in, 2),
        .ack_delay_us = (uint32_t)cursor_le(in, 4),
        .session_timeout_ms = (uint32_t)cursor_le(in, 2),
        .status = cursor_u8(in),
    };
    receive(world, reply, native_encode_accept(reply, sizeof reply, world->nonce, &accept));
}

/* Ranges from the largest packet down, `lost` of them left out here and there. */
static uint32_t put_ranges(const struct world *world, struct packet_range *ranges,
                           struct cursor *in)
{
    uint32_t count = 0;
    uint64_t end = world->next_number;
    while (count < 8 && end > 0) {
        const uint64_t length = 1 + cursor_u8(in) % 32;
        const uint64_t gap = 1 + cursor_u8(in) % 8;
        const uint64_t last = end - 1;
        ranges[count].last = last;
        ranges[count].first = last >= length ? last - length + 1 : 0;
        end = ranges[count].first > gap ? ranges[count].first - gap : 0;
        count++;
        if (cursor_u8(in) % 2 == 0) { return count; }
    }
    return count;
}

static void receive_ack(struct world *world, struct cursor *in, uint64_t durable, uint64_t received)
{
    uint8_t reply[REPLY_BYTES];
    if (world->session == 0) { return; }
    struct native_ack ack = {
        .status = cursor_u8(in),
        .ack_number = world->ack_number++,
        .received = received,
        .fates_first = world->confirmed + 1,
        .credit_bytes = (uint32_t)cursor_le(in, 3),
        .ack_delay_us = (uint32_t)cursor_le(in, 2),
    };
    ack.range_count = put_ranges(world, ack.ranges, in);
    struct sink out = native_ack_begin(reply, sizeof reply, world->session, &ack);
    uint64_t named = world->confirmed;
    while (named < durable) {
        const uint64_t left = durable - named;
        const uint64_t run = 1 + cursor_u8(in) % 200;
        const uint64_t count = run < left ? run : left;
        if (in->overran || !native_fate_put(&out, cursor_u8(in), count)) { break; }
        named += count;
    }
    receive(world, reply, native_ack_end(reply, &out, named));
}

static void receive_honest_ack(struct world *world, struct cursor *in)
{
    if (world->sent_next == 0) { return; }
    const uint64_t received = world->sent_next - 1;
    receive_ack(world, in, received, received);
}

static void receive_near_ack(struct world *world, struct cursor *in)
{
    const uint64_t received = world->fate_next + cursor_u8(in) % 16;
    const uint64_t durable = world->fate_next + cursor_u8(in) % 16;
    receive_ack(world, in, durable > 8 ? durable - 8 : 0, received > 4 ? received - 4 : 0);
}

static void receive_reject(struct world *world, struct cursor *in)
{
    uint8_t reply[REPLY_BYTES];
    const uint8_t code = cursor_u8(in);
    const struct native_reject reject = {.code = code % 16, .retry_after_ms = cursor_u8(in)};
    const uint64_t token = code >= 128 ? world->session : world->nonce;
    receive(world, reply, native_encode_reject(reply, sizeof reply, token, &reject));
}

static void receive_close(struct world *world)
{
    uint8_t reply[REPLY_BYTES];
    const struct native_close close = {.reason = NATIVE_CLOSE_DRAINING};
    if (world->session == 0) { return; }
    receive(world, reply, native_encode_close(reply, sizeof reply, world->session, &close));
}

/* ---------------------------------------------------------------------------------------- steps */

static void send_record(struct world *world, struct cursor *in, size_t value_bytes)
{
    struct native_record record = {
        .has_topic = (cursor_u8(in) & 1) != 0,
        .topic = 7,
        .key = bytes_of(world->values, cursor_u8(in) % 40),
        .value = bytes_of(world->values, value_bytes),
    };
    uint64_t sequence = 0;
    const uint64_t expected = lane_next_sequence(world->lane);
    if (lane_send(world->lane, &record, world->now_ns, &sequence) != STATUS_OK) { return; }
    assert(sequence == expected);
}

static void do_step(struct world *world, struct cursor *in)
{
    switch (cursor_u8(in) % STEP_COUNT) {
    case STEP_SEND:
        for (int count = cursor_u8(in) % 64; count >= 0; count--) {
            send_record(world, in, cursor_u8(in));
        }
        return;
    case STEP_SEND_LARGE: send_record(world, in, cursor_le(in, 2)); return;
    case STEP_TIME_SHORT: world->now_ns += cursor_le(in, 3); return;
    case STEP_TIME_LONG: world->now_ns += cursor_le(in, 2) * 1000 * 1000; return;
    case STEP_TIMER:
        if (lane_timer_ns(world->lane) != UINT64_MAX &&
            lane_timer_ns(world->lane) > world->now_ns) {
            world->now_ns = lane_timer_ns(world->lane);
        }
        return;
    case STEP_CHALLENGE: receive_challenge(world); return;
    case STEP_ACCEPT: receive_accept(world, in); return;
    case STEP_ACK: receive_near_ack(world, in); return;
    case STEP_HONEST_ACK: receive_honest_ack(world, in); return;
    case STEP_REJECT: receive_reject(world, in); return;
    case STEP_CLOSE_FROM_PEER: receive_close(world); return;
    case STEP_RAW: receive_raw(world, in); return;
    case STEP_FLUSH: lane_flush(world->lane, world->now_ns); return;
    case STEP_CLOSE: lane_close(world->lane, world->now_ns); return;
    case STEP_MOVED: lane_moved(world->lane, world->now_ns); return;
    case STEP_BEGIN_AGAIN: (void)!lane_begin_again(world->lane, world->now_ns); return;
    default: abort();
    }
}

/* What a driver does behind each of them. The timer then lies ahead, or the lane would spin. */
static void settle(struct world *world)
{
    if (lane_timer_ns(world->lane) <= world->now_ns) { lane_on_timer(world->lane, world->now_ns); }
    transmit(world);
    take_events(world);
    transmit(world);
    for (int i = 0; lane_timer_ns(world->lane) <= world->now_ns; i++) {
        assert(i < 100);
        lane_on_timer(world->lane, world->now_ns);
        transmit(world);
    }
}

static struct world *world_create(uint8_t switches)
{
    struct world *const world = calloc(1, sizeof *world);
    if (world == NULL) { abort(); }
    const struct lane_options options = {
        .producer = {{1}},
        .epoch = 1,
        .durable = (switches & 1) != 0 ? NATIVE_UNKNOWN : 0,
        .oldest_held = (switches & 1) != 0 ? NATIVE_UNKNOWN : 1,
        .begin = (switches & 2) != 0,
        .records_max = 1U << (switches >> 5),
        .datagram_bytes_max = (switches & 4) != 0 ? 9000 : 1200,
        .linger_ns = (switches & 8) != 0 ? 1000000 : 0,
        .keep_open = (switches & 16) != 0,
        .seed = switches,
    };
    if (lane_create(&options, &world->lane) != STATUS_OK) { abort(); }
    world->now_ns = 1000;
    world->fate_next = (switches & 1) != 0 ? 0 : 1;
    world->room = malloc(ROOM_BYTES);
    world->values = calloc(1, VALUE_BYTES_MAX);
    if (world->room == NULL || world->values == NULL) { abort(); }
    lane_open(world->lane, world->now_ns);
    settle(world);
    return world;
}

static void world_destroy(struct world *world)
{
    lane_destroy(world->lane);
    free(world->values);
    free(world->room);
    free(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    struct cursor in = cursor_over(bytes_of(at, len_bytes));
    struct world *const world = world_create(cursor_u8(&in));
    for (int i = 0; i < STEPS_MAX && !in.overran && !world->final; i++) {
        do_step(world, &in);
        settle(world);
    }
    world_destroy(world);
    return 0;
}
