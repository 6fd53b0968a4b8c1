#include "nic/dpdk_device.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "base/invariant.h"
#include "nic/dpdk_listen.h"

enum {
    NAME_BYTES = 64,
    LIST_BYTES = 200,
    /* Enough for 2 ms of 1 Mpps a queue; what AF_XDP keeps in its fill ring whatever is asked. */
    RECEIVE_DESCRIPTORS = 2048,
    SEND_DESCRIPTORS = 1024,
};

static enum status device_refused(const struct dpdk_device *device, struct dpdk_error *error,
                                  enum status why, const char *format, ...) PRINTF_LIKE(4, 5);

COLD static enum status device_refused(const struct dpdk_device *device, struct dpdk_error *error,
                                       enum status why, const char *format, ...)
{
    const int used = snprintf(error->text, sizeof error->text, "device %s: ", device->name);
    if (used < 0 || (size_t)used >= sizeof error->text) { return why; }
    va_list list;
    va_start(list, format);
    vsnprintf(error->text + used, sizeof error->text - (size_t)used, format, list);
    va_end(list);
    return why;
}

/* The driver's own words, behind ours. */
static void error_add_complaint(struct dpdk_error *error, const char *complaint)
{
    const size_t used = strlen(error->text);
    if (complaint[0] == '\0') { return; }
    snprintf(error->text + used, sizeof error->text - used, " (DPDK: %s)", complaint);
}

/* ---- finding it -------------------------------------------------------------------------------*/

/* Cuts a long list: it is a hint, not an inventory. */
static void list_add(char *list, const char *name)
{
    const char *const separator = list[0] != '\0' ? ", " : "";
    const size_t left_bytes = LIST_BYTES - 1 - strlen(list);
    if (strlen(separator) + strlen(name) > left_bytes) { return; }
    strcat(list, separator);
    strcat(list, name);
}

static void list_interfaces(char *list)
{
    list[0] = '\0';
    struct if_nameindex *const all = if_nameindex();
    if (all == NULL) { return; }
    for (const struct if_nameindex *at = all; at->if_index != 0; at++) {
        list_add(list, at->if_name);
    }
    if_freenameindex(all);
}

static bool is_network_class(const char *pci_address)
{
    char path[NAME_BYTES + 320];
    char class_text[16] = "";
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", pci_address);
    FILE *const file = fopen(path, "re");
    if (file == NULL) { return false; }
    const bool read = fgets(class_text, sizeof class_text, file) != NULL;
    fclose(file);
    return read && strncmp(class_text, "0x02", 4) == 0;
}

static void list_pci_devices(char *list)
{
    list[0] = '\0';
    DIR *const folder = opendir("/sys/bus/pci/devices");
    if (folder == NULL) { return; }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (is_network_class(entry->d_name)) { list_add(list, entry->d_name); }
    }
    closedir(folder);
}

/* "iface=node0" in a vdev string, or "" when there is none. */
static void copy_interface_name(const char *device, char *out)
{
    out[0] = '\0';
    const char *const at = strstr(device, ",iface=");
    if (at == NULL) { return; }
    const char *const begin = at + strlen(",iface=");
    const size_t len_bytes = strcspn(begin, ",");
    if (len_bytes < NAME_BYTES) {
        memcpy(out, begin, len_bytes);
        out[len_bytes] = '\0';
    }
}

static enum status pci_not_found(const struct dpdk_device *device, struct dpdk_error *error)
{
    char list[LIST_BYTES];
    list_pci_devices(list);
    return device_refused(device, error, STATUS_NOT_FOUND,
                          "no such PCI device, or it is not bound to a driver that DPDK can use "
                          "(dpdk-devbind.py --status); network devices here: %s",
                          list[0] != '\0' ? list : "none");
}

