#include "wire/control.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cursor.h"
#include "base/sink.h"

enum { ANSWER_BIT = 0x8000 };

static const char control_magic[4] = {'P', 'S', 'C', 'T'};
static const char report_magic[4] = {'P', 'S', 'C', 'R'};

bool control_address(const char *runtime, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    const int len =
        snprintf(out->sun_path, sizeof out->sun_path, "%s/%s", runtime, CONTROL_SOCKET_NAME);
    return len > 0 && (size_t)len < sizeof out->sun_path;
}

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

/* ----------------------------------------------------------------------------------- reports */

/* Lines that fit, or what fits of the first. */
static struct bytes whole_lines(struct bytes text)
{
    if (text.len_bytes <= CONTROL_TEXT_BYTES_MAX) { return text; }
    size_t len_bytes = CONTROL_TEXT_BYTES_MAX;
    while (len_bytes > 0 && text.at[len_bytes - 1] != '\n') { len_bytes--; }
    return bytes_slice(text, 0, len_bytes > 0 ? len_bytes : CONTROL_TEXT_BYTES_MAX);
}

size_t control_report_encode(const struct control_report *report,
                             uint8_t out[CONTROL_REPORT_BYTES_MAX])
{
    const struct bytes text = whole_lines(report->text);
    memcpy(out, report_magic, sizeof report_magic);
    store_le16(out + 4, CONTROL_VERSION);
    store_le16(out + 6, 0);
    store_le64(out + 8, report->epoch);
    store_le32(out + 16, report->rule_count);
    store_le32(out + 20, report->took_ms);
    store_le32(out + 24, report->worker_count);
    store_le32(out + 28, (uint32_t)text.len_bytes);
    if (text.len_bytes > 0) { memcpy(out + CONTROL_REPORT_BYTES, text.at, text.len_bytes); }
    return CONTROL_REPORT_BYTES + text.len_bytes;
}

enum status control_report_decode(struct bytes message, struct control_report *out)
{
    struct cursor in = cursor_over(message);
    const struct bytes magic = cursor_bytes(&in, sizeof report_magic);
    const uint16_t version = cursor_le16(&in);
    (void)cursor_le16(&in);
    out->epoch = cursor_le64(&in);
    out->rule_count = cursor_le32(&in);
    out->took_ms = cursor_le32(&in);
    out->worker_count = cursor_le32(&in);
    const uint32_t text_bytes = cursor_le32(&in);
    if (in.overran) { return STATUS_TRUNCATED; }
    if (memcmp(magic.at, report_magic, sizeof report_magic) != 0) { return STATUS_CORRUPT; }
    if (version != CONTROL_VERSION) { return STATUS_UNSUPPORTED; }
    if (text_bytes > CONTROL_TEXT_BYTES_MAX) { return STATUS_CORRUPT; }

    out->text = cursor_bytes(&in, text_bytes);
    if (in.overran) { return STATUS_TRUNCATED; }
    return message.len_bytes == CONTROL_REPORT_BYTES + (size_t)text_bytes ? STATUS_OK
                                                                          : STATUS_CORRUPT;
}
