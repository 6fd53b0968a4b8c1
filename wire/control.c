#include "wire/control.h"

#include <string.h>

#include "base/cursor.h"
#include "base/endian.h"

static const char control_magic[4] = {'P', 'S', 'C', 'T'};

void control_message_encode(const struct control_message *message,
                            uint8_t out[CONTROL_MESSAGE_BYTES])
{
    memcpy(out, control_magic, sizeof control_magic);
    store_le16(out + 4, CONTROL_VERSION);
    store_le16(out + 6, message->type);
    store_le32(out + 8, message->status);
    store_le32(out + 12, 0);
}

enum status control_message_decode(struct bytes packet, struct control_message *out)
{
    struct cursor in = cursor_over(packet);
    const struct bytes magic = cursor_bytes(&in, sizeof control_magic);
    const uint16_t version = cursor_le16(&in);
    out->type = cursor_le16(&in);
    out->status = cursor_le32(&in);
    cursor_skip(&in, 4);

    if (in.overran) { return STATUS_TRUNCATED; }
    if (cursor_left_bytes(&in) > 0) { return STATUS_CORRUPT; }
    if (memcmp(magic.at, control_magic, sizeof control_magic) != 0) { return STATUS_CORRUPT; }
    if (version != CONTROL_VERSION) { return STATUS_UNSUPPORTED; }
    return STATUS_OK;
}
