/* outbox.h - frames that a worker is about to send, by port, handed over in bursts.
 *
 * Owns     Reserved buffers between push and flush. Ports are borrowed.
 * Threads  The worker's own. Nothing waits or allocates: what a full queue does not take is dropped
 *          and counted by the port. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"
#include "nic/packets.h"
#include "nic/udp_path.h"

BEGIN_C_DECLS

struct outbox_port {
    struct packets packets;
    size_t count;
    void *handles[PACKETS_BURST_MAX];
    size_t lens_bytes[PACKETS_BURST_MAX];
};

struct outbox {
    struct outbox_port ports[CONFIG_PORTS_MAX];
    size_t port_count;
    uint64_t sent_count; /* handed to the ports, ever */
};

/* Fills zeroed memory of the caller. */
void outbox_init(struct outbox *outbox, const struct packets *ports, size_t port_count);

/* Room for one frame on this port; false when there is no buffer. Ends in push or cancel. */
bool outbox_reserve(struct outbox *outbox, size_t port, struct packet_room *out);
void outbox_push(struct outbox *outbox, size_t port, void *handle, size_t len_bytes);
void outbox_cancel(struct outbox *outbox, size_t port, void *handle);

/* Where the payload of a datagram along `path` is to be written; NULL: no buffer, or none so large.
 * Ends in outbox_send or outbox_cancel. */
uint8_t *outbox_payload(struct outbox *outbox, size_t port, const struct udp_path *path,
                        size_t payload_bytes, struct packet_room *room);
/* Puts the headers in front of it and pushes it. */
void outbox_send(struct outbox *outbox, size_t port, const struct udp_path *path,
                 const struct packet_room *room, size_t payload_bytes);

/* Hands over what waits; answers how many frames that were. */
size_t outbox_flush(struct outbox *outbox);

END_C_DECLS
