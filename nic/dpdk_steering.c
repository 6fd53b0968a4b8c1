#include "nic/dpdk_steering.h"

#include <string.h>

#include <rte_ethdev.h>

#include "base/invariant.h"

enum { GROUPS_MAX = STEERING_ENTRIES_MAX / RTE_ETH_RETA_GROUP_SIZE };

/* Microsoft's: spreads well, and every NIC's data sheet verifies its hash with it. */
static const uint8_t KEY[STEERING_KEY_BYTES] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

/* rte_eth_rss_conf: 40 bytes, where a driver does not say otherwise. */
static uint8_t key_bytes(const struct rte_eth_dev_info *info)
{
    return info->hash_key_size != 0 ? info->hash_key_size : (uint8_t)STEERING_KEY_BYTES;
}

void dpdk_steering_choose_key(const struct rte_eth_dev_info *info, struct dpdk_steering_key *out)
{
    memset(out, 0, sizeof *out);
    const uint8_t len_bytes = key_bytes(info);
    if (len_bytes > sizeof out->bytes) { return; }
    for (size_t i = 0; i < len_bytes; i++) { out->bytes[i] = KEY[i % sizeof KEY]; }
    out->len_bytes = len_bytes;
}

/* A driver that cannot keeps a table of its own, which is read back. */
static void deal_table(uint16_t port_id, uint16_t entry_count, uint16_t queue_count)
{
    struct rte_eth_rss_reta_entry64 groups[GROUPS_MAX] = {0};
    for (uint16_t i = 0; i < entry_count; i++) {
        struct rte_eth_rss_reta_entry64 *const group = &groups[i / RTE_ETH_RETA_GROUP_SIZE];
        group->mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = i % queue_count;
    }
    (void)rte_eth_dev_rss_reta_update(port_id, groups, entry_count);
}

static bool read_table(uint16_t port_id, uint16_t entry_count, uint16_t *queues)
{
    struct rte_eth_rss_reta_entry64 groups[GROUPS_MAX] = {0};
    for (size_t i = 0; i < GROUPS_MAX; i++) { groups[i].mask = UINT64_MAX; }
    if (rte_eth_dev_rss_reta_query(port_id, groups, entry_count) != 0) { return false; }
    for (size_t i = 0; i < entry_count; i++) {
        queues[i] = groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
    }
    return true;
}

/* A driver that does not tell its key may succeed all the same. */
static bool key_is_told(const uint8_t *key, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i++) {
        if (key[i] != 0) { return true; }
    }
    return false;
}

bool dpdk_steering_set_up(uint16_t port_id, uint16_t queue_count, struct steering *out)
{
    assert(queue_count > 0);
    struct rte_eth_dev_info info; /* anew: a table's size may depend on how many queues there are */
    if (rte_eth_dev_info_get(port_id, &info) != 0) { return false; }

    uint8_t key[DPDK_STEERING_KEY_BYTES_MAX] = {0};
    uint16_t queues[STEERING_ENTRIES_MAX];
    struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = key_bytes(&info)};
    if (conf.rss_key_len > sizeof key) { return false; }
    if (info.reta_size == 0 || info.reta_size > STEERING_ENTRIES_MAX) { return false; }

    deal_table(port_id, info.reta_size, queue_count);
    if (!read_table(port_id, info.reta_size, queues)) { return false; }
    if (rte_eth_dev_rss_hash_conf_get(port_id, &conf) != 0) { return false; }
    if ((conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_UDP) == 0) { return false; }
    if (conf.rss_key_len > sizeof key || !key_is_told(key, conf.rss_key_len)) { return false; }
    return steering_init(out, bytes_of(key, conf.rss_key_len), queues, info.reta_size);
}
