/* lane_ring.h - lanes in the order in which they came, each at most once.
 *
 * Purpose  The queues of those that are to be told something. An array and not a list through the
 *          sessions: who comes next, and the eighth after it, is known without a look at either, so
 *          that with 100,000 lanes their sessions are fetched before their turn.
 * Owns     Its places. Whether what stands there still counts is the owner's to know: nothing is
 *          taken out of the middle.
 * Threads  One. Nothing allocates after init, nothing fails. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "base/invariant.h"
#include "base/large_array.h"
#include "base/status.h"

BEGIN_C_DECLS

struct lane_ring_place {
    uint64_t at_ns; /* whatever time the owner keeps with it */
    uint32_t lane;
};

struct lane_ring {
    struct lane_ring_place *places;
    uint32_t mask;
    uint32_t head; /* runs on beyond the mask; so does: */
    uint32_t tail;
};

/* `capacity`: lanes, at most 2^31. STATUS_NO_MEMORY. */
MUST_CHECK static inline enum status lane_ring_init(struct lane_ring *ring, uint32_t capacity)
{
    uint32_t count = 1;
    while (count < capacity) { count *= 2; }
    ring->places = (struct lane_ring_place *)large_array_create(count, sizeof *ring->places);
    ring->mask = count - 1;
    ring->head = ring->tail = 0;
    return ring->places == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static inline void lane_ring_deinit(struct lane_ring *ring) { free(ring->places); }

static inline uint32_t lane_ring_count(const struct lane_ring *ring)
{
    return ring->tail - ring->head;
}

static inline void lane_ring_push(struct lane_ring *ring, uint32_t lane, uint64_t at_ns)
{
    assert_hot(lane_ring_count(ring) <= ring->mask); /* each lane once */
    ring->places[ring->tail++ & ring->mask] = (struct lane_ring_place){at_ns, lane};
}

/* The one `behind` places behind the first; there must be as many. */
static inline const struct lane_ring_place *lane_ring_peek(const struct lane_ring *ring,
                                                           uint32_t behind)
{
    assert_hot(behind < lane_ring_count(ring));
    return &ring->places[(ring->head + behind) & ring->mask];
}

static inline void lane_ring_pop(struct lane_ring *ring)
{
    assert_hot(lane_ring_count(ring) > 0);
    ring->head++;
}

END_C_DECLS
