/* neighbour.h - a polite host on the wire: answers ARP and pings, asks for and remembers
 * neighbours.
 *
 * Purpose  ARP replies and requests (RFC 826, 5227's announcement at start), ICMP echo replies (RFC
 *          1122 3.2.2.6). The table (fixed size, oldest entry replaced) serves whoever sends later
 *          (acks of the native protocol); a gateway is asked for at start and again before it ages.
 * Owns     Its table. Frames are built in room that the caller lends.
 * Threads  One worker owns one; nothing is shared. Time comes in as an argument.
 * Trust    Only requests and replies that concern our own address change the table; an unasked
 *          reply never replaces a live entry. Echo replies are never longer than the request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "nic/frame.h"

BEGIN_C_DECLS

enum {
    NEIGHBOUR_CAPACITY = 256,
    NEIGHBOUR_FRAME_BYTES_MAX = 64, /* of an ARP frame with a tag, padded */
};

struct neighbour_entry {
    uint32_t address; /* 0: unused */
    struct mac mac;
    uint64_t learned_ns;
    uint64_t asked_ns;
    bool known;
};

struct neighbour {
    const struct interface *interface;
    struct neighbour_entry entries[NEIGHBOUR_CAPACITY];
    uint64_t announced_ns;
    uint32_t announcements_left;
};

void neighbour_init(struct neighbour *neighbour, const struct interface *interface);

/* One FRAME_ARP or FRAME_ICMP_ECHO frame; answers how many bytes of reply it wrote into `room`, 0
 * for none (also when the reply does not fit). */
size_t neighbour_receive(struct neighbour *neighbour, const struct packet *packet,
                         enum frame_result kind, uint64_t now_ns, uint8_t *room,
                         size_t capacity_bytes);

/* What is due now (announcement, gateway, a pending question): bytes written, 0 when nothing is.
 * Call again while it answers more than 0; bounded. */
size_t neighbour_tick(struct neighbour *neighbour, uint64_t now_ns, uint8_t *room,
                      size_t capacity_bytes);

/* The MAC for a target address: its own when on the link, else the gateway's. False while unknown:
 * then it is asked for at the next tick. */
bool neighbour_find(struct neighbour *neighbour, uint32_t address, uint64_t now_ns,
                    struct mac *out);

END_C_DECLS
