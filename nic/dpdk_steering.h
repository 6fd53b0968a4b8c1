/* dpdk_steering.h - a device's RSS: asked for, and read back as steering.h computes with it.
 *
 * Purpose  The same key and table at every start, so that a source port that led a producer home
 *          does so after a restart; and no trust in having asked: only what the driver reads back
 *          is computed with.
 * Owns     Nothing.
 * Threads  Main thread only.
 * Tried    On net_null, which keeps key and table and never hashes, and against rte_softrss. On no
 *          NIC: that one hashes with what it reads back is its driver's word.
 * Sources  DPDK 22.11, rte_ethdev.h; Microsoft, "Verifying the RSS hash calculation" (the key). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "nic/steering.h"

BEGIN_C_DECLS

enum { DPDK_STEERING_KEY_BYTES_MAX = 64 };

struct rte_eth_dev_info;

/* What rte_eth_dev_configure is to be told. */
struct dpdk_steering_key {
    uint8_t bytes[DPDK_STEERING_KEY_BYTES_MAX];
    uint8_t
        len_bytes; /* as long as the device wants it; 0: longer than any known, leave it alone */
};

void dpdk_steering_choose_key(const struct rte_eth_dev_info *info, struct dpdk_steering_key *out);

/* Of a started device: deals the table out to `queue_count` queues and reads key and table back.
 * False when the driver does neither, or does not hash the ports of UDP: nothing is known of where
 * a flow comes to. */
MUST_CHECK bool dpdk_steering_set_up(uint16_t port_id, uint16_t queue_count, struct steering *out);

END_C_DECLS
