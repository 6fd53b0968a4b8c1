/* dpdk_device.h - one DPDK device: found or made, set up, started, given back.
 *
 * Purpose  The cold half of ethdev, a device at a time; dpdk_port.h composes devices into a port.
 * Owns     The device, from open to close; pools are the port's.
 * Threads  Main thread only; may block (a driver may load an XDP program or wait for a link).
 * Errors   enum status, and a text that names the device, what is wrong and what to do.
 * Sources  DPDK 22.11 programmer's guide, "Poll Mode Driver". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "nic/dpdk_eal.h"
#include "nic/dpdk_steering.h"
#include "nic/ethernet.h"

BEGIN_C_DECLS

struct rte_mempool;

enum { DPDK_DRIVER_NAME_BYTES = 32 };

struct dpdk_device {
    const char *name; /* as the operator wrote it; borrowed */
    uint16_t port_id;
    uint64_t owner_id; /* DPDK's mark that the device is taken */
    bool made_here;    /* a vdev that open made and close unmakes */
    bool started;
    char driver[DPDK_DRIVER_NAME_BYTES];
    bool pci;
    uint16_t queue_pairs_max;
    struct mac mac;
    int numa_node;         /* -1: none */
    uint32_t kernel_index; /* of the kernel's interface that it rides on; 0: on none */
    /* after start */
    bool checksum_offload;
    bool rss;
    struct dpdk_steering_key key; /* DPDK keeps pointing to it */
    bool steers;                  /* `steering` holds */
    struct steering steering;
    size_t ring_buffers; /* that the rings of a queue pair may keep from its pool, at most */
};

struct dpdk_device_setup {
    struct rte_mempool *const *pools; /* one a queue pair */
    uint16_t queue_pairs;
    size_t buffers_per_pool;
    uint16_t mtu_bytes;
};

/* STATUS_NOT_FOUND: no such device or driver; STATUS_BUSY: another port has it; STATUS_IO. */
MUST_CHECK enum status dpdk_device_open(struct dpdk_device *device, const char *name,
                                        struct dpdk_error *error);

/* STATUS_UNSUPPORTED: too few queues, or the mtu is too large; STATUS_IO. */
MUST_CHECK enum status dpdk_device_start(struct dpdk_device *device,
                                         const struct dpdk_device_setup *setup,
                                         struct dpdk_error *error);

/* Gives the device this MAC, so that all devices of a port answer to one. */
MUST_CHECK enum status dpdk_device_take_mac(struct dpdk_device *device, const struct mac *mac,
                                            struct dpdk_error *error);

/* After a failed start too. The caller frees the pools afterwards, not before. */
void dpdk_device_close(struct dpdk_device *device);

/* Asks for the link as it is now, and does not wait for it. A device on a kernel interface is down
 * when that interface is down, gone, or another one by the same name. */
bool dpdk_device_link_is_up(const struct dpdk_device *device, uint32_t *out_mbps);

/* False: what the driver misses shows in no counter. */
bool dpdk_device_loss_is_known(const struct dpdk_device *device);

END_C_DECLS
