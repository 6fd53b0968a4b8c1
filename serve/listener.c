#include "serve/listener.h"

#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/logger.h"

enum {
    BACKLOG = 512,
    ACCEPT_PAUSE_MS = 100,
};

struct listener {
    struct connection_set connections;
    struct evconnlistener *accepting;
    struct event *resume_accepting;
    uint32_t connections_max;
    uint16_t port;
};

/* -------------------------------------------------------------------------------------- bind */

static void log_bind_refused(const char *what, const char *host, uint16_t port, int error)
{
    const char *advice = "check the address in the configuration";
    if (error == EADDRINUSE) { advice = "another process listens there (see: ss -ltnp)"; }
    if (error == EACCES) { advice = "ports below 1024 need CAP_NET_BIND_SERVICE"; }
    if (error == EADDRNOTAVAIL) { advice = "no interface of this machine has that address"; }
    log_error("cannot listen on %s:%u for %s: %s; %s", host, port, what, strerror(error), advice);
}

static int bind_address(const struct addrinfo *address)
{
    const int on = 1;
    const int off = 0;
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { return -1; }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6) { /* [::] takes IPv4 too */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int listener_bind(const char *host, uint16_t port, const char *what)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    const bool any = host == NULL || host[0] == '\0' || strcmp(host, "*") == 0;
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int failed = getaddrinfo(any ? "0.0.0.0" : host, service, &wanted, &found);
    if (failed != 0) {
        log_error("cannot listen on %s:%u for %s: %s; write an address of this machine", host, port,
                  what, gai_strerror(failed));
        errno = EINVAL;
        return -1;
    }

    int fd = -1;
    int error = 0;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = bind_address(at);
        error = errno;
    }
    freeaddrinfo(found);
    if (fd < 0) { log_bind_refused(what, host, port, error); }
    errno = error;
    return fd;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len_bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len_bytes) != 0) { return 0; }
    return address.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&address)->sin6_port)
                                         : ntohs(((const struct sockaddr_in *)&address)->sin_port);
}

/* ------------------------------------------------------------------------------------- accept */

static void on_accepted(struct evconnlistener *accepting, evutil_socket_t fd,
                        struct sockaddr *address, int address_bytes, void *argument)
{
    (void)accepting;
    (void)address;
    (void)address_bytes;
    struct listener *const listener = argument;
    struct serve_stats *const stats = listener->connections.service->stats;
    if (stats->connections_open >= listener->connections_max) {
        serve_stats_add(stats, SERVE_connections_refused, 1);
        evutil_closesocket(fd);
        return;
    }
    if (connection_accept(&listener->connections, fd) != STATUS_OK) {
        serve_stats_add(stats, SERVE_connections_refused, 1);
    }
}

/* Out of descriptors or memory: the kernel keeps what wants in until some are free again. */
static void on_accept_failed(struct evconnlistener *accepting, void *argument)
{
    struct listener *const listener = argument;
    const struct timeval pause = {0, ACCEPT_PAUSE_MS * 1000};
    log_warning("cannot accept a Kafka connection: %s; trying again", strerror(errno));
    evconnlistener_disable(accepting);
    evtimer_add(listener->resume_accepting, &pause);
}

static void on_resume_accepting(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct listener *const listener = argument;
    if (listener->accepting != NULL) { evconnlistener_enable(listener->accepting); }
}

/* --------------------------------------------------------------------------------------- life */

static enum status listener_start(struct listener *listener, struct event_base *base, int fd)
{
    listener->port = bound_port(fd);
    listener->resume_accepting = evtimer_new(base, on_resume_accepting, listener);
    listener->accepting = evconnlistener_new(base, on_accepted, listener,
                                             LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (listener->accepting == NULL) {
        close(fd);
        return STATUS_NO_MEMORY;
    }
    if (listener->resume_accepting == NULL) { return STATUS_NO_MEMORY; }
    evconnlistener_set_error_cb(listener->accepting, on_accept_failed);
    return STATUS_OK;
}

enum status listener_create(const struct listener_options *options, struct listener **out)
{
    *out = NULL;
    struct listener *const listener = calloc(1, sizeof *listener);
    if (listener == NULL) { return STATUS_NO_MEMORY; }
    connection_set_init(&listener->connections, options->base, options->service,
                        options->advertise);
    listener->connections_max = options->connections_max;

    const int fd = listener_bind(options->host, options->port, "Kafka clients (serve.kafka)");
    if (fd < 0) {
        const int error = errno;
        free(listener);
        if (error == EADDRINUSE) { return STATUS_EXISTS; }
        return error == EINVAL ? STATUS_INVALID : STATUS_IO;
    }
    const enum status status = listener_start(listener, options->base, fd);
    if (status != STATUS_OK) {
        listener_destroy(listener);
        return status;
    }
    *out = listener;
    return STATUS_OK;
}

void listener_destroy(struct listener *listener)
{
    if (listener == NULL) { return; }
    connection_set_deinit(&listener->connections);
    if (listener->accepting != NULL) { evconnlistener_free(listener->accepting); }
    if (listener->resume_accepting != NULL) { event_free(listener->resume_accepting); }
    free(listener);
}

uint16_t listener_port(const struct listener *listener) { return listener->port; }

struct connection_set *listener_connections(struct listener *listener)
{
    return &listener->connections;
}

void listener_drain(struct listener *listener)
{
    if (listener->accepting != NULL) { evconnlistener_free(listener->accepting); }
    listener->accepting = NULL;
    connection_set_drain(&listener->connections);
}

bool listener_is_drained(const struct listener *listener)
{
    return TAILQ_EMPTY(&listener->connections.all);
}
