#include "bench/frames.h"

#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "base/invariant.h"
#include "base/sink.h"
#include "bench/lines.h"
#include "nic/checksum.h"
#include "nic/ethernet.h"
#include "nic/ip.h"
#include "nic/udp.h"

enum {
    HEADERS_BYTES = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_HEADER_BYTES,
    FRAME_BYTES_MAX = ETHERNET_HEADER_BYTES + 1500,
    PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - HEADERS_BYTES,
    SINGLE_ROOM_BYTES = 384,
    PRODUCERS = 64,               /* source addresses */
    SINGLE_FRAME_BYTES_LOW = 160, /* a mean that no data set here is below */
};

static const struct mac producer_mac = {{0x02, 0, 0, 0, 0x50, 0x01}};

static bool is_packed(enum frames_kind kind) { return kind == FRAMES_LINES_PACKED; }

static size_t room_bytes(enum frames_kind kind)
{
    return is_packed(kind) ? FRAME_BYTES_MAX : SINGLE_ROOM_BYTES;
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

static void payload_of_one(struct payload *out, struct line_maker *maker, enum frames_kind kind)
{
    char text[LINES_TEXT_BYTES];
    const size_t len_bytes =
        kind == FRAMES_SYSLOG_SINGLE ? line_make_syslog(maker, text) : line_make(maker, text);
    payload_add(out, text, len_bytes);
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

/* -------------------------------------------------------------------------------------- frames */

static void write_udp(struct sink *sink, uint32_t source, uint32_t target, uint16_t target_port,
                      uint16_t source_port, const struct payload *payload)
{
    const uint16_t len_bytes = (uint16_t)(UDP_HEADER_BYTES + payload->len_bytes);
    uint8_t *const header = sink->at;
    sink_be16(sink, source_port);
    sink_be16(sink, target_port);
    sink_be16(sink, len_bytes);
    sink_be16(sink, 0);
    sink_bytes(sink, bytes_of(payload->bytes, payload->len_bytes));

    uint64_t sum = checksum_pseudo_header(source, target, IPV4_PROTOCOL_UDP, len_bytes);
    sum = checksum_add(sum, bytes_of(header, len_bytes));
    const uint16_t checksum = checksum_finish(sum);
    memcpy(header + 6, &checksum, sizeof checksum);
}

static void write_frame(struct rte_mbuf *mbuf, const struct interface *interface,
                        enum frames_kind kind, const struct payload *payload, uint32_t producer)
{
    const struct ethernet_vlan untagged = {0};
    const uint32_t source = (interface->address & interface->netmask) + 100 + producer;
    const uint16_t port = kind == FRAMES_SYSLOG_SINGLE ? FRAMES_SYSLOG_PORT : FRAMES_LINES_PORT;
    mbuf->data_off = 0; /* nobody puts a header in front */
    struct sink sink = sink_into(rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->buf_len);

    ethernet_write(&sink, &interface->mac, &producer_mac, untagged, ETHERTYPE_IPV4);
    ipv4_write(&sink, source, interface->address, IPV4_PROTOCOL_UDP,
               (uint16_t)(UDP_HEADER_BYTES + payload->len_bytes));
    write_udp(&sink, source, interface->address, port, (uint16_t)(40000 + producer), payload);
    assert(!sink.overflowed);
    mbuf->data_len = (uint16_t)sink_used_bytes(&sink);
    mbuf->pkt_len = mbuf->data_len;
}

static enum status fill(struct frames *frames, enum frames_kind kind,
                        const struct interface *interface, size_t capacity, uint64_t bytes_min,
                        uint64_t seed)
{
    struct line_maker maker;
    line_maker_init(&maker, seed);
    while (frames->frame_bytes < bytes_min) {
        struct payload payload = {.len_bytes = 0};
        if (is_packed(kind)) {
            payload_of_many(&payload, &maker);
        } else {
            payload_of_one(&payload, &maker, kind);
        }
        struct rte_mbuf *const mbuf =
            frames->count < capacity ? rte_pktmbuf_alloc(frames->pool) : NULL;
        if (mbuf == NULL) { return STATUS_NO_MEMORY; }
        write_frame(mbuf, interface, kind, &payload, line_maker_draw(&maker, PRODUCERS));
        frames->mbufs[frames->count++] = mbuf;
        frames->record_count += payload.records;
        frames->record_bytes += payload.record_bytes;
        frames->frame_bytes += mbuf->pkt_len;
    }
    return STATUS_OK;
}

enum status frames_create(struct frames *frames, enum frames_kind kind,
                          const struct interface *interface, uint64_t bytes_min, uint64_t seed)
{
    memset(frames, 0, sizeof *frames);
    const size_t mean_low =
        is_packed(kind) ? FRAME_BYTES_MAX - LINES_TEXT_BYTES : SINGLE_FRAME_BYTES_LOW;
    const size_t capacity = (size_t)(bytes_min / mean_low);
    frames->mbufs = calloc(capacity, sizeof(struct rte_mbuf *));
    frames->pool = rte_pktmbuf_pool_create("bench_frames", (unsigned)capacity, 0, 0,
                                           (uint16_t)room_bytes(kind), SOCKET_ID_ANY);
    enum status status = STATUS_NO_MEMORY;
    if (frames->mbufs != NULL && frames->pool != NULL) {
        status = fill(frames, kind, interface, capacity, bytes_min, seed);
    }
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

size_t frames_feed(struct frames *frames, uint16_t port_id)
{
    const size_t left = frames->count - frames->next;
    const uint16_t wanted = (uint16_t)(left < FRAMES_BURST ? left : FRAMES_BURST);
    struct rte_mbuf **const burst = frames->mbufs + frames->next;
    for (uint16_t i = 0; i < wanted; i++) {
        /* The mbuf of a later burst, not its bytes: a NIC's driver does not touch those either. */
        if (left > 2 * FRAMES_BURST) { __builtin_prefetch(burst[i + FRAMES_BURST], 1); }
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
