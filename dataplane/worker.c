#include "dataplane/worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cycles.h"
#include "base/invariant.h"
#include "dataplane/open_commit.h"
#include "nic/neighbour.h"
#include "pipeline/decode.h"

enum {
    RECORDS_MAX = 512, /* decoded and not yet in the batch */
    HEADERS_MAX = PACKETS_BURST_MAX * RECORD_HEADERS_MAX,
    REPLIES_MAX = PACKETS_BURST_MAX,
    TIMER_PERIOD_NS = 1 * NS_PER_MS,
    NEIGHBOUR_PERIOD_NS = 100 * NS_PER_MS,
};

/* The frames of one receive call, and how far each stage got with them. */
struct burst {
    struct packet packets[PACKETS_BURST_MAX];
    size_t port; /* they came from */
    size_t count;
    size_t decoded; /* packets [0, decoded) are done with decoding */
    size_t settled; /* packets [0, settled) were released or are held */
    uint64_t used;  /* bit i: a record of packet i is in the batch */
    struct instant received;
    struct bytes lines; /* what is left of packet `decoded`, when its listener speaks lines */
    uint8_t lines_listener;
    bool in_lines;
};

struct reply {
    size_t port;
    void *handle;
    size_t len_bytes;
};

enum phase {
    PHASE_RUNNING,
    PHASE_DRAINING,  /* no more frames; what is here goes to the log */
    PHASE_FINISHING, /* the log is being sealed */
    PHASE_DONE,
};

struct worker {
    /* read-only after create */
    struct worker_port ports[CONFIG_PORTS_MAX];
    size_t port_count;
    const struct listeners *listeners;
    const struct rule_set *rules;
    struct rule_scratch *scratch;
    struct core_log *log;
    struct stats_page *stats;
    struct note_ring *notes;
    bool announces;

    /* one turn's time and finding */
    struct instant now;
    bool worked;
    uint64_t stage_began; /* cycles */

    enum phase phase;
    size_t next_port;
    struct burst burst;

    struct record records[RECORDS_MAX];
    struct verdict verdicts[RECORDS_MAX];
    uint8_t packet_of[RECORDS_MAX]; /* index in the burst */
    size_t record_count;
    size_t judged_count;
    size_t appended_count;
    struct record_header headers[HEADERS_MAX];
    size_t header_count;

    struct open_commit commit;

    struct neighbour neighbours[CONFIG_PORTS_MAX];
    struct reply replies[REPLIES_MAX];
    size_t reply_count;
    uint64_t timer_ns;
    uint64_t neighbour_ns;

    _Alignas(CACHE_PAIR_BYTES) atomic_bool stop_requested;
};

/* Where a frame that is not a listener's ends; FRAME_UDP is counted by its listener. */
static const enum stats_counter frame_counters[FRAME_RESULT_COUNT] = {
    [FRAME_UDP] = STATS_frames_no_listener,
    [FRAME_ARP] = STATS_frames_arp,
    [FRAME_ICMP_ECHO] = STATS_frames_icmp_echo,
    [FRAME_ETHERNET_TRUNCATED] = STATS_frames_ethernet_truncated,
    [FRAME_ARP_MALFORMED] = STATS_frames_arp_malformed,
    [FRAME_IPV4_TRUNCATED] = STATS_frames_ipv4_truncated,
    [FRAME_IPV4_BAD_VERSION] = STATS_frames_ipv4_bad_version,
    [FRAME_IPV4_BAD_HEADER_LENGTH] = STATS_frames_ipv4_bad_header_length,
    [FRAME_IPV4_BAD_TOTAL_LENGTH] = STATS_frames_ipv4_bad_total_length,
    [FRAME_IPV4_BAD_CHECKSUM] = STATS_frames_ipv4_bad_checksum,
    [FRAME_IPV4_BAD_SOURCE] = STATS_frames_ipv4_bad_source,
    [FRAME_ICMP_MALFORMED] = STATS_frames_icmp_malformed,
    [FRAME_UDP_TRUNCATED] = STATS_frames_udp_truncated,
    [FRAME_UDP_BAD_LENGTH] = STATS_frames_udp_bad_length,
    [FRAME_UDP_BAD_CHECKSUM] = STATS_frames_udp_bad_checksum,
    [FRAME_CHAINED] = STATS_frames_chained,
    [FRAME_OTHER_MAC] = STATS_frames_other_mac,
    [FRAME_OTHER_VLAN] = STATS_frames_other_vlan,
    [FRAME_OTHER_ETHERTYPE] = STATS_frames_other_ethertype,
    [FRAME_IPV6] = STATS_frames_ipv6,
    [FRAME_OTHER_IPV4] = STATS_frames_other_ipv4,
    [FRAME_IPV4_FRAGMENT] = STATS_frames_ipv4_fragment,
    [FRAME_OTHER_PROTOCOL] = STATS_frames_other_protocol,
    [FRAME_ICMP_OTHER] = STATS_frames_icmp_other,
};

