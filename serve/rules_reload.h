/* rules_reload.h - a reload of the rules, asked of ingest for whoever came by HTTP.
 *
 * Purpose  Sends RULES_RELOAD (wire/control.h) on a connection of its own and hands on what came
 *          back: compiling takes as long as it takes, the event loop goes on meanwhile.
 * Owns     Its connection, until on_end was called or it is destroyed.
 * Threads  The event loop. */
#pragma once

#include <event2/event.h>

#include "base/compiler.h"
#include "base/status.h"
#include "wire/control.h"

BEGIN_C_DECLS

struct rules_reload; /* opaque */

struct rules_reload_options {
    struct event_base *base;
    const char *runtime;
    uint64_t timeout_ms;
    /* Once, never from within begin. `report` is NULL when there is none: STATUS_NOT_FOUND: ingest
     * is away, or went away meanwhile; STATUS_BUSY: no answer in time; else what it refused for. It
     * may destroy the reload. */
    void (*on_end)(void *argument, enum status status, const struct control_report *report);
    void *argument;
};

/* STATUS_NOT_FOUND: ingest is away. STATUS_NO_MEMORY. */
MUST_CHECK enum status rules_reload_begin(const struct rules_reload_options *options,
                                          struct rules_reload **out);
/* Nobody is told any more; ingest loads on. NULL is fine. */
void rules_reload_destroy(struct rules_reload *reload);

END_C_DECLS
