/* session_fuzz.c - a worker that speaks the native protocol, on simulated ports, and four producers
 * whose datagrams, clock and disk the input chooses.
 *
 * The input is a list of steps. Cookies, sessions and checksums are put right, so that what it says
 * gets deep; sequences, packet numbers, counts, lengths and bytes are its own. Whatever comes: what
 * the worker sends decodes, what it named durable stays so (over crashes too), and in the end every
 * ledger adds up and every buffer is back. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/sink.h"
#include "tests/dataplane/native_rig.h"
#include "wire/native.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

enum { PRODUCERS = 4, STEPS_MAX = 400, DATAGRAM_BYTES = 1472 };

struct producer {
    uint64_t nonce;
    uint64_t session;
    uint64_t next;    /* as the appliance said last */
    uint64_t durable; /* the highest that was promised */
    uint64_t confirmed;
    uint64_t packet_number;
    struct native_cookie cookie;
    struct native_open open; /* the last one: to be sent again */
};

struct fuzz {
    struct native_rig *rig;
    struct producer producers[PRODUCERS];
    const uint8_t *at;
    const uint8_t *end;
    uint8_t room[DATAGRAM_BYTES];
};

static uint8_t take_u8(struct fuzz *fuzz) { return fuzz->at < fuzz->end ? *fuzz->at++ : 0; }

static struct bytes take_bytes(struct fuzz *fuzz, size_t most_bytes)
{
    const size_t left_bytes = (size_t)(fuzz->end - fuzz->at);
    const size_t len_bytes = left_bytes < most_bytes ? left_bytes : most_bytes;
    const struct bytes out = bytes_of(fuzz->at, len_bytes);
    fuzz->at += len_bytes;
    return out;
}

/* Something near `base`, or one of the numbers that sums trip over. */
static uint64_t take_number(struct fuzz *fuzz, uint64_t base)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     UINT32_MAX,
                                     UINT64_C(1) << 32,
                                     NATIVE_SEQUENCE_MAX,
                                     NATIVE_SEQUENCE_MAX + 1,
                                     UINT64_MAX,
                                     UINT64_MAX - 1};
    const uint8_t how = take_u8(fuzz);
    if (how < 200) { return base + how - 100; }
    if (how < 232) { return base + (uint64_t)(how - 200) * 256; }
    if (how < 240) { return edges[how - 232]; }
    return base;
}

static struct sim_address address_of(size_t index)
{
    /* Two and two of one host. */
    return (struct sim_address){0xc0000201 + (uint32_t)(index / 2), (uint16_t)(40000 + index)};
}

static void send(struct fuzz *fuzz, size_t index, size_t len_bytes)
{
    assert(len_bytes > 0);
    native_rig_put(fuzz->rig, address_of(index), bytes_of(fuzz->room, len_bytes));
}

/* ------------------------------------------------------------------------------------ hearing */

static void hear_durable(struct producer *producer, uint64_t durable)
{
    if (durable > producer->durable) { producer->durable = durable; }
}

static void hear_datagram(struct producer *producer, const struct native_datagram *datagram)
{
    switch (datagram->type) {
    case NATIVE_CHALLENGE:
        if (datagram->token == producer->nonce) { producer->cookie = datagram->challenge; }
        break;
    case NATIVE_ACCEPT:
        if (datagram->token != producer->nonce) { break; }
        producer->session = datagram->accept.session;
        producer->next = datagram->accept.next;
        producer->packet_number = 0;
        assert(datagram->accept.durable >= producer->durable); /* 1: what was durable stays so */
        assert(datagram->accept.durable < datagram->accept.next);
        hear_durable(producer, datagram->accept.durable);
        break;
    case NATIVE_ACK:
        if (datagram->token != producer->session) { break; }
        assert(datagram->ack.durable <= datagram->ack.received);
        producer->next = datagram->ack.received + 1;
        hear_durable(producer, datagram->ack.durable);
        break;
    default: break;
    }
}

static void hear(struct fuzz *fuzz)
{
    struct sim_datagram sent;
    while (native_rig_take(fuzz->rig, &sent, NULL)) {
        struct native_datagram datagram;
        const enum native_result result = native_decode(sent.payload, &datagram);
        assert(result == NATIVE_OK);
        assert(sent.payload.len_bytes <= NATIVE_DATAGRAM_BYTES_BASE);
        (void)result;
        for (size_t i = 0; i < PRODUCERS; i++) {
            const struct sim_address address = address_of(i);
            if (address.host != sent.target.host || address.port != sent.target.port) { continue; }
            hear_datagram(&fuzz->producers[i], &datagram);
        }
    }
}

