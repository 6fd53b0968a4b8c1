#include "serve/doorbell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/logger.h"
#include "serve/ingest_socket.h"
#include "wire/control.h"

enum {
    RETRY_MS = 200,
    ANSWER_TIMEOUT_MS = 2000,
};

struct doorbell {
    struct doorbell_options options;
    int socket_fd;   /* -1: not connected */
    int bell_fd;     /* -1: not subscribed */
    bool complained; /* since it was last connected */
    struct event *on_socket;
    struct event *on_bell;
    struct event *on_retry;
};

static void doorbell_retry_later(struct doorbell *doorbell)
{
    const struct timeval wait = {0, RETRY_MS * 1000};
    evtimer_add(doorbell->on_retry, &wait);
}

static void doorbell_hang_up(struct doorbell *doorbell)
{
    if (doorbell->on_socket != NULL) { event_free(doorbell->on_socket); }
    if (doorbell->on_bell != NULL) { event_free(doorbell->on_bell); }
    if (doorbell->socket_fd >= 0) { close(doorbell->socket_fd); }
    if (doorbell->bell_fd >= 0) { close(doorbell->bell_fd); }
    doorbell->on_socket = NULL;
    doorbell->on_bell = NULL;
    doorbell->socket_fd = -1;
    doorbell->bell_fd = -1;
}

static void on_bell(evutil_socket_t fd, short what, void *argument)
{
    (void)what;
    struct doorbell *const doorbell = argument;
    uint64_t rings = 0;
    if (read(fd, &rings, sizeof rings) == (ssize_t)sizeof rings) {
        doorbell->options.on_ring(doorbell->options.argument);
    }
}

/* The descriptor that came along with a message; -1: none. */
static int take_descriptor(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) { continue; }
        if (part->cmsg_len != CMSG_LEN(sizeof fd)) { continue; }
        memcpy(&fd, CMSG_DATA(part), sizeof fd);
    }
    return fd;
}

/* Bytes of one message, 0 at the end, -1 on an error; `*fd` is -1 or ours to close. */
static ssize_t receive_message(int socket_fd, uint8_t *out, size_t capacity, int *fd)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {out, capacity};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    const ssize_t came = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    *fd = came > 0 ? take_descriptor(&message) : -1;
    return came;
}

/* True when the answer brought a bell. */
static bool doorbell_take_answer(struct doorbell *doorbell, struct bytes message, int fd)
{
    struct control_answer answer;
    if (control_answer_decode(message, &answer) != STATUS_OK) { return false; }
    if (answer.type != CONTROL_SUBSCRIBE || answer.status != STATUS_OK || fd < 0) { return false; }

    doorbell->bell_fd = fd;
    doorbell->complained = false;
    (void)evutil_make_socket_nonblocking(fd);
    doorbell->on_bell =
        event_new(doorbell->options.base, fd, EV_READ | EV_PERSIST, on_bell, doorbell);
    if (doorbell->on_bell == NULL || event_add(doorbell->on_bell, NULL) != 0) { return false; }
    evtimer_del(doorbell->on_retry); /* no answer is awaited any more */
    return true;
}

/* Anything but the one answer that is due is the end: ingest went away, or is not ours. */
static void on_socket(evutil_socket_t fd, short what, void *argument)
{
    (void)what;
    struct doorbell *const doorbell = argument;
    uint8_t message[CONTROL_MESSAGE_BYTES];
    int bell_fd = -1;
    const ssize_t came = receive_message(fd, message, sizeof message, &bell_fd);
    if (came < 0 && (errno == EAGAIN || errno == EINTR)) { return; }

    if (came > 0 && doorbell->bell_fd < 0 &&
        doorbell_take_answer(doorbell, bytes_of(message, (size_t)came), bell_fd)) {
        return;
    }
    if (bell_fd >= 0 && bell_fd != doorbell->bell_fd) { close(bell_fd); }
    doorbell_hang_up(doorbell);
    doorbell_retry_later(doorbell);
}

/* Said once: it is tried five times a second. That ingest is away is health's to say. */
COLD static void doorbell_complain(struct doorbell *doorbell, int error)
{
    const bool is_away = error == ENOENT || error == ECONNREFUSED || error == EAGAIN;
    if (is_away || doorbell->complained) { return; }
    doorbell->complained = true;
    const bool is_refused = error == EACCES || error == EPERM;
    log_warning("cannot connect to penstock-ingest's %s/%s: %s; new records are seen by a timer, "
                "up to 100 ms later; %s",
                doorbell->options.runtime, CONTROL_SOCKET_NAME, strerror(error),
                is_refused ? "run penstock-serve as the user or in the group of penstock-ingest"
                           : "see `runtime` in the configuration");
}

static bool doorbell_subscribe(struct doorbell *doorbell)
{
    const struct control_request request = {CONTROL_SUBSCRIBE};
    uint8_t message[CONTROL_MESSAGE_BYTES];
    control_request_encode(&request, message);

    doorbell->socket_fd = ingest_socket_connect(doorbell->options.runtime);
    if (doorbell->socket_fd < 0) {
        doorbell_complain(doorbell, errno);
        return false;
    }
    doorbell->on_socket = event_new(doorbell->options.base, doorbell->socket_fd,
                                    EV_READ | EV_PERSIST, on_socket, doorbell);
    if (doorbell->on_socket == NULL || event_add(doorbell->on_socket, NULL) != 0) { return false; }
    return send(doorbell->socket_fd, message, sizeof message, MSG_NOSIGNAL) ==
           (ssize_t)sizeof message;
}

/* Also when an answer is overdue: hangs up and begins again. */
static void on_retry(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct doorbell *const doorbell = argument;
    doorbell_hang_up(doorbell);
    if (doorbell_subscribe(doorbell)) {
        const struct timeval wait = {ANSWER_TIMEOUT_MS / 1000, 0};
        evtimer_add(doorbell->on_retry, &wait);
        return;
    }
    doorbell_hang_up(doorbell);
    doorbell_retry_later(doorbell);
}

enum status doorbell_create(const struct doorbell_options *options, struct doorbell **out)
{
    *out = NULL;
    struct doorbell *const doorbell = calloc(1, sizeof *doorbell);
    if (doorbell == NULL) { return STATUS_NO_MEMORY; }
    doorbell->options = *options;
    doorbell->socket_fd = -1;
    doorbell->bell_fd = -1;
    doorbell->on_retry = evtimer_new(options->base, on_retry, doorbell);
    if (doorbell->on_retry == NULL) {
        free(doorbell);
        return STATUS_NO_MEMORY;
    }
    on_retry(-1, 0, doorbell);
    *out = doorbell;
    return STATUS_OK;
}

void doorbell_destroy(struct doorbell *doorbell)
{
    if (doorbell == NULL) { return; }
    doorbell_hang_up(doorbell);
    event_free(doorbell->on_retry);
    free(doorbell);
}

bool doorbell_is_connected(const struct doorbell *doorbell) { return doorbell->bell_fd >= 0; }
