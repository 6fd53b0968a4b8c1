/* stats_page.h - what a worker did, counted where it happened, readable by anyone at any time.
 *
 * Files    `stats-PPPP` (one a partition) and `node` (ports and the main core) in the runtime
 *          directory; made at the first start, kept and reused: they outlive a kill -9.
 * Threads  One writer (the worker; the main core for the node page), plain stores; readers may see
 *          a count some turns late. Residue under load is therefore bounded, not zero.
 * Meaning  Counters are lifetime totals of the log and never go back; gauges say what is now.
 * Ledger   STATS_COUNTERS' order is also that of the ENTRY_TOTALS entry in every commit: append
 *          only. */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/histogram.h"
#include "base/status.h"
#include "wire/log_format.h"
#include "wire/shared.h"

BEGIN_C_DECLS

/* X(name, group, help): `group` is how the ledger adds up:
 *   FRAMES      frames received; every one ends in exactly one PASSED, MALFORMED or FOREIGN
 *   FRAMES_LOST ... or was in hand when the process was killed
 *   RECORDS     records in; each ends as STORED, DROPPED or REFUSED, is in flight, or was LOST
 *   COPIES      entries written for a record beyond its first
 *   NOTE        told beside the ledger, not part of a sum
 * Prometheus names are derived from it (serve/metrics.c). */
