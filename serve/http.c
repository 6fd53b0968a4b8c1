#include "serve/http.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/http_reload.h"
#include "serve/listener.h"
#include "serve/metrics.h"
#include "serve/rules_json.h"
#include "serve/text.h"

enum {
    HEADERS_BYTES_MAX = 8192,
    TIMEOUT_S = 10,
    FORBIDDEN = 403, /* libevent has no name for it */
};

struct http {
    struct http_options options;
    struct evhttp *server;
    struct http_reloads reloads;
    uint16_t port;
};

static const char plain[] = "text/plain; charset=utf-8";

void http_answer(struct evhttp_request *request, int code, const char *type,
                 const struct text *body)
{
    struct evkeyvalq *const headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    if (body->failed) {
        evhttp_send_reply(request, HTTP_SERVUNAVAIL, "Out of memory", NULL);
        return;
    }
    if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) { /* evhttp would send the body */
        char length[32];
        snprintf(length, sizeof length, "%zu", body->len_bytes);
        evhttp_add_header(headers, "Content-Length", length);
    } else {
        evbuffer_add(evhttp_request_get_output_buffer(request), body->at, body->len_bytes);
    }
    evhttp_send_reply(request, code, NULL, NULL);
}

void http_answer_line(struct evhttp_request *request, int code, const char *line)
{
    struct text body;
    text_init(&body);
    text_printf(&body, "%s\n", line);
    http_answer(request, code, plain, &body);
    text_deinit(&body);
}

static void judge(struct http *http, struct health *out)
{
    const struct reader *const reader = http->options.health->reader;
    runtime_pages_refresh(http->options.pages, reader_partition_count(reader));
    health_judge(http->options.health, clock_mono_ns(), out);
}

/* -------------------------------------------------------------------------------------- paths */

