#include "serve/rules_reload.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/ingest_socket.h"

struct rules_reload {
    struct rules_reload_options options;
    int socket_fd;
    struct event *on_packet;                      /* its time-out is the reload's */
    bool is_answered;                             /* the report is to come */
    enum status status;                           /* as answered */
    uint8_t packet[CONTROL_REPORT_BYTES_MAX + 1]; /* one more: a longer one is seen as such */
};

static void end(struct rules_reload *reload, enum status status,
                const struct control_report *report)
{
    (void)event_del(reload->on_packet);
    reload->options.on_end(reload->options.argument, status, report);
}

/* The first packet. A refusal has no report behind it. */
static void take_answer(struct rules_reload *reload, struct bytes packet)
{
    struct control_answer answer;
    const enum status status = control_answer_decode(packet, &answer);
    if (status != STATUS_OK || answer.type != CONTROL_RULES_RELOAD) {
        end(reload, STATUS_UNSUPPORTED, NULL);
        return;
    }
    if (answer.status == STATUS_UNSUPPORTED) { /* an ingest that does not know it */
        end(reload, answer.status, NULL);
        return;
    }
    reload->is_answered = true;
    reload->status = answer.status;
}

static void take_report(struct rules_reload *reload, struct bytes packet)
{
    struct control_report report;
    if (control_report_decode(packet, &report) != STATUS_OK) {
        end(reload, STATUS_UNSUPPORTED, NULL);
        return;
    }
    end(reload, reload->status, &report);
}

static void on_packet(evutil_socket_t fd, short what, void *argument)
{
    struct rules_reload *const reload = argument;
    if (what & EV_TIMEOUT) {
        end(reload, STATUS_BUSY, NULL);
        return;
    }
    const ssize_t came = recv(fd, reload->packet, sizeof reload->packet, 0);
    if (came < 0 && (errno == EAGAIN || errno == EINTR)) { return; }
    if (came <= 0) {
        end(reload, STATUS_NOT_FOUND, NULL);
        return;
    }
    const struct bytes packet = bytes_of(reload->packet, (size_t)came);
    if (reload->is_answered) {
        take_report(reload, packet);
    } else {
        take_answer(reload, packet);
    }
}

static bool ask(const struct rules_reload *reload)
{
    uint8_t message[CONTROL_MESSAGE_BYTES];
    const struct control_request request = {CONTROL_RULES_RELOAD};
    control_request_encode(&request, message);
    return send(reload->socket_fd, message, sizeof message, MSG_NOSIGNAL) ==
           (ssize_t)sizeof message;
}

enum status rules_reload_begin(const struct rules_reload_options *options,
                               struct rules_reload **out)
{
    struct rules_reload *const reload = calloc(1, sizeof *reload);
    if (reload == NULL) { return STATUS_NO_MEMORY; }
    reload->options = *options;
    reload->socket_fd = ingest_socket_connect(options->runtime);
    if (reload->socket_fd < 0 || !ask(reload)) {
        rules_reload_destroy(reload);
        return STATUS_NOT_FOUND;
    }
    const struct timeval wait = {(time_t)(options->timeout_ms / 1000),
                                 (suseconds_t)(options->timeout_ms % 1000 * 1000)};
    reload->on_packet =
        event_new(options->base, reload->socket_fd, EV_READ | EV_PERSIST, on_packet, reload);
    if (reload->on_packet == NULL || event_add(reload->on_packet, &wait) != 0) {
        rules_reload_destroy(reload);
        return STATUS_NO_MEMORY;
    }
    *out = reload;
    return STATUS_OK;
}

void rules_reload_destroy(struct rules_reload *reload)
{
    if (reload == NULL) { return; }
    if (reload->on_packet != NULL) { event_free(reload->on_packet); }
    if (reload->socket_fd >= 0) { close(reload->socket_fd); }
    free(reload);
}