/* Many drivers answer -1, which is EPERM, to any failure: the number alone proves nothing. */
static enum status vdev_refused(const struct dpdk_device *device, int why, struct dpdk_error *error)
{
    if (geteuid() != 0 && (why == EPERM || why == EACCES)) {
        return device_refused(device, error, STATUS_IO,
                              "not permitted to user %u: run as root or with CAP_NET_ADMIN, "
                              "CAP_NET_RAW and CAP_BPF",
                              geteuid());
    }
    if (why == EFAULT || why == ENODEV || why == ENOENT) {
        return device_refused(device, error, STATUS_NOT_FOUND,
                              "DPDK knows no such device; expected is a PCI address, or a virtual "
                              "device such as net_af_xdp0,iface=eth1");
    }
    const bool queues = strstr(device->name, ",queue_count=") != NULL;
    return device_refused(device, error, STATUS_IO, "its driver refuses it%s",
                          queues ? "; where an interface has fewer combined queues than wanted "
                                   "(a veth has one), list a device a queue with start_queue=0,"
                                   "queue_count=1 and so on"
                                 : "; check its arguments");
}

static enum status vdev_make(struct dpdk_device *device, struct dpdk_error *error)
{
    char interface_name[NAME_BYTES];
    copy_interface_name(device->name, interface_name);
    if (interface_name[0] != '\0' && if_nametoindex(interface_name) == 0) {
        char list[LIST_BYTES];
        list_interfaces(list);
        return device_refused(device, error, STATUS_NOT_FOUND,
                              "there is no network interface %s; there are: %s", interface_name,
                              list);
    }
    const int result = rte_dev_probe(device->name);
    if (result != 0) { return vdev_refused(device, -result, error); }
    device->made_here = true;
    return STATUS_OK;
}

static enum status device_find(struct dpdk_device *device, struct dpdk_error *error)
{
    char name[NAME_BYTES];
    const size_t name_bytes = strcspn(device->name, ",");
    if (name_bytes >= sizeof name) {
        return device_refused(device, error, STATUS_NOT_FOUND, "the name is too long");
    }
    memcpy(name, device->name, name_bytes);
    name[name_bytes] = '\0';

    /* There already: PCI, or a vdev from the operator's own arguments. DPDK's names of PCI devices
     * have the domain, which the operator may leave out. */
    if (rte_eth_dev_get_port_by_name(name, &device->port_id) == 0) { return STATUS_OK; }
    if (dpdk_device_is_pci(device->name)) {
        char full[NAME_BYTES + 8];
        snprintf(full, sizeof full, "0000:%s", name);
        if (rte_eth_dev_get_port_by_name(full, &device->port_id) == 0) { return STATUS_OK; }
        return pci_not_found(device, error);
    }

    const enum status made = vdev_make(device, error);
    if (made != STATUS_OK) { return made; }
    if (rte_eth_dev_get_port_by_name(name, &device->port_id) == 0) { return STATUS_OK; }
    return device_refused(device, error, STATUS_NOT_FOUND, "is not a network device");
}

static enum status device_own(struct dpdk_device *device, struct dpdk_error *error)
{
    struct rte_eth_dev_owner owner = {.name = "penstock"};
    uint64_t owner_id = 0;
    if (rte_eth_dev_owner_new(&owner_id) != 0) {
        return device_refused(device, error, STATUS_IO, "DPDK gives no owner: %s",
                              rte_strerror(rte_errno));
    }
    owner.id = owner_id;
    if (rte_eth_dev_owner_set(device->port_id, &owner) != 0) {
        return device_refused(device, error, STATUS_BUSY,
                              "another port has it already; give each port devices of its own");
    }
    device->owner_id = owner_id;
    return STATUS_OK;
}

static enum status device_read_facts(struct dpdk_device *device, struct dpdk_error *error)
{
    struct rte_eth_dev_info info;
    struct rte_ether_addr mac;
    if (rte_eth_dev_info_get(device->port_id, &info) != 0 ||
        rte_eth_macaddr_get(device->port_id, &mac) != 0) {
        return device_refused(device, error, STATUS_IO, "does not describe itself");
    }
    snprintf(device->driver, sizeof device->driver, "%s", info.driver_name);
    device->queue_pairs_max =
        info.max_rx_queues < info.max_tx_queues ? info.max_rx_queues : info.max_tx_queues;
    device->numa_node = rte_eth_dev_socket_id(device->port_id);
    memcpy(device->mac.bytes, mac.addr_bytes, MAC_BYTES);
    if (mac_is_zero(&device->mac)) {
        /* An in-process ring has none: a locally administered one, "PENST" and a number. */
        device->mac = (struct mac){{0x02, 'P', 'E', 'N', 'S', (uint8_t)device->port_id}};
    }
    return STATUS_OK;
}

