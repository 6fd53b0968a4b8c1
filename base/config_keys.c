#include "base/config_keys.h"

#include <string.h>

#include "base/invariant.h"

static void topic_begin(void *item, struct file_place place)
{
    struct config_topic *const topic = item;
    topic->place = place;
}

static void listener_begin(void *item, struct file_place place)
{
    struct config_listener *const listener = item;
    listener->place = place;
    listener->topic = CONFIG_NO_TOPIC;
}

static const struct config_list port_list = {
    .item_bytes = sizeof(struct config_port),
    .count_offset = offsetof(struct config, port_count),
    .items_max = CONFIG_PORTS_MAX,
};

static const struct config_list topic_list = {
    .item_bytes = sizeof(struct config_topic),
    .count_offset = offsetof(struct config, topic_count),
    .items_max = CONFIG_TOPICS_MAX,
    .begin = topic_begin,
};

static const struct config_list listener_list = {
    .item_bytes = sizeof(struct config_listener),
    .count_offset = offsetof(struct config, listener_count),
    .items_max = CONFIG_LISTENERS_MAX,
    .begin = listener_begin,
};

static const char *const polling_choices[] = {
    [CONFIG_POLLING_BUSY] = "busy",
    [CONFIG_POLLING_ADAPTIVE] = "adaptive",
    [CONFIG_POLLING_ADAPTIVE + 1] = NULL,
};

static const char *const protocol_choices[] = {
    [CONFIG_PROTOCOL_LINES] = "lines",
    [CONFIG_PROTOCOL_SYSLOG] = "syslog",
    [CONFIG_PROTOCOL_NATIVE] = "native",
    [CONFIG_PROTOCOL_NATIVE + 1] = NULL,
};

const char *config_protocol_name(enum config_protocol protocol)
{
    return protocol_choices[protocol];
}

static const char *const durability_choices[] = {
    [CONFIG_DURABILITY_AUTO] = "auto",
    [CONFIG_DURABILITY_DSYNC] = "dsync",
    [CONFIG_DURABILITY_FDATASYNC] = "fdatasync",
    [CONFIG_DURABILITY_FDATASYNC + 1] = NULL,
};

static const char *const compression_choices[] = {
    [CONFIG_COMPRESSION_NONE] = "none",
    [CONFIG_COMPRESSION_LZ4] = "lz4",
    [CONFIG_COMPRESSION_ZSTD] = "zstd",
    [CONFIG_COMPRESSION_ZSTD + 1] = NULL,
};

static const char *const syslog_value_choices[] = {
    [CONFIG_SYSLOG_RAW] = "raw",
    [CONFIG_SYSLOG_PARSED] = "parsed",
    [CONFIG_SYSLOG_PARSED + 1] = NULL,
};

#define IN_CONFIG(field)   .offset = offsetof(struct config, field)
#define IN_PORT(field)     .offset = offsetof(struct config_port, field)
#define IN_TOPIC(field)    .offset = offsetof(struct config_topic, field)
#define IN_LISTENER(field) .offset = offsetof(struct config_listener, field)

