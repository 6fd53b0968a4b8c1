/* http.h - the admin port: /metrics, /rules, /livez, /readyz, /healthz, a small page that names
 * them, and /rules/reload.
 *
 * GET and HEAD; POST to /rules/reload alone. That and /rules/examples, which shows records, are for
 * peers on this host alone. Threads: the event loop; that it answers at all is what /livez says. */
#pragma once

#include <event2/event.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "serve/doorbell.h"
#include "serve/health.h"
#include "serve/runtime_pages.h"
#include "serve/scrubber.h"
#include "serve/serve_stats.h"

BEGIN_C_DECLS

struct http; /* opaque */

struct http_options {
    struct event_base *base;
    const char *host;
    uint16_t port;                       /* 0: any free one (tests) */
    const char *node;                    /* the configured name */
    const char *runtime;                 /* where ingest is asked to reload its rules */
    const struct health_sources *health; /* looked at for each request */
    struct runtime_pages *pages;
    struct serve_stats *stats;
    const struct doorbell *doorbell;
    struct scrubber *scrubber; /* NULL: off */
};

/* STATUS_IO: cannot listen; the reason has been logged. */
MUST_CHECK enum status http_create(const struct http_options *options, struct http **out);
void http_destroy(struct http *http);
uint16_t http_port(const struct http *http);

END_C_DECLS
