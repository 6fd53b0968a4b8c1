/* config.h - one node's configuration, checked: what both daemons and the CLI work from.
 *
 * Purpose  config_load reads the YAML file, checks every key against one table (config_keys.c), and
 *          either fills a struct config or says everything that is wrong with it.
 * Owns     All strings and arrays inside, until config_destroy. Immutable after loading.
 * Threads  Any may read; loading is cold.
 * Keys     docs/configuration.md lists them all; tests/base/config_docs_test compares. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/diagnostics.h"

BEGIN_C_DECLS

enum config_polling {
    CONFIG_POLLING_BUSY,     /* spin always: lowest latency */
    CONFIG_POLLING_ADAPTIVE, /* back off when idle */
};

enum config_protocol {
    CONFIG_PROTOCOL_LINES,
    CONFIG_PROTOCOL_SYSLOG,
    CONFIG_PROTOCOL_NATIVE,
};

enum config_syslog_value {
    CONFIG_SYSLOG_RAW,
    CONFIG_SYSLOG_PARSED,
};

enum config_durability {
    CONFIG_DURABILITY_AUTO, /* as the disks want it: dataplane/write_method.h */
    CONFIG_DURABILITY_DSYNC,
    CONFIG_DURABILITY_FDATASYNC,
};

enum {
    CONFIG_WORKERS_MAX = 64,
    CONFIG_PORTS_MAX = 16,
    CONFIG_LISTENERS_MAX = 64,
    CONFIG_TOPICS_MAX = 1000,
    CONFIG_PATHS_MAX = 64,
    CONFIG_NO_TOPIC = -1,
};

enum config_compression {
    CONFIG_COMPRESSION_NONE,
    CONFIG_COMPRESSION_LZ4,
    CONFIG_COMPRESSION_ZSTD,
};

struct config_strings {
    char **items;
    size_t count;
};

struct config_port {
    struct config_strings
        devices;      /* `device: X` or `device: [X, Y]`: one-queue devices of one port */
    uint32_t address; /* IPv4, host order */
    uint32_t prefix_bits;
    uint32_t gateway; /* 0: none */
    uint16_t vlan;    /* 0: untagged */
    uint16_t mtu_bytes;
};

struct config_listener {
    enum config_protocol protocol;
    uint16_t port;
    int32_t topic; /* index in topics, CONFIG_NO_TOPIC: by rules */
    enum config_syslog_value syslog_value;
    struct file_place place;
};

struct config_topic {
    char *name;
    struct file_place place;
    uint64_t retain_bytes;  /* of one partition; 0: the node's limits alone */
    uint64_t retain_age_ns; /* 0: the node's limits alone */
    enum config_compression compression;
};

struct config_endpoint {
    char *host; /* as written: a name or an address */
    uint16_t port;
};

struct config {
    char *path; /* of the file itself */
    char *node;
    char *runtime; /* directory on a tmpfs */
    char *cache;   /* directory for what can be made again */

    struct {
        uint32_t *cores; /* CPU numbers; worker i is partition i */
        size_t count;
        enum config_polling polling;
        uint32_t compression_percent; /* of a worker's time, at most */
    } workers;

    struct {
        struct config_strings extra_arguments; /* for EAL, behind our own */
        uint64_t memory_bytes;                 /* for packet buffers, all workers together */
    } dpdk;

    struct config_port *ports;
    size_t port_count;
    struct config_listener *listeners;
    size_t listener_count;
    struct config_topic *topics;
    size_t topic_count;

    char *rules_path; /* absolute or relative to the working directory; NULL: no rules */
    struct file_place rules_place; /* of the value of `rules` */

    struct {
        struct config_strings paths;
        struct file_place paths_place; /* of the list */
        uint64_t segment_bytes;
        uint64_t segment_age_ns; /* 0: by bytes only */
        uint64_t commit_bytes;
        uint64_t commit_linger_ns;
        uint64_t commit_linger_unacked_ns;
        uint32_t commits_in_flight;
        enum config_durability durability;
        uint64_t ring_bytes;        /* commit ring of one worker */
        uint64_t retain_bytes;      /* of the node; 0: no limit */
        uint64_t retain_age_ns;     /* 0: no limit */
        uint64_t retain_free_bytes; /* of each path; 0: no limit */
        uint64_t reserve_bytes;     /* of each path, for no segment */
    } storage;

    struct { /* of the native protocol (docs/protocol.md); of one worker where it matters */
        uint32_t max;
        uint64_t remember_ns;
        uint64_t takeover_after_ns;
        uint64_t session_timeout_ns;
        uint64_t max_record_bytes; /* as written: config_max_record_bytes is what holds */
    } lanes;

    struct {
        struct config_endpoint kafka;     /* where to listen */
        struct config_endpoint advertise; /* host NULL: the address the client came to */
        struct config_endpoint admin;
        uint64_t cold_read_bytes_per_s; /* 0: no limit */
        uint64_t cache_bytes;
        uint32_t connections_max;
        uint64_t scrub_bytes_per_s; /* 0: never */
    } serve;
};

/* Reads and checks. NULL when there was any error; warnings alone still give a configuration.
 * Rules are not read here (pipeline/rules_load.h does it): base knows no rules. */
struct config *config_load(const char *path, struct diagnostics *diagnostics);
/* The same from text in memory, for tests and fuzzing; `name` stands for the path. */
struct config *config_load_text(const char *text, size_t len_bytes, const char *name,
                                struct diagnostics *diagnostics);
/* NULL is fine. */
void config_destroy(struct config *config);

/* "syslog": static text. */
const char *config_protocol_name(enum config_protocol protocol);

/* The largest record of the native protocol: lanes.max_record, or less where commits are smaller
 * than its default needs. */
uint64_t config_max_record_bytes(const struct config *config);

/* Bytes of each commit that lanes may take beside storage.commit.bytes of records: 0 where no
 * listener speaks the native protocol. */
uint64_t config_lanes_bytes(const struct config *config);

bool config_has_protocol(const struct config *config, enum config_protocol protocol);

/* Index in config->topics, CONFIG_NO_TOPIC when there is none of that name. */
int32_t config_topic_find(const struct config *config, const char *name);

/* One line of the table that drives parsing and docs/configuration.md. */
struct config_key_facts {
    const char *path;  /* "storage.commit.linger", "ports[].device" */
    const char *type;  /* "size", "duration", "integer", "string", "section", ... */
    const char *least; /* smallest and largest value, as written in a file; "": no range */
    const char *most;
    const char *default_text; /* "-": required; "": none */
    const char *help;
};

size_t config_key_count(void);
const struct config_key_facts *config_key_at(size_t index);

END_C_DECLS