static const enum stats_counter syslog_counters[SYSLOG_RESULT_COUNT] = {
    [SYSLOG_RFC5424] = STATS_syslog_rfc5424,
    [SYSLOG_RFC3164] = STATS_syslog_rfc3164,
    [SYSLOG_NO_PRIORITY] = STATS_syslog_no_priority,
    [SYSLOG_EMPTY] = STATS_frames_empty_datagrams,
};

static void count(struct worker *worker, enum stats_counter counter, uint64_t by)
{
    stats_add(worker->stats, counter, by);
}

/* Books the cycles since the last stage ended to `counter`. */
static void stage_end(struct worker *worker, enum stats_counter counter)
{
    const uint64_t now = cycles_now();
    count(worker, counter, now - worker->stage_began);
    worker->stage_began = now;
}

/* ---------------------------------------------------------------------------------- receive */

static bool burst_is_spent(const struct worker *worker)
{
    return worker->burst.decoded == worker->burst.count &&
           worker->appended_count == worker->record_count;
}

static void worker_receive(struct worker *worker)
{
    struct burst *const burst = &worker->burst;
    if (worker->phase != PHASE_RUNNING) { return; }
    if (!burst_is_spent(worker)) {
        if (worker->commit.full) { count(worker, STATS_worker_turns_held, 1); }
        return;
    }
    assert_hot(burst->settled == burst->count);

    const size_t port = worker->next_port;
    worker->next_port = port + 1 == worker->port_count ? 0 : port + 1;

    burst->count = packets_receive(worker->ports[port].packets, burst->packets, PACKETS_BURST_MAX);
    burst->port = port;
    burst->decoded = 0;
    burst->settled = 0;
    burst->used = 0;
    burst->in_lines = false;
    burst->received = worker->now;
    if (burst->count == 0) { return; }

    worker->worked = true;
    uint64_t bytes = 0;
    for (size_t i = 0; i < burst->count; i++) { bytes += burst->packets[i].frame.len_bytes; }
    count(worker, STATS_frames_received, burst->count);
    count(worker, STATS_frames_received_bytes, bytes);
}

/* ----------------------------------------------------------------------------------- decode */

static struct record *record_push(struct worker *worker, uint8_t listener)
{
    struct record *const record = &worker->records[worker->record_count];
    worker->packet_of[worker->record_count] = (uint8_t)worker->burst.decoded;
    worker->record_count++;
    record->timestamp_ms = worker->burst.received.wall_ms;
    record->listener = listener;
    return record;
}

/* Lines of the packet in work, as many as there is room for; true when it has no more. */
static bool decode_lines_of_packet(struct worker *worker)
{
    struct burst *const burst = &worker->burst;
    struct bytes line;
    uint64_t bytes = 0;
    const size_t first = worker->record_count;
    while (worker->record_count < RECORDS_MAX && decode_line(&burst->lines, &line)) {
        struct record *const record = record_push(worker, burst->lines_listener);
        record->key = bytes_null();
        record->value = line;
        record->headers = NULL;
        record->header_count = 0;
        bytes += line.len_bytes;
    }
    count(worker, STATS_records_in, worker->record_count - first);
    count(worker, STATS_records_in_bytes, bytes);
    worker->stats->records_in_flight += worker->record_count - first;
    return burst->lines.len_bytes == 0;
}

static void decode_syslog_packet(struct worker *worker, struct bytes payload, uint8_t listener)
{
    const enum syslog_value value =
        worker->listeners->items[listener].syslog_value == CONFIG_SYSLOG_PARSED
            ? SYSLOG_VALUE_PARSED
            : SYSLOG_VALUE_RAW;
    struct record *const record = &worker->records[worker->record_count];
    const enum syslog_result result =
        decode_syslog(payload, value, worker->headers + worker->header_count, record);
    count(worker, syslog_counters[result], 1);
    if (result == SYSLOG_EMPTY) { return; }

    (void)record_push(worker, listener);
    record->key = bytes_null();
    worker->header_count += record->header_count;
    count(worker, STATS_records_in, 1);
    count(worker, STATS_records_in_bytes, record->value.len_bytes);
    worker->stats->records_in_flight++;
}

