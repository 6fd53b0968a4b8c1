/* A producer's thread: records to lanes, lanes to sockets, fates to reports. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "client/producer_state.h"
#include "client/producer_stats.h"

enum {
    RECEIVE_ROUNDS_MAX = 4,  /* batches of one lane in one turn */
    TRANSMIT_ROUNDS_MAX = 4, /* likewise */
    EPOLL_EVENTS_MAX = 64,
    MOVE_AGAIN_MS = 100,
    EVENT_TEXT_BYTES = 192,
};

/* -------------------------------------------------------------------------------------- events */

static void post(struct penstock_producer *producer, struct penstock_event event,
                 const char *format, ...) PRINTF_LIKE(3, 4);

static void post(struct penstock_producer *producer, struct penstock_event event,
                 const char *format, ...)
{
    if (producer->config->on_event == NULL) { return; }
    char text[EVENT_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    event.text = text;
    producer->config->on_event(&event, producer->config->event_context);
}

enum { SEVERITY_ERROR = 3, SEVERITY_WARNING = 4, SEVERITY_NOTICE = 5, SEVERITY_INFORMATION = 6 };

/* ------------------------------------------------------------------------------------- sockets */

bool producer_lane_connect(struct penstock_producer *producer, struct producer_lane *lane)
{
    struct udp_path path = {.remote = producer->remote,
                            .local = producer->config->bind,
                            .local_port = lane->source_port};
    if (lane->target_port != 0) { path.remote.sin_port = htons(lane->target_port); }

    struct udp_socket socket;
    enum status status = udp_socket_open(producer->driver, &path, &socket);
    if (status == STATUS_BUSY && path.local_port != 0) { /* taken: some other may lead there too */
        path.local_port = 0;
        status = udp_socket_open(producer->driver, &path, &socket);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = lane->number};
    if (status != STATUS_OK ||
        epoll_ctl(producer->epoll_fd, EPOLL_CTL_ADD, socket.fd, &event) != 0) {
        const int error = errno;
        udp_socket_close(&socket);
        lane->move_ns = producer->now_ns + MOVE_AGAIN_MS * NS_PER_MS;
        errno = error;
        return false;
    }
    udp_socket_close(&lane->socket); /* epoll forgets a closed one */
    lane->socket = socket;
    lane->readable = false;
    lane->move_due = false;
    return true;
}

static void lane_move(struct penstock_producer *producer, struct producer_lane *lane)
{
    if (!producer_lane_connect(producer, lane)) {
        post(producer,
             (struct penstock_event){.kind = PENSTOCK_EVENT_SOCKET_FAILED,
                                     .severity = SEVERITY_WARNING,
                                     .lane = lane->number,
                                     .code = (uint32_t)errno},
             "lane %" PRIu32 ": cannot open a socket: %s", lane->number, strerror(errno));
        return;
    }
    lane_moved(lane->lane, producer->now_ns);
    post(producer,
         (struct penstock_event){.kind = PENSTOCK_EVENT_REDIRECTED,
                                 .severity = SEVERITY_INFORMATION,
                                 .lane = lane->number,
                                 .code = lane->socket.local_port,
                                 .detail = lane->target_port},
         "lane %" PRIu32 ": redirected, now from port %u", lane->number, lane->socket.local_port);
}

/* -------------------------------------------------------------------------------------- fates */

static void settle(struct penstock_producer *producer, struct outgoing *outgoing,
                   enum penstock_outcome outcome, enum penstock_reason reason)
{
    outgoing->outcome = (uint8_t)outcome;
    outgoing->reason = (uint8_t)reason;
    switch (outcome) {
    case PENSTOCK_DURABLE: producer->counted.records_durable++; break;
    case PENSTOCK_DROPPED: producer->counted.records_dropped++; break;
    case PENSTOCK_REFUSED: producer->counted.records_refused++; break;
    case PENSTOCK_LOST: producer->counted.records_lost++; break;
    case PENSTOCK_UNDELIVERED: producer->counted.records_undelivered++; break;
    }
    outgoing_push(&producer->settled, outgoing);
}

static enum penstock_outcome outcome_of(uint8_t fate)
{
    if (fate == NATIVE_STORED) { return PENSTOCK_DURABLE; }
    if (fate == NATIVE_LOST) { return PENSTOCK_LOST; }
    return fate >= NATIVE_REFUSED ? PENSTOCK_REFUSED : PENSTOCK_DROPPED;
}

static void take_fates(struct penstock_producer *producer, struct producer_lane *lane,
                       const struct lane_event *event)
{
    const enum penstock_outcome outcome = outcome_of(event->fate);
    const enum penstock_reason reason =
        outcome == PENSTOCK_REFUSED ? (enum penstock_reason)event->fate : PENSTOCK_REASON_NONE;
    while (lane->held.head != NULL && lane->held.head->sequence - event->sequence < event->count) {
        struct outgoing *const outgoing = outgoing_pop(&lane->held);
        outgoing->fate = event->fate;
        settle(producer, outgoing, outcome, reason);
    }
}

static void settle_all(struct penstock_producer *producer, struct outgoing_queue *queue,
                       enum penstock_reason reason)
{
    while (queue->head != NULL) {
        settle(producer, outgoing_pop(queue), PENSTOCK_UNDELIVERED, reason);
    }
}

/* Its records end here; the lane goes first, because it still reads them. */
static void give_up(struct penstock_producer *producer, struct producer_lane *lane,
                    enum penstock_reason reason)
{
    producer_stats_keep(producer, lane->lane);
    atomic_store(&lane->failed, true);
    lane_destroy(lane->lane);
    lane->lane = NULL;
    udp_socket_close(&lane->socket);
    lane->readable = false;
    settle_all(producer, &lane->held, reason);
    settle_all(producer, &lane->waiting, reason);
    pthread_mutex_lock(&producer->mutex);
    pthread_cond_broadcast(&producer->changed); /* penstock_lane_resume may wait for it */
    pthread_mutex_unlock(&producer->mutex);
}

/* --------------------------------------------------------------------------- a lane's own words */

static void on_opened(struct penstock_producer *producer, struct producer_lane *lane,
                      const struct lane_event *event)
{
    pthread_mutex_lock(&producer->mutex);
    lane->next_sequence = lane_next_sequence(lane->lane);
    pthread_cond_broadcast(&producer->changed);
    pthread_mutex_unlock(&producer->mutex);

    if (identity_begin(&producer->identity, lane->number) != STATUS_OK) {
        post(producer,
             (struct penstock_event){.kind = PENSTOCK_EVENT_STATE_FAILED,
                                     .severity = SEVERITY_WARNING,
                                     .lane = lane->number,
                                     .code = (uint32_t)errno},
             "lane %" PRIu32 ": producer.id's file cannot be written: %s", lane->number,
             strerror(errno));
    }
    post(producer,
         (struct penstock_event){.kind = PENSTOCK_EVENT_OPENED,
                                 .severity = SEVERITY_INFORMATION,
                                 .lane = lane->number,
                                 .code = event->code,
                                 .first = event->sequence,
                                 .detail = event->detail},
         "lane %" PRIu32 ": open, partition %" PRIu32 ", next is %" PRIu64, lane->number,
         event->code, event->sequence);
}

static void on_lost(struct penstock_producer *producer, struct producer_lane *lane,
                    const struct lane_event *event)
{
    const uint64_t last = event->sequence + event->count - 1;
    lane->chain_last = 0; /* the appliance's hash goes on without them */
    producer->counted.acknowledged_loss += event->count;
    post(producer,
         (struct penstock_event){.kind = PENSTOCK_EVENT_ACKNOWLEDGED_LOSS,
                                 .severity = SEVERITY_ERROR,
                                 .lane = lane->number,
                                 .first = event->sequence,
                                 .last = last},
         "lane %" PRIu32 ": the appliance lost records %" PRIu64 " to %" PRIu64
         " after it had acknowledged them",
         lane->number, event->sequence, last);
}

static void on_retrying(struct penstock_producer *producer, const struct producer_lane *lane,
                        const struct lane_event *event)
{
    producer->counted.retries++;
    post(producer,
         (struct penstock_event){.kind = PENSTOCK_EVENT_RETRYING,
                                 .severity = SEVERITY_NOTICE,
                                 .lane = lane->number,
                                 .code = event->code,
                                 .detail = event->detail},
         "lane %" PRIu32 ": %s, again in %" PRIu64 " ms", lane->number,
         event->code == 0 ? "the appliance does not answer" : "the appliance is not ready",
         event->detail);
}

static bool begins_again(struct penstock_producer *producer, struct producer_lane *lane,
                         const struct lane_event *event)
{
    if (event->code != NATIVE_REJECT_LANE_UNKNOWN) { return false; }
    if (producer->config->numbers[PRODUCER_CONFIG_ON_LANE_UNKNOWN] == 0) { return false; }
    if (lane_begin_again(lane->lane, producer->now_ns) != STATUS_OK) { return false; }
    lane->chain_last = 0; /* the appliance's hash begins again too */
    return true;
}

static void on_lane_unknown(struct penstock_producer *producer, struct producer_lane *lane,
                            bool again)
{
    post(producer,
         (struct penstock_event){.kind = PENSTOCK_EVENT_LANE_UNKNOWN,
                                 .severity = again ? SEVERITY_WARNING : SEVERITY_ERROR,
                                 .lane = lane->number,
                                 .code = again ? 1 : 0},
         "lane %" PRIu32 ": the appliance does not know it; %s", lane->number,
         again ? "begins again, some records may be stored twice" : "given up");
}

static void on_failed(struct penstock_producer *producer, struct producer_lane *lane,
                      const struct lane_event *event)
{
    struct penstock_event told = {.kind = PENSTOCK_EVENT_REJECTED,
                                  .severity = SEVERITY_ERROR,
                                  .lane = lane->number,
                                  .code = event->code,
                                  .detail = event->detail};
    if (event->code == NATIVE_REJECT_LANE_UNKNOWN) {
        const bool again = begins_again(producer, lane, event);
        on_lane_unknown(producer, lane, again);
        if (!again) { give_up(producer, lane, PENSTOCK_REASON_LANE_UNKNOWN); }
    } else if (event->code == NATIVE_REJECT_FENCED) {
        told.kind = PENSTOCK_EVENT_FENCED;
        post(producer, told, "lane %" PRIu32 ": fenced by epoch %" PRIu64, lane->number,
             event->detail);
        give_up(producer, lane, PENSTOCK_REASON_FENCED);
    } else {
        post(producer, told, "lane %" PRIu32 ": rejected for good, code %" PRIu32, lane->number,
             event->code);
        give_up(producer, lane, PENSTOCK_REASON_REJECTED);
    }
}

static void on_move(struct producer_lane *lane, const struct lane_event *event)
{
    lane->move_due = true;
    lane->move_ns = 0;
    lane->source_port = event->source_port;
    if (event->target_port != 0) { lane->target_port = event->target_port; }
}

static void take_event(struct penstock_producer *producer, struct producer_lane *lane,
                       const struct lane_event *event)
{
    switch (event->kind) {
    case LANE_EVENT_OPENED: on_opened(producer, lane, event); break;
    case LANE_EVENT_FATES: take_fates(producer, lane, event); break;
    case LANE_EVENT_LOST: on_lost(producer, lane, event); break;
    case LANE_EVENT_MOVE: on_move(lane, event); break;
    case LANE_EVENT_RETRYING: on_retrying(producer, lane, event); break;
    case LANE_EVENT_FAILED: on_failed(producer, lane, event); break;
    case LANE_EVENT_CLOSED: lane->closed = true; break;
    case LANE_EVENT_KINDS: assert(event->kind < LANE_EVENT_KINDS);
    }
}

/* ------------------------------------------------------------------------- the stages of a turn */

/* What other threads asked for under the mutex. */
static void loop_attend(struct penstock_producer *producer)
{
    if (!atomic_exchange(&producer->attention, false)) { return; }
    pthread_mutex_lock(&producer->mutex);
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        if (lane->open_wanted && lane->lane != NULL) {
            lane_open(lane->lane, producer->now_ns);
            lane->used = true;
        }
        lane->open_wanted = false;
    }
    if (producer->stats_wanted) {
        producer_stats_fill(producer);
        producer->stats_wanted = false;
        producer->stats_turn++;
        pthread_cond_broadcast(&producer->changed);
    }
    const bool stopping = producer->stopping && !producer->will_stop;
    producer->stop_at_ns = producer->stop_ns;
    pthread_mutex_unlock(&producer->mutex);

    if (!stopping) { return; }
    producer->will_stop = true;
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        if (lane->used && lane->lane != NULL) { lane_close(lane->lane, producer->now_ns); }
    }
}

