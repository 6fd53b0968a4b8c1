#include "client/lane.h"

#include <stdlib.h>

#include "client/lane_state.h"

/* ----------------------------------------------------------------------------- create, destroy */

static void lane_check_options(const struct lane_options *options)
{
    const uint32_t records_max = options->records_max;
    assert(records_max > 0);
    assert((records_max & (records_max - 1)) == 0);
    assert(options->datagram_bytes_max >= NATIVE_DATAGRAM_BYTES_BASE);
    assert(options->datagram_bytes_max < LANE_FRAGMENT_ROOM_BYTES);
    assert(options->oldest_held > 0);
    const bool both_known =
        options->oldest_held != NATIVE_UNKNOWN && options->durable != NATIVE_UNKNOWN;
    assert(!both_known || options->durable < options->oldest_held);
    assert(!options->from_durable || options->oldest_held != NATIVE_UNKNOWN);
}

static uint32_t packets_for(uint32_t records_max)
{
    if (records_max < LANE_PACKETS_MIN) { return LANE_PACKETS_MIN; }
    return records_max > LANE_PACKETS_MAX ? LANE_PACKETS_MAX : records_max;
}

static bool lane_allocate(struct lane *lane)
{
    const uint32_t records_max = lane->options.records_max;
    const uint32_t packets_max = packets_for(records_max);
    lane->mask = records_max - 1;
    lane->packet_mask = packets_max - 1;
    lane->slots = calloc(records_max, sizeof *lane->slots);
    lane->states = calloc(records_max, sizeof *lane->states);
    lane->packets = calloc(packets_max, sizeof *lane->packets);
    lane->assemblies = calloc(LANE_ASSEMBLIES, sizeof *lane->assemblies);
    /* The largest record's; what is not used costs addresses only. */
    lane->head = malloc(LANE_RECORD_BYTES_MAX + LANE_FRAGMENT_ROOM_BYTES);
    if (lane->slots == NULL || lane->states == NULL || lane->packets == NULL) { return false; }
    if (lane->assemblies == NULL || lane->head == NULL) { return false; }

    const struct loss_options loss = {.capacity = packets_max,
                                      .initial_rtt_ns = lane->options.initial_rtt_ns};
    return loss_create(&loss, &lane->loss) == STATUS_OK;
}

enum status lane_create(const struct lane_options *options, struct lane **out)
{
    lane_check_options(options);
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) { return STATUS_NO_MEMORY; }
    lane->options = *options;
    if (!lane_allocate(lane)) {
        lane_destroy(lane);
        return STATUS_NO_MEMORY;
    }

    const bool learns = options->oldest_held == NATIVE_UNKNOWN || options->from_durable;
    const uint64_t first = learns ? 0 : options->oldest_held;
    lane->random = random_seed(options->seed);
    lane->told_next = first;
    lane->fate_next = first;
    lane->received_next = first;
    lane->new_next = first;
    lane->next_sequence = first;
    lane->reach = first;
    lane->flush_next = first;
    lane->durable = options->durable;
    lane->assemblies_free = LANE_ASSEMBLIES;
    lane->handshake.begin = options->begin;
    lane->path.bytes = NATIVE_DATAGRAM_BYTES_BASE;
    *out = lane;
    return STATUS_OK;
}

void lane_destroy(struct lane *lane)
{
    if (lane == NULL) { return; }
    loss_destroy(lane->loss);
    free(lane->head);
    free(lane->assemblies);
    free(lane->packets);
    free(lane->states);
    free(lane->slots);
    free(lane);
}

static void lane_advance_time(struct lane *lane, uint64_t now_ns)
{
    assert(now_ns >= lane->now_ns);
    lane->now_ns = now_ns;
    assert_hot(lane->told_next <= lane->fate_next);
    assert_hot(lane->fate_next <= lane->next_sequence);
    assert_hot(lane->received_next <= lane->new_next);
    assert_hot(lane->next_sequence - lane->told_next <= lane->mask + 1);
}

/* ------------------------------------------------------------------------------------ records */

static enum status lane_judge_record(const struct lane *lane, const struct native_record *record,
                                     size_t *out_bytes)
{
    if (record->header_count > NATIVE_HEADERS_MAX) { return STATUS_INVALID; }
    const size_t limit_bytes =
        lane->handshake.opened ? lane_least(lane->session.max_record_bytes, LANE_RECORD_BYTES_MAX)
                               : LANE_RECORD_BYTES_MAX;
    *out_bytes = native_record_bytes(record);
    return *out_bytes > limit_bytes ? STATUS_INVALID : STATUS_OK;
}