/* path, type, least and most (of a list: items), default ("-": required, "": none), help */
static const struct config_key keys[] = {
    {{"node", "string", "", "", "-",
      "Name of this node, at most 63 characters: in metrics, logs and the broker's name."},
     IN_CONFIG(node),
     config_read_node_name},

    {{"workers", "section", "", "", "-", "The polling threads, one a core."}},
    {{"workers.cores", "list of integers", "0", "1023", "-",
      "CPUs that the workers are pinned to: worker i runs on the i-th and writes partition i."},
     .read = config_read_cores},
    {{"workers.polling", "busy or adaptive", "", "", "busy",
      "`busy` spins always: lowest latency, a whole core each. `adaptive` sleeps when idle."},
     IN_CONFIG(workers.polling),
     config_read_choice,
     .choices = polling_choices},
    {{"workers.compression_share", "integer, percent", "0", "100", "25",
      "Most of a worker's time that compressing may take; batches past it are stored plain, and "
      "counted. Only for topics with `compression`."},
     IN_CONFIG(workers.compression_percent),
     config_read_integer32},

    {{"ports", "list of sections", "1", "16", "-", "Network ports that frames are polled from."},
     IN_CONFIG(ports),
     .list = &port_list},
    {{"ports[].device", "string or list of strings", "1", "64", "-",
      "A PCI address, or a DPDK vdev with its arguments; or a list of one-queue vdevs, one a "
      "worker, that make one port."},
     IN_PORT(devices),
     config_read_devices},
    {{"ports[].address", "IPv4 address/prefix", "", "", "-",
      "Address of the appliance on this port: ARP and ping are answered for it."},
     .read = config_read_network},
    {{"ports[].gateway", "IPv4 address", "", "", "",
      "Router for answers beyond the subnet. Inside the subnet."},
     IN_PORT(gateway),
     config_read_address},
    {{"ports[].vlan", "integer", "1", "4094", "",
      "Only frames with this 802.1Q tag are taken, and answers carry it. Without: untagged frames "
      "only."},
     IN_PORT(vlan),
     config_read_integer16},
    {{"ports[].mtu", "integer, bytes", "576", "9000", "1500",
      "Largest IP packet that is received."},
     IN_PORT(mtu_bytes),
     config_read_integer16},

    {{"topics", "list of sections", "1", "1000", "-", "Every topic that records can be stored in."},
     IN_CONFIG(topics),
     .list = &topic_list},
    {{"topics[].name", "string", "", "", "-",
      "Kafka's rules for names: 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-'."},
     IN_TOPIC(name),
     config_read_topic_name},
    {{"topics[].compression", "none, lz4 or zstd", "", "", "none",
      "Codec of the topic's new batches, in Kafka's own format; what is stored already stays as it "
      "is. Consumers unpack (docs/kafka.md)."},
     IN_TOPIC(compression),
     config_read_choice,
     .choices = compression_choices},
    {{"topics[].retain", "section", "", "", "",
      "When the topic's records expire before the node's: its log start moves, the segments "
      "stay."}},
    {{"topics[].retain.bytes", "size", "", "", "",
      "Bytes of the topic's newest batches that stay in each partition, at most "
      "`storage.retain.bytes`. Without: the node's limits alone."},
     IN_TOPIC(retain_bytes),
     config_read_size},
    {{"topics[].retain.age", "duration", "1s", "36500d", "",
      "Records of the topic older than this expire; at most `storage.retain.age`. Without: the "
      "node's limits alone."},
     IN_TOPIC(retain_age_ns),
     config_read_duration},

    {{"listeners", "list of sections", "1", "64", "-", "UDP ports that records are taken from."},
     IN_CONFIG(listeners),
     .list = &listener_list},
    {{"listeners[].protocol", "lines, syslog or native", "", "", "-",
      "`lines`: a record a line. `syslog`: a record a datagram, RFC 5424 or RFC 3164. `native`: "
      "acknowledged, exactly once (docs/protocol.md)."},
     IN_LISTENER(protocol),
     config_read_choice,
     .choices = protocol_choices},
    {{"listeners[].port", "integer", "1", "65535", "-",
      "UDP port, the same on every network port."},
     IN_LISTENER(port),
     config_read_integer16},
    {{"listeners[].topic", "string", "", "", "",
      "Topic of records that no rule routes. Without: the rules decide alone, so there must be a "
      "rules file."},
     IN_LISTENER(topic),
     config_read_topic},
    {{"listeners[].value", "raw or parsed", "", "", "raw",
      "Only with `syslog`. What a record's value is: the datagram as it came (`raw`), or its "
      "message, with the header's fields beside it (`parsed`)."},
     IN_LISTENER(syslog_value),
     config_read_choice,
     .choices = syslog_value_choices},

    {{"rules", "string", "", "", "",
      "File of filter and routing rules; a relative path starts at this file's folder."},
     .read = config_read_rules_path},

    {{"storage", "section", "", "", "-", "Where and how logs are written."}},
    {{"storage.paths", "list of strings", "1", "64", "-",
      "Absolute directories for logs, or block devices (`penstock storage init`), best one a disk: "
      "partitions are spread over them; one whose path fails or is full goes on on the next."},
     .read = config_read_storage_paths},
    {{"storage.segment", "size", "8MiB", "64GiB", "1GiB",
      "Size of one segment file, whole 4 KiB blocks: at least 4 commits."},
     IN_CONFIG(storage.segment_bytes),
     config_read_blocks},
    {{"storage.segment_age", "duration", "1s", "36500d", "",
      "A segment that holds records is ended this long after it was opened, full or not: it keeps "
      "the disk space of a full one. Without: a quarter of `storage.retain.age`, at most 1d."},
     IN_CONFIG(storage.segment_age_ns),
     config_read_duration},
    {{"storage.commit", "section", "", "", "", "When what was received is written to the disk."}},
    {{"storage.commit.bytes", "size", "16KiB", "4MiB", "1MiB",
      "A commit is written when it has this size, whole 4 KiB blocks. Bounds the largest record."},
     IN_CONFIG(storage.commit_bytes),
     config_read_blocks},
    {{"storage.commit.linger", "duration", "0s", "1s", "2ms",
      "A commit is written when its oldest record has waited this long; see `linger_unacked`."},
     IN_CONFIG(storage.commit_linger_ns),
     config_read_duration},
    {{"storage.commit.linger_unacked", "duration", "0s", "1s", "1s",
      "As `linger`, for records that nobody waits for an acknowledgement of (lines, syslog): so "
      "few "
      "that a commit would be mostly padding wait this long for more."},
     IN_CONFIG(storage.commit_linger_unacked_ns),
     config_read_duration},
    {{"storage.commit.in_flight", "integer", "1", "64", "4",
      "Commits of one worker that are being written at the same time, at most. One more is "
      "gathered meanwhile, once it is full."},
     IN_CONFIG(storage.commits_in_flight),
     config_read_integer32},
    {{"storage.durability", "auto, dsync or fdatasync", "", "", "auto",
      "How a write becomes durable. `dsync`: by itself. `fdatasync`: by a flush behind it, which "
      "runs beside the worker's core. `auto`: `dsync` where every disk has FUA or no volatile "
      "write cache, else `fdatasync`."},
     IN_CONFIG(storage.durability),
     config_read_choice,
     .choices = durability_choices},
    {{"storage.ring", "size", "1MiB", "64GiB", "64MiB",
      "Memory for the newest commits of one worker, which consumers at the tail are served from; "
      "whole 4 KiB blocks, at least `commit.in_flight` + 2 commits."},
     IN_CONFIG(storage.ring_bytes),
     config_read_blocks},
    {{"storage.retain", "section", "", "", "",
      "When old segments are removed: at the first limit reached."}},
    {{"storage.retain.bytes", "size", "", "", "",
      "All logs of the node together, at least 2 segments a worker. Without: no limit but the "
      "disk."},
     IN_CONFIG(storage.retain_bytes),
     config_read_size},
    {{"storage.retain.age", "duration", "1s", "36500d", "",
      "Records older than this may go. Without: no limit."},
     IN_CONFIG(storage.retain_age_ns),
     config_read_duration},
    {{"storage.retain.free", "size", "", "", "",
      "The first threshold: while a storage path has less than this free, its oldest segments go, "
      "whatever the other limits say. More than `storage.reserve`. Without: nothing goes early."},
     IN_CONFIG(storage.retain_free_bytes),
     config_read_size},
    {{"storage.reserve", "size", "0B", "1TiB", "16MiB",
      "The second threshold: free bytes of a storage path that no new segment takes. Where they "
      "would be touched, ingest closes (no space) and opens again by itself."},
     IN_CONFIG(storage.reserve_bytes),
     config_read_size},

    {{"lanes", "section", "", "", "", "Producers' lanes of the native protocol."}},
    {{"lanes.max", "integer", "1", "4000000", "100000",
      "Lanes that one worker remembers; when they are full, new ones are refused. About 700 bytes "
      "of memory each."},
     IN_CONFIG(lanes.max),
     config_read_integer32},
    {{"lanes.remember", "duration", "1m", "36500d", "7d",
      "A lane is forgotten this long after its last record: until then a producer that comes back "
      "goes on exactly where it was."},
     IN_CONFIG(lanes.remember_ns),
     config_read_duration},
    {{"lanes.takeover_after", "duration", "100ms", "1h", "3s",
      "How long a lane must be silent before another address may take it over."},
     IN_CONFIG(lanes.takeover_after_ns),
     config_read_duration},
    {{"lanes.session_timeout", "duration", "1s", "1h", "60s",
      "A session ends after this long without a datagram; its lane is remembered."},
     IN_CONFIG(lanes.session_timeout_ns),
     config_read_duration},
    {{"lanes.max_record", "size", "1KiB", "4032KiB", "900KiB",
      "Largest record. A commit holds it and 64 KiB; without it, smaller commits make it smaller, "
      "with a warning."},
     IN_CONFIG(lanes.max_record_bytes),
     config_read_size},

    {{"serve", "section", "", "", "", "The Kafka face and the admin page (penstock-serve)."}},
    {{"serve.kafka", "host:port", "", "", "0.0.0.0:9092", "Where consumers connect."},
     IN_CONFIG(serve.kafka),
     config_read_listen_on},
    {{"serve.advertise", "host:port", "", "", "",
      "What consumers are told to connect to. Without: the address that they came to."},
     IN_CONFIG(serve.advertise),
     config_read_advertise},
    {{"serve.admin", "host:port", "", "", "127.0.0.1:9640",
      "Where metrics, health and the dashboard are. There is no login: keep it off open networks."},
     IN_CONFIG(serve.admin),
     config_read_listen_on},
    {{"serve.cold_read", "size, per second", "1MiB", "1TiB", "",
      "Bytes read from disk for consumers that are behind the ring, so that they cannot starve the "
      "writer. Without: no limit."},
     IN_CONFIG(serve.cold_read_bytes_per_s),
     config_read_size},
    {{"serve.cache", "size", "4MiB", "1TiB", "64MiB", "Memory for what was read from disk."},
     IN_CONFIG(serve.cache_bytes),
     config_read_size},
    {{"serve.connections", "integer", "1", "100000", "1000",
      "Open consumer connections; further ones are closed at once."},
     IN_CONFIG(serve.connections_max),
     config_read_integer32},
    {{"serve.scrub", "size, per second", "0B", "1TiB", "16MiB",
      "Bytes of sealed segments that are read again and checked in the background, so that rot is "
      "found before a consumer meets it. 0: never."},
     IN_CONFIG(serve.scrub_bytes_per_s),
     config_read_size},

    {{"runtime", "string", "", "", "/dev/shm/penstock",
      "Absolute directory on a tmpfs for the memory that the processes share; one a node."},
     IN_CONFIG(runtime),
     config_read_directory},

    {{"cache", "string", "", "", "/var/cache/penstock",
      "Absolute directory for what can be made again: compiled rules, and a copy of each rules "
      "file "
      "that was in force. Made where it is missing."},
     IN_CONFIG(cache),
     config_read_directory},

    {{"dpdk", "section", "", "", "", "What is handed to DPDK."}},
    {{"dpdk.arguments", "list of strings", "0", "64", "",
      "Further arguments for DPDK's EAL, behind our own. Cores are refused: workers.cores has "
      "them."},
     IN_CONFIG(dpdk.extra_arguments),
     config_read_arguments},
    {{"dpdk.memory", "size", "16MiB", "1TiB", "256MiB",
      "Memory for packet buffers, all workers together; hugepages where there are any."},
     IN_CONFIG(dpdk.memory_bytes),
     config_read_size},
};