static void loop_receive(struct penstock_producer *producer)
{
    struct bytes datagrams[UDP_DRIVER_BATCH];
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        for (int round = 0; lane->readable && round < RECEIVE_ROUNDS_MAX; round++) {
            const size_t count = udp_driver_receive(producer->driver, &lane->socket, datagrams);
            for (size_t j = 0; j < count; j++) {
                lane_receive(lane->lane, datagrams[j], producer->now_ns);
            }
            lane->readable = count == UDP_DRIVER_BATCH;
        }
        if (lane->readable) { producer->more = true; }
    }
}

static void loop_timers(struct penstock_producer *producer)
{
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        if (lane->lane == NULL) { continue; }
        if (lane_timer_ns(lane->lane) <= producer->now_ns) {
            lane_on_timer(lane->lane, producer->now_ns);
        }
    }
}

static void loop_events(struct penstock_producer *producer)
{
    struct lane_event event;
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        while (lane->lane != NULL && lane_next_event(lane->lane, &event)) {
            take_event(producer, lane, &event);
        }
        if (lane->lane != NULL && lane->move_due && lane->move_ns <= producer->now_ns) {
            lane_move(producer, lane);
        }
    }
}

/* Takes all that senders pushed: newest first, so it is turned around. */
static void loop_collect(struct penstock_producer *producer)
{
    struct outgoing *newest = atomic_exchange(&producer->inbox, NULL);
    struct outgoing *oldest = NULL;
    while (newest != NULL) {
        struct outgoing *const next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct outgoing *const next = oldest->next;
        outgoing_push(&producer->lanes[oldest->lane].waiting, oldest);
        oldest = next;
    }
}

