#include "nic/dpdk_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#include "base/invariant.h"
#include "nic/dpdk_packets.h"

enum {
    POOL_CACHE_BUFFERS = 256,
    /* A ring of 256, a burst on the way, the lcore's cache half as large again as its size: below
     * this a port starves itself. */
    BUFFERS_MIN = 1024,
    BUFFERS_MAX = 1 << 20,
    /* What NICs count beside the IP packet: header, two tags, FCS. */
    LINK_OVERHEAD_BYTES = 14 + 2 * 4 + 4,
    BUFFER_STEP_BYTES = 1024, /* some NICs round a buffer's size down to whole KiB */
    BUFFER_BYTES_MIN = 2048,
};

struct dpdk_port {
    struct interface interface;
    size_t worker_count;
    size_t buffers_per_worker;
    size_t device_count; /* of `devices`, opened */
    struct dpdk_device devices[DPDK_DEVICES_MAX];
    struct rte_mempool *pools[DPDK_WORKERS_MAX];
    struct dpdk_packets queues[DPDK_WORKERS_MAX];
};

/* ---- buffers ----------------------------------------------------------------------------------*/

static uint16_t data_room_bytes(uint16_t mtu_bytes)
{
    size_t frame_bytes = (size_t)mtu_bytes + LINK_OVERHEAD_BYTES;
    frame_bytes = (frame_bytes + BUFFER_STEP_BYTES - 1) / BUFFER_STEP_BYTES * BUFFER_STEP_BYTES;
    if (frame_bytes < BUFFER_BYTES_MIN) { frame_bytes = BUFFER_BYTES_MIN; }
    const size_t room_bytes = frame_bytes + RTE_PKTMBUF_HEADROOM;
    return room_bytes < UINT16_MAX ? (uint16_t)room_bytes : UINT16_MAX;
}

size_t dpdk_port_buffers_default(const struct dpdk_memory *memory, size_t worker_count,
                                 size_t port_count, uint16_t mtu_bytes)
{
    assert(worker_count > 0);
    assert(port_count > 0);

    const uint32_t element_bytes = (uint32_t)sizeof(struct rte_mbuf) + data_room_bytes(mtu_bytes);
    uint64_t buffer_bytes = rte_mempool_calc_obj_size(element_bytes, 0, NULL);
    if (!memory->hugepages) {
        /* No buffer crosses a page there, so each takes whole ones. */
        const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        const uint64_t per_page = page_bytes / buffer_bytes;
        buffer_bytes = per_page > 0 ? page_bytes / per_page
                                    : (buffer_bytes + page_bytes - 1) / page_bytes * page_bytes;
    }
    /* A quarter stays for rings, drivers and what EAL itself needs. */
    const uint64_t count =
        memory->bytes / 4 * 3 / buffer_bytes / ((uint64_t)worker_count * port_count);
    return count < BUFFERS_MAX ? (size_t)count : (size_t)BUFFERS_MAX;
}

/* Touches each page of a buffer now: a first touch on a polling core would be a page fault there
 * (ordinary memory; hugepages are there already). */
static void touch_buffer(struct rte_mempool *pool, void *argument, void *object, unsigned index)
{
    (void)pool;
    (void)index;
    const size_t page_bytes = 4096;
    struct rte_mbuf *const mbuf = object;
    const size_t buffer_bytes = *(const size_t *)argument;
    volatile uint8_t *const at = mbuf->buf_addr;
    for (size_t position = 0; position < buffer_bytes; position += page_bytes) { at[position] = 0; }
    at[buffer_bytes - 1] = 0;
}

/* rte_pktmbuf_pool_create, with a flag that it does not take: for a virtual device buffers lie back
 * to back, over the pages' borders. net_af_xdp (22.11) tells the kernel that the pool is as long as
 * all buffers back to back; with a gap at the end of each page it is longer, and a buffer behind
 * that end is refused by the kernel in silence each time it is offered, until none is on offer and
 * the port is deaf for ever. Only hardware cares for physical addresses. */
static struct rte_mempool *pool_create(const char *name, size_t buffers, uint16_t room_bytes,
                                       const struct dpdk_device *device)
{
    const unsigned flags = device->pci ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
    struct rte_pktmbuf_pool_private facts = {.mbuf_data_room_size = room_bytes};
    struct rte_mempool *const pool = rte_mempool_create_empty(
        name, (unsigned)buffers, (unsigned)sizeof(struct rte_mbuf) + room_bytes, POOL_CACHE_BUFFERS,
        sizeof facts, device->numa_node, flags);
    if (pool == NULL) { return NULL; }
    rte_pktmbuf_pool_init(pool, &facts);
    if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) != 0 ||
        rte_mempool_populate_default(pool) < 0) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