/* Keys and values that are designed, but that this version does not do. */
static const struct {
    const char *path;
    const char *value;
} for_later[] = {
    {"listeners[].security", NULL},
};

size_t config_key_count(void) { return ARRAY_COUNT(keys); }

const struct config_key *config_keys_at(size_t index)
{
    assert(index < ARRAY_COUNT(keys));
    return &keys[index];
}

const struct config_key_facts *config_key_at(size_t index) { return &config_keys_at(index)->facts; }

const char *config_key_name(const struct config_key *key)
{
    const char *const dot = strrchr(key->facts.path, '.');
    return dot != NULL ? dot + 1 : key->facts.path;
}

bool config_key_is_in(const struct config_key *child, const struct config_key *section)
{
    const char *rest = child->facts.path;
    if (section != NULL) {
        const size_t prefix_len = strlen(section->facts.path);
        if (strncmp(rest, section->facts.path, prefix_len) != 0) { return false; }
        rest += prefix_len;
        const char *const joint = section->list != NULL ? "[]." : ".";
        if (strncmp(rest, joint, strlen(joint)) != 0) { return false; }
        rest += strlen(joint);
    }
    return strchr(rest, '.') == NULL;
}

bool config_is_for_later(const char *path, const char *value)
{
    for (size_t i = 0; i < ARRAY_COUNT(for_later); i++) {
        if (strcmp(for_later[i].path, path) != 0) { continue; }
        if (value == NULL) { return for_later[i].value == NULL; }
        if (for_later[i].value != NULL && strcmp(for_later[i].value, value) == 0) { return true; }
    }
    return false;
}