#define STATS_COUNTERS(X)                                                                          \
    X(frames_received, FRAMES, "frames taken from the port")                                       \
    X(frames_lines, PASSED, "datagrams passed on to a lines listener")                             \
    X(frames_syslog, PASSED, "datagrams passed on to a syslog listener")                           \
    X(frames_arp, PASSED, "ARP frames handled")                                                    \
    X(frames_icmp_echo, PASSED, "pings to our address")                                            \
    X(frames_ethernet_truncated, MALFORMED, "shorter than an Ethernet header or VLAN tag")         \
    X(frames_arp_malformed, MALFORMED, "ARP that breaks RFC 826")                                  \
    X(frames_ipv4_truncated, MALFORMED, "IPv4 packet longer than its frame")                       \
    X(frames_ipv4_bad_version, MALFORMED, "IPv4 ethertype with another version inside")            \
    X(frames_ipv4_bad_header_length, MALFORMED, "IPv4 header length below 20 bytes")               \
    X(frames_ipv4_bad_total_length, MALFORMED, "IPv4 total length below its header")               \
    X(frames_ipv4_bad_checksum, MALFORMED, "IPv4 header checksum wrong")                           \
    X(frames_ipv4_bad_source, MALFORMED, "IPv4 source that no host can have")                      \
    X(frames_icmp_malformed, MALFORMED, "ICMP cut short or with a wrong checksum")                 \
    X(frames_udp_truncated, MALFORMED, "UDP datagram longer than its packet")                      \
    X(frames_udp_bad_length, MALFORMED, "UDP length below its header")                             \
    X(frames_udp_bad_checksum, MALFORMED, "UDP checksum wrong")                                    \
    X(frames_chained, MALFORMED, "longer than the configured mtu allows")                          \
    X(frames_other_mac, FOREIGN, "for another MAC address")                                        \
    X(frames_other_vlan, FOREIGN, "for another VLAN")                                              \
    X(frames_other_ethertype, FOREIGN, "neither IPv4 nor ARP")                                     \
    X(frames_ipv6, FOREIGN, "IPv6: not spoken yet")                                                \
    X(frames_other_ipv4, FOREIGN, "for another IPv4 address")                                      \
    X(frames_ipv4_fragment, FOREIGN, "IPv4 fragment: not reassembled yet")                         \
    X(frames_other_protocol, FOREIGN, "neither UDP nor ICMP")                                      \
    X(frames_icmp_other, FOREIGN, "ICMP other than an echo request")                               \
    X(frames_no_listener, FOREIGN, "UDP to a port that no listener has")                           \
    X(frames_received_bytes, NOTE, "bytes of the frames taken from the port")                      \
    X(frames_sent, NOTE, "ARP and ping answers handed to the port")                                \
    X(frames_empty_datagrams, NOTE, "datagrams to a listener that held no record")                 \
    X(frames_lost_at_crash, FRAMES_LOST, "frames in the turn that a kill interrupted")             \
    X(records_in, RECORDS, "records decoded")                                                      \
    X(records_stored, STORED, "records durable in at least one topic")                             \
    X(records_dropped_by_rule, DROPPED, "records that a drop rule or default took")                \
    X(records_refused_too_large, REFUSED, "records larger than a commit holds")                    \
    X(records_lost_at_crash, LOST, "records in memory when the process was killed")                \
    X(records_stored_copies, COPIES, "extra entries of records routed to several topics")          \
    X(records_in_bytes, NOTE, "key and value bytes of the records decoded")                        \
    X(records_stored_bytes, NOTE, "bytes of the RecordBatches that are durable")                   \
    X(syslog_rfc5424, NOTE, "syslog datagrams read as RFC 5424")                                   \
    X(syslog_rfc3164, NOTE, "syslog datagrams read as RFC 3164")                                   \
    X(syslog_no_priority, NOTE, "syslog datagrams without a valid priority, stored as they came")  \
    X(batches_stored, NOTE, "RecordBatches that are durable")                                      \
    X(commits_durable, NOTE, "commits that are durable")                                           \
    X(commits_durable_bytes, NOTE, "bytes of those commits, padding included")                     \
    X(commits_rewritten, NOTE, "commits written again after a write was refused")                  \
    X(segments_opened, NOTE, "segments opened")                                                    \
    X(segments_sealed, NOTE, "segments sealed with a footer")                                      \
    X(segments_failed, NOTE, "segments given up after a write was refused")                        \
    X(segments_starved, NOTE, "times the next segment was not ready")                              \
    X(log_write_errors, NOTE, "writes that the disk refused")                                      \
    X(worker_turns_busy, NOTE, "turns that did some work")                                         \
    X(worker_turns_empty, NOTE, "turns that found nothing to do")                                  \
    X(worker_turns_held, NOTE, "turns that took no frames because commits were behind")            \
    X(worker_cycles_busy, NOTE, "TSC cycles in busy turns")                                        \
    X(worker_cycles_empty, NOTE, "TSC cycles in empty turns")                                      \
    X(worker_cycles_receive, NOTE, "TSC cycles: receive stage, busy turns")                        \
    X(worker_cycles_decode, NOTE, "TSC cycles: decode stage, busy turns")                          \
    X(worker_cycles_rules, NOTE, "TSC cycles: rules stage, busy turns")                            \
    X(worker_cycles_append, NOTE, "TSC cycles: append stage, busy turns")                          \
    X(worker_cycles_commit, NOTE, "TSC cycles: commit stage (gather and submit), busy turns")      \
    X(worker_cycles_reap, NOTE, "TSC cycles: reap stage, busy turns")                              \
    X(worker_cycles_transmit, NOTE, "TSC cycles: transmit and timers, busy turns")                 \
    X(disk_enter_calls, NOTE, "io_uring_enter calls")                                              \
    X(disk_enter_cycles, NOTE, "TSC cycles inside io_uring_enter")                                 \
    X(worker_sleeps, NOTE, "times an idle adaptive worker slept")                                  \
    X(frames_native, PASSED, "native datagrams that hold together")                                \
    X(frames_native_truncated, MALFORMED, "native datagrams shorter than their table")             \
    X(frames_native_bad_checksum, MALFORMED, "native datagrams with a wrong trailer")              \
    X(frames_native_other_version, MALFORMED, "native datagrams of a version not spoken here")     \
    X(frames_native_sealed, MALFORMED, "native datagrams of a security mode not spoken here")      \
    X(frames_native_unknown_type, MALFORMED, "native datagrams of an unknown type")                \
    X(frames_native_malformed, MALFORMED, "native datagrams with a field that cannot be")          \
    X(records_duplicate, DUPLICATE, "native records that had their fate already")                  \
    X(records_refused_no_topic, REFUSED, "native records for a topic that is not there")           \
    X(records_refused_malformed, REFUSED, "native records whose bytes are no record")              \
    X(native_hellos, NOTE, "HELLOs answered")                                                      \
    X(native_opens, NOTE, "OPENs")                                                                 \
    X(native_opens_put_off, NOTE, "OPENs left for the producer to repeat: no room in the commit")  \
    X(native_accepts, NOTE, "ACCEPTs sent")                                                        \
    X(native_rejects, NOTE, "REJECTs sent")                                                        \
    X(native_redirects, NOTE, "OPENs sent to the lane's home")                                     \
    X(native_takeovers_refused, NOTE, "OPENs of a lane that somebody else has")                    \
    X(native_lanes_full, NOTE, "OPENs refused because lanes.max lanes are remembered")             \
    X(native_unknown_session, NOTE, "datagrams of a session that is not known here")               \
    X(native_misdirected, NOTE, "datagrams that only an appliance sends")                          \
    X(native_unanswerable, NOTE, "native datagrams from where nobody can be answered")             \
    X(native_packets_repeated, NOTE, "packet numbers that came again, or far too late")            \
    X(native_records_malformed, NOTE, "DATA whose records do not fill it")                         \
    X(native_ahead_kept, NOTE, "datagrams that waited for a gap to fill")                          \
    X(native_ahead_dropped, NOTE, "datagrams ahead of a gap, dropped for want of room")            \
    X(native_over_share, NOTE, "datagrams dropped because their lane had its share")               \
    X(native_fragments, NOTE, "FRAGMENTs of known sessions")                                       \
    X(native_acks, NOTE, "ACKs sent")                                                              \
    X(native_sequences_lost, NOTE, "sequences skipped because one side no longer has them")        \
    X(sessions_timed_out, NOTE, "sessions that ended in silence")                                  \
    X(lanes_begun, NOTE, "lanes begun")                                                            \
    X(lanes_forgotten, NOTE, "lanes forgotten after lanes.remember")                               \
    X(lanes_imported, NOTE, "lanes taken over from a partition without a worker")                  \
    X(worker_cycles_acknowledge, NOTE, "TSC cycles: acknowledge stage, busy turns")                \
    X(native_fates_given_up, NOTE, "lanes whose fates were given up for want of a confirmation")   \
    X(recovery_ranges_fenced, NOTE, "damaged ranges that the last start fenced off")               \
    X(recovery_bytes_fenced, NOTE, "bytes in them")                                                \
    X(recovery_records_lost, NOTE, "durable records in them, as far as commits around tell")       \
    X(recovery_tails_cut, NOTE, "ends of the log that the last start cut: maybe acknowledged")     \
    X(recovery_bytes_cut, NOTE, "bytes that were written there")                                   \
    X(recovery_offsets_skipped, NOTE, "offsets of every topic that the last start skipped")        \
    X(log_writes_late, NOTE, "segments given up because a write was out for 30 s")                 \
    X(batches_compressed, NOTE, "RecordBatches that were compressed")                              \
    X(batches_plain_no_time, NOTE, "meant to be compressed, and stored plain: no time was left")   \
    X(batches_plain_no_gain, NOTE, "meant to be compressed, and stored plain: none smaller")       \
    X(compression_in_bytes, NOTE, "bytes of records that were compressed")                         \
    X(compression_out_bytes, NOTE, "bytes that they became")                                       \
    X(compression_cycles, NOTE, "TSC cycles of compressing, in vain too")                          \
    X(records_sampled_out, DROPPED, "records that a keep rule did not keep")                       \
    X(records_rate_limited, DROPPED, "records over a rule's rate limit")                           \
    X(rules_storms, NOTE, "records with so many matches that no rule decided")                     \
    X(rules_swaps, NOTE, "times that another rule set was taken")

