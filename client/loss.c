#include "client/loss.h"

#include <stdlib.h>

#include "base/invariant.h"

enum slot_state {
    SLOT_SKIPPED, /* a number that was never sent */
    SLOT_SENT,
    SLOT_LOST,  /* reported; may still be acked late */
    SLOT_ACKED, /* reported */
};

struct slot {
    struct loss_packet packet;
    uint64_t lost_ns; /* when it was declared; holds in SLOT_LOST */
    enum slot_state state;
    bool lost_by_time; /* not by the packet threshold; holds once it was SLOT_LOST */
};

/* oldest <= undecided <= next <= oldest + capacity. Below `oldest` everything is forgotten, below
 * `undecided` nothing is SLOT_SENT. A number's slot is slots[number & mask]. */
struct loss {
    struct slot *slots;
    struct loss_packet *reported; /* what a report points to: as many as there are slots */
    uint64_t mask;
    uint64_t initial_rtt_ns;
    uint64_t oldest;
    uint64_t undecided;
    uint64_t next;
    uint64_t acked_end;      /* one behind the largest acked number; 0 before the first */
    uint64_t persistent_end; /* losses below it were reported as persistent congestion */

    struct rtt rtt;
    uint32_t packet_threshold;
    uint32_t time_eighths;
    uint32_t probe_timeouts;

    uint64_t in_flight_bytes;
    uint64_t in_flight_count; /* ack-eliciting packets that are SLOT_SENT */
    uint64_t loss_time_ns;    /* when the time threshold takes the next packet; UINT64_MAX: none */
    uint64_t probe_base_ns;   /* what the probe timeout counts from */
    uint64_t now_ns;          /* the latest time seen */
};

enum {
    BACKOFF_DOUBLINGS_MAX = 20, /* far above LOSS_BACKOFF_NS_MAX already, and no shift overflows */
    REMEMBER_PERSISTENT = 2,    /* a lost packet is remembered for that many rtt_persistent_ns */
};

static uint64_t least(uint64_t left, uint64_t right) { return left < right ? left : right; }
static uint64_t most(uint64_t left, uint64_t right) { return left > right ? left : right; }

/* Sticks at "never" instead of wrapping. */
static uint64_t later(uint64_t base_ns, uint64_t delay_ns)
{
    return delay_ns > UINT64_MAX - base_ns ? UINT64_MAX : base_ns + delay_ns;
}

static struct slot *slot_of(const struct loss *loss, uint64_t number)
{
    assert_hot(number >= loss->oldest);
    return &loss->slots[number & loss->mask];
}

static uint64_t capacity_of(const struct loss *loss) { return loss->mask + 1; }

static void loss_check(const struct loss *loss)
{
    assert(loss->oldest <= loss->undecided);
    assert(loss->undecided <= loss->next);
    assert(loss->next - loss->oldest <= capacity_of(loss));
    assert(loss->acked_end <= loss->next);
    assert((loss->in_flight_count == 0) == (loss->in_flight_bytes == 0));
}

static void loss_advance_time(struct loss *loss, uint64_t now_ns)
{
    assert(now_ns >= loss->now_ns);
    loss->now_ns = now_ns;
}

enum status loss_create(const struct loss_options *options, struct loss **out)
{
    const uint32_t capacity = options->capacity;
    assert(capacity >= 2 * LOSS_PROBES_MAX);
    assert((capacity & (capacity - 1)) == 0);

    struct loss *loss = calloc(1, sizeof *loss);
    if (loss == NULL) { return STATUS_NO_MEMORY; }
    loss->slots = calloc(capacity, sizeof *loss->slots);
    loss->reported = calloc(capacity, sizeof *loss->reported);
    if (loss->slots == NULL || loss->reported == NULL) { goto fail; }

    const uint64_t initial_ns = options->initial_rtt_ns;
    loss->mask = capacity - 1;
    loss->initial_rtt_ns = initial_ns > 0 ? initial_ns : RTT_INITIAL_NS_DEFAULT;
    loss_restart(loss, options->ack_delay_ns_max);
    *out = loss;
    return STATUS_OK;

fail:
    loss_destroy(loss);
    return STATUS_NO_MEMORY;
}

