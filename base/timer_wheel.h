/* timer_wheel.h - deadlines for up to millions of numbered items, on a polling core.
 *
 * Purpose  One deadline an item (a session, a lane): set, moved and cancelled in constant time, and
 *          handed out when it has passed.
 * Owns     16 bytes an item, allocated and touched at create: nothing later allocates or faults.
 * Threads  One owner. Nothing here is atomic.
 * Time     Comes in as an argument; a `now_ns` before an earlier one finds nothing new. Deadlines
 *          may be anything up to UINT64_MAX.
 * How      64 slots a level, a slot of one level as long as the whole level below (Varghese and
 *          Lauck, "Hashed and hierarchical timing wheels", 1987), and a bitmap a level, so that
 *          empty time costs nothing, however long. A slot whose time has come is emptied item by
 *          item: what is due is handed out, the rest sinks to a finer level. An item sinks at most
 *          once a level; a call moves a bounded number and leaves the others to the next call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    TIMER_WHEEL_ITEMS_MAX = 1 << 30,
    TIMER_WHEEL_SINKS_MAX = 128, /* items that one advance moves to a finer level, at most */
};

struct timer_wheel;

struct timer_wheel_options {
    uint32_t item_count; /* items are 0 .. item_count - 1 */
    uint64_t tick_ns;    /* how late an item may come; > 0 */
    uint64_t now_ns;
};

/* STATUS_NO_MEMORY. No item is armed. More than TIMER_WHEEL_ITEMS_MAX items are asserted against.
 */
MUST_CHECK enum status timer_wheel_create(const struct timer_wheel_options *options,
                                          struct timer_wheel **out);

/* NULL is fine. */
void timer_wheel_destroy(struct timer_wheel *wheel);

/* Arms `item`, or moves its deadline when it is armed. A deadline that has passed is due at once.
 */
void timer_wheel_set(struct timer_wheel *wheel, uint32_t item, uint64_t deadline_ns);

/* Disarms; an item that is not armed is fine. */
void timer_wheel_cancel(struct timer_wheel *wheel, uint32_t item);

bool timer_wheel_is_armed(const struct timer_wheel *wheel, uint32_t item);

/* Hands out items whose deadline has passed, disarmed, in no promised order; how many is returned.
 * Never early; at most one tick late, plus what the bounds of a call hold back: `capacity` items
 * (> 0) handed out, TIMER_WHEEL_SINKS_MAX moved. While something is held back,
 * timer_wheel_next_ns is not after `now_ns`. With nothing to do this is one comparison. */
size_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns, uint32_t *out,
                           size_t capacity);

/* When advance next has something to do: never after an item is due, often before (to sink items,
 * or for one that was cancelled since). UINT64_MAX: not before another set. For a core that wants
 * to sleep; one load. */
uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel);

END_C_DECLS
