#include "bench/tap.h"

#include "bench/frames.h"

static size_t tap_receive(void *self, struct packet *out, size_t capacity)
{
    const struct tap *const tap = self;
    return packets_receive(tap->inner, out, capacity);
}

static void tap_release(void *self, void *const *handles, size_t count)
{
    const struct tap *const tap = self;
    packets_release(tap->inner, handles, count);
}

static bool tap_reserve(void *self, struct packet_room *out)
{
    const struct tap *const tap = self;
    return packets_reserve(tap->inner, out);
}

static size_t tap_transmit(void *self, void *const *handles, const size_t *lens_bytes, size_t count)
{
    struct tap *const tap = self;
    assert(count <= TAP_FRAMES_MAX - tap->count);
    for (size_t i = 0; i < count; i++) {
        tap->handles[tap->count] = handles[i];
        tap->lens_bytes[tap->count] = lens_bytes[i];
        tap->count++;
    }
    return count;
}

static size_t tap_buffers_free(void *self)
{
    const struct tap *const tap = self;
    return packets_buffers_free(tap->inner);
}

static const struct packets_ops TAP_OPS = {
    .receive = tap_receive,
    .release = tap_release,
    .reserve = tap_reserve,
    .transmit = tap_transmit,
    .buffers_free = tap_buffers_free,
};

void tap_init(struct tap *tap, struct packets inner)
{
    tap->inner = inner;
    tap->count = 0;
}

struct packets tap_port(struct tap *tap) { return (struct packets){&TAP_OPS, tap}; }

struct bytes tap_frame(const struct tap *tap, size_t index)
{
    return frames_bytes_of(tap->handles[index], tap->lens_bytes[index]);
}

void tap_clear(struct tap *tap)
{
    if (tap->count > 0) { packets_release(tap->inner, tap->handles, tap->count); }
    tap->count = 0;
}
