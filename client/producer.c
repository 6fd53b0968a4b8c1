/* The functions of penstock.h: what any thread may call. The thread itself is producer_loop.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/entropy.h"
#include "base/invariant.h"
#include "client/penstock.h"
#include "client/producer_state.h"

enum {
    LANE_RECORDS_MIN = 1024,
    LANE_RECORDS_MAX = 32768, /* sequences that the appliance keeps ahead: 65,536 */
};

const char *penstock_version(void) { return PENSTOCK_VERSION; }

const char *penstock_result_text(enum penstock_result result)
{
    switch (result) {
    case PENSTOCK_OK: return "ok";
    case PENSTOCK_QUEUE_FULL: return "the queue is full";
    case PENSTOCK_TOO_LARGE: return "the record is too large";
    case PENSTOCK_INVALID: return "invalid argument";
    case PENSTOCK_FAILED: return "the lane or the producer is closed";
    case PENSTOCK_TIMED_OUT: return "timed out";
    case PENSTOCK_NO_MEMORY: return "out of memory";
    }
    return "unknown result";
}

const char *penstock_outcome_text(enum penstock_outcome outcome)
{
    switch (outcome) {
    case PENSTOCK_DURABLE: return "durable";
    case PENSTOCK_DROPPED: return "dropped by a rule";
    case PENSTOCK_REFUSED: return "refused";
    case PENSTOCK_LOST: return "lost";
    case PENSTOCK_UNDELIVERED: return "undelivered";
    }
    return "unknown outcome";
}

const char *penstock_reason_text(enum penstock_reason reason)
{
    switch (reason) {
    case PENSTOCK_REASON_NONE: return "none";
    case PENSTOCK_REASON_TOO_LARGE: return "too large";
    case PENSTOCK_REASON_NO_TOPIC: return "no such topic";
    case PENSTOCK_REASON_NOT_ALLOWED: return "topic not allowed";
    case PENSTOCK_REASON_QUOTA: return "over quota";
    case PENSTOCK_REASON_MALFORMED: return "malformed";
    case PENSTOCK_REASON_CLOSED: return "closed before it was delivered";
    case PENSTOCK_REASON_FENCED: return "fenced by a later producer";
    case PENSTOCK_REASON_LANE_UNKNOWN: return "the appliance does not know the lane";
    case PENSTOCK_REASON_REJECTED: return "rejected by the appliance";
    }
    return "refused for a reason of a later version";
}

/* ------------------------------------------------------------------------------- new and free */

static uint64_t setting(const struct penstock_producer *producer, enum producer_config_key key)
{
    return producer->config->numbers[key];
}

static const char *text(const struct penstock_producer *producer, enum producer_config_key key)
{
    return producer->config->texts[key];
}

/* A failed system call, or a status that has nothing to do with errno. */
static const char *cause(enum status status)
{
    const bool has_errno = status == STATUS_IO || status == STATUS_NOT_FOUND ||
                           status == STATUS_NO_SPACE || status == STATUS_FULL;
    return has_errno && errno != 0 ? strerror(errno) : status_text(status);
}

static bool open_identity(struct penstock_producer *producer, char *error, size_t error_bytes)
{
    static const char file[] = "file:";
    const char *const id = text(producer, PRODUCER_CONFIG_PRODUCER_ID);
    enum status status;
    if (id == NULL) {
        status = identity_random(&producer->identity);
    } else if (strncmp(id, file, sizeof file - 1) == 0) {
        status = identity_load(id + sizeof file - 1, &producer->identity);
    } else {
        status = identity_parse(id, &producer->identity);
        const uint64_t epoch = setting(producer, PRODUCER_CONFIG_PRODUCER_EPOCH);
        if (epoch > 0) { producer->identity.epoch = epoch; }
    }
    if (status == STATUS_OK) { return true; }
    producer_config_say(error, error_bytes, "producer.id: '%s': %s", id == NULL ? "random" : id,
                        status == STATUS_INVALID ? "not 32 hexadecimal digits, not zero"
                                                 : cause(status));
    return false;
}

static bool open_receipts(struct penstock_producer *producer, char *error, size_t error_bytes)
{
    const char *const path = text(producer, PRODUCER_CONFIG_RECEIPTS);
    if (path == NULL) { return true; }
    const enum receipts_sync sync = setting(producer, PRODUCER_CONFIG_RECEIPTS_SYNC) != 0
                                        ? RECEIPTS_SYNC_ALWAYS
                                        : RECEIPTS_SYNC_NEVER;
    const enum status status =
        receipts_open(path, &producer->identity.id, sync, &producer->receipts);
    if (status == STATUS_OK) { return true; }
    producer_config_say(error, error_bytes, "receipts: '%s': %s", path,
                        status == STATUS_EXISTS ? "belongs to another producer.id" : cause(status));
    return false;
}