static void on_metrics(struct http *http, struct evhttp_request *request)
{
    struct health health;
    struct scrub_progress scrub;
    const struct instant now = clock_now();
    judge(http, &health);
    if (http->options.scrubber != NULL) { scrubber_progress(http->options.scrubber, &scrub); }
    const struct metrics_sources sources = {
        .reader = http->options.health->reader,
        .pages = http->options.pages,
        .stats = http->options.stats,
        .ready = health_is_ready(&health),
        .doorbell_connected = doorbell_is_connected(http->options.doorbell),
        .now_ns = now.mono_ns,
        .wall_ms = now.wall_ms,
        .scrub = http->options.scrubber != NULL ? &scrub : NULL,
    };
    struct text body;
    text_init(&body);
    metrics_write(&sources, &body);
    http_answer(request, HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
    text_deinit(&body);
}

static void on_livez(struct http *http, struct evhttp_request *request)
{
    (void)http;
    http_answer_line(request, HTTP_OK, "live");
}

static void on_readyz(struct http *http, struct evhttp_request *request)
{
    struct health health;
    judge(http, &health);
    const bool ready = health_is_ready(&health);
    http_answer_line(request, ready ? HTTP_OK : HTTP_SERVUNAVAIL,
                     ready ? "ready" : health.reasons[0]);
}

static void on_healthz(struct http *http, struct evhttp_request *request)
{
    struct health health;
    struct text body;
    judge(http, &health);
    text_init(&body);
    text_printf(&body, "{\"node\":\"");
    text_json(&body, http->options.node);
    text_printf(&body,
                "\",\"version\":\"%s\",\"ready\":%s,\"ingest\":\"%s\",\"fenced_batches\":%" PRIu64
                ",\"reasons\":[",
                PENSTOCK_VERSION, health_is_ready(&health) ? "true" : "false", health.state,
                health.fenced_batches);
    for (size_t i = 0; i < health.reason_count; i++) {
        text_printf(&body, "%s\"", i > 0 ? "," : "");
        text_json(&body, health.reasons[i]);
        text_printf(&body, "\"");
    }
    text_printf(&body, "%s]}\n", health.reasons_cut ? ",\"and more\"" : "");
    http_answer(request, health_is_ready(&health) ? HTTP_OK : HTTP_SERVUNAVAIL, "application/json",
                &body);
    text_deinit(&body);
}

/* NULL: it has been answered that there is none. */
static const struct rules_view *rules_of(struct http *http, struct evhttp_request *request)
{
    runtime_pages_refresh(http->options.pages,
                          reader_partition_count(http->options.health->reader));
    const struct rules_view *const view = runtime_pages_rules(http->options.pages);
    if (view == NULL) {
        http_answer_line(request, HTTP_SERVUNAVAIL,
                         "nothing is known of the rules: penstock-ingest has not started yet");
    }
    return view;
}

static void on_rules(struct http *http, struct evhttp_request *request)
{
    struct text body;
    const struct rules_view *const view = rules_of(http, request);
    if (view == NULL) { return; }
    text_init(&body);
    rules_json_write(view, &body);
    http_answer(request, HTTP_OK, "application/json", &body);
    text_deinit(&body);
}

bool http_is_local(struct evhttp_request *request)
{
    const struct sockaddr *const peer =
        evhttp_connection_get_addr(evhttp_request_get_connection(request));
    if (peer == NULL) { return false; }
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *const v4 = (const struct sockaddr_in *)(const void *)peer;
        return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (peer->sa_family != AF_INET6) { return false; }
    const struct in6_addr *const v6 = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) ||
           (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

static void answer_examples(const struct rules_view *view, const char *name,
                            struct evhttp_request *request)
{
    const size_t rule = name != NULL ? rules_view_find(view, bytes_of_text(name)) : 0;
    if (name == NULL) {
        http_answer_line(request, HTTP_BADREQUEST, "of which rule? /rules/examples?rule=NAME");
    } else if (rule == view->facts.rule_count) {
        http_answer_line(request, HTTP_NOTFOUND, "no rule in force has that name; see /rules");
    } else {
        struct text body;
        text_init(&body);
        rules_json_write_examples(view, rule, &body);
        http_answer(request, HTTP_OK, "application/json", &body);
        text_deinit(&body);
    }
}

/* Examples are what producers sent: not for everybody who may look at counts. */
static void on_rule_examples(struct http *http, struct evhttp_request *request)
{
    struct evkeyvalq query;
    if (!http_is_local(request)) {
        http_answer_line(
            request, FORBIDDEN,
            "examples are records, and are given to this machine alone: ask by 127.0.0.1, "
            "or use 'penstock rules examples' there");
        return;
    }
    const struct rules_view *const view = rules_of(http, request);
    if (view == NULL) { return; }
    const char *const text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    if (evhttp_parse_query_str(text != NULL ? text : "", &query) != 0) {
        http_answer_line(request, HTTP_BADREQUEST, "what stands behind the '?' cannot be read");
        return;
    }
    answer_examples(view, evhttp_find_header(&query, "rule"), request);
    evhttp_clear_headers(&query);
}

static void on_page(struct http *http, struct evhttp_request *request)
{
    struct health health;
    struct text body;
    judge(http, &health);
    text_init(&body);
    text_printf(&body, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    text_html(&body, http->options.node);
    text_printf(&body, " - Penstock</title></head><body>\n<h1>");
    text_html(&body, http->options.node);
    text_printf(&body, "</h1>\n<p>Penstock %s. penstock-ingest is %s; this node is %s.</p>\n<ul>\n",
                PENSTOCK_VERSION, health.state,
                health_is_ready(&health) ? "ready" : "<strong>not ready</strong>");
    for (size_t i = 0; i < health.reason_count; i++) {
        text_printf(&body, "<li>");
        text_html(&body, health.reasons[i]);
        text_printf(&body, "</li>\n");
    }
    if (health.fenced_batches > 0) {
        text_printf(&body,
                    "<li>%" PRIu64 " damaged batches are passed over: the log of penstock-serve "
                    "names them; run <code>penstock log verify</code></li>\n",
                    health.fenced_batches);
    }
    text_printf(&body, "</ul>\n<p><a href=\"/metrics\">metrics</a> <a href=\"/rules\">rules</a> "
                       "<a href=\"/healthz\">health</a> "
                       "<a href=\"/readyz\">ready</a> <a href=\"/livez\">live</a></p>\n"
                       "</body></html>\n");
    http_answer(request, HTTP_OK, "text/html; charset=utf-8", &body);
    text_deinit(&body);
}

/* ----------------------------------------------------------------------------------- dispatch */

static void on_reload(struct http *http, struct evhttp_request *request)
{
    http_reload_begin(&http->reloads, request);
}

static const struct {
    const char *path;
    void (*serve)(struct http *http, struct evhttp_request *request);
    bool posted; /* changes something */
} paths[] = {
    {"/", on_page, false},
    {"/metrics", on_metrics, false},
    {"/livez", on_livez, false},
    {"/readyz", on_readyz, false},
    {"/healthz", on_healthz, false},
    {"/rules", on_rules, false},
    {"/rules/examples", on_rule_examples, false},
    {"/rules/reload", on_reload, true},
};

static void refuse_method(struct evhttp_request *request, bool posted)
{
    const char *const allowed = posted ? "POST" : "GET, HEAD";
    evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", allowed);
    http_answer_line(request, HTTP_BADMETHOD, posted ? "only POST" : "only GET and HEAD");
}

static void on_request(struct evhttp_request *request, void *argument)
{
    struct http *const http = argument;
    serve_stats_add(http->options.stats, SERVE_http_requests, 1);
    const enum evhttp_cmd_type method = evhttp_request_get_command(request);
    const bool is_read = method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD;
    const struct evhttp_uri *const uri = evhttp_request_get_evhttp_uri(request);
    const char *const path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    for (size_t i = 0; path != NULL && i < ARRAY_COUNT(paths); i++) {
        if (strcmp(path, paths[i].path) != 0) { continue; }
        if (paths[i].posted ? method == EVHTTP_REQ_POST : is_read) {
            paths[i].serve(http, request);
        } else {
            refuse_method(request, paths[i].posted);
        }
        return;
    }
    if (is_read) {
        http_answer_line(request, HTTP_NOTFOUND, "no such page; see /");
    } else {
        refuse_method(request, false);
    }
}

/* --------------------------------------------------------------------------------------- life */

static uint16_t socket_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len_bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len_bytes) != 0) { return 0; }
    const bool v6 = address.ss_family == AF_INET6;
    return ntohs(v6 ? ((const struct sockaddr_in6 *)&address)->sin6_port
                    : ((const struct sockaddr_in *)&address)->sin_port);
}

