/* record.h - one record on its way: slices into the packet it came in.
 *
 * Owns     Nothing. Slices point into a received frame (or static text) and live until the frame is
 *          released, which the worker does after the record was gathered into a commit or dropped.
 * Threads  Any; plain values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    RECORD_HEADERS_MAX = 24,
    RECORD_NO_TOPIC = -1,
};

/* A Kafka record header: the name is UTF-8 text, the value any bytes. */
struct record_header {
    struct bytes name;
    struct bytes value; /* null is allowed */
};

struct record {
    struct bytes key;                    /* null: none */
    struct bytes value;                  /* null: a tombstone, which the rules take for empty */
    int64_t timestamp_ms;                /* CreateTime: since 1970 */
    const struct record_header *headers; /* header_count of them; NULL when there are none */
    uint16_t header_count;
    uint16_t listener;  /* index in the configuration */
    uint8_t source[16]; /* the sender's address, IPv4 mapped (::ffff:a.b.c.d); zeros: not known */
    int32_t topic; /* that its producer named, or RECORD_NO_TOPIC: stands in for the listener's */
};

END_C_DECLS
