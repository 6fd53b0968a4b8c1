/* http_reload.h - POST /rules/reload: requests that wait until ingest has loaded its rules.
 *
 * Trust    The admin port asks nobody who he is, so this is for the host itself: any other peer is
 *          refused (403).
 * Owns     The reloads under way, at most HTTP_RELOADS_MAX; the requests are evhttp's.
 * Threads  The event loop. */
#pragma once

#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "serve/rules_reload.h"
#include "serve/text.h"

BEGIN_C_DECLS

enum { HTTP_RELOADS_MAX = 8 };

struct http_reload {
    struct evhttp_request *request; /* NULL: free */
    struct rules_reload *reload;
};

struct http_reloads {
    struct event_base *base;
    const char *runtime;
    struct http_reload items[HTTP_RELOADS_MAX];
};

void http_reloads_init(struct http_reloads *reloads, struct event_base *base, const char *runtime);
/* Requests that wait are left unanswered: before the server goes. */
void http_reloads_deinit(struct http_reloads *reloads);

/* Answers the request, now or when ingest has loaded. */
void http_reload_begin(struct http_reloads *reloads, struct evhttp_request *request);

/* http.c's, with the headers that every answer has. */
void http_answer(struct evhttp_request *request, int code, const char *type,
                 const struct text *body);
void http_answer_line(struct evhttp_request *request, int code, const char *line);
/* Whoever asks is on this host. */
bool http_is_local(struct evhttp_request *request);

END_C_DECLS
