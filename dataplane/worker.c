#include "dataplane/worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cycles.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "dataplane/open_commit.h"
#include "dataplane/outbox.h"
#include "dataplane/sessions.h"
#include "nic/neighbour.h"
#include "pipeline/decode.h"
#include "pipeline/decode_native.h"

enum {
    RECORDS_MAX = WORKER_RECORDS_MAX,
    HEADERS_MAX = PACKETS_BURST_MAX * RECORD_HEADERS_MAX,
    TIMER_PERIOD_NS = 1 * NS_PER_MS,
    NEIGHBOUR_PERIOD_NS = 100 * NS_PER_MS,
    FAREWELL_NS = 1 * NS_PER_S, /* for the CLOSEs of a worker that stops */
    UDP_OVERHEAD_BYTES = 28,    /* IPv4 and UDP headers */
    FRAME_HEAD_BYTES = 128,     /* headers down to DATA's */
    HEADS_AHEAD = 8,            /* frames: fetched before their turn … */
    SESSIONS_AHEAD = 4,         /* … and what their heads name */
    FRAGMENTS_MAX = 64,         /* records put together, in the open commit */
    NATIVE_TAKE_MAX = 64,       /* records taken out of a datagram at once */
};

/* The frames of one receive call, and how far each stage got with them. */
struct burst {
    struct packet packets[PACKETS_BURST_MAX];
    size_t port; /* they came from */
    size_t count;
    size_t decoded; /* packets [0, decoded) are done with decoding */
    size_t settled; /* packets [0, settled) were released or are held */
    uint64_t used;  /* bit i: a record of packet i is in the batch */
    uint64_t kept;  /* bit i: packet i waits for a gap of its lane to fill: it is ours no more */
    bool again;     /* packets that waited: counted when they came */
    struct instant received;
    struct bytes lines; /* what is left of packet `decoded`, when its listener speaks lines */
    uint8_t lines_listener;
    bool in_lines;
    struct session_records native; /* likewise, when it speaks the native protocol */
    uint8_t native_listener;
    bool in_native;
    uint8_t source[16]; /* of packet `decoded`, as records have it */
};

/* What a native record brought along; for others lane is LANE_NONE. */
struct origin {
    uint32_t lane;
    uint32_t digest;
    uint16_t fragment; /* the buffer that it lies in, or SESSION_FRAGMENT_NONE */
    uint8_t refused;   /* its fate if it was decided by the decoder, else NATIVE_STORED */
};

enum phase {
    PHASE_RUNNING,
    PHASE_DRAINING,  /* no more frames; what is here goes to the log */
    PHASE_FINISHING, /* the log is being sealed */
    PHASE_FAREWELL,  /* producers are told */
    PHASE_DONE,
};

struct worker {
    /* read-only after create */
    struct worker_port ports[CONFIG_PORTS_MAX];
    size_t port_count;
    const struct listeners *listeners;
    size_t index;
    struct rules_rcu *rules_rcu;      /* NULL: the same rules for good */
    struct rule_scratch *own_scratch; /* for these */
    struct rules_page_worker own_row; /* where there is no page of counts */
    struct core_log *log;
    struct stats_page *stats;
    struct note_ring *notes;
    struct sessions *sessions; /* NULL: no listener speaks the native protocol */
    struct lane_journal *journal;
    const struct topic_hashes *topic_hashes;
    uint32_t max_record_bytes;
    bool announces;

    /* what judges; a swap changes all of it between two records */
    const struct rule_set *rules;
    struct rule_scratch *scratch;
    uint64_t rules_number;               /* of the generation that they are of */
    struct rules_page_worker *rules_row; /* in that one's page of counts, or own_row */
    uint64_t rules_epoch;                /* of the commit that is open, too */
    uint64_t rules_storms;               /* that the scratch had counted */
    bool rules_let_go;                   /* the thread sleeps: they may be gone */

    /* one turn's time and finding */
    struct instant now;
    int64_t lane_clock_ms;
    bool worked;
    uint64_t stage_began; /* cycles */

    enum phase phase;
    size_t next_port;
    struct burst burst;

    struct record records[RECORDS_MAX];
    struct verdict verdicts[RECORDS_MAX];
    struct origin origins[RECORDS_MAX];
    uint8_t packet_of[RECORDS_MAX]; /* index in the burst */
    size_t record_count;
    size_t judged_count;
    size_t appended_count;
    struct record_header headers[HEADERS_MAX];
    size_t header_count;

