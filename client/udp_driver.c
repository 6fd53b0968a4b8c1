#include "client/udp_driver.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h; a header older than the kernel */
#endif

enum {
    RECEIVE_BYTES = 2048, /* the appliance sends 1,200 at most; what is longer is cut and invalid */
    SOCKET_BUFFER_BYTES = 4 << 20,
    SEND_ATTEMPTS_MAX =
        8, /* errors in a row that are not about this batch, before it is given up */
    FULL_WAIT_MS = 1,
};

struct segment_control {
    _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
};

struct udp_driver {
    uint32_t datagram_bytes_max;
    bool gso;
    uint8_t *room;
    size_t used_bytes;
    uint32_t count;
    uint16_t sizes[UDP_DRIVER_BATCH];
    struct udp_driver_stats stats;

    /* One message a run; a run is `runs[i]` datagrams. */
    struct mmsghdr messages[UDP_DRIVER_BATCH];
    struct iovec slices[UDP_DRIVER_BATCH];
    struct segment_control controls[UDP_DRIVER_BATCH];
    uint32_t runs[UDP_DRIVER_BATCH];

    struct mmsghdr incoming[UDP_DRIVER_BATCH];
    struct iovec incoming_slices[UDP_DRIVER_BATCH];
    uint8_t incoming_room[UDP_DRIVER_BATCH][RECEIVE_BYTES];
};

enum status udp_driver_create(uint32_t datagram_bytes_max, bool gso, struct udp_driver **out)
{
    assert(datagram_bytes_max > 0);
    assert(datagram_bytes_max <= UDP_DRIVER_DATAGRAM_BYTES_MAX);

    struct udp_driver *const driver = calloc(1, sizeof *driver);
    if (driver == NULL) { return STATUS_NO_MEMORY; }
    driver->room = malloc((size_t)datagram_bytes_max * UDP_DRIVER_BATCH);
    if (driver->room == NULL) {
        free(driver);
        return STATUS_NO_MEMORY;
    }
    driver->datagram_bytes_max = datagram_bytes_max;
    driver->gso = gso;
    for (size_t i = 0; i < UDP_DRIVER_BATCH; i++) {
        driver->incoming_slices[i] = (struct iovec){driver->incoming_room[i], RECEIVE_BYTES};
        driver->incoming[i].msg_hdr.msg_iov = &driver->incoming_slices[i];
        driver->incoming[i].msg_hdr.msg_iovlen = 1;
    }
    *out = driver;
    return STATUS_OK;
}

void udp_driver_destroy(struct udp_driver *driver)
{
    if (driver == NULL) { return; }
    free(driver->room);
    free(driver);
}

const struct udp_driver_stats *udp_driver_stats_of(const struct udp_driver *driver)
{
    return &driver->stats;
}

/* ------------------------------------------------------------------------------------- sockets */

static bool socket_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static bool socket_bind(int fd, const struct udp_path *path)
{
    const struct sockaddr_in local = {
        .sin_family = AF_INET, .sin_addr = path->local, .sin_port = htons(path->local_port)};
    return bind(fd, (const struct sockaddr *)&local, sizeof local) == 0;
}

static bool socket_prepare(int fd, const struct udp_path *path)
{
    if (!socket_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)) { return false; }
    if (!socket_bind(fd, path)) { return false; }
    /* Buffers as large as the system allows: less is no error. */
    if (!socket_set(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES)) { return false; }
    if (!socket_set(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES)) { return false; }
    return connect(fd, (const struct sockaddr *)&path->remote, sizeof path->remote) == 0;
}

static bool kernel_has_gso(int fd)
{
    int value;
    socklen_t len_bytes = sizeof value;
    return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &value, &len_bytes) == 0;
}

static uint16_t local_port_of(int fd)
{
    struct sockaddr_in local = {0};
    socklen_t len_bytes = sizeof local;
    const int failed = getsockname(fd, (struct sockaddr *)&local, &len_bytes);
    return failed == 0 ? ntohs(local.sin_port) : 0;
}

enum status udp_socket_open(const struct udp_driver *driver, const struct udp_path *path,
                            struct udp_socket *out)
{
    *out = (struct udp_socket){.fd = -1};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { return status_from_errno(errno); }
    if (!socket_prepare(fd, path)) {
        const int error = errno;
        close(fd);
        errno = error;
        return error == EADDRINUSE ? STATUS_BUSY : status_from_errno(error);
    }
    out->fd = fd;
    out->gso = driver->gso && kernel_has_gso(fd);
    out->local_port = local_port_of(fd);
    return STATUS_OK;
}

void udp_socket_close(struct udp_socket *socket)
{
    if (socket->fd >= 0) { close(socket->fd); }
    socket->fd = -1;
}

/* ------------------------------------------------------------------------------------- sending */

uint8_t *udp_driver_room(struct udp_driver *driver)
{
    return driver->count < UDP_DRIVER_BATCH ? driver->room + driver->used_bytes : NULL;
}

void udp_driver_filled(struct udp_driver *driver, size_t len_bytes)
{
    assert(driver->count < UDP_DRIVER_BATCH);
    assert(len_bytes > 0 && len_bytes <= driver->datagram_bytes_max);
    driver->sizes[driver->count++] = (uint16_t)len_bytes;
    driver->used_bytes += len_bytes;
}

