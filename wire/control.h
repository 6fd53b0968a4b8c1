/* control.h - what is said on ingest's control socket: `<runtime>/control.sock`, SOCK_SEQPACKET.
 *
 * One message a packet, 16 bytes, little-endian:
 *   offset 0  magic "PSCT" | 4 version u16 (1) | 6 type u16 | 8 status u32 (answers) | 12 zero u32
 * A SUBSCRIBE is answered by SUBSCRIBED with one eventfd as SCM_RIGHTS: it is written whenever
 * something became durable. Whoever breaks the protocol is cut off.
 * Threads: any; no state. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

enum {
    CONTROL_MESSAGE_BYTES = 16,
    CONTROL_VERSION = 1,
};

#define CONTROL_SOCKET_FILE_NAME "control.sock"

enum control_type {
    CONTROL_SUBSCRIBE = 1,
    CONTROL_SUBSCRIBED = 0x8001,
};

struct control_message {
    uint16_t type;   /* enum control_type, or one of a later version */
    uint32_t status; /* enum status, in answers; 0 in requests */
};

void control_message_encode(const struct control_message *message,
                            uint8_t out[CONTROL_MESSAGE_BYTES]);

/* STATUS_TRUNCATED, STATUS_CORRUPT (no magic, or longer), STATUS_UNSUPPORTED (version). */
MUST_CHECK enum status control_message_decode(struct bytes packet, struct control_message *out);

END_C_DECLS
