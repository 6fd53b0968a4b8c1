/* frame_fuzz.c - any bytes as a frame: parsed, and answered where the parser says so.
 *
 * Input: one byte of switches (below), two of a stripped tag, one that shrinks the room for the
 * reply, then the frame. */
#include <stdint.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "nic/frame.h"
#include "nic/neighbour.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

enum {
    PREFIX_BYTES = 4,
    SWITCH_TAGGED_INTERFACE = 1,
    SWITCH_STRIPPED = 2,
    SWITCH_CHAINED = 4,
    SWITCH_IP_GOOD = 8,
    SWITCH_L4_GOOD = 16,
    SWITCH_IP_BAD = 32,
    SWITCH_SMALL_ROOM = 64,
    ROOM_BYTES = 2048,
};

static struct interface interface_of(uint8_t switches)
{
    const struct interface out = {
        .mac = {{0x02, 0, 0, 0, 0, 0x10}},
        .address = 0xc000020a,
        .netmask = 0xffffff00,
        .gateway = 0xc0000201,
        .vlan_tagged = (switches & SWITCH_TAGGED_INTERFACE) != 0,
        .vlan_id = 5,
        .mtu_bytes = 1500,
    };
    return out;
}

static struct packet packet_of(uint8_t switches, uint16_t tci, const uint8_t *at, size_t len_bytes)
{
    const struct packet out = {
        .frame = bytes_of(at, len_bytes),
        .ip_checksum = (switches & SWITCH_IP_BAD) != 0    ? PACKET_CHECKSUM_BAD
                       : (switches & SWITCH_IP_GOOD) != 0 ? PACKET_CHECKSUM_GOOD
                                                          : PACKET_CHECKSUM_UNKNOWN,
        .l4_checksum =
            (switches & SWITCH_L4_GOOD) != 0 ? PACKET_CHECKSUM_GOOD : PACKET_CHECKSUM_UNKNOWN,
        .chained = (switches & SWITCH_CHAINED) != 0,
        .vlan_stripped = (switches & SWITCH_STRIPPED) != 0,
        .vlan_tci = tci,
    };
    return out;
}

static void check_datagram(const struct interface *interface, const struct packet *packet,
                           const struct datagram *datagram)
{
    const uint8_t *const begin = packet->frame.at;
    const uint8_t *const end = begin + packet->frame.len_bytes;
    assert(datagram->payload.at >= begin + 14 + 20 + 8);
    assert(datagram->payload.at <= end);
    assert(datagram->payload.len_bytes <= (size_t)(end - datagram->payload.at));
    assert(datagram->target_address == interface->address);
    assert(datagram->source_address != interface->address);
}

static void check_neighbour(const struct interface *interface, const struct packet *packet,
                            enum frame_result kind, size_t room_bytes)
{
    static struct neighbour neighbour; /* too large for a stack; filled anew each time */
    uint8_t *const room = malloc(room_bytes > 0 ? room_bytes : 1);
    if (room == NULL) { abort(); }
    neighbour_init(&neighbour, interface);

    const size_t reply_bytes = neighbour_receive(&neighbour, packet, kind, 1000, room, room_bytes);
    const size_t tag_bytes = packet->vlan_stripped ? 4 : 0; /* was on the wire, is in the reply */
    assert(reply_bytes <= room_bytes);
    if (kind == FRAME_ICMP_ECHO) { assert(reply_bytes <= packet->frame.len_bytes + tag_bytes); }
    if (kind == FRAME_ARP) { assert(reply_bytes <= NEIGHBOUR_FRAME_BYTES_MAX); }

    size_t frames = 0;
    while (neighbour_tick(&neighbour, 2000, room, room_bytes) > 0) { frames++; }
    assert(frames <= 3); /* announcement, gateway, the one that was heard of */
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes)
{
    if (len_bytes < PREFIX_BYTES) { return 0; }
    const uint8_t switches = at[0];
    const struct interface interface = interface_of(switches);
    const struct packet packet =
        packet_of(switches, load_be16(at + 1), at + PREFIX_BYTES, len_bytes - PREFIX_BYTES);
    struct datagram datagram;

    const enum frame_result result = frame_parse(&interface, &packet, &datagram);

    assert(result < FRAME_RESULT_COUNT);
    assert(frame_result_name(result) != NULL);
    if (result == FRAME_UDP) { check_datagram(&interface, &packet, &datagram); }
    if (result == FRAME_ARP || result == FRAME_ICMP_ECHO) {
        const size_t room_bytes = (switches & SWITCH_SMALL_ROOM) != 0 ? at[3] : (size_t)ROOM_BYTES;
        check_neighbour(&interface, &packet, result, room_bytes);
    }
    return 0;
}
