/* tap.h - the worker's port, with what it sends kept apart.
 *
 * Purpose  A net_ring device hears what it sends: without this the worker would receive its own
 *          ACKs. Frames sent end here, for the producers to read; everything else goes through.
 * Owns     Frames between the worker's transmit and tap_clear; `inner` is borrowed.
 * Threads  The worker's. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "nic/packets.h"

BEGIN_C_DECLS

enum { TAP_FRAMES_MAX = 4 * PACKETS_BURST_MAX }; /* of one turn: more are dropped, and asserted */

struct tap {
    struct packets inner;
    size_t count;
    void *handles[TAP_FRAMES_MAX];
    size_t lens_bytes[TAP_FRAMES_MAX];
};

void tap_init(struct tap *tap, struct packets inner);
struct packets tap_port(struct tap *tap);

/* What the worker sent since the last tap_clear, by index. */
struct bytes tap_frame(const struct tap *tap, size_t index);
/* Gives the frames back. */
void tap_clear(struct tap *tap);

END_C_DECLS
