#include "base/timer_wheel.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"

enum {
    LEVEL_BITS = 6,
    LEVEL_SLOTS = 1 << LEVEL_BITS,
    LEVEL_COUNT = (64 + LEVEL_BITS - 1) / LEVEL_BITS, /* all of a 64-bit tick */
    SLOT_COUNT = LEVEL_COUNT * LEVEL_SLOTS,
};

static const uint32_t not_armed = UINT32_MAX;

/* One link of a slot's ring. Slots are links themselves, behind the items': an empty one is a ring
 * of its own, and the last item's neighbours tell which slot it leaves empty. */
struct timer_link {
    uint64_t due_tick; /* of an armed item */
    uint32_t next;     /* not_armed: in no ring */
    uint32_t previous;
};

/* `tick` only moves to where a slot begins, or to now where none began before: so no armed item
 * lies before it, and an item stays right where it was put, at the level of the highest digit in
 * which its tick differed from `tick`. A slot that begins at `tick` itself is being emptied. */
struct timer_wheel {
    uint64_t next_ns; /* what timer_wheel_next_ns answers */
    uint64_t tick_ns;
    uint64_t tick;
    uint32_t item_count;
    uint64_t occupied[LEVEL_COUNT]; /* bit: slot */
    struct timer_link links[];      /* [item_count + SLOT_COUNT] */
};

/* ---------------------------------------------------------------------------------- life, rings */

static void wheel_unlink(struct timer_wheel *wheel, uint32_t item)
{
    struct timer_link *const link = &wheel->links[item];
    wheel->links[link->previous].next = link->next;
    wheel->links[link->next].previous = link->previous;
    if (link->next == link->previous && link->next >= wheel->item_count) {
        const uint32_t slot = link->next - wheel->item_count;
        wheel->occupied[slot / LEVEL_SLOTS] &= ~(UINT64_C(1) << (slot % LEVEL_SLOTS));
    }
    link->next = not_armed;
}

static void wheel_link(struct timer_wheel *wheel, uint32_t item, uint32_t slot)
{
    const uint32_t ring = wheel->item_count + slot;
    struct timer_link *const link = &wheel->links[item];
    link->next = ring;
    link->previous = wheel->links[ring].previous;
    wheel->links[link->previous].next = item;
    wheel->links[ring].previous = item;
    wheel->occupied[slot / LEVEL_SLOTS] |= UINT64_C(1) << (slot % LEVEL_SLOTS);
}

enum status timer_wheel_create(const struct timer_wheel_options *options, struct timer_wheel **out)
{
    assert(options->item_count <= TIMER_WHEEL_ITEMS_MAX);
    assert(options->tick_ns > 0);
    const size_t link_count = (size_t)options->item_count + SLOT_COUNT;
    struct timer_wheel *const wheel = malloc(sizeof *wheel + link_count * sizeof wheel->links[0]);
    if (wheel == NULL) { return STATUS_NO_MEMORY; }

    memset(wheel, 0, sizeof *wheel);
    wheel->next_ns = UINT64_MAX;
    wheel->tick_ns = options->tick_ns;
    wheel->tick = options->now_ns / options->tick_ns;
    wheel->item_count = options->item_count;
    for (uint32_t i = 0; i < link_count; i++) { /* the write is what makes the page present */
        const uint32_t next = i < options->item_count ? not_armed : i;
        wheel->links[i] = (struct timer_link){.next = next, .previous = next};
    }
    *out = wheel;
    return STATUS_OK;
}

void timer_wheel_destroy(struct timer_wheel *wheel) { free(wheel); }

/* -------------------------------------------------------------------------------- set and cancel
 */

/* Rounded up: an item is due at the first tick that begins at its deadline or later. */
static uint64_t wheel_tick_of_deadline(const struct timer_wheel *wheel, uint64_t deadline_ns)
{
    return deadline_ns / wheel->tick_ns + (deadline_ns % wheel->tick_ns != 0);
}

/* When a tick begins; one behind the end of time begins at it. */
static uint64_t wheel_ns_of_tick(const struct timer_wheel *wheel, uint64_t tick)
{
    uint64_t ns;
    return __builtin_mul_overflow(tick, wheel->tick_ns, &ns) ? UINT64_MAX : ns;
}

static uint64_t level_mask(uint32_t level) /* the bits of a tick below the level's digit */
{
    return (UINT64_C(1) << (level * LEVEL_BITS)) - 1;
}

/* Puts an item where its tick belongs; answers the tick at which that slot is to be emptied. */
static uint64_t wheel_place(struct timer_wheel *wheel, uint32_t item)
{
    const uint64_t due_tick = wheel->links[item].due_tick;
    assert_hot(due_tick >= wheel->tick);
    const uint64_t differing = (due_tick ^ wheel->tick) | 1;
    const uint32_t level = (63U - (uint32_t)__builtin_clzll(differing)) / LEVEL_BITS;
    const uint32_t digit = (uint32_t)(due_tick >> (level * LEVEL_BITS)) % LEVEL_SLOTS;
    wheel_link(wheel, item, level * LEVEL_SLOTS + digit);
    return due_tick & ~level_mask(level);
}

