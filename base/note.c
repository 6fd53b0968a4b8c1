#include "base/note.h"

#include <string.h>

void note_ring_init(struct note_ring *ring, uint32_t origin)
{
    memset(ring, 0, sizeof *ring);
    ring->origin = origin;
}

void note_post(struct note_ring *ring, enum note_code code, enum status why, uint64_t value,
               uint64_t other)
{
    if (ring == NULL) { return; }

    const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (head - tail == NOTE_RING_CAPACITY) {
        atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
        return;
    }

    ring->notes[head % NOTE_RING_CAPACITY] = (struct note){code, why, ring->origin, value, other};
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

bool note_take(struct note_ring *ring, struct note *out)
{
    const uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    const uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    if (tail == head) { return false; }

    *out = ring->notes[tail % NOTE_RING_CAPACITY];
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

uint64_t note_take_lost(struct note_ring *ring)
{
    return atomic_exchange_explicit(&ring->lost, 0, memory_order_relaxed);
}
