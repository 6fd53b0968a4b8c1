#include "serve/server.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/logger.h"
#include "serve/catalog.h"
#include "serve/doorbell.h"
#include "serve/health.h"
#include "serve/http.h"
#include "serve/listener.h"
#include "serve/runtime_pages.h"
#include "serve/scrubber.h"
#include "serve/serve_stats.h"

enum {
    TICK_MS = 100,
    DRAIN_MS_MAX = 4000,
    INDEX_CACHE_BYTES = 64 << 20,
};

struct server {
    struct server_options options;
    struct serve_stats stats;
    struct catalog catalog;
    struct kafka_service service;
    struct health_sources health;
    struct event_base *base;
    struct runtime_pages *pages;
    struct listener *listener;
    struct http *http;
    struct doorbell *doorbell;
    struct scrubber *scrubber; /* NULL: off */
    struct event *on_tick;
    struct event *on_cold;
    struct event *on_term;
    struct event *on_int;
    uint64_t held_for_memory; /* fetches, when the last tick looked */
    uint64_t drain_until_ns;  /* 0: not stopping */
};

/* ------------------------------------------------------------------------------------- events */

/* New data is rare next to wake-ups without any: those cost the refresh alone. */
static void server_look(struct server *server)
{
    const bool news = reader_refresh(server->catalog.reader, clock_mono_ns());
    if (news) { connection_set_wake(listener_connections(server->listener)); }
}

static void on_ring(void *argument)
{
    struct server *const server = argument;
    serve_stats_add(&server->stats, SERVE_doorbells, 1);
    server_look(server);
}

static void server_drain_step(struct server *server)
{
    const bool late = clock_mono_ns() >= server->drain_until_ns;
    if (late || listener_is_drained(server->listener)) { event_base_loopbreak(server->base); }
}

/* Without a doorbell this is what finds new data; and fetches that waited for memory try again. */
static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct server *const server = argument;
    server_look(server);
    const uint64_t held = server->stats.counters[SERVE_fetches_held_for_memory];
    if (held != server->held_for_memory) {
        server->held_for_memory = held;
        connection_set_wake(listener_connections(server->listener));
    }
    if (server->drain_until_ns != 0) { server_drain_step(server); }
}

static void on_cold_finished(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct server *const server = argument;
    void *owner = NULL;
    while (catalog_take_finished(&server->catalog, &owner)) {
        if (owner != NULL) { connection_on_read_finished(owner); }
    }
}

static void on_signal(evutil_socket_t number, short what, void *argument)
{
    (void)what;
    struct server *const server = argument;
    log_notice("%s: finishing what is under way", number == SIGTERM ? "SIGTERM" : "SIGINT");
    server_stop(server);
}

/* --------------------------------------------------------------------------------------- life */

static enum status create_catalog(struct server *server)
{
    const struct server_options *const options = &server->options;
    const struct reader_options reader_options = {
        options->storage_paths, options->storage_path_count, options->runtime, INDEX_CACHE_BYTES};
    server->catalog.stats = &server->stats;
    server->catalog.cache = block_cache_create(options->cache_bytes);
    server->pages = runtime_pages_create(options->runtime);
    if (server->catalog.cache == NULL || server->pages == NULL) { return STATUS_NO_MEMORY; }
    enum status status = reader_create(&reader_options, &server->catalog.reader);
    if (status != STATUS_OK) { return status; }

    const struct cold_reader_options cold_options = {
        .reader = server->catalog.reader,
        .bytes_per_s = options->cold_read_bytes_per_s,
        .queue_max = (size_t)options->connections_max + 1,
        .threaded = true,
    };
    status = cold_reader_create(&cold_options, &server->catalog.cold);
    (void)reader_refresh(server->catalog.reader, clock_mono_ns());
    return status;
}

static enum status create_scrubber(struct server *server)
{
    const struct server_options *const options = &server->options;
    const struct scrubber_options scrubber_options = {
        options->storage_paths, options->storage_path_count, options->scrub_bytes_per_s};
    if (options->scrub_bytes_per_s == 0) { return STATUS_OK; }
    return scrubber_create(&scrubber_options, &server->scrubber);
}

