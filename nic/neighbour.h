/* neighbour.h - a polite host on the wire: answers ARP and pings, asks for and remembers
 * neighbours.
 *
 * Purpose  ARP replies and requests (RFC 826, 5227's announcement at start), ICMP echo replies (RFC
 *          1122 3.2.2.6). The table (fixed size, oldest entry replaced) serves whoever sends
 *          unasked (answers take udp_path.h); a gateway is asked for at start and before it ages.
 * Owns     Its table. Frames are built in room that the caller lends.
 * Threads  One worker owns one; nothing is shared. Time comes in as an argument.
 * Trust    Only requests and replies that concern our own address change the table. Nothing but the
 *          answer to a question replaces the MAC of a live entry: any other claim to it (a host
 * that was exchanged, a gratuitous ARP after a failover, a forger) makes us ask, at most once a
 *          second. Echo replies are never longer than the request. A host that claims our address
 *          is counted and answered by an announcement, once in ten seconds (RFC 5227 2.4, c). */
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
    bool known;          /* `mac` was learned, at learned_ns */
    bool wanted;         /* somebody looked for it: ask when ask_after_ns has come */
    uint32_t unanswered; /* questions since the last answer: each doubles the pause */
    uint64_t learned_ns;
    uint64_t asked_ns; /* of the last question */
    uint64_t ask_after_ns;
};

struct neighbour {
    const struct interface *interface;
    struct neighbour_entry entries[NEIGHBOUR_CAPACITY];
    uint64_t quiet_until_ns; /* a tick before this has nothing to do: the turn pays one compare */
    uint64_t announce_after_ns;
    uint32_t announcements_left;
    uint64_t conflicts; /* frames from another host that claims our address: tell the operator */
};

/* `interface` is borrowed for the neighbour's life. */
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
