/* udp_driver.h - datagrams between lanes and the kernel, many a system call.
 *
 * Purpose  Batches: sendmmsg, and UDP GSO (UDP_SEGMENT, Linux 4.18) for runs of datagrams of one
 *          size; recvmmsg. DF is set on everything, and the kernel's own idea of the path's MTU is
 *          not asked (IP_PMTUDISC_PROBE): a lane probes for itself.
 * Owns     Buffers, one set for all sockets of a thread. A socket is its opener's.
 * Threads  One owner calls it. Nothing waits, but for one millisecond where a socket's buffer is
 * full. Errors   UDP promises nothing, so neither does this: a datagram that the kernel refuses
 * (too long for the link, buffer full) is counted and counts as lost on the way. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    UDP_DRIVER_BATCH = 64, /* datagrams a batch, the kernel's UDP_MAX_SEGMENTS */
    UDP_DRIVER_DATAGRAM_BYTES_MAX = 65507,
};

struct udp_driver; /* opaque */

struct udp_socket {
    int fd;   /* -1: closed */
    bool gso; /* falls for good when the device or kernel refuses a run */
    uint16_t local_port;
};

struct udp_path {
    struct sockaddr_in remote;
    struct in_addr local; /* INADDR_ANY: the kernel picks */
    uint16_t local_port;  /* 0: the kernel picks */
};

struct udp_driver_stats {
    uint64_t datagrams_sent;
    uint64_t datagrams_sent_gso; /* in runs of two or more */
    uint64_t bytes_sent;
    uint64_t datagrams_refused; /* by the kernel: as if lost */
    uint64_t unreachable;       /* ECONNREFUSED and its like were reported */
    uint64_t datagrams_received;
};

/* STATUS_NO_MEMORY is its one failure. `gso` false: never try. */
MUST_CHECK enum status udp_driver_create(uint32_t datagram_bytes_max, bool gso,
                                         struct udp_driver **out);
void udp_driver_destroy(struct udp_driver *driver); /* NULL is fine */

/* A connected, non-blocking socket. Errors as status_from_errno (a local port that is taken:
 * STATUS_BUSY); errno is the failing call's. */
MUST_CHECK enum status udp_socket_open(const struct udp_driver *driver, const struct udp_path *path,
                                       struct udp_socket *out);
void udp_socket_close(struct udp_socket *socket); /* a closed one is fine */

/* Room for the batch's next datagram, datagram_bytes_max long; NULL: the batch is full, send it. */
uint8_t *udp_driver_room(struct udp_driver *driver);
/* `len_bytes` of the room were filled: 1 .. datagram_bytes_max. */
void udp_driver_filled(struct udp_driver *driver, size_t len_bytes);

/* Sends the batch over `socket`; it is empty afterwards in any case. */
void udp_driver_send(struct udp_driver *driver, struct udp_socket *socket);

/* Up to UDP_DRIVER_BATCH datagrams that wait. The slices live until the next call. 0: none. */
size_t udp_driver_receive(struct udp_driver *driver, const struct udp_socket *socket,
                          struct bytes out[UDP_DRIVER_BATCH]);

const struct udp_driver_stats *udp_driver_stats_of(const struct udp_driver *driver);

END_C_DECLS