void loss_restart(struct loss *loss, uint64_t ack_delay_ns_max)
{
    *loss = (struct loss){
        .slots = loss->slots,
        .reported = loss->reported,
        .mask = loss->mask,
        .initial_rtt_ns = loss->initial_rtt_ns,
        .packet_threshold = LOSS_PACKET_THRESHOLD,
        .time_eighths = LOSS_TIME_EIGHTHS,
        .loss_time_ns = UINT64_MAX,
        .now_ns = loss->now_ns,
    };
    rtt_init(&loss->rtt, loss->initial_rtt_ns, ack_delay_ns_max);
}

void loss_destroy(struct loss *loss)
{
    if (loss == NULL) { return; }
    free(loss->reported);
    free(loss->slots);
    free(loss);
}

uint64_t loss_in_flight_bytes(const struct loss *loss) { return loss->in_flight_bytes; }
const struct rtt *loss_rtt(const struct loss *loss) { return &loss->rtt; }
uint32_t loss_packet_threshold(const struct loss *loss) { return loss->packet_threshold; }
uint32_t loss_time_eighths(const struct loss *loss) { return loss->time_eighths; }
uint32_t loss_probe_timeouts(const struct loss *loss) { return loss->probe_timeouts; }

/* ---- the ring ----------------------------------------------------------------------------------
 */

static bool slot_is_in_flight(const struct slot *slot)
{
    return slot->state == SLOT_SENT && slot->packet.ack_eliciting;
}

static void loss_drop_oldest(struct loss *loss)
{
    assert_hot(loss->oldest < loss->next);
    assert_hot(!slot_is_in_flight(slot_of(loss, loss->oldest)));
    loss->oldest++;
    loss->undecided = most(loss->undecided, loss->oldest);
}

static void loss_pass_decided(struct loss *loss)
{
    while (loss->undecided < loss->next && slot_of(loss, loss->undecided)->state != SLOT_SENT) {
        loss->undecided++;
    }
}

/* Frees what needs no remembering: the acked, and the lost for which it is too late. */
static void loss_forget(struct loss *loss)
{
    const uint64_t remember_ns = REMEMBER_PERSISTENT * rtt_persistent_ns(&loss->rtt);
    while (loss->oldest < loss->next) {
        const struct slot *slot = slot_of(loss, loss->oldest);
        if (slot->state == SLOT_SENT) { return; }
        if (slot->state == SLOT_LOST && loss->now_ns - slot->lost_ns < remember_ns) { return; }
        loss_drop_oldest(loss);
    }
}

/* Room for `number`, at the cost of what is remembered but not in flight. */
static bool loss_make_room(struct loss *loss, uint64_t number)
{
    while (loss->oldest < loss->next && number - loss->oldest >= capacity_of(loss)) {
        if (slot_is_in_flight(slot_of(loss, loss->oldest))) { return false; }
        loss_drop_oldest(loss);
    }
    return true;
}

bool loss_is_full(const struct loss *loss)
{
    if (loss->next - loss->oldest < capacity_of(loss)) { return false; }
    return slot_is_in_flight(slot_of(loss, loss->oldest));
}

/* Numbers from `next` up to `number` were skipped; only those that the ring can hold are marked. */
static void loss_skip_to(struct loss *loss, uint64_t number)
{
    if (loss->oldest == loss->next && number - loss->oldest >= capacity_of(loss)) {
        loss->oldest = number;
        loss->undecided = number;
        loss->next = number;
    }
    for (; loss->next < number; loss->next++) { slot_of(loss, loss->next)->state = SLOT_SKIPPED; }
}

enum status loss_sent(struct loss *loss, const struct loss_packet *packet)
{
    loss_check(loss);
    assert(packet->number >= loss->next);
    assert(packet->number < UINT64_MAX);
    assert(packet->size_bytes > 0);

    loss_advance_time(loss, packet->sent_ns);
    if (!loss_make_room(loss, packet->number)) { return STATUS_FULL; }