/* The lane's answer to one record. False: not now. */
static bool offer(struct penstock_producer *producer, struct producer_lane *lane)
{
    struct outgoing *const outgoing = lane->waiting.head;
    lane->used = true;
    const enum status status =
        lane_send(lane->lane, &outgoing->record, producer->now_ns, &outgoing->sequence);
    if (status == STATUS_FULL) { return false; }
    outgoing_pop(&lane->waiting);
    switch (status) {
    case STATUS_OK: outgoing_push(&lane->held, outgoing); break;
    case STATUS_INVALID: /* more than this appliance takes; it never got a sequence */
        outgoing->sequence = 0;
        settle(producer, outgoing, PENSTOCK_REFUSED, PENSTOCK_REASON_TOO_LARGE);
        break;
    default:
        outgoing->sequence = 0;
        settle(producer, outgoing, PENSTOCK_UNDELIVERED, PENSTOCK_REASON_CLOSED);
        break;
    }
    return true;
}

static void loop_offer(struct penstock_producer *producer)
{
    const bool flushing = atomic_load(&producer->flush_count) > 0;
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        if (lane->lane == NULL) {
            settle_all(producer, &lane->waiting, PENSTOCK_REASON_REJECTED);
            continue;
        }
        while (lane->waiting.head != NULL && offer(producer, lane)) {}
        if (flushing && lane->held.head != NULL) { lane_flush(lane->lane, producer->now_ns); }
    }
}

