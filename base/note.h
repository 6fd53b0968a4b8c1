/* note.h - what a polling core has to say, carried to the main core, which writes the line.
 *
 * A bounded ring with one producer (the worker) and one consumer (the main core): no lock, no
 * system call, no text on the hot side. A full ring counts what it loses and says so later. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

/* C++ (the tests) sees the struct's size only: it has no _Atomic. */
#ifdef __cplusplus
#define NOTE_ATOMIC(type) type
#else
#define NOTE_ATOMIC(type) _Atomic type
#endif

BEGIN_C_DECLS

enum note_code {
    NOTE_SEGMENT_OPENED,   /* value: segment number, other: capacity in bytes */
    NOTE_SEGMENT_SEALED,   /* value: segment number, other: bytes used */
    NOTE_SEGMENT_FAILED,   /* value: segment number, other: position of the refused write */
    NOTE_LOG_CLOSED,       /* why says it: no write goes on until it opens again */
    NOTE_LOG_REOPENED,     /* value: segment number */
    NOTE_SEGMENT_STARVED,  /* the next segment was not ready in time; value: segment number */
    NOTE_RECORD_TOO_LARGE, /* value: bytes, other: listener index */
    NOTE_LANE_LOST,        /* value: sequences skipped, other: the first that was called durable */
    NOTE_LANE_BUSY, /* value: IPv4 address that was refused, other: the one that has the lane */
    NOTE_FATES_GIVEN_UP, /* value: lane's index */
    NOTE_LANES_FULL,     /* value: lanes.max */
    NOTE_PATH_CHANGED,   /* value: segment number, other: number of its storage path, from 0 */
    NOTE_WRITE_LATE,     /* value: segment number, other: position of the write */
    NOTE_CODE_COUNT,
};

struct note {
    enum note_code code;
    enum status why;
    uint32_t origin; /* worker index */
    uint64_t value;
    uint64_t other;
};

enum { NOTE_RING_CAPACITY = 256 };

struct note_ring {
    NOTE_ATOMIC(uint64_t)
    head; /* written by the producer; release pairs with note_take's acquire */
    NOTE_ATOMIC(uint64_t) lost; /* notes that found the ring full */
    uint8_t padding_head[CACHE_PAIR_BYTES - 16];
    NOTE_ATOMIC(uint64_t)
    tail; /* written by the consumer; release pairs with note_post's acquire */
    uint8_t padding_tail[CACHE_PAIR_BYTES - 8];
    uint32_t origin;
    struct note notes[NOTE_RING_CAPACITY];
};

/* Empties the ring. Before either side uses it. */
void note_ring_init(struct note_ring *ring, uint32_t origin);

/* Producer only. NULL is fine: the note is dropped (tests that do not care). */
void note_post(struct note_ring *ring, enum note_code code, enum status why, uint64_t value,
               uint64_t other);

/* Consumer only. False when there is none. */
bool note_take(struct note_ring *ring, struct note *out);

/* Consumer only: how many were lost since the last call. */
uint64_t note_take_lost(struct note_ring *ring);

END_C_DECLS