static void turn(struct fuzz *fuzz, size_t turns, uint64_t step_ns)
{
    for (size_t i = 0; i < turns; i++) {
        native_rig_turn(fuzz->rig, step_ns);
        hear(fuzz);
    }
}

/* ------------------------------------------------------------------------------------ speaking */

static void say_hello(struct fuzz *fuzz, size_t index)
{
    struct producer *const producer = &fuzz->producers[index];
    const struct native_hello hello = {0};
    producer->nonce += PRODUCERS;
    send(fuzz, index, native_encode_hello(fuzz->room, sizeof fuzz->room, producer->nonce, &hello));
}

static void say_open(struct fuzz *fuzz, size_t index)
{
    struct producer *const producer = &fuzz->producers[index];
    const uint8_t how = take_u8(fuzz);
    struct native_open *const open = &producer->open;
    memset(open, 0, sizeof *open);
    /* Lanes are fought over: producers 0 and 1, 2 and 3 are of one identity. */
    memset(open->producer.bytes, (int)(1 + index / 2), sizeof open->producer.bytes);
    open->lane = index / 2 == 0 ? 1 : (uint32_t)index;
    open->begin = (how & 1) == 0;
    open->cookie = producer->cookie;
    open->epoch = 1 + (how >> 1) % 4;
    open->datagram_bytes = NATIVE_DATAGRAM_BYTES_BASE;
    open->previous_session = (how & 8) != 0 ? producer->session : 0;
    open->durable = (how & 16) != 0 ? take_number(fuzz, producer->durable) : NATIVE_UNKNOWN;
    open->oldest_held = (how & 32) != 0 ? take_number(fuzz, producer->next) : NATIVE_UNKNOWN;
    send(fuzz, index, native_encode_open(fuzz->room, sizeof fuzz->room, producer->nonce, open));
}

static void say_open_again(struct fuzz *fuzz, size_t index)
{
    const struct producer *const producer = &fuzz->producers[index];
    send(fuzz, index,
         native_encode_open(fuzz->room, sizeof fuzz->room, producer->nonce, &producer->open));
}

/* What a short way of saying it stands for. */
static struct bytes record_of(struct fuzz *fuzz, uint8_t kind)
{
    static const uint8_t stored[] = {0, 0, 0, 2, 'x'};
    static const uint8_t malformed[] = {0x80};
    static const uint8_t dropped[] = {0, 0, 0, 8, 'h', 'e', 'a', 'l', 't', 'h', 'z'};
    static const uint8_t no_topic[] = {1, 9, 9, 9, 9, 0, 0, 1};
    switch (kind % 5) {
    case 0: return bytes_of(stored, sizeof stored);
    case 1: return bytes_of(malformed, sizeof malformed);
    case 2: return bytes_of(dropped, sizeof dropped);
    case 3: return bytes_of(no_topic, sizeof no_topic);
    default: return take_bytes(fuzz, 1 + take_u8(fuzz) % 64);
    }
}

static void say_data(struct fuzz *fuzz, size_t index)
{
    struct producer *const producer = &fuzz->producers[index];
    if (producer->session == 0) { return; }
    struct native_data data = {
        .packet_number = take_number(fuzz, producer->packet_number),
        .first_sequence = take_number(fuzz, producer->next),
        .confirmed = producer->confirmed,
        .record_count = take_u8(fuzz) + 1U,
    };
    const uint8_t kind = take_u8(fuzz);
    const uint8_t other = take_u8(fuzz);
    struct sink sink = native_data_begin(fuzz->room, sizeof fuzz->room);
    for (uint32_t i = 0; i < data.record_count; i++) {
        const struct bytes record = record_of(fuzz, i % 2 == 0 ? kind : other);
        if (record.len_bytes + 1 > sink_room_bytes(&sink)) {
            data.record_count = i;
            break;
        }
        sink_u8(&sink, (uint8_t)record.len_bytes);
        sink_bytes(&sink, record);
    }
    if (data.record_count == 0) { return; }
    producer->packet_number++;
    send(fuzz, index, native_data_end(fuzz->room, &sink, producer->session, &data));
}

