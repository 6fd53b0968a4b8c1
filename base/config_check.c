#include "base/config_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/units.h"

enum {
    CONFIG_SEGMENT_COMMITS_MIN = 4,       /* below, headers and footers are most of a segment */
    CONFIG_RING_COMMITS_SPARE = 2,        /* one being filled, and one for a reader to still find */
    CONFIG_RETAIN_SEGMENTS_MIN = 2,       /* the open one and one to remove */
    CONFIG_RECORD_SPARE_BYTES = 64 << 10, /* of a commit, beside its largest record */
};

struct checking {
    const struct config *config;
    const struct yaml_node *root;
    struct diagnostics *diagnostics;
};

/* The place of the value at `names` below `node`, or of the deepest section that is there. */
static struct file_place place_below(const struct yaml_node *node, const char *const *names)
{
    for (; *names != NULL; names++) {
        const struct yaml_node *const next = yaml_map_get(node, *names);
        if (next == NULL) { break; }
        node = next;
    }
    return node->place;
}

#define place_of(checking, ...)                                                                    \
    place_below((checking)->root, (const char *const[]){__VA_ARGS__, NULL})

static const struct yaml_node *item_node(const struct checking *checking, const char *list,
                                         size_t index)
{
    return yaml_map_get(checking->root, list)->children[index];
}

static struct file_place place_in_port(const struct checking *checking, size_t port,
                                       const char *name)
{
    return place_below(item_node(checking, "ports", port), (const char *const[]){name, NULL});
}

/* ---- workers ------------------------------------------------------------------------- */

/* Only a warning: a file may be checked on another machine than the one it is for. */
static void check_cores_exist(const struct checking *checking)
{
    const size_t count = checking->config->workers.count;
    if (count == 0) { return; }
    const struct yaml_node *const cores =
        yaml_map_get(yaml_map_get(checking->root, "workers"), "cores");
    if (count != cores->child_count) { return; } /* some were refused */
    for (size_t i = 0; i < count; i++) {
        char path[64];
        const uint32_t core = checking->config->workers.cores[i];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%" PRIu32, core);
        if (access("/sys/devices/system/cpu", F_OK) != 0 || access(path, F_OK) == 0) { continue; }
        diagnostics_warning(checking->diagnostics, cores->children[i]->place,
                            "core %" PRIu32 " is not on this machine; fine if the file is for "
                            "another one",
                            core);
    }
}

/* ---- ports --------------------------------------------------------------------------- */

static bool same_subnet(uint32_t left, uint32_t right, uint32_t prefix_bits)
{
    return (left ^ right) >> (32 - prefix_bits) == 0;
}

static void check_gateway(const struct checking *checking, size_t index)
{
    const struct config_port *const port = &checking->config->ports[index];
    const struct file_place place = place_in_port(checking, index, "gateway");
    if (port->address == 0 || port->gateway == 0) { return; }

    if (port->gateway == port->address) {
        diagnostics_error(checking->diagnostics, place,
                          "the gateway is the port's own address; name the router's");
        return;
    }
    if (!same_subnet(port->gateway, port->address, port->prefix_bits)) {
        diagnostics_error(checking->diagnostics, place,
                          "the gateway is outside the port's subnet, so it could not be reached; "
                          "correct it or the address's prefix length");
        return;
    }
    const uint32_t host_mask = port->prefix_bits > 30 ? 0 : UINT32_MAX >> port->prefix_bits;
    const uint32_t host = port->gateway & host_mask;
    if (host_mask != 0 && (host == 0 || host == host_mask)) {
        diagnostics_error(checking->diagnostics, place,
                          "the gateway is the first or last address of the subnet, which no host "
                          "can have");
    }
}

static void check_device_count(const struct checking *checking, size_t index)
{
    const size_t device_count = checking->config->ports[index].devices.count;
    const size_t worker_count = checking->config->workers.count;
    if (device_count < 2 || worker_count == 0 || device_count == worker_count) { return; }
    diagnostics_error(checking->diagnostics, place_in_port(checking, index, "device"),
                      "%zu one-queue devices for %zu workers; a list has one device a worker",
                      device_count, worker_count);
}

/* "net_tap0,iface=a" and "net_tap0,iface=b" are the same device to DPDK. */
static bool same_device(const char *left, const char *right)
{
    const size_t left_len = strcspn(left, ",");
    return left_len == strcspn(right, ",") && strncmp(left, right, left_len) == 0;
}

