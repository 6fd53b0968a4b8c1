/* link.h - one network interface, all of whose frames a raw socket takes and gives (packet(7)).
 *
 * Purpose  Bursts of whole Ethernet frames in and out, the VLAN tag put back where the kernel took
 *          it out.
 * Owns     The socket. Frames are the caller's.
 * Threads  One.
 * Errors   What cannot be set up, and an interface that goes away, ends the process with a message:
 *          a hop without its links has nothing left to do.
 *
 * The socket sends through the interface's ordinary transmit path (no PACKET_QDISC_BYPASS), where
 * the kernel picks the queue by a hash over addresses and ports, the same for a flow as long as the
 * machine runs. With the bypass it would pick it by the CPU. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINK_BURST_MAX = 64,
    ETHERNET_HEADER_BYTES = 14,
    VLAN_TAG_BYTES = 4,
    FRAME_STORE_BYTES = 2000,
    FRAME_BYTES_MAX = FRAME_STORE_BYTES - VLAN_TAG_BYTES,
};

/* A frame on its way; which queue it is in says what comes next. */
struct frame {
    struct frame *next;
    uint64_t due_ns;
    uint32_t begin; /* first byte in `store` */
    uint32_t len_bytes;
    uint32_t overtakers; /* frames that still go before it */
    bool was_overtaken;
    bool is_cut;        /* it was longer than FRAME_BYTES_MAX */
    bool is_unfinished; /* its checksum was left to a NIC: an offload of the sender is on */
    uint8_t store[FRAME_STORE_BYTES];
};

struct link {
    int socket;
    uint64_t missed; /* dropped by the kernel, for want of room in the socket */
    char name[IFNAMSIZ];
};

void link_init(struct link *link, const char *name);
void link_deinit(struct link *link);

/* Takes up to `count` (at most LINK_BURST_MAX) frames without waiting; how many. */
size_t link_receive(struct link *link, struct frame *const *frames, size_t count);

/* Gives the first of the frames; how many. Fewer than `count`: the other end is full just now. */
size_t link_send(struct link *link, struct frame *const *frames, size_t count);

/* Brings `missed` up to date. */
void link_count_missed(struct link *link);
