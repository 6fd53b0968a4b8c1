/* control.h - one message each way on ingest's control socket.
 *
 * Socket   `control.sock` in the runtime directory: AF_UNIX, SOCK_SEQPACKET, one message a packet.
 * Request  16 bytes: magic "PSCT" | version u16 | type u16 | reserved, zero (8)
 * Answer   16 bytes: magic "PSCT" | version u16 | type u16 (the request's with bit 15) |
 *                    status u32 | reserved, zero (4)
 *          All integers little-endian. Reserved bytes are written as zero and not looked at.
 * SUBSCRIBE  The answer with STATUS_OK carries one eventfd (SCM_RIGHTS). Ingest's main core adds to
 *          it whenever a record became durable. The subscription lives as long as the connection.
 * Errors   Decoders: STATUS_TRUNCATED (not 16 bytes), STATUS_CORRUPT (magic, or a type of the other
 *          direction), STATUS_UNSUPPORTED (another version; the answer to it says ours). A type
 * that this build does not know decodes: it is answered with STATUS_UNSUPPORTED. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

#define CONTROL_SOCKET_NAME "control.sock"

enum {
    CONTROL_MESSAGE_BYTES = 16,
    CONTROL_VERSION = 1,
};

enum control_type {
    CONTROL_SUBSCRIBE = 1,
};

struct control_request {
    uint16_t type; /* enum control_type, or one that we do not know */
};

struct control_answer {
    uint16_t type; /* of the request */
    enum status status;
};

void control_request_encode(const struct control_request *request,
                            uint8_t out[CONTROL_MESSAGE_BYTES]);
MUST_CHECK enum status control_request_decode(struct bytes message, struct control_request *out);

void control_answer_encode(const struct control_answer *answer, uint8_t out[CONTROL_MESSAGE_BYTES]);
/* A status that this build does not know reads as STATUS_IO. */
MUST_CHECK enum status control_answer_decode(struct bytes message, struct control_answer *out);

END_C_DECLS