/* Whether `device` was named earlier than as item `until` of port `last`. */
static bool device_was_named(const struct config *config, const char *device, size_t last,
                             size_t until)
{
    for (size_t i = 0; i <= last; i++) {
        const size_t count = i == last ? until : config->ports[i].devices.count;
        for (size_t j = 0; j < count; j++) {
            if (same_device(config->ports[i].devices.items[j], device)) { return true; }
        }
    }
    return false;
}

static void check_devices_differ(const struct checking *checking, size_t index)
{
    const struct config_strings *const devices = &checking->config->ports[index].devices;
    for (size_t i = 0; i < devices->count; i++) {
        if (!device_was_named(checking->config, devices->items[i], index, i)) { continue; }
        diagnostics_error(checking->diagnostics, place_in_port(checking, index, "device"),
                          "device '%.*s' a second time; vdevs of one driver differ in their number",
                          (int)strcspn(devices->items[i], ","), devices->items[i]);
    }
}

static void check_address_differs(const struct checking *checking, size_t index)
{
    const struct config_port *const ports = checking->config->ports;
    for (size_t i = 0; i < index; i++) {
        if (ports[index].address == 0 || ports[i].address != ports[index].address) { continue; }
        if (ports[i].vlan != ports[index].vlan) { continue; }
        diagnostics_error(checking->diagnostics, place_in_port(checking, index, "address"),
                          "the address of an earlier port; each port has its own");
        return;
    }
}

static void check_ports(const struct checking *checking)
{
    for (size_t i = 0; i < checking->config->port_count; i++) {
        check_gateway(checking, i);
        check_device_count(checking, i);
        check_devices_differ(checking, i);
        check_address_differs(checking, i);
    }
}

/* ---- topics and listeners ------------------------------------------------------------ */

static void check_topics_differ(const struct checking *checking)
{
    const struct config_topic *const topics = checking->config->topics;
    for (size_t i = 0; i < checking->config->topic_count; i++) {
        if (topics[i].name == NULL) { continue; }
        const int32_t first = config_topic_find(checking->config, topics[i].name);
        if ((size_t)first == i) { continue; }
        diagnostics_error(
            checking->diagnostics,
            place_below(item_node(checking, "topics", i), (const char *const[]){"name", NULL}),
            "topic '%s' a second time; the first is on line %u", topics[i].name,
            topics[first].place.line);
    }
}

/* A native record names its topic by this (docs/protocol.md, 4.5). */
static uint32_t topic_hash(const char *name)
{
    const uint32_t hash = crc32c(bytes_of_text(name));
    return hash == 0 ? 1 : hash;
}

static void check_topic_hashes_differ(const struct checking *checking)
{
    const struct config_topic *const topics = checking->config->topics;
    for (size_t i = 0; i < checking->config->topic_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (topics[i].name == NULL || topics[j].name == NULL) { continue; }
            if (strcmp(topics[i].name, topics[j].name) == 0) { continue; } /* said above */
            if (topic_hash(topics[i].name) != topic_hash(topics[j].name)) { continue; }
            diagnostics_error(
                checking->diagnostics,
                place_below(item_node(checking, "topics", i), (const char *const[]){"name", NULL}),
                "topics '%s' and '%s' have the same CRC-32C, by which native producers name a "
                "topic; rename one",
                topics[i].name, topics[j].name);
        }
    }
}

static void check_listener_port_differs(const struct checking *checking, size_t index)
{
    const struct config_listener *const listeners = checking->config->listeners;
    for (size_t i = 0; i < index; i++) {
        if (listeners[index].port == 0 || listeners[i].port != listeners[index].port) { continue; }
        diagnostics_error(checking->diagnostics,
                          place_below(item_node(checking, "listeners", index),
                                      (const char *const[]){"port", NULL}),
                          "port %u is taken by the listener on line %u", listeners[index].port,
                          listeners[i].place.line);
        return;
    }
}

/* docs/protocol.md, 6.5: every path carries datagrams of 1,200 bytes, our own port to begin with.
 */
static void check_mtu_for_native(const struct checking *checking)
{
    enum { LEAST_MTU_BYTES = 1200 + 28 };
    const struct config *const config = checking->config;
    if (!config_has_protocol(config, CONFIG_PROTOCOL_NATIVE)) { return; }
    for (size_t i = 0; i < config->port_count; i++) {
        const uint16_t mtu_bytes = config->ports[i].mtu_bytes;
        if (mtu_bytes == 0 || mtu_bytes >= LEAST_MTU_BYTES) { continue; }
        diagnostics_error(checking->diagnostics, place_in_port(checking, i, "mtu"),
                          "the native protocol needs packets of %d bytes", LEAST_MTU_BYTES);
    }
}

