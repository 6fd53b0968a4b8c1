/* node_ports.h - DPDK and the node's ports, from the configuration, and what they count.
 *
 * Purpose  Brings EAL up with every configured device, makes the ports, describes them in the node
 *          page and to the operator, copies their counters there a few times a second.
 * Owns     EAL and the ports, until close.
 * Threads  Main core. Says itself (logger.h) what is wrong. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "base/status.h"
#include "dataplane/worker.h"
#include "nic/dpdk_port.h"
#include "wire/stats_page.h"

BEGIN_C_DECLS

struct node_ports {
    const struct config *config;
    struct node_page *page;
    bool eal_is_up;
    struct dpdk_memory memory;
    struct dpdk_port *items[CONFIG_PORTS_MAX];
    uint64_t counted_ns;
};

/* Borrows configuration and page until close. On an error close takes down what is there. */
MUST_CHECK enum status node_ports_open(struct node_ports *ports, const struct config *config,
                                       struct node_page *page);
void node_ports_close(struct node_ports *ports);

/* The queue pairs of a worker: fills `out` (CONFIG_PORTS_MAX), answers how many frames their pools
 * hold. */
size_t node_ports_of_worker(const struct node_ports *ports, size_t worker_index,
                            struct worker_port *out);

/* Copies the counters and looks at the links when the last time is old enough; `now_ns` UINT64_MAX:
 * in any case. A link that goes down or comes back is a line in the log. */
void node_ports_count(struct node_ports *ports, uint64_t now_ns);

END_C_DECLS