enum status http_create(const struct http_options *options, struct http **out)
{
    *out = NULL;
    struct http *const http = calloc(1, sizeof *http);
    if (http == NULL) { return STATUS_NO_MEMORY; }
    http->options = *options;
    http_reloads_init(&http->reloads, options->base, options->runtime);
    http->server = evhttp_new(options->base);
    const int fd = http->server != NULL
                       ? listener_bind(options->host, options->port, "administrators (serve.admin)")
                       : -1;
    if (fd < 0) {
        http_destroy(http);
        return STATUS_IO;
    }
    http->port = socket_port(fd);
    if (evhttp_accept_socket(http->server, fd) != 0) {
        close(fd);
        http_destroy(http);
        return STATUS_IO;
    }
    /* Every method comes to us: evhttp's own answer to others is 501, without a word. */
    evhttp_set_allowed_methods(http->server, 0xffff);
    evhttp_set_max_headers_size(http->server, HEADERS_BYTES_MAX);
    evhttp_set_max_body_size(http->server, HEADERS_BYTES_MAX);
    evhttp_set_timeout(http->server, TIMEOUT_S);
    evhttp_set_gencb(http->server, on_request, http);
    *out = http;
    return STATUS_OK;
}

void http_destroy(struct http *http)
{
    if (http == NULL) { return; }
    http_reloads_deinit(&http->reloads);
    if (http->server != NULL) { evhttp_free(http->server); }
    free(http);
}

uint16_t http_port(const struct http *http) { return http->port; }
