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
    struct buffer *next_free;
    bool out;
};

struct frame_list {
    struct frame *items;
    size_t count;
    size_t capacity;
};

struct sim_packets {
    struct buffer *buffers;
    struct buffer *free;
    size_t buffer_count;
    size_t out_count;
    struct frame_list waiting;
    size_t waiting_head;
    struct frame_list sent;
};

static void list_push(struct frame_list *list, const uint8_t *at, size_t len_bytes)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->items = realloc(list->items, list->capacity * sizeof *list->items);
        assert(list->items != NULL);
    }
    struct frame *const frame = &list->items[list->count++];
    frame->at = malloc(len_bytes > 0 ? len_bytes : 1);
    assert(frame->at != NULL);
    if (len_bytes > 0) { memcpy(frame->at, at, len_bytes); }
    frame->len_bytes = len_bytes;
}

static struct buffer *buffer_take(struct sim_packets *packets)
{
    struct buffer *const buffer = packets->free;
    if (buffer == NULL) { return NULL; }
    packets->free = buffer->next_free;
    buffer->out = true;
    packets->out_count++;
    return buffer;
}

static void buffer_give(struct sim_packets *packets, struct buffer *buffer)
{
    assert(buffer >= packets->buffers && buffer < packets->buffers + packets->buffer_count);
    assert(buffer->out); /* else: released twice */
    buffer->out = false;
    free(buffer->at);
    buffer->at = NULL;
    buffer->next_free = packets->free;
    packets->free = buffer;
    packets->out_count--;
}

static size_t sim_receive(void *self, struct packet *out, size_t capacity)
{
    struct sim_packets *const packets = self;
    size_t count = 0;
    while (count < capacity && packets->waiting_head < packets->waiting.count) {
        struct buffer *const buffer = buffer_take(packets);
        if (buffer == NULL) { break; }
        struct frame *const frame = &packets->waiting.items[packets->waiting_head++];
        buffer->at = frame->at; /* moves */
        frame->at = NULL;
        out[count++] = (struct packet){
            .frame = bytes_of(buffer->at, frame->len_bytes),
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

static void sim_transmit(void *self, void *const *handles, const size_t *lens_bytes, size_t count)
{
    struct sim_packets *const packets = self;
    for (size_t i = 0; i < count; i++) {
        struct buffer *const buffer = handles[i];
        list_push(&packets->sent, buffer->at, lens_bytes[i]);
        buffer_give(packets, buffer);
    }
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
    packets->buffer_count = buffers;
    for (size_t i = buffers; i-- > 0;) {
        packets->buffers[i].next_free = packets->free;
        packets->free = &packets->buffers[i];
    }
    return packets;
}

static void list_empty(struct frame_list *list)
{
    for (size_t i = 0; i < list->count; i++) { free(list->items[i].at); }
    list->count = 0;
}

static void list_free(struct frame_list *list)
{
    list_empty(list);
    free(list->items);
}

void sim_packets_destroy(struct sim_packets *packets)
{
    assert(packets->out_count == 0); /* else: leaked */
    list_free(&packets->waiting);
    list_free(&packets->sent);
    free(packets->buffers);
    free(packets);
}

void sim_packets_put(struct sim_packets *packets, struct bytes frame)
{
    if (packets->waiting_head == packets->waiting.count) { /* all were taken: begin again */
        packets->waiting.count = 0;
        packets->waiting_head = 0;
    }
    list_push(&packets->waiting, frame.at, frame.len_bytes);
}

size_t sim_packets_waiting(const struct sim_packets *packets)
{
    return packets->waiting.count - packets->waiting_head;
}

size_t sim_packets_out(const struct sim_packets *packets) { return packets->out_count; }

size_t sim_packets_sent_count(const struct sim_packets *packets) { return packets->sent.count; }

struct bytes sim_packets_sent(const struct sim_packets *packets, size_t index)
{
    assert(index < packets->sent.count);
    return bytes_of(packets->sent.items[index].at, packets->sent.items[index].len_bytes);
}

void sim_packets_forget_sent(struct sim_packets *packets) { list_empty(&packets->sent); }
