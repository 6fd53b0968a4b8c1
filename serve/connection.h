/* connection.h - one Kafka client's TCP connection: frames in, answers out, strictly in order.
 *
 * Purpose  Cuts the stream into request frames, runs one request at a time, sends its answer.
 *          What comes behind it waits in the input buffer, and beyond that in the kernel's.
 * Owns     The socket, its buffers and its request; frees itself when it closes.
 * Threads  The event loop.
 * Memory   Input: 4 KiB, growing with the bytes that really came, up to one frame (64 KiB before a
 *          first valid request, 1 MiB behind it) and 4 KiB. Output: one answer.
 * Times    10 s for a frame's length and header, 30 s for the frame, 60 s for any progress of an
 *          answer, 10 min idle; a parked fetch waits as long as it asked to. */
#pragma once

#include <event2/event.h>
#include <event2/util.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "serve/kafka_request.h"

BEGIN_C_DECLS

struct connection; /* opaque */
TAILQ_HEAD(connection_list, connection);

/* How long a connection may take for each stage. */
struct connection_patience {
    uint32_t first_request_ms; /* without a byte, before a first valid request */
    uint32_t header_ms;        /* from a request's first byte to its length and header */
    uint32_t frame_ms;         /* from there too, to its last byte */
    uint32_t sending_ms;       /* without any progress of an answer */
    uint32_t idle_ms;          /* between requests */
};

/* What all connections of a listener share. */
struct connection_set {
    struct event_base *base;
    const struct kafka_service *service;
    struct kafka_address advertise;      /* host NULL: the address that the client came to */
    struct connection_patience patience; /* the times above; tests have less */
    struct connection_list all;
    struct connection_list parked;
    bool draining;              /* every connection closes behind the answer it owes */
    uint64_t complaint_next_ns; /* lines about bad clients are rationed */
    uint64_t complaints_omitted;
};

enum {
    CONNECTION_FRAME_BYTES_FIRST = 64 << 10,
    CONNECTION_FRAME_BYTES_MAX = 1 << 20,
};

void connection_set_init(struct connection_set *set, struct event_base *base,
                         const struct kafka_service *service, struct kafka_address advertise);
/* Closes what is left. */
void connection_set_deinit(struct connection_set *set);

/* Takes over an accepted, non-blocking socket. STATUS_NO_MEMORY: it is closed. */
MUST_CHECK enum status connection_accept(struct connection_set *set, evutil_socket_t fd);

/* Data may have come: every parked fetch looks again. */
void connection_set_wake(struct connection_set *set);
/* The cold read that `connection` waited for is finished. */
void connection_on_read_finished(struct connection *connection);
/* From now on connections close as soon as they owe nothing; parked fetches are answered. */
void connection_set_drain(struct connection_set *set);

END_C_DECLS