static enum status port_make_pool(struct dpdk_port *port, size_t worker, size_t buffers,
                                  struct dpdk_error *error)
{
    const struct dpdk_device *const device = &port->devices[worker % port->device_count];
    const uint16_t room_bytes = data_room_bytes(port->interface.mtu_bytes);
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof name, "port%u_worker%u", port->devices[0].port_id, (uint16_t)worker);

    struct rte_mempool *const pool = pool_create(name, buffers, room_bytes, device);
    if (pool == NULL) {
        snprintf(error->text, sizeof error->text,
                 "device %s: no memory for %zu buffers of %u bytes for worker %zu (%s); raise "
                 "dpdk.memory, reserve more hugepages (vm.nr_hugepages), or use fewer workers",
                 device->name, buffers, room_bytes, worker, rte_strerror(rte_errno));
        return STATUS_NO_MEMORY;
    }
    port->pools[worker] = pool;
    size_t buffer_bytes = room_bytes;
    rte_mempool_obj_iter(pool, touch_buffer, &buffer_bytes);
    return STATUS_OK;
}

static enum status port_make_pools(struct dpdk_port *port, size_t buffers, struct dpdk_error *error)
{
    if (buffers < BUFFERS_MIN) {
        snprintf(error->text, sizeof error->text,
                 "device %s: the memory is enough for %zu packet buffers a worker, at least %d are "
                 "needed; raise dpdk.memory, reserve more hugepages (vm.nr_hugepages), or use "
                 "fewer workers",
                 port->devices[0].name, buffers, BUFFERS_MIN);
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < port->worker_count; i++) {
        const enum status status = port_make_pool(port, i, buffers, error);
        if (status != STATUS_OK) { return status; }
    }
    return STATUS_OK;
}

/* ---- devices ----------------------------------------------------------------------------------*/

static bool one_device_serves_all(const struct dpdk_port *port) { return port->device_count == 1; }

static enum status port_open_devices(struct dpdk_port *port,
                                     const struct dpdk_port_options *options,
                                     struct dpdk_error *error)
{
    if (options->device_count != 1 && options->device_count != options->worker_count) {
        snprintf(error->text, sizeof error->text,
                 "device %s and others: %zu devices for %zu workers; list one device with a queue "
                 "pair for each worker, or exactly one device a worker",
                 options->devices[0], options->device_count, options->worker_count);
        return STATUS_UNSUPPORTED;
    }
    for (size_t i = 0; i < options->device_count; i++) {
        const enum status status = dpdk_device_open(&port->devices[i], options->devices[i], error);
        if (status != STATUS_OK) { return status; }
        port->device_count++;
    }
    return STATUS_OK;
}

static enum status port_start_devices(struct dpdk_port *port, size_t buffers,
                                      struct dpdk_error *error)
{
    const bool one = one_device_serves_all(port);
    for (size_t i = 0; i < port->device_count; i++) {
        struct dpdk_device *const device = &port->devices[i];
        const struct dpdk_device_setup setup = {
            .pools = &port->pools[i],
            .queue_pairs = one ? (uint16_t)port->worker_count : 1,
            .buffers_per_pool = buffers,
            .mtu_bytes = port->interface.mtu_bytes,
        };
        enum status status = dpdk_device_start(device, &setup, error);
        if (status == STATUS_OK) {
            status = dpdk_device_take_mac(device, &port->devices[0].mac, error);
        }
        if (status != STATUS_OK) { return status; }
    }
    port->interface.mac = port->devices[0].mac;
    return STATUS_OK;
}

/* What a worker cannot hold: see dpdk_port_frames_held_max. A cache grows to half as much again as
 * its size before it is flushed. */
static size_t port_frames_needed(const struct dpdk_port *port)
{
    size_t ring_buffers = 0;
    for (size_t i = 0; i < port->device_count; i++) {
        const size_t candidate = port->devices[i].ring_buffers;
        if (candidate > ring_buffers) { ring_buffers = candidate; }
    }
    return ring_buffers + POOL_CACHE_BUFFERS * 3 / 2 + 2 * PACKETS_BURST_MAX;
}

static enum status port_check_room(const struct dpdk_port *port, size_t frames_held_max,
                                   struct dpdk_error *error)
{
    if (frames_held_max <= dpdk_port_frames_held_max(port)) { return STATUS_OK; }
    snprintf(error->text, sizeof error->text,
             "device %s: of %zu packet buffers a worker, rings and caches take %zu, which leaves "
             "too few to hold %zu received frames; raise dpdk.memory, reserve more hugepages "
             "(vm.nr_hugepages), or use fewer workers",
             port->devices[0].name, port->buffers_per_worker, port_frames_needed(port),
             frames_held_max);
    return STATUS_NO_MEMORY;
}

