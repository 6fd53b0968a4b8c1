#include "dataplane/node_ports.h"

#include <inttypes.h>
#include <numa.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"

enum { COUNT_PERIOD_NS = 250 * NS_PER_MS };

static uint64_t memory_wanted(const struct config *config)
{
    /* A 10 GbE port at full rate fills 64 MiB of buffers in 50 ms: time for a disk's hiccup. */
    const uint64_t default_bytes = UINT64_C(128) << 20;
    if (config->dpdk.memory_bytes > 0) { return config->dpdk.memory_bytes; }
    return default_bytes * config->workers.count * config->port_count;
}

static enum status start_eal(struct node_ports *ports)
{
    const struct config *const config = ports->config;
    const char *devices[CONFIG_PORTS_MAX * DPDK_DEVICES_MAX];
    size_t device_count = 0;
    for (size_t i = 0; i < config->port_count; i++) {
        const struct config_strings *const names = &config->ports[i].devices;
        for (size_t j = 0; j < names->count && device_count < ARRAY_COUNT(devices); j++) {
            devices[device_count++] = names->items[j];
        }
    }

    char prefix[96];
    snprintf(prefix, sizeof prefix, "penstock-%.64s", config->node);
    const struct dpdk_eal_options options = {
        .program = "penstock-ingest",
        .file_prefix = prefix,
        .worker_cores = config->workers.cores,
        .worker_count = config->workers.count,
        .devices = devices,
        .device_count = device_count,
        .extra_arguments = (const char *const *)config->dpdk.extra_arguments.items,
        .extra_count = config->dpdk.extra_arguments.count,
        .memory_bytes = memory_wanted(config),
    };
    struct dpdk_error error;
    const enum status status = dpdk_eal_start(&options, &ports->memory, &error);
    if (status != STATUS_OK) {
        log_error("DPDK does not start: %s", error.text);
        return status;
    }
    ports->eal_is_up = true;
    ports->page->hugepages = ports->memory.hugepages;
    ports->page->memory_bytes = ports->memory.bytes;
    if (!ports->memory.hugepages) {
        log_warning("no free hugepages: a smaller set-up with %" PRIu64
                    " MiB of ordinary pages; for full speed reserve some (sysctl vm.nr_hugepages) "
                    "and mount hugetlbfs",
                    ports->memory.bytes >> 20);
    } else if (ports->memory.bytes < options.memory_bytes) {
        log_warning("fewer hugepages than wanted: %" PRIu64 " of %" PRIu64 " MiB",
                    ports->memory.bytes >> 20, options.memory_bytes >> 20);
    }
    return STATUS_OK;
}

static uint32_t netmask_of(uint32_t prefix_bits)
{
    return prefix_bits == 0 ? 0 : UINT32_MAX << (32 - prefix_bits);
}

static void warn_of_numa(const struct config *config, const char *device, int port_node)
{
    if (numa_available() < 0 || port_node < 0) { return; }
    for (size_t i = 0; i < config->workers.count; i++) {
        const int core_node = numa_node_of_cpu((int)config->workers.cores[i]);
        if (core_node < 0 || core_node == port_node) { continue; }
        log_warning("worker core %u is on NUMA node %d, port %s on node %d: take a core beside it",
                    config->workers.cores[i], core_node, device, port_node);
    }
}

static void describe_port(struct node_ports *ports, size_t index)
{
    const struct config_port *const configured = &ports->config->ports[index];
    struct node_port *const page = &ports->page->ports[index];
    struct dpdk_port_facts facts;
    dpdk_port_facts(ports->items[index], &facts);

    /* What an earlier run of this port lost stays in the ledger; another device starts afresh. */
    uint64_t earlier = 0;
    if (strncmp(page->name, configured->devices.items[0], sizeof page->name - 1) == 0) {
        earlier = page->earlier_lost_frames + page->missed_frames + page->no_buffer_frames +
                  page->error_frames;
    }
    memset(page, 0, sizeof *page);
    snprintf(page->name, sizeof page->name, "%s", configured->devices.items[0]);
    snprintf(page->driver, sizeof page->driver, "%s", facts.driver);
    page->loss_known = facts.loss_known;
    page->link_up = facts.link_up;
    page->rss = facts.rss;
    page->checksum_offload = facts.checksum_offload;
    page->earlier_lost_frames = earlier;

    log_notice("port %s: driver %s, %zu device%s, RSS %s, checksums by %s, losses %s", page->name,
               page->driver, configured->devices.count, configured->devices.count == 1 ? "" : "s",
               facts.rss ? "on" : "not there", facts.checksum_offload ? "the device" : "software",
               facts.loss_known ? "counted" : "unknown: this driver cannot count what it misses");
    warn_of_numa(ports->config, page->name, facts.numa_node);
}

