/* producers.h - legal producers of the native protocol, as many lanes as wanted.
 *
 * Purpose  Opens the lanes by the protocol's own handshake, numbers the frames of a data set anew
 *          for each time that they are sent (session, packet number, sequence, confirmed, with the
 *          checksums that follow from it), and takes in every answer: durable, credit, fates.
 * Legal    docs/protocol.md: never more than a lane's credit, a packet number once, a sequence for
 *          one record. What it leaves out is loss recovery: a net_ring loses nothing, and a lane
 *          whose datagram was dropped all the same stands still, which the bench reports.
 * Fair     A frame's lines that were written are flushed from the caches again: the worker finds
 *          them in memory, as it finds those of frames that nobody touches.
 * Threads  The worker's: its core is the producers' too, and times them apart. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/status.h"
#include "bench/frames.h"
#include "bench/tap.h"

BEGIN_C_DECLS

enum { PRODUCERS_HOSTS = 50 }; /* lanes are spread over them, when there are as many */

struct producers; /* opaque */

struct producers_options {
    struct frames *frames; /* FRAMES_NATIVE_FIVE */
    const struct interface *interface;
    uint16_t port_id;
    uint32_t lane_count; /* of hosts; a multiple of them */
    uint32_t host_count; /* of `frames` */
};

MUST_CHECK enum status producers_create(const struct producers_options *options,
                                        struct producers **out);
void producers_destroy(struct producers *producers);

/* Sends what the handshakes that are under way need next, through `tap`'s inner port; true once all
 * lanes are open. In turns with the worker, and producers_hear. */
bool producers_open_some(struct producers *producers, struct tap *tap, uint64_t now_ns);

/* Up to `most` (at most FRAMES_BURST) datagrams into the device, lane after lane; answers how many.
 * Fewer when the next lane has no credit, or its frame is still held. */
size_t producers_feed(struct producers *producers, size_t most);

/* Takes in what the worker sent, and clears the tap. */
void producers_hear(struct producers *producers, struct tap *tap);

/* Everything that was sent is known to be durable. */
bool producers_are_quiet(const struct producers *producers);

/* A REJECT, a CLOSE, a fate that is not STORED or DROPPED, or an answer that does not hold. */
bool producers_failed(const struct producers *producers);
uint64_t producers_acks(const struct producers *producers);

END_C_DECLS