    loss_skip_to(loss, packet->number);
    struct slot *slot = slot_of(loss, packet->number);
    slot->packet = *packet;
    slot->packet.was_lost = false;
    slot->state = SLOT_SENT;
    loss->next = packet->number + 1;
    loss_pass_decided(loss); /* over what was skipped */

    if (packet->ack_eliciting) {
        loss->in_flight_bytes += packet->size_bytes;
        loss->in_flight_count++;
        loss->probe_base_ns = packet->sent_ns;
    }
    return STATUS_OK;
}

static void loss_leave_flight(struct loss *loss, const struct loss_packet *packet)
{
    assert(loss->in_flight_bytes >= packet->size_bytes);
    assert(loss->in_flight_count > 0);
    loss->in_flight_bytes -= packet->size_bytes;
    loss->in_flight_count--;
}

/* ---- reports -----------------------------------------------------------------------------------
 */

static void report_begin(const struct loss *loss, struct loss_report *report)
{
    *report = (struct loss_report){
        .acked = loss->reported,
        .lost = loss->reported,
        .in_flight_before_bytes = loss->in_flight_bytes,
    };
}

/* Acks first, losses behind them in the same array. A packet is in a report once, so it fits. */
static void report_add(struct loss *loss, struct loss_report *report,
                       const struct loss_packet *packet)
{
    const size_t count = report->acked_count + report->lost_count;
    assert(count < capacity_of(loss));
    loss->reported[count] = *packet;
}

static void report_acked(struct loss *loss, struct loss_report *report,
                         const struct loss_packet *packet)
{
    assert(report->lost_count == 0);
    report_add(loss, report, packet);
    report->acked_count++;
    report->lost = loss->reported + report->acked_count;
}

static void report_lost(struct loss *loss, struct loss_report *report,
                        const struct loss_packet *packet)
{
    report_add(loss, report, packet);
    report->lost_count++;
    if (!packet->ack_eliciting) { return; }
    report->lost_bytes += packet->size_bytes;
    report->newest_lost_sent_ns = most(report->newest_lost_sent_ns, packet->sent_ns);
}

/* ---- losses: appendix A.10 ---------------------------------------------------------------------
 */

static void loss_declare(struct loss *loss, struct slot *slot, struct loss_report *report)
{
    slot->state = SLOT_LOST;
    slot->lost_ns = loss->now_ns;
    if (slot->packet.ack_eliciting) { loss_leave_flight(loss, &slot->packet); }
    report_lost(loss, report, &slot->packet);
}

static bool loss_is_behind(const struct loss *loss, const struct loss_packet *packet)
{
    return loss->acked_end - 1 - packet->number >= loss->packet_threshold;
}

static bool loss_is_overdue(const struct loss *loss, const struct loss_packet *packet,
                            uint64_t delay_ns)
{
    return loss->now_ns - packet->sent_ns >= delay_ns;
}

static void loss_detect(struct loss *loss, struct loss_report *report)
{
    const uint64_t delay_ns = rtt_loss_delay_ns(&loss->rtt, loss->time_eighths);
    loss->loss_time_ns = UINT64_MAX;
    for (uint64_t number = loss->undecided; number < loss->acked_end; number++) {
        struct slot *slot = slot_of(loss, number);
        if (slot->state != SLOT_SENT) { continue; }
        const bool behind = loss_is_behind(loss, &slot->packet);
        if (behind || loss_is_overdue(loss, &slot->packet, delay_ns)) {
            slot->lost_by_time = !behind;
            loss_declare(loss, slot, report);
        } else {
            const uint64_t due_ns = later(slot->packet.sent_ns, delay_ns);
            loss->loss_time_ns = least(loss->loss_time_ns, due_ns);
        }
    }
    loss_pass_decided(loss);
}

/* 7.6.2: two lost packets, sent behind the first sample and far enough apart, and no packet between
 * them acked. Earlier calls' losses count too, if they are still remembered. */
