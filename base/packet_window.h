/* packet_window.h - which of the newest 256 packet numbers of a peer have arrived.
 *
 * Tells a duplicated datagram from a new one, and lists what an acknowledgement reports. Numbers
 * may arrive in any order, begin anywhere and leave gaps; what lies 256 or more below the largest
 * is too old to be told apart and must be treated as if it had arrived already.
 *
 * Zeroed memory is an empty window. Nothing here allocates or fails; one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BEGIN_C_DECLS

enum {
    PACKET_WINDOW_PACKETS = 256,
    PACKET_WINDOW_WORDS = PACKET_WINDOW_PACKETS / 64,
    PACKET_WINDOW_RANGES_MAX = PACKET_WINDOW_PACKETS / 2, /* every other packet lost */
};

struct packet_window {
    uint64_t largest;
    uint64_t bits[PACKET_WINDOW_WORDS]; /* bit i, from bits[0]'s lowest: largest - i arrived */
    bool any; /* false: nothing has arrived, and `largest` means nothing */
};

enum packet_window_result {
    PACKET_WINDOW_NEW,
    PACKET_WINDOW_DUPLICATE,
    PACKET_WINDOW_TOO_OLD,
    PACKET_WINDOW_RESULT_COUNT,
};

/* Both ends arrived, and so did all between them. */
struct packet_range {
    uint64_t first;
    uint64_t last;
};

/* Marks `number` as arrived; only PACKET_WINDOW_NEW changes the window. */
enum packet_window_result packet_window_add(struct packet_window *window, uint64_t number);

/* The ranges of what arrived, newest first, with a gap between each two; at most `capacity`: the
 * oldest are left out. Returns how many; PACKET_WINDOW_RANGES_MAX always suffices. */
size_t packet_window_ranges(const struct packet_window *window, struct packet_range *out,
                            size_t capacity);

END_C_DECLS