enum stats_group {
    STATS_GROUP_FRAMES,
    STATS_GROUP_PASSED,
    STATS_GROUP_MALFORMED,
    STATS_GROUP_FOREIGN,
    STATS_GROUP_FRAMES_LOST,
    STATS_GROUP_RECORDS,
    STATS_GROUP_STORED,
    STATS_GROUP_DROPPED,
    STATS_GROUP_REFUSED,
    STATS_GROUP_DUPLICATE,
    STATS_GROUP_LOST,
    STATS_GROUP_COPIES,
    STATS_GROUP_NOTE,
    STATS_GROUP_COUNT,
};

enum stats_counter {
#define X(name, group, help) STATS_##name,
    STATS_COUNTERS(X)
#undef X
        STATS_COUNTER_COUNT,
};

struct stats_counter_facts {
    const char *name; /* "frames_udp_bad_checksum" */
    enum stats_group group;
    const char *help;
};

/* One a counter, in enum order. */
extern const struct stats_counter_facts stats_counter_facts[STATS_COUNTER_COUNT];

enum { STATS_COUNTERS_ROOM = 256 }; /* the page's layout does not move when counters are added */
static_assert((int)STATS_COUNTER_COUNT <= (int)STATS_COUNTERS_ROOM,
              "enlarge the page, raise SHARED_VERSION");

struct stats_page {
    uint8_t magic[8]; /* "PENSTSTA" */
    uint32_t version; /* SHARED_VERSION */
    uint32_t partition;
    struct log_id log_id;
    uint64_t incarnation; /* of the last writer */
    uint64_t cycles_per_second;
    uint32_t core;          /* CPU number of the worker */
    uint32_t counter_count; /* what the writer knew */
    uint8_t padding_fixed[CACHE_PAIR_BYTES - 56];

    uint64_t counters[STATS_COUNTERS_ROOM]; /* [enum stats_counter] */

    /* Gauges. In flight: decoded, neither dropped nor refused, not yet durable. */
    uint64_t records_in_flight;
    uint64_t commits_in_flight;
    uint64_t buffers_free; /* mbufs left in the pool */
    uint64_t heartbeat_ns; /* CLOCK_MONOTONIC of a recent turn, every millisecond or so */
    uint64_t lanes_known;
    uint64_t sessions_live;
    uint64_t lane_credit_bytes; /* of one lane, as the newest ACKs say */

    struct histogram receive_to_durable; /* a record: from its burst to its commit's durability */
    struct histogram disk_enter;         /* one io_uring_enter */
};