/* One batch of a lane. False: it has nothing more to send now. */
static bool transmit_batch(struct penstock_producer *producer, struct producer_lane *lane)
{
    uint8_t *room;
    bool more = true;
    const size_t capacity_bytes = producer->config->numbers[PRODUCER_CONFIG_DATAGRAM_BYTES];
    while (more && (room = udp_driver_room(producer->driver)) != NULL) {
        const size_t len_bytes = lane_transmit(lane->lane, room, capacity_bytes, producer->now_ns);
        more = len_bytes > 0;
        if (more) { udp_driver_filled(producer->driver, len_bytes); }
    }
    udp_driver_send(producer->driver, &lane->socket);
    return more;
}

static void loop_transmit(struct penstock_producer *producer)
{
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        bool more = lane->lane != NULL && lane->used;
        for (int round = 0; more && round < TRANSMIT_ROUNDS_MAX; round++) {
            more = transmit_batch(producer, lane);
        }
        if (more) { producer->more = true; }
    }
}

/* ------------------------------------------------------------------------------------ receipts */

static uint64_t chain_extend(uint64_t hash, const struct outgoing *outgoing)
{
    if (outgoing->fate == NATIVE_LOST) { return hash; }
    return native_hash_extend(hash, outgoing->fate == NATIVE_TOO_LARGE ? 0 : outgoing->digest);
}

