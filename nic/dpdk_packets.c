#include "nic/dpdk_packets.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "base/invariant.h"

/* NONE means: the field in the packet is not filled in, but the bytes are known to be intact (a
 * virtual machine's neighbour). That is as good as good. */
static enum packet_checksum ip_verdict(uint64_t flags)
{
    switch (flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) {
    case RTE_MBUF_F_RX_IP_CKSUM_GOOD:
    case RTE_MBUF_F_RX_IP_CKSUM_NONE: return PACKET_CHECKSUM_GOOD;
    case RTE_MBUF_F_RX_IP_CKSUM_BAD: return PACKET_CHECKSUM_BAD;
    default: return PACKET_CHECKSUM_UNKNOWN;
    }
}

static enum packet_checksum l4_verdict(uint64_t flags)
{
    switch (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
    case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
    case RTE_MBUF_F_RX_L4_CKSUM_NONE: return PACKET_CHECKSUM_GOOD;
    case RTE_MBUF_F_RX_L4_CKSUM_BAD: return PACKET_CHECKSUM_BAD;
    default: return PACKET_CHECKSUM_UNKNOWN;
    }
}

static struct packet packet_of(struct rte_mbuf *mbuf)
{
    const uint64_t flags = mbuf->ol_flags;
    const struct packet out = {
        .frame = bytes_of(rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len),
        .handle = mbuf,
        .ip_checksum = (uint8_t)ip_verdict(flags),
        .l4_checksum = (uint8_t)l4_verdict(flags),
        .chained = mbuf->nb_segs > 1,
        .vlan_stripped = (flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0,
        .vlan_tci = mbuf->vlan_tci,
    };
    return out;
}

static size_t dpdk_packets_receive(void *self, struct packet *out, size_t capacity)
{
    const struct dpdk_packets *const dpdk = self;
    struct rte_mbuf *mbufs[PACKETS_BURST_MAX];
    const uint16_t count =
        rte_eth_rx_burst(dpdk->port_id, dpdk->queue_id, mbufs, (uint16_t)capacity);
    for (uint16_t i = 0; i < count; i++) { out[i] = packet_of(mbufs[i]); }
    return count;
}

/* DPDK's bulk functions want a writable array and never write it: hence copies, a burst at a time,
 * rather than a cast that drops the const. */
static void copy_mbufs(struct rte_mbuf **mbufs, void *const *handles, size_t count)
{
    for (size_t i = 0; i < count; i++) { mbufs[i] = handles[i]; }
}

static size_t burst_of(size_t left) { return left < PACKETS_BURST_MAX ? left : PACKETS_BURST_MAX; }

static void dpdk_packets_release(void *self, void *const *handles, size_t count)
{
    (void)self; /* each mbuf knows its pool */
    for (size_t done = 0; done < count;) {
        struct rte_mbuf *mbufs[PACKETS_BURST_MAX];
        const size_t burst = burst_of(count - done);
        copy_mbufs(mbufs, handles + done, burst);
        rte_pktmbuf_free_bulk(mbufs, (unsigned)burst);
        done += burst;
    }
}

static bool dpdk_packets_reserve(void *self, struct packet_room *out)
{
    const struct dpdk_packets *const dpdk = self;
    struct rte_mbuf *const mbuf = rte_pktmbuf_alloc(dpdk->pool);
    if (UNLIKELY(mbuf == NULL)) { return false; }
    out->at = rte_pktmbuf_mtod(mbuf, uint8_t *);
    out->capacity_bytes = rte_pktmbuf_tailroom(mbuf);
    out->handle = mbuf;
    return true;
}

COLD static void dpdk_packets_drop(struct dpdk_packets *dpdk, void *const *handles, size_t count)
{
    dpdk_packets_release(dpdk, handles, count);
    __atomic_store_n(&dpdk->send_dropped, dpdk->send_dropped + count, __ATOMIC_RELAXED);
}

static size_t send_burst(const struct dpdk_packets *dpdk, void *const *handles,
                         const size_t *lens_bytes, size_t count)
{
    struct rte_mbuf *mbufs[PACKETS_BURST_MAX];
    copy_mbufs(mbufs, handles, count);
    for (size_t i = 0; i < count; i++) {
        assert_hot(mbufs[i]->nb_segs == 1);
        assert_hot(lens_bytes[i] <= (size_t)mbufs[i]->buf_len - mbufs[i]->data_off);
        mbufs[i]->data_len = (uint16_t)lens_bytes[i];
        mbufs[i]->pkt_len = (uint32_t)lens_bytes[i];
    }
    return rte_eth_tx_burst(dpdk->port_id, dpdk->queue_id, mbufs, (uint16_t)count);
}

/* A queue that is full is not asked again: what comes later must not go before what it refused. */
static size_t dpdk_packets_transmit(void *self, void *const *handles, const size_t *lens_bytes,
                                    size_t count)
{
    struct dpdk_packets *const dpdk = self;
    size_t taken = 0;
    while (taken < count) {
        const size_t burst = burst_of(count - taken);
        const size_t sent = send_burst(dpdk, handles + taken, lens_bytes + taken, burst);
        taken += sent;
        if (UNLIKELY(sent < burst)) { break; }
    }
    if (UNLIKELY(taken < count)) { dpdk_packets_drop(dpdk, handles + taken, count - taken); }
    return taken;
}

/* Not rte_mempool_avail_count: it walks the caches of all possible lcores. Only this worker takes
 * from this pool, so its own cache and the common store are everything. */
static size_t dpdk_packets_buffers_free(void *self)
{
    const struct dpdk_packets *const dpdk = self;
    const struct rte_mempool_cache *const cache =
        rte_mempool_default_cache(dpdk->pool, rte_lcore_id());
    const size_t stored = rte_mempool_get_ops(dpdk->pool->ops_index)->get_count(dpdk->pool);
    return stored + (cache != NULL ? cache->len : 0);
}

static const struct packets_ops DPDK_PACKETS_OPS = {
    .receive = dpdk_packets_receive,
    .release = dpdk_packets_release,
    .reserve = dpdk_packets_reserve,
    .transmit = dpdk_packets_transmit,
    .buffers_free = dpdk_packets_buffers_free,
};

struct packets dpdk_packets_port(struct dpdk_packets *dpdk)
{
    const struct packets out = {&DPDK_PACKETS_OPS, dpdk};
    return out;
}

uint64_t dpdk_packets_send_dropped(const struct dpdk_packets *dpdk)
{
    return __atomic_load_n(&dpdk->send_dropped, __ATOMIC_RELAXED);
}