static bool loss_spans_persistent(const struct loss *loss)
{
    const uint64_t span_ns = rtt_persistent_ns(&loss->rtt);
    const struct loss_packet *first = NULL;
    for (uint64_t number = most(loss->oldest, loss->persistent_end); number < loss->acked_end;
         number++) {
        const struct slot *slot = slot_of(loss, number);
        if (slot->state == SLOT_ACKED) { first = NULL; }
        if (slot->state != SLOT_LOST || !slot->packet.ack_eliciting) { continue; }
        if (slot->packet.sent_ns <= loss->rtt.first_sample_ns) { continue; }
        if (first == NULL) { first = &slot->packet; }
        if (slot->packet.sent_ns - first->sent_ns > span_ns) { return true; }
    }
    return false;
}

static void loss_judge_persistent(struct loss *loss, struct loss_report *report)
{
    if (report->lost_bytes == 0 || !loss->rtt.sampled) { return; }
    if (!loss_spans_persistent(loss)) { return; }
    report->persistent_congestion = true;
    loss->persistent_end = loss->acked_end;
}

/* ---- acks: appendix A.7 ------------------------------------------------------------------------
 */

static bool range_was_sent(const struct loss *loss, struct loss_range range)
{
    if (range.first > range.last || range.last >= loss->next) { return false; }
    for (uint64_t number = most(range.first, loss->oldest); number <= range.last; number++) {
        if (slot_of(loss, number)->state == SLOT_SKIPPED) { return false; }
    }
    return true;
}

/* Order before content: only disjoint ranges keep the walk over them within the ring's size. */
static bool ack_is_ordered(const struct loss_ack *ack)
{
    bool rising = true;
    bool falling = true;
    for (size_t i = 1; i < ack->count; i++) {
        rising = rising && ack->ranges[i - 1].last < ack->ranges[i].first;
        falling = falling && ack->ranges[i - 1].first > ack->ranges[i].last;
    }
    return rising || falling;
}

static bool ack_is_honest(const struct loss *loss, const struct loss_ack *ack)
{
    for (size_t i = 0; i < ack->count; i++) {
        if (ack->ranges[i].first > ack->ranges[i].last) { return false; }
    }
    if (!ack_is_ordered(ack)) { return false; }
    for (size_t i = 0; i < ack->count; i++) {
        if (!range_was_sent(loss, ack->ranges[i])) { return false; }
    }
    return true;
}

/* One more than how far the packet fell behind: with that, it would not have been declared lost. */
static void loss_raise_packet_threshold(struct loss *loss, uint64_t late_number)
{
    assert(late_number < loss->acked_end); /* it was declared lost behind something acked */
    const uint64_t wanted = loss->acked_end - late_number;
    const uint64_t threshold = most(loss->packet_threshold, wanted);
    loss->packet_threshold = (uint32_t)least(threshold, LOSS_PACKET_THRESHOLD_MAX);
}

/* Once for an ack, however many late packets it names: RFC 8985, section 6.2, steps likewise. */
static void loss_raise_time_threshold(struct loss *loss)
{
    loss->time_eighths = (uint32_t)least(loss->time_eighths + 1, LOSS_TIME_EIGHTHS_MAX);
}

static void loss_take_packet(struct loss *loss, struct slot *slot, struct loss_report *report)
{
    if (slot->state == SLOT_ACKED) { return; }
    slot->packet.was_lost = slot->state == SLOT_LOST;
    slot->state = SLOT_ACKED;
    report_acked(loss, report, &slot->packet);
    if (slot->packet.was_lost || !slot->packet.ack_eliciting) { return; }
    loss_leave_flight(loss, &slot->packet);
    report->acked_bytes += slot->packet.size_bytes;
}

/* What the late ones among the acked say about the path. Before acked_end and the ring move on. */
static void loss_learn_reordering(struct loss *loss, const struct loss_report *report)
{
    bool late_by_time = false;
    for (size_t i = 0; i < report->acked_count; i++) {
        const struct loss_packet *packet = &report->acked[i];
        if (!packet->was_lost) { continue; }
        if (slot_of(loss, packet->number)->lost_by_time) {
            late_by_time = true;
        } else {
            loss_raise_packet_threshold(loss, packet->number);
        }
    }
    if (late_by_time) { loss_raise_time_threshold(loss); }
}