/* An ARP frame or a ping: the answer is queued, and sent by worker_transmit. */
static void decode_neighbour(struct worker *worker, const struct packet *packet,
                             enum frame_result kind)
{
    const size_t port = worker->burst.port;
    struct packet_room room;
    if (worker->reply_count == REPLIES_MAX) { return; }
    if (!packets_reserve(worker->ports[port].packets, &room)) { return; }

    const size_t len_bytes = neighbour_receive(&worker->neighbours[port], packet, kind,
                                               worker->now.mono_ns, room.at, room.capacity_bytes);
    if (len_bytes == 0) {
        packets_release(worker->ports[port].packets, &room.handle, 1);
        return;
    }
    worker->replies[worker->reply_count++] = (struct reply){port, room.handle, len_bytes};
}

/* One packet, from its frame on; true when it is done with. */
static bool decode_packet(struct worker *worker, const struct packet *packet)
{
    struct burst *const burst = &worker->burst;
    if (burst->in_lines) { return decode_lines_of_packet(worker); }

    struct datagram datagram;
    const enum frame_result result =
        frame_parse(worker->ports[burst->port].interface, packet, &datagram);
    if (result != FRAME_UDP) {
        count(worker, frame_counters[result], 1);
        if (result == FRAME_ARP || result == FRAME_ICMP_ECHO) {
            decode_neighbour(worker, packet, result);
        }
        return true;
    }

    const uint8_t listener = worker->listeners->by_port[datagram.target_port];
    if (listener == LISTENER_NONE) {
        count(worker, STATS_frames_no_listener, 1);
        return true;
    }
    if (worker->listeners->items[listener].protocol == CONFIG_PROTOCOL_SYSLOG) {
        count(worker, STATS_frames_syslog, 1);
        decode_syslog_packet(worker, datagram.payload, listener);
        return true;
    }

    count(worker, STATS_frames_lines, 1);
    if (datagram.payload.len_bytes == 0) { count(worker, STATS_frames_empty_datagrams, 1); }
    burst->lines = datagram.payload;
    burst->lines_listener = listener;
    burst->in_lines = true;
    return decode_lines_of_packet(worker);
}

/* Fills the record array from the burst; what finds no room waits there for the next turn. */
static void worker_decode(struct worker *worker)
{
    struct burst *const burst = &worker->burst;
    if (worker->appended_count < worker->record_count) { return; } /* still full */
    worker->record_count = 0;
    worker->judged_count = 0;
    worker->appended_count = 0;
    worker->header_count = 0;

    while (burst->decoded < burst->count) {
        if (worker->record_count == RECORDS_MAX) { return; }
        if (worker->header_count > HEADERS_MAX - RECORD_HEADERS_MAX) { return; }
        if (!decode_packet(worker, &burst->packets[burst->decoded])) { return; }
        burst->in_lines = false;
        burst->decoded++;
    }
}

/* ------------------------------------------------------------------------------------ rules */

static void worker_rules(struct worker *worker)
{
    const size_t first = worker->judged_count;
    if (first == worker->record_count) { return; }
    rules_judge(worker->rules, worker->scratch, worker->records + first,
                worker->record_count - first, worker->verdicts + first);
    worker->judged_count = worker->record_count;
}

/* ----------------------------------------------------------------------------------- append */

/* False when the log cannot take it yet. */
static bool close_commit(struct worker *worker)
{
    const bool closed =
        open_commit_close(&worker->commit, rule_set_epoch(worker->rules), worker->now);
    if (closed) { worker->worked = true; }
    return closed;
}

COLD static void refuse_too_large(struct worker *worker, const struct record *record)
{
    count(worker, STATS_records_refused_too_large, 1);
    worker->stats->records_in_flight--;
    note_post(worker->notes, NOTE_RECORD_TOO_LARGE, STATUS_INVALID, record->value.len_bytes,
              record->listener);
}

/* One judged record into the batch; false when the batch must be gathered first. */
static bool append_record(struct worker *worker, size_t index)
{
    const struct record *const record = &worker->records[index];
    const struct verdict *const verdict = &worker->verdicts[index];
    if (verdict->drop) {
        count(worker, STATS_records_dropped_by_rule, 1);
        worker->stats->records_in_flight--;
        return true;
    }

    const enum status status =
        open_commit_add(&worker->commit, record, verdict, worker->burst.received.mono_ns);
    if (status == STATUS_FULL) { return false; }
    if (status != STATUS_OK) {
        refuse_too_large(worker, record);
        return true;
    }
    worker->burst.used |= UINT64_C(1) << worker->packet_of[index];
    return true;
}

