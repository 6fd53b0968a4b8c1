/* dpdk_eal.h - DPDK's environment: memory, lcores, and what its drivers say.
 *
 * Purpose  Builds EAL's arguments, so that the operator never does; takes hugepages where there are
 *          enough and ordinary memory where not; runs workers on their lcores.
 * Owns     The EAL: one a process, and started once (DPDK cannot start it again after a failure).
 * Threads  The main thread only, which becomes lcore 0. May block.
 * Restart  No memory is shared through files: a kill -9 gives the hugepages back at once and the
 * next start finds nothing of the last one but an empty telemetry socket, which it replaces. The
 *          price: no secondary process (dpdk-dumpcap) can attach.
 * Sources  DPDK 22.11: EAL parameters (linux_gsg), programmer's guide, "Environment Abstraction".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    DPDK_DEVICES_MAX = 64, /* one-queue devices of one port */
    DPDK_WORKERS_MAX = 64,
    DPDK_ERROR_TEXT_BYTES = 512,
};

struct dpdk_error {
    char text[DPDK_ERROR_TEXT_BYTES];
};

struct dpdk_eal_options {
    const char *program;          /* argv[0] for EAL's messages */
    const char *file_prefix;      /* keeps several appliances on one machine apart */
    const uint32_t *worker_cores; /* CPU of worker 0, 1, ...: each becomes lcore 1 + i */
    size_t worker_count;
    const char *const *devices; /* of all ports: PCI addresses (only these are probed) and vdev
                                   strings (each is made by dpdk_port_create, so that its failure
                                   has a text of its own) */
    size_t device_count;
    const char *const *extra_arguments; /* the operator's own, last */
    size_t extra_count;
    uint64_t memory_bytes; /* wanted; less is taken, and said, when there are fewer hugepages */
};

struct dpdk_memory {
    bool hugepages;
    uint64_t bytes; /* what EAL got */
};

/* Once a process. The main lcore is lcore 0, on the CPUs that no worker has (or on the first
 * worker's when there is no other: said in a warning). STATUS_INVALID: options that break a rule;
 * STATUS_NO_MEMORY; STATUS_IO. */
MUST_CHECK enum status dpdk_eal_start(const struct dpdk_eal_options *options,
                                      struct dpdk_memory *out, struct dpdk_error *error);
void dpdk_eal_stop(void);

/* Runs `body` on worker `index`'s lcore; wait joins all. STATUS_NOT_FOUND: no such worker;
 * STATUS_BUSY: it runs already. */
MUST_CHECK enum status dpdk_worker_launch(size_t index, int (*body)(void *argument),
                                          void *argument);
void dpdk_workers_wait(void);

/* "0000:01:00.0" or "01:00.0", with or without ",arguments". */
bool dpdk_device_is_pci(const char *device);

END_C_DECLS
