#include "client/producer_stats.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static void add_lane(struct lane_stats *sum, const struct lane_stats *one)
{
    sum->datagrams_sent += one->datagrams_sent;
    sum->datagrams_dropped += one->datagrams_dropped;
    sum->records_resent += one->records_resent;
    sum->packets_lost += one->packets_lost;
    sum->opens += one->opens;
    sum->redirects += one->redirects;
}

void producer_stats_keep(struct penstock_producer *producer, const struct lane *lane)
{
    struct lane_stats last;
    lane_stats_of(lane, &last);
    add_lane(&producer->gone, &last);
}

static void fill_lane(const struct producer_lane *lane, struct producer_lane_stats *out)
{
    *out = (struct producer_lane_stats){.failed = lane->lane == NULL};
    if (lane->lane == NULL) { return; }
    lane_stats_of(lane->lane, &out->stats);
    out->next_sequence = lane_next_sequence(lane->lane);
    out->durable = lane_durable(lane->lane);
    out->held = lane_held(lane->lane);
}

static void fill_atomics(struct penstock_producer *producer)
{
    struct penstock_stats *const stats = &producer->stats;
    stats->records_accepted = atomic_load(&producer->accepted);
    stats->records_queue_full = atomic_load(&producer->queue_full);
    stats->records_without_fate = atomic_load(&producer->without_fate);
    stats->queue_bytes = atomic_load(&producer->queue_bytes);
    stats->queue_records = atomic_load(&producer->queue_records);
}

static void fill_driver(struct penstock_producer *producer)
{
    const struct udp_driver_stats *const driver = udp_driver_stats_of(producer->driver);
    struct penstock_stats *const stats = &producer->stats;
    stats->datagrams_sent = driver->datagrams_sent;
    stats->datagrams_sent_gso = driver->datagrams_sent_gso;
    stats->bytes_sent = driver->bytes_sent;
    stats->datagrams_received = driver->datagrams_received;
    stats->send_refused = driver->datagrams_refused;
    stats->unreachable = driver->unreachable;
}

void producer_stats_fill(struct penstock_producer *producer)
{
    struct penstock_stats *const stats = &producer->stats;
    *stats = producer->counted;
    fill_atomics(producer);
    fill_driver(producer);

    struct lane_stats sum = producer->gone;
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        struct producer_lane_stats *const lane = &producer->lane_stats[i];
        fill_lane(&producer->lanes[i], lane);
        add_lane(&sum, &lane->stats);
        stats->lanes_open += lane->stats.open ? 1 : 0;
        stats->lanes_failed += lane->failed ? 1 : 0;
    }
    stats->handshakes = sum.opens;
    stats->redirects = sum.redirects;
    stats->records_resent = sum.records_resent;
    stats->packets_lost = sum.packets_lost;
    stats->datagrams_invalid = sum.datagrams_dropped;
}

/* Under the mutex from here on: the newest snapshot, or after the end the last one. */
static void refresh(struct penstock_producer *producer)
{
    const uint64_t turn = producer->stats_turn;
    producer->stats_wanted = true;
    atomic_store(&producer->attention, true);
    producer_wake(producer);
    while (producer->stats_turn == turn && !producer->stopped) {
        pthread_cond_wait(&producer->changed, &producer->mutex);
    }
    if (producer->stopped) { fill_atomics(producer); }
}

void penstock_stats_of(struct penstock_producer *producer, struct penstock_stats *out)
{
    pthread_mutex_lock(&producer->mutex);
    refresh(producer);
    *out = producer->stats;
    pthread_mutex_unlock(&producer->mutex);
}

/* ---------------------------------------------------------------------------------------- JSON */

struct text {
    char *out;
    size_t capacity;
    size_t len_bytes; /* of the whole, also of what did not fit */
};

static void text_add(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);

