#include "serve/connection.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logger.h"

enum {
    LENGTH_BYTES = 4,
    HEADER_BYTES = LENGTH_BYTES + 8, /* length, key, version, correlation id */
    INPUT_BYTES_STEP = 4096,
    SECONDS_COMPLAINT = 10,
    SECONDS_KEEPALIVE = 60,
};

static const struct connection_patience usual_patience = {
    .first_request_ms = 30 * MS_PER_S,
    .header_ms = 10 * MS_PER_S,
    .frame_ms = 30 * MS_PER_S,
    .sending_ms = 60 * MS_PER_S,
    .idle_ms = 600 * MS_PER_S,
};

enum connection_state {
    CONNECTION_IDLE,    /* no byte of a next request */
    CONNECTION_FRAME,   /* part of one */
    CONNECTION_PARKED,  /* a fetch that waits for data; on set->parked */
    CONNECTION_READING, /* a request that waits for the disk */
    CONNECTION_SENDING, /* an answer that the socket did not take whole */
};

struct connection {
    TAILQ_ENTRY(connection) in_all;
    TAILQ_ENTRY(connection) in_parked;
    struct connection_set *set;
    evutil_socket_t fd;
    struct event *on_readable;
    struct event *on_writable;
    struct event *on_time;
    enum connection_state state;
    bool proven; /* sent a valid request before */

    uint8_t *in; /* NULL while idle */
    size_t in_bytes;
    size_t in_capacity;
    size_t frame_bytes; /* of the request in progress, its length included; borrowed by it */
    uint64_t frame_begun_ns;

    struct kafka_request request;
    size_t sent_bytes;
    char local_host[INET6_ADDRSTRLEN];
    uint16_t local_port;
    char peer[INET6_ADDRSTRLEN];
};

static void connection_advance(struct connection *connection);

/* --------------------------------------------------------------------------------- life, end */

static void connection_free(struct connection *connection)
{
    if (connection->on_readable != NULL) { event_free(connection->on_readable); }
    if (connection->on_writable != NULL) { event_free(connection->on_writable); }
    if (connection->on_time != NULL) { event_free(connection->on_time); }
    kafka_request_end(&connection->request);
    evutil_closesocket(connection->fd);
    free(connection->in);
    free(connection);
}

static void connection_close(struct connection *connection, enum serve_counter why)
{
    struct connection_set *const set = connection->set;
    serve_stats_add(set->service->stats, why, 1);
    if (connection->state == CONNECTION_PARKED) {
        TAILQ_REMOVE(&set->parked, connection, in_parked);
        set->service->stats->fetches_waiting--;
    }
    TAILQ_REMOVE(&set->all, connection, in_all);
    set->service->stats->connections_open--;
    connection_free(connection);
}

/* One line in ten seconds, whatever bad clients do. */
static void connection_complain(struct connection *connection, const char *what, const char *hint)
{
    struct connection_set *const set = connection->set;
    const uint64_t now_ns = clock_mono_ns();
    if (now_ns < set->complaint_next_ns) {
        set->complaints_omitted++;
        return;
    }
    char omitted[64] = "";
    if (set->complaints_omitted > 0) {
        snprintf(omitted, sizeof omitted, " (%" PRIu64 " like it since the last line)",
                 set->complaints_omitted);
    }
    log_warning("closed the Kafka connection from %s: %s%s%s", connection->peer, what, hint,
                omitted);
    set->complaints_omitted = 0;
    set->complaint_next_ns = now_ns + (uint64_t)SECONDS_COMPLAINT * NS_PER_S;
}

COLD static void connection_refuse(struct connection *connection, const char *what,
                                   const char *hint)
{
    connection_complain(connection, what, hint);
    connection_close(connection, SERVE_connections_closed_protocol);
}

static void connection_arm(struct connection *connection, uint64_t wait_ns)
{
    const struct timeval wait = {(time_t)(wait_ns / NS_PER_S),
                                 (suseconds_t)(wait_ns % NS_PER_S / NS_PER_US)};
    evtimer_add(connection->on_time, &wait);
}

static void connection_arm_ms(struct connection *connection, uint32_t wait_ms)
{
    connection_arm(connection, (uint64_t)wait_ms * NS_PER_MS);
}

