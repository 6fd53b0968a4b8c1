/* fetcher.h - one TCP link to a Kafka broker, one partition of one topic, fetch by fetch.
 *
 * Owns     The link and the memory of one response. Threads: one. Fetch 4, ListOffsets 1.
 * Errors   What breaks the link ends the program with a line on stderr: there is nobody to mend it.
 *          The broker's own error codes are the caller's to judge. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    FETCHER_EARLIEST = -2,
    FETCHER_LATEST = -1,
    FETCHER_BYTES_MAX = 16 << 20, /* of a response */
};

enum { FETCHER_ERROR_OUT_OF_RANGE = 1 }; /* Kafka's OFFSET_OUT_OF_RANGE */

struct fetcher {
    const char *program; /* for its last words */
    const char *topic;
    int link;
    uint8_t *response;
};

void fetcher_connect(struct fetcher *fetcher, const char *program, const char *address,
                     uint16_t port, const char *topic);
void fetcher_close(struct fetcher *fetcher);

/* Waits for records from `offset` on, half a second at most; `out` is what came, until the next
 * call. Answers Kafka's error code. */
uint16_t fetcher_fetch(struct fetcher *fetcher, int64_t offset, struct bytes *out);

/* The offset at FETCHER_EARLIEST or FETCHER_LATEST; negative: Kafka's error code, negated. */
int64_t fetcher_list_offset(struct fetcher *fetcher, int64_t timestamp);

END_C_DECLS