enum { NODE_PORTS_MAX = 16 };

struct node_port {
    char name[128]; /* the configuration's device string (the first of a list) */
    char driver[32];
    uint32_t loss_known; /* 0: the driver cannot tell what it lost */
    uint32_t link_up;
    uint32_t rss;
    uint32_t checksum_offload;
    uint64_t received_frames; /* lifetime of the port, not of the log: since start */
    uint64_t missed_frames;
    uint64_t no_buffer_frames;
    uint64_t error_frames;
    uint64_t sent_frames;
    uint64_t send_dropped_frames;
    /* Of earlier incarnations, so that losses never vanish from the ledger at a restart. */
    uint64_t earlier_lost_frames;
};

enum node_durability { /* storage.durability, as it was decided */
                       NODE_DURABILITY_UNKNOWN,
                       NODE_DURABILITY_DSYNC,
                       NODE_DURABILITY_FDATASYNC,
};

enum { NODE_PATHS_MAX = 64, NODE_PATH_TEXT_BYTES = 104 };

#define NODE_SECONDS_NEVER UINT64_MAX

/* A storage path, as retention saw it within the last second or two. */
struct node_path {
    char path[NODE_PATH_TEXT_BYTES]; /* cut where it is longer */
    uint64_t free_bytes;             /* of its file system */
    uint64_t full_seconds;           /* until ingest closes there; NODE_SECONDS_NEVER */
    uint64_t trim_seconds;           /* until retention begins to take its segments */
    uint64_t write_bytes_per_s;      /* of its logs, smoothed over a minute */
    uint32_t used;                   /* 0: nothing is known of it yet */
    uint32_t low;                    /* 1: less than storage.retain.free is free */
};

struct node_page {
    uint8_t magic[8]; /* "PENSTNOD" */
    uint32_t version; /* SHARED_VERSION */
    uint32_t port_count;
    uint64_t incarnation;
    uint32_t hugepages;
    uint32_t polling_adaptive;
    uint64_t memory_bytes;
    uint64_t rules_epoch;
    uint64_t rule_count;
    uint64_t restarts_after_crash; /* starts that found no orderly stop before them */
    uint64_t notes_lost;
    uint64_t entries_expired; /* records removed by retention */
    uint64_t segments_expired;
    uint64_t expired_bytes;
    struct node_port ports[NODE_PORTS_MAX];
    uint32_t durability; /* enum node_durability */
    uint32_t reserved;
    uint64_t iowq_threads;        /* threads that the kernel keeps for our disks: now */
    uint64_t iowq_threads_astray; /* of them: may run, or ran last, on a worker's core */
    uint64_t iowq_sightings;      /* times that some were found astray: a fault */
    /* Appended: older readers do not look this far. */
    uint64_t entries_expired_in_place; /* of entries_expired: by their topic's own limits */
    uint64_t segments_expired_early;   /* of segments_expired: because a path ran low */
    uint64_t log_bytes;                /* files of all logs, spares and retired ones too */
    uint32_t path_count;
    uint32_t padding;
    struct node_path paths[NODE_PATHS_MAX];
    /* Of the rules in force: rules_epoch and rule_count above. */
    int64_t rules_loaded_wall_ms; /* their file was read then */
    uint64_t rules_reloads;       /* that put rules in force, since the start */
    uint64_t rules_reload_failures;
    uint32_t rules_stale;          /* 1: the last reload failed: not what the file says */
    uint32_t rules_workers_behind; /* workers that still judge by the rules before */
};

enum { STATS_NAME_BYTES = 32 };

/* "stats-0003"; the node's page is always "node". */
void stats_page_file_name(uint32_t partition, char out[STATS_NAME_BYTES]);
#define NODE_PAGE_FILE_NAME "node"

void stats_page_init(struct stats_page *page, uint32_t partition);
void node_page_init(struct node_page *page);

/* As live_index_check. */
MUST_CHECK enum status stats_page_check(const struct stats_page *page, size_t size_bytes);
MUST_CHECK enum status node_page_check(const struct node_page *page, size_t size_bytes);

/* "dsync" */
const char *node_durability_text(uint32_t durability);

/* The ledger of one page: both residues are 0 when quiescent. */
struct ledger {
    uint64_t groups[STATS_GROUP_COUNT]; /* sums */
    uint64_t records_in_flight;
    int64_t frames_residue;
    int64_t records_residue;
};

void ledger_of(const struct stats_page *page, struct ledger *out);
/* target += source, for a node's sum. */
void ledger_add(struct ledger *target, const struct ledger *source);

static inline void stats_add(struct stats_page *page, enum stats_counter counter, uint64_t by)
{
    page->counters[counter] += by;
}

END_C_DECLS