enum status dpdk_device_open(struct dpdk_device *device, const char *name, struct dpdk_error *error)
{
    memset(device, 0, sizeof *device);
    device->name = name;
    device->port_id = RTE_MAX_ETHPORTS;
    device->pci = dpdk_device_is_pci(name);

    struct dpdk_listener listener;
    dpdk_listener_init(&listener);
    enum status status = device_find(device, error);
    if (status == STATUS_OK) { status = device_own(device, error); }
    if (status == STATUS_OK) { status = device_read_facts(device, error); }
    dpdk_listener_deinit(&listener);
    if (status != STATUS_OK) {
        error_add_complaint(error, listener.text);
        dpdk_device_close(device);
    }
    return status;
}

/* ---- setting it up ----------------------------------------------------------------------------*/

static void choose_offloads(struct dpdk_device *device, const struct rte_eth_dev_info *info,
                            uint16_t queue_pairs, struct rte_eth_conf *conf)
{
    const uint64_t checksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    const uint64_t by_ports = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    conf->rxmode.offloads = info->rx_offload_capa & checksums;
    device->checksum_offload = conf->rxmode.offloads == checksums;
    /* All that a worker sends comes from its one pool, unshared: what FAST_FREE asks for. */
    conf->txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

    device->rss = queue_pairs > 1 && (info->flow_type_rss_offloads & by_ports) != 0;
    if (!device->rss) { return; }
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf.rss_hf =
        info->flow_type_rss_offloads & (by_ports | RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4);
    dpdk_steering_choose_key(info, &device->key);
    if (device->key.len_bytes == 0) { return; }
    conf->rx_adv_conf.rss_conf.rss_key = device->key.bytes;
    conf->rx_adv_conf.rss_conf.rss_key_len = device->key.len_bytes;
}

static enum status device_set_mtu(const struct dpdk_device *device, uint16_t mtu_bytes,
                                  uint16_t mtu_bytes_max, struct dpdk_error *error)
{
    if (mtu_bytes > mtu_bytes_max) {
        return device_refused(device, error, STATUS_UNSUPPORTED,
                              "carries at most an mtu of %u, the port is to have %u; lower the "
                              "port's mtu",
                              mtu_bytes_max, mtu_bytes);
    }
    const int result = rte_eth_dev_set_mtu(device->port_id, mtu_bytes);
    /* Not supported: it cannot be changed, and its fixed one suffices (just checked). */
    if (result == 0 || result == -ENOTSUP) { return STATUS_OK; }
    return device_refused(device, error, STATUS_UNSUPPORTED,
                          "refuses an mtu of %u: %s; lower the port's mtu, or set the "
                          "interface's (ip link set ... mtu %u)",
                          mtu_bytes, strerror(-result), mtu_bytes);
}

static bool is_af_xdp(const struct dpdk_device *device)
{
    return strcmp(device->driver, "net_af_xdp") == 0;
}

/* A ring takes at most a quarter of the pool: the open commit needs the rest. But AF_XDP's driver
 * keeps RECEIVE_DESCRIPTORS frames in its fill ring whatever is asked, and does not report what a
 * smaller receive ring then has no room for: with 1,024, 97,950 of 100,000 frames were lost to a
 * stopped worker with every counter 0; with 2,048 the same loss was counted to the frame. */
static uint16_t receive_descriptors(const struct dpdk_device *device, size_t buffers_per_pool)
{
    const size_t quarter = buffers_per_pool / 4;
    if (quarter >= RECEIVE_DESCRIPTORS || is_af_xdp(device)) { return RECEIVE_DESCRIPTORS; }
    return (uint16_t)rte_align32prevpow2((uint32_t)quarter);
}

