#include "dataplane/control_socket.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/logger.h"
#include "wire/control.h"

struct client {
    int socket;      /* -1: free */
    int doorbell;    /* eventfd, -1: not subscribed */
    uint64_t ticket; /* of the reload that it waits for; 0: none */
};

static const struct client nobody = {-1, -1, 0};

struct control_socket {
    struct control_socket_options options;
    struct sockaddr_un address;
    int listener;
    struct client clients[CONTROL_SOCKET_CLIENTS_MAX];
};

static enum status listen_at(struct control_socket *control)
{
    (void)unlink(control->address.sun_path); /* a dead ingest's; the runtime lock is ours */
    control->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (control->listener < 0) { return status_from_errno(errno); }
    if (bind(control->listener, (const struct sockaddr *)&control->address,
             sizeof control->address) != 0) {
        return status_from_errno(errno);
    }
    if (chmod(control->address.sun_path, 0660) != 0) { return status_from_errno(errno); }
    if (listen(control->listener, CONTROL_SOCKET_CLIENTS_MAX) != 0) {
        return status_from_errno(errno);
    }
    return STATUS_OK;
}

enum status control_socket_create(const struct control_socket_options *options,
                                  struct control_socket **out)
{
    struct control_socket *const control = calloc(1, sizeof *control);
    if (control == NULL) { return STATUS_NO_MEMORY; }
    control->options = *options;
    control->listener = -1;
    for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX; i++) { control->clients[i] = nobody; }

    if (!control_address(options->runtime, &control->address)) {
        log_error("runtime directory %s: its name is too long for a socket (%zu bytes at most)",
                  options->runtime,
                  sizeof control->address.sun_path - sizeof CONTROL_SOCKET_NAME - 1);
        control_socket_destroy(control);
        return STATUS_INVALID;
    }
    const enum status status = listen_at(control);
    if (status != STATUS_OK) {
        log_error("control socket %s: %s", control->address.sun_path, strerror(errno));
        control_socket_destroy(control);
        return status;
    }
    *out = control;
    return STATUS_OK;
}

static void client_close(struct client *client)
{
    if (client->doorbell >= 0) { close(client->doorbell); }
    if (client->socket >= 0) { close(client->socket); }
    *client = nobody;
}

void control_socket_destroy(struct control_socket *control)
{
    if (control == NULL) { return; }
    for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX; i++) { client_close(&control->clients[i]); }
    if (control->listener >= 0) {
        close(control->listener);
        (void)unlink(control->address.sun_path);
    }
    free(control);
}

size_t control_socket_poll_fill(const struct control_socket *control, struct pollfd *out)
{
    size_t count = 0;
    out[count++] = (struct pollfd){.fd = control->listener, .events = POLLIN};
    for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX; i++) {
        /* A free one has descriptor -1, which poll skips: places stay fixed. */
        out[count++] = (struct pollfd){.fd = control->clients[i].socket, .events = POLLIN};
    }
    return count;
}

static void accept_client(struct control_socket *control)
{
    const int socket = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) { return; }
    for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX; i++) {
        if (control->clients[i].socket >= 0) { continue; }
        control->clients[i].socket = socket;
        return;
    }
    log_warning("control socket: more than %d clients: one turned away",
                CONTROL_SOCKET_CLIENTS_MAX);
    close(socket);
}

/* An answer, with the client's eventfd when it got one. False: the client did not take it. */
static bool send_answer(const struct client *client, const struct control_answer *answer)
{
    uint8_t packet[CONTROL_MESSAGE_BYTES];
    control_answer_encode(answer, packet);

    struct iovec bytes = {.iov_base = packet, .iov_len = sizeof packet};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    union {
        struct cmsghdr header;
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } ancillary = {0};
    if (answer->type == CONTROL_SUBSCRIBE && answer->status == STATUS_OK) {
        message.msg_control = ancillary.room;
        message.msg_controllen = sizeof ancillary.room;
        struct cmsghdr *const rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &client->doorbell, sizeof client->doorbell);
    }
    return sendmsg(client->socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof packet;
}

static enum status subscribe(struct client *client)
{
    if (client->doorbell >= 0) { return STATUS_EXISTS; }
    client->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return client->doorbell >= 0 ? STATUS_OK : status_from_errno(errno);
}

/* STATUS_OK: the answer comes later. One at a time is enough for a client. */
static enum status begin_reload(const struct control_socket *control, struct client *client)
{
    if (control->options.on_reload == NULL) { return STATUS_UNSUPPORTED; }
    if (client->ticket != 0) { return STATUS_EXISTS; }
    client->ticket = control->options.on_reload(control->options.context);
    return STATUS_OK;
}

static enum status begin_request(const struct control_socket *control, struct client *client,
                                 uint16_t type)
{
    switch (type) {
    case CONTROL_SUBSCRIBE: return subscribe(client);
    case CONTROL_RULES_RELOAD: return begin_reload(control, client);
    default: return STATUS_UNSUPPORTED;
    }
}

static void serve_client(const struct control_socket *control, struct client *client)
{
    uint8_t packet[CONTROL_MESSAGE_BYTES + 1]; /* one more: a longer packet is seen as such */
    const ssize_t len_bytes = recv(client->socket, packet, sizeof packet, 0);
    if (len_bytes < 0 && (errno == EAGAIN || errno == EINTR)) { return; }

    struct control_request request = {0};
    enum status status = STATUS_CLOSED;
    if (len_bytes > 0) {
        status = control_request_decode(bytes_of(packet, (size_t)len_bytes), &request);
    }
    if (status == STATUS_OK) { status = begin_request(control, client, request.type); }
    if (status == STATUS_OK && request.type == CONTROL_RULES_RELOAD) { return; }
    const struct control_answer answer = {request.type, status};
    /* A version or a type that we do not know is answered; whatever else is wrong ends it. */
    const bool answered = status == STATUS_OK || status == STATUS_UNSUPPORTED;
    if (!answered || !send_answer(client, &answer)) { client_close(client); }
}

void control_socket_poll_done(struct control_socket *control, const struct pollfd *polled,
                              size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) {
        if (polled[1 + i].fd >= 0 && polled[1 + i].revents != 0) {
            serve_client(control, &control->clients[i]);
        }
    }
    if (polled[0].revents & POLLIN) { accept_client(control); }
}

void control_socket_reloaded(struct control_socket *control, uint64_t ticket, enum status status,
                             const struct control_report *report)
{
    uint8_t packet[CONTROL_REPORT_BYTES_MAX];
    const size_t len_bytes = control_report_encode(report, packet);
    const struct control_answer answer = {CONTROL_RULES_RELOAD, status};
    for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX; i++) {
        struct client *const client = &control->clients[i];
        if (client->ticket == 0 || client->ticket > ticket) { continue; }
        client->ticket = 0;
        const bool taken = send_answer(client, &answer) && send(client->socket, packet, len_bytes,
                                                                MSG_NOSIGNAL) == (ssize_t)len_bytes;
        if (!taken) { client_close(client); }
    }
}

void control_socket_ring(struct control_socket *control)
{
    const uint64_t one = 1;
    for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX; i++) {
        const int doorbell = control->clients[i].doorbell;
        if (doorbell < 0) { continue; }
        const ssize_t written = write(doorbell, &one, sizeof one);
        (void)written; /* EAGAIN: it has rung 2^64-2 times unheard; it still rings */
    }
}
