/* doorbell.h - wakes the event loop when ingest made something durable.
 *
 * Purpose  Subscribes at ingest's control socket (wire/control.h) and watches the eventfd that it
 *          hands out. While ingest is away it tries again five times a second, without a word: the
 *          server's timer looks at the logs all the same. A socket that is there and refuses us is
 *          told once.
 * Threads  The event loop. */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

struct doorbell; /* opaque */

struct doorbell_options {
    struct event_base *base;
    const char *runtime; /* the directory of the socket; lives as long as the doorbell */
    void (*on_ring)(void *argument);
    void *argument;
};

MUST_CHECK enum status doorbell_create(const struct doorbell_options *options,
                                       struct doorbell **out);
void doorbell_destroy(struct doorbell *doorbell);

/* Whether ingest holds the other end now. */
bool doorbell_is_connected(const struct doorbell *doorbell);

END_C_DECLS