/* Frames whose records are all in the batch are kept until it is gathered; the others go back. */
static void settle_frames(struct worker *worker)
{
    struct burst *const burst = &worker->burst;
    const bool keep = !open_commit_is_empty(&worker->commit);
    void *spent[PACKETS_BURST_MAX];
    size_t spent_count = 0;
    for (; burst->settled < burst->decoded; burst->settled++) {
        void *const handle = burst->packets[burst->settled].handle;
        const bool used = (burst->used >> burst->settled) & 1;
        if (used && keep) {
            open_commit_hold(&worker->commit, burst->port, handle);
        } else {
            spent[spent_count++] = handle;
        }
    }
    if (spent_count > 0) {
        packets_release(worker->ports[burst->port].packets, spent, spent_count);
    }
}

static void worker_append(struct worker *worker)
{
    while (worker->appended_count < worker->judged_count) {
        if (append_record(worker, worker->appended_count)) {
            worker->appended_count++;
            continue;
        }
        if (!close_commit(worker)) { return; } /* commits are behind: try again next turn */
    }
    settle_frames(worker);
}

/* ------------------------------------------------------------------------ commit and reap */

static void worker_commit(struct worker *worker)
{
    const bool last = worker->phase != PHASE_RUNNING && !open_commit_is_empty(&worker->commit);
    if (last || open_commit_is_due(&worker->commit, worker->now.mono_ns)) {
        (void)close_commit(worker); /* not yet: the next turn asks again */
    }
}

static void worker_reap(struct worker *worker)
{
    const uint64_t durable = core_log_turn(worker->log, worker->now);
    if (open_commit_reap(&worker->commit, durable, worker->now.mono_ns,
                         &worker->stats->receive_to_durable)) {
        worker->worked = true;
    }
}

/* ---------------------------------------------------------------------- transmit and timers */

static void worker_transmit(struct worker *worker)
{
    for (size_t i = 0; i < worker->reply_count; i++) { /* rare: one by one is fine */
        const struct reply *const reply = &worker->replies[i];
        packets_transmit(worker->ports[reply->port].packets, &reply->handle, &reply->len_bytes, 1);
    }
    count(worker, STATS_frames_sent, worker->reply_count);
    worker->reply_count = 0;
}

static void neighbours_tick(struct worker *worker)
{
    for (size_t port = 0; port < worker->port_count; port++) {
        while (worker->reply_count < REPLIES_MAX) {
            struct packet_room room;
            if (!packets_reserve(worker->ports[port].packets, &room)) { break; }
            const size_t len_bytes = neighbour_tick(&worker->neighbours[port], worker->now.mono_ns,
                                                    room.at, room.capacity_bytes);
            if (len_bytes == 0) {
                packets_release(worker->ports[port].packets, &room.handle, 1);
                break;
            }
            worker->replies[worker->reply_count++] = (struct reply){port, room.handle, len_bytes};
        }
    }
}

static void publish_gauges(struct worker *worker)
{
    struct stats_page *const stats = worker->stats;
    stats->heartbeat_ns = worker->now.mono_ns;
    stats->commits_in_flight = core_log_in_flight(worker->log);
    uint64_t buffers = 0;
    for (size_t port = 0; port < worker->port_count; port++) {
        buffers += packets_buffers_free(worker->ports[port].packets);
    }
    stats->buffers_free = buffers;
}

static void advance_phase(struct worker *worker)
{
    if (worker->phase == PHASE_RUNNING &&
        atomic_load_explicit(&worker->stop_requested, memory_order_relaxed)) {
        worker->phase = PHASE_DRAINING;
    }
    if (worker->phase == PHASE_DRAINING && burst_is_spent(worker) &&
        open_commit_is_empty(&worker->commit)) {
        core_log_finish(worker->log);
        worker->phase = PHASE_FINISHING;
    }
    const bool closed = core_log_closed_why(worker->log) != STATUS_OK;
    if (worker->phase == PHASE_FINISHING && core_log_is_finished(worker->log)) {
        worker->phase = PHASE_DONE;
    }
    /* A log that refuses writes cannot be finished: the records stay unacknowledged, and counted.
     */
    if (closed && (worker->phase == PHASE_DRAINING || worker->phase == PHASE_FINISHING)) {
        worker->phase = PHASE_DONE;
    }
}

static void worker_timers(struct worker *worker)
{
    if (worker->now.mono_ns - worker->timer_ns < TIMER_PERIOD_NS) { return; }
    worker->timer_ns = worker->now.mono_ns;
    publish_gauges(worker);
    advance_phase(worker);
    if (worker->announces && worker->now.mono_ns - worker->neighbour_ns >= NEIGHBOUR_PERIOD_NS) {
        worker->neighbour_ns = worker->now.mono_ns;
        neighbours_tick(worker);
    }
}

