/* kafka_request.h - one request from its frame to its answer; no socket, no clock.
 *
 * Purpose  Parses the header, finds the API, steps its handler until there is an answer. What a
 *          connection does to a request is here; what an API means is in kafka_<api>.c.
 * Owns     The answer being built and the state of a fetch. Borrows the frame until it ends.
 * Threads  The event loop.
 * Life     begin, then resume while PARKED or READING, then take the answer, then end. end is
 *          right at any time: it cancels. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "serve/catalog.h"
#include "serve/kafka_api.h"
#include "serve/kafka_wire.h"

BEGIN_C_DECLS

enum {
    KAFKA_NODE_ID = 1,
    KAFKA_WHY_BYTES = 160,
    KAFKA_CLUSTER_ID_TEXT_BYTES = 23, /* 22 characters of base64url and the end */
    /* Records in one answer; another MiB of room is for what surrounds them. */
    KAFKA_FETCH_BYTES_MAX = 16 << 20,
    KAFKA_ANSWER_BYTES_MAX = 48 << 20,
    /* All answers together: past it, fetches wait. */
    KAFKA_ANSWERS_BYTES_MAX = 256 << 20,
};

/* What all requests share. */
struct kafka_service {
    struct catalog *catalog;
    struct serve_stats *stats;
};

/* What this connection's client is told about where we are (trap: it must be reachable for it). */
struct kafka_address {
    const char *host;
    uint16_t port;
};

struct kafka_fetch; /* kafka_fetch.c */

/* How far a ListOffsets request is: its answer grows beside its input. */
struct kafka_list_offsets {
    bool begun;
    bool in_topic;
    int32_t topics_left;
    int32_t partitions_left;
    int32_t topic;         /* as reader_topic_find */
    uint64_t behind_fence; /* where this partition's search goes on; 0: no fence was met */
};

struct kafka_request {
    const struct kafka_service *service;
    struct kafka_address address;
    const struct kafka_api *api;
    int16_t version;
    int32_t correlation_id;
    struct kafka_input in;
    struct kafka_output out;
    struct catalog_wait wait;
    uint64_t begun_ns;
    uint64_t now_ns;
    uint64_t deadline_ns; /* of a fetch that parked; 0: it did not */
    bool waited;          /* the deadline came, or waiting is over for another reason */
    struct kafka_fetch *fetch;
    struct kafka_list_offsets list_offsets;
    const char *why_closed;         /* with KAFKA_TURN_CLOSE: for the log */
    char why_text[KAFKA_WHY_BYTES]; /* room for one that is made up on the spot */
};

/* Parses `frame` (behind its length) and takes the first step. `owner` is what
 * catalog_take_finished names while READING. */
enum kafka_turn kafka_request_begin(struct kafka_request *request,
                                    const struct kafka_service *service,
                                    struct kafka_address address, void *owner, struct bytes frame,
                                    uint64_t now_ns);

/* Takes the next step. `must_answer`: no more parking (too much is waiting behind it). */
enum kafka_turn kafka_request_resume(struct kafka_request *request, uint64_t now_ns,
                                     bool must_answer);

/* The whole response frame, its length in front; valid on DONE, until end. */
struct bytes kafka_request_answer(const struct kafka_request *request);

void kafka_request_end(struct kafka_request *request);

/* For handlers: closes with a reason for the log. */
enum kafka_turn kafka_request_refuse(struct kafka_request *request, const char *why);

void kafka_fetch_free(struct kafka_fetch *fetch);

/* base64url of the cluster id; "" while it is unknown. */
void kafka_cluster_id_text(const struct reader *reader, char out[KAFKA_CLUSTER_ID_TEXT_BYTES]);

END_C_DECLS