static enum status create_kafka_port(struct server *server)
{
    const struct server_options *const options = &server->options;
    server->service = (struct kafka_service){&server->catalog, &server->stats};
    const struct listener_options listener_options = {
        .base = server->base,
        .service = &server->service,
        .host = options->kafka_host,
        .port = options->kafka_port,
        .advertise = {options->advertise_host, options->advertise_port},
        .connections_max = options->connections_max,
    };
    return listener_create(&listener_options, &server->listener);
}

static enum status create_doorbell(struct server *server)
{
    const struct doorbell_options options = {server->base, server->options.runtime, on_ring,
                                             server};
    return doorbell_create(&options, &server->doorbell);
}

static enum status create_admin_port(struct server *server)
{
    server->health =
        (struct health_sources){server->catalog.reader, server->pages, true, false, &server->stats};
    const struct http_options options = {
        .base = server->base,
        .host = server->options.admin_host,
        .port = server->options.admin_port,
        .node = server->options.node,
        .runtime = server->options.runtime,
        .health = &server->health,
        .pages = server->pages,
        .stats = &server->stats,
        .doorbell = server->doorbell,
        .scrubber = server->scrubber,
    };
    return http_create(&options, &server->http);
}

static enum status create_events(struct server *server)
{
    const struct timeval tick = {0, TICK_MS * 1000};
    struct event_base *const base = server->base;
    server->on_tick = event_new(base, -1, EV_PERSIST, on_tick, server);
    server->on_cold = event_new(base, cold_reader_fd(server->catalog.cold), EV_READ | EV_PERSIST,
                                on_cold_finished, server);
    server->on_term = evsignal_new(base, SIGTERM, on_signal, server);
    server->on_int = evsignal_new(base, SIGINT, on_signal, server);
    if (server->on_tick == NULL || server->on_cold == NULL || server->on_term == NULL ||
        server->on_int == NULL) {
        return STATUS_NO_MEMORY;
    }
    const bool added =
        event_add(server->on_tick, &tick) == 0 && event_add(server->on_cold, NULL) == 0 &&
        event_add(server->on_term, NULL) == 0 && event_add(server->on_int, NULL) == 0;
    return added ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status server_build(struct server *server)
{
    enum status status = create_catalog(server);
    if (status == STATUS_OK) { status = create_doorbell(server); }
    if (status == STATUS_OK) { status = create_scrubber(server); }
    if (status != STATUS_OK) {
        log_error("cannot read the logs: %s", status_text(status));
        return status;
    }
    status = create_kafka_port(server); /* the ports say themselves what is wrong with them */
    if (status == STATUS_OK) { status = create_admin_port(server); }
    if (status == STATUS_OK) { status = create_events(server); }
    return status;
}

enum status server_create(const struct server_options *options, struct server **out)
{
    *out = NULL;
    struct server *const server = calloc(1, sizeof *server);
    if (server == NULL) { return STATUS_NO_MEMORY; }
    server->options = *options;
    server->base = event_base_new();
    const enum status status = server->base != NULL ? server_build(server) : STATUS_NO_MEMORY;
    if (status != STATUS_OK) {
        server_destroy(server);
        return status;
    }
    *out = server;
    return STATUS_OK;
}

static void event_end(struct event *event)
{
    if (event != NULL) { event_free(event); }
}

void server_destroy(struct server *server)
{
    if (server == NULL) { return; }
    event_end(server->on_tick);
    event_end(server->on_cold);
    event_end(server->on_term);
    event_end(server->on_int);
    http_destroy(server->http);
    doorbell_destroy(server->doorbell);
    listener_destroy(server->listener);
    scrubber_destroy(server->scrubber);
    cold_reader_destroy(server->catalog.cold); /* before the reader that it uses */
    reader_destroy(server->catalog.reader);
    block_cache_destroy(server->catalog.cache);
    runtime_pages_destroy(server->pages);
    if (server->base != NULL) { event_base_free(server->base); }
    free(server);
}

void server_run(struct server *server) { event_base_dispatch(server->base); }

void server_stop(struct server *server)
{
    if (server->drain_until_ns != 0) { return; }
    server->drain_until_ns = clock_mono_ns() + (uint64_t)DRAIN_MS_MAX * NS_PER_MS;
    server->health.draining = true;
    server->health.kafka_listening = false;
    listener_drain(server->listener);
}

uint16_t server_kafka_port(const struct server *server) { return listener_port(server->listener); }

uint16_t server_admin_port(const struct server *server) { return http_port(server->http); }
