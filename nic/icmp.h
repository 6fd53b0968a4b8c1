/* icmp.h - ICMP, as far as a polite host must speak it: echo.
 *
 * Owns nothing; `rest` points into the input. Any thread; no state.
 * Source: RFC 792, RFC 1122 3.2.2.6. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/sink.h"

BEGIN_C_DECLS

enum { ICMP_HEADER_BYTES = 8 };

enum icmp_result {
    ICMP_ECHO_REQUEST,
    ICMP_OTHER, /* a good message of another type: unreachable, an echo reply ... */
    ICMP_TRUNCATED,
    ICMP_BAD_CHECKSUM,
    ICMP_BAD_CODE, /* an echo request has code 0 */
    ICMP_RESULT_COUNT,
};

struct icmp_echo {
    struct bytes rest; /* identifier, sequence and data: comes back unchanged */
};

/* The checksum is always computed: NICs judge none of ICMP. `out` holds only on
 * ICMP_ECHO_REQUEST. */
enum icmp_result icmp_parse(struct bytes ip_payload, struct icmp_echo *out);

/* The reply; as many bytes as the request had. */
void icmp_write_echo_reply(struct sink *sink, const struct icmp_echo *request);

END_C_DECLS
