#include "tests/sim/sim_packets.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_BYTES = 2048 };

struct frame {
    uint8_t *at;
    size_t len_bytes;
};

struct buffer {
    uint8_t *at; /* exact size for received frames: one byte too far is seen by the sanitizer */
    bool out;
};

/* First in, first out: [head, end) of the items. */
struct frame_queue {
    struct frame *items;
    size_t head;
    size_t end;
    size_t capacity;
};

struct sim_packets {
    struct buffer *buffers;
    size_t buffer_count;
    size_t out_count;
    struct buffer **unused; /* buffers that are not out: a stack */
    struct frame_queue waiting;
    struct frame_queue sent;
};

static size_t queue_count(const struct frame_queue *queue) { return queue->end - queue->head; }

/* Room for one more: what was popped makes room before memory does, so that a queue that is emptied
 * as it is filled stays small. */
static void queue_make_room(struct frame_queue *queue)
{
    if (queue->end < queue->capacity) { return; }
    const size_t count = queue_count(queue);
    if (queue->head > 0 && queue->head >= queue->capacity / 2) {
        memmove(queue->items, queue->items + queue->head, count * sizeof *queue->items);
        queue->head = 0;
        queue->end = count;
        return;
    }
    queue->capacity = queue->capacity == 0 ? 64 : queue->capacity * 2;
    queue->items = realloc(queue->items, queue->capacity * sizeof *queue->items);
    assert(queue->items != NULL);
}

static void queue_push(struct frame_queue *queue, const uint8_t *at, size_t len_bytes)
{
    queue_make_room(queue);
    struct frame *const frame = &queue->items[queue->end++];
    frame->at = malloc(len_bytes > 0 ? len_bytes : 1);
    assert(frame->at != NULL);
    if (len_bytes > 0) { memcpy(frame->at, at, len_bytes); }
    frame->len_bytes = len_bytes;
}

/* Its memory is the caller's now. */
static struct frame queue_pop(struct frame_queue *queue)
{
    assert(queue_count(queue) > 0);
    return queue->items[queue->head++];
}

static struct buffer *buffer_take(struct sim_packets *packets)
{
    if (packets->out_count == packets->buffer_count) { return NULL; }
    packets->out_count++;
    struct buffer *const buffer = packets->unused[packets->buffer_count - packets->out_count];
    assert(!buffer->out);
    buffer->out = true;
    return buffer;
}

static void buffer_give(struct sim_packets *packets, struct buffer *buffer)
{
    assert(buffer >= packets->buffers && buffer < packets->buffers + packets->buffer_count);
    assert(buffer->out); /* else: released twice */
    buffer->out = false;
    free(buffer->at);
    buffer->at = NULL;
    packets->unused[packets->buffer_count - packets->out_count] = buffer;
    packets->out_count--;
}

static size_t sim_receive(void *self, struct packet *out, size_t capacity)
{
    struct sim_packets *const packets = self;
    size_t count = 0;
    while (count < capacity && queue_count(&packets->waiting) > 0) {
        struct buffer *const buffer = buffer_take(packets);
        if (buffer == NULL) { break; }
        const struct frame frame = queue_pop(&packets->waiting);
        buffer->at = frame.at; /* moves */
        out[count++] = (struct packet){
            .frame = bytes_of(buffer->at, frame.len_bytes),
            .handle = buffer,
        };
    }
    return count;
}

static void sim_release(void *self, void *const *handles, size_t count)
{
    for (size_t i = 0; i < count; i++) { buffer_give(self, handles[i]); }
}

static bool sim_reserve(void *self, struct packet_room *out)
{
    struct buffer *const buffer = buffer_take(self);
    if (buffer == NULL) { return false; }
    buffer->at = malloc(ROOM_BYTES);
    assert(buffer->at != NULL);
    *out = (struct packet_room){buffer->at, ROOM_BYTES, buffer};
    return true;
}

static size_t sim_transmit(void *self, void *const *handles, const size_t *lens_bytes, size_t count)
{
    struct sim_packets *const packets = self;
    for (size_t i = 0; i < count; i++) {
        struct buffer *const buffer = handles[i];
        assert(lens_bytes[i] > 0);
        queue_push(&packets->sent, buffer->at, lens_bytes[i]);
        buffer_give(packets, buffer);
    }
    return count; /* its queue is never full */
}

static size_t sim_buffers_free(void *self)
{
    const struct sim_packets *const packets = self;
    return packets->buffer_count - packets->out_count;
}

struct packets sim_packets_port(struct sim_packets *packets)
{
    static const struct packets_ops ops = {
        .receive = sim_receive,
        .release = sim_release,
        .reserve = sim_reserve,
        .transmit = sim_transmit,
        .buffers_free = sim_buffers_free,
    };
    return (struct packets){&ops, packets};
}

struct sim_packets *sim_packets_create(size_t buffers)
{
    struct sim_packets *const packets = calloc(1, sizeof *packets);
    assert(packets != NULL);
    packets->buffers = calloc(buffers, sizeof *packets->buffers);
    assert(packets->buffers != NULL);
    packets->unused = calloc(buffers, sizeof(struct buffer *));
    assert(packets->unused != NULL);
    for (size_t i = 0; i < buffers; i++) { packets->unused[i] = &packets->buffers[i]; }
    packets->buffer_count = buffers;
    return packets;
}

static void queue_free(struct frame_queue *queue)
{
    for (size_t i = queue->head; i < queue->end; i++) { free(queue->items[i].at); }
    free(queue->items);
}

void sim_packets_destroy(struct sim_packets *packets)
{
    assert(packets->out_count == 0); /* else: leaked */
    queue_free(&packets->waiting);
    queue_free(&packets->sent);
    free(packets->unused);
    free(packets->buffers);
    free(packets);
}

void sim_packets_put(struct sim_packets *packets, struct bytes frame)
{
    queue_push(&packets->waiting, frame.at, frame.len_bytes);
}

size_t sim_packets_waiting(const struct sim_packets *packets)
{
    return queue_count(&packets->waiting);
}

size_t sim_packets_out(const struct sim_packets *packets) { return packets->out_count; }

size_t sim_packets_sent_count(const struct sim_packets *packets)
{
    return queue_count(&packets->sent);
}

struct bytes sim_packets_sent(const struct sim_packets *packets, size_t index)
{
    assert(index < queue_count(&packets->sent));
    const struct frame *const frame = &packets->sent.items[packets->sent.head + index];
    return bytes_of(frame->at, frame->len_bytes);
}

void sim_packets_forget_sent(struct sim_packets *packets)
{
    while (queue_count(&packets->sent) > 0) {
        const struct frame frame = queue_pop(&packets->sent);
        free(frame.at);
    }
}

size_t sim_packets_take_sent(struct sim_packets *packets, void *room, size_t capacity_bytes)
{
    if (queue_count(&packets->sent) == 0) { return 0; }
    const struct frame frame = queue_pop(&packets->sent);
    assert(frame.len_bytes > 0);
    assert(frame.len_bytes <= capacity_bytes);
    memcpy(room, frame.at, frame.len_bytes);
    free(frame.at);
    return frame.len_bytes;
}
