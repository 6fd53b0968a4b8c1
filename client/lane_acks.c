/* What an ACK says: packets that arrived or are lost, records received, fates, credit. And the
 * timers of a session that stands. */
#include "client/lane_state.h"

enum {
    LOSS_TIMERS_MAX = 4,       /* that one call serves; more come with the next */
    CONFIRM_FATES_BYTES = 256, /* an ACK with more of them may have had no room for the rest */
    PATH_FALLBACK_TIMEOUTS = 3,
};

#define SILENCE_NS       (10 * LANE_S)
#define KEEP_OPEN_NS_MIN (100 * LANE_MS)

/* ----------------------------------------------------------------------------------- received */

/* Over what is received in any case; new_next is above no unsent record. */
static void lane_pass_received(struct lane *lane)
{
    while (lane->received_next < lane->new_next &&
           *lane_state_of(lane, lane->received_next) == LANE_RECORD_RECEIVED) {
        lane->received_next++;
    }
}

void lane_mark_received(struct lane *lane, uint64_t sequence)
{
    uint8_t *const state = lane_state_of(lane, sequence);
    if (*state == LANE_RECORD_DUE) { lane->due_count--; }
    *state = LANE_RECORD_RECEIVED;
    lane_release_assembly(lane, lane_slot_of(lane, sequence));
}

static void lane_take_received(struct lane *lane, uint64_t received)
{
    /* new_next above next_sequence is where received_next is, too. */
    for (uint64_t sequence = lane->received_next; sequence <= received; sequence++) {
        lane_mark_received(lane, sequence);
    }
    lane_pass_received(lane);
}

/* ------------------------------------------------------------------------------------ packets */

static void lane_take_packet_acked(struct lane *lane, const struct loss_packet *acked)
{
    const struct lane_packet *const packet = &lane->packets[acked->number & lane->packet_mask];
    if (packet->kind == LANE_PACKET_PATH) {
        lane_path_acked(lane, acked->number, acked->size_bytes);
    }
    if (packet->kind != LANE_PACKET_DATA) { return; } /* fragments: `received` tells */
    for (uint64_t i = 0; i < packet->count; i++) {
        const uint64_t sequence = packet->first + i;
        if (sequence >= lane->received_next) { lane_mark_received(lane, sequence); }
    }
}

static void lane_take_packet_lost(struct lane *lane, const struct loss_packet *lost)
{
    const struct lane_packet *const packet = &lane->packets[lost->number & lane->packet_mask];
    if (packet->kind == LANE_PACKET_PATH) {
        lane_path_lost(lane, lost->number);
        return;
    }
    lane->stats.packets_lost++;
    if (packet->copy) { return; }
    if (packet->kind == LANE_PACKET_FRAGMENT) { lane_make_chunks_due(lane, packet); }
    if (packet->kind != LANE_PACKET_DATA) { return; }
    for (uint64_t i = 0; i < packet->count; i++) {
        const uint64_t sequence = packet->first + i;
        if (sequence < lane->received_next) { continue; }
        if (*lane_state_of(lane, sequence) != LANE_RECORD_SENT) { continue; }
        lane_make_due(lane, sequence);
        lane->hole_end = lane_most(lane->hole_end, sequence + 1);
    }
}

static uint32_t count_large(const struct loss_packet *packets, size_t count)
{
    uint32_t large = 0;
    for (size_t i = 0; i < count; i++) {
        const bool data = packets[i].ack_eliciting; /* a search's probe is no witness */
        if (data && packets[i].size_bytes > NATIVE_DATAGRAM_BYTES_BASE) { large++; }
    }
    return large;
}

/* Losses first: congestion.h, "Order". */
static void lane_take_report(struct lane *lane, const struct loss_report *report)
{
    for (size_t i = 0; i < report->lost_count; i++) {
        lane_take_packet_lost(lane, &report->lost[i]);
    }
    if (report->lost_bytes > 0) {
        congestion_lost(&lane->congestion, report->newest_lost_sent_ns, lane->now_ns);
    }
    if (report->persistent_congestion) { congestion_collapse(&lane->congestion); }
    for (size_t i = 0; i < report->acked_count; i++) {
        const struct loss_packet *const acked = &report->acked[i];
        lane_take_packet_acked(lane, acked);
        if (!acked->ack_eliciting || acked->was_lost) { continue; }
        congestion_acked(&lane->congestion, acked->size_bytes, acked->sent_ns,
                         report->in_flight_before_bytes);
    }
    lane_path_judge(lane, count_large(report->acked, report->acked_count),
                    count_large(report->lost, report->lost_count));
}