/* How many datagrams from `begin` on can go as one: all of one size, but for a shorter last one. */
static uint32_t run_of(const struct udp_driver *driver, uint32_t begin, bool gso)
{
    if (!gso) { return 1; }
    const uint32_t size = driver->sizes[begin];
    uint32_t run_bytes = size;
    uint32_t end = begin + 1;
    while (end < driver->count && driver->sizes[end] <= size &&
           driver->sizes[end] <= UDP_DRIVER_DATAGRAM_BYTES_MAX - run_bytes) {
        run_bytes += driver->sizes[end];
        if (driver->sizes[end++] < size) { break; }
    }
    return end - begin;
}

static void message_cut_by_kernel(struct msghdr *message, struct segment_control *control,
                                  uint16_t segment_bytes)
{
    message->msg_control = control->bytes;
    message->msg_controllen = sizeof control->bytes;
    struct cmsghdr *const header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment_bytes);
    memcpy(CMSG_DATA(header), &segment_bytes, sizeof segment_bytes);
}

/* Fills `messages` with the datagrams from `begin` on, which start at `at`; returns how many. */
static uint32_t messages_of(struct udp_driver *driver, uint32_t begin, uint8_t *at, bool gso)
{
    uint32_t message_count = 0;
    while (begin < driver->count) {
        const uint32_t run = run_of(driver, begin, gso);
        size_t run_bytes = 0;
        for (uint32_t i = begin; i < begin + run; i++) { run_bytes += driver->sizes[i]; }

        driver->slices[message_count] = (struct iovec){at, run_bytes};
        struct msghdr *const message = &driver->messages[message_count].msg_hdr;
        *message = (struct msghdr){.msg_iov = &driver->slices[message_count], .msg_iovlen = 1};
        if (run > 1) {
            message_cut_by_kernel(message, &driver->controls[message_count], driver->sizes[begin]);
        }
        driver->runs[message_count++] = run;
        begin += run;
        at += run_bytes;
    }
    return message_count;
}

static void count_sent(struct udp_driver *driver, uint32_t message)
{
    driver->stats.datagrams_sent += driver->runs[message];
    driver->stats.bytes_sent += driver->slices[message].iov_len;
    if (driver->runs[message] > 1) { driver->stats.datagrams_sent_gso += driver->runs[message]; }
}

enum after_error {
    AFTER_AGAIN,   /* the error was not about this message */
    AFTER_PLAINLY, /* without GSO */
    AFTER_NEXT,    /* leave this message out */
    AFTER_GIVE_UP, /* leave the batch */
};

static enum after_error judge(struct udp_driver *driver, const struct udp_socket *socket, int error,
                              uint32_t run)
{
    switch (error) {
    case EINTR: return AFTER_AGAIN;
    case ECONNREFUSED: /* ICMP's answer to an earlier datagram; reading the error cleared it */
    case EHOSTUNREACH:
    case ENETUNREACH: driver->stats.unreachable++; return AFTER_AGAIN;
    case EAGAIN:
    case ENOBUFS: {
        struct pollfd full = {.fd = socket->fd, .events = POLLOUT};
        return poll(&full, 1, FULL_WAIT_MS) == 1 ? AFTER_AGAIN : AFTER_GIVE_UP;
    }
    default: return run > 1 ? AFTER_PLAINLY : AFTER_NEXT; /* EIO, EINVAL, EMSGSIZE */
    }
}

static void batch_empty(struct udp_driver *driver)
{
    driver->count = 0;
    driver->used_bytes = 0;
}

void udp_driver_send(struct udp_driver *driver, struct udp_socket *socket)
{
    uint32_t begin = 0; /* datagrams and bytes that are done with */
    uint8_t *at = driver->room;
    uint32_t attempts = 0;

    while (begin < driver->count && attempts < SEND_ATTEMPTS_MAX && socket->fd >= 0) {
        const uint32_t message_count = messages_of(driver, begin, at, socket->gso);
        const int sent = sendmmsg(socket->fd, driver->messages, message_count, MSG_NOSIGNAL);
        for (int i = 0; i < sent; i++) {
            count_sent(driver, (uint32_t)i);
            begin += driver->runs[i];
            at += driver->slices[i].iov_len;
        }
        if (sent > 0) {
            attempts = 0;
            continue;
        }
        const enum after_error after = judge(driver, socket, errno, driver->runs[0]);
        if (after == AFTER_GIVE_UP) { break; }
        if (after == AFTER_AGAIN) { attempts++; }
        if (after == AFTER_PLAINLY) { socket->gso = false; }
        if (after == AFTER_NEXT) {
            driver->stats.datagrams_refused++;
            begin++;
            at += driver->slices[0].iov_len;
        }
    }
    driver->stats.datagrams_refused += driver->count - begin;
    batch_empty(driver);
}

/* ----------------------------------------------------------------------------------- receiving */

size_t udp_driver_receive(struct udp_driver *driver, const struct udp_socket *socket,
                          struct bytes out[UDP_DRIVER_BATCH])
{
    int got;
    uint32_t attempts = 0;
    do {
        got = recvmmsg(socket->fd, driver->incoming, UDP_DRIVER_BATCH, MSG_DONTWAIT, NULL);
        if (got < 0 && errno == ECONNREFUSED) { driver->stats.unreachable++; }
    } while (got < 0 && errno != EAGAIN && errno != EBADF && ++attempts < SEND_ATTEMPTS_MAX);
    if (got <= 0) { return 0; }

    for (int i = 0; i < got; i++) {
        out[i] = bytes_of(driver->incoming_room[i], driver->incoming[i].msg_len);
    }
    driver->stats.datagrams_received += (uint64_t)got;
    return (size_t)got;
}