void timer_wheel_set(struct timer_wheel *wheel, uint32_t item, uint64_t deadline_ns)
{
    timer_wheel_cancel(wheel, item);
    const uint64_t due_tick = wheel_tick_of_deadline(wheel, deadline_ns);
    wheel->links[item].due_tick = due_tick > wheel->tick ? due_tick : wheel->tick;

    const uint64_t begin_ns = wheel_ns_of_tick(wheel, wheel_place(wheel, item));
    if (begin_ns < wheel->next_ns) { wheel->next_ns = begin_ns; }
}

void timer_wheel_cancel(struct timer_wheel *wheel, uint32_t item)
{
    if (timer_wheel_is_armed(wheel, item)) { wheel_unlink(wheel, item); }
}

bool timer_wheel_is_armed(const struct timer_wheel *wheel, uint32_t item)
{
    assert(item < wheel->item_count);
    return wheel->links[item].next != not_armed;
}

/* --------------------------------------------------------------------------------------- advance
 */

struct timer_slot {
    uint32_t level; /* LEVEL_COUNT: none */
    uint32_t index; /* in its level */
    uint64_t begin_tick;
};

/* The slot that is to be emptied next. While a coarse one is being emptied, a deadline that has
 * passed may be set into the finest: it begins with the coarse one and goes first, being due. */
static struct timer_slot wheel_next_slot(const struct timer_wheel *wheel)
{
    struct timer_slot next = {.level = LEVEL_COUNT, .begin_tick = UINT64_MAX};
    for (uint32_t level = 0; level < LEVEL_COUNT; level++) {
        if (wheel->occupied[level] == 0) { continue; }
        const uint32_t index = (uint32_t)__builtin_ctzll(wheel->occupied[level]);
        /* In two steps: the top level's end lies beyond the 64 bits of a shift. */
        const uint64_t above = ~(level_mask(level) << LEVEL_BITS | (LEVEL_SLOTS - 1));
        const uint64_t begin_tick = (wheel->tick & above) | (uint64_t)index << (level * LEVEL_BITS);
        if (next.level == LEVEL_COUNT || begin_tick < next.begin_tick) {
            next = (struct timer_slot){level, index, begin_tick};
        }
    }
    return next;
}

/* What one call may still do. */
struct advance {
    uint64_t now_tick;
    uint32_t *out;
    size_t capacity;
    size_t count;
    size_t sinks_left;
};

/* False when the call's bounds were reached before the slot was empty. */
static bool wheel_empty_slot(struct timer_wheel *wheel, const struct timer_slot *slot,
                             struct advance *advance)
{
    const uint32_t ring = wheel->item_count + slot->level * LEVEL_SLOTS + slot->index;
    while (wheel->links[ring].next != ring) {
        const uint32_t item = wheel->links[ring].next;
        if (wheel->links[item].due_tick <= advance->now_tick) {
            if (advance->count == advance->capacity) { return false; }
            wheel_unlink(wheel, item);
            advance->out[advance->count++] = item;
        } else {
            if (advance->sinks_left == 0) { return false; }
            wheel_unlink(wheel, item);
            wheel_place(wheel, item);
            advance->sinks_left--;
        }
    }
    return true;
}

/* Empties slot after slot up to `now_tick`; each holds an item at least, so the call's bounds bound
 * this loop too. Answers when there is more to do. */
static uint64_t wheel_empty_slots(struct timer_wheel *wheel, struct advance *advance)
{
    struct timer_slot slot = wheel_next_slot(wheel);
    while (slot.level < LEVEL_COUNT && slot.begin_tick <= advance->now_tick) {
        assert(slot.begin_tick >= wheel->tick);
        wheel->tick = slot.begin_tick;
        if (!wheel_empty_slot(wheel, &slot, advance)) {
            return wheel_ns_of_tick(wheel, slot.begin_tick);
        }
        slot = wheel_next_slot(wheel);
    }
    if (advance->now_tick > wheel->tick) { wheel->tick = advance->now_tick; }
    return wheel_ns_of_tick(wheel, slot.begin_tick);
}

size_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns, uint32_t *out,
                           size_t capacity)
{
    assert(capacity > 0);
    if (now_ns < wheel->next_ns) { return 0; }

    struct advance advance = {
        .now_tick = now_ns / wheel->tick_ns,
        .out = out,
        .capacity = capacity,
        .sinks_left = TIMER_WHEEL_SINKS_MAX,
    };
    wheel->next_ns = wheel_empty_slots(wheel, &advance);
    return advance.count;
}

uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel) { return wheel->next_ns; }