static bool has_receipt(const struct outgoing *outgoing)
{
    return outgoing->sequence != 0 && outgoing->outcome != PENSTOCK_UNDELIVERED;
}

static bool run_extend(struct receipt *receipt, uint8_t fate)
{
    if (receipt->run_count > 0 && receipt->runs[receipt->run_count - 1].fate == fate) {
        receipt->runs[receipt->run_count - 1].count++;
        return true;
    }
    if (receipt->run_count == RECEIPT_RUNS_MAX) { return false; }
    receipt->runs[receipt->run_count++] = (struct receipt_run){fate, 1};
    return true;
}

/* An entry from `first` on, as far as it reaches; returns what comes behind. */
static struct outgoing *receipt_of(struct penstock_producer *producer, struct outgoing *first,
                                   struct receipt *out)
{
    struct producer_lane *const lane = &producer->lanes[first->lane];
    out->lane = first->lane;
    out->epoch = producer->identity.epoch;
    out->first = first->sequence;
    out->chained = lane->chain_last != 0 && lane->chain_last + 1 == first->sequence;
    out->hash = out->chained ? lane->chain_hash : 0;
    out->run_count = 0;
    struct outgoing *outgoing = first;
    uint64_t next = first->sequence;
    while (outgoing != NULL && has_receipt(outgoing) && outgoing->lane == first->lane &&
           outgoing->sequence == next && run_extend(out, outgoing->fate)) {
        out->hash = chain_extend(out->hash, outgoing);
        next++;
        outgoing = outgoing->next;
    }
    out->last = next - 1;
    lane->chain_last = out->last;
    lane->chain_hash = out->hash;
    return outgoing;
}

COLD static void receipts_stop(struct penstock_producer *producer, uint64_t entries)
{
    producer->counted.receipts_failed += entries;
    if (producer->receipts_failed) { return; }
    producer->receipts_failed = true;
    post(producer,
         (struct penstock_event){.kind = PENSTOCK_EVENT_RECEIPTS_FAILED,
                                 .severity = SEVERITY_ERROR,
                                 .code = (uint32_t)errno},
         "no more receipts are written: %s", strerror(errno));
}