static void lane_hold(struct lane *lane, const struct native_record *record, size_t record_bytes)
{
    const uint64_t sequence = lane->next_sequence++;
    struct lane_slot *const slot = lane_slot_of(lane, sequence);
    *slot = (struct lane_slot){
        .record = *record,
        .given_ns = lane->now_ns,
        .record_bytes = (uint32_t)record_bytes,
        .assembly = LANE_NO_ASSEMBLY,
    };
    /* Below new_next: the appliance has it from an earlier process. */
    const bool known = sequence < lane->new_next;
    *lane_state_of(lane, sequence) = known ? LANE_RECORD_RECEIVED : LANE_RECORD_UNSENT;
    uint64_t *const sum = known ? &lane->used_bytes : &lane->unsent_bytes;
    *sum += lane_cost_of(slot);
    lane->session.ping_wait_ns = LANE_PING_WAIT_NS;
}

enum status lane_send(struct lane *lane, const struct native_record *record, uint64_t now_ns,
                      uint64_t *out_sequence)
{
    lane_advance_time(lane, now_ns);
    if (lane->phase == LANE_FAILED || lane->closing) { return STATUS_CLOSED; }
    if (lane->next_sequence > NATIVE_SEQUENCE_MAX) { return STATUS_CLOSED; }
    size_t record_bytes;
    const enum status status = lane_judge_record(lane, record, &record_bytes);
    if (status != STATUS_OK) { return status; }

    if (lane->phase == LANE_IDLE) { lane_say_hello(lane); }
    if (lane->next_sequence == 0) { return STATUS_FULL; }
    if (lane->next_sequence - lane->told_next > lane->mask) { return STATUS_FULL; }
    *out_sequence = lane->next_sequence;
    lane_hold(lane, record, record_bytes);
    return STATUS_OK;
}

void lane_flush(struct lane *lane, uint64_t now_ns)
{
    lane_advance_time(lane, now_ns);
    lane->flush_next = lane->next_sequence;
}

void lane_open(struct lane *lane, uint64_t now_ns)
{
    lane_advance_time(lane, now_ns);
    if (lane->phase == LANE_IDLE && !lane->closing) { lane_say_hello(lane); }
}

void lane_close(struct lane *lane, uint64_t now_ns)
{
    lane_advance_time(lane, now_ns);
    lane->closing = true;
    lane->flush_next = lane->next_sequence;
    lane_close_if_done(lane);
}

void lane_close_if_done(struct lane *lane)
{
    if (!lane->closing || lane_held(lane) > 0) { return; }
    if (lane->phase >= LANE_CLOSING) { return; }
    lane_begin_closing(lane);
}

enum status lane_begin_again(struct lane *lane, uint64_t now_ns)
{
    lane_advance_time(lane, now_ns);
    if (lane->phase != LANE_FAILED || !lane->unknown) { return STATUS_INVALID; }
    lane->unknown = false;
    lane->handshake.begin = true;
    lane_say_hello(lane);
    return STATUS_OK;
}

uint32_t lane_held(const struct lane *lane)
{
    return (uint32_t)(lane->next_sequence - lane->fate_next);
}

uint64_t lane_next_sequence(const struct lane *lane) { return lane->next_sequence; }
uint64_t lane_durable(const struct lane *lane) { return lane->durable; }

/* ---------------------------------------------------------------------------------- datagrams */

void lane_drop(struct lane *lane) { lane->stats.datagrams_dropped++; }

static bool lane_knows_token(const struct lane *lane, const struct native_datagram *datagram)
{
    switch (datagram->type) {
    case NATIVE_VERSIONS:
    case NATIVE_CHALLENGE:
    case NATIVE_ACCEPT: return datagram->token == lane->handshake.nonce;
    case NATIVE_ACK:
    case NATIVE_CLOSE: return lane->session.id != 0 && datagram->token == lane->session.id;
    case NATIVE_REJECT: return true; /* either: lane_take_reject looks */
    default: return false;
    }
}

void lane_receive(struct lane *lane, struct bytes datagram, uint64_t now_ns)
{
    lane_advance_time(lane, now_ns);
    lane->stats.datagrams_received++;
    struct native_datagram in;
    if (native_decode(datagram, &in) != NATIVE_OK || !lane_knows_token(lane, &in)) {
        lane_drop(lane);
        return;
    }
    switch (in.type) {
    case NATIVE_VERSIONS: lane_take_versions(lane, &in.versions); return;
    case NATIVE_CHALLENGE: lane_take_challenge(lane, &in.challenge); return;
    case NATIVE_ACCEPT: lane_take_accept(lane, &in.accept); return;
    case NATIVE_ACK: lane_take_ack(lane, &in.ack); return;
    case NATIVE_CLOSE: lane_take_close(lane); return;
    default: lane_take_reject(lane, in.token, &in.reject); return;
    }
}

