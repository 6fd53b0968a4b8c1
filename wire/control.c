#include "wire/control.h"

#include <string.h>

#include "base/cursor.h"
#include "base/sink.h"

enum { ANSWER_BIT = 0x8000 };

static const char control_magic[4] = {'P', 'S', 'C', 'T'};

static void encode(uint16_t type, uint32_t value, uint8_t out[CONTROL_MESSAGE_BYTES])
{
    struct sink sink = sink_into(out, CONTROL_MESSAGE_BYTES);
    sink_bytes(&sink, bytes_of(control_magic, sizeof control_magic));
    uint8_t *const rest = sink_take(&sink, CONTROL_MESSAGE_BYTES - sizeof control_magic);
    memset(rest, 0, CONTROL_MESSAGE_BYTES - sizeof control_magic);
    store_le16(rest, CONTROL_VERSION);
    store_le16(rest + 2, type);
    store_le32(rest + 4, value);
}

static enum status decode(struct bytes message, uint16_t *type, uint32_t *value)
{
    if (message.len_bytes != CONTROL_MESSAGE_BYTES) { return STATUS_TRUNCATED; }
    struct cursor in = cursor_over(message);
    const struct bytes magic = cursor_bytes(&in, sizeof control_magic);
    const uint16_t version = cursor_le16(&in);
    *type = cursor_le16(&in);
    *value = cursor_le32(&in);

    if (memcmp(magic.at, control_magic, sizeof control_magic) != 0) { return STATUS_CORRUPT; }
    return version == CONTROL_VERSION ? STATUS_OK : STATUS_UNSUPPORTED;
}

void control_request_encode(const struct control_request *request,
                            uint8_t out[CONTROL_MESSAGE_BYTES])
{
    encode(request->type, 0, out);
}

enum status control_request_decode(struct bytes message, struct control_request *out)
{
    uint32_t reserved = 0;
    const enum status status = decode(message, &out->type, &reserved);
    if (status != STATUS_OK) { return status; }
    return (out->type & ANSWER_BIT) == 0 ? STATUS_OK : STATUS_CORRUPT;
}

void control_answer_encode(const struct control_answer *answer, uint8_t out[CONTROL_MESSAGE_BYTES])
{
    encode((uint16_t)(answer->type | ANSWER_BIT), (uint32_t)answer->status, out);
}

enum status control_answer_decode(struct bytes message, struct control_answer *out)
{
    uint16_t type = 0;
    uint32_t value = 0;
    const enum status status = decode(message, &type, &value);
    if (status != STATUS_OK) { return status; }
    if ((type & ANSWER_BIT) == 0) { return STATUS_CORRUPT; }
    out->type = type & (uint16_t)~ANSWER_BIT;
    out->status = value < STATUS_COUNT ? (enum status)value : STATUS_IO;
    return STATUS_OK;
}