static void connection_enter(struct connection *connection, enum connection_state state)
{
    struct connection_set *const set = connection->set;
    const bool was_parked = connection->state == CONNECTION_PARKED;
    const bool is_parked = state == CONNECTION_PARKED;
    if (was_parked && !is_parked) {
        TAILQ_REMOVE(&set->parked, connection, in_parked);
        set->service->stats->fetches_waiting--;
    }
    if (is_parked && !was_parked) {
        TAILQ_INSERT_TAIL(&set->parked, connection, in_parked);
        set->service->stats->fetches_waiting++;
    }
    connection->state = state;
}

/* ----------------------------------------------------------------------------------- sending */

/* The answer is out: what came behind its request is next. */
static void connection_finish_request(struct connection *connection)
{
    kafka_request_end(&connection->request);
    connection->in_bytes -= connection->frame_bytes;
    memmove(connection->in, connection->in + connection->frame_bytes, connection->in_bytes);
    connection->frame_bytes = 0;
    connection->sent_bytes = 0;
    connection->proven = true;
    connection->frame_begun_ns = clock_mono_ns();
    connection_enter(connection, CONNECTION_FRAME);
    event_add(connection->on_readable, NULL);
}

/* True when the answer is out; false when the connection waits for the socket, or is closed. */
static bool connection_send(struct connection *connection)
{
    const struct bytes answer = kafka_request_answer(&connection->request);
    while (connection->sent_bytes < answer.len_bytes) {
        const ssize_t sent = send(connection->fd, answer.at + connection->sent_bytes,
                                  answer.len_bytes - connection->sent_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) { continue; }
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            connection_enter(connection, CONNECTION_SENDING);
            event_add(connection->on_writable, NULL);
            connection_arm_ms(connection, connection->set->patience.sending_ms);
            return false;
        }
        if (sent < 0) {
            connection_close(connection, SERVE_connections_closed_by_peer);
            return false;
        }
        connection->sent_bytes += (size_t)sent;
        serve_stats_add(connection->set->service->stats, SERVE_sent_bytes, (uint64_t)sent);
    }
    connection_finish_request(connection);
    return true;
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct connection *const connection = argument;
    if (connection_send(connection)) { connection_advance(connection); }
}

/* ---------------------------------------------------------------------------------- requests */

/* True when the request is over and the next may begin. */
static bool connection_turn(struct connection *connection, enum kafka_turn turn, uint64_t now_ns)
{
    switch (turn) {
    case KAFKA_TURN_DONE: return connection_send(connection);
    case KAFKA_TURN_PARKED: {
        const uint64_t deadline_ns = connection->request.deadline_ns;
        connection_enter(connection, CONNECTION_PARKED);
        connection_arm(connection, deadline_ns > now_ns ? deadline_ns - now_ns : 0);
        return false;
    }
    case KAFKA_TURN_READING:
        connection_enter(connection, CONNECTION_READING);
        evtimer_del(connection->on_time); /* the disk's own limits apply */
        return false;
    case KAFKA_TURN_CLOSE: break;
    }
    connection_refuse(connection, connection->request.why_closed, "");
    return false;
}

static void connection_resume(struct connection *connection, bool must_answer)
{
    const uint64_t now_ns = clock_mono_ns();
    const enum kafka_turn turn = kafka_request_resume(&connection->request, now_ns, must_answer);
    if (connection_turn(connection, turn, now_ns)) { connection_advance(connection); }
}

static const char *stray_hint(const uint8_t *first)
{
    if (first[0] == 0x16 && first[1] == 0x03) {
        return ": a TLS hello; this port speaks plain Kafka";
    }
    if (memcmp(first, "GET ", 4) == 0 || memcmp(first, "HEAD", 4) == 0 ||
        memcmp(first, "POST", 4) == 0) {
        return ": an HTTP request; that is the admin port's";
    }
    return "";
}

/* The whole frame's bytes, its length included; 0 after a length that is out of bounds. */
static size_t frame_size(const struct connection *connection)
{
    const int32_t length = (int32_t)load_be32(connection->in);
    const int32_t most =
        connection->proven ? CONNECTION_FRAME_BYTES_MAX : CONNECTION_FRAME_BYTES_FIRST;
    if (length <= 0 || length > most) { return 0; }
    return LENGTH_BYTES + (size_t)length;
}