/* Before the application hears of any of it. */
static void loop_receipts(struct penstock_producer *producer)
{
    if (producer->receipts == NULL) { return; }
    struct receipt receipt = {.time_ms = clock_now().wall_ms};
    struct outgoing *outgoing = producer->settled.head;
    uint64_t entries = 0;
    bool appended = !producer->receipts_failed;
    while (outgoing != NULL) {
        if (!has_receipt(outgoing)) {
            outgoing = outgoing->next;
            continue;
        }
        outgoing = receipt_of(producer, outgoing, &receipt);
        entries++;
        appended = appended && receipts_append(producer->receipts, &receipt) == STATUS_OK;
    }
    if (entries == 0) { return; }
    if (!appended || receipts_commit(producer->receipts) != STATUS_OK) {
        receipts_stop(producer, entries);
        return;
    }
    producer->counted.receipts_entries += entries;
}

/* ------------------------------------------------------------------------------------- reports */

static uint64_t deliver_to_callback(struct penstock_producer *producer)
{
    struct penstock_report reports[PRODUCER_CALLBACK_BATCH];
    uint64_t total = 0;
    while (producer->settled.head != NULL) {
        struct outgoing_queue told = {NULL, NULL};
        size_t count = 0;
        while (count < PRODUCER_CALLBACK_BATCH && producer->settled.head != NULL) {
            struct outgoing *const outgoing = outgoing_pop(&producer->settled);
            producer_fill_report(outgoing, &reports[count++]);
            outgoing_push(&told, outgoing);
        }
        producer->config->on_report(reports, count, producer->config->report_context);
        for (size_t i = 0; i < count; i++) { producer_release(producer, outgoing_pop(&told)); }
        total += count;
    }
    return total;
}

static uint64_t deliver_to_nobody(struct penstock_producer *producer)
{
    uint64_t total = 0;
    while (producer->settled.head != NULL) {
        producer_release(producer, outgoing_pop(&producer->settled));
        total++;
    }
    return total;
}

static uint64_t settled_count(const struct penstock_producer *producer)
{
    uint64_t count = 0;
    for (const struct outgoing *at = producer->settled.head; at != NULL; at = at->next) { count++; }
    return count;
}

static void loop_report(struct penstock_producer *producer)
{
    if (producer->settled.head == NULL) { return; }
    uint64_t total = 0;
    if (producer->config->on_report != NULL) {
        total = deliver_to_callback(producer);
    } else if (producer->config->numbers[PRODUCER_CONFIG_REPORTS] == 0) {
        total = deliver_to_nobody(producer);
    } else {
        total = settled_count(producer);
    }
    pthread_mutex_lock(&producer->mutex);
    outgoing_join(&producer->reports, &producer->settled);
    atomic_fetch_sub(&producer->without_fate, total);
    pthread_cond_broadcast(&producer->changed);
    pthread_mutex_unlock(&producer->mutex);
}

/* ------------------------------------------------------------------------------------ sleeping */

static uint64_t earliest_timer_ns(const struct penstock_producer *producer)
{
    uint64_t earliest_ns = producer->will_stop ? producer->stop_at_ns : UINT64_MAX;
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        const struct producer_lane *const lane = &producer->lanes[i];
        if (lane->lane == NULL) { continue; }
        const uint64_t timer_ns = lane_timer_ns(lane->lane);
        if (timer_ns < earliest_ns) { earliest_ns = timer_ns; }
        if (lane->move_due && lane->move_ns < earliest_ns) { earliest_ns = lane->move_ns; }
    }
    return earliest_ns;
}

/* Kernels before 5.11 have no epoll_pwait2: milliseconds, rounded up. */
static int wait_events(const struct penstock_producer *producer, struct epoll_event *events,
                       uint64_t wait_ns)
{
    const bool forever = wait_ns == UINT64_MAX;
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                  .tv_nsec = (long)(wait_ns % NS_PER_S)};
    const int got =
        epoll_pwait2(producer->epoll_fd, events, EPOLL_EVENTS_MAX, forever ? NULL : &wait, NULL);
    if (got >= 0 || errno != ENOSYS) { return got; }
    const uint64_t wait_ms = wait_ns / NS_PER_MS + (wait_ns % NS_PER_MS != 0);
    return epoll_wait(producer->epoll_fd, events, EPOLL_EVENTS_MAX,
                      wait_ms > INT32_MAX ? -1 : (int)wait_ms);
}

