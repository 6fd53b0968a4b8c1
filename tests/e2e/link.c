#include "tests/e2e/link.h"

#include <arpa/inet.h>
#include <assert.h>
#include <err.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SOCKET_BUFFER_BYTES = 64 << 20,
    MAC_PAIR_BYTES = 12,
};

/* Room for the one control message that is asked for, aligned as cmsg(3) wants it. */
union auxiliary {
    char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct cmsghdr align;
};

static void set_option(const struct link *link, int level, int name, int value)
{
    if (setsockopt(link->socket, level, name, &value, sizeof(value)) != 0) {
        err(EXIT_FAILURE, "%s: socket option %d", link->name, name);
    }
}

void link_init(struct link *link, const char *name)
{
    const unsigned index = if_nametoindex(name);
    if (index == 0) { err(EXIT_FAILURE, "%s", name); }
    *link = (struct link){.socket = -1};
    strncpy(link->name, name, sizeof(link->name) - 1);

    /* Protocol 0 until everything is set: nothing is received before. */
    link->socket = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->socket < 0) { err(EXIT_FAILURE, "%s: socket", name); }
    set_option(link, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
    set_option(link, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
    set_option(link, SOL_PACKET, PACKET_AUXDATA, 1);
    set_option(link, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)index,
    };
    if (bind(link->socket, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        err(EXIT_FAILURE, "%s: bind", name);
    }
}

void link_deinit(struct link *link)
{
    close(link->socket);
    link->socket = -1;
}

/* The kernel takes a VLAN tag out of the frame and tells it beside. */
static void restore_vlan_tag(struct frame *frame, const struct tpacket_auxdata *auxiliary)
{
    const uint16_t ethertype = (auxiliary->tp_status & TP_STATUS_VLAN_TPID_VALID) != 0
                                   ? auxiliary->tp_vlan_tpid
                                   : (uint16_t)ETH_P_8021Q;
    const uint16_t tag_be16[2] = {htons(ethertype), htons(auxiliary->tp_vlan_tci)};
    static_assert(sizeof(tag_be16) == VLAN_TAG_BYTES, "IEEE 802.1Q");

    frame->begin -= VLAN_TAG_BYTES;
    frame->len_bytes += VLAN_TAG_BYTES;
    uint8_t *at = frame->store + frame->begin;
    memmove(at, at + VLAN_TAG_BYTES, MAC_PAIR_BYTES);
    memcpy(at + MAC_PAIR_BYTES, tag_be16, sizeof(tag_be16));
}

static void read_auxiliary(struct frame *frame, struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_PACKET || at->cmsg_type != PACKET_AUXDATA) { continue; }
        struct tpacket_auxdata auxiliary;
        memcpy(&auxiliary, CMSG_DATA(at), sizeof(auxiliary));
        frame->is_unfinished = (auxiliary.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
        if ((auxiliary.tp_status & TP_STATUS_VLAN_VALID) != 0 &&
            frame->len_bytes >= MAC_PAIR_BYTES) {
            restore_vlan_tag(frame, &auxiliary);
        }
    }
}

static void read_message(struct frame *frame, struct mmsghdr *message)
{
    frame->begin = VLAN_TAG_BYTES;
    frame->is_cut = (message->msg_hdr.msg_flags & MSG_TRUNC) != 0;
    frame->len_bytes = message->msg_len;
    frame->is_unfinished = false;
    frame->was_overtaken = false;
    read_auxiliary(frame, &message->msg_hdr);
}

size_t link_receive(struct link *link, struct frame *const *frames, size_t count)
{
    struct mmsghdr messages[LINK_BURST_MAX];
    struct iovec stores[LINK_BURST_MAX];
    union auxiliary auxiliaries[LINK_BURST_MAX];
    assert(count <= LINK_BURST_MAX);

    for (size_t i = 0; i < count; i++) {
        stores[i] = (struct iovec){frames[i]->store + VLAN_TAG_BYTES, FRAME_BYTES_MAX};
        messages[i] = (struct mmsghdr){.msg_hdr = {
                                           .msg_iov = &stores[i],
                                           .msg_iovlen = 1,
                                           .msg_control = &auxiliaries[i],
                                           .msg_controllen = sizeof(auxiliaries[i]),
                                       }};
    }
    const int received = recvmmsg(link->socket, messages, (unsigned)count, MSG_DONTWAIT, NULL);
    if (received < 0) {
        if (errno == EAGAIN || errno == EINTR) { return 0; }
        err(EXIT_FAILURE, "%s: receive", link->name);
    }
    for (size_t i = 0; i < (size_t)received; i++) { read_message(frames[i], &messages[i]); }
    return (size_t)received;
}

size_t link_send(struct link *link, struct frame *const *frames, size_t count)
{
    struct mmsghdr messages[LINK_BURST_MAX];
    struct iovec stores[LINK_BURST_MAX];
    assert(count <= LINK_BURST_MAX);

    for (size_t i = 0; i < count; i++) {
        stores[i] = (struct iovec){frames[i]->store + frames[i]->begin, frames[i]->len_bytes};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &stores[i], .msg_iovlen = 1}};
    }
    const int sent = sendmmsg(link->socket, messages, (unsigned)count, MSG_DONTWAIT);
    if (sent >= 0) { return (size_t)sent; }
    if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) { return 0; }
    err(EXIT_FAILURE, "%s: send", link->name);
}

void link_count_missed(struct link *link)
{
    struct tpacket_stats statistics; /* since it was asked for last */
    socklen_t len_bytes = sizeof(statistics);
    if (getsockopt(link->socket, SOL_PACKET, PACKET_STATISTICS, &statistics, &len_bytes) != 0) {
        err(EXIT_FAILURE, "%s: PACKET_STATISTICS", link->name);
    }
    link->missed += statistics.tp_drops;
}
