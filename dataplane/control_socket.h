/* control_socket.h - the one way into a running ingest: a Unix socket on the main core.
 *
 * Purpose  `<runtime>/control.sock` (SOCK_SEQPACKET). Speaks wire/control.h: a subscriber gets an
 *          eventfd that is written whenever something became durable. A reload of the rules is
 *          asked for here, and answered when its outcome is there.
 * Trust    Whoever may open the socket file (mode 0660). A client that breaks the protocol is cut;
 * its slowness cannot stall the main core (nothing here waits). Threads  Main core. */
#pragma once

#include <poll.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/control.h"

BEGIN_C_DECLS

struct control_socket; /* opaque */

enum {
    CONTROL_SOCKET_CLIENTS_MAX = 32,
    CONTROL_SOCKET_POLL_MAX = CONTROL_SOCKET_CLIENTS_MAX + 1,
};

struct control_socket_options {
    const char *runtime;
    /* A client asks for a reload; answers the ticket that control_socket_reloaded will name. NULL:
     * such requests are not known here. */
    uint64_t (*on_reload)(void *context);
    void *context;
};

/* Says itself what is wrong. Replaces a socket that a dead ingest left. */
MUST_CHECK enum status control_socket_create(const struct control_socket_options *options,
                                             struct control_socket **out);
void control_socket_destroy(struct control_socket *control);

/* Fills in what poll(2) is to wait for; answers how many. */
size_t control_socket_poll_fill(const struct control_socket *control, struct pollfd *out);
/* Serves what poll found; the same array and count. */
void control_socket_poll_done(struct control_socket *control, const struct pollfd *polled,
                              size_t count);

/* Every client that waits for a ticket up to this one hears what became of it. */
void control_socket_reloaded(struct control_socket *control, uint64_t ticket, enum status status,
                             const struct control_report *report);

/* Wakes every subscriber. */
void control_socket_ring(struct control_socket *control);

END_C_DECLS
