#include "tests/e2e/direction.h"

#include <assert.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/clock.h"
#include "base/endian.h"

enum {
    FRAMES = 32768, /* 100 ms of delay at 300,000 frames/s */
    HELD_NS_MAX = 3 * NS_PER_MS,
    PATIENCE_NS = 100 * NS_PER_MS, /* with a target that is full */
    RETRY_NS = 50 * NS_PER_US,
    ETHERTYPE_AT = 12,
};

const char *direction_counter_name(enum direction_counter counter)
{
    static const char *const names[DIRECTION_COUNTER_COUNT] = {
        [DIRECTION_SEEN] = "seen",           [DIRECTION_SPARED] = "spared",
        [DIRECTION_DROPPED] = "dropped",     [DIRECTION_REPEATED] = "repeated",
        [DIRECTION_REORDERED] = "reordered", [DIRECTION_CORRUPTED] = "corrupted",
        [DIRECTION_OVERSIZED] = "oversized", [DIRECTION_UNFINISHED] = "unfinished",
        [DIRECTION_REFUSED] = "refused",     [DIRECTION_FORWARDED] = "forwarded",
    };
    return names[counter];
}

static void queue_push(struct frame_queue *queue, struct frame *frame)
{
    frame->next = NULL;
    if (queue->count == 0) {
        queue->first = frame;
    } else {
        queue->last->next = frame;
    }
    queue->last = frame;
    queue->count++;
}

static struct frame *queue_pop(struct frame_queue *queue)
{
    assert(queue->count > 0);
    struct frame *frame = queue->first;
    queue->first = frame->next;
    queue->count--;
    return frame;
}

void direction_init(struct direction *direction)
{
    direction->frames = allocate_zeroed(FRAMES, sizeof(struct frame));
    direction->free = allocate_zeroed(FRAMES, sizeof(struct frame *));
    for (size_t i = 0; i < FRAMES; i++) { direction->free[i] = &direction->frames[i]; }
    direction->free_count = FRAMES;
}

void direction_deinit(struct direction *direction)
{
    free(direction->frames);
    free(direction->free);
}

static void give_back(struct direction *direction, struct frame *frame)
{
    assert(direction->free_count < FRAMES);
    direction->free[direction->free_count++] = frame;
}

static struct frame *copy_of(struct direction *direction, const struct frame *frame)
{
    assert(direction->free_count > 0);
    struct frame *copy = direction->free[--direction->free_count];
    memcpy(copy, frame, offsetof(struct frame, store));
    memcpy(copy->store + frame->begin, frame->store + frame->begin, frame->len_bytes);
    return copy;
}

static bool is_arp(const struct frame *frame)
{
    return frame->len_bytes >= ETHERNET_HEADER_BYTES &&
           load_be16(frame->store + frame->begin + ETHERTYPE_AT) == ETH_P_ARP;
}

static void flip_bit(struct frame *frame, uint32_t draw)
{
    const uint32_t bits = (frame->len_bytes - ETHERNET_HEADER_BYTES) * 8;
    const uint32_t bit = draw % bits;
    frame->store[frame->begin + ETHERNET_HEADER_BYTES + bit / 8] ^= (uint8_t)(1U << bit % 8);
}

static void enter_line(struct direction *direction, struct frame *frame, uint32_t overtakers,
                       uint64_t now_ns)
{
    frame->overtakers = overtakers;
    frame->due_ns = now_ns + direction->impairment.delay_ns;
    queue_push(&direction->line, frame);
}

static void judge(struct direction *direction, struct frame *frame, uint64_t now_ns)
{
    const struct fate fate = fate_of(&direction->impairment, direction->seed, direction->number++);
    if (fate.is_dropped) {
        direction->counters[DIRECTION_DROPPED]++;
        give_back(direction, frame);
        return;
    }
    struct frame *copy = fate.is_repeated ? copy_of(direction, frame) : NULL;
    if (fate.is_corrupted && frame->len_bytes > ETHERNET_HEADER_BYTES) {
        direction->counters[DIRECTION_CORRUPTED]++;
        flip_bit(frame, fate.corrupt_draw);
    }
    enter_line(direction, frame, fate.overtakers, now_ns);
    if (copy != NULL) {
        direction->counters[DIRECTION_REPEATED]++;
        enter_line(direction, copy, 0, now_ns);
    }
}

static void admit(struct direction *direction, struct frame *frame, uint64_t now_ns)
{
    direction->counters[DIRECTION_SEEN]++;
    direction->counters[DIRECTION_UNFINISHED] += frame->is_unfinished;
    if (frame->is_cut) {
        direction->counters[DIRECTION_OVERSIZED]++;
        give_back(direction, frame);
    } else if (direction->spares_arp && is_arp(frame)) {
        direction->counters[DIRECTION_SPARED]++;
        queue_push(&direction->exit, frame);
    } else {
        judge(direction, frame, now_ns);
    }
}

/* A burst needs its own frames and as many again, should all of it be repeated. */
bool direction_has_room(const struct direction *direction)
{
    return direction->free_count >= (size_t)2 * LINK_BURST_MAX;
}