static enum status create_ports(struct node_ports *ports)
{
    const struct config *const config = ports->config;
    for (size_t i = 0; i < config->port_count; i++) {
        const struct config_port *const configured = &config->ports[i];
        const struct dpdk_port_options options = {
            .devices = (const char *const *)configured->devices.items,
            .device_count = configured->devices.count,
            .worker_count = config->workers.count,
            .interface =
                {
                    .address = configured->address,
                    .netmask = netmask_of(configured->prefix_bits),
                    .gateway = configured->gateway,
                    .vlan_tagged = configured->vlan != 0,
                    .vlan_id = configured->vlan,
                    .mtu_bytes = configured->mtu_bytes,
                },
            .buffers_per_worker = dpdk_port_buffers_default(
                &ports->memory, config->workers.count, config->port_count, configured->mtu_bytes),
        };
        struct dpdk_error error;
        const enum status status = dpdk_port_create(&options, &ports->items[i], &error);
        if (status != STATUS_OK) {
            log_error("port %s: %s", configured->devices.items[0], error.text);
            return status;
        }
        describe_port(ports, i);
    }
    ports->page->port_count = (uint32_t)config->port_count;
    return STATUS_OK;
}

static void watch_link(struct node_ports *ports, size_t index)
{
    struct node_port *const page = &ports->page->ports[index];
    struct dpdk_port_facts facts;
    dpdk_port_facts(ports->items[index], &facts);
    if (page->link_up == facts.link_up) { return; }
    page->link_up = facts.link_up;
    if (facts.link_up) {
        log_notice("port %s: link up", page->name);
    } else {
        log_error(
            "port %s: link down: nothing is received there; look at the cable, the switch, or "
            "the interface that it rides on (one that was made anew needs a restart)",
            page->name);
    }
}

void node_ports_count(struct node_ports *ports, uint64_t now_ns)
{
    if (now_ns != UINT64_MAX && now_ns - ports->counted_ns < COUNT_PERIOD_NS) { return; }
    ports->counted_ns = now_ns;
    for (size_t i = 0; i < ports->config->port_count; i++) {
        struct node_port *const page = &ports->page->ports[i];
        struct dpdk_port_counts counts;
        dpdk_port_counts(ports->items[i], &counts);
        page->received_frames = counts.received_frames;
        page->missed_frames = counts.missed_frames;
        page->no_buffer_frames = counts.no_buffer_frames;
        page->error_frames = counts.error_frames;
        page->sent_frames = counts.sent_frames;
        page->send_dropped_frames = counts.send_dropped_frames;
        watch_link(ports, i);
    }
}

size_t node_ports_of_worker(const struct node_ports *ports, size_t worker_index,
                            struct worker_port *out)
{
    size_t buffers = 0;
    for (size_t i = 0; i < ports->config->port_count; i++) {
        out[i].packets = dpdk_port_packets(ports->items[i], worker_index);
        out[i].interface = dpdk_port_interface(ports->items[i]);
        out[i].steering = dpdk_port_steering(ports->items[i]);
        buffers += packets_buffers_free(out[i].packets);
    }
    return buffers;
}

enum status node_ports_open(struct node_ports *ports, const struct config *config,
                            struct node_page *page)
{
    memset(ports, 0, sizeof *ports);
    ports->config = config;
    ports->page = page;
    const enum status status = start_eal(ports);
    return status == STATUS_OK ? create_ports(ports) : status;
}

void node_ports_close(struct node_ports *ports)
{
    for (size_t i = 0; i < CONFIG_PORTS_MAX; i++) {
        if (ports->items[i] != NULL) { dpdk_port_destroy(ports->items[i]); }
        ports->items[i] = NULL;
    }
    if (ports->eal_is_up) { dpdk_eal_stop(); }
    ports->eal_is_up = false;
}
