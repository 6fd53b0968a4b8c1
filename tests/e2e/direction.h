/* direction.h - one way through the hop: frames in at one link, what a bad wire leaves of them out
 * at the other.
 *
 *   source ─▶ judge ─▶ line (delay) ─▶ [held back] ─▶ exit ─▶ target
 *
 * Owns     All frames on the way: a fixed number. When they are used up, nothing is received
 *          until some are free; what comes meanwhile waits in the source's socket.
 * Threads  One.
 * Balance  seen + repeated = dropped + oversized + refused + forwarded + waiting, always. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/e2e/fate.h"
#include "tests/e2e/link.h"

enum direction_counter {
    DIRECTION_SEEN,     /* frames taken from the source link */
    DIRECTION_SPARED,   /* ARP among them that was let through undisturbed, and is in no sequence */
    DIRECTION_DROPPED,  /* by chance */
    DIRECTION_REPEATED, /* copies made: each goes right behind its original, and is not held back */
    DIRECTION_REORDERED,  /* held back, and indeed overtaken by a later frame */
    DIRECTION_CORRUPTED,  /* one bit behind the Ethernet header flipped, in the original only */
    DIRECTION_OVERSIZED,  /* longer than FRAME_BYTES_MAX: not forwarded */
    DIRECTION_UNFINISHED, /* came with half a checksum: forwarded so */
    DIRECTION_REFUSED,    /* the target link was full for too long (100 ms) */
    DIRECTION_FORWARDED,  /* taken by the target link (one whose other end is down takes all) */
    DIRECTION_COUNTER_COUNT,
};

enum { DIRECTION_HELD_MAX = 64 }; /* frames held back at a time; beyond it they just pass */

/* First in, first out, linked through the frames. */
struct frame_queue {
    struct frame *first;
    struct frame *last;
    size_t count;
};

struct direction {
    struct link *source;
    struct link *target;
    struct impairment impairment;
    uint64_t seed;
    bool spares_arp;

    uint64_t number; /* of the next frame that is not spared */
    struct frame *frames;
    struct frame **free; /* unused frames, last in, first out: the last ones are in the cache */
    size_t free_count;
    struct frame_queue line; /* ordered by due_ns */
    struct frame *held[DIRECTION_HELD_MAX];
    size_t held_count; /* ordered by due_ns, here the time at which they go in any case */
    struct frame_queue exit;
    uint64_t exit_stuck_since_ns; /* 0: the target takes frames */

    uint64_t counters[DIRECTION_COUNTER_COUNT];
};

/* The name of a counter, as the report calls it. */
const char *direction_counter_name(enum direction_counter counter);

/* Fills the caller's fields in; the rest of `direction` is zero already. */
void direction_init(struct direction *direction);
void direction_deinit(struct direction *direction);

/* Moves frames as far as they go at `now_ns`; never waits. */
void direction_turn(struct direction *direction, uint64_t now_ns);

/* When it wants its next turn although nothing arrives; UINT64_MAX: not before something does. */
uint64_t direction_due_ns(const struct direction *direction, uint64_t now_ns);

/* There are free frames to receive into. */
bool direction_has_room(const struct direction *direction);

/* Frames inside: delayed, held back, or not yet taken by the target. */
size_t direction_waiting(const struct direction *direction);
