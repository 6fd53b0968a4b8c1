#include "bench/frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "base/invariant.h"
#include "base/sink.h"
#include "bench/lines.h"
#include "nic/ethernet.h"
#include "nic/ip.h"
#include "nic/udp.h"
#include "wire/native.h"

enum {
    HEADERS_BYTES = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_HEADER_BYTES,
    FRAME_BYTES_MAX = ETHERNET_HEADER_BYTES + 1500,
    PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - HEADERS_BYTES,
    SINGLE_ROOM_BYTES = 384,
    RECORDS_TEXT_BYTES = FRAMES_RECORDS_FIVE * (FRAMES_RECORD_BYTES + 1),
    HOSTILE_BYTES_MAX = 256,
    SOURCE_PORT_FIRST = 40000,
    SINGLE_FRAME_BYTES_LOW = 160, /* a mean that no data set here is below */
};

static const struct mac producer_mac = {{0x02, 0, 0, 0, 0x50, 0x01}};

static size_t room_bytes(enum frames_kind kind)
{
    switch (kind) {
    case FRAMES_LINES_SINGLE:
    case FRAMES_SYSLOG_SINGLE:
    case FRAMES_HOSTILE: return SINGLE_ROOM_BYTES;
    default: return FRAME_BYTES_MAX;
    }
}

/* A mean that no data set of this kind is below. */
static size_t frame_bytes_low(enum frames_kind kind)
{
    switch (kind) {
    case FRAMES_LINES_PACKED: return FRAME_BYTES_MAX - LINES_TEXT_BYTES;
    case FRAMES_LINES_FIVE:
    case FRAMES_NATIVE_FIVE: return HEADERS_BYTES + RECORDS_TEXT_BYTES;
    case FRAMES_HOSTILE: return ETHERNET_FRAME_BYTES_MIN;
    default: return SINGLE_FRAME_BYTES_LOW;
    }
}

uint64_t frames_memory_bytes(uint64_t bytes_min)
{
    const uint64_t frames = bytes_min / SINGLE_FRAME_BYTES_LOW;
    return frames * (SINGLE_ROOM_BYTES + sizeof(struct rte_mbuf) + 2 * RTE_CACHE_LINE_SIZE);
}

/* ------------------------------------------------------------------------------------ payloads */

struct payload {
    uint8_t bytes[PAYLOAD_BYTES_MAX];
    size_t len_bytes;
    uint64_t records;
    uint64_t record_bytes;
};

static void payload_add(struct payload *payload, const char *text, size_t len_bytes)
{
    memcpy(payload->bytes + payload->len_bytes, text, len_bytes);
    payload->len_bytes += len_bytes;
    payload->records++;
    payload->record_bytes += len_bytes;
}

static void payload_of_line(struct payload *out, struct line_maker *maker)
{
    char text[LINES_TEXT_BYTES];
    payload_add(out, text, line_make(maker, text));
}

static void payload_of_syslog(struct payload *out, struct line_maker *maker)
{
    char text[LINES_TEXT_BYTES];
    payload_add(out, text, line_make_syslog(maker, text));
}

/* As many lines as fit; the one that does not is given to the next datagram by its maker's state.
 */
static void payload_of_many(struct payload *out, struct line_maker *maker)
{
    for (;;) {
        char text[LINES_TEXT_BYTES];
        const struct line_maker before = *maker;
        const size_t len_bytes = line_make(maker, text);
        if (out->len_bytes + len_bytes + 1 > sizeof out->bytes) {
            *maker = before;
            return;
        }
        payload_add(out, text, len_bytes);
        out->bytes[out->len_bytes++] = '\n';
    }
}

static void payload_of_five(struct payload *out, struct line_maker *maker)
{
    for (int i = 0; i < FRAMES_RECORDS_FIVE; i++) {
        char text[FRAMES_RECORD_BYTES];
        line_make_filled(maker, text, sizeof text);
        payload_add(out, text, sizeof text);
        out->bytes[out->len_bytes++] = '\n';
    }
}

/* A DATA of a session that nobody has. */
static void payload_of_native(struct payload *out, struct line_maker *maker,
                              struct line_maker *dice, uint32_t record_count, size_t record_bytes)
{
    struct sink records = native_data_begin(out->bytes, sizeof out->bytes);
    for (uint32_t i = 0; i < record_count; i++) {
        char text[FRAMES_RECORD_BYTES];
        line_make_filled(maker, text, record_bytes);
        const struct native_record record = {
            .key = bytes_null(),
            .value = bytes_of((const uint8_t *)text, record_bytes),
        };
        native_record_encode(&records, &record);
    }
    const struct native_data data = {
        .packet_number = line_maker_draw(dice, UINT32_MAX),
        .first_sequence = 1 + line_maker_draw(dice, UINT32_MAX),
        .record_count = record_count,
    };
    const uint64_t session = (uint64_t)line_maker_draw(dice, UINT32_MAX) << 24 |
                             line_maker_draw(dice, 1U << 17) | UINT64_C(1) << 63;
    out->len_bytes = native_data_end(out->bytes, &records, session, &data);
    assert(out->len_bytes > 0);
    out->records = record_count;
    out->record_bytes = record_count * record_bytes;
}