/* 5.1: only the largest number of an ack gives a sample, only when it is news, and only when
 * something in the ack made the peer send it promptly. */
static void loss_sample_rtt(struct loss *loss, const struct loss_report *report, uint64_t largest,
                            uint64_t delay_ns)
{
    if (report->acked_bytes == 0) { return; }
    for (size_t i = 0; i < report->acked_count; i++) {
        const struct loss_packet *packet = &report->acked[i];
        if (packet->number != largest || packet->was_lost) { continue; }
        rtt_sample(&loss->rtt, loss->now_ns - packet->sent_ns, delay_ns, loss->now_ns);
    }
}

enum status loss_acked(struct loss *loss, const struct loss_ack *ack, uint64_t now_ns,
                       struct loss_report *report)
{
    loss_check(loss);
    loss_advance_time(loss, now_ns);
    report_begin(loss, report);
    if (!ack_is_honest(loss, ack)) { return STATUS_INVALID; }

    uint64_t largest = 0;
    for (size_t i = 0; i < ack->count; i++) {
        const struct loss_range range = ack->ranges[i];
        largest = most(largest, range.last);
        for (uint64_t number = most(range.first, loss->oldest); number <= range.last; number++) {
            loss_take_packet(loss, slot_of(loss, number), report);
        }
    }
    if (report->acked_count == 0) { return STATUS_OK; }

    loss_learn_reordering(loss, report);
    loss_sample_rtt(loss, report, largest, ack->delay_ns);
    loss->acked_end = most(loss->acked_end, largest + 1);
    loss->probe_timeouts = 0;
    loss_detect(loss, report);
    loss_judge_persistent(loss, report);
    loss_forget(loss);
    return STATUS_OK;
}

/* ---- the timer: appendix A.8 and A.9 -----------------------------------------------------------
 */

static uint64_t loss_backoff_ns(const struct loss *loss)
{
    const uint64_t timeout_ns = rtt_probe_timeout_ns(&loss->rtt);
    const uint64_t doublings = least(loss->probe_timeouts, BACKOFF_DOUBLINGS_MAX);
    return least(timeout_ns << doublings, most(timeout_ns, LOSS_BACKOFF_NS_MAX));
}

uint64_t loss_timer_ns(const struct loss *loss)
{
    if (loss->loss_time_ns != UINT64_MAX) { return loss->loss_time_ns; }
    if (loss->in_flight_count == 0) { return UINT64_MAX; }
    return later(loss->probe_base_ns, loss_backoff_ns(loss));
}

/* Without room no probe could leave, and without a probe no ack would ever make room. */
static void loss_room_for_probes(struct loss *loss, struct loss_report *report)
{
    while (capacity_of(loss) - (loss->next - loss->oldest) < LOSS_PROBES_MAX) {
        struct slot *slot = slot_of(loss, loss->oldest);
        if (slot->state == SLOT_SENT) { loss_declare(loss, slot, report); }
        loss_drop_oldest(loss);
    }
    loss_pass_decided(loss);
}

enum loss_timer loss_on_timer(struct loss *loss, uint64_t now_ns, struct loss_report *report)
{
    loss_check(loss);
    loss_advance_time(loss, now_ns);
    report_begin(loss, report);
    if (now_ns < loss_timer_ns(loss)) { return LOSS_TIMER_NOTHING; }
    if (loss_timer_ns(loss) == UINT64_MAX) { return LOSS_TIMER_NOTHING; }

    if (loss->loss_time_ns != UINT64_MAX) {
        loss_detect(loss, report);
        loss_judge_persistent(loss, report);
        loss_forget(loss);
        /* Nothing, when what the timer was set for made room in the ring (loss_make_room). */
        return report->lost_count > 0 ? LOSS_TIMER_LOST : LOSS_TIMER_NOTHING;
    }

    /* Counted from now, not from the last packet: a caller that slept through several timeouts, or
     * whose probe was refused by its socket, sees one of them and not a burst. */
    loss->probe_base_ns = now_ns;
    loss->probe_timeouts++;
    loss_room_for_probes(loss, report);
    return LOSS_TIMER_PROBE;
}
