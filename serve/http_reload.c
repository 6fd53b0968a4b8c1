#include "serve/http_reload.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    HTTP_STATUS_ACCEPTED = 202,
    HTTP_STATUS_FORBIDDEN = 403,
    HTTP_STATUS_CONFLICT = 409,
    HTTP_STATUS_UNPROCESSABLE = 422,
    HTTP_STATUS_GATEWAY_TIMEOUT = 504,
    RELOAD_TIMEOUT_MS = 120 * 1000, /* limits.compile, and some for workers that are late */
};

/* ------------------------------------------------------------------------------------ the end */

/* The request is its connection's again. */
static struct evhttp_request *let_go(struct http_reload *item)
{
    struct evhttp_request *const request = item->request;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
    rules_reload_destroy(item->reload);
    item->request = NULL;
    item->reload = NULL;
    return request;
}

static void on_close(struct evhttp_connection *connection, void *argument)
{
    (void)connection;
    (void)let_go(argument); /* nobody waits any more; ingest loads on */
}

static int code_of(enum status status)
{
    switch (status) {
    case STATUS_OK: return HTTP_OK;
    case STATUS_BUSY: return HTTP_STATUS_ACCEPTED;
    case STATUS_EXISTS: return HTTP_STATUS_CONFLICT;
    case STATUS_INVALID:
    case STATUS_NOT_FOUND: return HTTP_STATUS_UNPROCESSABLE;
    default: return HTTP_SERVUNAVAIL;
    }
}

static void answer_loaded(struct evhttp_request *request, enum status status,
                          const struct control_report *report)
{
    struct text body;
    text_init(&body);
    text_printf(&body,
                "{\"epoch\":\"%016" PRIx64 "\",\"rules\":%" PRIu32 ",\"workers\":%" PRIu32
                ",\"in_force\":%s,\"took_ms\":%" PRIu32 ",\"text\":\"",
                report->epoch, report->rule_count, report->worker_count,
                status == STATUS_OK ? "true" : "false", report->took_ms);
    text_json_bytes(&body, report->text);
    text_printf(&body, "\"}\n");
    http_answer(request, code_of(status), "application/json", &body);
    text_deinit(&body);
}

static void answer_refused(struct evhttp_request *request, enum status status,
                           const struct control_report *report)
{
    struct text body;
    text_init(&body);
    text_printf(&body, "%.*s", (int)report->text.len_bytes, (const char *)report->text.at);
    text_printf(&body, "rules not reloaded: those with epoch %016" PRIx64 " stay in force\n",
                report->epoch);
    http_answer(request, code_of(status), "text/plain; charset=utf-8", &body);
    text_deinit(&body);
}

static void on_end(void *argument, enum status status, const struct control_report *report)
{
    struct http_reload *const item = argument;
    if (report == NULL) {
        struct evhttp_request *const request = let_go(item);
        if (status == STATUS_BUSY) {
            http_answer_line(request, HTTP_STATUS_GATEWAY_TIMEOUT,
                             "penstock-ingest did not answer in time; it may load on");
        } else {
            http_answer_line(request, HTTP_SERVUNAVAIL, "penstock-ingest is away");
        }
        return;
    }
    /* The report lies in the reload: that goes last. */
    struct evhttp_request *const request = item->request;
    struct rules_reload *const reload = item->reload;
    item->reload = NULL;
    (void)let_go(item);
    if (status == STATUS_OK || status == STATUS_BUSY) {
        answer_loaded(request, status, report);
    } else {
        answer_refused(request, status, report);
    }
    rules_reload_destroy(reload);
}

/* ---------------------------------------------------------------------------------- the begin */

static struct http_reload *find_free(struct http_reloads *reloads)
{
    for (size_t i = 0; i < HTTP_RELOADS_MAX; i++) {
        if (reloads->items[i].request == NULL) { return &reloads->items[i]; }
    }
    return NULL;
}

void http_reload_begin(struct http_reloads *reloads, struct evhttp_request *request)
{
    struct evhttp_connection *const connection = evhttp_request_get_connection(request);
    if (!http_is_local(request)) {
        http_answer_line(request, HTTP_STATUS_FORBIDDEN,
                         "rules are reloaded from this host only (127.0.0.0/8, ::1)");
        return;
    }
    struct http_reload *const item = find_free(reloads);
    if (item == NULL) {
        http_answer_line(request, HTTP_SERVUNAVAIL, "too many reloads are under way");
        return;
    }
    const struct rules_reload_options options = {
        .base = reloads->base,
        .runtime = reloads->runtime,
        .timeout_ms = RELOAD_TIMEOUT_MS,
        .on_end = on_end,
        .argument = item,
    };
    const enum status status = rules_reload_begin(&options, &item->reload);
    if (status != STATUS_OK) {
        http_answer_line(request, HTTP_SERVUNAVAIL,
                         status == STATUS_NOT_FOUND ? "penstock-ingest is away" : "out of memory");
        return;
    }
    item->request = request;
    evhttp_connection_set_closecb(connection, on_close, item);
}

/* --------------------------------------------------------------------------------------- life */

void http_reloads_init(struct http_reloads *reloads, struct event_base *base, const char *runtime)
{
    *reloads = (struct http_reloads){.base = base, .runtime = runtime};
}

void http_reloads_deinit(struct http_reloads *reloads)
{
    for (size_t i = 0; i < HTTP_RELOADS_MAX; i++) {
        if (reloads->items[i].request != NULL) { (void)let_go(&reloads->items[i]); }
    }
}
