#include "dataplane/outbox.h"

#include "base/invariant.h"

void outbox_init(struct outbox *outbox, const struct packets *ports, size_t port_count)
{
    assert(port_count <= CONFIG_PORTS_MAX);
    for (size_t i = 0; i < port_count; i++) { outbox->ports[i].packets = ports[i]; }
    outbox->port_count = port_count;
}

bool outbox_reserve(struct outbox *outbox, size_t port, struct packet_room *out)
{
    assert_hot(port < outbox->port_count);
    return packets_reserve(outbox->ports[port].packets, out);
}

static size_t flush_port(struct outbox *outbox, struct outbox_port *port)
{
    const size_t count = port->count;
    if (count == 0) { return 0; }
    packets_transmit(port->packets, port->handles, port->lens_bytes, count);
    port->count = 0;
    outbox->sent_count += count;
    return count;
}

void outbox_push(struct outbox *outbox, size_t port, void *handle, size_t len_bytes)
{
    struct outbox_port *const target = &outbox->ports[port];
    target->handles[target->count] = handle;
    target->lens_bytes[target->count] = len_bytes;
    target->count++;
    if (target->count == PACKETS_BURST_MAX) { (void)flush_port(outbox, target); }
}

void outbox_cancel(struct outbox *outbox, size_t port, void *handle)
{
    packets_release(outbox->ports[port].packets, &handle, 1);
}

uint8_t *outbox_payload(struct outbox *outbox, size_t port, const struct udp_path *path,
                        size_t payload_bytes, struct packet_room *room)
{
    if (!outbox_reserve(outbox, port, room)) { return NULL; }
    const size_t headers_bytes = udp_path_headers_bytes(path);
    if (room->capacity_bytes >= headers_bytes + payload_bytes &&
        room->capacity_bytes >= UDP_PATH_FRAME_BYTES_MIN) {
        return room->at + headers_bytes;
    }
    outbox_cancel(outbox, port, room->handle);
    return NULL;
}

void outbox_send(struct outbox *outbox, size_t port, const struct udp_path *path,
                 const struct packet_room *room, size_t payload_bytes)
{
    assert_hot(payload_bytes > 0);
    outbox_push(outbox, port, room->handle, udp_path_finish(path, room->at, payload_bytes));
}

size_t outbox_flush(struct outbox *outbox)
{
    size_t count = 0;
    for (size_t i = 0; i < outbox->port_count; i++) {
        count += flush_port(outbox, &outbox->ports[i]);
    }
    return count;
}