static void port_connect_queues(struct dpdk_port *port)
{
    const bool one = one_device_serves_all(port);
    for (size_t i = 0; i < port->worker_count; i++) {
        /* Buffers that the set-up left in the main lcore's cache would never be seen again. */
        rte_mempool_cache_flush(rte_mempool_default_cache(port->pools[i], rte_lcore_id()),
                                port->pools[i]);
        port->queues[i] = (struct dpdk_packets){
            .port_id = port->devices[one ? 0 : i].port_id,
            .queue_id = one ? (uint16_t)i : 0,
            .pool = port->pools[i],
        };
    }
}

enum status dpdk_port_create(const struct dpdk_port_options *options, struct dpdk_port **out,
                             struct dpdk_error *error)
{
    assert(options->device_count > 0);
    assert(options->device_count <= DPDK_DEVICES_MAX);
    assert(options->worker_count > 0);
    assert(options->worker_count <= DPDK_WORKERS_MAX);
    const size_t buffers = options->buffers_per_worker;

    struct dpdk_port *const port = calloc(1, sizeof *port);
    if (port == NULL) {
        snprintf(error->text, sizeof error->text, "device %s: no memory", options->devices[0]);
        return STATUS_NO_MEMORY;
    }
    port->interface = options->interface;
    port->worker_count = options->worker_count;
    port->buffers_per_worker = buffers;

    enum status status = port_open_devices(port, options, error);
    if (status == STATUS_OK) { status = port_make_pools(port, buffers, error); }
    if (status == STATUS_OK) { status = port_start_devices(port, buffers, error); }
    if (status == STATUS_OK) { status = port_check_room(port, options->frames_held_max, error); }
    if (status != STATUS_OK) {
        dpdk_port_destroy(port);
        return status;
    }
    port_connect_queues(port);
    *out = port;
    return STATUS_OK;
}

void dpdk_port_destroy(struct dpdk_port *port)
{
    if (port == NULL) { return; }
    for (size_t i = 0; i < port->device_count; i++) { dpdk_device_close(&port->devices[i]); }
    for (size_t i = 0; i < port->worker_count; i++) { rte_mempool_free(port->pools[i]); }
    free(port);
}

struct packets dpdk_port_packets(struct dpdk_port *port, size_t worker_index)
{
    assert(worker_index < port->worker_count);
    return dpdk_packets_port(&port->queues[worker_index]);
}

const struct interface *dpdk_port_interface(const struct dpdk_port *port)
{
    return &port->interface;
}

size_t dpdk_port_frames_held_max(const struct dpdk_port *port)
{
    const size_t needed = port_frames_needed(port);
    return port->buffers_per_worker > needed ? port->buffers_per_worker - needed : 0;
}

const struct steering *dpdk_port_steering(const struct dpdk_port *port)
{
    const struct dpdk_device *const only = &port->devices[0];
    return one_device_serves_all(port) && only->steers ? &only->steering : NULL;
}

/* ---- facts and counts -------------------------------------------------------------------------*/

void dpdk_port_facts(const struct dpdk_port *port, struct dpdk_port_facts *out)
{
    const struct dpdk_device *const first = &port->devices[0];
    memset(out, 0, sizeof *out);
    snprintf(out->driver, sizeof out->driver, "%s", first->driver);
    out->numa_node = first->numa_node;
    out->loss_known = true;
    out->checksum_offload = true;
    out->link_up = true;
    out->rss = first->rss;
    for (size_t i = 0; i < port->device_count; i++) {
        const struct dpdk_device *const device = &port->devices[i];
        out->loss_known = out->loss_known && dpdk_device_loss_is_known(device);
        out->checksum_offload = out->checksum_offload && device->checksum_offload;
        out->link_up = dpdk_device_link_is_up(device, &out->link_mbps) && out->link_up;
    }
}

static void counts_add_device(struct dpdk_port_counts *out, const struct dpdk_device *device)
{
    struct rte_eth_stats stats;
    if (rte_eth_stats_get(device->port_id, &stats) != 0) { return; }
    out->received_frames += stats.ipackets;
    out->received_bytes += stats.ibytes;
    out->missed_frames += stats.imissed;
    out->no_buffer_frames += stats.rx_nombuf;
    out->error_frames += stats.ierrors;
    out->sent_frames += stats.opackets;
    /* Virtual devices book a frame that their queue did not take as an error, and
     * dpdk_packets.c has counted it already; a NIC's errors are frames that it had taken. */
    if (device->pci) { out->send_dropped_frames += stats.oerrors; }
}

void dpdk_port_counts(const struct dpdk_port *port, struct dpdk_port_counts *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < port->device_count; i++) { counts_add_device(out, &port->devices[i]); }
    for (size_t i = 0; i < port->worker_count; i++) {
        out->send_dropped_frames += dpdk_packets_send_dropped(&port->queues[i]);
    }
}