/* -------------------------------------------------------------------------------------- fates */

static void lane_count_fates(struct lane *lane, uint8_t fate, uint64_t count)
{
    if (fate == LANE_FATE_EARLIER) {
        lane->stats.fates_earlier += count;
    } else if (fate == NATIVE_STORED) {
        lane->stats.fates_stored += count;
    } else if (fate < NATIVE_REFUSED) {
        lane->stats.fates_dropped += count;
    } else {
        lane->stats.fates_refused += count;
    }
}

/* Those of this process: an earlier one's are of no interest to the owner. */
static void lane_take_run(struct lane *lane, uint8_t fate, uint64_t first, uint64_t end)
{
    const uint64_t from = lane_most(first, lane->fate_next);
    for (uint64_t sequence = from; sequence < end; sequence++) {
        struct lane_slot *const slot = lane_slot_of(lane, sequence);
        slot->fate = fate;
        lane->used_bytes -= lane_cost_of(slot);
    }
    if (from < end) {
        lane_count_fates(lane, fate, end - from);
        lane->fate_next = end;
    }
}

/* Up to what the owner has given: the fates of the rest come again, they stay unconfirmed. */
static void lane_take_fates(struct lane *lane, const struct native_ack *ack)
{
    const uint64_t end = lane_least(ack->durable + 1, lane->next_sequence);
    if (end <= lane->durable + 1) { return; }

    struct bytes fates = ack->fates;
    uint64_t first = ack->fates_first;
    uint8_t fate;
    uint64_t count;
    if (first > lane->fate_next) {
        lane_take_run(lane, LANE_FATE_EARLIER, lane->fate_next, lane_least(first, end));
    }
    while (first < end && native_fate_next(&fates, &fate, &count)) {
        lane_take_run(lane, fate, first, lane_least(first + count, end));
        first += count;
    }
    lane->durable = end - 1;
    lane->session.ping_wait_ns = LANE_PING_WAIT_NS;
    if (ack->fates.len_bytes >= CONFIRM_FATES_BYTES) { lane->session.confirm_due = true; }
}

/* --------------------------------------------------------------------------------------- ACK */

/* Nothing that was never sent is received or durable, and no fate that is waited for is missing,
 * but those that an earlier process confirmed: they were durable when the session began. */
static bool ack_is_possible(const struct lane *lane, const struct native_ack *ack)
{
    if (ack->durable >= lane->new_next || ack->received >= lane->new_next) { return false; }
    return ack->fates_first <= lane_most(lane->fate_next, lane->session.durable + 1);
}

static void lane_take_credit(struct lane *lane, const struct native_ack *ack)
{
    if (ack->ack_number < lane->session.ack_next) { return; }
    if (ack->ack_number == UINT64_MAX) { return; } /* no later one could be told apart */
    lane->session.ack_next = ack->ack_number + 1;
    lane->session.credit_bytes = ack->credit_bytes;
    lane->session.status = ack->status;
}

static void lane_take_progress(struct lane *lane, const struct loss_report *report)
{
    lane->session.heard_ns = lane->now_ns;
    if (report->acked_count == 0) { return; }
    lane->session.fruitful = true;
    lane->handshake.retry_doublings = 0;
}

void lane_take_ack(struct lane *lane, const struct native_ack *ack)
{
    if (lane->phase != LANE_OPEN || !ack_is_possible(lane, ack)) {
        lane_drop(lane);
        return;
    }
    struct loss_range ranges[NATIVE_RANGES_MAX];
    for (uint32_t i = 0; i < ack->range_count; i++) {
        ranges[i] = (struct loss_range){ack->ranges[i].first, ack->ranges[i].last};
    }
    const struct loss_ack packets = {ranges, ack->range_count, (uint64_t)ack->ack_delay_us * 1000};
    struct loss_report report;
    if (loss_acked(lane->loss, &packets, lane->now_ns, &report) != STATUS_OK) {
        lane_drop(lane); /* names packets that were never sent */
        return;
    }

    lane_take_progress(lane, &report);
    lane_take_received(lane, lane_most(ack->received, ack->durable));
    lane_take_report(lane, &report);
    lane_pass_received(lane);
    lane_take_fates(lane, ack);
    lane_take_credit(lane, ack);
    lane_close_if_done(lane);
}