/* AF_XDP's driver makes the send ring as long as the receive ring, and collects sent frames, as it
 * sends, only when half of its completion ring is full: up to that half is out beside the ring. */
static size_t ring_buffers(const struct dpdk_device *device, uint16_t receive_count,
                           uint16_t send_count)
{
    if (is_af_xdp(device)) { return 2 * (size_t)receive_count + RECEIVE_DESCRIPTORS / 2; }
    return (size_t)receive_count + send_count;
}

static enum status device_set_queues(struct dpdk_device *device,
                                     const struct dpdk_device_setup *setup,
                                     const struct rte_eth_dev_info *info,
                                     const struct rte_eth_conf *conf, struct dpdk_error *error)
{
    const int node = rte_eth_dev_socket_id(device->port_id);
    const unsigned socket = node < 0 ? (unsigned)SOCKET_ID_ANY : (unsigned)node;
    struct rte_eth_rxconf receive = info->default_rxconf;
    struct rte_eth_txconf send = info->default_txconf;
    receive.offloads = conf->rxmode.offloads;
    receive.rx_drop_en = 1; /* one slow worker must not hold up the others' queues */
    send.offloads = conf->txmode.offloads;

    uint16_t receive_count = receive_descriptors(device, setup->buffers_per_pool);
    uint16_t send_count = receive_count < SEND_DESCRIPTORS ? receive_count : SEND_DESCRIPTORS;
    if (rte_eth_dev_adjust_nb_rx_tx_desc(device->port_id, &receive_count, &send_count) != 0) {
        return device_refused(device, error, STATUS_IO, "refuses rings of %u and %u frames",
                              receive_count, send_count);
    }
    device->ring_buffers = ring_buffers(device, receive_count, send_count);
    for (uint16_t queue = 0; queue < setup->queue_pairs; queue++) {
        const int result = rte_eth_rx_queue_setup(device->port_id, queue, receive_count, socket,
                                                  &receive, setup->pools[queue]);
        const int sends = rte_eth_tx_queue_setup(device->port_id, queue, send_count, socket, &send);
        if (result == 0 && sends == 0) { continue; }
        return device_refused(device, error, STATUS_IO, "refuses queue %u: %s%s", queue,
                              strerror(result != 0 ? -result : -sends),
                              is_af_xdp(device) ? "; another program may have this queue of the "
                                                  "interface, or the buffers are too few"
                                                : "");
    }
    return STATUS_OK;
}

static enum status device_configure(struct dpdk_device *device,
                                    const struct dpdk_device_setup *setup, struct dpdk_error *error)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {.rxmode = {.mtu = setup->mtu_bytes}};
    if (setup->queue_pairs > device->queue_pairs_max) {
        return device_refused(device, error, STATUS_UNSUPPORTED,
                              "has %u queue pairs and %u workers need one each; use fewer workers, "
                              "or list a one-queue device a worker",
                              device->queue_pairs_max, setup->queue_pairs);
    }
    if (rte_eth_dev_info_get(device->port_id, &info) != 0) {
        return device_refused(device, error, STATUS_IO, "does not describe itself");
    }
    if (setup->mtu_bytes > info.max_mtu) {
        return device_set_mtu(device, setup->mtu_bytes, info.max_mtu, error);
    }
    choose_offloads(device, &info, setup->queue_pairs, &conf);

    int result =
        rte_eth_dev_configure(device->port_id, setup->queue_pairs, setup->queue_pairs, &conf);
    if (result != 0) {
        return device_refused(device, error, STATUS_IO, "refuses %u queue pairs: %s",
                              setup->queue_pairs, strerror(-result));
    }
    enum status status = device_set_mtu(device, setup->mtu_bytes, info.max_mtu, error);
    if (status == STATUS_OK) { status = device_set_queues(device, setup, &info, &conf, error); }
    if (status != STATUS_OK) { return status; }

    result = rte_eth_dev_start(device->port_id);
    if (result != 0) {
        return device_refused(device, error, STATUS_IO, "does not start: %s", strerror(-result));
    }
    device->started = true;
    device->steers =
        device->rss && dpdk_steering_set_up(device->port_id, setup->queue_pairs, &device->steering);
    char interface_name[NAME_BYTES];
    copy_interface_name(device->name, interface_name);
    device->kernel_index = if_nametoindex(interface_name); /* 0 for "": it rides on none */
    (void)rte_eth_stats_reset(device->port_id); /* a driver that cannot starts from zero anyway */
    return STATUS_OK;
}

