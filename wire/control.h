/* control.h - what is said on ingest's control socket.
 *
 * Socket   `control.sock` in the runtime directory: AF_UNIX, SOCK_SEQPACKET, one message a packet.
 * Request  16 bytes: magic "PSCT" | version u16 | type u16 | reserved, zero (8)
 * Answer   16 bytes: magic "PSCT" | version u16 | type u16 (the request's with bit 15) |
 *                    status u32 | reserved, zero (4)
 *          All integers little-endian. Reserved bytes are written as zero and not looked at.
 * SUBSCRIBE  The answer with STATUS_OK carries one eventfd (SCM_RIGHTS). Ingest's main core adds to
 *          it whenever a record became durable. The subscription lives as long as the connection.
 * RULES_RELOAD  Reads the rules file again. The answer comes when the rules are in force, or not:
 * it can take as long as compiling does. A report follows it as the next packet: Report   32 bytes:
 * magic "PSCR" | version u16 | reserved, zero (2) | epoch u64 | rules u32 | took ms u32 | workers
 * u32 | length of the text u32 and the text: lines for people, at most CONTROL_TEXT_BYTES_MAX
 * bytes, no NUL behind. STATUS_OK         in force on every worker; the text holds warnings
 *          STATUS_BUSY       in force, but a worker has not taken them yet; the text says which
 *          STATUS_EXISTS     not read: the rules of the reload before wait for a worker still
 *          STATUS_INVALID    the file has errors, the text lists them; what was in force stays
 *          STATUS_NOT_FOUND  the configuration names no rules file
 *          STATUS_CLOSED     ingest is stopping
 * Errors   Decoders: STATUS_TRUNCATED (not that many bytes), STATUS_CORRUPT (magic, or a type of
 * the other direction), STATUS_UNSUPPORTED (another version; the answer to it says ours). A type
 * that this build does not know decodes: it is answered with STATUS_UNSUPPORTED. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/status.h"

BEGIN_C_DECLS

#define CONTROL_SOCKET_NAME "control.sock"

enum {
    CONTROL_MESSAGE_BYTES = 16,
    CONTROL_VERSION = 1,
    CONTROL_REPORT_BYTES = 32, /* without its text */
    CONTROL_TEXT_BYTES_MAX = 64 * 1024,
    CONTROL_REPORT_BYTES_MAX = CONTROL_REPORT_BYTES + CONTROL_TEXT_BYTES_MAX,
};

enum control_type {
    CONTROL_SUBSCRIBE = 1,
    CONTROL_RULES_RELOAD = 2,
};

struct control_request {
    uint16_t type; /* enum control_type, or one that we do not know */
};

struct control_answer {
    uint16_t type; /* of the request */
    enum status status;
};

/* What is in force after a RULES_RELOAD, whatever became of it. */
struct control_report {
    uint64_t epoch;
    uint32_t rule_count;
    uint32_t took_ms; /* from the request on */
    uint32_t worker_count;
    struct bytes text;
};

/* The socket's address below the runtime directory. False: its name is too long for one. */
MUST_CHECK bool control_address(const char *runtime, struct sockaddr_un *out);

void control_request_encode(const struct control_request *request,
                            uint8_t out[CONTROL_MESSAGE_BYTES]);
MUST_CHECK enum status control_request_decode(struct bytes message, struct control_request *out);

void control_answer_encode(const struct control_answer *answer, uint8_t out[CONTROL_MESSAGE_BYTES]);
/* A status that this build does not know reads as STATUS_IO. */
MUST_CHECK enum status control_answer_decode(struct bytes message, struct control_answer *out);

/* Answers the length. A text that is too long is cut behind a whole line. */
size_t control_report_encode(const struct control_report *report,
                             uint8_t out[CONTROL_REPORT_BYTES_MAX]);
/* The text is a slice of the message. STATUS_CORRUPT also: more bytes than it says. */
MUST_CHECK enum status control_report_decode(struct bytes message, struct control_report *out);

END_C_DECLS