/* Waits for more of a frame: armed once a stage, so that a byte now and then buys no time. */
static void connection_await_frame(struct connection *connection)
{
    const struct connection_patience *const patience = &connection->set->patience;
    if (connection->in_bytes == 0) {
        connection_enter(connection, CONNECTION_IDLE);
        free(connection->in); /* an idle connection holds no buffer */
        connection->in = NULL;
        connection->in_capacity = 0;
        connection_arm_ms(connection,
                          connection->proven ? patience->idle_ms : patience->first_request_ms);
        return;
    }
    const uint64_t now_ns = clock_mono_ns();
    if (connection->state == CONNECTION_IDLE) { connection->frame_begun_ns = now_ns; }
    connection_enter(connection, CONNECTION_FRAME);
    const uint32_t wait_ms =
        connection->in_bytes < HEADER_BYTES ? patience->header_ms : patience->frame_ms;
    const uint64_t deadline_ns = connection->frame_begun_ns + (uint64_t)wait_ms * NS_PER_MS;
    connection_arm(connection, deadline_ns > now_ns ? deadline_ns - now_ns : 0);
}

/* Runs whole frames, one after the other, until one waits or none is left. The buffer bounds how
 * many small ones are run before other connections get their turn. */
static void connection_advance(struct connection *connection)
{
    for (;;) {
        if (connection->set->draining) {
            connection_close(connection, SERVE_connections_closed_idle);
            return;
        }
        if (connection->in_bytes < LENGTH_BYTES) { break; }
        const size_t frame_bytes = frame_size(connection);
        if (frame_bytes == 0) {
            serve_stats_add(connection->set->service->stats, SERVE_frames_oversized, 1);
            connection_refuse(connection, "no Kafka request length", stray_hint(connection->in));
            return;
        }
        if (connection->in_bytes < frame_bytes) { break; }

        const uint64_t now_ns = clock_mono_ns();
        const struct kafka_address local = {connection->local_host, connection->local_port};
        const struct kafka_address advertise = connection->set->advertise;
        connection->frame_bytes = frame_bytes;
        const enum kafka_turn turn = kafka_request_begin(
            &connection->request, connection->set->service,
            advertise.host != NULL ? advertise : local, connection,
            bytes_of(connection->in + LENGTH_BYTES, frame_bytes - LENGTH_BYTES), now_ns);
        if (!connection_turn(connection, turn, now_ns)) { return; }
    }
    connection_await_frame(connection);
}

/* --------------------------------------------------------------------------------- receiving */

/* Grows with what came, never with what a length claims. A request in progress borrows the buffer:
 * then it stays where it is. */
static bool input_reserve(struct connection *connection)
{
    if (connection->in_bytes < connection->in_capacity) { return true; }
    if (connection->frame_bytes > 0) { return false; }

    const size_t capacity = connection->in_capacity * 2 + INPUT_BYTES_STEP;
    uint8_t *const in = realloc(connection->in, capacity);
    if (in == NULL) { return false; }
    connection->in = in;
    connection->in_capacity = capacity;
    return true;
}

/* As many bytes as the frame under way needs, and one step more. */
static size_t input_wanted(const struct connection *connection)
{
    const size_t room = connection->in_capacity - connection->in_bytes;
    size_t wanted = INPUT_BYTES_STEP;
    if (connection->in_bytes >= LENGTH_BYTES && connection->frame_bytes == 0) {
        const size_t frame_bytes = frame_size(connection);
        if (frame_bytes > connection->in_bytes) { wanted += frame_bytes - connection->in_bytes; }
    }
    return wanted < room ? wanted : room;
}

/* No room behind a request in progress: the kernel keeps the rest. A parked fetch is answered now,
 * because with reading off nobody would notice that its client is gone. */
static void connection_stop_reading(struct connection *connection)
{
    event_del(connection->on_readable);
    if (connection->state == CONNECTION_PARKED) { connection_resume(connection, true); }
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    (void)what;
    struct connection *const connection = argument;
    if (!input_reserve(connection)) {
        connection_stop_reading(connection);
        return;
    }
    const ssize_t came =
        recv(fd, connection->in + connection->in_bytes, input_wanted(connection), 0);
    if (came < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) { return; }
    if (came <= 0) {
        connection_close(connection, SERVE_connections_closed_by_peer);
        return;
    }
    connection->in_bytes += (size_t)came;
    serve_stats_add(connection->set->service->stats, SERVE_received_bytes, (uint64_t)came);
    if (connection->frame_bytes == 0) {
        connection_advance(connection);
    } else if (connection->in_bytes == connection->in_capacity) {
        connection_stop_reading(connection);
    }
}

static void on_time(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct connection *const connection = argument;
    switch (connection->state) {
    case CONNECTION_PARKED: connection_resume(connection, true); return;
    case CONNECTION_IDLE: connection_close(connection, SERVE_connections_closed_idle); return;
    case CONNECTION_FRAME:
    case CONNECTION_SENDING: connection_close(connection, SERVE_connections_closed_slow); return;
    case CONNECTION_READING: return; /* not armed */
    }
}