enum status dpdk_device_start(struct dpdk_device *device, const struct dpdk_device_setup *setup,
                              struct dpdk_error *error)
{
    assert(setup->queue_pairs > 0);

    struct dpdk_listener listener;
    dpdk_listener_init(&listener);
    const enum status status = device_configure(device, setup, error);
    dpdk_listener_deinit(&listener);
    if (status != STATUS_OK) { error_add_complaint(error, listener.text); }
    return status;
}

enum status dpdk_device_take_mac(struct dpdk_device *device, const struct mac *mac,
                                 struct dpdk_error *error)
{
    struct rte_ether_addr address;
    if (mac_equal(&device->mac, mac)) { return STATUS_OK; }
    memcpy(address.addr_bytes, mac->bytes, MAC_BYTES);
    const int result = rte_eth_dev_default_mac_addr_set(device->port_id, &address);
    if (result != 0) {
        return device_refused(device, error, STATUS_UNSUPPORTED,
                              "cannot take the MAC of the port's first device (%s), and one port "
                              "has one MAC; list devices of the same interface",
                              strerror(-result));
    }
    device->mac = *mac;
    return STATUS_OK;
}

void dpdk_device_close(struct dpdk_device *device)
{
    struct rte_eth_dev_info info;
    if (device->port_id == RTE_MAX_ETHPORTS) { return; }
    const bool described = rte_eth_dev_info_get(device->port_id, &info) == 0;
    if (device->started) { (void)rte_eth_dev_stop(device->port_id); }
    /* A device that open could not take is another port's: hands off. */
    if (device->owner_id != 0) {
        (void)rte_eth_dev_owner_unset(device->port_id, device->owner_id);
        (void)rte_eth_dev_close(device->port_id);
        if (device->made_here && described) { (void)rte_dev_remove(info.device); }
    }
    device->port_id = RTE_MAX_ETHPORTS;
}

/* Drivers on a kernel interface call their link up whatever becomes of that one: ask the kernel. */
static bool kernel_interface_is_up(const struct dpdk_device *device)
{
    struct ifreq request = {0};
    if (if_indextoname(device->kernel_index, request.ifr_name) == NULL) { return false; }
    const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (any < 0) { return false; }
    const bool asked = ioctl(any, SIOCGIFFLAGS, &request) == 0;
    close(any);
    const unsigned flags = (unsigned short)request.ifr_flags;
    return asked && (flags & IFF_UP) != 0 && (flags & IFF_RUNNING) != 0;
}

bool dpdk_device_link_is_up(const struct dpdk_device *device, uint32_t *out_mbps)
{
    struct rte_eth_link link = {.link_status = RTE_ETH_LINK_DOWN};
    const bool read = rte_eth_link_get_nowait(device->port_id, &link) == 0;
    *out_mbps = link.link_speed;
    if (!read || link.link_status != RTE_ETH_LINK_UP) { return false; }
    return device->kernel_index == 0 || kernel_interface_is_up(device);
}

bool dpdk_device_loss_is_known(const struct dpdk_device *device)
{
    /* Their kernel end drops silently: measured for af_packet, 99 % lost and every counter 0. */
    static const char *const silent[] = {"net_af_packet", "net_pcap", "net_tap", "net_virtio_user"};
    for (size_t i = 0; i < ARRAY_COUNT(silent); i++) {
        if (strcmp(device->driver, silent[i]) == 0) { return false; }
    }
    return true;
}