size_t lane_transmit(struct lane *lane, uint8_t *room, size_t capacity_bytes, uint64_t now_ns)
{
    lane_advance_time(lane, now_ns);
    assert(capacity_bytes >= lane->options.datagram_bytes_max);
    const size_t len_bytes = lane->phase == LANE_OPEN
                                 ? lane_session_datagram(lane, room)
                                 : lane_handshake_datagram(lane, room, capacity_bytes);
    lane->stats.datagrams_sent += len_bytes > 0 ? 1 : 0;
    lane->stats.bytes_sent += len_bytes;
    return len_bytes;
}

uint64_t lane_timer_ns(const struct lane *lane)
{
    switch (lane->phase) {
    case LANE_HELLO_SENT:
    case LANE_OPEN_SENT:
    case LANE_CLOSING:
        return lane->handshake.datagram_due ? lane->now_ns : lane->handshake.timer_ns;
    case LANE_WAITING: return lane->handshake.timer_ns;
    case LANE_OPEN: return lane_least(lane_session_timer_ns(lane), lane_session_datagram_ns(lane));
    default: return UINT64_MAX;
    }
}

void lane_on_timer(struct lane *lane, uint64_t now_ns)
{
    lane_advance_time(lane, now_ns);
    if (lane->phase == LANE_OPEN) {
        lane_session_timer(lane);
    } else {
        lane_handshake_timer(lane);
    }
}

/* ------------------------------------------------------------------------------------- events */

/* One of a kind waits at most; a newer one takes its place. What was lost is never forgotten: the
 * two ranges become the one that holds both. */
void lane_post(struct lane *lane, const struct lane_event *event)
{
    struct lane_events *const events = &lane->events;
    struct lane_event *const pending = &events->pending[event->kind];
    if (event->kind == LANE_EVENT_LOST && events->stamps[event->kind] != 0) {
        const uint64_t end =
            lane_most(pending->sequence + pending->count, event->sequence + event->count);
        pending->sequence = lane_least(pending->sequence, event->sequence);
        pending->count = end - pending->sequence;
        return;
    }
    *pending = *event;
    events->stamps[event->kind] = ++events->next_stamp;
}

static bool lane_take_pending(struct lane *lane, enum lane_event_kind first,
                              enum lane_event_kind end, struct lane_event *out)
{
    struct lane_events *const events = &lane->events;
    enum lane_event_kind oldest = LANE_EVENT_KINDS;
    for (enum lane_event_kind kind = first; kind < end; kind++) {
        const uint64_t stamp = events->stamps[kind];
        if (stamp == 0) { continue; }
        if (oldest == LANE_EVENT_KINDS || stamp < events->stamps[oldest]) { oldest = kind; }
    }
    if (oldest == LANE_EVENT_KINDS) { return false; }
    events->stamps[oldest] = 0;
    *out = events->pending[oldest];
    return true;
}

/* The oldest run of one fate; its slots are free behind this. */
static bool lane_take_fate_event(struct lane *lane, struct lane_event *out)
{
    if (lane->told_next == lane->fate_next) { return false; }
    const uint64_t first = lane->told_next;
    const uint8_t fate = lane_slot_of(lane, first)->fate;
    uint64_t end = first + 1;
    while (end < lane->fate_next && lane_slot_of(lane, end)->fate == fate) { end++; }
    lane->told_next = end;
    *out = (struct lane_event){
        .kind = LANE_EVENT_FATES, .fate = fate, .sequence = first, .count = end - first};
    return true;
}

bool lane_next_event(struct lane *lane, struct lane_event *out)
{
    return lane_take_pending(lane, LANE_EVENT_OPENED, LANE_EVENT_FAILED, out) ||
           lane_take_fate_event(lane, out) ||
           lane_take_pending(lane, LANE_EVENT_FAILED, LANE_EVENT_KINDS, out);
}

void lane_stats_of(const struct lane *lane, struct lane_stats *out)
{
    *out = lane->stats;
    out->smoothed_rtt_ns = loss_rtt(lane->loss)->smoothed_ns;
    out->congestion_window_bytes = lane->congestion.window_bytes;
    out->credit_bytes = lane->session.credit_bytes;
    out->status = lane->session.status;
    out->datagram_bytes = (uint16_t)lane->path.bytes;
    out->open = lane->phase == LANE_OPEN;
}