static void payload_of_noise(struct payload *out, struct line_maker *maker)
{
    out->len_bytes = 1 + line_maker_draw(maker, HOSTILE_BYTES_MAX);
    for (size_t i = 0; i < out->len_bytes; i++) {
        out->bytes[i] = (uint8_t)line_maker_draw(maker, 256);
    }
}

/* A quarter each of noise, DATA with one bit turned over, DATA of unknown sessions, HELLOs. */
static void payload_of_hostile(struct payload *out, struct line_maker *maker)
{
    const uint32_t kind = line_maker_draw(maker, 4);
    const struct native_hello hello = {.key_id = 0};
    if (kind == 0) {
        payload_of_noise(out, maker);
    } else if (kind == 1) {
        out->len_bytes = native_encode_hello(out->bytes, sizeof out->bytes,
                                             1 + line_maker_draw(maker, UINT32_MAX), &hello);
    } else {
        payload_of_native(out, maker, maker, 1, 1 + line_maker_draw(maker, HOSTILE_BYTES_MAX - 64));
        const uint32_t bit = line_maker_draw(maker, (uint32_t)out->len_bytes * 8);
        if (kind == 2) { out->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8); }
    }
    out->records = 0;
    out->record_bytes = 0;
}

/* `dice` for what is no text: so that kinds with the same seed have the same records. */
static void payload_make(struct payload *out, struct line_maker *maker, struct line_maker *dice,
                         enum frames_kind kind)
{
    switch (kind) {
    case FRAMES_LINES_PACKED: payload_of_many(out, maker); break;
    case FRAMES_LINES_SINGLE: payload_of_line(out, maker); break;
    case FRAMES_SYSLOG_SINGLE: payload_of_syslog(out, maker); break;
    case FRAMES_LINES_FIVE: payload_of_five(out, maker); break;
    case FRAMES_NATIVE_FIVE:
        payload_of_native(out, maker, dice, FRAMES_RECORDS_FIVE, FRAMES_RECORD_BYTES);
        break;
    case FRAMES_HOSTILE: payload_of_hostile(out, maker); break;
    }
}

/* -------------------------------------------------------------------------------------- frames */

static uint16_t port_of(enum frames_kind kind)
{
    switch (kind) {
    case FRAMES_SYSLOG_SINGLE: return FRAMES_SYSLOG_PORT;
    case FRAMES_NATIVE_FIVE:
    case FRAMES_HOSTILE: return FRAMES_NATIVE_PORT;
    default: return FRAMES_LINES_PORT;
    }
}

struct udp_path frames_path(const struct interface *interface, uint32_t host, uint16_t port)
{
    return (struct udp_path){
        .peer_mac = interface->mac,
        .our_mac = producer_mac,
        .peer_address = interface->address,
        .our_address = (interface->address & interface->netmask) + 100 + host,
        .peer_port = port,
        .our_port = (uint16_t)(SOURCE_PORT_FIRST + host),
    };
}

static void write_frame(struct rte_mbuf *mbuf, const struct udp_path *path,
                        const struct payload *payload)
{
    mbuf->data_off = 0; /* nobody puts a header in front */
    uint8_t *const room = rte_pktmbuf_mtod(mbuf, uint8_t *);
    assert(HEADERS_BYTES + payload->len_bytes <= mbuf->buf_len);
    memcpy(room + HEADERS_BYTES, payload->bytes, payload->len_bytes);
    mbuf->data_len = (uint16_t)udp_path_finish(path, room, payload->len_bytes);
    mbuf->pkt_len = mbuf->data_len;
}

static bool fill_is_over(const struct frames *frames, const struct frames_options *options)
{
    const bool even = options->kind != FRAMES_NATIVE_FIVE || frames->count % options->hosts == 0;
    return even && frames->frame_bytes >= options->bytes_min;
}

