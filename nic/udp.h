/* udp.h - the UDP header: read, its checksum judged, and written.
 *
 * Owns nothing; `payload` points into the input. Any thread; no state.
 * Source: RFC 768, RFC 1122 4.1.3. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"

BEGIN_C_DECLS

enum {
    UDP_HEADER_BYTES = 8,
    UDP_PAYLOAD_BYTES_MAX = UINT16_MAX - 20 - UDP_HEADER_BYTES, /* in one IPv4 packet */
};

enum udp_result {
    UDP_OK,
    UDP_TRUNCATED,  /* fewer bytes than the header, or than it claims */
    UDP_BAD_LENGTH, /* claims less than its own header */
    UDP_RESULT_COUNT,
};

/* One direction between two ends, over IPv4; all in host order. */
struct udp_flow {
    uint32_t source_address;
    uint32_t target_address;
    uint16_t source_port;
    uint16_t target_port;
};

struct udp_datagram {
    uint16_t source_port; /* host order */
    uint16_t target_port;
    bool has_checksum;    /* false: the sender made none */
    struct bytes whole;   /* header and payload: what the checksum covers */
    struct bytes payload; /* may be empty */
};

/* `out` holds only on UDP_OK; bytes behind the datagram are no error. */
enum udp_result udp_parse(struct bytes ip_payload, struct udp_datagram *out);

/* Computes; a datagram without a checksum is good. Addresses in host order. */
bool udp_checksum_is_good(const struct udp_datagram *datagram, uint32_t source_address,
                          uint32_t target_address);

/* The header of `payload`, which follows it and is not written, with its checksum. A sum that comes
 * out as 0 is sent as all ones: 0 would say that there is none. */
void udp_write_header(struct sink *sink, const struct udp_flow *flow, struct bytes payload);

END_C_DECLS
