/* steering.h - which receive queue a UDP flow comes to, and from which port it would come to
 * another.
 *
 * Purpose  A producer whose flow RSS brings to a queue that is not its home is told a source
 *          port that leads there. Computes what the NIC does: the Toeplitz hash of source
 *          address, target address, source port and target port, whose low bits choose an entry
 *          of the table.
 * Owns     Key and table, copied. dpdk_steering.h reads them from a device.
 * Threads  Any: read-only after init.
 * Cost     A hash is some 50 XORs; a search that finds nothing hashes 1,024 ports: it is for
 *          handshakes, not for data.
 * Limits   Right only while no NAT changes the source port on the way and no flow rule
 *          overrides RSS. A caller must live with a producer that comes to the wrong queue
 *          again.
 * Sources  Microsoft, "RSS hashing functions" and "Verifying the RSS hash calculation"; RFC
 *          6335 6 (dynamic ports). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "nic/udp.h"

BEGIN_C_DECLS

enum {
    STEERING_KEY_BYTES = 40, /* the longest input, an IPv6 flow, needs all of it */
    STEERING_ENTRIES_MAX = 512,

    STEERING_PORT_MIN = 49152, /* the dynamic ports */
    STEERING_PORTS = 16384,
    STEERING_TRIES_MAX = 1024,
};

struct steering {
    uint8_t key[STEERING_KEY_BYTES];
    size_t entry_count;
    uint16_t queues[STEERING_ENTRIES_MAX]; /* the redirection table */
};

/* `key` may be longer than STEERING_KEY_BYTES (NICs with 52): no flow reaches behind them. False
 * for what cannot be computed with: a shorter key, a table that is empty, larger than
 * STEERING_ENTRIES_MAX or no power of two. */
MUST_CHECK bool steering_init(struct steering *steering, struct bytes key, const uint16_t *queues,
                              size_t entry_count);

uint32_t steering_hash(const struct steering *steering, const struct udp_flow *flow);
uint16_t steering_queue(const struct steering *steering, const struct udp_flow *flow);

/* A source port with which `flow` would come to `wanted_queue`: its own when that does, else the
 * next dynamic one that does, of STEERING_TRIES_MAX. One outside the dynamic ports starts at a
 * place among them that depends on it, so that the producers of one host are not all told the same.
 *
 * steering  NULL where nothing is known of the device: false.
 * Returns   false when none of the ports tried leads there; `out_port` is untouched then. */
MUST_CHECK bool steering_find_source_port(const struct steering *steering,
                                          const struct udp_flow *flow, uint16_t wanted_queue,
                                          uint16_t *out_port);

END_C_DECLS