static void check_listeners(const struct checking *checking)
{
    const struct config *const config = checking->config;
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct yaml_node *const node = item_node(checking, "listeners", i);
        const struct yaml_node *const value = yaml_map_get(node, "value");
        const struct yaml_node *const protocol = yaml_map_get(node, "protocol");
        check_listener_port_differs(checking, i);

        if (value != NULL && protocol != NULL && protocol->kind == YAML_SCALAR &&
            strcmp(protocol->text, "syslog") != 0) {
            diagnostics_error(checking->diagnostics, value->place,
                              "'value' is for syslog; other records are stored as they came");
        }
        if (node->kind == YAML_MAP && yaml_map_get(node, "topic") == NULL &&
            yaml_map_get(checking->root, "rules") == NULL) {
            diagnostics_error(checking->diagnostics, node->place,
                              "this listener has no topic and there is no rules file to choose "
                              "one; add 'topic' here or 'rules'");
        }
    }
}

/* ---- storage and serve --------------------------------------------------------------- */

static const char *lanes_words(const struct config *config)
{
    return config_lanes_bytes(config) > 0 ? " and a quarter for lanes" : "";
}

static void check_segment_holds_commits(const struct checking *checking)
{
    const uint64_t commit_bytes = checking->config->storage.commit_bytes;
    const uint64_t least_bytes =
        (commit_bytes + config_lanes_bytes(checking->config)) * CONFIG_SEGMENT_COMMITS_MIN;
    char least[UNITS_TEXT_BYTES];
    if (commit_bytes == 0 || checking->config->storage.segment_bytes == 0) { return; }
    if (checking->config->storage.segment_bytes >= least_bytes) { return; }
    diagnostics_error(checking->diagnostics, place_of(checking, "storage", "segment"),
                      "a segment holds at least %d commits of 'commit.bytes'%s: %s or more",
                      CONFIG_SEGMENT_COMMITS_MIN, lanes_words(checking->config),
                      units_format_size(least_bytes, least, sizeof least));
}

uint64_t config_record_room(uint64_t commit_bytes)
{
    return commit_bytes >= 2 * CONFIG_RECORD_SPARE_BYTES ? commit_bytes - CONFIG_RECORD_SPARE_BYTES
                                                         : commit_bytes / 2;
}

static void check_commit_holds_record(const struct checking *checking)
{
    const uint64_t commit_bytes = checking->config->storage.commit_bytes;
    const uint64_t most_bytes = config_record_room(commit_bytes);
    const uint64_t wanted_bytes = checking->config->lanes.max_record_bytes;
    const struct yaml_node *const lanes = yaml_map_get(checking->root, "lanes");
    char most[UNITS_TEXT_BYTES];
    char wanted[UNITS_TEXT_BYTES];
    if (commit_bytes == 0 || wanted_bytes <= most_bytes) { return; }
    if (lanes != NULL && lanes->kind != YAML_MAP) { return; }
    units_format_size(most_bytes, most, sizeof most);
    if (lanes != NULL && yaml_map_get(lanes, "max_record") != NULL) {
        diagnostics_error(checking->diagnostics, place_of(checking, "lanes", "max_record"),
                          "a commit holds its largest record and 64 KiB: at most %s with this "
                          "'storage.commit.bytes'",
                          most);
    } else if (config_has_protocol(checking->config, CONFIG_PROTOCOL_NATIVE)) {
        diagnostics_warning(checking->diagnostics, place_of(checking, "storage", "commit", "bytes"),
                            "native records are at most %s in such commits, not the %s that "
                            "'lanes.max_record' is by default",
                            most, units_format_size(wanted_bytes, wanted, sizeof wanted));
    }
}

static void check_ring_holds_commits(const struct checking *checking)
{
    const struct config *const config = checking->config;
    const uint64_t commits = config->storage.commits_in_flight + CONFIG_RING_COMMITS_SPARE;
    const uint64_t least_commits = commits < 4 ? 4 : commits;
    const uint64_t least_bytes =
        (config->storage.commit_bytes + config_lanes_bytes(config)) * least_commits;
    char least[UNITS_TEXT_BYTES];
    if (config->storage.commits_in_flight == 0 || config->storage.commit_bytes == 0) { return; }
    if (config->storage.ring_bytes == 0 || config->storage.ring_bytes >= least_bytes) { return; }
    diagnostics_error(checking->diagnostics, place_of(checking, "storage", "ring"),
                      "a ring holds at least %" PRIu64 " commits of 'commit.bytes'%s: %s or more",
                      least_commits, lanes_words(config),
                      units_format_size(least_bytes, least, sizeof least));
}