/* Where the lane goes on: penstock.h, "producer.id" and "on.lane.unknown". */
static struct penstock_lane_start start_of(const struct penstock_producer *producer, uint32_t lane)
{
    const struct identity *const identity = &producer->identity;
    const struct penstock_lane_start fresh = {lane, 0, 1, true};
    if (producer->config->has_start[lane]) { return producer->config->starts[lane]; }
    if (identity->is_new) { return fresh; }
    if (identity->path != NULL && !identity_has_begun(identity, lane)) { return fresh; }
    const struct penstock_lane_start resumed = {
        .lane = lane,
        .durable = PENSTOCK_UNKNOWN,
        .oldest_held = PENSTOCK_UNKNOWN,
        .begin = identity->path == NULL && setting(producer, PRODUCER_CONFIG_ON_LANE_UNKNOWN) != 0,
    };
    return resumed;
}

/* Twice a lane's even share of queue.records, as a power of two. */
static uint32_t lane_records_of(const struct penstock_producer *producer)
{
    const uint64_t share = 2 * producer->queue_records_max / producer->lane_count;
    uint32_t records = LANE_RECORDS_MIN;
    while (records < share && records < LANE_RECORDS_MAX) { records *= 2; }
    return records;
}

static enum status create_lane(struct penstock_producer *producer, struct producer_lane *lane)
{
    const struct penstock_lane_start start = start_of(producer, lane->number);
    struct lane_options options = {
        .producer = producer->identity.id,
        .number = lane->number,
        .epoch = producer->identity.epoch,
        .durable = start.durable,
        .oldest_held = start.oldest_held,
        .from_durable = start.durable == PENSTOCK_UNKNOWN && start.oldest_held != PENSTOCK_UNKNOWN,
        .begin = start.begin,
        .records_max = lane_records_of(producer),
        .datagram_bytes_max = (uint32_t)setting(producer, PRODUCER_CONFIG_DATAGRAM_BYTES),
        .linger_ns = setting(producer, PRODUCER_CONFIG_LINGER),
        .keep_open = setting(producer, PRODUCER_CONFIG_SESSION_KEEP_OPEN) != 0,
    };
    const enum status status = entropy_fill(&options.seed, sizeof options.seed);
    if (status != STATUS_OK) { return status; }
    return lane_create(&options, &lane->lane);
}

static bool open_lanes(struct penstock_producer *producer, char *error, size_t error_bytes)
{
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane *const lane = &producer->lanes[i];
        const enum status status = create_lane(producer, lane);
        if (status != STATUS_OK) {
            producer_config_say(error, error_bytes, "lane %u: %s", i, status_text(status));
            return false;
        }
        if (!producer_lane_connect(producer, lane)) {
            producer_config_say(error, error_bytes, "lane %u: cannot open a socket: %s", i,
                                strerror(errno));
            return false;
        }
        if (producer->receipts != NULL &&
            !receipts_last(producer->receipts, i, &lane->chain_last, &lane->chain_hash)) {
            lane->chain_last = 0;
        }
    }
    return true;
}

static bool open_waking(struct penstock_producer *producer, char *error, size_t error_bytes)
{
    producer->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    producer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    if (producer->epoll_fd >= 0 && producer->wake_fd >= 0 &&
        epoll_ctl(producer->epoll_fd, EPOLL_CTL_ADD, producer->wake_fd, &event) == 0) {
        return true;
    }
    producer_config_say(error, error_bytes, "epoll: %s", strerror(errno));
    return false;
}

static bool open_driver(struct penstock_producer *producer, char *error, size_t error_bytes)
{
    const enum status status =
        udp_driver_create((uint32_t)setting(producer, PRODUCER_CONFIG_DATAGRAM_BYTES),
                          setting(producer, PRODUCER_CONFIG_GSO) != 0, &producer->driver);
    if (status == STATUS_OK) { return true; }
    producer_config_say(error, error_bytes, "out of memory");
    return false;
}

/* Signals are the application's: none is delivered on our thread. */
static bool start_thread(struct penstock_producer *producer, char *error, size_t error_bytes)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&producer->thread, NULL, producer_loop, producer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    producer->thread_started = failed == 0;
    if (failed != 0) { producer_config_say(error, error_bytes, "thread: %s", strerror(failed)); }
    return failed == 0;
}

