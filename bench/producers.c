#include "bench/producers.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/logger.h"
#include "nic/checksum.h"
#include "nic/ethernet.h"
#include "nic/ip.h"
#include "nic/udp.h"
#include "wire/native.h"

enum {
    ETHERTYPE_AT = 12,
    UDP_AT = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES,
    PAYLOAD_AT = UDP_AT + UDP_HEADER_BYTES,
    CHECKSUM_AT = UDP_AT + 6,
    TOKEN_AT = 8, /* in the payload, as the next three: docs/protocol.md, 4.4 */
    PACKET_NUMBER_AT = 16,
    SEQUENCE_AT = 24,
    CONFIRMED_AT = 32,
    OPENING_MAX = 256, /* handshakes under way */
    OPENING_A_TURN = 32,
    AGAIN_NS = 200 * NS_PER_MS,
    LINE_BYTES = 64,
};

#define NONCE_BASE (UINT64_C(0x70726f64) << 32) /* the lane's number is below it */

enum producer_lane_state { LANE_CLOSED, LANE_ASKED, LANE_OPEN };

struct producer_lane {
    uint64_t session;
    uint64_t next_sequence;
    uint64_t durable;
    uint64_t packet_number;
    uint64_t ack_number; /* the highest seen, plus one */
    uint32_t credit_bytes;
    uint32_t state; /* enum producer_lane_state */
    uint64_t asked_ns;
};

/* What stays the same of a frame however often it is numbered. */
struct numbered_frame {
    uint64_t fixed_sum; /* Internet checksum of all but the numbers and the tail */
    uint32_t records_crc;
    uint32_t records_bytes;
};

struct session_slot {
    uint64_t session; /* 0: empty */
    uint32_t lane;
};

struct producers {
    struct producers_options options;
    struct producer_lane *lanes;
    struct numbered_frame *numbered; /* by frame */
    struct session_slot *slots;      /* by session, half full at most */
    uint32_t slot_mask;
    uint32_t *turns; /* which lane of a host comes when: a permutation */
    uint32_t lanes_a_host;
    uint64_t sent;    /* datagrams, ever */
    uint64_t waiting; /* records sent and not known to be durable */
    uint32_t record_wire_bytes;
    uint32_t opened;
    uint32_t asked;       /* lanes [0, asked) were asked for */
    uint32_t first_asked; /* all before it are open */
    uint64_t acks;
    bool failed;
};

/* ----------------------------------------------------------------------------------- sessions */

static uint32_t slot_of(const struct producers *producers, uint64_t session)
{
    return (uint32_t)(session * UINT64_C(0x9e3779b97f4a7c15) >> 32) & producers->slot_mask;
}

static void session_add(struct producers *producers, uint64_t session, uint32_t lane)
{
    uint32_t at = slot_of(producers, session);
    while (producers->slots[at].session != 0) { at = (at + 1) & producers->slot_mask; }
    producers->slots[at] = (struct session_slot){session, lane};
}

