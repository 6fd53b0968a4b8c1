/* control_socket.h - the one way into a running ingest: a Unix socket on the main core.
 *
 * Purpose  `<runtime>/control.sock` (SOCK_SEQPACKET). Speaks wire/control.h: a subscriber gets an
 *          eventfd that is written whenever something became durable. Reload, drain and status come
 *          here later.
 * Trust    Whoever may open the socket file (mode 0660). A client that breaks the protocol is cut;
 * its slowness cannot stall the main core (nothing here waits). Threads  Main core. */
#pragma once

#include <poll.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

struct control_socket; /* opaque */

enum {
    CONTROL_SOCKET_CLIENTS_MAX = 32,
    CONTROL_SOCKET_POLL_MAX = CONTROL_SOCKET_CLIENTS_MAX + 1,
};

/* Says itself what is wrong. Replaces a socket that a dead ingest left. */
MUST_CHECK enum status control_socket_create(const char *runtime, struct control_socket **out);
void control_socket_destroy(struct control_socket *control);

/* Fills in what poll(2) is to wait for; answers how many. */
size_t control_socket_poll_fill(const struct control_socket *control, struct pollfd *out);
/* Serves what poll found; the same array and count. */
void control_socket_poll_done(struct control_socket *control, const struct pollfd *polled,
                              size_t count);

/* Wakes every subscriber. */
void control_socket_ring(struct control_socket *control);

END_C_DECLS
