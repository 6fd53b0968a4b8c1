/* outgoing.h - a record on its way from penstock_send to its report.
 *
 * Purpose  One allocation a record: the caller's bytes, encoded once (which also tells whether the
 *          appliance would take them), and the slices that a lane reads.
 * Owns     Its memory. With PENSTOCK_NO_COPY the bytes of key, value and headers are the caller's.
 * Threads  Made by any thread, handed over whole; one owner at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "client/penstock.h"
#include "wire/native.h"

BEGIN_C_DECLS

struct outgoing {
    struct outgoing *next; /* in whatever list it is */
    void *opaque;
    uint64_t sequence; /* 0: none yet */
    uint32_t lane;
    uint32_t charge_bytes; /* against queue.bytes */
    uint32_t digest;       /* of the body; holds if receipts are kept */
    uint8_t fate;          /* enum native_fate; holds for outcomes but UNDELIVERED */
    uint8_t outcome;       /* enum penstock_outcome */
    uint8_t reason;        /* enum penstock_reason */
    struct native_record record;
    struct native_header headers[]; /* record.header_count of them, then the copied bytes */
};

struct outgoing_options {
    const char *topic; /* default; NULL: none */
    uint64_t record_bytes_max;
    bool digest;
};

/* Checks and copies. The lane is not looked at.
 * PENSTOCK_OK, TOO_LARGE, INVALID, NO_MEMORY */
MUST_CHECK enum penstock_result outgoing_create(const struct outgoing_options *options,
                                                const struct penstock_message *message,
                                                struct outgoing **out);
void outgoing_destroy(struct outgoing *outgoing);

/* ------------------------------------------------------------------------------------- a queue */

struct outgoing_queue { /* all zero is empty */
    struct outgoing *head;
    struct outgoing *tail;
};

static inline void outgoing_push(struct outgoing_queue *queue, struct outgoing *outgoing)
{
    outgoing->next = NULL;
    if (queue->head == NULL) {
        queue->head = outgoing;
    } else {
        queue->tail->next = outgoing;
    }
    queue->tail = outgoing;
}

static inline struct outgoing *outgoing_pop(struct outgoing_queue *queue)
{
    struct outgoing *const outgoing = queue->head;
    if (outgoing != NULL) { queue->head = outgoing->next; }
    return outgoing;
}

/* Moves all of `from` to the end of `to`. */
static inline void outgoing_join(struct outgoing_queue *to, struct outgoing_queue *from)
{
    if (from->head == NULL) { return; }
    if (to->head == NULL) {
        to->head = from->head;
    } else {
        to->tail->next = from->head;
    }
    to->tail = from->tail;
    from->head = NULL;
}

END_C_DECLS