static bool producer_start(struct penstock_producer *producer, char *error, size_t error_bytes)
{
    return producer_config_resolve(producer->config, &producer->remote, error, error_bytes) &&
           open_waking(producer, error, error_bytes) &&
           open_identity(producer, error, error_bytes) &&
           open_receipts(producer, error, error_bytes) &&
           open_driver(producer, error, error_bytes) && open_lanes(producer, error, error_bytes) &&
           start_thread(producer, error, error_bytes);
}

static void init_waiting(struct penstock_producer *producer)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&producer->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&producer->mutex, NULL);
}

static void init_fixed(struct penstock_producer *producer)
{
    producer->lane_count = (uint32_t)setting(producer, PRODUCER_CONFIG_LANES);
    producer->queue_bytes_max = setting(producer, PRODUCER_CONFIG_QUEUE_BYTES);
    producer->queue_records_max = setting(producer, PRODUCER_CONFIG_QUEUE_RECORDS);
    producer->sticky_bytes = setting(producer, PRODUCER_CONFIG_STICKY_BYTES);
    producer->outgoing = (struct outgoing_options){
        .topic = text(producer, PRODUCER_CONFIG_TOPIC),
        .record_bytes_max = setting(producer, PRODUCER_CONFIG_RECORD_BYTES),
        .digest = text(producer, PRODUCER_CONFIG_RECEIPTS) != NULL,
    };
    producer->wake_fd = -1;
    producer->epoll_fd = -1;
    for (uint32_t i = 0; i < PENSTOCK_LANES_MAX; i++) {
        producer->lanes[i].number = i;
        producer->lanes[i].socket.fd = -1;
    }
}

struct penstock_producer *penstock_producer_new(const struct penstock_config *config, char *error,
                                                size_t error_bytes)
{
    struct penstock_producer *const producer =
        aligned_alloc(CACHE_PAIR_BYTES, sizeof(struct penstock_producer));
    struct penstock_config *const copy = producer_config_copy(config);
    if (producer == NULL || copy == NULL) {
        producer_config_say(error, error_bytes, "out of memory");
        free(producer);
        penstock_config_free(copy);
        return NULL;
    }
    memset(producer, 0, sizeof *producer);
    producer->config = copy;
    init_fixed(producer);
    init_waiting(producer);
    if (!producer_start(producer, error, error_bytes)) {
        penstock_producer_free(producer);
        return NULL;
    }
    return producer;
}

static void discard_all(struct outgoing *first)
{
    while (first != NULL) {
        struct outgoing *const outgoing = first;
        first = outgoing->next;
        outgoing_destroy(outgoing);
    }
}

void penstock_producer_free(struct penstock_producer *producer)
{
    if (producer == NULL) { return; }
    if (producer->thread_started) { penstock_close(producer, 0); }
    for (uint32_t i = 0; i < PENSTOCK_LANES_MAX; i++) {
        lane_destroy(producer->lanes[i].lane);
        udp_socket_close(&producer->lanes[i].socket);
    }
    discard_all(producer->reports.head);
    discard_all(atomic_load(&producer->inbox));
    receipts_close(producer->receipts);
    udp_driver_destroy(producer->driver);
    identity_deinit(&producer->identity);
    if (producer->wake_fd >= 0) { close(producer->wake_fd); }
    if (producer->epoll_fd >= 0) { close(producer->epoll_fd); }
    pthread_cond_destroy(&producer->changed);
    pthread_mutex_destroy(&producer->mutex);
    penstock_config_free(producer->config);
    free(producer);
}

uint64_t penstock_producer_identity(const struct penstock_producer *producer, char id[33])
{
    identity_format(&producer->identity.id, id);
    return producer->identity.epoch;
}

/* ------------------------------------------------------------------------------------ sending */

void producer_wake(struct penstock_producer *producer)
{
    if (!atomic_load(&producer->asleep)) { return; }
    if (!atomic_exchange(&producer->asleep, false)) { return; } /* somebody else does */
    const uint64_t one = 1;
    const ssize_t written = write(producer->wake_fd, &one, sizeof one);
    assert(written == sizeof one || errno == EAGAIN); /* EAGAIN: it is awake as can be */
}

static uint32_t sticky_lane(struct penstock_producer *producer, uint32_t charge_bytes)
{
    const uint64_t before = atomic_fetch_add(&producer->keyless_bytes, charge_bytes);
    const uint64_t batch = before / producer->sticky_bytes;
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        const uint32_t lane = (uint32_t)((batch + i) % producer->lane_count);
        if (!atomic_load(&producer->lanes[lane].failed)) { return lane; }
    }
    return 0;
}