static void text_add(struct text *text, const char *format, ...)
{
    const size_t room = text->len_bytes < text->capacity ? text->capacity - text->len_bytes : 0;
    va_list arguments;
    va_start(arguments, format);
    const int len_bytes =
        vsnprintf(room > 0 ? text->out + text->len_bytes : NULL, room, format, arguments);
    va_end(arguments);
    if (len_bytes > 0) { text->len_bytes += (size_t)len_bytes; }
}

struct figure {
    const char *name;
    size_t at;
};

#define FIGURE(field)                                                                              \
    {                                                                                              \
#field, offsetof(struct penstock_stats, field)                                             \
    }

static const struct figure figures[] = {
    FIGURE(records_accepted),
    FIGURE(records_durable),
    FIGURE(records_dropped),
    FIGURE(records_refused),
    FIGURE(records_lost),
    FIGURE(records_undelivered),
    FIGURE(records_without_fate),
    FIGURE(records_queue_full),
    FIGURE(records_resent),
    FIGURE(acknowledged_loss),
    FIGURE(queue_bytes),
    FIGURE(queue_records),
    FIGURE(lanes_open),
    FIGURE(lanes_failed),
    FIGURE(handshakes),
    FIGURE(redirects),
    FIGURE(retries),
    FIGURE(datagrams_sent),
    FIGURE(datagrams_sent_gso),
    FIGURE(bytes_sent),
    FIGURE(datagrams_received),
    FIGURE(datagrams_invalid),
    FIGURE(packets_lost),
    FIGURE(send_refused),
    FIGURE(unreachable),
    FIGURE(receipts_entries),
    FIGURE(receipts_failed),
    FIGURE(turns),
    FIGURE(sleeps),
};
_Static_assert(ARRAY_COUNT(figures) * sizeof(uint64_t) == sizeof(struct penstock_stats),
               "a figure is missing");

static void add_figures(struct text *text, const struct penstock_stats *stats)
{
    for (size_t i = 0; i < ARRAY_COUNT(figures); i++) {
        uint64_t value;
        memcpy(&value, (const char *)stats + figures[i].at, sizeof value);
        text_add(text, "\"%s\":%" PRIu64 ",", figures[i].name, value);
    }
}

static void add_lane_object(struct text *text, uint32_t number,
                            const struct producer_lane_stats *lane)
{
    const struct lane_stats *const stats = &lane->stats;
    text_add(text,
             "%s{\"lane\":%" PRIu32 ",\"open\":%s,\"failed\":%s,\"held\":%" PRIu32
             ",\"next_sequence\":%" PRIu64 ",\"durable\":%" PRIu64 ",\"smoothed_rtt_us\":%" PRIu64
             ",\"congestion_window_bytes\":%" PRIu64 ",\"credit_bytes\":%" PRIu32
             ",\"datagram_bytes\":%u,\"appliance_status\":%u}",
             number == 0 ? "" : ",", number, stats->open ? "true" : "false",
             lane->failed ? "true" : "false", lane->held, lane->next_sequence,
             lane->durable == NATIVE_UNKNOWN ? 0 : lane->durable,
             stats->smoothed_rtt_ns / NS_PER_US, stats->congestion_window_bytes,
             stats->credit_bytes, stats->datagram_bytes, stats->status);
}

size_t penstock_stats_json(struct penstock_producer *producer, char *out, size_t capacity)
{
    struct text text = {out, capacity, 0};
    char id[IDENTITY_HEX_BYTES];
    identity_format(&producer->identity.id, id);

    pthread_mutex_lock(&producer->mutex);
    refresh(producer);
    text_add(&text, "{\"producer\":\"%s\",\"epoch\":%" PRIu64 ",", id, producer->identity.epoch);
    add_figures(&text, &producer->stats);
    text_add(&text, "\"lanes\":[");
    for (uint32_t i = 0; i < producer->lane_count; i++) {
        add_lane_object(&text, i, &producer->lane_stats[i]);
    }
    text_add(&text, "]}");
    pthread_mutex_unlock(&producer->mutex);
    return text.len_bytes;
}
