#include "nic/icmp.h"

#include "base/cursor.h"
#include "nic/checksum.h"

enum {
    TYPE_ECHO_REPLY = 0,
    TYPE_ECHO_REQUEST = 8,
    BARE_HEADER_BYTES = 4, /* type, code, checksum: the same for all types */
};

enum icmp_result icmp_parse(struct bytes ip_payload, struct icmp_echo *out)
{
    struct cursor in = cursor_over(ip_payload);
    const uint8_t type = cursor_u8(&in);
    const uint8_t code = cursor_u8(&in);
    cursor_skip(&in, 2); /* checksum */
    out->rest = cursor_rest(&in);
    cursor_skip(&in, ICMP_HEADER_BYTES - BARE_HEADER_BYTES);

    if (in.overran) { return ICMP_TRUNCATED; }
    if (checksum_finish(checksum_add(0, ip_payload)) != 0) { return ICMP_BAD_CHECKSUM; }
    if (type != TYPE_ECHO_REQUEST) { return ICMP_OTHER; }
    if (code != 0) { return ICMP_BAD_CODE; }
    return ICMP_ECHO_REQUEST;
}

void icmp_write_echo_reply(struct sink *sink, const struct icmp_echo *request)
{
    sink_u8(sink, TYPE_ECHO_REPLY);
    sink_u8(sink, 0); /* code */
    /* Type, code and the field itself are zero: the rest alone makes the sum. */
    uint8_t *const checksum = sink_take(sink, 2);
    if (checksum == NULL) { return; }
    store_le16(checksum, checksum_finish(checksum_add(0, request->rest)));
    sink_bytes(sink, request->rest);
}