static uint32_t lane_of(struct penstock_producer *producer, const struct penstock_message *message,
                        uint32_t charge_bytes)
{
    if ((message->flags & PENSTOCK_LANE_NAMED) != 0) { return message->lane; }
    if (message->key == NULL) { return sticky_lane(producer, charge_bytes); }
    return crc32c(bytes_of(message->key, message->key_bytes)) % producer->lane_count;
}

/* Room in the queue, or none taken. A moment's overshoot can refuse another sender early, never let
 * one in too many. */
static bool reserve(struct penstock_producer *producer, uint32_t charge_bytes)
{
    const uint64_t bytes = atomic_fetch_add(&producer->queue_bytes, charge_bytes);
    const uint64_t records = atomic_fetch_add(&producer->queue_records, 1);
    if (bytes + charge_bytes <= producer->queue_bytes_max &&
        records < producer->queue_records_max) {
        return true;
    }
    atomic_fetch_sub(&producer->queue_bytes, charge_bytes);
    atomic_fetch_sub(&producer->queue_records, 1);
    atomic_fetch_add(&producer->queue_full, 1);
    return false;
}

/* Looks before it copies: a full queue must be cheap to find. */
static bool looks_full(struct penstock_producer *producer)
{
    if (atomic_load(&producer->queue_records) < producer->queue_records_max &&
        atomic_load(&producer->queue_bytes) < producer->queue_bytes_max) {
        return false;
    }
    atomic_fetch_add(&producer->queue_full, 1);
    return true;
}

static void hand_over(struct penstock_producer *producer, struct outgoing *outgoing)
{
    atomic_fetch_add(&producer->without_fate, 1);
    atomic_fetch_add(&producer->accepted, 1);
    outgoing->next = atomic_load(&producer->inbox);
    while (!atomic_compare_exchange_weak(&producer->inbox, &outgoing->next, outgoing)) {}
    producer_wake(producer);
}

enum penstock_result penstock_send(struct penstock_producer *producer,
                                   const struct penstock_message *message)
{
    const bool named = (message->flags & PENSTOCK_LANE_NAMED) != 0;
    if ((message->flags & ~(unsigned)(PENSTOCK_NO_COPY | PENSTOCK_LANE_NAMED)) != 0) {
        return PENSTOCK_INVALID;
    }
    if (named && message->lane >= producer->lane_count) { return PENSTOCK_INVALID; }
    if (atomic_load(&producer->closed)) { return PENSTOCK_FAILED; }
    if (looks_full(producer)) { return PENSTOCK_QUEUE_FULL; }

    struct outgoing *outgoing;
    enum penstock_result result = outgoing_create(&producer->outgoing, message, &outgoing);
    if (result != PENSTOCK_OK) { return result; }
    outgoing->lane = lane_of(producer, message, outgoing->charge_bytes);
    if (outgoing->charge_bytes > producer->queue_bytes_max) {
        result = PENSTOCK_TOO_LARGE;
    } else if (atomic_load(&producer->lanes[outgoing->lane].failed)) {
        result = PENSTOCK_FAILED;
    } else if (!reserve(producer, outgoing->charge_bytes)) {
        result = PENSTOCK_QUEUE_FULL;
    }
    if (result != PENSTOCK_OK) {
        outgoing_destroy(outgoing);
        return result;
    }
    hand_over(producer, outgoing);
    return PENSTOCK_OK;
}

/* ------------------------------------------------------------------------------------ waiting */

static uint64_t deadline_of(int timeout_ms)
{
    if (timeout_ms < 0) { return UINT64_MAX; }
    return clock_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* Waits for a change, holding the mutex around it. False: the deadline has passed. */
static bool wait_changed(struct penstock_producer *producer, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&producer->changed, &producer->mutex);
        return true;
    }
    if (clock_mono_ns() >= deadline_ns) { return false; }
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                   .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    pthread_cond_timedwait(&producer->changed, &producer->mutex, &until);
    return true;
}

/* The loop looks at what is under the mutex in its next turn. */
static void call_attention(struct penstock_producer *producer)
{
    atomic_store(&producer->attention, true);
    producer_wake(producer);
}

/* ------------------------------------------------------------------------------------ reports */

void producer_release(struct penstock_producer *producer, struct outgoing *outgoing)
{
    atomic_fetch_sub(&producer->queue_bytes, outgoing->charge_bytes);
    atomic_fetch_sub(&producer->queue_records, 1);
    outgoing_destroy(outgoing);
}

