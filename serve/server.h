/* server.h - penstock-serve put together: reader, Kafka port, admin port, doorbell, one event loop.
 *
 * Owns     Everything it makes. Threads: server_run turns the loop on the calling thread; one more
 *          thread reads cold batches.
 * Life     create (binds both ports), run (until server_stop or SIGTERM/SIGINT), destroy. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

struct server; /* opaque */

struct server_options {
    const char *node;
    const char *runtime;
    const char *const *storage_paths;
    size_t storage_path_count;
    const char *kafka_host;
    uint16_t kafka_port;        /* 0: any free one (tests) */
    const char *advertise_host; /* NULL: the address that the client came to */
    uint16_t advertise_port;
    const char *admin_host;
    uint16_t admin_port;
    uint64_t cold_read_bytes_per_s; /* 0: no limit */
    uint64_t cache_bytes;
    uint32_t connections_max;
    uint64_t scrub_bytes_per_s; /* 0: never */
};

/* Texts and arrays of the options must live as long as the server. Every reason for a failure has
 * been logged. */
MUST_CHECK enum status server_create(const struct server_options *options, struct server **out);
void server_destroy(struct server *server);

/* Returns when stopped: no new connections, requests in progress finished, 4 seconds at most. */
void server_run(struct server *server);
/* On the loop's thread, or by a signal. */
void server_stop(struct server *server);

uint16_t server_kafka_port(const struct server *server);
uint16_t server_admin_port(const struct server *server);

END_C_DECLS