/* ------------------------------------------------------------------------------- the wheel */

bool worker_turn(struct worker *worker, struct instant now)
{
    const uint64_t began = cycles_now();
    worker->now = now;
    worker->worked = false;
    worker->stage_began = began;

    worker_receive(worker); /* one burst; none while commits are behind */
    /* While a full batch waits for the log there is nothing that these stages could do. */
    if (!burst_is_spent(worker) && !worker->commit.full) {
        worker->worked = true; /* a burst of many records takes more than one turn */
        stage_end(worker, STATS_worker_cycles_receive);
        worker_decode(worker); /* packet bytes to records, in place */
        stage_end(worker, STATS_worker_cycles_decode);
        worker_rules(worker); /* Hyperscan: keep, drop, route where */
        stage_end(worker, STATS_worker_cycles_rules);
        worker_append(worker); /* records into the open batch */
        stage_end(worker, STATS_worker_cycles_append);
    }
    worker_commit(worker); /* a full or old batch to the log */
    if (worker->worked) { stage_end(worker, STATS_worker_cycles_commit); }
    worker_reap(worker); /* durable: the watermark moves */
    if (worker->worked) { stage_end(worker, STATS_worker_cycles_reap); }
    worker_timers(worker); /* a bounded slice of slow work */
    worker_transmit(worker);
    if (worker->worked) { stage_end(worker, STATS_worker_cycles_transmit); }

    const uint64_t spent = cycles_now() - began;
    count(worker, worker->worked ? STATS_worker_turns_busy : STATS_worker_turns_empty, 1);
    count(worker, worker->worked ? STATS_worker_cycles_busy : STATS_worker_cycles_empty, spent);
    return worker->worked;
}

void worker_request_stop(struct worker *worker)
{
    atomic_store_explicit(&worker->stop_requested, true, memory_order_relaxed);
}

bool worker_is_done(const struct worker *worker) { return worker->phase == PHASE_DONE; }

/* ------------------------------------------------------------------------------ life cycle */

static enum status open_commit_of(struct worker *worker, const struct worker_options *options)
{
    struct packets ports[CONFIG_PORTS_MAX];
    for (size_t i = 0; i < options->port_count; i++) { ports[i] = options->ports[i].packets; }
    const struct open_commit_options commit = {
        .log = options->log,
        .log_topics = options->log_topics,
        .topic_count = options->topic_count,
        .ports = ports,
        .port_count = options->port_count,
        .frames_held_max = options->frames_held_max,
        .bytes_max = options->commit_bytes,
        .records_max = options->commit_records_max,
        .linger_ns = options->commit_linger_ns,
    };
    return open_commit_init(&worker->commit, &commit);
}

enum status worker_create(const struct worker_options *options, struct worker **out)
{
    assert(options->port_count > 0 && options->port_count <= CONFIG_PORTS_MAX);
    assert(options->topic_count > 0);
    assert(options->frames_held_max >= 2 * PACKETS_BURST_MAX);

    struct worker *const worker =
        aligned_alloc(CACHE_PAIR_BYTES, (sizeof *worker + CACHE_PAIR_BYTES - 1) / CACHE_PAIR_BYTES *
                                            CACHE_PAIR_BYTES);
    if (worker == NULL) { return STATUS_NO_MEMORY; }
    memset(worker, 0, sizeof *worker); /* touches every page now, not on the first packet */
    memcpy(worker->ports, options->ports, options->port_count * sizeof *options->ports);
    worker->port_count = options->port_count;
    worker->listeners = options->listeners;
    worker->rules = options->rules;
    worker->log = options->log;
    worker->stats = options->stats;
    worker->notes = options->notes;
    worker->announces = options->announces;
    for (size_t port = 0; port < options->port_count; port++) {
        neighbour_init(&worker->neighbours[port], options->ports[port].interface);
    }

    enum status status = open_commit_of(worker, options);
    if (status == STATUS_OK) { status = rule_scratch_create(options->rules, &worker->scratch); }
    if (status != STATUS_OK) {
        worker_destroy(worker);
        return status;
    }
    *out = worker;
    return STATUS_OK;
}

void worker_destroy(struct worker *worker)
{
    if (worker == NULL) { return; }
    struct burst *const burst = &worker->burst;
    for (; burst->settled < burst->count; burst->settled++) {
        packets_release(worker->ports[burst->port].packets, &burst->packets[burst->settled].handle,
                        1);
    }
    rule_scratch_destroy(worker->scratch);
    open_commit_deinit(&worker->commit);
    free(worker);
}