static void direction_receive(struct direction *direction, uint64_t now_ns)
{
    if (!direction_has_room(direction)) { return; }
    struct frame *burst[LINK_BURST_MAX];
    direction->free_count -= LINK_BURST_MAX;
    memcpy(burst, direction->free + direction->free_count, sizeof(burst));

    const size_t count = link_receive(direction->source, burst, LINK_BURST_MAX);

    for (size_t i = LINK_BURST_MAX; i > count; i--) { give_back(direction, burst[i - 1]); }
    for (size_t i = 0; i < count; i++) { admit(direction, burst[i], now_ns); }
}

/* A frame goes before those that are held at the first `count` places. */
static void overtake_held(struct direction *direction, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct frame *frame = direction->held[i];
        assert(frame->overtakers > 0);
        frame->overtakers--;
        if (frame->was_overtaken) { continue; }
        frame->was_overtaken = true;
        direction->counters[DIRECTION_REORDERED]++;
    }
}

static struct frame *take_held(struct direction *direction, size_t index)
{
    struct frame *frame = direction->held[index];
    direction->held_count--;
    memmove(direction->held + index, direction->held + index + 1,
            (direction->held_count - index) * sizeof(direction->held[0]));
    return frame;
}

/* Lets those go that were overtaken often enough or held for long enough. One that came earlier and
 * stays is overtaken by them, too, and may go for that: so each time from the front. */
static void release_held(struct direction *direction, uint64_t now_ns)
{
    for (size_t i = 0; i < direction->held_count;) {
        const struct frame *frame = direction->held[i];
        if (frame->overtakers > 0 && frame->due_ns > now_ns) {
            i++;
            continue;
        }
        queue_push(&direction->exit, take_held(direction, i));
        overtake_held(direction, i);
        i = 0;
    }
}

static void leave_line(struct direction *direction, struct frame *frame, uint64_t now_ns)
{
    if (frame->overtakers > 0 && direction->held_count < DIRECTION_HELD_MAX) {
        frame->due_ns = now_ns + HELD_NS_MAX;
        direction->held[direction->held_count++] = frame;
        return;
    }
    queue_push(&direction->exit, frame);
    overtake_held(direction, direction->held_count);
    release_held(direction, now_ns);
}

static void direction_delay(struct direction *direction, uint64_t now_ns)
{
    release_held(direction, now_ns);
    while (direction->line.count > 0 && direction->line.first->due_ns <= now_ns) {
        leave_line(direction, queue_pop(&direction->line), now_ns);
    }
}

/* The target took nothing. One that never does is no reason to stop: the frame at the front is
 * lost. */
static void on_target_full(struct direction *direction, uint64_t now_ns)
{
    if (direction->exit_stuck_since_ns == 0) { direction->exit_stuck_since_ns = now_ns; }
    if (now_ns - direction->exit_stuck_since_ns < PATIENCE_NS) { return; }
    give_back(direction, queue_pop(&direction->exit));
    direction->counters[DIRECTION_REFUSED]++;
}

static void direction_transmit(struct direction *direction, uint64_t now_ns)
{
    while (direction->exit.count > 0) {
        struct frame *burst[LINK_BURST_MAX];
        size_t count = 0;
        for (struct frame *at = direction->exit.first; at != NULL && count < LINK_BURST_MAX;
             at = at->next) {
            burst[count++] = at;
        }
        const size_t sent = link_send(direction->target, burst, count);
        if (sent == 0) {
            on_target_full(direction, now_ns);
            return;
        }
        direction->exit_stuck_since_ns = 0;
        direction->counters[DIRECTION_FORWARDED] += sent;
        for (size_t i = 0; i < sent; i++) { give_back(direction, queue_pop(&direction->exit)); }
    }
}

size_t direction_waiting(const struct direction *direction)
{
    return direction->line.count + direction->held_count + direction->exit.count;
}

static void direction_check(const struct direction *direction)
{
    const uint64_t *counters = direction->counters;
    assert(direction->free_count + direction_waiting(direction) == FRAMES);
    assert(counters[DIRECTION_SEEN] + counters[DIRECTION_REPEATED] ==
           counters[DIRECTION_DROPPED] + counters[DIRECTION_OVERSIZED] +
               counters[DIRECTION_REFUSED] + counters[DIRECTION_FORWARDED] +
               direction_waiting(direction));
}

void direction_turn(struct direction *direction, uint64_t now_ns)
{
    direction_receive(direction, now_ns);
    direction_delay(direction, now_ns);
    direction_transmit(direction, now_ns);
    direction_check(direction);
}

uint64_t direction_due_ns(const struct direction *direction, uint64_t now_ns)
{
    uint64_t due_ns = UINT64_MAX;
    if (direction->exit.count > 0) { due_ns = now_ns + RETRY_NS; }
    if (direction->line.count > 0 && direction->line.first->due_ns < due_ns) {
        due_ns = direction->line.first->due_ns;
    }
    if (direction->held_count > 0 && direction->held[0]->due_ns < due_ns) {
        due_ns = direction->held[0]->due_ns;
    }
    return due_ns;
}
