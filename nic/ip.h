/* ip.h - the IPv4 header: read, checked, and written.
 *
 * Purpose  From the bytes behind Ethernet to the packet that the header describes: options are
 *          skipped, padding is cut off. Whose address it is, is frame.h's affair.
 * Owns     Nothing; `payload` points into the input.
 * Threads  Any; no state.
 * Source   RFC 791, RFC 1122 3.2.1. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"

BEGIN_C_DECLS

enum {
    IPV4_HEADER_BYTES = 20, /* without options */
    IPV4_PROTOCOL_ICMP = 1,
    IPV4_PROTOCOL_UDP = 17,
};

enum ipv4_result {
    IPV4_OK,
    IPV4_TRUNCATED,         /* fewer bytes than the header, or than it claims */
    IPV4_BAD_VERSION,       /* not 4 */
    IPV4_BAD_HEADER_LENGTH, /* claims less than 20 bytes */
    IPV4_BAD_TOTAL_LENGTH,  /* claims less than its own header */
    IPV4_RESULT_COUNT,
};

struct ipv4_packet {
    uint32_t source_address; /* host order */
    uint32_t target_address;
    uint8_t protocol;
    bool fragment; /* not the whole datagram: an offset, or more to come */
    struct bytes header;
    struct bytes payload; /* without Ethernet padding */
};

/* Lengths only; the checksum is ipv4_checksum_is_good. `out` holds only on IPV4_OK. */
enum ipv4_result ipv4_parse(struct bytes ethernet_payload, struct ipv4_packet *out);

bool ipv4_checksum_is_good(const struct ipv4_packet *packet);

/* A header without options, not to be fragmented, with its checksum. */
void ipv4_write(struct sink *sink, uint32_t source_address, uint32_t target_address,
                uint8_t protocol, uint16_t payload_bytes);

/* No host's own address: multicast (RFC 1112), limited broadcast, loopback, or "this network" 0/8
 * (RFC 1122 3.2.1.3). */
static inline bool ipv4_address_is_special(uint32_t address)
{
    return address >> 28 == 0xe || address == UINT32_MAX || address >> 24 == 127 ||
           address >> 24 == 0;
}

END_C_DECLS