    struct open_commit commit;
    struct lane_records fates;         /* of the last records, not in the journal yet */
    uint16_t fragments[FRAGMENTS_MAX]; /* that it holds */
    size_t fragment_count;

    struct neighbour neighbours[CONFIG_PORTS_MAX];
    struct outbox outbox;
    uint64_t farewell_ns;
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

/* Frames that waited until a gap before them filled come before new ones. */
static bool receive_again(struct worker *worker)
{
    struct burst *const burst = &worker->burst;
    if (worker->sessions == NULL) { return false; }
    burst->count = sessions_take_ready(worker->sessions, burst->packets, PACKETS_BURST_MAX,
                                       &burst->port, &burst->received);
    if (burst->count == 0) { return false; }
    burst->again = true;
    worker->worked = true;
    return true;
}

static void worker_receive(struct worker *worker)
{
    struct burst *const burst = &worker->burst;
    if (worker->phase != PHASE_RUNNING) { return; }
    if (worker->commit.full) {
        count(worker, STATS_worker_turns_held, 1);
        return;
    }
    if (!burst_is_spent(worker)) { return; }
    assert_hot(burst->settled == burst->count);

    burst->decoded = 0;
    burst->settled = 0;
    burst->used = 0;
    burst->kept = 0;
    burst->in_lines = false;
    burst->in_native = false;
    if (receive_again(worker)) { return; }

    const size_t port = worker->next_port;
    worker->next_port = port + 1 == worker->port_count ? 0 : port + 1;
    burst->count = packets_receive(worker->ports[port].packets, burst->packets, PACKETS_BURST_MAX);
    burst->port = port;
    burst->again = false;
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
    worker->origins[worker->record_count].lane = LANE_NONE;
    worker->record_count++;
    record->timestamp_ms = worker->burst.received.wall_ms;
    record->listener = listener;
    memcpy(record->source, worker->burst.source, sizeof record->source);
    record->topic = RECORD_NO_TOPIC;
    return record;
}

/* Lines of the packet in work, as many as there is room for; true when it has no more. */
static bool decode_lines_of_packet(struct worker *worker)
{
    struct burst *const burst = &worker->burst;
    struct bytes left = burst->lines;
    struct bytes line;
    uint64_t bytes = 0;
    const size_t first = worker->record_count;
    while (worker->record_count < RECORDS_MAX && decode_line(&left, &line)) {
        struct record *const record = record_push(worker, burst->lines_listener);
        record->key = bytes_null();
        record->value = bytes_of(line.at, line.len_bytes);
        record->headers = NULL;
        record->header_count = 0;
        bytes += line.len_bytes;
    }
    burst->lines = left;
    count(worker, STATS_records_in, worker->record_count - first);
    count(worker, STATS_records_in_bytes, bytes);
    worker->stats->records_in_flight += worker->record_count - first;
    return left.len_bytes == 0;
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
    if (!outbox_reserve(&worker->outbox, port, &room)) { return; }

    const size_t len_bytes = neighbour_receive(&worker->neighbours[port], packet, kind,
                                               worker->now.mono_ns, room.at, room.capacity_bytes);
    if (len_bytes == 0) {
        outbox_cancel(&worker->outbox, port, room.handle);
        return;
    }
    outbox_push(&worker->outbox, port, room.handle, len_bytes);
}

/* One native record into the array: what it is, and what decides its fate already. Answers its
 * bytes as the ledger counts them. */
static size_t decode_native_record(struct worker *worker, struct bytes bytes)
{
    const struct session_records *const records = &worker->burst.native;
    struct origin *const origin = &worker->origins[worker->record_count];
    struct record *const record = record_push(worker, worker->burst.native_listener);
    struct decoded_native facts;
    const bool good = decode_native(bytes, worker->headers + worker->header_count, record, &facts);
    worker->header_count += record->header_count;
    *origin = (struct origin){
        .lane = records->lane,
        .digest = facts.digest,
        .fragment = records->fragment,
        .refused = NATIVE_STORED,
    };
    if (records->too_large || bytes.len_bytes > worker->max_record_bytes) {
        origin->refused = NATIVE_TOO_LARGE;
    } else if (!good) {
        origin->refused = NATIVE_MALFORMED_RECORD;
    } else if (facts.has_topic) {
        record->topic = topic_hashes_find(worker->topic_hashes, facts.topic_hash);
        if (record->topic < 0) { origin->refused = NATIVE_NO_TOPIC; }
    }
    return record->key.len_bytes + record->value.len_bytes;
}

/* Records that there is room for, whatever headers they have. */
static size_t native_room(const struct worker *worker)
{
    const size_t records = RECORDS_MAX - worker->record_count;
    const size_t by_headers = (HEADERS_MAX - worker->header_count) / RECORD_HEADERS_MAX;
    const size_t room = records < by_headers ? records : by_headers;
    return room < NATIVE_TAKE_MAX ? room : NATIVE_TAKE_MAX;
}

/* As decode_lines_of_packet. */
static bool decode_native_of_packet(struct worker *worker)
{
    struct bytes taken[NATIVE_TAKE_MAX];
    for (;;) {
        const size_t room = native_room(worker);
        if (room == 0) { return false; }
        const size_t records =
            sessions_take_records(worker->sessions, &worker->burst.native, taken, room);
        uint64_t bytes = 0;
        for (size_t i = 0; i < records; i++) { bytes += decode_native_record(worker, taken[i]); }
        count(worker, STATS_records_in, records);
        count(worker, STATS_records_in_bytes, bytes);
        worker->stats->records_in_flight += records;
        if (records < room) { return true; }
    }
}

static bool decode_native_packet(struct worker *worker, const struct packet *packet,
                                 const struct datagram *datagram, uint8_t listener)
{
    struct burst *const burst = &worker->burst;
    const struct session_input input = {
        .packet = packet,
        .datagram = datagram,
        .port = burst->port,
        .received = burst->received,
        .again = burst->again,
    };
    switch (sessions_receive(worker->sessions, &input, &burst->native)) {
    case SESSION_DONE: return true;
    case SESSION_KEPT: burst->kept |= UINT64_C(1) << burst->decoded; return true;
    case SESSION_RECORDS: break;
    }
    burst->native_listener = listener;
    burst->in_native = true;
    return decode_native_of_packet(worker);
}

/* ::ffff:a.b.c.d, RFC 4291 2.5.5.2. */
static void source_of(const struct datagram *datagram, uint8_t out[16])
{
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    store_be32(out + 12, datagram->source_address);
}

/* One packet, from its frame on; true when it is done with. */
static bool decode_packet(struct worker *worker, const struct packet *packet)
{
    struct burst *const burst = &worker->burst;
    if (burst->in_lines) { return decode_lines_of_packet(worker); }
    if (burst->in_native) { return decode_native_of_packet(worker); }

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
    source_of(&datagram, burst->source);
    if (worker->listeners->items[listener].protocol == CONFIG_PROTOCOL_NATIVE) {
        return decode_native_packet(worker, packet, &datagram, listener);
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

/* Where the payload of a native datagram begins that has neither a tag nor IPv4 options. */
static struct bytes payload_guess(const struct worker *worker, const struct packet *packet)
{
    enum {
        HEADERS_BYTES = ETHERNET_HEADER_BYTES + UDP_OVERHEAD_BYTES,
        TARGET_PORT_AT = HEADERS_BYTES - 6,
    };
    if (packet->frame.len_bytes < HEADERS_BYTES) { return bytes_null(); }
    const uint8_t listener =
        worker->listeners->by_port[load_be16(packet->frame.at + TARGET_PORT_AT)];
    if (listener == LISTENER_NONE) { return bytes_null(); }
    if (worker->listeners->items[listener].protocol != CONFIG_PROTOCOL_NATIVE) {
        return bytes_null();
    }
    return bytes_slice(packet->frame, HEADERS_BYTES, packet->frame.len_bytes);
}

/* Before a frame's turn comes: its head, and when that is here, what its session keeps. A guess
 * that is wrong fetches some lines for nothing. */
static void expect_frames(const struct worker *worker)
{
    const struct burst *const burst = &worker->burst;
    const size_t head = burst->decoded + HEADS_AHEAD;
    const size_t session = burst->decoded + SESSIONS_AHEAD;
    if (head < burst->count) { prefetch(burst->packets[head].frame.at, FRAME_HEAD_BYTES); }
    if (session < burst->count) {
        sessions_expect(worker->sessions, payload_guess(worker, &burst->packets[session]));
    }
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
        if (worker->sessions != NULL) { expect_frames(worker); }
        if (!decode_packet(worker, &burst->packets[burst->decoded])) { return; }
        burst->in_lines = false;
        burst->in_native = false;
        burst->decoded++;
    }
}

/* ------------------------------------------------------------------------------------ rules */

static void worker_rules(struct worker *worker)
{
    const size_t first = worker->judged_count;
    if (first == worker->record_count) { return; }
    rules_page_count_judged(worker->rules_row, worker->record_count - first, worker->now.wall_ms);
    rules_judge(worker->rules, worker->scratch, worker->records + first,
                worker->record_count - first, worker->burst.received.mono_ns,
                worker->verdicts + first);
    worker->judged_count = worker->record_count;
    const uint64_t storms = rule_scratch_totals(worker->scratch).storms;
    count(worker, STATS_rules_storms, storms - worker->rules_storms);
    worker->rules_storms = storms;
}

/* ----------------------------------------------------------------------------------- append */

static void commit_is_closed(struct worker *worker)
{
    worker->worked = true;
    for (size_t i = 0; i < worker->fragment_count; i++) {
        sessions_fragment_done(worker->sessions, worker->fragments[i]);
    }
    worker->fragment_count = 0;
    if (worker->sessions != NULL) { sessions_commit_closed(worker->sessions); }
}

/* False when the log cannot take it yet, or it had better grow meanwhile. */
static bool close_commit(struct worker *worker)
{
    if (!open_commit_close(&worker->commit, worker->rules_epoch, worker->now)) { return false; }
    commit_is_closed(worker);
    return true;
}

/* The same for one that must not grow any more. */
static bool close_commit_now(struct worker *worker)
{
    if (!open_commit_close_now(&worker->commit, worker->rules_epoch, worker->now)) { return false; }
    commit_is_closed(worker);
    return true;
}

COLD static void refuse_too_large(struct worker *worker, const struct record *record)
{
    count(worker, STATS_records_refused_too_large, 1);
    worker->stats->records_in_flight--;
    note_post(worker->notes, NOTE_RECORD_TOO_LARGE, STATUS_INVALID, record->value.len_bytes,
              record->listener);
}

static const struct lane_place nowhere = {LOG_NO_TOPIC, 0};

/* Fates of records in a row go into the lane's part of the commit at once. */
static void flush_fates(struct worker *worker)
{
    if (worker->fates.count == 0) { return; }
    const bool noted = lane_journal_records(worker->journal, &worker->fates, worker->lane_clock_ms);
    assert(noted); /* sessions take no more than there is room for */
    (void)noted;
    worker->fates.count = 0;
}

/* Room in the journal for one more record with this fate: it goes on where the last one ended, or
 * there is room for a run of its own. */
static bool fate_has_room(struct worker *worker, uint32_t lane, uint8_t fate,
                          struct lane_place place)
{
    const struct lane_records *const fates = &worker->fates;
    const bool beside = place.topic == fates->place.topic && /* no line came between them */
                        (fate != NATIVE_STORED || place.index == fates->place.index + fates->count);
    if (fates->count > 0 && fates->lane == lane && fates->fate == fate && beside) { return true; }
    flush_fates(worker);
    return lane_journal_has_room(worker->journal);
}

/* The fate of a native record that fate_has_room said yes to; what it lies in is kept or given
 * back. */
static void note_fate(struct worker *worker, const struct origin *origin, uint8_t fate,
                      struct lane_place place)
{
    if (worker->fates.count == 0) {
        worker->fates =
            (struct lane_records){.lane = origin->lane, .fate = fate, .place = place, .factor = 1};
    }
    assert_hot(fate != NATIVE_STORED ||
               place.index == worker->fates.place.index + worker->fates.count);
    lane_records_extend(&worker->fates, fate == NATIVE_TOO_LARGE ? 0 : origin->digest);
    if (origin->fragment == SESSION_FRAGMENT_NONE) { return; }
    if (fate == NATIVE_STORED) {
        assert(worker->fragment_count < FRAGMENTS_MAX);
        worker->fragments[worker->fragment_count++] = origin->fragment;
    } else {
        sessions_fragment_done(worker->sessions, origin->fragment);
    }
}

static const enum stats_counter drop_counters[] = {
    [VERDICT_DROP] = STATS_records_dropped_by_rule,
    [VERDICT_SAMPLED_OUT] = STATS_records_sampled_out,
    [VERDICT_LIMITED] = STATS_records_rate_limited,
};

static enum stats_counter refusal_counter(uint8_t fate)
{
    switch (fate) {
    case NATIVE_TOO_LARGE: return STATS_records_refused_too_large;
    case NATIVE_NO_TOPIC: return STATS_records_refused_no_topic;
    default: return STATS_records_refused_malformed;
    }
}

/* As append_record, for one that a lane sent. */
static bool append_native(struct worker *worker, size_t index)
{
    const struct origin *const origin = &worker->origins[index];
    const struct verdict *const verdict = &worker->verdicts[index];
    uint8_t fate = origin->refused;
    if (fate == NATIVE_STORED && verdict->fate != VERDICT_STORE) { fate = NATIVE_DROPPED; }
    struct lane_place place = nowhere;
    if (fate == NATIVE_STORED) { place = open_commit_place(&worker->commit, verdict->topics[0]); }
    if (!fate_has_room(worker, origin->lane, fate, place)) {
        worker->commit.full = true;
        return false;
    }
    if (fate == NATIVE_STORED) {
        const enum status status = open_commit_add(&worker->commit, &worker->records[index],
                                                   verdict, worker->burst.received.mono_ns, true);
        if (status == STATUS_FULL) { return false; }
        if (status != STATUS_OK) {
            fate = NATIVE_TOO_LARGE;
            place = nowhere;
            if (!fate_has_room(worker, origin->lane, fate, place)) {
                worker->commit.full = true;
                return false;
            }
        }
    }
    note_fate(worker, origin, fate, place);
    if (fate == NATIVE_STORED) {
        if (origin->fragment == SESSION_FRAGMENT_NONE) {
            worker->burst.used |= UINT64_C(1) << worker->packet_of[index];
        }
        return true;
    }
    worker->stats->records_in_flight--;
    count(worker, fate == NATIVE_DROPPED ? drop_counters[verdict->fate] : refusal_counter(fate), 1);
    return true;
}

/* One judged record into the batch; false when the batch must be gathered first. */
static bool append_record(struct worker *worker, size_t index)
{
    const struct record *const record = &worker->records[index];
    const struct verdict *const verdict = &worker->verdicts[index];
    if (worker->origins[index].lane != LANE_NONE) { return append_native(worker, index); }
    if (verdict->fate != VERDICT_STORE) {
        count(worker, drop_counters[verdict->fate], 1);
        worker->stats->records_in_flight--;
        return true;
    }

    const enum status status =
        open_commit_add(&worker->commit, record, verdict, worker->burst.received.mono_ns, false);
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
        if ((burst->kept >> burst->settled) & 1) { continue; }
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
        flush_fates(worker);
        if (!close_commit(worker)) { return; } /* commits are behind: try again next turn */
    }
    flush_fates(worker);
    settle_frames(worker);
}

/* -------------------------------------------------------------------------------- the swap */

static void judge_by(struct worker *worker, const struct rules_generation *generation)
{
    worker->rules = generation->rules;
    worker->scratch = generation->scratches[worker->index];
    worker->rules_number = generation->number;
    worker->rules_epoch = generation->epoch;
    worker->rules_row = generation->page != NULL
                            ? rules_page_worker(generation->page, worker->index)
                            : &worker->own_row;
    worker->rules_storms = rule_scratch_totals(worker->scratch).storms;
}

static void take_rules(struct worker *worker, const struct rules_generation *newest)
{
    if (newest->number == worker->rules_number) { return; }
    judge_by(worker, newest);
    count(worker, STATS_rules_swaps, 1);
}

/* No record that was judged waits, so nothing of the rules is needed but their epoch. */
static bool has_no_judged_records(const struct worker *worker)
{
    return worker->appended_count == worker->judged_count;
}

/* Between two bursts. The open commit was judged by the rules before, and is closed with their
 * epoch; while the log cannot take it, they go on, and the next turn tries again. */
COLD static void swap_rules(struct worker *worker)
{
    if (!has_no_judged_records(worker)) { return; }
    if (!open_commit_is_empty(&worker->commit) && !close_commit_now(worker)) { return; }
    take_rules(worker, rules_rcu_take(worker->rules_rcu, worker->index));
}

static void worker_swap_rules(struct worker *worker)
{
    if (worker->rules_rcu == NULL) { return; }
    if (!rules_rcu_is_asked(worker->rules_rcu, worker->index)) { return; }
    swap_rules(worker);
}

void worker_sleeps(struct worker *worker)
{
    if (worker->rules_rcu == NULL) { return; }
    const bool done = worker->phase == PHASE_DONE; /* nothing is judged or closed any more */
    const bool holds = !has_no_judged_records(worker) || !open_commit_is_empty(&worker->commit);
    if (holds && !done) { return; }
    rules_rcu_leave(worker->rules_rcu, worker->index);
    worker->rules_let_go = true;
}

void worker_wakes(struct worker *worker)
{
    if (!worker->rules_let_go) { return; }
    worker->rules_let_go = false;
    take_rules(worker, rules_rcu_join(worker->rules_rcu, worker->index));
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
    if (worker->sessions != NULL) { sessions_reap(worker->sessions, durable); }
}

static void worker_acknowledge(struct worker *worker)
{
    if (worker->sessions == NULL) { return; }
    if (sessions_acknowledge(worker->sessions, worker->now)) { worker->worked = true; }
}

/* ---------------------------------------------------------------------- transmit and timers */

static void worker_transmit(struct worker *worker)
{
    count(worker, STATS_frames_sent, outbox_flush(&worker->outbox));
}

static void neighbours_tick(struct worker *worker)
{
    for (size_t port = 0; port < worker->port_count; port++) {
        for (size_t i = 0; i < PACKETS_BURST_MAX; i++) {
            struct packet_room room;
            if (!outbox_reserve(&worker->outbox, port, &room)) { break; }
            const size_t len_bytes = neighbour_tick(&worker->neighbours[port], worker->now.mono_ns,
                                                    room.at, room.capacity_bytes);
            if (len_bytes == 0) {
                outbox_cancel(&worker->outbox, port, room.handle);
                break;
            }
            outbox_push(&worker->outbox, port, room.handle, len_bytes);
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

static void begin_farewell(struct worker *worker)
{
    if (worker->sessions == NULL) {
        worker->phase = PHASE_DONE;
        return;
    }
    worker->phase = PHASE_FAREWELL;
    worker->farewell_ns = worker->now.mono_ns;
    sessions_drain(worker->sessions);
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
        begin_farewell(worker);
    }
    if (worker->phase == PHASE_FAREWELL &&
        (sessions_are_drained(worker->sessions) ||
         worker->now.mono_ns - worker->farewell_ns >= FAREWELL_NS)) {
        worker->phase = PHASE_DONE;
    }
    /* A log that refuses writes cannot be finished: the records stay unacknowledged, and counted.
     */
    if (closed && (worker->phase == PHASE_DRAINING || worker->phase == PHASE_FINISHING)) {
        begin_farewell(worker);
    }
}

static void sessions_tick(struct worker *worker)
{
    const struct session_pressure pressure = {
        .closed_why = core_log_closed_why(worker->log),
        .held = worker->commit.full,
        .stopping = worker->phase != PHASE_RUNNING,
    };
    sessions_pressure(worker->sessions, &pressure, worker->now);
    if (worker->phase == PHASE_RUNNING) { sessions_timers(worker->sessions, worker->now); }
}

static void worker_timers(struct worker *worker)
{
    if (worker->now.mono_ns - worker->timer_ns < TIMER_PERIOD_NS) { return; }
    worker->timer_ns = worker->now.mono_ns;
    publish_gauges(worker);
    if (worker->sessions != NULL) { sessions_tick(worker); }
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
    if (worker->sessions != NULL) {
        worker->lane_clock_ms = sessions_lane_clock_ms(worker->sessions, now);
    }
    worker->worked = false;
    worker->stage_began = began;

    worker_swap_rules(
        worker);            /* other rules, if there are: never between two records of a commit */
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
    worker_acknowledge(worker); /* producers hear what is durable */
    if (worker->worked) { stage_end(worker, STATS_worker_cycles_acknowledge); }
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
        .journal = options->native != NULL ? options->native->journal : NULL,
        .log_topics = options->log_topics,
        .topic_count = options->topic_count,
        .ports = ports,
        .port_count = options->port_count,
        .frames_held_max = options->frames_held_max,
        .bytes_max = options->commit_bytes,
        .records_max = options->commit_records_max,
        .linger_ns = options->commit_linger_ns,
        .linger_unacked_ns = options->commit_linger_unacked_ns,
        .codecs = options->codecs,
        .compression_percent = options->compression_percent,
        .stats = options->stats,
    };
    return open_commit_init(&worker->commit, &commit);
}

static enum status create_sessions(struct worker *worker, const struct worker_options *options)
{
    const struct worker_native *const native = options->native;
    const struct interface *interfaces[CONFIG_PORTS_MAX];
    const struct steering *steerings[CONFIG_PORTS_MAX];
    uint16_t mtu_bytes = UINT16_MAX;
    for (size_t i = 0; i < options->port_count; i++) {
        interfaces[i] = options->ports[i].interface;
        steerings[i] = options->ports[i].steering;
        if (interfaces[i]->mtu_bytes < mtu_bytes) { mtu_bytes = interfaces[i]->mtu_bytes; }
    }
    const struct sessions_options sessions = {
        .table = native->table,
        .journal = native->journal,
        .homes = native->homes,
        .cookie_key = native->cookie_key,
        .session_key = native->session_key,
        .interfaces = interfaces,
        .steerings = steerings,
        .port_count = options->port_count,
        .outbox = &worker->outbox,
        .stats = options->stats,
        .notes = options->notes,
        .partition = native->partition,
        .incarnation = native->incarnation,
        /* The one budget of frames: a part of what the open commit does not hold. */
        .frames_waiting_max = (uint32_t)(options->frames_held_max / 2),
        .max_record_bytes = native->max_record_bytes,
        .datagram_bytes = (uint16_t)(mtu_bytes - UDP_OVERHEAD_BYTES),
        .commit_bytes = options->commit_bytes,
        .commits_in_flight_max = native->commits_in_flight_max,
        .takeover_after_ns = native->takeover_after_ns,
        .session_timeout_ns = native->session_timeout_ns,
        .remember_ns = native->remember_ns,
        .lane_clock_ms = native->lane_clock_ms,
        .now = native->now,
    };
    worker->journal = native->journal;
    worker->topic_hashes = native->topics;
    worker->max_record_bytes = native->max_record_bytes;
    return sessions_create(&sessions, &worker->sessions);
}

static enum status create_judgement(struct worker *worker, const struct worker_options *options)
{
    worker->index = options->index;
    if (options->rules_rcu != NULL) {
        worker->rules_rcu = options->rules_rcu;
        judge_by(worker, rules_rcu_join(options->rules_rcu, options->index));
        return STATUS_OK;
    }
    const struct rule_scratch_options scratch = {.records_max = RECORDS_MAX, .worker_count = 1};
    worker->rules = options->rules;
    worker->rules_epoch = rule_set_epoch(options->rules);
    worker->rules_row = &worker->own_row;
    const enum status status = rule_scratch_create(options->rules, &scratch, &worker->own_scratch);
    worker->scratch = worker->own_scratch;
    return status;
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
    worker->log = options->log;
    worker->stats = options->stats;
    worker->notes = options->notes;
    worker->announces = options->announces;
    for (size_t port = 0; port < options->port_count; port++) {
        neighbour_init(&worker->neighbours[port], options->ports[port].interface);
    }

    struct packets packets[CONFIG_PORTS_MAX];
    for (size_t i = 0; i < options->port_count; i++) { packets[i] = options->ports[i].packets; }
    outbox_init(&worker->outbox, packets, options->port_count);

    enum status status = open_commit_of(worker, options);
    if (status == STATUS_OK && options->native != NULL) {
        status = create_sessions(worker, options);
    }
    if (status == STATUS_OK) { status = create_judgement(worker, options); }
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
        if ((burst->kept >> burst->settled) & 1) { continue; }
        packets_release(worker->ports[burst->port].packets, &burst->packets[burst->settled].handle,
                        1);
    }
    if (worker->sessions != NULL) {
        (void)outbox_flush(&worker->outbox);
        sessions_release_all(worker->sessions);
        sessions_destroy(worker->sessions);
    }
    if (worker->rules_rcu != NULL && !worker->rules_let_go) {
        rules_rcu_leave(worker->rules_rcu, worker->index);
    }
    rule_scratch_destroy(worker->own_scratch);
    open_commit_deinit(&worker->commit);
    free(worker);
}