/* ------------------------------------------------------------------------------------- timers */

/* Something is owed to us, and no packet in flight will bring it: a lost ACK, credit. */
static bool lane_waits_for_word(const struct lane *lane)
{
    if (lane_flight_bytes(lane) > 0 || lane->session.ping_due) { return false; }
    if (lane->fate_next >= lane->next_sequence) { return false; }
    return lane->fate_next < lane->new_next || lane_waits_for_credit(lane);
}

static uint64_t lane_ping_ns(const struct lane *lane)
{
    if (!lane_waits_for_word(lane)) { return UINT64_MAX; }
    const uint64_t last_ns = lane_most(lane->session.sent_ns, lane->session.heard_ns);
    return last_ns + lane->session.ping_wait_ns;
}

static uint64_t lane_keep_open_ns(const struct lane *lane)
{
    if (!lane->options.keep_open || lane->session.ping_due) { return UINT64_MAX; }
    if (lane_flight_bytes(lane) > 0) { return UINT64_MAX; } /* the probe timeout is nearer */
    const uint64_t third_ns = lane_most(lane->session.timeout_ns / 3, KEEP_OPEN_NS_MIN);
    return lane->session.sent_ns + third_ns;
}

/* Counted from when something first stayed without an answer, not from the last word before a
 * pause. */
static uint64_t lane_silence_ns(const struct lane *lane)
{
    if (lane_flight_bytes(lane) == 0 || loss_probe_timeouts(lane->loss) == 0) { return UINT64_MAX; }
    return lane_most(lane->session.heard_ns, lane->session.flight_began_ns) + SILENCE_NS;
}

static void lane_loss_timer(struct lane *lane)
{
    for (int i = 0; i < LOSS_TIMERS_MAX && loss_timer_ns(lane->loss) <= lane->now_ns; i++) {
        struct loss_report report;
        const enum loss_timer what = loss_on_timer(lane->loss, lane->now_ns, &report);
        lane_take_report(lane, &report);
        if (what != LOSS_TIMER_PROBE) { continue; }
        lane->session.probes_due = LOSS_PROBES_MAX;
        lane->session.probe_next = lane->received_next;
        if (loss_probe_timeouts(lane->loss) >= PATH_FALLBACK_TIMEOUTS) {
            lane_path_fall_back(lane);
        }
    }
}

/* An appliance that named packets and still does not have their record lost it: from there on
 * nothing else would ever move. Not before several PINGs said so. */
static void lane_doubt_oldest(struct lane *lane)
{
    const uint64_t sequence = lane->received_next;
    if (lane->session.ping_wait_ns < LANE_PING_WAIT_NS_MAX) { return; }
    if (sequence >= lane->new_next) { return; }
    if (*lane_state_of(lane, sequence) != LANE_RECORD_SENT) { return; }
    lane_release_assembly(lane, lane_slot_of(lane, sequence));
    lane_make_due(lane, sequence);
}

static void lane_ask(struct lane *lane)
{
    struct lane_session *const session = &lane->session;
    lane_doubt_oldest(lane);
    session->ping_due = true;
    session->ping_wait_ns = lane_least(2 * session->ping_wait_ns, LANE_PING_WAIT_NS_MAX);
}

void lane_session_timer(struct lane *lane)
{
    if (lane_silence_ns(lane) <= lane->now_ns) {
        lane->session.fruitful = true; /* 10 s were wait enough */
        lane_reopen(lane);
        return;
    }
    lane_loss_timer(lane);
    lane_path_timer(lane);
    if (lane_ping_ns(lane) <= lane->now_ns) { lane_ask(lane); }
    if (lane_keep_open_ns(lane) <= lane->now_ns) { lane->session.ping_due = true; }
}

uint64_t lane_session_timer_ns(const struct lane *lane)
{
    uint64_t at_ns = lane_least(loss_timer_ns(lane->loss), lane_silence_ns(lane));
    at_ns = lane_least(at_ns, lane_least(lane_ping_ns(lane), lane_keep_open_ns(lane)));
    return lane_least(at_ns, lane_path_timer_ns(lane));
}