static void check_retention_leaves_room(const struct checking *checking)
{
    const struct config *const config = checking->config;
    const uint64_t least_bytes =
        config->storage.segment_bytes * CONFIG_RETAIN_SEGMENTS_MIN * config->workers.count;
    char least[UNITS_TEXT_BYTES];
    if (config->storage.retain_bytes == 0 || config->storage.retain_bytes >= least_bytes) {
        return;
    }
    diagnostics_error(checking->diagnostics, place_of(checking, "storage", "retain", "bytes"),
                      "%d segments for each of %zu workers need %s or more",
                      CONFIG_RETAIN_SEGMENTS_MIN, config->workers.count,
                      units_format_size(least_bytes, least, sizeof least));
}

static void check_reserve_is_below_free(const struct checking *checking)
{
    const struct config *const config = checking->config;
    char reserve[UNITS_TEXT_BYTES];
    if (config->storage.retain_free_bytes == 0) { return; }
    if (config->storage.retain_free_bytes > config->storage.reserve_bytes) { return; }
    diagnostics_error(checking->diagnostics, place_of(checking, "storage", "retain", "free"),
                      "segments go before ingest closes: more than 'storage.reserve' (%s)",
                      units_format_size(config->storage.reserve_bytes, reserve, sizeof reserve));
}

static struct file_place place_in_retain(const struct checking *checking, size_t topic,
                                         const char *name)
{
    return place_below(item_node(checking, "topics", topic),
                       (const char *const[]){"retain", name, NULL});
}

/* A topic may keep less than the node, never more: segments go whole, with all topics in them. */
static void check_topics_retain_no_longer(const struct checking *checking)
{
    const struct config *const config = checking->config;
    const uint64_t age_ns = config->storage.retain_age_ns;
    const uint64_t bytes = config->storage.retain_bytes;
    char most[UNITS_TEXT_BYTES];
    for (size_t i = 0; i < config->topic_count; i++) {
        const struct config_topic *const topic = &config->topics[i];
        if (age_ns != 0 && topic->retain_age_ns > age_ns) {
            diagnostics_error(checking->diagnostics, place_in_retain(checking, i, "age"),
                              "a topic is kept no longer than the node's 'storage.retain.age': at "
                              "most %s",
                              units_format_duration(age_ns, most, sizeof most));
        }
        if (bytes != 0 && topic->retain_bytes > bytes) {
            diagnostics_error(checking->diagnostics, place_in_retain(checking, i, "bytes"),
                              "a topic keeps no more than the node's 'storage.retain.bytes': at "
                              "most %s",
                              units_format_size(bytes, most, sizeof most));
        }
    }
}

static void check_serve_endpoints_differ(const struct checking *checking)
{
    const struct config_endpoint *const kafka = &checking->config->serve.kafka;
    const struct config_endpoint *const admin = &checking->config->serve.admin;
    if (kafka->host == NULL || admin->host == NULL || kafka->port != admin->port) { return; }

    const bool wildcard = strcmp(kafka->host, "0.0.0.0") == 0 || strcmp(kafka->host, "::") == 0 ||
                          strcmp(admin->host, "0.0.0.0") == 0 || strcmp(admin->host, "::") == 0;
    if (!wildcard && strcmp(kafka->host, admin->host) != 0) { return; }
    diagnostics_error(checking->diagnostics, place_of(checking, "serve", "admin"),
                      "'admin' and 'kafka' listen on the same port %u; give one another",
                      admin->port);
}

void config_check(const struct config *config, const struct yaml_node *root,
                  struct diagnostics *diagnostics)
{
    const struct checking checking = {config, root, diagnostics};
    check_cores_exist(&checking);
    check_ports(&checking);
    check_topics_differ(&checking);
    check_topic_hashes_differ(&checking);
    check_listeners(&checking);
    check_mtu_for_native(&checking);
    check_segment_holds_commits(&checking);
    check_commit_holds_record(&checking);
    check_ring_holds_commits(&checking);
    check_retention_leaves_room(&checking);
    check_reserve_is_below_free(&checking);
    check_topics_retain_no_longer(&checking);
    check_serve_endpoints_differ(&checking);
}
