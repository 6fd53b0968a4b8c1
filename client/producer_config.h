/* producer_config.h - what penstock_config_set was told, parsed.
 *
 * penstock.h has the keys and their meaning. Owned by whoever made it; one thread at a time. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "client/penstock.h"

BEGIN_C_DECLS

enum producer_config_key {
    PRODUCER_CONFIG_SERVERS,
    PRODUCER_CONFIG_PRODUCER_ID,
    PRODUCER_CONFIG_PRODUCER_EPOCH,
    PRODUCER_CONFIG_LANES,
    PRODUCER_CONFIG_TOPIC,
    PRODUCER_CONFIG_ON_LANE_UNKNOWN,
    PRODUCER_CONFIG_QUEUE_BYTES,
    PRODUCER_CONFIG_QUEUE_RECORDS,
    PRODUCER_CONFIG_RECORD_BYTES,
    PRODUCER_CONFIG_LINGER,
    PRODUCER_CONFIG_DATAGRAM_BYTES,
    PRODUCER_CONFIG_STICKY_BYTES,
    PRODUCER_CONFIG_SESSION_KEEP_OPEN,
    PRODUCER_CONFIG_BIND,
    PRODUCER_CONFIG_GSO,
    PRODUCER_CONFIG_REPORTS,
    PRODUCER_CONFIG_RECEIPTS,
    PRODUCER_CONFIG_RECEIPTS_SYNC,
    PRODUCER_CONFIG_KEY_COUNT,
};

struct penstock_config {
    char *texts[PRODUCER_CONFIG_KEY_COUNT]; /* NULL: not set, and without default */
    /* Numbers, sizes (bytes), durations (ns), and choices by the index of the word. */
    uint64_t numbers[PRODUCER_CONFIG_KEY_COUNT];
    struct in_addr bind;
    penstock_on_report *on_report;
    void *report_context;
    penstock_on_event *on_event;
    void *event_context;
    struct penstock_lane_start starts[PENSTOCK_LANES_MAX]; /* that of lane n at [n] ... */
    bool has_start[PENSTOCK_LANES_MAX];                    /* ... holds if this says so */
};

/* One line into `error`, cut to its room; NULL is fine. */
void producer_config_say(char *error, size_t error_bytes, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* A copy of its own, NULL when memory is out. */
struct penstock_config *producer_config_copy(const struct penstock_config *config);

/* Finds the appliance's address: asks the resolver, so it may wait. False: `error` says why. */
MUST_CHECK bool producer_config_resolve(const struct penstock_config *config,
                                        struct sockaddr_in *out, char *error, size_t error_bytes);

END_C_DECLS