static void say_fragment(struct fuzz *fuzz, size_t index)
{
    struct producer *const producer = &fuzz->producers[index];
    if (producer->session == 0) { return; }
    static uint8_t filling[DATAGRAM_BYTES];
    const uint32_t record_bytes = (uint32_t)take_u8(fuzz) * 300 + take_u8(fuzz) + 1;
    const uint32_t offset = take_u8(fuzz) % 64 * NATIVE_FRAGMENT_CHUNK_BYTES % record_bytes /
                            NATIVE_FRAGMENT_CHUNK_BYTES * NATIVE_FRAGMENT_CHUNK_BYTES;
    const uint32_t left_bytes = record_bytes - offset;
    const struct native_data data = {
        .packet_number = producer->packet_number++,
        .first_sequence = take_number(fuzz, producer->next),
        .confirmed = producer->confirmed,
        .record_bytes = record_bytes,
        .fragment_offset = offset,
        .payload = bytes_of(filling, left_bytes < NATIVE_FRAGMENT_CHUNK_BYTES
                                         ? left_bytes
                                         : (uint32_t)NATIVE_FRAGMENT_CHUNK_BYTES),
    };
    send(fuzz, index,
         native_encode_fragment(fuzz->room, sizeof fuzz->room, producer->session, &data));
}

static void say_ping(struct fuzz *fuzz, size_t index)
{
    struct producer *const producer = &fuzz->producers[index];
    if (producer->session == 0) { return; }
    const struct native_data ping = {
        .packet_number = take_number(fuzz, producer->packet_number),
        .confirmed = producer->confirmed,
    };
    producer->packet_number++;
    send(fuzz, index,
         native_encode_ping(fuzz->room, sizeof fuzz->room, producer->session, &ping,
                            NATIVE_PING_BYTES + take_u8(fuzz)));
}

static void say_close(struct fuzz *fuzz, size_t index)
{
    struct producer *const producer = &fuzz->producers[index];
    if (producer->session == 0) { return; }
    const struct native_close close = {
        .reason = take_u8(fuzz),
        .number = producer->packet_number++,
        .confirmed = take_number(fuzz, producer->durable),
    };
    send(fuzz, index,
         native_encode_close(fuzz->room, sizeof fuzz->room, producer->session, &close));
}

/* Any bytes at all, with the session and the checksum put right if the input wants it. */
static void say_anything(struct fuzz *fuzz, size_t index)
{
    const struct producer *const producer = &fuzz->producers[index];
    const uint8_t how = take_u8(fuzz);
    const struct bytes bytes = take_bytes(fuzz, (size_t)take_u8(fuzz) * 5 + 1);
    memset(fuzz->room, 0, sizeof fuzz->room);
    memcpy(fuzz->room, bytes.at, bytes.len_bytes);
    size_t len_bytes = bytes.len_bytes;
    if ((how & 1) != 0 && len_bytes < NATIVE_PING_BYTES) { len_bytes = NATIVE_PING_BYTES; }
    if (len_bytes < 1) { len_bytes = 1; }
    if ((how & 2) != 0) { fuzz->room[0] = NATIVE_VERSION; }
    if ((how & 4) != 0 && len_bytes >= NATIVE_HEADER_BYTES) {
        store_le64(fuzz->room + 8, producer->session);
    }
    if ((how & 8) != 0 && len_bytes >= NATIVE_DATAGRAM_BYTES_MIN) {
        const size_t body_bytes = len_bytes - NATIVE_TRAILER_BYTES;
        store_le32(fuzz->room + body_bytes, crc32c(bytes_of(fuzz->room, body_bytes)));
    }
    send(fuzz, index, len_bytes);
}

/* ---------------------------------------------------------------------------------- the world */

static void let_time_pass(struct fuzz *fuzz)
{
    static const uint64_t steps_ns[] = {50 * NS_PER_US,         1 * NS_PER_MS,
                                        6 * NS_PER_MS,          100 * NS_PER_MS,
                                        UINT64_C(3) * NS_PER_S, UINT64_C(11) * NS_PER_S};
    const uint8_t how = take_u8(fuzz);
    turn(fuzz, 1 + how % 16, steps_ns[how / 16 % 6]);
}