/* -------------------------------------------------------------------------------- life, begin */

/* An address as text: IPv4 also where it came mapped into IPv6; no brackets, no scope. */
static void address_text(const struct sockaddr_storage *address, char out[INET6_ADDRSTRLEN],
                         uint16_t *port)
{
    snprintf(out, INET6_ADDRSTRLEN, "%s", "unknown");
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *const v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, out, INET6_ADDRSTRLEN);
        *port = ntohs(v4->sin_port);
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *const v6 = (const struct sockaddr_in6 *)address;
        const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        const uint8_t *const at = v6->sin6_addr.s6_addr + (mapped ? 12 : 0);
        inet_ntop(mapped ? AF_INET : AF_INET6, at, out, INET6_ADDRSTRLEN);
        *port = ntohs(v6->sin6_port);
    }
}

static void connection_name_ends(struct connection *connection)
{
    struct sockaddr_storage address = {0};
    uint16_t peer_port = 0;
    socklen_t len_bytes = sizeof address;
    if (getsockname(connection->fd, (struct sockaddr *)&address, &len_bytes) == 0) {
        address_text(&address, connection->local_host, &connection->local_port);
    }
    len_bytes = sizeof address;
    if (getpeername(connection->fd, (struct sockaddr *)&address, &len_bytes) == 0) {
        address_text(&address, connection->peer, &peer_port);
    }
}

static void socket_tune(evutil_socket_t fd)
{
    const int on = 1;
    const int idle_s = SECONDS_KEEPALIVE;
    /* Each only makes things better: a refusal changes nothing that matters. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

enum status connection_accept(struct connection_set *set, evutil_socket_t fd)
{
    struct connection *const connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        evutil_closesocket(fd);
        return STATUS_NO_MEMORY;
    }
    connection->set = set;
    connection->fd = fd;
    connection->on_readable =
        event_new(set->base, fd, EV_READ | EV_PERSIST, on_readable, connection);
    connection->on_writable = event_new(set->base, fd, EV_WRITE, on_writable, connection);
    connection->on_time = evtimer_new(set->base, on_time, connection);
    if (connection->on_readable == NULL || connection->on_writable == NULL ||
        connection->on_time == NULL || event_add(connection->on_readable, NULL) != 0) {
        connection_free(connection);
        return STATUS_NO_MEMORY;
    }
    connection_name_ends(connection);
    socket_tune(fd);

    TAILQ_INSERT_TAIL(&set->all, connection, in_all);
    set->service->stats->connections_open++;
    serve_stats_add(set->service->stats, SERVE_connections_accepted, 1);
    connection_await_frame(connection);
    return STATUS_OK;
}

/* ------------------------------------------------------------------------------------ the set */

void connection_set_init(struct connection_set *set, struct event_base *base,
                         const struct kafka_service *service, struct kafka_address advertise)
{
    memset(set, 0, sizeof *set);
    set->base = base;
    set->service = service;
    set->advertise = advertise;
    set->patience = usual_patience;
    TAILQ_INIT(&set->all);
    TAILQ_INIT(&set->parked);
}

void connection_set_deinit(struct connection_set *set)
{
    while (!TAILQ_EMPTY(&set->all)) {
        connection_close(TAILQ_FIRST(&set->all), SERVE_connections_closed_idle);
    }
}

/* Each is visited once: one that is parked again meanwhile went to the end, behind `last`. */
void connection_set_wake(struct connection_set *set)
{
    struct connection *const last = TAILQ_LAST(&set->parked, connection_list);
    struct connection *connection = TAILQ_FIRST(&set->parked);
    while (connection != NULL) {
        struct connection *const next =
            connection == last ? NULL : TAILQ_NEXT(connection, in_parked);
        connection_resume(connection, false);
        connection = next;
    }
}

void connection_on_read_finished(struct connection *connection)
{
    assert(connection->state == CONNECTION_READING);
    connection_resume(connection, false);
}

void connection_set_drain(struct connection_set *set)
{
    set->draining = true;
    struct connection *connection = TAILQ_FIRST(&set->all);
    while (connection != NULL) {
        struct connection *const next = TAILQ_NEXT(connection, in_all);
        const enum connection_state state = connection->state;
        if (state == CONNECTION_PARKED) {
            connection_resume(connection, true);
        } else if (state == CONNECTION_IDLE || state == CONNECTION_FRAME) {
            connection_close(connection, SERVE_connections_closed_idle);
        }
        connection = next;
    }
}