static struct producer_lane *session_find(struct producers *producers, uint64_t session)
{
    for (uint32_t at = slot_of(producers, session); producers->slots[at].session != 0;
         at = (at + 1) & producers->slot_mask) {
        if (producers->slots[at].session == session) {
            return &producers->lanes[producers->slots[at].lane];
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------- handshakes */

/* What an encoder wrote at room + PAYLOAD_AT goes out. */
static void send_frame(const struct producers *producers, struct tap *tap, uint32_t lane,
                       const struct packet_room *room, size_t payload_bytes)
{
    const struct udp_path path = frames_path(
        producers->options.interface, lane % producers->options.host_count, FRAMES_NATIVE_PORT);
    const size_t len_bytes = udp_path_finish(&path, room->at, payload_bytes);
    (void)packets_transmit(tap->inner, &room->handle, &len_bytes, 1); /* lost: asked for again */
}

/* The same in every try: an OPEN that is repeated is answered once. */
static uint64_t nonce_of(uint32_t lane) { return NONCE_BASE | (lane + 1); }

static void send_hello(struct producers *producers, struct tap *tap, uint32_t lane)
{
    struct packet_room room;
    const struct native_hello hello = {.key_id = 0};
    if (!packets_reserve(tap->inner, &room)) { return; }
    const size_t len_bytes =
        native_encode_hello(room.at + PAYLOAD_AT, NATIVE_HELLO_BYTES, nonce_of(lane), &hello);
    send_frame(producers, tap, lane, &room, len_bytes);
}

static void send_open(struct producers *producers, struct tap *tap, uint32_t lane, uint64_t nonce,
                      const struct native_cookie *cookie)
{
    struct packet_room room;
    if (!packets_reserve(tap->inner, &room)) { return; }
    struct native_open open = {
        .begin = true,
        .cookie = *cookie,
        .lane = lane / producers->options.host_count,
        .epoch = 1,
        .oldest_held = 1,
        .datagram_bytes = NATIVE_DATAGRAM_BYTES_BASE,
    };
    open.producer.bytes[0] = 1;
    store_le32(open.producer.bytes + 4, lane % producers->options.host_count);
    const size_t len_bytes =
        native_encode_open(room.at + PAYLOAD_AT, NATIVE_OPEN_BYTES, nonce, &open);
    send_frame(producers, tap, lane, &room, len_bytes);
}

bool producers_open_some(struct producers *producers, struct tap *tap, uint64_t now_ns)
{
    const uint32_t count = producers->options.lane_count;
    uint32_t sent = 0;
    while (producers->first_asked < producers->asked &&
           producers->lanes[producers->first_asked].state == LANE_OPEN) {
        producers->first_asked++;
    }
    for (uint32_t lane = producers->first_asked;
         lane < count && lane < producers->first_asked + OPENING_MAX && sent < OPENING_A_TURN;
         lane++) {
        struct producer_lane *const item = &producers->lanes[lane];
        if (item->state == LANE_OPEN) { continue; }
        if (item->state == LANE_ASKED && now_ns - item->asked_ns < AGAIN_NS) { continue; }
        item->state = LANE_ASKED;
        item->asked_ns = now_ns;
        if (lane >= producers->asked) { producers->asked = lane + 1; }
        send_hello(producers, tap, lane);
        sent++;
    }
    return producers->opened == count;
}

static void hear_challenge(struct producers *producers, struct tap *tap,
                           const struct native_datagram *challenge)
{
    const uint32_t lane = (uint32_t)challenge->token - 1;
    if (lane >= producers->options.lane_count || challenge->token != nonce_of(lane)) {
        return; /* a stranger's */
    }
    send_open(producers, tap, lane, challenge->token, &challenge->challenge);
}

static void hear_accept(struct producers *producers, const struct native_datagram *datagram)
{
    const uint32_t number = (uint32_t)datagram->token - 1;
    if (number >= producers->options.lane_count || datagram->token != nonce_of(number)) { return; }
    struct producer_lane *const lane = &producers->lanes[number];
    if (lane->state == LANE_OPEN) { return; } /* the same ACCEPT again */
    lane->session = datagram->accept.session;
    lane->next_sequence = datagram->accept.next;
    lane->durable = datagram->accept.next - 1;
    lane->credit_bytes = datagram->accept.credit_bytes;
    lane->state = LANE_OPEN;
    session_add(producers, lane->session, number);
    producers->opened++;
}

/* ---------------------------------------------------------------------------------------- DATA */

static void flush_lines(const uint8_t *at, size_t len_bytes)
{
    const uint8_t *const first = at - (uintptr_t)at % LINE_BYTES;
    for (const uint8_t *line = first; line < at + len_bytes; line += LINE_BYTES) {
        __builtin_ia32_clflush(line);
    }
}

/* The whole frame is as if it had been made for this: the numbers' part of either checksum is added
 * to what the records' part is known to be. */
static void number_frame(const struct numbered_frame *numbered, const struct producer_lane *lane,
                         uint8_t *frame)
{
    uint8_t *const payload = frame + PAYLOAD_AT;
    store_le64(payload + TOKEN_AT, lane->session);
    store_le64(payload + PACKET_NUMBER_AT, lane->packet_number);
    store_le64(payload + SEQUENCE_AT, lane->next_sequence);
    store_le64(payload + CONFIRMED_AT, lane->durable);
    const uint32_t header_crc = crc32c(bytes_of(payload, NATIVE_DATA_HEADER_BYTES));
    uint8_t *const trailer = payload + NATIVE_DATA_HEADER_BYTES + numbered->records_bytes;
    store_le32(trailer, crc32c_combine(header_crc, numbered->records_crc, numbered->records_bytes));

    /* The tail begins at an even position: with the records' last byte, where they are odd. */
    uint8_t *const tail = trailer - numbered->records_bytes % 2;
    const uint8_t *const end = trailer + NATIVE_TRAILER_BYTES;
    uint64_t sum = numbered->fixed_sum;
    sum = checksum_add(sum, bytes_of(payload + TOKEN_AT, NATIVE_DATA_HEADER_BYTES - TOKEN_AT));
    sum = checksum_add(sum, bytes_of(tail, (size_t)(end - tail)));
    uint16_t checksum = checksum_finish(sum);
    if (checksum == 0) { checksum = UINT16_MAX; }
    memcpy(frame + CHECKSUM_AT, &checksum, sizeof checksum);
    flush_lines(frame, PAYLOAD_AT + NATIVE_DATA_HEADER_BYTES);
    flush_lines(tail, (size_t)(end - tail));
}

static void measure_frame(uint8_t *frame, struct numbered_frame *out)
{
    uint8_t *const payload = frame + PAYLOAD_AT;
    const uint16_t udp_bytes = load_be16(frame + UDP_AT + 4);
    out->records_bytes =
        (uint32_t)(udp_bytes - UDP_HEADER_BYTES - NATIVE_DATA_HEADER_BYTES - NATIVE_TRAILER_BYTES);
    const struct bytes records = bytes_of(payload + NATIVE_DATA_HEADER_BYTES, out->records_bytes);
    out->records_crc = crc32c(records);
    uint64_t sum = checksum_pseudo_header(
        load_be32(frame + UDP_AT - 8), load_be32(frame + UDP_AT - 4), IPV4_PROTOCOL_UDP, udp_bytes);
    sum = checksum_add(sum, bytes_of(frame + UDP_AT, UDP_HEADER_BYTES - 2));
    sum = checksum_add(sum, bytes_of(payload, TOKEN_AT));
    out->fixed_sum = checksum_add(sum, bytes_slice(records, 0, out->records_bytes & ~UINT32_C(1)));
}

/* Lanes of a host take turns in an order that no prefetcher guesses, and each host in its own. */
static struct producer_lane *next_lane(const struct producers *producers)
{
    const uint32_t hosts = producers->options.host_count;
    const uint32_t host = (uint32_t)(producers->sent % hosts);
    const uint64_t round = producers->sent / hosts + host * UINT64_C(37);
    return &producers->lanes[host + hosts * producers->turns[round % producers->lanes_a_host]];
}

static bool has_credit(const struct producers *producers, const struct producer_lane *lane)
{
    const uint64_t under_way = lane->next_sequence - 1 - lane->durable + FRAMES_RECORDS_FIVE;
    return under_way * producers->record_wire_bytes <= lane->credit_bytes;
}

size_t producers_feed(struct producers *producers, size_t most)
{
    struct frames *const frames = producers->options.frames;
    const size_t left = frames->count - frames->next;
    const size_t wanted = left < most ? left : most;
    size_t ready = 0;
    for (; ready < wanted; ready++) {
        const size_t index = frames->next + ready;
        struct producer_lane *const lane = next_lane(producers);
        size_t len_bytes;
        if (!frames_is_idle(frames, index) || !has_credit(producers, lane)) { break; }
        number_frame(&producers->numbered[index], lane, frames_at(frames, index, &len_bytes));
        lane->packet_number++;
        lane->next_sequence += FRAMES_RECORDS_FIVE;
        producers->waiting += FRAMES_RECORDS_FIVE;
        producers->sent++;
    }
    if (ready == 0) { return 0; }
    const size_t taken = frames_feed(frames, producers->options.port_id, ready);
    assert(taken == ready); /* whoever feeds keeps the ring's length in mind */
    return taken;
}

/* ---------------------------------------------------------------------------------------- ACK */

static void fail(struct producers *producers, const char *why, uint64_t detail)
{
    if (!producers->failed) { log_error("a producer: %s (%llu)", why, (unsigned long long)detail); }
    producers->failed = true;
}

static void hear_ack(struct producers *producers, uint64_t session, const struct native_ack *ack)
{
    struct producer_lane *const lane = session_find(producers, session);
    if (lane == NULL || ack->durable >= lane->next_sequence ||
        (ack->range_count > 0 && ack->ranges[0].last >= lane->packet_number)) {
        fail(producers, "an ACK of what was never sent", ack->durable);
        return;
    }
    producers->acks++;
    if (ack->durable > lane->durable) {
        producers->waiting -= ack->durable - lane->durable;
        lane->durable = ack->durable;
    }
    if (ack->ack_number < lane->ack_number) { return; }
    lane->ack_number = ack->ack_number + 1;
    lane->credit_bytes = ack->credit_bytes;

    struct bytes fates = ack->fates;
    uint8_t fate;
    uint64_t count;
    while (native_fate_next(&fates, &fate, &count)) {
        if (fate != NATIVE_STORED && fate != NATIVE_DROPPED) { fail(producers, "a fate", fate); }
    }
}

/* Strangers beside us (FRAMES_HOSTILE) are rejected all the time. */
static bool is_ours(struct producers *producers, const struct native_datagram *reject)
{
    return producers->opened < producers->options.lane_count ||
           session_find(producers, reject->token) != NULL;
}

static void hear_datagram(struct producers *producers, struct tap *tap,
                          const struct native_datagram *datagram)
{
    switch (datagram->type) {
    case NATIVE_ACK: hear_ack(producers, datagram->token, &datagram->ack); break;
    case NATIVE_CHALLENGE: hear_challenge(producers, tap, datagram); break;
    case NATIVE_ACCEPT: hear_accept(producers, datagram); break;
    case NATIVE_REJECT:
        if (is_ours(producers, datagram)) { fail(producers, "REJECT", datagram->reject.code); }
        break;
    default: fail(producers, "an answer of type", datagram->type); break;
    }
}

void producers_hear(struct producers *producers, struct tap *tap)
{
    for (size_t i = 0; i < tap->count; i++) {
        const struct bytes frame = tap_frame(tap, i);
        if (load_be16(frame.at + ETHERTYPE_AT) != ETHERTYPE_IPV4) { continue; } /* its ARP */
        const size_t udp_bytes = load_be16(frame.at + UDP_AT + 4);
        const struct bytes payload = bytes_slice(frame, PAYLOAD_AT, UDP_AT + udp_bytes);
        struct native_datagram datagram;
        const enum native_result result = native_decode(payload, &datagram);
        if (result != NATIVE_OK) {
            fail(producers, "an answer that does not hold", result);
            continue;
        }
        hear_datagram(producers, tap, &datagram);
    }
    tap_clear(tap);
}

bool producers_are_quiet(const struct producers *producers) { return producers->waiting == 0; }
bool producers_failed(const struct producers *producers) { return producers->failed; }
uint64_t producers_acks(const struct producers *producers) { return producers->acks; }

/* ---------------------------------------------------------------------------------- life cycle */

static void shuffle(uint32_t *items, uint32_t count)
{
    uint64_t state = UINT64_C(20260711);
    for (uint32_t i = 0; i < count; i++) { items[i] = i; }
    for (uint32_t i = count; i > 1; i--) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const uint32_t other = (uint32_t)((state >> 33) % i);
        const uint32_t kept = items[i - 1];
        items[i - 1] = items[other];
        items[other] = kept;
    }
}

enum status producers_create(const struct producers_options *options, struct producers **out)
{
    assert(options->lane_count % options->host_count == 0);
    const struct frames *const frames = options->frames;
    struct producers *const producers = calloc(1, sizeof *producers);
    if (producers == NULL) { return STATUS_NO_MEMORY; }
    uint32_t slot_count = 2;
    while (slot_count < 2 * options->lane_count) { slot_count *= 2; }
    producers->options = *options;
    producers->slot_mask = slot_count - 1;
    producers->lanes_a_host = options->lane_count / options->host_count;
    producers->lanes = calloc(options->lane_count, sizeof *producers->lanes);
    producers->numbered = calloc(frames->count, sizeof *producers->numbered);
    producers->slots = calloc(slot_count, sizeof *producers->slots);
    producers->turns = calloc(producers->lanes_a_host, sizeof *producers->turns);
    if (producers->lanes == NULL || producers->numbered == NULL || producers->slots == NULL ||
        producers->turns == NULL) {
        producers_destroy(producers);
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < frames->count; i++) {
        size_t len_bytes;
        measure_frame(frames_at(frames, i, &len_bytes), &producers->numbered[i]);
    }
    producers->record_wire_bytes = producers->numbered[0].records_bytes / FRAMES_RECORDS_FIVE;
    shuffle(producers->turns, producers->lanes_a_host);
    *out = producers;
    return STATUS_OK;
}

void producers_destroy(struct producers *producers)
{
    if (producers == NULL) { return; }
    free(producers->turns);
    free(producers->slots);
    free(producers->numbered);
    free(producers->lanes);
    free(producers);
}