static void take_wake(const struct penstock_producer *producer)
{
    uint64_t count;
    const ssize_t got = read(producer->wake_fd, &count, sizeof count);
    assert(got == sizeof count || errno == EAGAIN);
}

static void loop_wait(struct penstock_producer *producer)
{
    struct epoll_event events[EPOLL_EVENTS_MAX];
    const uint64_t timer_ns = earliest_timer_ns(producer);
    const uint64_t now_ns = clock_mono_ns();
    uint64_t wait_ns = timer_ns == UINT64_MAX ? UINT64_MAX
                       : timer_ns > now_ns    ? timer_ns - now_ns
                                              : 0;
    if (producer->more) { wait_ns = 0; }
    if (wait_ns > 0) {
        /* First say that we sleep, then look once more: producer_state.h, "Handover". */
        atomic_store(&producer->asleep, true);
        if (atomic_load(&producer->inbox) != NULL || atomic_load(&producer->attention)) {
            wait_ns = 0;
        } else {
            producer->counted.sleeps++;
        }
    }
    const int count = wait_events(producer, events, wait_ns);
    atomic_store(&producer->asleep, false);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == UINT32_MAX) {
            take_wake(producer);
        } else {
            producer->lanes[events[i].data.u32].readable = true;
        }
    }
}

/* ---------------------------------------------------------------------------------------- ends */

static bool loop_is_done(const struct penstock_producer *producer)
{
    if (!producer->will_stop) { return false; }
    if (producer->now_ns >= producer->stop_at_ns) { return true; }
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        const struct producer_lane *const lane = &producer->lanes[i];
        if (lane->used && lane->lane != NULL && !lane->closed) { return false; }
    }
    return true;
}

/* No lane reads a record any more; what has no fate gets its report. */
static void loop_end(struct penstock_producer *producer)
{
    const uint64_t before = producer->counted.records_undelivered;
    loop_collect(producer);
    pthread_mutex_lock(&producer->mutex);
    producer_stats_fill(producer);
    pthread_mutex_unlock(&producer->mutex);
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        lane_destroy(lane->lane);
        lane->lane = NULL;
        udp_socket_close(&lane->socket);
        settle_all(producer, &lane->held, PENSTOCK_REASON_CLOSED);
        settle_all(producer, &lane->waiting, PENSTOCK_REASON_CLOSED);
    }
    loop_report(producer);
    pthread_mutex_lock(&producer->mutex);
    producer->stats.records_undelivered = producer->counted.records_undelivered;
    producer->undelivered_at_close = producer->counted.records_undelivered - before;
    producer->stopped = true;
    pthread_cond_broadcast(&producer->changed);
    pthread_mutex_unlock(&producer->mutex);
}

static void loop_turn(struct penstock_producer *producer)
{
    producer->now_ns = clock_mono_ns();
    producer->more = false;
    producer->counted.turns++;
    loop_attend(producer);   /* stats, resume, stop */
    loop_receive(producer);  /* datagrams into lanes */
    loop_timers(producer);   /* losses, probes, handshakes */
    loop_events(producer);   /* fates, and what happened to lanes */
    loop_receipts(producer); /* the ledger first: the next datagram confirms these fates, and the
                              * appliance forgets them ... */
    loop_report(producer);   /* ... then the application */
    loop_collect(producer);  /* records from the senders, to their lanes' queues */
    loop_offer(producer);    /* as many as the lanes take */
    loop_transmit(producer); /* datagrams to the kernel */
    loop_events(producer);   /* what those two brought: nothing may wait in a lane while we sleep */
    loop_receipts(producer);
    loop_report(producer);
}

void *producer_loop(void *argument)
{
    struct penstock_producer *const producer = argument;
    loop_turn(producer);
    while (!loop_is_done(producer)) {
        loop_wait(producer);
        loop_turn(producer);
    }
    loop_end(producer);
    return NULL;
}