static enum status fill(struct frames *frames, const struct frames_options *options,
                        size_t capacity)
{
    struct line_maker maker;
    struct line_maker dice;
    line_maker_init(&maker, options->seed);
    line_maker_init(&dice, options->seed + 1);
    while (!fill_is_over(frames, options)) {
        struct payload payload = {.len_bytes = 0};
        payload_make(&payload, &maker, &dice, options->kind);
        struct rte_mbuf *const mbuf =
            frames->count < capacity ? rte_pktmbuf_alloc(frames->pool) : NULL;
        if (mbuf == NULL) { return STATUS_NO_MEMORY; }
        const uint32_t host = options->kind == FRAMES_NATIVE_FIVE
                                  ? (uint32_t)(frames->count % options->hosts)
                                  : line_maker_draw(&dice, options->hosts);
        const struct udp_path path = frames_path(options->interface, host, port_of(options->kind));
        write_frame(mbuf, &path, &payload);
        frames->mbufs[frames->count++] = mbuf;
        frames->record_count += payload.records;
        frames->record_bytes += payload.record_bytes;
        frames->frame_bytes += mbuf->pkt_len;
    }
    return STATUS_OK;
}

enum status frames_create(struct frames *frames, const struct frames_options *options)
{
    static const char *const pools[] = {"lines_packed", "lines_single", "syslog_single",
                                        "lines_five",   "native_five",  "hostile"};
    char name[32];
    memset(frames, 0, sizeof *frames);
    snprintf(name, sizeof name, "bench_%s_%u", pools[options->kind], options->hosts);
    const size_t capacity =
        (size_t)(options->bytes_min / frame_bytes_low(options->kind)) + options->hosts;
    frames->mbufs = calloc(capacity, sizeof(struct rte_mbuf *));
    frames->pool = rte_pktmbuf_pool_create(name, (unsigned)capacity, 0, 0,
                                           (uint16_t)room_bytes(options->kind), SOCKET_ID_ANY);
    enum status status = STATUS_NO_MEMORY;
    if (frames->mbufs != NULL && frames->pool != NULL) { status = fill(frames, options, capacity); }
    if (status != STATUS_OK) { frames_destroy(frames); }
    return status;
}

void frames_destroy(struct frames *frames)
{
    for (size_t i = 0; i < frames->count; i++) {
        assert(rte_mbuf_refcnt_read(frames->mbufs[i]) == 1); /* nobody holds one any more */
    }
    if (frames->count > 0) { rte_pktmbuf_free_bulk(frames->mbufs, (unsigned)frames->count); }
    free(frames->mbufs);
    rte_mempool_free(frames->pool);
    memset(frames, 0, sizeof *frames);
}

uint8_t *frames_at(const struct frames *frames, size_t index, size_t *out_len_bytes)
{
    *out_len_bytes = frames->mbufs[index]->data_len;
    return rte_pktmbuf_mtod(frames->mbufs[index], uint8_t *);
}

bool frames_is_idle(const struct frames *frames, size_t index)
{
    return rte_mbuf_refcnt_read(frames->mbufs[index]) == 1;
}

struct bytes frames_bytes_of(void *handle, size_t len_bytes)
{
    struct rte_mbuf *const mbuf = handle;
    return bytes_of(rte_pktmbuf_mtod(mbuf, const uint8_t *), len_bytes);
}

size_t frames_feed(struct frames *frames, uint16_t port_id, size_t most)
{
    const size_t left = frames->count - frames->next;
    const uint16_t wanted = (uint16_t)(left < most ? left : most);
    struct rte_mbuf **const burst = frames->mbufs + frames->next;
    for (uint16_t i = 0; i < wanted; i++) {
        /* The mbuf of a later burst, not its bytes: a NIC's driver does not touch those either. */
        if (left > (size_t)wanted + FRAMES_BURST) {
            __builtin_prefetch(burst[i + FRAMES_BURST], 1);
        }
        rte_mbuf_refcnt_update(burst[i], 1);
    }
    const uint16_t taken = rte_eth_tx_burst(port_id, 0, burst, wanted);
    for (uint16_t i = taken; i < wanted; i++) { rte_mbuf_refcnt_update(burst[i], -1); }
    frames->next = frames->next + taken == frames->count ? 0 : frames->next + taken;
    return taken;
}

size_t frames_receive(uint16_t port_id, struct rte_mbuf **mbufs)
{
    return rte_eth_rx_burst(port_id, 0, mbufs, FRAMES_BURST);
}

void frames_release(struct rte_mbuf **mbufs, size_t count)
{
    rte_pktmbuf_free_bulk(mbufs, (unsigned)count);
}

enum status frames_find_port(const char *device, uint16_t *out_port_id)
{
    const bool found = rte_eth_dev_get_port_by_name(device, out_port_id) == 0;
    return found ? STATUS_OK : STATUS_NOT_FOUND;
}
