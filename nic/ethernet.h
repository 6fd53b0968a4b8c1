/* ethernet.h - the Ethernet II header and one 802.1Q tag: read and written.
 *
 * Purpose  ethernet_parse reads the fourteen bytes that every frame has; ethernet_parse_tag the
 * four of a VLAN tag behind it. Two steps, so that a frame for another host is told apart before
 * its tag is looked at. ethernet_write is the mirror of both. Owns     Nothing; `payload` points
 * into the frame, and may end in padding. Threads  Any; no state. Source   IEEE 802.3, clause 3;
 * IEEE 802.1Q, clause 9. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/cursor.h"
#include "base/sink.h"

BEGIN_C_DECLS

enum {
    MAC_BYTES = 6,
    ETHERNET_HEADER_BYTES = 14,
    ETHERNET_TAG_BYTES = 4,
    ETHERNET_FRAME_BYTES_MIN = 60, /* without FCS; shorter ones are padded with zeros */

    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_VLAN = 0x8100,         /* 802.1Q */
    ETHERTYPE_SERVICE_VLAN = 0x88a8, /* 802.1ad, "QinQ" */
    ETHERTYPE_IPV6 = 0x86dd,
};

struct mac {
    uint8_t bytes[MAC_BYTES];
};

enum ethernet_result {
    ETHERNET_OK,
    ETHERNET_TRUNCATED, /* fewer bytes than the header or the tag */
    ETHERNET_RESULT_COUNT,
};

struct ethernet_header {
    struct mac target;
    struct mac source;
    uint16_t ethertype; /* below 1536 it is an 802.3 length */
    struct bytes payload;
};

struct ethernet_tag {
    uint16_t vlan_id;   /* 0: a priority only, no VLAN */
    uint16_t ethertype; /* of what is behind the tag */
    struct bytes payload;
};

/* Whether frames are sent with a tag, and which. */
struct ethernet_vlan {
    bool tagged;
    uint16_t vlan_id;
};

/* `out` holds only on ETHERNET_OK. */
enum ethernet_result ethernet_parse(struct bytes frame, struct ethernet_header *out);

/* The tag behind an ETHERTYPE_VLAN header. `out` holds only on ETHERNET_OK. */
enum ethernet_result ethernet_parse_tag(struct bytes header_payload, struct ethernet_tag *out);

void ethernet_write(struct sink *sink, const struct mac *target, const struct mac *source,
                    struct ethernet_vlan vlan, uint16_t ethertype);

/* Zeros until `frame_bytes` are written; nothing when they are already. */
void ethernet_write_padding(struct sink *sink, size_t frame_bytes);

static inline struct mac cursor_mac(struct cursor *cursor)
{
    struct mac out = {{0}};
    const struct bytes bytes = cursor_bytes(cursor, MAC_BYTES);
    if (bytes.len_bytes == MAC_BYTES) { memcpy(out.bytes, bytes.at, MAC_BYTES); }
    return out;
}

/* The VLAN identifier in a tag control field. */
static inline uint16_t ethernet_tci_vlan_id(uint16_t tci) { return tci & 0x0fff; }

static inline bool mac_equal(const struct mac *left, const struct mac *right)
{
    return memcmp(left->bytes, right->bytes, MAC_BYTES) == 0;
}

/* Multicast or broadcast: never the address of one host. */
static inline bool mac_is_group(const struct mac *mac) { return (mac->bytes[0] & 1) != 0; }

static inline bool mac_is_broadcast(const struct mac *mac)
{
    static const uint8_t all_ones[MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return memcmp(mac->bytes, all_ones, MAC_BYTES) == 0;
}

static inline bool mac_is_zero(const struct mac *mac)
{
    static const uint8_t zeros[MAC_BYTES] = {0};
    return memcmp(mac->bytes, zeros, MAC_BYTES) == 0;
}

END_C_DECLS