void producer_fill_report(const struct outgoing *outgoing, struct penstock_report *out)
{
    *out = (struct penstock_report){
        .opaque = outgoing->opaque,
        .sequence = outgoing->sequence,
        .lane = outgoing->lane,
        .outcome = (enum penstock_outcome)outgoing->outcome,
        .reason = (enum penstock_reason)outgoing->reason,
    };
}

/* A sender that had passed the check before penstock_close, and pushed behind the loop's last look.
 */
static void report_stragglers(struct penstock_producer *producer)
{
    struct outgoing *outgoing = atomic_exchange(&producer->inbox, NULL);
    while (outgoing != NULL) {
        struct outgoing *const next = outgoing->next;
        outgoing->outcome = PENSTOCK_UNDELIVERED;
        outgoing->reason = PENSTOCK_REASON_CLOSED;
        outgoing_push(&producer->reports, outgoing);
        producer->stats.records_undelivered++;
        atomic_fetch_sub(&producer->without_fate, 1);
        outgoing = next;
    }
}

size_t penstock_poll(struct penstock_producer *producer, int timeout_ms,
                     struct penstock_report *reports, size_t capacity)
{
    const uint64_t deadline_ns = timeout_ms == 0 ? 0 : deadline_of(timeout_ms);
    struct outgoing_queue taken = {NULL, NULL};
    size_t count = 0;

    pthread_mutex_lock(&producer->mutex);
    while (producer->reports.head == NULL && !producer->stopped && timeout_ms != 0) {
        if (!wait_changed(producer, deadline_ns)) { break; }
    }
    if (producer->stopped) { report_stragglers(producer); }
    while (count < capacity && producer->reports.head != NULL) {
        struct outgoing *const outgoing = outgoing_pop(&producer->reports);
        producer_fill_report(outgoing, &reports[count++]);
        outgoing_push(&taken, outgoing);
    }
    pthread_mutex_unlock(&producer->mutex);

    for (size_t i = 0; i < count; i++) { producer_release(producer, outgoing_pop(&taken)); }
    return count;
}

/* ------------------------------------------------------------------------------ flush, close */

static uint64_t flush_until(struct penstock_producer *producer, uint64_t deadline_ns)
{
    atomic_fetch_add(&producer->flush_count, 1);
    producer_wake(producer);
    pthread_mutex_lock(&producer->mutex);
    while (atomic_load(&producer->without_fate) > 0 && !producer->stopped) {
        if (!wait_changed(producer, deadline_ns)) { break; }
    }
    pthread_mutex_unlock(&producer->mutex);
    atomic_fetch_sub(&producer->flush_count, 1);
    return atomic_load(&producer->without_fate);
}

uint64_t penstock_flush(struct penstock_producer *producer, int timeout_ms)
{
    return flush_until(producer, deadline_of(timeout_ms));
}

uint64_t penstock_close(struct penstock_producer *producer, int timeout_ms)
{
    const uint64_t deadline_ns = deadline_of(timeout_ms);
    if (!atomic_exchange(&producer->closed, true)) {
        const uint64_t left = flush_until(producer, deadline_ns);
        pthread_mutex_lock(&producer->mutex);
        producer->stopping = true;
        producer->stop_ns = left == 0 ? deadline_ns : 0;
        pthread_mutex_unlock(&producer->mutex);
        call_attention(producer);
        pthread_join(producer->thread, NULL);
    }
    pthread_mutex_lock(&producer->mutex);
    while (!producer->stopped) { pthread_cond_wait(&producer->changed, &producer->mutex); }
    const uint64_t undelivered = producer->undelivered_at_close;
    pthread_mutex_unlock(&producer->mutex);
    return undelivered;
}

enum penstock_result penstock_lane_resume(struct penstock_producer *producer, uint32_t lane,
                                          int timeout_ms, uint64_t *next_sequence)
{
    if (lane >= producer->lane_count) { return PENSTOCK_INVALID; }
    const uint64_t deadline_ns = deadline_of(timeout_ms);
    struct producer_lane *const target = &producer->lanes[lane];

    pthread_mutex_lock(&producer->mutex);
    target->open_wanted = true;
    call_attention(producer);
    bool in_time = true;
    while (target->next_sequence == 0 && !atomic_load(&target->failed) && !producer->stopped &&
           in_time) {
        in_time = wait_changed(producer, deadline_ns);
    }
    *next_sequence = target->next_sequence;
    pthread_mutex_unlock(&producer->mutex);
    if (*next_sequence > 0 && !atomic_load(&target->failed)) { return PENSTOCK_OK; }
    return in_time ? PENSTOCK_FAILED : PENSTOCK_TIMED_OUT;
}
