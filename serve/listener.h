/* listener.h - the Kafka port: accepts connections up to a limit.
 *
 * Owns     The listening socket and its connection_set. Threads: the event loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "serve/connection.h"

BEGIN_C_DECLS

struct listener; /* opaque */

struct listener_options {
    struct event_base *base;
    const struct kafka_service *service;
    const char *host;               /* a name, an address, or "" or "*" for all of them */
    uint16_t port;                  /* 0: any free one (tests) */
    struct kafka_address advertise; /* host NULL: the address that the client came to */
    uint32_t connections_max;
};

/* STATUS_EXISTS: the address is in use; STATUS_INVALID: no such host; STATUS_IO: errno says it. The
 * reason has been logged, with what to do. */
MUST_CHECK enum status listener_create(const struct listener_options *options,
                                       struct listener **out);
/* Closes every connection. NULL is fine. */
void listener_destroy(struct listener *listener);

uint16_t listener_port(const struct listener *listener);
struct connection_set *listener_connections(struct listener *listener);
/* Stops accepting; connections close behind the answers they owe. */
void listener_drain(struct listener *listener);
bool listener_is_drained(const struct listener *listener);

/* Binds and listens on host:port; -1 with the reason logged, `what` names the port's purpose. For
 * the admin port too. */
int listener_bind(const char *host, uint16_t port, const char *what);

END_C_DECLS
