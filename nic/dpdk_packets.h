/* dpdk_packets.h - one queue pair of one DPDK device, as a packets port: the hot half.
 *
 * Purpose  Bursts in and out, buffers back to their pool, the NIC's flags turned into the words of
 *          packets.h. dpdk_port.h sets the device up.
 * Owns     Nothing: device and pool are the port's.
 * Threads  The worker whose lcore it is; `send_dropped` alone is read by the main core.
 * Handles  Are mbufs: a received one may be sent (a reply built in place) instead of released. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "nic/packets.h"

BEGIN_C_DECLS

struct rte_mempool;

struct dpdk_packets {
    uint16_t port_id;
    uint16_t queue_id;
    struct rte_mempool *pool;
    uint64_t send_dropped; /* relaxed, one writer: a count that the main core adds up */
};

/* `dpdk` must not move while the result is used. */
struct packets dpdk_packets_port(struct dpdk_packets *dpdk);

/* How many frames the send queue did not take. Any thread. */
uint64_t dpdk_packets_send_dropped(const struct dpdk_packets *dpdk);

END_C_DECLS