static void change_disk(struct fuzz *fuzz)
{
    struct sim_disk *const disk = native_rig_disk(fuzz->rig);
    const uint64_t next_write = sim_disk_write_count(disk) + 1;
    switch (take_u8(fuzz) % 5) {
    case 0: sim_disk_hold(disk, true); break;
    case 1: sim_disk_hold(disk, false); break;
    case 2: sim_disk_fail_writes(disk, next_write, 1 + take_u8(fuzz) % 8, STATUS_IO); break;
    case 3: sim_disk_fail_writes(disk, next_write, UINT64_MAX, STATUS_NO_SPACE); break;
    default: sim_disk_calm(disk); break;
    }
}

static void forget_sessions(struct fuzz *fuzz)
{
    for (size_t i = 0; i < PRODUCERS; i++) { fuzz->producers[i].session = 0; }
}

static void crash(struct fuzz *fuzz)
{
    hear(fuzz);
    native_rig_crash(fuzz->rig);
    native_rig_start(fuzz->rig, 1);
    forget_sessions(fuzz);
}

static void stop_and_start(struct fuzz *fuzz)
{
    sim_disk_calm(native_rig_disk(fuzz->rig));
    turn(fuzz, 50, 100 * NS_PER_MS);
    native_rig_stop(fuzz->rig);
    for (int i = 0; i < 200 && !native_rig_is_done(fuzz->rig); i++) {
        turn(fuzz, 1, 20 * NS_PER_MS);
    }
    assert(native_rig_is_done(fuzz->rig));
    native_rig_close(fuzz->rig);
    native_rig_start(fuzz->rig, 1);
    forget_sessions(fuzz);
}

static void step(struct fuzz *fuzz)
{
    const uint8_t what = take_u8(fuzz);
    const size_t index = what % PRODUCERS;
    switch (what / PRODUCERS % 16) {
    case 0: say_hello(fuzz, index); break;
    case 1: say_open(fuzz, index); break;
    case 2: say_open_again(fuzz, index); break;
    case 3:
    case 4: say_data(fuzz, index); break;
    case 5: say_fragment(fuzz, index); break;
    case 6: say_ping(fuzz, index); break;
    case 7: say_close(fuzz, index); break;
    case 8: say_anything(fuzz, index); break;
    case 9: change_disk(fuzz); break;
    case 10:
        fuzz->producers[index].confirmed = take_number(fuzz, fuzz->producers[index].durable);
        break;
    case 11: /* a whole handshake */
        say_hello(fuzz, index);
        turn(fuzz, 2, 50 * NS_PER_US);
        say_open(fuzz, index);
        turn(fuzz, 8, 1 * NS_PER_MS);
        break;
    case 12: what >= 0xf0 ? crash(fuzz) : let_time_pass(fuzz); break;
    case 13: what >= 0xf0 ? stop_and_start(fuzz) : let_time_pass(fuzz); break;
    default: turn(fuzz, 1, 50 * NS_PER_US); break;
    }
}

static void check_ledger(struct fuzz *fuzz)
{
    struct ledger ledger;
    ledger_of(native_rig_stats(fuzz->rig, 0), &ledger);
    assert(ledger.frames_residue == 0);
    assert(ledger.records_residue == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    static struct rule_set *rules; /* compiled once: a run makes thousands of workers */
    if (rules == NULL) { rules = native_rig_rules(); }
    struct native_rig_options options = native_rig_defaults();
    options.lanes_max = 3;
    options.remember_ns = UINT64_C(100000) * NS_PER_S;
    options.commit_bytes = 16 * 1024;
    options.segment_bytes = 256 * 1024;
    options.max_record_bytes = 8 * 1024;
    options.commit_records_max = 1024;
    options.lane_pool_runs = 1200; /* the pool is scarce too */
    options.buffer_count = 512;
    options.rules = rules;

    struct fuzz fuzz = {.at = at, .end = at + len_bytes};
    fuzz.rig = native_rig_create(&options);
    native_rig_start(fuzz.rig, 1);
    for (size_t i = 0; i < PRODUCERS; i++) {
        fuzz.producers[i].nonce = i + 1;
        fuzz.producers[i].next = 1;
    }
    for (int i = 0; i < STEPS_MAX && fuzz.at < fuzz.end; i++) { step(&fuzz); }

    sim_disk_calm(native_rig_disk(fuzz.rig));
    turn(&fuzz, 30, 100 * NS_PER_MS); /* a closed log opens, all becomes durable */
    check_ledger(&fuzz);
    native_rig_destroy(fuzz.rig); /* aborts when a buffer is missing */
    return 0;
}
